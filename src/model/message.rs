//! What people and their machines are told: one shape, whoever is told.

use crate::guard::{Command, PageKind};
use crate::record::Record;
use serde::{Serialize, Serializer};

/// The version of the shape. A new key leaves it as it is; a key that goes, or means something else, makes the next one.
pub const SCHEMA: u32 = 1;

/// Bytes of a text at most: what one destination cuts or refuses (256 KiB of JSON, at six bytes a letter) is sent to none.
pub const TEXT_MAX: usize = 16 * 1024;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// What the guard pages.
    Page(PageKind),
    /// A person's word: a hold, its end, or that they have seen it.
    Hold,
}

impl MessageKind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        PageKind::ALL.into_iter().map(Self::Page).chain([Self::Hold])
    }

    /// As in the message.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page(kind) => kind.name(),
            Self::Hold => "hold",
        }
    }
}

impl Serialize for MessageKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One message. As JSON it is what every destination gets, in this order of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Unique, and the same for every destination and every attempt: who has seen it may drop it.
    pub id: Box<str>,
    /// The process that tells it.
    pub instance: Box<str>,
    /// The service that it is about.
    pub service: Box<str>,
    /// What it is about.
    pub kind: MessageKind,
    /// The sentence, at most [`TEXT_MAX`] bytes.
    pub text: Box<str>,
    /// The service is observed only: nothing was or will be written.
    pub dry_run: bool,
    /// The epoch; 0 before the first.
    pub epoch: u32,
    /// The release that the epoch belongs to.
    pub release: Option<u32>,
    /// When it happened, RFC 3339, UTC.
    pub at: Box<str>,
}

/// What people are told of `record`, beside pages; `None` for all that isn't their own word.
#[must_use]
pub fn told(record: &Record) -> Option<String> {
    let Record::Operator { command } = record else { return None };
    match command {
        Command::Hold { reason } if reason.trim().is_empty() => {
            Some("an operator holds, without a reason: nothing is written until that ends".to_owned())
        }
        Command::Hold { reason } => {
            Some(format!("an operator holds: {reason}. Nothing is written until that ends"))
        }
        Command::Unhold => Some("an operator has ended the hold".to_owned()),
        Command::Ack => Some("an operator has seen what needed a person".to_owned()),
        Command::ReleaseBegin { .. } => None,
    }
}

/// `text`, cut to [`TEXT_MAX`] bytes at a letter.
#[must_use]
pub fn cut(text: &str) -> Box<str> {
    if text.len() <= TEXT_MAX {
        return text.into();
    }
    let mark = "…";
    format!("{}{mark}", &text[..text.floor_char_boundary(TEXT_MAX - mark.len())]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_persons_own_word_is_told_beside_pages() {
        let said = |command| told(&Record::Operator { command });
        let hold = |reason: &str| said(Command::Hold { reason: reason.into() }).unwrap();
        assert!(hold("a migration").contains("holds: a migration."));
        assert!(hold(" ").contains("without a reason"));
        assert!(said(Command::Unhold).unwrap().contains("ended the hold"));
        assert!(said(Command::Ack).unwrap().contains("has seen"));
        assert_eq!(said(Command::ReleaseBegin { label: None, irreversible: false }), None);
        assert_eq!(told(&Record::Stopped { how: "drained".into() }), None);
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        let mut names: Vec<&str> = MessageKind::all().map(MessageKind::name).collect();
        assert!(names.contains(&"breach") && names.contains(&"hold"));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), count), (PageKind::ALL.len() + 1, PageKind::ALL.len() + 1));
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        assert_eq!(TEXT_MAX, 16_384, "the published schema says so");
        let fits = "é".repeat(TEXT_MAX / 2);
        assert_eq!(&*cut(&fits), fits);
        let long = cut(&format!("x{fits}"));
        assert!(long.len() <= TEXT_MAX && long.len() > TEXT_MAX - 8 && long.ends_with("é…"));
    }
}
