//! From what happened to what is told of it: one [`Message`], made once for all destinations.

use super::{Item, PublishError, Roster};
use crate::model::message::{Message, MessageKind, SCHEMA, cut, told};
use crate::model::policy::Mode;
use crate::model::record::Record;
use crate::model::release::{EpochId, ReleaseId};
use crate::model::time::Wall;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Writes messages.
#[derive(Debug)]
pub(super) struct Desk {
    instance: Box<str>,
    /// Of this run: a restarted daemon counts from 1 again.
    run: String,
    written: AtomicU64,
    /// Services that only observe.
    dry: Mutex<BTreeSet<Arc<str>>>,
    /// The open epoch of each service: a person's word doesn't name it.
    open: Mutex<Open>,
}

/// Service → its epoch, and the release that belongs to.
type Open = BTreeMap<Arc<str>, (EpochId, Option<ReleaseId>)>;

impl Desk {
    pub(super) fn new(roster: &Roster, instance: &str) -> Result<Self, PublishError> {
        let mut chance = [0; 8];
        aws_lc_rs::rand::fill(&mut chance).map_err(|_| PublishError::Chance)?;
        let dry = roster.services.iter().filter(|(_, _, mode)| *mode == Mode::Observe);
        Ok(Self {
            instance: instance.into(),
            run: chance.iter().fold(String::new(), |mut hex, byte| {
                // Writing to a string can't fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            }),
            written: AtomicU64::new(0),
            dry: Mutex::new(dry.map(|(name, _, _)| Arc::clone(name)).collect()),
            open: Mutex::default(),
        })
    }

    /// What people are told of `item`; `None` for most of what there is.
    pub(super) fn message(&self, item: &Item, at: Wall) -> Option<Message> {
        match item {
            Item::Page(service, page) => {
                let open = (page.epoch, page.release);
                let kind = MessageKind::Page(page.kind);
                Some(self.write(service, kind, &page.text, page.dry_run, open, at))
            }
            Item::Note(service, record) => {
                if let Record::Epoch { epoch, release, .. } = &**record {
                    self.open().insert(Arc::clone(service), (*epoch, *release));
                }
                if let Record::Started { mode, .. } | Record::Revised { mode, .. } = &**record {
                    self.mode(service, mode);
                }
                let text = told(record)?;
                let open = self.open().get(service).copied().unwrap_or_default();
                Some(self.write(service, MessageKind::Hold, &text, self.is_dry(service), open, at))
            }
            Item::Second(_)
            | Item::Probe(..)
            | Item::Status(..)
            | Item::Budget(..)
            | Item::Gone(_)
            | Item::Asked(..)
            | Item::Reloaded { .. } => None,
        }
    }

    fn write(
        &self,
        service: &str,
        kind: MessageKind,
        text: &str,
        dry_run: bool,
        (epoch, release): (EpochId, Option<ReleaseId>),
        at: Wall,
    ) -> Message {
        let number = self.written.fetch_add(1, Ordering::Relaxed) + 1;
        let at = jiff::Timestamp::from_millisecond(at.0).map(|at| at.to_string()).unwrap_or_default();
        Message {
            schema: SCHEMA,
            id: format!("{}-{number}", self.run).into(),
            instance: self.instance.clone(),
            service: service.into(),
            kind,
            text: cut(text),
            dry_run,
            epoch: epoch.0,
            release: release.map(|release| release.0),
            at: at.into(),
        }
    }

    fn mode(&self, service: &Arc<str>, mode: &str) {
        let mut dry = self.dry.lock().unwrap_or_else(PoisonError::into_inner);
        if mode == "observe" {
            dry.insert(Arc::clone(service));
        } else {
            dry.remove(service);
        }
    }

    fn is_dry(&self, service: &str) -> bool {
        self.dry.lock().unwrap_or_else(PoisonError::into_inner).contains(service)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
