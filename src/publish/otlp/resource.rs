//! Who we are, for whoever gets our OTLP: what the environment says, then what the platform tells, then what both
//! leave out. Keys are those of OpenTelemetry's semantic conventions for resources.

use crate::publish::post::Poster;
use aws_config::imds;
use http::{HeaderMap, StatusCode, Uri};
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use serde_json::Value;
use std::time::Duration;

/// The platform answers from the same machine. Nothing waits for it but the first export.
const WITHIN: Duration = Duration::from_secs(2);
/// Where Kubernetes writes the namespace of a pod that has a service account.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// On Amazon's own machines it says so.
const VENDOR: &str = "/sys/devices/virtual/dmi/id/sys_vendor";

type Attributes = Vec<(&'static str, String)>;

/// All that is known. `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` win, key by key. The platform is asked once.
pub(super) async fn resource(instance: &str, version: &str) -> Resource {
    let told = Resource::builder().build();
    let name = told.get(&Key::from_static_str("service.name")).map(|name| name.to_string());
    let mut builder = Resource::builder();
    if name.is_none_or(|name| name.starts_with("unknown_service")) {
        builder = builder.with_service_name("serin");
    }
    let own = [("service.instance.id", instance.to_owned()), ("service.version", version.to_owned())];
    let platform = platform(|name| std::env::var(name).ok().filter(|value| !value.is_empty())).await;
    for (key, value) in own.into_iter().chain(platform) {
        if told.get(&Key::from_static_str(key)).is_none() {
            builder = builder.with_attribute(KeyValue::new(key, value));
        }
    }
    builder.build()
}

/// What the platform says; nothing where there is none, or where it doesn't answer.
async fn platform(variable: impl Fn(&str) -> Option<String>) -> Attributes {
    let (place, asked) = if let Some(base) = variable("ECS_CONTAINER_METADATA_URI_V4") {
        ("the ECS task metadata endpoint", tokio::time::timeout(WITHIN, ecs(&base)).await)
    } else if variable("KUBERNETES_SERVICE_HOST").is_some() {
        let namespace = tokio::fs::read_to_string(NAMESPACE).await.ok();
        return of_pod(&variable, namespace.as_deref());
    } else if is_on_ec2(&variable) {
        ("the EC2 instance metadata service", tokio::time::timeout(WITHIN, ec2()).await)
    } else {
        return Vec::new();
    };
    let asked = asked.unwrap_or(None);
    if asked.is_none() {
        tracing::warn!(place, "did not say where we run: OTLP goes without its attributes");
    }
    asked.unwrap_or_default()
}

/// [The endpoint](https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html) throttles,
/// so it is asked once.
async fn ecs(base: &str) -> Option<Attributes> {
    let container = document(base).await?;
    let task = document(&format!("{base}/task")).await?;
    Some(of_task(&container, &task))
}

async fn document(uri: &str) -> Option<Value> {
    let uri: Uri = uri.parse().ok()?;
    let poster = Poster::new(&uri, HeaderMap::new(), WITHIN).ok()?.ok()?;
    let answer = poster.get().await.ok()?;
    if answer.status() != StatusCode::OK {
        return None;
    }
    serde_json::from_slice(answer.body()).ok()
}

fn of_task(container: &Value, task: &Value) -> Attributes {
    let text = |document: &Value, key: &str| document[key].as_str().map(str::to_owned);
    let arn = text(task, "TaskARN");
    // arn:partition:ecs:region:account:task/…
    let parts: Vec<&str> = arn.as_deref().map(|arn| arn.split(':').collect()).unwrap_or_default();
    let part = |place: usize| parts.get(place).filter(|part| !part.is_empty()).map(|part| (*part).to_owned());
    let cluster = text(task, "Cluster").map(|cluster| match &*parts {
        // Fargate tells its ARN, EC2 its name.
        [arn, partition, service, region, account, ..] if !cluster.starts_with("arn:") => {
            format!("{arn}:{partition}:{service}:{region}:{account}:cluster/{cluster}")
        }
        _ => cluster,
    });
    let id = parts.last().and_then(|task| task.rsplit('/').next()).map(str::to_owned);
    let logs = &container["LogOptions"];
    known([
        ("cloud.provider", Some("aws".into())),
        ("cloud.platform", Some("aws_ecs".into())),
        ("cloud.region", part(3)),
        ("cloud.account.id", part(4)),
        ("cloud.availability_zone", text(task, "AvailabilityZone")),
        ("cloud.resource_id", text(container, "ContainerARN")),
        ("aws.ecs.container.arn", text(container, "ContainerARN")),
        ("aws.ecs.cluster.arn", cluster),
        ("aws.ecs.task.arn", arn.clone()),
        ("aws.ecs.task.id", id),
        ("aws.ecs.task.family", text(task, "Family")),
        ("aws.ecs.task.revision", text(task, "Revision")),
        ("aws.ecs.launchtype", text(task, "LaunchType").map(|kind| kind.to_ascii_lowercase())),
        ("container.id", text(container, "DockerId")),
        ("container.name", text(container, "Name")),
        ("aws.log.group.names", text(logs, "awslogs-group")),
        ("aws.log.stream.names", text(logs, "awslogs-stream")),
    ])
}

/// Kubernetes tells by what a pod's manifest hands down; the names are those that its documentation uses.
fn of_pod(variable: &impl Fn(&str) -> Option<String>, namespace: Option<&str>) -> Attributes {
    let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
    let namespace = || namespace.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    known([
        // A pod's host name is its own, unless it shares the node's network.
        ("k8s.pod.name", first(&["POD_NAME", "K8S_POD_NAME", "MY_POD_NAME", "HOSTNAME"])),
        (
            "k8s.namespace.name",
            first(&["POD_NAMESPACE", "K8S_NAMESPACE", "MY_POD_NAMESPACE"]).or_else(namespace),
        ),
        ("k8s.pod.uid", first(&["POD_UID", "K8S_POD_UID", "MY_POD_UID"])),
        ("k8s.node.name", first(&["NODE_NAME", "K8S_NODE_NAME", "MY_NODE_NAME"])),
        ("k8s.container.name", first(&["CONTAINER_NAME", "K8S_CONTAINER_NAME"])),
    ])
}

/// Asking a link-local address elsewhere would be a second's wait for nobody.
fn is_on_ec2(variable: &impl Fn(&str) -> Option<String>) -> bool {
    if variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return false;
    }
    variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").is_some()
        || std::fs::read_to_string(VENDOR).is_ok_and(|vendor| vendor.trim() == "Amazon EC2")
}

async fn ec2() -> Option<Attributes> {
    let client = imds::Client::builder().connect_timeout(WITHIN / 2).max_attempts(1).build();
    let document = client.get("/latest/dynamic/instance-identity/document").await.ok()?;
    Some(of_instance(&serde_json::from_str(document.as_ref()).ok()?))
}

fn of_instance(document: &Value) -> Attributes {
    let text = |key: &str| document[key].as_str().map(str::to_owned);
    known([
        ("cloud.provider", Some("aws".into())),
        ("cloud.platform", Some("aws_ec2".into())),
        ("cloud.region", text("region")),
        ("cloud.account.id", text("accountId")),
        ("cloud.availability_zone", text("availabilityZone")),
        ("host.id", text("instanceId")),
        ("host.type", text("instanceType")),
        ("host.image.id", text("imageId")),
    ])
}

/// What is unknown is left out.
fn known<const N: usize>(attributes: [(&'static str, Option<String>); N]) -> Attributes {
    let known = attributes.into_iter().filter_map(|(key, value)| Some((key, value?)));
    known.filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn map(attributes: Attributes) -> BTreeMap<&'static str, String> {
        attributes.into_iter().collect()
    }

    #[test]
    fn a_task_says_where_it_is() {
        let container = json!({
            "DockerId": "ea32192c8553fbff", "Name": "serin", "DockerName": "ecs-shop-24-serin-cca48e8dcadd",
            "LogOptions": { "awslogs-group": "/ecs/shop", "awslogs-region": "us-west-2", "awslogs-stream": "ecs/serin/8f03" },
            "ContainerARN": "arn:aws:ecs:us-west-2:111122223333:container/0206b271"
        });
        let task = json!({
            "Cluster": "default", "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/default/158d1c80",
            "Family": "shop", "Revision": "26", "LaunchType": "EC2", "AvailabilityZone": "us-west-2d"
        });
        let wants = [
            ("cloud.provider", "aws"),
            ("cloud.platform", "aws_ecs"),
            ("cloud.region", "us-west-2"),
            ("cloud.account.id", "111122223333"),
            ("cloud.availability_zone", "us-west-2d"),
            ("cloud.resource_id", "arn:aws:ecs:us-west-2:111122223333:container/0206b271"),
            ("aws.ecs.container.arn", "arn:aws:ecs:us-west-2:111122223333:container/0206b271"),
            ("aws.ecs.cluster.arn", "arn:aws:ecs:us-west-2:111122223333:cluster/default"),
            ("aws.ecs.task.arn", "arn:aws:ecs:us-west-2:111122223333:task/default/158d1c80"),
            ("aws.ecs.task.id", "158d1c80"),
            ("aws.ecs.task.family", "shop"),
            ("aws.ecs.task.revision", "26"),
            ("aws.ecs.launchtype", "ec2"),
            ("container.id", "ea32192c8553fbff"),
            ("container.name", "serin"),
            ("aws.log.group.names", "/ecs/shop"),
            ("aws.log.stream.names", "ecs/serin/8f03"),
        ];
        let wants: BTreeMap<_, _> = wants.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
        assert_eq!(map(of_task(&container, &task)), wants);
    }

    #[test]
    fn what_a_platform_leaves_out_is_left_out() {
        let task = json!({ "Cluster": "arn:aws:ecs:eu-west-1:1:cluster/prod", "TaskARN": "", "Family": 3 });
        let told = map(of_task(&json!({}), &task));
        assert_eq!(told["aws.ecs.cluster.arn"], "arn:aws:ecs:eu-west-1:1:cluster/prod");
        assert_eq!(
            told.keys().copied().collect::<Vec<_>>(),
            ["aws.ecs.cluster.arn", "cloud.platform", "cloud.provider"]
        );
        assert_eq!(map(of_instance(&json!({ "region": "eu-west-1" }))).len(), 3);
    }

    #[test]
    fn a_pod_says_what_its_manifest_hands_down() {
        let of = |set: &[(&str, &str)], namespace: Option<&str>| {
            let set: BTreeMap<String, String> =
                set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            map(of_pod(&|name: &str| set.get(name).cloned(), namespace))
        };
        let told =
            of(&[("POD_NAME", "serin-0"), ("HOSTNAME", "node-7"), ("NODE_NAME", "n7")], Some("shop\n"));
        assert_eq!(
            (&*told["k8s.pod.name"], &*told["k8s.namespace.name"], &*told["k8s.node.name"]),
            ("serin-0", "shop", "n7")
        );
        let told = of(&[("HOSTNAME", "serin-0"), ("POD_NAMESPACE", "front"), ("POD_UID", "u")], Some("shop"));
        assert_eq!(
            (&*told["k8s.pod.name"], &*told["k8s.namespace.name"], &*told["k8s.pod.uid"]),
            ("serin-0", "front", "u")
        );
        assert!(of(&[], None).is_empty());
    }

    #[test]
    fn nobody_is_asked_where_there_is_nobody() {
        let disabled = |name: &str| (name == "AWS_EC2_METADATA_DISABLED").then(|| "True".to_owned());
        assert!(!is_on_ec2(&disabled));
        let named = |name: &str| (name == "AWS_EC2_METADATA_SERVICE_ENDPOINT").then(|| "http://x".to_owned());
        assert!(is_on_ec2(&named));
    }
}
