//! The control plane, what it says of its groups, and when the data plane follows.

use crate::world::{BLUE, GREEN, LISTENER, LISTENER_80, RED, blue, but, forward, green, targets};
use serin_model::guard::Marks;
use serin_model::listener::{GroupHealth, ListenerState, RuleState, TargetHealth};
use serin_model::owner::Owner;
use serin_model::plan::{Write, after};
use serin_model::time::Mono;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const HOST: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/shop/1/2/4";

#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) listener: ListenerState,
    pub(crate) marks: Marks,
    groups: BTreeMap<&'static str, Vec<TargetHealth>>,
    /// When each state was accepted, when it reached the data plane, and what it is.
    states: Vec<(Mono, Mono, ListenerState)>,
}

/// The same for each of the first `count` rules.
fn together(state: &ListenerState, count: usize) -> ListenerState {
    let named = |arn: &&str| but(state, |rule| rule.arn = (*arn).into()).rules()[0].clone();
    [LISTENER, LISTENER_80, HOST][..count].iter().map(named).collect::<Vec<RuleState>>().into()
}

impl Plane {
    pub(crate) fn new(rules: usize) -> Self {
        let listener = together(&blue(), rules);
        let groups = [(BLUE, "10.0.1"), (GREEN, "10.0.2"), (RED, "10.0.3")];
        Self {
            states: vec![(Mono(0), Mono(0), listener.clone())],
            listener,
            marks: Marks::of(Owner::Nobody),
            groups: groups.map(|(group, prefix)| (group, targets(prefix, 3))).into(),
        }
    }

    fn rules(&self) -> usize {
        self.listener.rules().len()
    }

    pub(crate) fn set(&mut self, now: Mono, state: ListenerState, lag: Duration) {
        self.states.push((now, now.after(lag), state.clone()));
        self.listener = state;
    }

    /// The first `count` rules, the others as they are.
    fn some(&self, state: &ListenerState, count: usize) -> ListenerState {
        let new = together(state, self.rules());
        let all = self.listener.rules().iter().zip(new.rules()).enumerate();
        all.map(|(index, (old, new))| if index < count { new } else { old }.clone())
            .collect::<Vec<_>>()
            .into()
    }

    /// The cutover of the first `count` rules.
    pub(crate) fn cut(&self, count: usize) -> ListenerState {
        self.some(&green(), count)
    }

    pub(crate) fn back(&self, count: usize) -> ListenerState {
        self.some(&blue(), count)
    }

    pub(crate) fn third(&self, index: usize) -> ListenerState {
        let mut rules = self.listener.rules().to_vec();
        let count = rules.len();
        rules[index % count].forward.clone_from(&forward(&[(BLUE, 40), (GREEN, 60)]).rules()[0].forward);
        rules.into()
    }

    pub(crate) fn onward(&self) -> ListenerState {
        together(&forward(&[(GREEN, 0), (RED, 100)]), self.rules())
    }

    pub(crate) fn written(&self, write: &Write) -> ListenerState {
        after(&self.listener, std::slice::from_ref(write))
    }

    /// What a read showed so long ago.
    pub(crate) fn was(&self, now: Mono, ago: Duration) -> ListenerState {
        let then = now.before(ago);
        let known = |(at, _, _): &&(Mono, Mono, ListenerState)| *at <= then;
        self.states
            .iter()
            .rev()
            .find(known)
            .map_or_else(|| self.listener.clone(), |(_, _, state)| state.clone())
    }

    /// The groups that get users now.
    pub(crate) fn serving(&self, now: Mono) -> BTreeSet<&'static str> {
        let known = |(_, at, _): &&(Mono, Mono, ListenerState)| *at <= now;
        let state = self.states.iter().rev().find(known).map_or(&self.listener, |(_, _, state)| state);
        let serving = state.serving();
        [BLUE, GREEN, RED].into_iter().filter(|group| serving.contains(group)).collect()
    }

    pub(crate) fn health(&self) -> Vec<GroupHealth> {
        let one = |(group, targets): (&&'static str, &Vec<TargetHealth>)| GroupHealth {
            group: (*group).into(),
            targets: targets.clone(),
        };
        self.groups.iter().map(one).collect()
    }

    pub(crate) fn delete(&mut self, group: &str) {
        self.groups.remove(group);
    }

    pub(crate) fn empty(&mut self, group: &str) {
        self.groups.entry(BLUE).and_modify(|targets| targets.retain(|_| group != BLUE));
    }

    pub(crate) fn targets(&self, group: &str) -> u32 {
        u32::try_from(self.groups.get(group).map_or(0, Vec::len)).expect("few targets")
    }
}

/// The version that a group holds.
pub(crate) fn version(group: &str) -> &'static str {
    match group {
        BLUE => "v1",
        GREEN => "v2",
        _ => "v3",
    }
}
