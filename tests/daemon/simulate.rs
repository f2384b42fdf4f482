//! `serin check --power` and `serin simulate`: what a configuration sees, and what each policy would have done.

use super::child::{outcome, serin};
use super::scene::bounded;
use serde_json::Value;
use serin::evidence::samples::SampleLine;
use serin::model::release::EpochId;
use serin::model::sample::{Fault, Outcome, Phases, Purpose, Sample, Taint};
use serin::model::target::{TargetId, VersionId};
use serin::model::time::{Mono, Span, Wall};
use std::fmt::Write;
use std::path::Path;

const SMALLEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/smallest.toml");

async fn json(args: &[&str]) -> Value {
    let (code, out, log) = outcome(serin(args)).await;
    assert_eq!(code, 0, "{args:?}: {log}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn check_tells_what_a_configuration_can_see() {
    bounded(async {
        let value = json(&["check", "--config", SMALLEST, "--power", "--json"]).await;
        let power = &value["power"][0];
        assert_eq!(
            (power["service"].as_str(), power["policy"].as_str()),
            (Some("checkout"), Some("sequential"))
        );
        let [errors, latency] = power["objectives"].as_array().unwrap().as_slice() else { panic!("{power}") };
        assert_eq!(errors["objective"], "availability 99.9 %");
        assert_eq!(latency["objective"], "p95 250ms");
        let finds = errors["sequential"]["finds"].as_array().unwrap();
        let shares: Vec<f64> = finds.iter().map(|find| find["share"].as_f64().unwrap()).collect();
        assert_eq!(shares, [0.01, 0.02, 0.05, 0.2, 1.0]);
        let means: Vec<f64> = finds.iter().map(|find| find["mean_s"].as_f64().unwrap()).collect();
        assert!(means.is_sorted_by(|one, next| one > next), "{means:?}");
        // A total failure is found when it is no blip any more: 250 ms, and the next probe.
        assert!((0.25..0.28).contains(&means[4]), "{means:?}");
        assert!(errors["sequential"]["smallest_share"].as_f64().unwrap() < 0.02);
        assert_eq!(latency["sequential"]["finds"].as_array().unwrap().len(), 3);
        assert_eq!(power["load_hz"], 200.0, "100 of production, and as many of the old version in doubt");
    });
}

#[test]
fn check_warns_of_what_it_cannot_see_and_names_the_remedy() {
    bounded(async {
        let slow =
            ["check", "--config", SMALLEST, "--power", "--set", "pace.release=3/s", "--set", "pace.calm=1/s"];
        let (code, out, _) = outcome(serin(&slow)).await;
        assert_eq!(code, 0, "{out}");
        assert!(out.contains("  ! ") && out.contains("quicken pace.release"), "{out}");
        let burning = ["check", "--config", SMALLEST, "--power", "--set", "judge.policy=burn_rate"];
        let (_, out, _) = outcome(serin(&burning)).await;
        assert!(out.contains("burn_rate: 100 % bad") && out.contains("after 51.8 s"), "{out}");
        let (_, out, _) =
            outcome(serin(&["check", "--config", SMALLEST, "--power", "--set", "judge.policy=threshold"]))
                .await;
        assert!(out.contains("play it with serin simulate"), "{out}");
    });
}

#[test]
fn a_good_release_is_kept_and_a_bad_one_reverted_by_every_policy_in_its_time() {
    bounded(async {
        let args = [
            "simulate",
            "--config",
            SMALLEST,
            "--scenario",
            "bursts",
            "--scenario",
            "outage",
            "--releases",
            "2",
            "--for",
            "2m",
            "--json",
        ];
        let value = json(&args).await;
        assert_eq!(value, json(&args).await, "the same seed plays the same releases");
        let row = |scenario: &str, policy: &str| {
            let rows = value["results"].as_array().unwrap();
            let is = |row: &&Value| row["scenario"] == scenario && row["policy"] == policy;
            rows.iter().find(is).unwrap_or_else(|| panic!("{scenario} {policy}: {value}")).clone()
        };
        for policy in ["sequential", "threshold", "burn_rate", "baseline"] {
            assert_eq!(row("bursts", policy)["wrong"], 0);
            assert_eq!(row("errors=100%", policy)["reverted"], 2, "{policy}");
        }
        let median = |policy: &str| row("errors=100%", policy)["acted"]["median"].as_f64().unwrap();
        assert!((0.25..0.6).contains(&median("sequential")), "{}", median("sequential"));
        assert!((51.8..53.0).contains(&median("burn_rate")), "{}", median("burn_rate"));
        assert!(row("errors=100%", "sequential")["why"].as_str().unwrap().contains("bad in"));
    });
}

/// A minute of the old version, then one of the new, which answers nothing but errors after 20 s.
fn recording() -> String {
    let mut text = String::new();
    for i in 0..12_000_u64 {
        let (due, new) = (Mono(1_000_000_000 + i * 10_000_000), i >= 6_000);
        let bad = i >= 8_000;
        for purpose in [Purpose::Production, Purpose::Direct] {
            let (new, bad) = (new && purpose == Purpose::Production, bad && purpose == Purpose::Production);
            let sample = Sample {
                due,
                planned: due,
                phases: Phases { first_byte: Span(50_000), ..Phases::default() },
                target: TargetId(0),
                conn: u32::try_from(i % 4 + 1).unwrap(),
                epoch: EpochId(if i >= 6_000 { 2 } else { 1 }),
                addr: u16::try_from(i % 2).unwrap(),
                version: VersionId::NONE,
                status: if bad { 500 } else { 200 },
                purpose,
                taint: Taint::Clean,
                outcome: if bad { Outcome::Bad(Fault::Status) } else { Outcome::Ok },
                told_slow: false,
            };
            let mut line = SampleLine::of(&sample, Wall(0), "https://a/", "a");
            line.version = Some(if new { "v2" } else { "v1" }.into());
            writeln!(text, "{}", serde_json::to_string(&line).unwrap()).unwrap();
        }
    }
    text
}

#[test]
fn a_recorded_release_is_played_and_a_broken_recording_refused_by_its_line() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples-r1.jsonl");
        let text = recording();
        std::fs::write(&path, &text).unwrap();
        let page = folder.path().join("page.html");
        let name = path.to_str().unwrap();
        let args = [
            "simulate",
            "--config",
            SMALLEST,
            "--recorded",
            name,
            "--policy",
            "sequential",
            "--policy",
            "burn_rate",
            "--html",
            page.to_str().unwrap(),
            "--json",
        ];
        let value = json(&args).await;
        let rows = value["results"].as_array().unwrap();
        assert_eq!((rows[0]["policy"].as_str(), rows[0]["reverted"].as_u64()), (Some("sequential"), Some(1)));
        let acted = rows[0]["acted"]["median"].as_f64().unwrap();
        assert!((20.25..20.6).contains(&acted), "{acted}");
        assert_eq!(rows[0]["wrong"], Value::Null, "nobody has said whether it was good");
        let html = std::fs::read_to_string(&page).unwrap();
        assert!(
            html.contains("<svg") && html.contains("sequential") && html.contains("default-src 'none'"),
            "{html}"
        );

        let refused = |text: String| async move {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("broken.jsonl");
            std::fs::write(&path, text).unwrap();
            let (code, _, log) =
                outcome(serin(&["simulate", "--config", SMALLEST, "--recorded", path.to_str().unwrap()]))
                    .await;
            assert_eq!(code, 1, "{log}");
            log
        };
        let cut = refused(text[..text.len() - 40].to_owned()).await;
        assert!(cut.contains("broken.jsonl:24000: the file is cut short"), "{cut}");
        let other = refused(text.replacen("\"purpose\"", "\"aim\"", 1)).await;
        assert!(
            other.contains("broken.jsonl:1: no sample of this version") && other.contains("purpose"),
            "{other}"
        );
        let none = refused(text.replace("\"epoch\":2", "\"epoch\":1")).await;
        assert!(none.contains("there is no cutover in it"), "{none}");
        assert!(refused(String::new()).await.contains("it holds no samples"));
    });
}

#[test]
fn what_is_asked_wrongly_is_told_with_what_is_known() {
    bounded(async {
        for (args, says) in [
            (["--scenario", "loud"], "is no scenario: quiet, bursts"),
            (["--scenario", "errors=0%"], "0.001% to 100%"),
            (["--policy", "luck"], "sequential, threshold, burn_rate, baseline"),
            (["--releases", "0"], "1..=1000000"),
            (["--after", "1h"], "--after lies behind the end"),
            (["--service", "cart"], "checkout"),
        ] {
            let (code, _, log) =
                outcome(serin(&[&["simulate", "--config", SMALLEST], &args[..]].concat())).await;
            assert_eq!(code, 64, "{args:?}: {log}");
            assert!(log.contains(says), "{args:?}: {log}");
        }
        assert!(Path::new(SMALLEST).exists());
    });
}

/// An alias, whose old version can't be asked past it: a shift at once is told only, and a step is judged by what both answer.
#[test]
fn an_alias_is_played_without_asking_its_old_version_directly() {
    bounded(async {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("serin.toml");
        let smallest = std::fs::read_to_string(SMALLEST).unwrap();
        let alias: String = smallest
            .lines()
            .map(|line| {
                let arn = "arn:aws:lambda:eu-west-1:123456789012:function:checkout:live";
                if line.starts_with("listener") {
                    format!("lambda_alias = \"{arn}\"\n")
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
        std::fs::write(&config, alias).unwrap();
        let config = config.to_str().unwrap();
        let base = [
            "simulate",
            "--config",
            config,
            "--json",
            "--policy",
            "sequential",
            "--scenario",
            "outage",
            "--releases",
            "3",
            "--for",
            "2m",
        ];
        let whole = json(&base).await;
        let row = &whole["results"][0];
        assert_eq!((row["reverted"].as_u64(), row["missed"].as_u64()), (Some(0), Some(3)), "{whole:#}");
        let step = json(&[&base[..], &["--share", "10%"]].concat()).await;
        let row = &step["results"][0];
        assert_eq!(
            (step["share_percent"].as_u64(), row["reverted"].as_u64()),
            (Some(10), Some(3)),
            "{step:#}"
        );
        let (_, out, _) = outcome(serin(&["check", "--config", config, "--power"])).await;
        assert!(
            out.contains("in a step to 10 % a tenth") && !out.contains("blamed on the release once"),
            "{out}"
        );
        for bad in ["0%", "101%", "10", "1.5%"] {
            let (code, _, log) = outcome(serin(&["simulate", "--config", config, "--share", bad])).await;
            assert!(
                code == 64 && log.contains("is no share: a whole number from 1% to 100%"),
                "{code} {log}"
            );
        }
    });
}

#[test]
fn check_reckons_the_bill_and_refuses_one_that_is_too_high() {
    bounded(async {
        let minute =
            ["--set", "publish.cloudwatch.namespace=Serin", "--set", "publish.cloudwatch.interval=60s"];
        let base = ["check", "--config", SMALLEST, "--json", "--cost"];
        let told = json(&[&base[..], &minute].concat()).await;
        // Nine metrics of the service and four of its URL, at 0.30; 43,800 requests.
        assert_eq!(told["cost"]["usd_month"], 13.0 * 0.3 + 0.438, "{told:#}");
        let ways = told["cost"]["ways"].as_array().unwrap();
        let configured: Vec<bool> = ways.iter().map(|way| way["configured"].as_bool().unwrap()).collect();
        assert_eq!(configured, [true, false, false]);
        // A line of a service and one of a URL, 43,800 times; the metrics cost what they cost.
        let lines = json(&[&base[..], &["--set", "publish.emf.namespace=Serin"]].concat()).await;
        let usd = lines["cost"]["usd_month"].as_f64().unwrap();
        assert!((usd - (13.0 * 0.3 + 3_500.0 * 43_800.0 / 1e9 * 0.5)).abs() < 1e-3, "{lines:#}");
        assert_eq!(json(&base).await["cost"]["usd_month"], 0.0, "without the section nothing is sent");
        let max =
            |max: &'static str| [&["check", "--config", SMALLEST, "--cost-max", max][..], &minute].concat();
        let (code, out, _) = outcome(serin(&max("4.34"))).await;
        assert!(code == 0 && out.contains("in all, as configured"), "{out}");
        let (code, _, log) = outcome(serin(&max("4.33"))).await;
        assert_ne!(code, 0);
        assert!(log.contains("--cost-max 4.33: it costs 4.34 USD a month"), "{log}");
        for bad in ["-1", "NaN", "much"] {
            let (code, _, log) = outcome(serin(&max(bad))).await;
            assert!(
                code == 64 && log.contains("0 or more") || log.contains("unexpected argument"),
                "{code} {log}"
            );
        }
    });
}
