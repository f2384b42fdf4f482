//! Each of some targets once, with its answer in words: for `check --live`.

use super::connect::Dialer;
use super::verify::ask;
use crate::model::sample::Phases;
use crate::settings::Target;
use std::rc::Rc;
use tokio::task::LocalSet;

/// What one target answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// As expected.
    pub good: bool,
    /// Status, version, time and phases, or the fault.
    pub says: String,
}

/// Asks every target once, one after the other. Blocks.
///
/// # Errors
/// No runtime can be made.
pub fn ask_once(dialer: Dialer, targets: Vec<Target>) -> std::io::Result<Vec<Answered>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dialer = Rc::new(dialer);
    Ok(LocalSet::new().block_on(&runtime, async {
        let mut answers = Vec::new();
        for target in targets {
            let ended = ask(&Rc::new(Target { fresh: true, ..target }), &dialer).await;
            let sample = &ended.sample;
            let status = if sample.status == 0 { "no answer".to_owned() } else { sample.status.to_string() };
            let version =
                ended.version.as_deref().map(|version| format!(", version {version}")).unwrap_or_default();
            let phases: Vec<String> = Phases::NAMES
                .iter()
                .zip(sample.phases.all())
                .filter(|(_, span)| span.0 > 0)
                .map(|(name, span)| format!("{name} {span}"))
                .collect();
            let fault = sample.outcome.reason().map(|reason| format!(", {reason}")).unwrap_or_default();
            let says = format!("{status}{fault}{version}, {} ({})", sample.response(), phases.join(", "));
            answers.push(Answered { good: sample.outcome.reason().is_none(), says });
        }
        answers
    }))
}
