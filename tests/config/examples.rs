//! Every file of `config/` loads, and the reference tells every key and its default.

use super::{load, load_with, repository};
use serin::config::{Fallback, KEYS, Origin};
use serin::model::policy::{Heard, Mode, Unheard};
use serin::settings::{Lever, explain, explain_json};
use std::path::Path;
use std::time::Duration;

const PRODUCTION: &[(&str, &str)] =
    &[("CHECKOUT_TOKEN", "Bearer t"), ("SERIN_WEBHOOK_URL", "https://hooks.example.com/x")];

#[test]
fn every_example_loads() {
    let mut count = 0;
    for entry in std::fs::read_dir(repository("config")).unwrap() {
        let path = entry.unwrap().path();
        if let Err(error) = load_with(&[&path], PRODUCTION, &[]) {
            panic!("{}: {error}", path.display());
        }
        count += 1;
    }
    assert_eq!(count, 6, "an example was added or lost");
}

#[test]
fn the_smallest_file_says_the_same_in_three_formats() {
    let hashes: Vec<String> = ["toml", "yaml", "json"]
        .iter()
        .map(|format| load(&repository(&format!("config/smallest.{format}"))).unwrap().content_hash)
        .collect();
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[0], hashes[2]);
}

#[test]
fn the_smallest_file_becomes_what_the_design_says() {
    let settings = load(&repository("config/smallest.toml")).unwrap();
    let [service] = settings.services.as_slice() else { panic!("one service") };
    assert_eq!(service.name, "checkout");
    assert_eq!(service.mode, Mode::Observe);
    let [Lever::Listener { region, .. }] = service.levers.as_slice() else { panic!("{:?}", service.levers) };
    assert_eq!(region, "eu-west-1");
    let [target] = service.targets.as_slice() else { panic!("one target") };
    assert_eq!(target.name, "/checkout/health");
    assert_eq!(
        (target.endpoint.host.as_str(), target.endpoint.port, target.endpoint.tls),
        ("shop.example.com", 443, true)
    );
    assert_eq!(target.version_header.as_ref().unwrap(), "x-version");
    assert_eq!(target.in_flight, 102, "100 of a hanging second, and two to spare");
    assert_eq!(service.release_interval(target), Duration::from_millis(10));
    assert_eq!(service.calm_interval(target), Duration::from_millis(200));
    assert_eq!(service.judge.objectives.slow_over(), Some(Duration::from_millis(250)));
    assert!((service.judge.objectives.all[0].goal.share_max() - 0.001).abs() < 1e-18);
    assert_eq!(service.judge.wrong_reverts_one_in, 1_000_000);
    assert_eq!(settings.process.admin.socket, Path::new("serin-data/serin.sock"));
    assert!(service.guard.versions_known);
}

#[test]
fn the_reference_names_every_key_and_its_default() {
    let path = repository("config/serin.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let settings = load(&path).unwrap();
    for key in KEYS {
        let name = key.path.trim_end_matches(".*").rsplit(['.', ']']).next().unwrap();
        let written = text.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            line.starts_with(&format!("{name} "))
                || line.contains(&format!("{{ {name} = "))
                || line.contains(&format!(", {name} = "))
        });
        assert!(written, "{} does not stand in config/serin.toml", key.path);
        let Some(default) = key.default else { continue };
        let shown = match default {
            Fallback::Text(text) => format!("{text:?}"),
            Fallback::Int(number) => number.to_string(),
            Fallback::Bool(value) => value.to_string(),
            Fallback::Texts(texts) => format!("{texts:?}"),
        };
        let wanted = key.path.replace("[]", "[0]");
        let entry = settings.entries.iter().find(|entry| entry.key == wanted).unwrap();
        assert_eq!(entry.value, shown, "{wanted}");
        assert!(
            matches!(entry.origin, Origin::Document { line, .. } if line > 0),
            "{wanted}: {}",
            entry.origin
        );
    }
}

#[test]
fn a_folder_is_a_fleet_over_its_base() {
    let settings = load(&repository("config/fleet")).unwrap();
    let names: Vec<&str> = settings.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["cart", "search"]);
    let [cart, search] = settings.services.as_slice() else { panic!("two services") };
    assert_eq!((cart.instances, search.instances), (2, 2));
    assert!((cart.judge.objectives.all[0].goal.share_max() - 0.001).abs() < 1e-18);
    assert!((search.judge.objectives.all[0].goal.share_max() - 0.005).abs() < 1e-18);
    assert_eq!(settings.process.publish.cloudwatch.as_ref().unwrap().namespace, "Shop/Serin");
    assert_ne!(cart.content_hash, search.content_hash);
}

#[test]
fn check_tells_each_value_with_its_origin_and_the_load() {
    let path = repository("config/smallest.toml");
    let settings = load_with(&[&path], &[("SERIN__JUDGE__GRACE", "5s")], &[("pace.calm", "2/s")]).unwrap();
    let text = explain(&settings);
    let line = |key: &str| text.lines().find(|line| line.trim_start().starts_with(key)).unwrap().to_owned();
    assert!(line("service = ").contains("smallest.toml:1"), "{text}");
    assert!(line("objectives.p95").ends_with("smallest.toml:11"), "{text}");
    assert!(line("targets[0].version.header").ends_with("smallest.toml:7"), "{text}");
    assert!(line("judge.grace = \"5s\"").ends_with("variable SERIN__JUDGE__GRACE"), "{text}");
    assert!(line("pace.calm = \"2/s\"").ends_with("flag --set pace.calm"), "{text}");
    assert!(line("judge.window").contains("default: long enough for a P95"), "{text}");
    assert!(
        line("load")
            .ends_with("1 instance × 1 URL × 100/s = 100/s + 20/s (100/s while in doubt) asked of registered targets directly, at the release pace (calm 2/s), max_rate 1000/s")
    );
    assert!(line("will never act").contains("observe"), "{text}");
    let json = explain_json(&settings);
    assert_eq!(json["services"][0]["load"]["max_rate_hz"], 1000.0);
    assert!(json["services"][0]["will_never_act"].as_str().unwrap().contains("DRY RUN"));
}

#[test]
fn production_may_act_and_says_so() {
    let settings = load_with(&[&repository("config/production.toml")], PRODUCTION, &[]).unwrap();
    assert_eq!(settings.services[0].mode, Mode::Act);
    assert_eq!(settings.services[0].never_acts(), None);
    assert!(!explain(&settings).contains("will never act"));
}

#[test]
fn with_a_lever_the_probes_go_to_the_balancer_unless_the_file_says_where() {
    let lever = "listener = \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2\"";
    let named = "[[targets]]\nname = \"named\"\nurl = \"https://shop.example.com/\"\n\
                 [[targets]]\nname = \"fixed\"\nurl = \"https://shop.example.com/x\"\nconnect_to = \"127.0.0.1:2\"\n";
    let of = |more: &str| {
        let service = crate::load_text(&crate::document(more, named)).unwrap().services.remove(0);
        let fronts: Vec<bool> = service.targets.iter().map(|target| target.front.is_some()).collect();
        (fronts, service.verifies())
    };
    assert_eq!(of(lever), (vec![false, true, false], true));
    assert_eq!(of(&format!("{lever}\nvia = \"public\"")), (vec![false; 3], false));
    assert_eq!(of(""), (vec![false; 3], false), "no balancer is known");
}

#[test]
fn an_alias_is_a_lever_that_nobody_is_asked_behind() {
    let alias = "arn:aws:lambda:eu-west-1:123456789012:function:checkout:live";
    let named = "[[targets]]\nname = \"named\"\nurl = \"https://shop.example.com/\"\n";
    let load = |more: &str, tables: &str| {
        let more = format!("lambda_alias = \"{alias}\"\n{more}");
        crate::load_text(&crate::document(&more, &format!("{named}{tables}"))).unwrap()
    };
    let settings = load("", "");
    let service = &settings.services[0];
    let [lever @ Lever::Alias { arn, region }] = service.levers.as_slice() else {
        panic!("{:?}", service.levers)
    };
    assert_eq!((arn.as_str(), region.as_str(), lever.key()), (alias, "eu-west-1", "lambda_alias"));
    assert_eq!(lever.alias(), alias.rsplit_once(':'));
    assert!(service.targets.iter().all(|target| target.front.is_none()), "there is no balancer to ask");
    assert!(service.verifies() && service.has_lever() && !service.asks_directly());
    assert_eq!(service.judge.heard, Heard::InProduction(Unheard::Hold));
    assert_eq!(service.guard.heard, service.judge.heard);
    let text = explain(&settings);
    assert!(text.contains(&format!("lambda_alias = \"{alias}\"")), "{text}");
    let unheard = text.lines().find(|line| line.contains("judge.unheard")).unwrap();
    assert!(unheard.contains("\"hold\"") && unheard.contains("default: what breaks both versions"), "{text}");
    assert!(!text.contains("asked of registered targets directly"), "{text}");

    assert!(!load("via = \"public\"", "").services[0].verifies(), "through a CDN nothing is proved");
    let reverts = load("control = \"https://status.example.net/\"", "[judge]\nunheard = \"revert\"\n");
    assert_eq!(reverts.services[0].judge.heard, Heard::InProduction(Unheard::Revert));

    let json = format!(
        "{{\"service\": \"a\", \"lambda_alias\": \"{alias}\", \"targets\": [{{\"url\": \"http://127.0.0.1:1/x\"}}], \"objectives\": {{\"availability\": \"99%\"}}}}"
    );
    let yaml = format!(
        "service: a\nlambda_alias: {alias}\ntargets:\n  - url: http://127.0.0.1:1/x\nobjectives:\n  availability: 99%\n"
    );
    let toml = crate::document(&format!("lambda_alias = \"{alias}\""), "");
    let hashes = [json, yaml, toml].map(|text| crate::load_text(&text).unwrap().content_hash);
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
}
