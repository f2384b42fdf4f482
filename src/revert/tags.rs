//! What tags say of a lever, and the tag that holds: the same words on a listener and on a function.

use super::owner::{controller, keeper};
use crate::model::guard::Marks;
use crate::model::owner::Owner;

/// An operator forbids acting.
pub(super) const TAG_HOLD: &str = "canary:hold";
/// The pipeline says that the release must not be reverted.
const TAG_IRREVERSIBLE: &str = "serin:irreversible";
/// The pipeline names the release.
const TAG_RELEASE: &str = "serin:release";

/// One tag, and what it is on.
#[derive(Clone, Debug)]
pub(super) struct Tagged {
    /// Its ARN.
    pub(super) resource: String,
    /// The lever itself, not only what it belongs to or names.
    pub(super) own: bool,
    pub(super) key: String,
    pub(super) value: String,
}

/// A hold on anything and a controller of anything count for all; the release's marks are the lever's alone.
pub(super) fn marks(owner: Owner, tags: Vec<Tagged>) -> Marks {
    let mut marks = Marks::of(owner);
    for Tagged { resource, own, key, value } in tags {
        if let Some(who) = controller(&resource, &key, &value) {
            marks.owner = Owner::Other(who.into());
        }
        match key.as_str() {
            TAG_RELEASE if own => marks.label = Some(value.into()),
            TAG_IRREVERSIBLE if own && value != "false" => marks.irreversible = Some(value.into()),
            // `canary:hold` and `canary:hold=<anything>`, the tag's key with or without a suffix.
            held if held == TAG_HOLD || held.starts_with("canary:hold:") => {
                marks.hold = Some(format!("tag {held} = {value}").into());
            }
            _ => {
                let who = if own { keeper(&key, &value) } else { None };
                marks.keeper = marks.keeper.or(who.map(Into::into));
            }
        }
    }
    marks
}

/// What a tag may say: 256 characters, letters, digits, spaces and `+ - = . _ : / @` (Tagging AWS Resources).
pub(super) fn value(reason: &str) -> String {
    let fits = |letter: char| letter.is_alphanumeric() || " +-=._:/@".contains(letter);
    reason.chars().map(|letter| if fits(letter) { letter } else { '_' }).take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(own: bool, key: &str, value: &str) -> Tagged {
        Tagged { resource: "it".into(), own, key: key.into(), value: value.into() }
    }

    #[test]
    fn a_hold_counts_wherever_it_is_and_the_releases_marks_on_the_lever_alone() {
        let marked = |own| {
            let tags = [
                ("serin:release", "42"),
                ("serin:irreversible", "yes"),
                ("canary:hold:me", "load test"),
                ("managed-by", "terraform"),
            ];
            let tags = tags.map(|(key, value)| tagged(own, key, value));
            marks(Owner::Nobody, tags.to_vec())
        };
        let (own, other) = (marked(true), marked(false));
        assert_eq!(own.label.as_deref(), Some("42"));
        assert_eq!(own.irreversible.as_deref(), Some("yes"));
        assert_eq!(own.keeper.as_deref(), Some("Terraform"));
        assert_eq!((other.label, other.irreversible, other.keeper), (None, None, None));
        assert_eq!(own.hold.as_deref(), Some("tag canary:hold:me = load test"));
        assert_eq!(own.hold, other.hold);
        let taken_back = marks(Owner::Nobody, vec![tagged(true, "serin:irreversible", "false")]);
        assert_eq!(taken_back.irreversible, None);
    }

    #[test]
    fn a_reason_is_put_into_the_letters_that_a_tag_may_have() {
        assert_eq!(value("load test; back at 5 o'clock!"), "load test_ back at 5 o_clock_");
        assert_eq!(value(&"ä".repeat(300)).chars().count(), 256);
    }
}
