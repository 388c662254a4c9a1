//! What the fuzzer may see of the control socket: any bytes are a request, are answered with a
//! refusal, or are too few for either; and any bytes are an answer or none.

use super::server::receive;
use super::{Answer, Request};

/// Bytes as both ends read them.
pub fn bytes(input: &[u8]) {
    if let Ok(received) = receive(input) {
        match received {
            Ok(request) => {
                let text = serde_json::to_vec(&request).unwrap_or_default();
                assert_eq!(serde_json::from_slice::<Request>(&text).ok(), Some(request));
            }
            Err(refusal) => assert!(matches!(*refusal, Answer::Failed(_))),
        }
    }
    if let Ok(answer) = serde_json::from_slice::<Answer>(input) {
        let text = serde_json::to_vec(&answer).unwrap_or_default();
        assert_eq!(serde_json::from_slice::<Answer>(&text).ok(), Some(answer));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_and_findings_hold() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/control_socket");
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::bytes(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
