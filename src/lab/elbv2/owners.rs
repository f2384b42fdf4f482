//! What ECS and `CodeDeploy` answer here: nobody deploys to the lab, so every list is empty (JSON 1.1).

use super::Refusal;
use http::HeaderMap;
use serde_json::{Value, json};

/// What a call of theirs is signed for.
pub(super) const SCOPES: [&str; 2] = ["ecs", "codedeploy"];

/// The action of a JSON call, as in `x-amz-target: CodeDeploy_20141006.ListApplications`; `None` for another protocol.
pub(super) fn action(headers: &HeaderMap) -> Option<&str> {
    let target = headers.get("x-amz-target")?.to_str().ok()?;
    Some(target.rsplit_once('.').map_or(target, |(_, action)| action))
}

/// The answer to `action`.
pub(super) fn answer(action: &str) -> Result<String, Refusal> {
    let body = match action {
        "ListClusters" => json!({ "clusterArns": [] }),
        "ListServices" => json!({ "serviceArns": [] }),
        "DescribeServices" => json!({ "services": [], "failures": [] }),
        "ListApplications" => json!({ "applications": [] }),
        _ => return Err(Refusal::new("UnknownOperationException", format!("the lab has no {action}"))),
    };
    Ok(body.to_string())
}

/// A refusal in the form of this protocol.
pub(super) fn refused(refusal: &Refusal) -> String {
    let body: Value = json!({ "__type": refusal.code, "message": refusal.message });
    body.to_string()
}
