//! A step forward: part of the requests to the new group, in every governed rule, and the rest where it was.

use crate::alias;
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
        // An alias that has gone over names the old version no more, where a rule keeps the old group at weight 0.
        if old.is_empty() && percent == 100 && alias::name(green).is_some() {
            return Ok(vec![]);
        }
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
    let version = alias::name(green).is_some();
    let unit = if version { alias::WHOLE / 100 } else { 1 };
    let weight = |arn: &str| unit * if arn == green { percent } else { 100 - percent };
    // In the order described; what isn't named yet comes behind.
    let mut arns: Vec<&str> = live.groups.iter().map(|group| &*group.arn).collect();
    for arn in [old, green] {
        if !arns.contains(&arn) {
            arns.push(arn);
        }
    }
    // A version that gets nothing isn't named: an alias stands for one, and a target group is kept warm at weight 0.
    arns.retain(|arn| !version || weight(arn) > 0);
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

    #[test]
    fn an_alias_is_stepped_by_its_own_measure_and_names_no_version_without_requests() {
        let arn =
            |version: &str| format!("arn:aws:lambda:eu-west-1:123456789012:function:checkout:{version}");
        let (seven, eight) = (arn("7"), arn("8"));
        let live = state(&[(&seven, 1)]);
        let ten = vec![(seven.clone(), 900_000_000), (eight.clone(), 100_000_000)];
        assert_eq!(shown(&live, &eight, 10), ten);
        let ten = state(&[(&seven, 900_000_000), (&eight, 100_000_000)]);
        assert_eq!(shift(&ten, &eight, 10), Ok(vec![]));
        assert_eq!(shown(&ten, &eight, 100), [(eight.clone(), alias::WHOLE)]);
        assert_eq!(shift(&state(&[(&eight, 1)]), &eight, 100), Ok(vec![]), "it has gone over");
        assert!(shift(&state(&[(&eight, 1)]), &eight, 50).unwrap_err().contains("is the only group"));
    }
}
