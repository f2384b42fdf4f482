//! What the tests share: a client for each side of the lab.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::config::retry::RetryConfig;
use aws_sdk_elasticloadbalancingv2::config::timeout::TimeoutConfig;
use aws_sdk_elasticloadbalancingv2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_elasticloadbalancingv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetGroupStickinessConfig, TargetGroupTuple,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serin::lab::{Lab, LabOptions};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) const ACCESS_KEY: &str = "AKIDLAB";

pub(crate) async fn start(options: LabOptions) -> Lab {
    Lab::start(options).await.unwrap()
}

/// One zone, so that round robin is exact.
pub(crate) fn one_zone() -> LabOptions {
    LabOptions { zones: 1, ..LabOptions::default() }
}

/// The real client: signed requests, one attempt each, 300 ms patience.
pub(crate) fn sdk(lab: &Lab) -> Client {
    let patience = Duration::from_millis(300);
    let config = aws_sdk_elasticloadbalancingv2::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(lab.region()))
        .credentials_provider(Credentials::new(ACCESS_KEY, "secret", None, None, "lab tests"))
        .endpoint_url(lab.endpoint_url())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(patience).build())
        .build();
    Client::from_conf(config)
}

/// A forward to these groups of the lab, as a pipeline would write it.
pub(crate) fn forward(lab: &Lab, groups: &[(&str, i32)]) -> Action {
    forward_arns(groups.iter().map(|(name, weight)| (lab.target_group_arn(name), *weight)))
}

pub(crate) fn forward_arns(groups: impl IntoIterator<Item = (String, i32)>) -> Action {
    let groups = groups
        .into_iter()
        .map(|(arn, weight)| TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build());
    let sticky = TargetGroupStickinessConfig::builder().enabled(false).build();
    let config = ForwardActionConfig::builder()
        .set_target_groups(Some(groups.collect()))
        .target_group_stickiness_config(sticky)
        .build();
    action(ActionTypeEnum::Forward).forward_config(config).build()
}

pub(crate) fn action(kind: ActionTypeEnum) -> aws_sdk_elasticloadbalancingv2::types::builders::ActionBuilder {
    Action::builder().r#type(kind)
}

/// Writes the default rule.
pub(crate) async fn set_default(lab: &Lab, actions: Vec<Action>) -> Result<(), String> {
    let call = sdk(lab).modify_listener().listener_arn(lab.listener_arn()).set_default_actions(Some(actions));
    call.send().await.map(drop).map_err(code)
}

pub(crate) async fn set_weights(lab: &Lab, blue: i32, green: i32) {
    set_default(lab, vec![forward(lab, &[("blue", blue), ("green", green)])]).await.unwrap();
}

/// The actions of the default rule.
pub(crate) async fn default_actions(lab: &Lab) -> Vec<Action> {
    let described = sdk(lab).describe_listeners().listener_arns(lab.listener_arn()).send().await.unwrap();
    described.listeners()[0].default_actions().to_vec()
}

/// AWS's code, or what else kept the call from an answer.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> String {
    match error {
        SdkError::TimeoutError(_) => "timeout".to_owned(),
        SdkError::ServiceError(error) => error.err().code().unwrap_or("no code").to_owned(),
        _ => "no answer".to_owned(),
    }
}

/// One connection of a user.
pub(crate) struct Browser(SendRequest<Full<Bytes>>);

impl Browser {
    pub(crate) async fn open(addr: SocketAddr) -> Result<Self, std::io::Error> {
        let stream = TcpStream::connect(addr).await?;
        let (send, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Ok(Self(send))
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Response<Bytes>, hyper::Error> {
        self.send(Request::get(path).header("host", "shop").body(Full::default()).unwrap()).await
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, hyper::Error> {
        self.0.ready().await?;
        let (head, body) = self.0.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

/// One request through a zone of the balancer, on its own connection.
pub(crate) async fn ask_zone(lab: &Lab, zone: usize, path: &str) -> Response<Bytes> {
    Browser::open(lab.balancer_addresses()[zone]).await.unwrap().get(path).await.unwrap()
}

pub(crate) async fn ask(lab: &Lab) -> Response<Bytes> {
    ask_zone(lab, 0, "/").await
}

/// The version that answered, if the answer was a target's.
pub(crate) fn version(response: &Response<Bytes>) -> Option<&str> {
    Some(response.headers().get("x-version")?.to_str().unwrap())
}

/// The status, and whether the balancer made the answer itself.
pub(crate) fn verdict(response: &Response<Bytes>) -> (u16, bool) {
    let own = response.headers().get("server").is_some_and(|server| server == "awselb/2.0");
    assert_ne!(own, version(response).is_some(), "an answer is either a target's or the balancer's");
    (response.status().as_u16(), own)
}

/// A bare server that answers everything with 200 and counts the connections on which anything but health
/// checks came.
pub(crate) struct Counter {
    pub(crate) addr: SocketAddr,
    connections: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Counter {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let counted = connections.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let counted = counted.clone();
                tokio::spawn(async move {
                    let (mut request, mut first) = ([0; 4096], true);
                    while let Ok(length @ 1..) = stream.read(&mut request).await {
                        let user = !request[..length].starts_with(b"GET /healthz");
                        counted.fetch_add(u64::from(user && first), Ordering::Relaxed);
                        first = false;
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                    }
                });
            }
        });
        Self { addr, connections, _task: task }
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Waits for something that must come, but not for ever.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

/// Waits until the targets of a group say this. Asks slowly: the lab throttles its tests as AWS would.
pub(crate) async fn becomes(lab: &Lab, group: &str, expected: Vec<(String, Option<String>)>) {
    for _ in 0..40 {
        if states(lab, group).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    panic!("{group} never became {expected:?}, but {:?}", states(lab, group).await);
}

/// State and reason of each target of a group, sorted, without doubles.
pub(crate) async fn states(lab: &Lab, group: &str) -> Vec<(String, Option<String>)> {
    let call = sdk(lab).describe_target_health().target_group_arn(lab.target_group_arn(group));
    let health = call.send().await.unwrap();
    let mut states: Vec<_> = health
        .target_health_descriptions()
        .iter()
        .map(|target| {
            let health = target.target_health().unwrap();
            (health.state().unwrap().to_string(), health.reason().map(ToString::to_string))
        })
        .collect();
    states.sort();
    states.dedup();
    states
}

pub(crate) fn state(state: &str, reason: Option<&str>) -> Vec<(String, Option<String>)> {
    vec![(state.to_owned(), reason.map(ToOwned::to_owned))]
}
