//! How the guard stands, for those who ask.

use super::{Guard, Phase, Status};
use crate::policy::Mode;
use crate::time::Mono;

impl Guard {
    /// How the guard stands.
    #[must_use]
    pub fn status(&self, now: Mono) -> Status {
        let conditions = self.conditions(now, None);
        let all_hold = conditions.iter().all(|(_, condition)| condition.holds);
        let release = self.release.as_ref();
        let latch = release.filter(|release| !release.over).and_then(|release| release.latch.as_ref());
        let needs_human = release
            .and_then(|release| release.latch.as_ref())
            .filter(|latch| latch.needs_human)
            .map(|latch| latch.reason);
        let live = self.live.as_ref();
        Status {
            state: self.state_word(),
            armed: all_hold && self.policy.mode == Mode::Act && self.epoch.is_some(),
            conditions: conditions.into_iter().map(|(_, condition)| condition).collect(),
            epoch: self.epoch.as_ref().map(|epoch| epoch.id),
            cause: self.epoch.as_ref().map(|epoch| epoch.cause),
            shows: live.map(|live| live.state.label().into()),
            versions: self.epoch.as_ref().map(|epoch| epoch.versions.clone()).unwrap_or_default(),
            good: self.good.as_ref().map(|good| good.state.label().into()),
            release: release.map(|release| release.id),
            label: release.and_then(|release| release.label.clone()),
            latched: latch.map(|latch| latch.reason),
            needs_human,
            read: live.map(|live| live.read),
            read_error: self.read_error.as_ref().map(|error| error.to_string().into()),
        }
    }

    pub(super) fn state_word(&self) -> &'static str {
        match &self.phase {
            Phase::Preflight { .. } => "preflight",
            Phase::Intending { .. } => "intent",
            Phase::Reading { .. } | Phase::Writing { .. } => "acting",
            Phase::Confirming { .. } => "verify_api",
            Phase::Verifying { .. } => "verify_data",
            Phase::Watching => match (&self.epoch, &self.release) {
                (None, _) => "starting",
                (Some(_), Some(release)) if !release.over && release.latch.is_some() => "hold",
                (Some(_), Some(release)) if !release.over => "judging",
                (Some(epoch), _) if !epoch.established => "settling",
                (Some(_), _) => "idle",
            },
        }
    }
}
