//! Each hazard that the shell answers, played with its answer and without: how it ends, and how badly it ends then.

use super::Hazard;
use super::switch::{answered, lose};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::Value;
use serin::config::Sources;
use serin::model::owner::Call;
use serin::revert::{Alb, Reverter};
use serin::settings::{self, Lever, Whose};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A hazard, the story that it is played by, and its two ends.
struct Row {
    hazard: Hazard,
    story: fn() -> Pin<Box<dyn Future<Output = String>>>,
    with: &'static str,
    without: &'static str,
}

const TABLE: &[Row] = &[
    Row {
        hazard: Hazard::Race,
        story: || Box::pin(async { two_may_act() }),
        with: "act needs sole_actuator = true",
        without: "it loads",
    },
    Row {
        hazard: Hazard::HookDefault,
        story: || Box::pin(a_hook_waits()),
        with: "the action is ROLLBACK",
        without: "no action: AWS goes on",
    },
    Row {
        hazard: Hazard::WideRole,
        story: || Box::pin(async { the_role_is_shipped() }),
        with: "each change names what it changes",
        without: "iam-actuator.json: PutTheDefaultRuleBack, PutTheRuleBack",
    },
];

/// On one thread, as the switch is one thread's.
#[tokio::test]
async fn each_hazard_ends_well_with_its_answer_and_as_badly_as_it_says_without() {
    let mut faults = Vec::new();
    for Row { hazard, story, with, without } in TABLE {
        for (missing, expected) in [(None, with), (Some(*hazard), without)] {
            lose(missing);
            let end = story().await;
            if end != *expected {
                faults.push(format!("{hazard:?}, missing {missing:?}: {end:?}, not {expected:?}"));
            }
        }
    }
    lose(None);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

/// A service that acts, and says nothing of whether it is the only one.
fn two_may_act() -> String {
    let paths = vec![repository("tests/invalid/act_without_sole_actuator.toml")];
    let loaded = settings::load(&Sources { paths, ..Sources::default() });
    let refusal = "act needs sole_actuator = true";
    loaded.map_or_else(
        |error| if error.to_string().contains(refusal) { refusal.into() } else { error.to_string() },
        |_| "it loads".into(),
    )
}

/// What ECS is sent for a deployment's hook that waits.
async fn a_hook_waits() -> String {
    let ecs = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let shared = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .endpoint_url(format!("http://{}", ecs.local_addr().expect("an address")))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "AKIATEST",
            "not-a-secret",
            None,
            None,
            "test",
        )))
        .build();
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shop/50dc/f2f7".to_owned();
    let lever = Lever::Listener { arn, region: "eu-west-1".into() };
    let alb = Alb::new(&shared, vec![lever], Whose::default());
    let call = Call::ContinueServiceDeployment { deployment: "d-1".into(), hook: "h-1".into() };
    let (body, outcome) = tokio::join!(asked(&ecs), alb.call(call));
    assert!(matches!(outcome, serin::model::guard::WriteOutcome::Accepted(_)), "{outcome:?}");
    match body["action"].as_str() {
        Some(action) => format!("the action is {action}"),
        None => "no action: AWS goes on".into(),
    }
}

/// Takes one request, answers that it is done, and returns its body.
async fn asked(aws: &TcpListener) -> Value {
    let (mut stream, _) = aws.accept().await.expect("a request");
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
            if body.len() >= length {
                break;
            }
        }
        assert!(stream.read_buf(&mut request).await.expect("a request") > 0, "a whole one");
    }
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(answer.as_bytes()).await.expect("an answer");
    let request = String::from_utf8(request).expect("text");
    serde_json::from_str(request.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

/// The statements of the shipped policies that let more be changed than they name. That the policies allow what the code calls and
/// nothing else is for the tests of `deploy/`; the answer to this hazard is a file, so what is taken out is in the file.
fn the_role_is_shipped() -> String {
    let mut wide = Vec::new();
    for file in ["iam-actuator.json", "iam-owner.json", "iam-sensor.json"] {
        let text = std::fs::read_to_string(repository(&format!("deploy/{file}"))).expect(file);
        let mut policy: Value = serde_json::from_str(&text).expect(file);
        let statements = policy["Statement"].as_array_mut().expect(file);
        for statement in statements {
            let id = statement["Sid"].as_str().expect("an id").to_owned();
            if !answered(Hazard::WideRole) && id.ends_with("RuleBack") {
                statement["Resource"] = "*".into();
            }
            if changes_anything(statement) {
                wide.push(id);
            }
        }
        if !wide.is_empty() {
            return format!("{file}: {}", wide.join(", "));
        }
    }
    "each change names what it changes".into()
}

/// Whether a statement lets more than looks be done to everything there is. `CodeDeploy` knows no ARN of a deployment.
fn changes_anything(statement: &Value) -> bool {
    let texts = |value: &Value| -> Vec<String> {
        let one = value.as_str().map(|text| vec![text.to_owned()]);
        let many =
            || value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        one.unwrap_or_else(many)
    };
    let looks = |action: &String| {
        let (_, operation) = action.split_once(':').unwrap_or_default();
        ["Describe", "List", "Get", "BatchGet"].iter().any(|verb| operation.starts_with(verb))
    };
    let unbound = |action: &String| action == "codedeploy:StopDeployment";
    let actions = texts(&statement["Action"]);
    let all = actions.iter().any(|action| action.contains('*'));
    let anywhere = texts(&statement["Resource"]).iter().any(|resource| resource == "*");
    let changes = actions.iter().any(|action| !looks(action) && !unbound(action));
    all || anywhere && changes && statement["Condition"].is_null()
}
