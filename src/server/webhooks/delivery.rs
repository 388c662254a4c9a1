//! Delivering events to one target: in order, each tried until it is taken or given up.
//!
//! What waits is in memory and bounded: a receiver that is away for longer loses events, which the
//! target counts; and so does everybody when the server ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use tokio::sync::mpsc;

use super::address::AllowedHosts;
use super::table::Row;
use crate::remote::Destination;
use crate::remote::Failure;
use crate::remote::api::{WEBHOOK_SIGNATURE, WebhookDelivery, format_date};

/// Events that may wait for one target: an hour of a busy repository.
pub(super) const QUEUE_MAX: usize = 1_000;
/// How long a receiver may take for its answer. One that works for longer should answer first.
const PATIENCE: Duration = Duration::from_secs(10);
/// With the pauses between them, two minutes: a receiver may be restarted meanwhile.
const ATTEMPTS_MAX: u64 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// One event as it is sent.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) event_id: String,
    pub(super) body: Bytes,
}

/// What became of a target's events.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) last: Option<WebhookDelivery>,
    pub(super) lost: u64,
}

/// What a target's deliverer works with.
pub(super) struct Deliverer {
    pub(super) row: Arc<Mutex<Row>>,
    pub(super) record: Arc<Mutex<Record>>,
    pub(super) allowed: Arc<AllowedHosts>,
}

impl Deliverer {
    /// Delivers until there are no more senders.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Arc<Message>>) {
        while let Some(message) = queue.recv().await {
            self.deliver(&message).await;
        }
    }

    async fn deliver(&self, message: &Message) {
        for attempt in 1..=ATTEMPTS_MAX {
            let result = self.attempt(message).await;
            let is_taken = matches!(result, Ok(200..300));
            self.record.lock().last = Some(WebhookDelivery {
                event_id: message.event_id.clone(),
                attempted_at: format_date(crate::server::now().cast_signed()),
                attempts: attempt,
                status: result.ok(),
                error: match result {
                    Ok(_) if is_taken => None,
                    Ok(_) => Some("the receiver did not take it".to_owned()),
                    Err(error) => Some(error.to_owned()),
                },
            });
            if is_taken {
                return;
            }
            if attempt < ATTEMPTS_MAX {
                tokio::time::sleep(pause(attempt)).await;
            }
        }
        self.record.lock().lost += 1;
        let target = self.row.lock().id.clone();
        tracing::warn!(
            target_id = target,
            event = message.event_id,
            "a webhook gave up"
        );
    }

    async fn attempt(&self, message: &Message) -> Result<u16, &'static str> {
        let now = crate::server::now();
        // Read each time: the target may have been changed since.
        let (url, signature) = {
            let row = self.row.lock();
            let signature = sign(row.secret.expose(), now, &message.body);
            (row.url.clone(), signature)
        };
        let to = Destination::parse(&url).ok_or("the address is malformed")?;
        let address = self.allowed.find(&to).await?;
        let header = (WEBHOOK_SIGNATURE, signature.as_str());
        let posted = to.post(address, header, message.body.clone(), PATIENCE);
        posted.await.map_err(|failure| match failure {
            Failure::TimedOut => "the receiver did not answer in time",
            Failure::Setup(_) => "there are no root certificates on this machine",
            _ => "the receiver cannot be reached",
        })
    }
}

/// The wait after an attempt.
fn pause(attempt: u64) -> Duration {
    let doublings = u32::try_from(attempt - 1).unwrap_or(u32::MAX).min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

fn sign(secret: &str, now: u64, body: &[u8]) -> String {
    // A key of any length is one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{now}.").as_bytes());
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={now},sha256={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(3), FIRST_PAUSE * 4);
        assert_eq!(pause(ATTEMPTS_MAX), PAUSE_MAX);
        let all: Duration = (1..ATTEMPTS_MAX).map(pause).sum();
        assert!((90..180).contains(&all.as_secs()), "{all:?}");
    }

    #[test]
    fn a_signature_covers_time_and_body() {
        // `printf '1750000000.{}' | openssl dgst -sha256 -hmac whsec_made_up`
        assert_eq!(
            sign("whsec_made_up", 1_750_000_000, b"{}"),
            "t=1750000000,sha256=4d7b9f7ffbfe8eddaa6cccf627b73a5bed0809c1da5fbe8cb3d9c7a459b64c5e"
        );
        assert_ne!(sign("a", 1, b"{}"), sign("a", 1, b"{ }"));
    }
}
