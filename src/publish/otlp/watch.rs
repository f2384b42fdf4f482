//! Counts what is lost, and says once when exports begin to fail and once when they no longer do.

use crate::publish::losses::{Destination, Losses, Reason};
use opentelemetry_sdk::error::OTelSdkResult;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    destination: Destination,
    losses: Arc<Losses>,
    failing: AtomicBool,
    /// The last attempt was a no.
    refused: Arc<AtomicBool>,
}

impl Watch {
    pub(super) fn new(destination: Destination, losses: &Arc<Losses>, refused: Arc<AtomicBool>) -> Self {
        Self { destination, losses: Arc::clone(losses), failing: AtomicBool::new(false), refused }
    }

    /// So many items are told of by nobody.
    pub(super) fn skipped(&self, items: u32) {
        self.losses.add(self.destination, Reason::RateLimit, items.into());
    }

    /// An export of `items` ended.
    pub(super) fn told(&self, outcome: &OTelSdkResult, items: usize) {
        let destination = self.destination.name();
        if let Err(error) = outcome {
            let refused = self.refused.load(Ordering::Relaxed);
            let reason = if refused { Reason::Refused } else { Reason::Unavailable };
            self.losses.add(self.destination, reason, items as u64);
            if !self.failing.swap(true, Ordering::Relaxed) {
                tracing::warn!(destination, %error, "OTLP exports fail; what is lost is counted");
            }
        } else if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(destination, "OTLP exports work again");
        }
    }
}
