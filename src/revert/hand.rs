//! The reverter that a service's lever wants, so that whoever holds it need not ask which it is.

use super::{Alb, Alias, LeverError, Reverter};
use crate::model::guard::{Depth, Observed, ReadError, WriteOutcome};
use crate::model::listener::ListenerState;
use crate::model::owner::Call;
use crate::model::plan::Write;
use crate::settings::{Lever, Whose};
use aws_config::SdkConfig;
use std::collections::BTreeSet;

/// See the module.
#[derive(Debug)]
pub enum Hand {
    /// Listeners and rules of an Application Load Balancer.
    Alb(Box<Alb>),
    /// An alias of a Lambda function.
    Alias(Box<Alias>),
}

impl Hand {
    /// The levers of one service: at least one, all of one region and one kind, the most important first.
    #[must_use]
    pub fn new(shared: &SdkConfig, levers: &[Lever], whose: &Whose) -> Self {
        match levers.iter().find_map(|lever| Alias::of(shared, lever, whose)) {
            Some(alias) => Self::Alias(Box::new(alias)),
            None => Self::Alb(Box::new(Alb::new(shared, levers.to_vec(), whose.clone()))),
        }
    }

    /// What is put back, in a word for people.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Alb(_) => "listener",
            Self::Alias(_) => "alias",
        }
    }

    /// Reads the lever once and says whether it is one that may be governed.
    ///
    /// # Errors
    /// It isn't, and why; or it couldn't be read.
    pub async fn governable(&self) -> Result<ListenerState, LeverError> {
        match self {
            Self::Alb(alb) => alb.governable().await,
            Self::Alias(alias) => alias.governable().await,
        }
    }

    /// The DNS name of the balancer of the first lever, whose addresses are its nodes.
    ///
    /// # Errors
    /// It couldn't be read now, or there is none.
    pub async fn balancer_name(&self) -> Result<String, ReadError> {
        match self {
            Self::Alb(alb) => alb.balancer_name().await,
            Self::Alias(_) => Err(ReadError::NotFound("an alias has no balancer".into())),
        }
    }
}

impl Reverter for Hand {
    async fn read(&self, depth: Depth, groups: BTreeSet<Box<str>>) -> Result<Observed, ReadError> {
        match self {
            Self::Alb(alb) => alb.read(depth, groups).await,
            Self::Alias(alias) => alias.read(depth, groups).await,
        }
    }

    async fn tag(&self, hold: Option<Box<str>>) -> Result<(), String> {
        match self {
            Self::Alb(alb) => alb.tag(hold).await,
            Self::Alias(alias) => alias.tag(hold).await,
        }
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        match self {
            Self::Alb(alb) => alb.write(write).await,
            Self::Alias(alias) => alias.write(write).await,
        }
    }

    async fn call(&self, call: Call) -> WriteOutcome {
        match self {
            Self::Alb(alb) => alb.call(call).await,
            Self::Alias(alias) => alias.call(call).await,
        }
    }
}
