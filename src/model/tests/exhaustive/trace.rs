//! A way through the states, in words.

use crate::moves::Step;
use crate::world::{START, World};
use serin_model::guard::{Action, Event};
use std::fmt::Write;

/// Worth a line of a trace.
pub(crate) fn tells(action: &Action) -> bool {
    !matches!(action, Action::Note(_) | Action::Pace(_) | Action::Ask(_) | Action::Open(_))
}

/// What a guard asks for, in a line.
pub(crate) fn words(action: &Action) -> String {
    match action {
        Action::Read(_, depth) => format!("asks for a read ({depth:?})"),
        Action::Persist(_, intent) => format!("wants intent {} on disk", intent.id.0),
        Action::Write(_, write) => {
            format!("sends its write of {}: {} instead of {}", write.arn, write.becomes, write.over)
        }
        Action::Call(_, call) => format!("sends {call}"),
        Action::Verify(..) => "wants proof from fresh connections".into(),
        Action::Page(page) => format!("tells people: {}: {}", page.kind.name(), page.text),
        Action::Tag(Some(_)) => "writes the tag of a hold".into(),
        Action::Revised => "goes by another policy".into(),
        Action::Tag(None) => "takes the tag of a hold away".into(),
        Action::Open(_) | Action::Pace(_) | Action::Ask(_) | Action::Note(_) => format!("{action:?}"),
    }
}

/// What happens, in a line.
pub(crate) fn happens(step: Step) -> String {
    let mut text = String::new();
    for letter in format!("{:?}", step.what).chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() && !text.ends_with('(') {
            text.push(' ');
        }
        text.push(letter.to_ascii_lowercase());
    }
    if step.reads_first {
        text.push_str(", after the reads that were out were answered by AWS");
    }
    if let Some(done) = step.dies {
        let _ = write!(text, ", and the process dies after {done} of what was to be done");
    }
    text
}

impl World {
    /// The release is under judgement, and nothing bad was seen of it yet: from here everything is searched.
    pub(crate) fn released(mut self) -> Self {
        let budget = self.budget;
        self.budget = crate::world::Budget { crashes: 1, late: 0, faults: 0, hands: 0, lapses: 0 };
        let calm = |world: &mut Self| {
            let what = world.calm().expect("something happens");
            world.play(Step { what, dies: None, reads_first: false }).expect("no law is broken in peace");
        };
        let established = |world: &Self| world.now.since(START).as_secs() > 130;
        for index in 0..self.actors.len() {
            self.boot(index).expect("a start writes nothing");
        }
        while !established(&self) {
            calm(&mut self);
        }
        self.deploys();
        self.listener = crate::world::green(self.listener.rules().len());
        while !self.actors.iter().all(|actor| actor.stage.is_some_and(|(_, release)| release)) {
            // Users have not noticed yet: the search begins with the first bad word.
            for index in 0..self.actors.len() {
                self.actors[index].due = false;
            }
            let what = self.calm().expect("something happens");
            self.play(Step { what, dies: None, reads_first: false }).expect("no law is broken in peace");
        }
        for index in 0..self.actors.len() {
            self.step(index, Event::Tick, None).expect("no law is broken in peace");
            self.actors[index].due = true;
            self.actors[index].told = false;
        }
        self.budget = budget;
        self
    }

    /// The way of these steps, in lines.
    pub(crate) fn tell(mut self, steps: &[Step]) -> Vec<String> {
        self.log = Some(vec![]);
        for step in steps {
            if let Err(broken) = self.play(*step) {
                self.say(|| format!("    BROKEN: {broken}"));
            }
        }
        self.log.unwrap_or_default()
    }
}
