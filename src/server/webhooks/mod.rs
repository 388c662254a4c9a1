//! Webhooks: targets, and a deliverer for each of them.
//!
//! ```text
//! events -> dispatcher -> queue of each target that wants it -> deliverer -> receiver
//! ```
//!
//! Targets are durable. Events on their way are not: a target hears of everything that happened while
//! the server ran and its queue had room, and of the rest it can see how much it was not told of.

mod address;
mod delivery;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::task::JoinHandle;

use super::data::Organization;
use super::error::Error;
use super::events::Event;
use crate::remote::Destination;
use crate::remote::api::{NewTarget, WebhookTarget, format_date};
use address::AllowedHosts;
use delivery::{Deliverer, Message, QUEUE_MAX, Record};
use table::{Row, Secret};

/// Most targets: each costs a task, and a delivery of every event.
const TARGETS_MAX: usize = 50;
const FILE: &str = "webhooks.json";

/// What somebody says about a target; all of it checked but for the repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) name: Option<String>,
    pub(super) url: String,
    pub(super) events: Vec<String>,
    pub(super) repository_ids: Option<Vec<String>>,
}

/// Why a target is not as somebody wants it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no such webhook target")]
    Unknown,
    #[error("url: want http:// or https://, a host, and neither a name, a password nor a fragment")]
    Url,
    #[error(
        "url: the host is neither this machine nor allowed: start the server with --webhook-host"
    )]
    Host,
    #[error("there are 50 webhook targets already")]
    TooMany,
    #[error(transparent)]
    Storage(#[from] Error),
}

/// All targets, and what delivers to them while this value lives.
#[derive(Debug)]
pub(super) struct Webhooks {
    file: PathBuf,
    allowed: Arc<AllowedHosts>,
    targets: Arc<Mutex<Targets>>,
    runtime: Handle,
    /// Whoever changes targets takes this turn.
    pub(super) turn: Arc<Semaphore>,
    _dispatcher: Task,
}

type Targets = BTreeMap<String, Target>;

#[derive(Debug)]
struct Target {
    row: Arc<Mutex<Row>>,
    record: Arc<Mutex<Record>>,
    queue: mpsc::Sender<Arc<Message>>,
    _deliverer: Task,
}

/// A task that ends with the value.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Webhooks {
    /// Opens the targets of a data directory. Its tasks run on the caller's runtime.
    pub(super) fn open(
        data: &Path,
        allowed: &[String],
        organization: &Organization,
        events: broadcast::Receiver<Arc<Event>>,
    ) -> Result<Webhooks, Error> {
        let file = data.join(FILE);
        let rows = table::read(&file)?;
        let allowed = Arc::new(AllowedHosts::new(allowed));
        let runtime = Handle::current();
        let targets: Targets = rows
            .into_iter()
            .map(|row| (row.id.clone(), Target::new(row, &allowed, &runtime)))
            .collect();
        let targets = Arc::new(Mutex::new(targets));
        let dispatching = dispatch(organization.clone(), targets.clone(), events);
        Ok(Webhooks {
            file,
            allowed,
            targets,
            turn: Arc::new(Semaphore::new(1)),
            _dispatcher: Task(runtime.spawn(dispatching)),
            runtime,
        })
    }

    /// All targets, by id.
    pub(super) fn all(&self) -> Vec<WebhookTarget> {
        self.targets.lock().values().map(Target::describe).collect()
    }

    /// One target.
    pub(super) fn find(&self, id: &str) -> Result<WebhookTarget, Refusal> {
        let targets = self.targets.lock();
        targets
            .get(id)
            .map(Target::describe)
            .ok_or(Refusal::Unknown)
    }

    /// Makes a target; on return it survives a power cut. Only here its secret is shown.
    pub(super) fn create(&self, settings: Settings) -> Result<NewTarget, Refusal> {
        self.check(&settings.url)?;
        if self.targets.lock().len() >= TARGETS_MAX {
            return Err(Refusal::TooMany);
        }
        let now = super::now();
        let row = Row {
            id: format!("wht_{}", uuid::Uuid::new_v4().simple()),
            name: settings.name,
            url: settings.url,
            secret: Secret::random(),
            events: settings.events,
            repository_ids: settings.repository_ids,
            created_at: now,
            updated_at: now,
        };
        let mut rows = self.rows();
        rows.push(row.clone());
        table::write(&self.file, rows)?;
        let secret = row.secret.expose().to_owned();
        let target = Target::new(row.clone(), &self.allowed, &self.runtime);
        let described = target.describe();
        self.targets.lock().insert(row.id, target);
        Ok(NewTarget {
            target: described,
            secret,
        })
    }

    /// Changes a target; on return that survives a power cut. What waits goes where it is now.
    pub(super) fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut Settings),
    ) -> Result<WebhookTarget, Refusal> {
        let found = self.targets.lock().get(id).map(|target| target.row.clone());
        let row = found.ok_or(Refusal::Unknown)?;
        let mut new = row.lock().clone();
        let mut settings = Settings {
            name: new.name,
            url: new.url,
            events: new.events,
            repository_ids: new.repository_ids,
        };
        change(&mut settings);
        self.check(&settings.url)?;
        new.name = settings.name;
        new.url = settings.url;
        new.events = settings.events;
        new.repository_ids = settings.repository_ids;
        new.updated_at = super::now();
        let mut rows = self.rows();
        for row in &mut rows {
            if row.id == id {
                *row = new.clone();
            }
        }
        table::write(&self.file, rows)?;
        *row.lock() = new;
        self.find(id)
    }

    /// Removes a target with all that waits for it; on return it is gone for good.
    pub(super) fn remove(&self, id: &str) -> Result<(), Refusal> {
        let mut rows = self.rows();
        let before = rows.len();
        rows.retain(|row| row.id != id);
        if rows.len() == before {
            return Err(Refusal::Unknown);
        }
        table::write(&self.file, rows)?;
        let gone = self.targets.lock().remove(id);
        drop(gone);
        Ok(())
    }

    fn rows(&self) -> Vec<Row> {
        let targets = self.targets.lock();
        targets
            .values()
            .map(|target| target.row.lock().clone())
            .collect()
    }

    fn check(&self, url: &str) -> Result<(), Refusal> {
        let to = Destination::parse(url).ok_or(Refusal::Url)?;
        match self.allowed.allow(to.host()) {
            true => Ok(()),
            false => Err(Refusal::Host),
        }
    }
}

impl Target {
    fn new(row: Row, allowed: &Arc<AllowedHosts>, runtime: &Handle) -> Target {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let row = Arc::new(Mutex::new(row));
        let record = Arc::new(Mutex::new(Record::default()));
        let deliverer = Deliverer {
            row: row.clone(),
            record: record.clone(),
            allowed: allowed.clone(),
        };
        Target {
            row,
            record,
            queue,
            _deliverer: Task(runtime.spawn(deliverer.run(waiting))),
        }
    }

    fn describe(&self) -> WebhookTarget {
        let row = self.row.lock().clone();
        let record = self.record.lock();
        WebhookTarget {
            id: row.id,
            name: row.name,
            url: row.url,
            events: row.events,
            repo_ids: row.repository_ids,
            created_at: format_date(row.created_at.cast_signed()),
            updated_at: format_date(row.updated_at.cast_signed()),
            last_delivery: record.last.clone(),
            lost_events: record.lost,
        }
    }
}

/// Hands every event to the queues of those who want it. Never waits for any of them.
async fn dispatch(
    organization: Organization,
    targets: Arc<Mutex<Targets>>,
    mut events: broadcast::Receiver<Arc<Event>>,
) {
    use broadcast::error::RecvError;
    loop {
        match events.recv().await {
            Ok(event) => {
                let mut message = None;
                for target in targets.lock().values() {
                    if !target.row.lock().wants(event.kind, &event.repository_id) {
                        continue;
                    }
                    let message = message.get_or_insert_with(|| envelope(&organization, &event));
                    if target.queue.try_send(message.clone()).is_err() {
                        target.record.lock().lost += 1;
                    }
                }
            }
            Err(RecvError::Lagged(count)) => {
                tracing::warn!(count, "more happened at once than webhooks can be told of");
                for target in targets.lock().values() {
                    target.record.lock().lost += count;
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn envelope(organization: &Organization, event: &Event) -> Arc<Message> {
    let event_id = format!("evt_{}", event.id);
    let body = json!({
        "id": event_id,
        "occurred_at": format_date(event.at.cast_signed()),
        "organization": {
            "id": organization.id,
            "slug": organization.slug,
            "name": organization.slug,
        },
        "repository": {
            "id": event.repository_id,
            "name": event.repository_name,
            // What we are called from outside, nobody has told us.
            "url": format!("/{}/{}.git", organization.slug, event.repository_name),
        },
        "type": event.kind,
        "data": event.data,
    });
    Arc::new(Message {
        event_id,
        body: body.to_string().into(),
    })
}
