//! What the data plane does with a request: the rules of the listener, as they are in force in one zone.

use super::groups::Group;
use http::StatusCode;
use std::sync::Arc;

/// The rules in force, the most important first; the last one is the default and matches everything.
#[derive(Clone, Default)]
pub(super) struct Routing {
    pub(super) rules: Vec<Route>,
}

/// One rule.
#[derive(Clone)]
pub(super) struct Route {
    /// Matches one of these path patterns (`*` any run, `?` any one character); empty matches everything.
    pub(super) paths: Vec<String>,
    pub(super) action: RouteAction,
}

/// The routing action of a rule. Authentication actions are configuration only: the lab logs nobody in.
#[derive(Clone)]
pub(super) enum RouteAction {
    /// To one of these groups, at random by weight.
    Forward(Vec<(Arc<Group>, u32)>),
    /// The balancer answers by itself.
    Fixed {
        /// With this status.
        status: StatusCode,
        /// And this location, for a redirect.
        location: Option<String>,
        /// And this body.
        body: String,
    },
}

impl Routing {
    /// The action for a path. `None` only while no rule is in force at all.
    pub(super) fn action(&self, path: &str) -> Option<&RouteAction> {
        let matches = |route: &&Route| {
            route.paths.is_empty()
                || route.paths.iter().any(|pattern| glob(pattern.as_bytes(), path.as_bytes()))
        };
        self.rules.iter().find(matches).map(|route| &route.action)
    }

    /// Every group that some rule names, at weight 0 too.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.rules
            .iter()
            .flat_map(|route| match &route.action {
                RouteAction::Forward(groups) => groups.as_slice(),
                RouteAction::Fixed { .. } => &[],
            })
            .map(|(group, _)| group)
    }
}

/// The group for a random number. A group of weight 0 is never chosen; `None` when all weights are 0.
pub(super) fn weighted(groups: &[(Arc<Group>, u32)], random: u64) -> Option<&Arc<Group>> {
    let total: u64 = groups.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut point = random.checked_rem(total)?;
    for (group, weight) in groups {
        match point.checked_sub(u64::from(*weight)) {
            None => return Some(group),
            Some(rest) => point = rest,
        }
    }
    None
}

/// Path patterns are case sensitive (`AWS` documentation, "path conditions").
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..])),
        (Some((b'?', rest)), Some((_, tail))) => glob(rest, tail),
        (Some((wanted, rest)), Some((found, tail))) => wanted == found && glob(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(weights: &[u32]) -> Vec<(Arc<Group>, u32)> {
        weights.iter().map(|weight| (Group::new(&weight.to_string(), "", &[]), *weight)).collect()
    }

    #[test]
    fn a_group_of_weight_zero_has_no_number_that_chooses_it() {
        let groups = groups(&[0, 3, 0, 1, 0]);
        let chosen: Vec<_> = (0..8).map(|n| weighted(&groups, n).unwrap().arn.clone()).collect();
        assert_eq!(chosen, ["3", "3", "3", "1", "3", "3", "3", "1"]);
    }

    #[test]
    fn all_weights_zero_choose_nothing() {
        assert!(weighted(&groups(&[0, 0]), 7).is_none());
        assert!(weighted(&[], 7).is_none());
    }

    #[test]
    fn a_star_matches_any_run_and_a_question_mark_one_character() {
        assert!(glob(b"/api/*", b"/api/"));
        assert!(glob(b"/api/*", b"/api/v1/x"));
        assert!(!glob(b"/api/*", b"/apis"));
        assert!(glob(b"/v?/x", b"/v1/x"));
        assert!(!glob(b"/v?/x", b"/v/x"));
    }
}
