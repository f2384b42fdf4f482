//! What can't be used: the exit code, and one clear line with the cause and the remedy.

use super::child::{Daemon, outcome, serin};
use super::scene::{DAEMON_KEY, Scene, bounded};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, RedirectActionConfig, RedirectActionStatusCodeEnum,
};
use serin::lab::LabOptions;

/// `serin run` on the scene, to its end.
async fn run(scene: &Scene) -> (i32, String) {
    let config = scene.path("serin.toml");
    std::fs::write(&config, scene.text()).unwrap();
    let mut command = serin(&["run", "--config", config.to_str().unwrap()]);
    command
        .env("AWS_ENDPOINT_URL", scene.lab.endpoint_url())
        .env("AWS_ACCESS_KEY_ID", DAEMON_KEY)
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    let (code, _, log) = outcome(command).await;
    (code, log)
}

/// The line that the command ends with.
fn complaint(log: &str) -> &str {
    log.lines().find(|line| line.starts_with("serin: ")).unwrap_or_else(|| panic!("no complaint: {log}"))
}

#[test]
fn exit_codes_are_those_of_the_manual() {
    bounded(async {
        let good = concat!(env!("CARGO_MANIFEST_DIR"), "/config/smallest.toml");
        let bad = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/invalid/unknown_key_top.toml");
        let cases: [(&[&str], i32); 9] = [
            (&[], 64),
            (&["--nonsense"], 64),
            (&["run", "--nonsense"], 64),
            (&["--help"], 0),
            (&["run", "--help"], 0),
            (&["--version"], 0),
            (&["check", "--config", good], 0),
            (&["check", "--config", bad], 78),
            (&["run", "--config", bad], 78),
        ];
        for (args, expected) in cases {
            let (code, out, log) = outcome(serin(args)).await;
            assert_eq!(code, expected, "{args:?}\n{out}\n{log}");
        }
    });
}

#[test]
fn a_configuration_that_is_not_there_or_cannot_be_read_is_named() {
    bounded(async {
        let (code, _, log) = outcome(serin(&["run", "--config", "/nowhere/serin.toml"])).await;
        assert!([64, 78].contains(&code), "{code}");
        assert!(complaint(&log).contains("/nowhere/serin.toml"), "{log}");
        let (code, _, log) = outcome(serin(&["run", "--config", "env:NOT_SET_ANYWHERE"])).await;
        assert!([64, 78].contains(&code), "{code}");
        assert!(complaint(&log).contains("NOT_SET_ANYWHERE"), "{log}");
    });
}

#[test]
fn a_listener_that_does_not_exist_is_a_configuration_fault_with_its_remedy() {
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        scene.config.lever = scene.config.lever.replacen("50dc6c495c0c9188", "ffffffffffffffff", 1);
        if !scene.config.lever.contains("ffffffffffffffff") {
            let arn = scene.lab.listener_arn();
            let (head, _) = arn.rsplit_once('/').unwrap();
            scene.config.lever = format!("listener = \"{head}/ffffffffffffffff\"");
        }
        let (code, log) = run(&scene).await;
        assert_eq!(code, 78, "{log}");
        let line = complaint(&log);
        assert!(line.contains("AWS knows no such listener") && line.contains("check the ARN"), "{line}");
    });
}

#[test]
fn a_rule_that_redirects_is_refused_with_the_list_of_rules() {
    bounded(async {
        let options = LabOptions { path_rule: Some("/shop/*".into()), ..LabOptions::default() };
        let scene = Scene::new(options).await;
        let redirect = RedirectActionConfig::builder()
            .protocol("HTTPS")
            .port("443")
            .status_code(RedirectActionStatusCodeEnum::Http301)
            .build();
        scene
            .put(vec![Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(redirect).build()])
            .await;
        let (code, log) = run(&scene).await;
        assert_eq!(code, 78, "{log}");
        assert!(complaint(&log).contains("doesn't forward to target groups; the listener has:"), "{log}");
        assert!(log.contains(&scene.lab.rule_arn().unwrap()), "{log}");
        assert!(log.contains("when path-pattern /shop/*: forward"), "{log}");
        assert!(log.contains("when always: redirect"), "{log}");
    });
}

#[test]
fn a_port_in_use_says_so_and_how_to_get_on() {
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        scene.config.settle = "1500ms";
        let text = scene.text().replace("127.0.0.1:0", &address);
        let config = scene.path("taken.toml");
        std::fs::write(&config, text).unwrap();
        let (code, _, log) = outcome(serin(&["run", "--config", config.to_str().unwrap()])).await;
        assert_eq!(code, 1, "{log}");
        let line = complaint(&log);
        assert!(line.contains(&address) && line.contains("choose another port"), "{line}");
    });
}

#[test]
fn a_second_daemon_on_the_same_ledger_or_socket_is_refused() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let first = Daemon::armed(&scene).await;
        let (code, log) = run(&scene).await;
        assert_eq!(code, 1, "{log}");
        assert!(complaint(&log).contains("is answered by another Serin"), "{log}");

        let config = scene.path("other.toml");
        std::fs::write(&config, scene.text().replace("serin.sock", "other.sock")).unwrap();
        let mut command = serin(&["run", "--config", config.to_str().unwrap()]);
        command.env("AWS_ENDPOINT_URL", scene.lab.endpoint_url());
        let (code, _, log) = outcome(command).await;
        assert_eq!(code, 1, "{log}");
        assert!(complaint(&log).contains("another serin keeps this ledger"), "{log}");
        assert!(first.get("/-/healthy").await.is_ok(), "the first goes on");
    });
}
