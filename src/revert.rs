//! The lever: reads and writes of one governed rule, nothing else.
//!
//! One call is one HTTP attempt: the guard owns retries, because a write whose end is unknown must be resolved by
//! reading. Which calls may be made at all is the policy in `deploy/`; a test holds the two against each other.
//!
//! | file | what |
//! |---|---|
//! | `revert/alb.rs` | the ELBv2 API behind the trait |
//! | `revert/owner.rs` | who else moves the rules, found out and never guessed |
//! | `revert/ecs.rs`, `revert/codedeploy.rs` | the owners: their deployments, and the call that rolls one back |
//! | `revert/actions.rs` | AWS's actions to the core's state, and back |
//! | `revert/unknown.rs` | what an answer holds that this build doesn't know |
//! | `revert/fault.rs` | what a failed call means |

mod actions;
mod alb;
mod codedeploy;
mod ecs;
mod fault;
mod owner;
mod unknown;

pub use alb::{Alb, AlbError, client_config};

use crate::model::guard::{Depth, Observed, ReadError, WriteOutcome};
use crate::model::owner::Call;
use crate::model::plan::Write;
use aws_smithy_types::timeout::TimeoutConfig;
use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

/// The SDK sets no bound of its own but on connecting (AWS.md 10); a hung answer must not hold the guard.
const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(2);
const OPERATION: Duration = Duration::from_secs(3);

/// Whoever can read and put back what a release changed.
pub trait Reverter: Send + Sync + 'static {
    /// Reads the governed rule, with the health of `groups` and of those that the rule names when `depth` asks for it.
    ///
    /// # Errors
    /// Nothing usable came back; nothing is concluded from that.
    fn read(
        &self,
        depth: Depth,
        groups: BTreeSet<Box<str>>,
    ) -> impl Future<Output = Result<Observed, ReadError>> + Send;

    /// Writes the tag that forbids acting on every governed rule, with the reason; or takes it away.
    ///
    /// # Errors
    /// AWS didn't take it, in words. Whoever asked for the hold holds all the same.
    fn tag(&self, hold: Option<Box<str>>) -> impl Future<Output = Result<(), String>> + Send;

    /// Sends one mutating call, once.
    fn write(&self, write: Write) -> impl Future<Output = WriteOutcome> + Send;

    /// Sends one call of the rules' owner, once.
    fn call(&self, call: Call) -> impl Future<Output = WriteOutcome> + Send;
}

/// How long AWS may take.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}
