//! A step forward: part of the requests to the new group, in every governed rule, and the rest where it was.

use crate::listener::{Forward, Group, ListenerState, RuleState, group_name};
use crate::plan::Write;
use std::collections::BTreeSet;

/// The writes that give `green` so many percent of the requests, 1 to 100, the most important first; none where it has them already.
///
/// # Errors
/// Says why no step can be made: something isn't understood, or there would be more than one old and one new group.
pub fn shift(live: &ListenerState, green: &str, percent: u8) -> Result<Vec<Write>, String> {
    if !(1..=100).contains(&percent) {
        return Err(format!("{percent} % is no step: 1 to 100"));
    }
    live.understood()?;
    let named: BTreeSet<&str> = live
        .rules()
        .iter()
        .filter_map(|rule| rule.forward.as_ref())
        .flat_map(Forward::weights)
        .map(|(arn, _)| arn)
        .collect();
    let old: Vec<&str> = named.into_iter().filter(|arn| *arn != green).collect();
    let [old] = old.as_slice() else {
        return Err(match old.as_slice() {
            [] => format!("{} is the only group: there is nothing to go over from", group_name(green)),
            several => format!(
                "{} would be a third group beside {}",
                group_name(green),
                several.iter().map(|arn| group_name(arn)).collect::<Vec<_>>().join(" and ")
            ),
        });
    };
    let writes: Result<Vec<Option<Write>>, String> =
        live.rules().iter().map(|rule| step(rule, old, green, i32::from(percent))).collect();
    Ok(writes?.into_iter().flatten().collect())
}

fn step(rule: &RuleState, old: &str, green: &str, percent: i32) -> Result<Option<Write>, String> {
    let live = rule.understood()?;
    let weight = |arn: &str| if arn == green { percent } else { 100 - percent };
    // In the order described; what isn't named yet comes behind.
    let mut arns: Vec<&str> = live.groups.iter().map(|group| &*group.arn).collect();
    for arn in [old, green] {
        if !arns.contains(&arn) {
            arns.push(arn);
        }
    }
    let groups = arns.into_iter().map(|arn| Group { arn: arn.into(), weight: Some(weight(arn)) }).collect();
    let to = Forward { scalar: None, groups, stickiness: live.stickiness };
    let over = rule.fingerprint();
    let becomes = RuleState { forward: Some(to.clone()), ..rule.clone() }.fingerprint();
    Ok((over != becomes).then(|| Write { arn: rule.arn.clone(), over, to, becomes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::Stickiness;
    use crate::plan::after;

    const STICKY: Option<Stickiness> = Some(Stickiness { enabled: Some(true), duration_s: Some(60) });

    fn rule(arn: &str, weights: &[(&str, i32)]) -> RuleState {
        let group = |(arn, weight): &(&str, i32)| Group { arn: (*arn).into(), weight: Some(*weight) };
        let forward =
            Forward { scalar: None, groups: weights.iter().map(group).collect(), stickiness: STICKY };
        RuleState { arn: arn.into(), forward: Some(forward), others: vec!["auth".into()], unknown: vec![] }
    }

    fn state(weights: &[(&str, i32)]) -> ListenerState {
        rule("l", weights).into()
    }

    fn shown(live: &ListenerState, green: &str, percent: u8) -> Vec<(String, i32)> {
        let writes = shift(live, green, percent).unwrap();
        let state = after(live, &writes);
        let forward = state.rules()[0].forward.clone().unwrap();
        assert_eq!(state.rules()[0].others, live.rules()[0].others);
        forward.groups.iter().map(|group| (group.arn.to_string(), group.weight.unwrap())).collect()
    }

    fn pair(blue: i32, green: i32) -> Vec<(String, i32)> {
        vec![("b".into(), blue), ("g".into(), green)]
    }

    #[test]
    fn each_step_gives_green_its_share_and_keeps_the_rest() {
        let live = state(&[("b", 100), ("g", 0)]);
        for (percent, wanted) in
            [(1, pair(99, 1)), (10, pair(90, 10)), (50, pair(50, 50)), (100, pair(0, 100))]
        {
            assert_eq!(shown(&live, "g", percent), wanted);
        }
        let write = &shift(&live, "g", 10).unwrap()[0];
        assert_eq!((write.over.clone(), &write.to.stickiness), (live.fingerprint(), &STICKY));
        assert_eq!(write.becomes, state(&[("b", 90), ("g", 10)]).fingerprint());
    }

    #[test]
    fn the_order_is_kept_and_a_new_group_comes_behind() {
        assert_eq!(shown(&state(&[("g", 0), ("b", 1)]), "g", 5), [("g".into(), 5), ("b".into(), 95)]);
        assert_eq!(shown(&state(&[("b", 1)]), "g", 5), pair(95, 5));
        let mut single = rule("l", &[]);
        single.forward = Some(Forward { scalar: Some("b".into()), groups: vec![], stickiness: None });
        assert_eq!(shown(&single.into(), "g", 5), pair(95, 5));
    }

    #[test]
    fn what_is_there_already_needs_no_write() {
        assert_eq!(shift(&state(&[("b", 90), ("g", 10)]), "g", 10), Ok(vec![]));
        let two: ListenerState =
            vec![rule("443", &[("b", 90), ("g", 10)]), rule("80", &[("b", 100), ("g", 0)])].into();
        let arns = |percent| -> Vec<String> {
            shift(&two, "g", percent).unwrap().iter().map(|write| write.arn.to_string()).collect()
        };
        assert_eq!(arns(10), ["80"]);
        assert_eq!(arns(20), ["443", "80"]);
    }

    #[test]
    fn no_step_without_exactly_one_old_and_one_new_group() {
        let why = |live: &ListenerState, green, percent| shift(live, green, percent).unwrap_err();
        let live = state(&[("b", 100), ("g", 0)]);
        assert_eq!(why(&live, "g", 0), "0 % is no step: 1 to 100");
        assert_eq!(why(&live, "g", 101), "101 % is no step: 1 to 100");
        assert_eq!(why(&live, "r", 10), "r would be a third group beside b and g");
        assert_eq!(
            why(&state(&[("g", 1)]), "g", 10),
            "g is the only group: there is nothing to go over from"
        );
        let mut odd = rule("l", &[("b", 1), ("g", 0)]);
        odd.unknown.push("New".into());
        assert!(why(&odd.into(), "g", 10).contains("New"));
    }
}
