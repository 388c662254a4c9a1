//! HTTP/1.1 messages, read whole: just enough to pass them on, and to damage them.

use std::io::{self, BufRead, Read};

/// A request or an answer.
pub struct Message {
    first: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    /// The next request of a connection; `None` at its end.
    pub fn read_request(from: &mut impl BufRead) -> io::Result<Option<Message>> {
        Message::read(from)
    }

    /// The next answer.
    pub fn read_answer(from: &mut impl BufRead) -> io::Result<Message> {
        Message::read(from)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn read(from: &mut impl BufRead) -> io::Result<Option<Message>> {
        let mut first = String::new();
        if from.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut message = Message {
            first: first.trim_end().to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    let name = name.to_ascii_lowercase();
                    message.headers.push((name, value.trim().to_owned()));
                }
                None => break,
            }
        }
        if message.header("transfer-encoding").is_some() {
            read_chunks(from, &mut message.body)?;
        } else if let Some(length) = message.header("content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            message.body.resize(length, 0);
            from.read_exact(&mut message.body)?;
        }
        Ok(Some(message))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(one, _)| one == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// `METHOD target` of a request.
    pub fn first_line(&self) -> String {
        let mut words = self.first.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap_or(""));
        format!("{method} {target}")
    }

    /// Gives a header another value.
    pub fn replace(&mut self, name: &str, value: String) {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value));
    }

    /// The head, with the length of the body.
    pub fn head(&self) -> Vec<u8> {
        self.head_with_length(i64::try_from(self.body.len()).unwrap())
    }

    /// The head, with another length.
    pub fn head_with_length(&self, length: i64) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.first);
        let framing = ["transfer-encoding", "content-length"];
        for (name, value) in &self.headers {
            if !framing.contains(&name.as_str()) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if !self.first.starts_with("GET ") {
            text.push_str(&format!("content-length: {length}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let digits = line.trim_end().split(';').next().unwrap_or("");
        let count = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + count, 0);
        from.read_exact(&mut body[start..])?;
        from.by_ref().take(2).read_exact(&mut [0; 2])?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// An answer that refuses, as the server words it.
pub fn refusal(status: u16, retry_after: Option<u64>) -> Vec<u8> {
    let code = match status {
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        409 => "STALE_CHANGE",
        413 => "PAYLOAD_TOO_LARGE",
        429 => "RATE_LIMITED",
        _ => "INTERNAL_ERROR",
    };
    let body = format!(r#"{{"error":{{"code":"{code}","message":"a fault for the test"}}}}"#);
    let retry_after = match retry_after {
        Some(seconds) => format!("retry-after: {seconds}\r\n"),
        None => String::new(),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Fault\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         {retry_after}\r\n{body}"
    )
    .into_bytes()
}
