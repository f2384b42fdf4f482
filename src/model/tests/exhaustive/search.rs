//! Breadth first through every state, then backwards: does each come to rest?

use crate::moves::{Move, Step};
use crate::world::{Setup, World};
use std::collections::{BTreeMap, VecDeque};

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) transitions: u64,
    pub(crate) depth: u32,
    /// Calls that arrived over what somebody else had written since the read.
    pub(crate) raced: u64,
    /// The whole space was seen.
    pub(crate) whole: bool,
    /// The first law that was broken, and the shortest way to it.
    pub(crate) broken: Option<(String, Vec<String>)>,
}

struct Node {
    parent: u32,
    step: Step,
    /// Where it goes when nothing more goes wrong.
    calm: u32,
    rest: bool,
}

struct Search {
    start: World,
    nodes: Vec<Node>,
    known: BTreeMap<u128, u32>,
    queue: VecDeque<(u32, u32, World)>,
    found: Found,
}

const NOWHERE: u32 = u32::MAX;

/// Every state that can be reached from the start of a release, up to `states_max` of them.
pub(crate) fn search(setup: &Setup, states_max: usize) -> Found {
    let start = World::new(setup).released();
    let found = Found { states: 0, transitions: 0, depth: 0, raced: 0, whole: true, broken: None };
    let mut search =
        Search { start: start.clone(), nodes: vec![], known: BTreeMap::new(), queue: VecDeque::new(), found };
    let nothing = Step { what: Move::Time, dies: None, reads_first: false };
    search.add(NOWHERE, nothing, 0, start);
    while let Some((index, depth, world)) = search.queue.pop_front() {
        search.found.depth = depth;
        if let Err((broken, step)) = search.expand(index, depth, &world) {
            search.breaks(&broken, index, Some(step));
            return search.found;
        }
        if search.nodes.len() > states_max {
            search.found.whole = false;
            return search.found;
        }
    }
    search.rests();
    search.found
}

impl Search {
    fn add(&mut self, parent: u32, step: Step, depth: u32, world: World) -> u32 {
        let next = u32::try_from(self.nodes.len()).expect("fewer states");
        let index = *self.known.entry(world.canon().hash()).or_insert(next);
        if index == next {
            self.nodes.push(Node { parent, step, calm: NOWHERE, rest: world.is_rest() });
            self.queue.push_back((next, depth, world));
            self.found.states += 1;
        }
        index
    }

    fn expand(&mut self, index: u32, depth: u32, world: &World) -> Result<(), (String, Step)> {
        let calm = world.calm();
        for what in world.moves() {
            let step = Step { what, dies: None, reads_first: false };
            let (count, next) = self.go(index, depth, world, step)?;
            if calm == Some(what) {
                self.nodes[index as usize].calm = next;
            }
            let is_asked = world
                .actors
                .iter()
                .any(|actor| actor.asked.as_ref().is_some_and(|asked| asked.shows.is_none()));
            if what.changes() && is_asked {
                self.go(index, depth, world, Step { reads_first: true, ..step })?;
            }
            if world.budget.crashes > 0 && !matches!(what, Move::Drains(_)) {
                for done in 0..count {
                    self.go(index, depth, world, Step { dies: Some(done), ..step })?;
                }
            }
        }
        Ok(())
    }

    fn go(
        &mut self,
        index: u32,
        depth: u32,
        world: &World,
        step: Step,
    ) -> Result<(usize, u32), (String, Step)> {
        let mut next = world.clone();
        if step.dies.is_some() {
            next.budget.crashes -= 1;
        }
        let count = next.play(step).map_err(|broken| (broken, step))?;
        self.found.transitions += 1;
        self.found.raced += u64::from(next.raced);
        Ok((count, self.add(index, step, depth + 1, next)))
    }

    /// From each state, when nothing more goes wrong.
    fn rests(&mut self) {
        let mut rests: Vec<Option<bool>> = self.nodes.iter().map(|node| node.rest.then_some(true)).collect();
        for from in 0..self.nodes.len() {
            let (mut way, mut at) = (vec![], from);
            let ends = loop {
                if let Some(known) = rests[at] {
                    break known;
                }
                // Until it is known otherwise: whoever comes here again goes in a circle.
                rests[at] = Some(false);
                way.push(at);
                match self.nodes[at].calm {
                    NOWHERE => break false,
                    calm => at = calm as usize,
                }
            };
            for at in way {
                rests[at] = Some(ends);
            }
            if !ends {
                let index = u32::try_from(from).expect("fewer states");
                self.breaks(
                    "REST: it never comes to rest, or users are ill and nobody was told",
                    index,
                    None,
                );
                return;
            }
        }
    }

    fn breaks(&mut self, broken: &str, index: u32, last: Option<Step>) {
        let mut steps: Vec<Step> = last.into_iter().collect();
        let mut at = index;
        while self.nodes[at as usize].parent != NOWHERE {
            steps.push(self.nodes[at as usize].step);
            at = self.nodes[at as usize].parent;
        }
        steps.reverse();
        if last.is_none() {
            // And what becomes of it.
            let mut at = index;
            for _ in 0..60 {
                at = self.nodes[at as usize].calm;
                if at == NOWHERE {
                    break;
                }
                steps.push(self.nodes[at as usize].step);
            }
        }
        self.found.broken = Some((broken.to_owned(), self.start.clone().tell(&steps)));
    }
}
