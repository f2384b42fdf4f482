//! What `demo` and `drill` both play on: the pipeline's part in the lab, the `serin run` beside it, and ledger lines as
//! steps.
//!
//! | file | what |
//! |---|---|
//! | `stage.rs` | the pipeline of the lab, and what is told as it happens |
//! | `stage/daemon.rs` | the `serin run` beside it, and its configuration |
//! | `stage/step.rs` | one ledger line to one step, in words |

mod daemon;
mod step;

pub(super) use daemon::Daemon;
pub(super) use step::Step;

use crate::lab::Lab;
use anyhow::Context;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::config::Credentials;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetGroupStickinessConfig, TargetGroupTuple,
};

/// The pipeline's part: the listener goes over to green through the API.
pub(super) async fn cut_over(lab: &Lab) -> Result<(), anyhow::Error> {
    let call = client(lab).modify_listener().listener_arn(lab.listener_arn());
    call.default_actions(weights(lab, 0, 100))
        .send()
        .await
        .context("the pipeline's ModifyListener failed")?;
    Ok(())
}

/// Which group the listener's weights name, asked as anybody could.
pub(super) async fn serving(lab: &Lab) -> Result<String, anyhow::Error> {
    let answer = client(lab).describe_listeners().listener_arns(lab.listener_arn()).send().await?;
    let listener = answer.listeners().first().context("the listener is gone")?;
    let groups = listener
        .default_actions()
        .iter()
        .filter_map(Action::forward_config)
        .flat_map(ForwardActionConfig::target_groups);
    let heaviest =
        groups.max_by_key(|group| group.weight().unwrap_or(0)).and_then(|group| group.target_group_arn());
    Ok(crate::model::listener::group_name(heaviest.unwrap_or_default()).to_owned())
}

fn client(lab: &Lab) -> Client {
    let credentials = Credentials::new("AKIAPIPELINE", "not-a-secret", None, None, "stage");
    let config = aws_sdk_elasticloadbalancingv2::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(lab.region()))
        .endpoint_url(lab.endpoint_url())
        .credentials_provider(credentials)
        .build();
    Client::from_conf(config)
}

fn weights(lab: &Lab, blue: i32, green: i32) -> Action {
    let tuple = |name: &str, weight| {
        TargetGroupTuple::builder().target_group_arn(lab.target_group_arn(name)).weight(weight).build()
    };
    let config = ForwardActionConfig::builder()
        .target_groups(tuple("blue", blue))
        .target_groups(tuple("green", green))
        .target_group_stickiness_config(TargetGroupStickinessConfig::builder().enabled(false).build())
        .build();
    Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build()
}

/// The story goes out as it happens. A reader that went away doesn't stop the play.
pub(super) fn narrate(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
