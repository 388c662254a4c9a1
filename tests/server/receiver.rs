//! A receiver of webhooks, which really listens.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use serde_json::Value;
use sha2::Sha256;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::now;

#[derive(Clone)]
pub struct Delivery {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Delivery {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Takes deliveries, and answers with what it is told to, or 200.
pub struct Receiver {
    pub url: String,
    taken: Arc<Mutex<Vec<Delivery>>>,
    pub answers: Arc<Mutex<VecDeque<u16>>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub async fn new(answers: &[u16]) -> Receiver {
        let taken: Arc<Mutex<Vec<Delivery>>> = Arc::default();
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect::<VecDeque<_>>()));
        let (taken_too, answers_too) = (taken.clone(), answers.clone());
        let take = move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let status = answers_too.lock().pop_front().unwrap_or(200);
            taken_too.lock().push(Delivery {
                path: uri.path().to_owned(),
                headers,
                body: body.to_vec(),
            });
            let status = StatusCode::from_u16(status).unwrap();
            let response: Response = (status, [("location", "/elsewhere")], "body").into_response();
            async move { response }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://localhost:{}/hook",
            listener.local_addr().unwrap().port()
        );
        let router = Router::new().fallback(take);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver {
            url,
            taken,
            answers,
            task,
        }
    }

    /// Waits for so many deliveries.
    pub async fn take(&self, count: usize) -> Vec<Delivery> {
        wait(|| self.taken.lock().len() >= count).await;
        let taken = std::mem::take(&mut *self.taken.lock());
        assert_eq!(taken.len(), count);
        taken
    }
}

async fn wait(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing comes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn is_signed(secret: &str, delivery: &Delivery) -> bool {
    let header = delivery.headers["x-mesa-signature"].to_str().unwrap();
    let (time, signature) = header.split_once(',').unwrap();
    let time = time.strip_prefix("t=").unwrap();
    assert!(now().abs_diff(time.parse().unwrap()) < 300);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.").as_bytes());
    mac.update(&delivery.body);
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    signature == format!("sha256={hex}")
}
