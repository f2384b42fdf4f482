//! The raw body of an answer: the SDK drops what its model lacks, and what isn't known must not be written over.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use std::sync::{Arc, OnceLock};

/// Keeps it for one call. Copies share it: one goes with the call as its interceptor, the other is asked afterwards.
#[derive(Clone, Debug, Default)]
pub(super) struct RawBody(Arc<OnceLock<Vec<u8>>>);

impl RawBody {
    /// What is said of an answer whose body could not be kept.
    pub(super) const LOST: &str = "the raw answer could not be had";

    /// One whose answer has come.
    #[cfg(test)]
    pub(super) fn of(body: &str) -> Self {
        Self(Arc::new(OnceLock::from(body.as_bytes().to_vec())))
    }

    /// The bytes, once the answer has come; `None` too if they were not at hand.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.0.get().map(Vec::as_slice)
    }
}

impl Intercept for RawBody {
    fn name(&self) -> &'static str {
        "KeepRawBody"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(body) = context.response().body().bytes() {
            // One answer a call; a second one could only be a retry, and there is none.
            drop(self.0.set(body.to_vec()));
        }
        Ok(())
    }
}
