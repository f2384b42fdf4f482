//! defaults < files < variables < flags, and what one process may say only once.

use super::{document, load_with, repository};
use serin::model::policy::Mode;
use serin::settings::Otlp;
use std::path::Path;
use std::time::Duration;

#[test]
fn flags_beat_variables_beat_files_beat_bases_beat_defaults() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a.toml"),
        "[judge]\ngrace = \"1s\"\nsettle = \"1s\"\nonset = \"1s\"\nwindow = \"1s\"\n",
    )
    .unwrap();
    let file = document("", "[judge]\ngrace = \"2s\"\nsettle = \"2s\"\nonset = \"2s\"\n");
    std::fs::write(folder.path().join("b.toml"), file).unwrap();
    let variables =
        [("SERIN__JUDGE__GRACE", "3s"), ("SERIN__JUDGE__SETTLE", "3s"), ("SERIN__INSTANCES", "3")];
    let flags = [("judge.grace", "4s"), ("mode", "observe"), ("judge.grace", "5s")];
    let settings = load_with(&[folder.path()], &variables, &flags).unwrap();
    let judge = &settings.services[0].judge;
    let seconds =
        [judge.grace, judge.settle, judge.onset, judge.window, judge.propagation].map(|span| span.as_secs());
    assert_eq!(seconds, [5, 3, 2, 1, 15]);
    assert_eq!(settings.services[0].instances, 3);
}

#[test]
fn a_wrong_flag_is_usage_and_a_wrong_variable_is_configuration() {
    let file = repository("config/smallest.toml");
    let error = load_with(&[&file], &[], &[("judge.graze", "5s")]).unwrap_err();
    assert!(error.is_usage(), "{error}");
    assert_eq!(
        error.to_string(),
        "flag --set judge.graze: judge.graze: there is no key `graze` in this section; did you mean `grace`?"
    );
    let error = load_with(&[&file], &[("SERIN__JUDGE__GRACE", "5")], &[]).unwrap_err();
    assert!(!error.is_usage());
    assert!(
        error
            .to_string()
            .starts_with("variable SERIN__JUDGE__GRACE: judge.grace = \"5\": a duration without a unit"),
        "{error}"
    );
    let error = load_with(&[], &[], &[]).unwrap_err();
    assert!(error.is_usage(), "{error}");
}

#[test]
fn targets_can_be_set_as_a_whole_and_not_one_by_one() {
    let file = repository("config/smallest.toml");
    for (key, rule) in [("targets.0.url", "edit the file"), ("targets[0].url", "edit the file")] {
        let error = load_with(&[&file], &[], &[(key, "http://a/")]).unwrap_err();
        assert!(error.to_string().contains(rule), "{error}");
    }
    let error = load_with(&[&file], &[("SERIN__TARGETS__0__URL", "http://a/")], &[]).unwrap_err();
    assert!(error.to_string().contains("edit the file"), "{error}");
    let whole = [("targets", "[{ url = \"http://a/\", timeout = \"2s\" }]")];
    let settings = load_with(&[&file], &[], &whole).unwrap();
    assert_eq!(settings.services[0].targets[0].timeout, Duration::from_secs(2));
}

#[test]
fn a_document_in_a_variable_is_sniffed() {
    for format in ["toml", "yaml", "json"] {
        let text = std::fs::read_to_string(repository(&format!("config/smallest.{format}"))).unwrap();
        let settings = load_with(&[Path::new("env:SERIN_CONFIG")], &[("SERIN_CONFIG", &text)], &[]).unwrap();
        assert_eq!(settings.services[0].name, "checkout");
        assert!(
            settings.entries.iter().any(|entry| entry.origin.to_string().starts_with("env:SERIN_CONFIG:"))
        );
    }
    let error = load_with(&[Path::new("env:NOWHERE")], &[], &[]).unwrap_err();
    assert!(error.to_string().contains("the variable NOWHERE is not set"), "{error}");
}

#[test]
fn a_nameless_file_becomes_the_service_that_a_variable_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("any.toml");
    std::fs::write(&file, document("", "").replace("service = \"a\"", "")).unwrap();
    let settings = load_with(&[&file], &[("SERIN__SERVICE", "b")], &[]).unwrap();
    assert_eq!(settings.services[0].name, "b");
    let error = load_with(&[&file], &[], &[]).unwrap_err();
    assert!(error.to_string().contains("no document names a service"), "{error}");
}

#[test]
fn two_documents_that_disagree_about_the_process_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, dir) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let text = document("", &format!("[evidence]\ndir = \"{dir}\"\n"))
            .replace("service = \"a\"", &format!("service = \"{name}\""));
        std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
    }
    let error = load_with(&[folder.path()], &[], &[]).unwrap_err();
    let [problem] = error.problems() else { panic!("{error}") };
    assert!(problem.origin.to_string().ends_with("c.toml:6"), "{problem}");
    assert!(problem.rule.contains("disagrees with") && problem.rule.contains("a.toml:6"), "{problem}");
}

#[test]
fn two_services_never_share_a_name_or_a_lever() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(repository("config/smallest.toml")).unwrap();
    std::fs::write(folder.path().join("a.toml"), &text).unwrap();
    std::fs::write(folder.path().join("b.toml"), &text).unwrap();
    let error = load_with(&[folder.path()], &[], &[]).unwrap_err();
    assert!(error.to_string().contains("names it too"), "{error}");
    std::fs::write(folder.path().join("b.toml"), text.replace("\"checkout\"", "\"other\"")).unwrap();
    let error = load_with(&[folder.path()], &[], &[]).unwrap_err();
    assert!(error.to_string().contains("the service checkout holds this lever already"), "{error}");
}

#[test]
fn a_fault_of_a_base_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("0.toml"), "instances = 0\n").unwrap();
    for name in ["a", "b"] {
        let text = document("", "").replace("service = \"a\"", &format!("service = \"{name}\""));
        std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
    }
    let error = load_with(&[folder.path()], &[], &[]).unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
    assert!(error.to_string().contains("0.toml:1: instances = 0: 0 is outside 1 to 10000"), "{error}");
}

#[test]
fn missing_unreadable_and_empty_sources_name_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let error = load_with(&[folder.path()], &[], &[]).unwrap_err();
    assert!(error.to_string().contains("no .toml, .json, .yaml or .yml file in the folder"), "{error}");
    let error = load_with(&[&folder.path().join("no.toml")], &[], &[]).unwrap_err();
    assert!(error.to_string().contains("no.toml: can't read the file: No such file"), "{error}");
    std::fs::write(folder.path().join("big.toml"), vec![b'#'; 1_048_577]).unwrap();
    let error = load_with(&[folder.path()], &[], &[]).unwrap_err();
    assert!(error.to_string().contains("larger than 1 MiB"), "{error}");
    std::fs::write(folder.path().join("big.toml"), [0xff]).unwrap();
    let error = load_with(&[folder.path()], &[], &[]).unwrap_err();
    assert!(error.to_string().contains("not UTF-8 at byte 0"), "{error}");
}

#[test]
fn the_hash_follows_the_meaning_and_not_the_spelling() {
    let hash = |more: &str| {
        let text = document(more, "");
        let settings = load_with(&[Path::new("env:DOC")], &[("DOC", &text)], &[]).unwrap();
        assert_eq!(settings.services[0].mode, Mode::Observe);
        settings.services[0].content_hash.clone()
    };
    assert_eq!(hash("# a comment\n"), hash("mode = 'observe'"));
    assert_ne!(hash(""), hash("instances = 2"));
}

#[test]
fn variables_that_make_no_sense_together_are_refused() {
    let file = repository("config/smallest.toml");
    let clash = [("SERIN__JUDGE", "5s"), ("SERIN__JUDGE__GRACE", "5s")];
    let error = load_with(&[&file], &clash, &[]).unwrap_err();
    assert!(error.to_string().contains("one setting is both a value and a section"), "{error}");
    let error = load_with(&[&file], &[], &[("judge.grace", "5s"), ("judge", "5s")]).unwrap_err();
    assert!(error.to_string().contains("one setting is both a value and a section"), "{error}");
    let error = load_with(&[&file], &[("SERIN__JUDGE__", "5s")], &[]).unwrap_err();
    assert!(error.to_string().contains("a part of the name is empty"), "{error}");
    // Kubernetes makes such variables for a service named serin.
    let foreign = [("SERIN_SERVICE_HOST", "10.0.0.1"), ("SERIN_PORT", "tcp://10.0.0.1:80"), ("SERIN", "x")];
    assert!(load_with(&[&file], &foreign, &[]).is_ok());
}

#[test]
fn a_section_without_keys_turns_its_publisher_on_and_its_absence_leaves_it_off() {
    let on = |tables: &str| {
        let text = document("", tables);
        let settings = load_with(&[Path::new("env:DOC")], &[("DOC", &text)], &[]).unwrap();
        settings.process.publish.cloudwatch.map(|cloudwatch| (cloudwatch.namespace, cloudwatch.interval))
    };
    assert_eq!(on(""), None);
    assert_eq!(on("[publish.cloudwatch]"), Some(("Serin".to_owned(), Duration::from_mins(1))));
}

#[test]
fn what_can_not_be_delivered_has_a_place_on_disk_unless_the_file_says_none() {
    let sizes = |keys: &str| {
        let tables = format!(
            "[publish.otlp]\nendpoint = \"http://127.0.0.1:4318\"\n{keys}\n[publish.cloudwatch]\n{keys}\n[publish.emf]\n{keys}"
        );
        let text = document("", &tables);
        let publish = load_with(&[Path::new("env:DOC")], &[("DOC", &text)], &[]).unwrap().process.publish;
        [publish.otlp.unwrap().spool, publish.cloudwatch.unwrap().spool, publish.emf.unwrap().figures.spool]
    };
    assert_eq!(sizes(""), [Otlp::SPOOL, 16 << 20, 16 << 20]);
    assert_eq!(sizes("spool = \"3MiB\""), [3 << 20; 3]);
    assert_eq!(sizes("spool = \"0\""), [0; 3]);
}

#[test]
fn a_method_with_effects_is_capped_and_the_others_keep_their_share() {
    let tables = "[[targets]]\nurl = \"http://h/y\"\nmethod = \"POST\"\nside_effects = \"none\"\n";
    let text = document("", tables);
    let settings = load_with(&[Path::new("env:DOC")], &[("DOC", &text)], &[]).unwrap();
    let service = &settings.services[0];
    let intervals: Vec<Duration> =
        service.targets.iter().map(|target| service.release_interval(target)).collect();
    assert_eq!(intervals, [Duration::from_millis(20), Duration::from_secs(1)]);
    assert!((service.judge.release_rate_hz - 51.0).abs() < 1e-9);
    assert!(
        service.load_line().contains("2 URLs × 50/s (1 of them at 1/s) = 51/s"),
        "{}",
        service.load_line()
    );
    assert_eq!(service.targets[1].in_flight, 4);
}

#[test]
fn in_doubt_the_old_version_is_asked_more_often_within_what_the_service_stands() {
    let rates = |more: &str, pace: &str| {
        let text = document(more, &format!("[pace]\nrelease = \"{pace}\""));
        let settings = load_with(&[Path::new("env:DOC")], &[("DOC", &text)], &[]).unwrap();
        let service = &settings.services[0];
        (service.direct_rate_hz(true), service.doubt_rate_hz())
    };
    assert_eq!(rates("", "50/s"), (10.0, 50.0), "as often as production");
    assert_eq!(rates("", "400/s"), (80.0, 100.0), "but not more than a hundred times a second");
    assert_eq!(rates("max_rate = \"2000/s\"", "1000/s"), (200.0, 200.0), "beyond that the share is enough");
    assert_eq!(rates("max_rate = \"130/s\"", "100/s"), (20.0, 30.0), "all together within max_rate");
    assert_eq!(rates("max_rate = \"260/s\"\ninstances = 2", "100/s"), (20.0, 30.0), "of all instances");
}
