//! A lab, a configuration that fits it, and a pipeline beside it.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, ForwardActionConfig, TargetGroupTuple};
use serin::lab::{CallOutcome, Lab, LabOptions};
use std::fmt::Write;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// Who the daemon is to the lab.
pub(crate) const DAEMON_KEY: &str = "AKIASERIN";
/// Who the pipeline is.
pub(crate) const PIPELINE_KEY: &str = "AKIDPIPELINE";

/// Everything of one test: dropped, it is all gone.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) folder: TempDir,
    /// What the configuration says beside the defaults.
    pub(crate) config: Config,
    /// Beside the lab's address and credentials.
    pub(crate) env: Vec<(String, String)>,
}

/// The parts of a configuration that tests change.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) service: String,
    /// `listener = …` or `rule = …`.
    pub(crate) lever: String,
    pub(crate) mode: &'static str,
    pub(crate) target: String,
    pub(crate) settle: &'static str,
    pub(crate) judge: String,
    pub(crate) guard: String,
    pub(crate) admin: String,
    /// Whole sections.
    pub(crate) more: String,
    /// The name in the URLs, instead of the balancer's addresses.
    pub(crate) host: Option<&'static str>,
}

impl Config {
    fn of(lab: &Lab) -> Self {
        Self {
            service: "checkout".into(),
            lever: format!("listener = \"{}\"", lab.listener_arn()),
            mode: "act",
            target: String::new(),
            settle: "1500ms",
            judge: "propagation = \"1s\"".into(),
            guard: String::new(),
            admin: String::new(),
            more: String::new(),
            host: None,
        }
    }
}

impl Scene {
    pub(crate) async fn new(options: LabOptions) -> Self {
        let lab = Lab::start(options).await.unwrap();
        let config = Config::of(&lab);
        Self { lab, folder: TempDir::new().unwrap(), config, env: Vec::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration as a document.
    pub(crate) fn text(&self) -> String {
        let Config { service, lever, mode, target, settle, judge, guard, admin, more, host } = &self.config;
        let mut text = format!(
            "service = \"{service}\"\n{lever}\nmode = \"{mode}\"\nsole_actuator = true\ncontrol = \"{}\"\n",
            self.lab.control_url()
        );
        for (index, address) in self.lab.balancer_addresses().iter().enumerate() {
            let host = host.map_or(address.to_string(), |host| format!("{host}:{}", address.port()));
            let _ = write!(
                text,
                "[[targets]]\nname = \"zone-{index}\"\nurl = \"http://{host}/\"\nversion = {{ header = \"x-version\" }}\n{target}\n"
            );
        }
        let evidence = self.path("evidence");
        let _ = write!(
            text,
            "[objectives]\navailability = \"99.9%\"\np95 = \"250ms\"\n\
             [judge]\nsettle = \"{settle}\"\ngrace = \"1s\"\nsettle_answers = 50\n{judge}\n\
             [guard]\n{guard}\n[pace]\ncalm = \"60/s\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\nsocket = \"{}\"\n{admin}\n\
             [evidence]\ndir = \"{}\"\n{more}\n",
            self.path("serin.sock").display(),
            evidence.display(),
        );
        text
    }

    /// The pipeline's client.
    pub(crate) fn pipeline(&self) -> Client {
        let config = aws_sdk_elasticloadbalancingv2::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.lab.region()))
            .credentials_provider(Credentials::new(PIPELINE_KEY, "secret", None, None, "pipeline"))
            .endpoint_url(self.lab.endpoint_url())
            .build();
        Client::from_conf(config)
    }

    /// The actions of the governed rule, or of the first of them.
    pub(crate) async fn actions(&self) -> Vec<Action> {
        self.actions_of(self.governed().first().cloned().flatten()).await
    }

    /// The actions of a rule, or of the listener's default rule.
    pub(crate) async fn actions_of(&self, rule: Option<String>) -> Vec<Action> {
        if let Some(rule) = rule {
            let answer = self.pipeline().describe_rules().rule_arns(rule).send().await.unwrap();
            return answer.rules()[0].actions().to_vec();
        }
        let arn = self.lab.listener_arn();
        let answer = self.pipeline().describe_listeners().listener_arns(arn).send().await.unwrap();
        answer.listeners()[0].default_actions().to_vec()
    }

    /// What is governed: the default rule (`None`), the other rule, or both.
    fn governed(&self) -> Vec<Option<String>> {
        let lever = &self.config.lever;
        let default = lever.contains("listener =").then_some(None);
        let rule = self.lab.rule_arn().filter(|rule| lever.contains(rule.as_str())).map(Some);
        default.into_iter().chain(rule).collect()
    }

    /// What a pipeline does: the forward to these weights, every other field as it is.
    pub(crate) async fn shift(&self, groups: &[(&str, i32)]) {
        for rule in self.governed() {
            self.shift_rule(rule, groups).await;
        }
    }

    async fn shift_rule(&self, rule: Option<String>, groups: &[(&str, i32)]) {
        let mut actions = self.actions_of(rule.clone()).await;
        for action in &mut actions {
            if action.r#type == Some(ActionTypeEnum::Forward) {
                let sticky =
                    action.forward_config.take().and_then(|config| config.target_group_stickiness_config);
                let tuples = groups.iter().map(|(name, weight)| {
                    TargetGroupTuple::builder()
                        .target_group_arn(self.lab.target_group_arn(name))
                        .weight(*weight)
                        .build()
                });
                action.target_group_arn = None;
                action.forward_config = Some(
                    ForwardActionConfig::builder()
                        .set_target_groups(Some(tuples.collect()))
                        .set_target_group_stickiness_config(sticky)
                        .build(),
                );
            }
            if let Some(oidc) = &mut action.authenticate_oidc_config {
                oidc.use_existing_client_secret = Some(true);
            }
        }
        self.put_to(rule, actions).await;
    }

    /// Writes the governed rule as it is given.
    pub(crate) async fn put(&self, actions: Vec<Action>) {
        self.put_to(self.governed().first().cloned().flatten(), actions).await;
    }

    async fn put_to(&self, rule: Option<String>, actions: Vec<Action>) {
        let (pipeline, actions) = (self.pipeline(), Some(actions));
        if let Some(rule) = rule {
            drop(pipeline.modify_rule().rule_arn(rule).set_actions(actions).send().await.unwrap());
        } else {
            let call = pipeline.modify_listener().listener_arn(self.lab.listener_arn());
            drop(call.set_default_actions(actions).send().await.unwrap());
        }
    }

    /// The cutover: green gets everything.
    pub(crate) async fn cut_over(&self) {
        self.shift(&[("blue", 0), ("green", 100)]).await;
    }

    /// The weights of the governed rule by group name, those of 0 left out.
    pub(crate) async fn serving(&self) -> Vec<String> {
        let actions = self.actions().await;
        let config = actions.iter().find_map(Action::forward_config).unwrap();
        let serving = config.target_groups().iter().filter(|group| group.weight() != Some(0));
        serving
            .map(|group| {
                let arn = group.target_group_arn().unwrap();
                serin::model::listener::group_name(arn).to_owned()
            })
            .collect()
    }

    /// Mutating calls of the daemon: all that arrived, and those that had their effect.
    pub(crate) fn writes(&self) -> (usize, usize) {
        let calls = self.lab.calls();
        let ours = calls.iter().filter(|call| {
            call.action.starts_with("Modify") && call.access_key.as_deref() == Some(DAEMON_KEY)
        });
        let (mut all, mut effective) = (0, 0);
        for call in ours {
            all += 1;
            let done = matches!(call.outcome, CallOutcome::Accepted | CallOutcome::Silent { applied: true });
            effective += usize::from(done);
        }
        (all, effective)
    }
}

/// No test may take longer.
pub(crate) fn bounded(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let limit = Duration::from_secs(75);
        tokio::time::timeout(limit, test).await.expect("the test ends within its bound");
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
}
