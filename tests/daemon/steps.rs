//! `serin release SERVICE --steps`: forward only with evidence, and back by the daemon.

use super::child::{Daemon, outcome, serin};
use super::scene::{PIPELINE_KEY, Scene, bounded};
use serde_json::Value;
use serin::lab::{Fault, LabOptions};
use tokio::process::Command;

async fn scene() -> Scene {
    let mut scene = Scene::new(LabOptions::default()).await;
    // Shares of a few percent of the users are seen in seconds.
    scene.config.settle = "1s";
    scene
}

fn steps(scene: &Scene, more: &[&str]) -> Command {
    let mut command = serin(&["release", "checkout", "--to", "green", "--json"]);
    command
        .arg("--config")
        .arg(scene.path("serin.toml"))
        .args(more)
        .env("AWS_ENDPOINT_URL", scene.lab.endpoint_url())
        .env("AWS_ACCESS_KEY_ID", PIPELINE_KEY)
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    command
}

fn json(out: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// The weights of green that were accepted one after the other, by whoever wrote them.
fn weights(scene: &Scene) -> Vec<(bool, String)> {
    let writes = scene.lab.calls().into_iter().filter(|call| call.action == "ModifyListener");
    let green = scene.lab.target_group_arn("green");
    writes
        .map(|call| {
            let prefix = "DefaultActions.member.1.ForwardConfig.TargetGroups.member";
            let of = |index: u8, field: &str| call.params.get(&format!("{prefix}.{index}.{field}")).cloned();
            let index =
                (1..=2).find(|index| of(*index, "TargetGroupArn").as_deref() == Some(&*green)).unwrap();
            (call.access_key.as_deref() == Some(PIPELINE_KEY), of(index, "Weight").unwrap())
        })
        .collect()
}

#[test]
fn a_good_release_goes_on_step_by_step_each_with_its_evidence() {
    bounded(async {
        let scene = scene().await;
        let daemon = Daemon::armed(&scene).await;
        let (code, out, log) =
            outcome(steps(&scene, &["--steps", "20,50,100", "--id", "2026-11-22.1"])).await;
        assert_eq!(code, 0, "{out}\n{log}");
        let told = json(&out);
        assert_eq!((told["outcome"].as_str(), told["to"].as_str()), (Some("done"), Some("green")));
        let steps = told["steps"].as_array().unwrap();
        let percents: Vec<u64> = steps.iter().map(|step| step["percent"].as_u64().unwrap()).collect();
        assert_eq!(percents, [20, 50, 100]);
        for (step, next) in steps.iter().zip(&steps[1..]) {
            assert!(step["good_ms"].as_u64() <= next["at_ms"].as_u64(), "evidence first: {told}");
        }
        assert_eq!(scene.serving().await, ["green"]);
        assert_eq!(weights(&scene), [(true, "20".into()), (true, "50".into()), (true, "100".into())]);
        let releases: Vec<Value> = daemon.events("release");
        assert_eq!(releases.len(), 1, "one release of several epochs");
        assert_eq!(releases[0]["label"], "2026-11-22.1");
        let causes: Vec<Value> = daemon.events("epoch").iter().map(|line| line["cause"].clone()).collect();
        assert_eq!(causes, ["start", "foreign", "step", "step"]);
    });
}

#[test]
fn a_bad_step_is_put_back_to_the_first_before_image_and_nothing_follows() {
    bounded(async {
        let scene = scene().await;
        let daemon = Daemon::armed(&scene).await;
        scene.lab.service("green").set_fault(Fault::Errors { share: 0.5 });
        let (code, out, log) = outcome(steps(&scene, &["--steps", "30,60,100"])).await;
        assert_eq!(code, 1, "{out}\n{log}");
        let told = json(&out);
        assert_eq!(told["outcome"], "bad", "{told}");
        assert!(told["why"].as_str().unwrap().contains("30 % was bad, and is reverted"), "{told}");
        assert_eq!(scene.serving().await, ["blue"]);
        assert_eq!(weights(&scene), [(true, "30".into()), (false, "0".into())]);
        daemon.event("verified").await;
    });
}

#[test]
fn without_a_word_in_time_it_stops_and_stays() {
    bounded(async {
        let mut scene = scene().await;
        scene.config.settle = "8s";
        let daemon = Daemon::start(&scene);
        daemon.event("good").await;
        daemon.until_armed().await;
        let (code, out, log) = outcome(steps(&scene, &["--steps", "30,100", "--step-timeout", "2s"])).await;
        assert_eq!((code, json(&out)["outcome"].as_str()), (1, Some("stopped")), "{log}");
        assert!(log.contains("30 % was not judged good within 2 s, and stays as it is"), "{log}");
        assert_eq!(weights(&scene), [(true, "30".into())]);
    });
}

#[test]
fn who_could_not_put_it_back_makes_no_step() {
    bounded(async {
        let scene = scene().await;
        let daemon = Daemon::armed(&scene).await;
        daemon.tell(r#"{"hold":{"reason":"dinner"}}"#).await.unwrap();
        let (code, _, log) = outcome(steps(&scene, &["--steps", "100"])).await;
        assert_eq!(code, 1);
        assert!(
            log.contains("not ready for steps") && log.contains("no-hold: an operator holds: dinner"),
            "{log}"
        );
        assert_eq!(scene.writes(), (0, 0));
    });
}

#[test]
fn steps_that_make_no_sense_are_refused_before_anything_is_asked() {
    bounded(async {
        let scene = scene().await;
        std::fs::write(scene.path("serin.toml"), scene.text()).unwrap();
        let refused = [
            (vec!["--steps", "50,10"], 64, "larger than the one before"),
            (vec!["--steps", "0"], 64, "whole percents from 1 to 100"),
            (vec!["--steps", "10", "--mode", "sideways"], 64, "only \"observe\" or \"act\" is known"),
        ];
        for (more, wanted, words) in refused {
            let (code, _, log) = outcome(steps(&scene, &more)).await;
            assert_eq!(code, wanted, "{more:?}: {log}");
            assert!(log.contains(words), "{more:?}: {log}");
        }
        let (code, _, log) = outcome(serin(&["release"])).await;
        assert_eq!(code, 64, "{log}");
        assert!(log.contains("--steps 1,10,50,100 --to GROUP"), "{log}");
    });
}
