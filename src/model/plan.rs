//! The exact difference between what the governed rules are and what they should be again.

use crate::hazard::{Hazard, answered};
use crate::listener::{Fingerprint, Forward, Group, ListenerState, RuleState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One write: over exactly one state, to exactly one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The listener's or the rule's ARN.
    pub arn: Box<str>,
    /// The only state that may be overwritten.
    pub over: Fingerprint,
    /// The forward of the recorded before-image, put back field by field, or its one serving group ([`Style`]).
    pub to: Forward,
    /// What a read must show afterwards.
    pub becomes: Fingerprint,
}

/// How the old version gets its requests back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// The before-image as it was, weights and stickiness included. A user whose cookie names the new group stays there until it ends.
    #[default]
    Weights,
    /// The old group alone, so that no cookie holds anybody; the new group is unreferenced then.
    Exclusive,
}

/// How far a plan has come, as a read shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Every rule shows what it should.
    Done,
    /// These are still to be written, the most important first.
    Left {
        /// Their writes.
        writes: Vec<&'a Write>,
        /// Others show theirs already.
        begun: bool,
    },
    /// A rule shows neither what was judged nor what was to be written: its ARN.
    Third(Box<str>),
}

/// The writes that turn `live` into `before`, the most important first; none when they are already the same.
///
/// # Errors
/// Says why the difference is not one that may be written: something isn't understood on either
/// side, they aren't the same rules, or more than the forward differs.
pub fn revert(live: &ListenerState, before: &ListenerState, style: Style) -> Result<Vec<Write>, String> {
    live.understood().map_err(|why| format!("now: {why}"))?;
    before.understood().map_err(|why| format!("before the cutover: {why}"))?;
    let arns = |state: &ListenerState| -> BTreeSet<Box<str>> {
        state.rules().iter().map(|rule| rule.arn.clone()).collect()
    };
    if arns(live) != arns(before) {
        let list = |state| arns(state).into_iter().collect::<Vec<_>>().join(", ");
        return Err(format!("the before-image is of {}, not of {}", list(before), list(live)));
    }
    let pairs = live.rules().iter().filter_map(|rule| Some((rule, before.rule(&rule.arn)?)));
    let writes: Result<Vec<Option<Write>>, String> =
        pairs.map(|(live, before)| write(live, before, style)).collect();
    Ok(writes?.into_iter().flatten().collect())
}

fn write(live: &RuleState, before: &RuleState, style: Style) -> Result<Option<Write>, String> {
    let to = before.understood()?;
    if live.others != before.others {
        return Err("more than the forward changed: the rule's other actions are not what they were".into());
    }
    let style = if answered(Hazard::Sticky) { style } else { Style::Weights };
    let to = match (style, to.serving().into_iter().collect::<Vec<_>>().as_slice()) {
        (Style::Weights, _) => to.clone(),
        (Style::Exclusive, [only]) => {
            let only = Group { arn: (*only).into(), weight: Some(1) };
            Forward { scalar: None, groups: vec![only], stickiness: None }
        }
        (Style::Exclusive, _) => {
            return Err(format!("{} served before, and exclusive needs one group alone", before.label()));
        }
    };
    let over = live.fingerprint();
    let becomes = RuleState { forward: Some(to.clone()), ..live.clone() }.fingerprint();
    Ok((over != becomes).then(|| Write { arn: live.arn.clone(), over, to, becomes }))
}

/// How far `writes`, which were planned over `before`, have come in `live`.
#[must_use]
pub fn progress<'a>(before: &ListenerState, writes: &'a [Write], live: &ListenerState) -> Progress<'a> {
    let mut left = Vec::new();
    for rule in before.rules() {
        let write = writes.iter().find(|write| write.arn == rule.arn);
        let shows = live.rule(&rule.arn).map(RuleState::fingerprint);
        match (shows, write) {
            (Some(shows), Some(write)) if shows == write.becomes => {}
            (Some(shows), Some(write)) if shows == write.over => left.push(write),
            (Some(shows), None) if shows == rule.fingerprint() => {}
            _ => return Progress::Third(rule.arn.clone()),
        }
    }
    if left.is_empty() {
        return Progress::Done;
    }
    let begun = left.len() < writes.len();
    Progress::Left { writes: left, begun }
}

/// The state that `before` is when `writes` are done.
#[must_use]
pub fn after(before: &ListenerState, writes: &[Write]) -> ListenerState {
    let put = |rule: &RuleState| match writes.iter().find(|write| write.arn == rule.arn) {
        Some(write) => RuleState { forward: Some(write.to.clone()), ..rule.clone() },
        None => rule.clone(),
    };
    before.rules().iter().map(put).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::Stickiness;

    fn rule(arn: &str, blue: i32, green: i32) -> RuleState {
        let group = |arn: &str, weight| Group { arn: arn.into(), weight: Some(weight) };
        let stickiness = Some(Stickiness { enabled: Some(true), duration_s: Some(60) });
        let forward = Forward { scalar: None, groups: vec![group("b", blue), group("g", green)], stickiness };
        RuleState { arn: arn.into(), forward: Some(forward), others: vec![], unknown: vec![] }
    }

    fn state(blue: i32, green: i32) -> ListenerState {
        rule("l", blue, green).into()
    }

    /// The listeners of 443 and 80, by the weight that blue has.
    fn both(https: i32, http: i32) -> ListenerState {
        vec![rule("443", https, 100 - https), rule("80", http, 100 - http)].into()
    }

    fn odd(change: impl Fn(&mut RuleState)) -> ListenerState {
        let mut rule = rule("l", 0, 100);
        change(&mut rule);
        rule.into()
    }

    fn by_weights(live: &ListenerState, before: &ListenerState) -> Result<Vec<Write>, String> {
        revert(live, before, Style::Weights)
    }

    #[test]
    fn equal_states_need_no_write() {
        assert_eq!(by_weights(&state(100, 0), &state(100, 0)), Ok(vec![]));
    }

    #[test]
    fn the_write_restores_the_forward_exactly_and_names_what_it_overwrites() {
        let writes = by_weights(&state(0, 100), &state(100, 0)).unwrap();
        let [write] = writes.as_slice() else { panic!("{writes:?}") };
        assert_eq!(Some(&write.to), rule("l", 100, 0).forward.as_ref());
        assert_eq!(write.over, state(0, 100).fingerprint());
        assert_eq!(write.becomes, state(100, 0).fingerprint());
        assert_eq!(after(&state(0, 100), &writes), state(100, 0));
    }

    #[test]
    fn what_is_not_understood_is_never_written() {
        let new = odd(|rule| rule.unknown.push("NewThing".into()));
        assert!(by_weights(&new, &state(100, 0)).unwrap_err().starts_with("now: "));
        assert!(by_weights(&state(100, 0), &new).unwrap_err().starts_with("before the cutover: "));
    }

    #[test]
    fn a_release_that_changed_more_than_the_forward_is_refused() {
        let auth = odd(|rule| rule.others.push("authenticate-oidc".into()));
        assert!(by_weights(&auth, &state(100, 0)).unwrap_err().contains("more than the forward"));
        let other = odd(|rule| rule.arn = "another".into());
        let why = by_weights(&other, &state(100, 0)).unwrap_err();
        assert!(why.contains("before-image is of l, not of another"), "{why}");
        assert!(by_weights(&both(0, 0), &state(100, 0)).is_err(), "a rule is governed that wasn't");
    }

    #[test]
    fn of_several_rules_only_those_that_changed_are_written_the_first_first() {
        let arns = |writes: &[Write]| writes.iter().map(|write| write.arn.to_string()).collect::<Vec<_>>();
        let all = by_weights(&both(0, 0), &both(100, 100)).unwrap();
        assert_eq!(arns(&all), ["443", "80"]);
        assert_eq!(after(&both(0, 0), &all), both(100, 100));
        assert_eq!(arns(&by_weights(&both(100, 0), &both(100, 100)).unwrap()), ["80"]);
        let mut turned = both(100, 100).rules().to_vec();
        turned.reverse();
        assert_eq!(
            arns(&by_weights(&both(0, 0), &turned.into()).unwrap()),
            ["443", "80"],
            "as it is governed now"
        );
    }

    #[test]
    fn progress_is_read_off_the_rules() {
        let (live, writes) = (both(0, 0), by_weights(&both(0, 0), &both(100, 100)).unwrap());
        let left = |arns: &[usize], begun| Progress::Left {
            writes: arns.iter().map(|index| &writes[*index]).collect(),
            begun,
        };
        assert_eq!(progress(&live, &writes, &both(0, 0)), left(&[0, 1], false));
        assert_eq!(progress(&live, &writes, &both(100, 0)), left(&[1], true));
        assert_eq!(progress(&live, &writes, &both(0, 100)), left(&[0], true));
        assert_eq!(progress(&live, &writes, &both(100, 100)), Progress::Done);
        assert_eq!(progress(&live, &writes, &both(100, 50)), Progress::Third("80".into()));
        assert_eq!(
            progress(&live, &writes, &rule("443", 100, 0).into()),
            Progress::Third("80".into()),
            "it is gone"
        );
    }

    #[test]
    fn a_rule_that_needs_no_write_has_to_stay_as_it_was() {
        let (live, writes) = (both(100, 0), by_weights(&both(100, 0), &both(100, 100)).unwrap());
        assert_eq!(progress(&live, &writes, &both(100, 100)), Progress::Done);
        let left = Progress::Left { writes: vec![&writes[0]], begun: false };
        assert_eq!(progress(&live, &writes, &both(100, 0)), left);
        assert_eq!(progress(&live, &writes, &both(50, 100)), Progress::Third("443".into()));
    }

    #[test]
    fn exclusive_leaves_the_old_group_alone_without_stickiness() {
        let writes = revert(&state(0, 100), &state(100, 0), Style::Exclusive).unwrap();
        let only = Group { arn: "b".into(), weight: Some(1) };
        assert_eq!(writes[0].to, Forward { scalar: None, groups: vec![only], stickiness: None });
        let shows = after(&state(0, 100), &writes);
        assert_eq!((shows.label(), shows.sticky_s()), ("b".into(), None));
        assert_eq!(writes[0].becomes, shows.fingerprint());
        assert_eq!(revert(&shows, &state(100, 0), Style::Exclusive), Ok(vec![]), "it is there already");
        let split = revert(&state(0, 100), &state(90, 10), Style::Exclusive).unwrap_err();
        assert!(split.contains("b 90 + g 10 served before"), "{split}");
    }
}
