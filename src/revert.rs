//! The lever: reads and writes of the governed rules or of an alias, nothing else.
//!
//! One call is one HTTP attempt: the guard owns retries, because a write whose end is unknown must be resolved by
//! reading. Which calls may be made at all is the policy in `deploy/`; a test holds the two against each other.
//!
//! | file | what |
//! |---|---|
//! | `revert/hand.rs` | the one of both that a service's lever wants |
//! | `revert/alb.rs` | the ELBv2 API behind the trait |
//! | `revert/alias.rs` | a Lambda alias behind the trait |
//! | `revert/tags.rs` | what tags say, on either of them |
//! | `revert/owner.rs` | who else moves the rules or the alias, found out and never guessed |
//! | `revert/ecs.rs`, `revert/codedeploy.rs` | the owners: their deployments, and the call that rolls one back |
//! | `revert/actions.rs` | AWS's actions to the core's state, and back |
//! | `revert/unknown.rs` | what an answer holds that this build doesn't know |
//! | `revert/raw.rs` | the raw body that shows it |
//! | `revert/fault.rs` | what a failed call means |

mod actions;
mod alb;
mod alias;
mod codedeploy;
mod ecs;
mod fault;
mod hand;
mod owner;
mod raw;
mod tags;
mod unknown;

pub use alb::{Alb, client_config};
pub use alias::Alias;
pub use hand::Hand;

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

/// Why a lever can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum LeverError {
    /// It is not one that may be governed; the text lists what there is.
    #[error("{0}")]
    NotGovernable(String),
    /// There is no such listener, rule or alias.
    #[error(
        "{0}: AWS knows no such listener, rule or alias; check the ARN, its region and the account of the credentials"
    )]
    NotFound(String),
    /// It couldn't be read now.
    #[error("{0}")]
    Read(String),
}

/// How long AWS may take.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}
