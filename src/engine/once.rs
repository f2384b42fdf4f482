//! Each of some targets once: for `serin probe` and `check --live`.

use super::connect::Dialer;
use super::verify::Question;
use crate::model::sample::{Outcome, Phases};
use crate::model::time::Span;
use crate::settings::Target;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::runtime::{Builder, LocalOptions};

/// What one target answered to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What was asked.
    pub url: String,
    /// How.
    pub method: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The status; 0 when no answer came.
    pub status: u16,
    /// The version that answered.
    pub version: Option<String>,
    /// The address that was connected to.
    pub address: Option<IpAddr>,
    /// Where the time went.
    pub phases: Phases,
}

impl Asked {
    /// Status, version, time and phases in one line, or the fault.
    #[must_use]
    pub fn line(&self) -> String {
        let status = if self.status == 0 { "no answer".to_owned() } else { self.status.to_string() };
        let version =
            self.version.as_deref().map(|version| format!(", version {version}")).unwrap_or_default();
        let phases: Vec<String> = Phases::NAMES
            .iter()
            .zip(self.phases.all())
            .filter(|(_, span)| span.0 > 0)
            .map(|(name, span)| format!("{name} {span}"))
            .collect();
        let fault = self.outcome.reason().map(|reason| format!(", {reason}")).unwrap_or_default();
        let total = Span::of(self.phases.total());
        format!("{status}{fault}{version}, {total} ({})", phases.join(", "))
    }
}

/// Asks every target once over a fresh connection, one after the other. Blocks.
///
/// # Errors
/// No runtime can be made.
pub fn question(dialer: Dialer, targets: Vec<Target>) -> io::Result<Vec<Asked>> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let dialer = Rc::new(dialer);
    Ok(runtime.block_on(async {
        let mut all = Vec::new();
        for target in targets {
            let (url, method) = (target.endpoint.url.to_string(), target.method.to_string());
            let question = Question::new(target, &dialer);
            let reply = question.ask().await;
            all.push(Asked {
                url,
                method,
                outcome: reply.outcome,
                status: reply.status,
                version: reply.version.as_deref().map(str::to_owned),
                address: question.address(reply.addr),
                phases: reply.phases,
            });
        }
        all
    }))
}
