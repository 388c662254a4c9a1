//! The frames of Git's protocol, and the commands of a push: pure.
//!
//! A packet is four hexadecimal digits, which count themselves, and what they count. A push begins
//! with one packet for each reference (`OLD NEW NAME`, the first followed by NUL and what the client
//! can do), then an empty packet, and the rest of the body is a pack, unless all that is asked for
//! is deletion.

use super::HASH;
use crate::tree::GitOid;

/// Bytes of a packet's length.
pub(in crate::server) const LENGTH_BYTES: usize = 4;
/// Most bytes of a packet with its length, as Git has it.
const PACKET_BYTES_MAX: usize = 65_520;
/// An empty packet, which ends a list.
const FLUSH: &[u8] = b"0000";

/// What we can do for whoever pushes.
const CAPABILITIES: &str = "report-status delete-refs side-band-64k quiet atomic ofs-delta \
     object-format=sha1 agent=mesa-serve";

/// Bytes that are not the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not what a git push sends")]
pub(in crate::server) struct Malformed;

/// How many bytes follow a packet's length; `None` is an empty packet.
pub(in crate::server) fn length(digits: &[u8]) -> Result<Option<usize>, Malformed> {
    let digits = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    let is_hex =
        digits.len() == LENGTH_BYTES && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let length = usize::from_str_radix(digits, 16).map_err(|_| Malformed)?;
    match length {
        _ if !is_hex => Err(Malformed),
        0 => Ok(None),
        _ if length > PACKET_BYTES_MAX => Err(Malformed),
        _ => length.checked_sub(LENGTH_BYTES).map(Some).ok_or(Malformed),
    }
}

/// Appends a packet; what is longer than a packet can be is cut.
fn write(to: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = bytes
        .get(..PACKET_BYTES_MAX - LENGTH_BYTES)
        .unwrap_or(bytes);
    to.extend_from_slice(format!("{:04x}", bytes.len() + LENGTH_BYTES).as_bytes());
    to.extend_from_slice(bytes);
}

/// What a push wants of one reference; `None` is that it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Command {
    pub(in crate::server) name: Vec<u8>,
    pub(in crate::server) from: Option<GitOid>,
    pub(in crate::server) to: Option<GitOid>,
}

/// How the client wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::server) struct Manner {
    pub(in crate::server) report: bool,
    pub(in crate::server) side_band: bool,
    /// All of the references move, or none does.
    pub(in crate::server) atomic: bool,
}

/// One packet of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) enum Line {
    /// Where a shallow clone's history ends. We look for ourselves whether what it leaves out is here.
    Shallow,
    Command(Command, Option<Manner>),
}

/// Reads one packet of a push.
pub(in crate::server) fn line(bytes: &[u8]) -> Result<Line, Malformed> {
    if bytes.starts_with(b"shallow ") {
        return Ok(Line::Shallow);
    }
    let nul = bytes.iter().position(|byte| *byte == 0);
    let (command, manner) = match nul.and_then(|nul| bytes.split_at_checked(nul)) {
        Some((command, capabilities)) => (command, Some(manner(capabilities)?)),
        None => (bytes, None),
    };
    let command = command.strip_suffix(b"\n").unwrap_or(command);
    let digits = HASH.len_in_hex();
    let (from, rest) = command.split_at_checked(digits).ok_or(Malformed)?;
    let rest = rest.strip_prefix(b" ").ok_or(Malformed)?;
    let (to, rest) = rest.split_at_checked(digits).ok_or(Malformed)?;
    let name = rest.strip_prefix(b" ").ok_or(Malformed)?;
    if name.is_empty() || name.iter().any(u8::is_ascii_control) {
        return Err(Malformed);
    }
    let command = Command {
        name: name.to_vec(),
        from: oid(from)?,
        to: oid(to)?,
    };
    Ok(Line::Command(command, manner))
}

fn oid(digits: &[u8]) -> Result<Option<GitOid>, Malformed> {
    let text = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    let oid: GitOid = text.parse().map_err(|_| Malformed)?;
    Ok((oid != GitOid([0; 20])).then_some(oid))
}

fn manner(capabilities: &[u8]) -> Result<Manner, Malformed> {
    let mut manner = Manner::default();
    for word in capabilities.split(|byte| matches!(byte, 0 | b' ' | b'\n')) {
        match word {
            b"report-status" => manner.report = true,
            b"side-band-64k" => manner.side_band = true,
            b"atomic" => manner.atomic = true,
            word if word.starts_with(b"object-format=") && word != b"object-format=sha1" => {
                return Err(Malformed);
            }
            _ => {}
        }
    }
    Ok(manner)
}

/// What is said to a client that is about to push.
pub(in crate::server) fn advertisement(references: &[(String, GitOid)]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut capabilities = format!("\0{CAPABILITIES}");
    for (name, oid) in references {
        write(
            &mut text,
            format!("{oid} {name}{capabilities}\n").as_bytes(),
        );
        capabilities.clear();
    }
    if references.is_empty() {
        let nothing = GitOid([0; 20]);
        let line = format!("{nothing} capabilities^{{}}{capabilities}\n");
        write(&mut text, line.as_bytes());
    }
    text.extend_from_slice(FLUSH);
    text
}

/// What became of one reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Verdict {
    pub(in crate::server) name: Vec<u8>,
    pub(in crate::server) refusal: Option<String>,
}

/// The answer to a push: whether the pack was taken, what became of each reference, and what is for
/// people to read.
pub(in crate::server) fn report(
    manner: Manner,
    unpacked: Result<(), &str>,
    verdicts: &[Verdict],
    talk: &str,
) -> Vec<u8> {
    let mut status = Vec::new();
    if manner.report {
        let unpacked = unpacked.err().unwrap_or("ok");
        write(&mut status, format!("unpack {unpacked}\n").as_bytes());
        for verdict in verdicts {
            let mut line = match verdict.refusal {
                None => b"ok ".to_vec(),
                Some(_) => b"ng ".to_vec(),
            };
            line.extend_from_slice(&verdict.name);
            if let Some(refusal) = &verdict.refusal {
                line.extend_from_slice(format!(" {refusal}").as_bytes());
            }
            line.push(b'\n');
            write(&mut status, &line);
        }
        status.extend_from_slice(FLUSH);
    }
    if !manner.side_band {
        return status;
    }
    let mut answer = Vec::new();
    for (band, bytes) in [(2, talk.as_bytes()), (1, &status[..])] {
        for part in bytes.chunks(PACKET_BYTES_MAX - LENGTH_BYTES - 1) {
            let mut framed = vec![band];
            framed.extend_from_slice(part);
            write(&mut answer, &framed);
        }
    }
    answer.extend_from_slice(FLUSH);
    answer
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const NOTHING: &str = "0000000000000000000000000000000000000000";

    #[test]
    fn a_length_counts_itself() {
        assert_eq!(length(b"0000"), Ok(None));
        assert_eq!(length(b"0004"), Ok(Some(0)));
        assert_eq!(length(b"000A"), Ok(Some(6)));
        assert_eq!(length(b"fff0"), Ok(Some(65_516)));
        for bad in [
            &b"0001"[..],
            b"0003",
            b"fff1",
            b"+004",
            b"00 4",
            b"000",
            b"PACK",
            b"\xff\xff\xff\xff",
        ] {
            assert_eq!(length(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn commands_say_from_where_to_where() {
        let text = format!("{NOTHING} {A} refs/heads/x\0 report-status side-band-64k atomic");
        let Ok(Line::Command(command, Some(manner))) = line(text.as_bytes()) else {
            panic!("{text}");
        };
        assert_eq!(command.name, b"refs/heads/x");
        assert_eq!((command.from, command.to), (None, Some(A.parse().unwrap())));
        assert!(manner.report && manner.side_band && manner.atomic);
        let text = format!("{A} {NOTHING} refs/heads/\u{fc} y\n");
        let Ok(Line::Command(command, None)) = line(text.as_bytes()) else {
            panic!("{text}");
        };
        assert_eq!(command.name, "refs/heads/\u{fc} y".as_bytes());
        assert_eq!(command.to, None);
        assert_eq!(line(format!("shallow {A}").as_bytes()), Ok(Line::Shallow));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for bad in [
            String::new(),
            A.to_owned(),
            format!("{A} {A}"),
            format!("{A} {A} "),
            format!("{A} {A} a\nb"),
            format!("{A}  {A} a"),
            format!("push-cert\0{A}"),
            format!("{A} {A} a\0object-format=sha256"),
        ] {
            assert_eq!(line(bad.as_bytes()), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_report_has_a_line_for_each_reference() {
        let verdicts = [
            Verdict {
                name: b"refs/heads/a".to_vec(),
                refusal: None,
            },
            Verdict {
                name: b"refs/heads/b".to_vec(),
                refusal: Some("no".to_owned()),
            },
        ];
        let plain = Manner {
            report: true,
            ..Manner::default()
        };
        let status = b"000eunpack ok\n0014ok refs/heads/a\n0017ng refs/heads/b no\n0000";
        assert_eq!(report(plain, Ok(()), &verdicts, "unheard"), status);
        let banded = Manner {
            side_band: true,
            ..plain
        };
        let answer = report(banded, Ok(()), &verdicts, "hi");
        assert_eq!(&answer[..12], b"0007\x02hi0042\x01");
        assert!(answer.ends_with(b"00000000"));
        assert_eq!(report(Manner::default(), Ok(()), &verdicts, ""), b"");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = line(&bytes);
            let _ = length(&bytes);
        }
    }
}
