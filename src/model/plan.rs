//! The exact difference between what the rule is and what it should be again.

use crate::listener::{Fingerprint, Forward, ListenerState};
use serde::{Deserialize, Serialize};

/// One write: over exactly one state, to exactly one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The listener's or the rule's ARN.
    pub arn: Box<str>,
    /// The only state that may be overwritten.
    pub over: Fingerprint,
    /// The forward of the recorded before-image, put back field by field.
    pub to: Forward,
    /// What a read must show afterwards.
    pub becomes: Fingerprint,
}

/// The write that turns `live` into `before`; `None` when they are already the same.
///
/// # Errors
/// Says why the difference is not one that may be written: something isn't understood on either
/// side, it isn't the same rule, or more than the forward differs.
pub fn revert(live: &ListenerState, before: &ListenerState) -> Result<Option<Write>, String> {
    live.understood().map_err(|why| format!("now: {why}"))?;
    let to = before.understood().map_err(|why| format!("before the cutover: {why}"))?;
    if live.arn != before.arn {
        return Err(format!("the before-image is of {}, not of {}", before.arn, live.arn));
    }
    if live.others != before.others {
        return Err("more than the forward changed: the rule's other actions are not what they were".into());
    }
    let (over, becomes) = (live.fingerprint(), before.fingerprint());
    if over == becomes {
        return Ok(None);
    }
    Ok(Some(Write { arn: live.arn.clone(), over, to: to.clone(), becomes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::Group;

    fn state(blue: i32, green: i32) -> ListenerState {
        let group = |arn: &str, weight| Group { arn: arn.into(), weight: Some(weight) };
        let forward =
            Forward { scalar: None, groups: vec![group("b", blue), group("g", green)], stickiness: None };
        ListenerState { arn: "l".into(), forward: Some(forward), others: vec![], unknown: vec![] }
    }

    #[test]
    fn equal_states_need_no_write() {
        assert_eq!(revert(&state(100, 0), &state(100, 0)), Ok(None));
    }

    #[test]
    fn the_write_restores_the_forward_exactly_and_names_what_it_overwrites() {
        let write = revert(&state(0, 100), &state(100, 0)).unwrap().unwrap();
        assert_eq!(Some(&write.to), state(100, 0).forward.as_ref());
        assert_eq!(write.over, state(0, 100).fingerprint());
        assert_eq!(write.becomes, state(100, 0).fingerprint());
    }

    #[test]
    fn what_is_not_understood_is_never_written() {
        let mut odd = state(0, 100);
        odd.unknown.push("NewThing".into());
        assert!(revert(&odd, &state(100, 0)).unwrap_err().starts_with("now: "));
        assert!(revert(&state(100, 0), &odd).unwrap_err().starts_with("before the cutover: "));
    }

    #[test]
    fn a_release_that_changed_more_than_the_forward_is_refused() {
        let mut auth = state(0, 100);
        auth.others.push("authenticate-oidc".into());
        assert!(revert(&auth, &state(100, 0)).unwrap_err().contains("more than the forward"));
        let mut other = state(0, 100);
        other.arn = "another".into();
        assert!(revert(&other, &state(100, 0)).unwrap_err().contains("before-image is of"));
    }
}
