//! Counts what is lost, and says once when exports begin to fail and once when they no longer do.

use crate::publish::{Destination, Losses};
use opentelemetry_sdk::error::OTelSdkResult;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    destination: Destination,
    losses: Arc<Losses>,
    failing: AtomicBool,
}

impl Watch {
    pub(super) fn new(destination: Destination, losses: &Arc<Losses>) -> Self {
        Self { destination, losses: Arc::clone(losses), failing: AtomicBool::new(false) }
    }

    /// So many items are told of by nobody.
    pub(super) fn skipped(&self, items: u32) {
        self.losses.add(self.destination, items.into());
    }

    /// An export of `items` ended.
    pub(super) fn told(&self, outcome: &OTelSdkResult, items: usize) {
        let destination = self.destination.name();
        if let Err(error) = outcome {
            self.losses.add(self.destination, items as u64);
            if !self.failing.swap(true, Ordering::Relaxed) {
                tracing::warn!(destination, %error, "OTLP exports fail; what is lost is counted");
            }
        } else if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(destination, "OTLP exports work again");
        }
    }
}
