//! Secrets come by reference, whole, and are shown nowhere.

use super::{document, load_with};
use serin::config::ConfigError;
use serin::settings::{Secret, Settings, explain, explain_json};
use std::path::Path;

const CANARY: &str = "S3CR3T-7f1d";

fn load(tables: &str, secret: &str) -> Result<Settings, ConfigError> {
    let text = document("", tables);
    load_with(
        &[Path::new("env:DOC")],
        &[
            ("DOC", &text),
            ("TOKEN", secret),
            ("HOOK", &format!("https://h/{secret}")),
            ("KEY", &format!("{secret}, long enough to sign")),
            ("BODY", &format!("{{\"routing_key\": \"{secret}\", \"text\": {{{{ text }}}}}}")),
        ],
        &[],
    )
}

const EVERYWHERE: &str = "headers = { authorization = { env = \"TOKEN\" } }\n[admin]\ntoken = { env = \"TOKEN\" }\n\
    [publish.webhook]\nurl = { env = \"HOOK\" }\nsecret = { env = \"KEY\" }\ntemplate = { env = \"BODY\" }\n\
    [publish.slack]\nurl = { env = \"HOOK\" }\n[publish.otlp]\nendpoint = \"http://h\"\nheaders = { x-any = { env = \"TOKEN\" } }\n";

#[test]
fn a_secret_is_used_and_shown_nowhere() {
    let settings = load(EVERYWHERE, CANARY).unwrap();
    assert_eq!(settings.services[0].targets[0].headers["authorization"], CANARY);
    assert!(settings.services[0].targets[0].headers["authorization"].is_sensitive());
    assert_eq!(settings.process.admin.token.as_ref().unwrap().expose(), CANARY);
    for shown in [
        explain(&settings),
        explain_json(&settings).to_string(),
        format!("{settings:?}"),
        format!("{settings:#?}"),
    ] {
        assert!(!shown.contains(CANARY), "{shown}");
    }
    assert!(explain(&settings).contains("<secret from env TOKEN>"));
    let secret = Secret::new(CANARY.to_owned());
    assert_eq!(
        format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap()),
        "<secret> <secret> \"<secret>\""
    );
}

#[test]
fn no_fault_repeats_a_secret() {
    for (tables, literal) in [
        ("headers = { authorization = \"S3CR3T-7f1d\" }", "a credential stands in the file"),
        ("headers = { x-a = \"S3CR3T-7f1d\\n\" }", "not a header value"),
        ("headers = { cookie = \"S3CR3T-7f1d\" }", "stickiness"),
        ("token = \"S3CR3T-7f1d\"", "there is no key"),
        ("[admin]\ntoken = \"S3CR3T-7f1d\"", "a credential stands in the file"),
        ("[publish.webhook]\nurl = \"ftp://h/S3CR3T-7f1d\"", "neither http nor https"),
        ("[admin]\ntoken = [\"S3CR3T-7f1d\"]", "a credential stands in the file"),
        ("[publish.webhook]\nurl = [\"https://h/S3CR3T-7f1d\"]", "text in quotes is needed"),
        ("headers = { x-a = [\"S3CR3T-7f1d\"] }", "text in quotes is needed"),
        ("[publish.otlp]\nendpoint = [\"http://u:S3CR3T-7f1d@h\"]", "text in quotes is needed"),
        ("connect_to = { env = \"S3CR3T-7f1d\" }", "text in quotes is needed"),
        ("[publish.webhook]\nurl = \"${S3CR3T-7f1d}\"", "never spliced"),
        ("[publish.otlp]\nendpoint = \"http://u:S3CR3T-7f1d@h\"", "ends up in logs"),
        (
            "[publish.webhook]\nurl = \"http://h\"\nsecret = \"S3CR3T-7f1d\"",
            "a credential stands in the file",
        ),
        ("[publish.webhook]\nurl = \"http://h\"\nsecret = \"${S3CR3T-7f1d}\"", "never spliced"),
        ("[publish.slack]\nurl = \"ftp://h/S3CR3T-7f1d\"", "neither http nor https"),
        ("[publish.slack]\nurl = [\"https://h/S3CR3T-7f1d\"]", "text in quotes is needed"),
        ("[publish.slack]\nurl = \"${S3CR3T-7f1d}\"", "a secret goes by reference, publish.slack.url"),
        ("connect_to = \"x\"\nname = \"${S3CR3T-7f1d}\"", "never spliced"),
    ] {
        let said = load(tables, "x").unwrap_err().to_string();
        assert!(said.contains(literal), "{tables}: {said}");
        assert!(!said.contains(CANARY), "{tables}: {said}");
    }
}

#[test]
fn a_secret_that_can_t_sign_is_told_and_not_shown() {
    let tables = "[publish.webhook]\nurl = { env = \"HOOK\" }\nsecret = { env = \"TOKEN\" }\n";
    for (secret, rule) in [
        (CANARY, "the secret is 11 bytes; from 24 to 64 sign"),
        ("whsec_S3CR3T-7f1d", "what follows whsec_ is not base64"),
        ("whsec_S3CR3Tab", "the secret is 6 bytes"),
    ] {
        let said = load(tables, secret).unwrap_err().to_string();
        assert!(said.contains(rule) && !said.contains("S3CR3T"), "{said}");
    }
    let loaded = load(tables, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let webhook = loaded.process.publish.webhook.unwrap();
    assert_eq!(webhook.secret.unwrap().expose().len(), 24);
}

#[test]
fn a_literal_webhook_and_the_values_of_a_query_are_masked() {
    let tables = "[publish.webhook]\nurl = \"https://h/S3CR3T-7f1d\"\n[publish.slack]\nurl = \"https://h/S3CR3T-7f1d\"\n[publish.otlp]\nendpoint = \"http://h/?k=S3CR3T-7f1d\"\n";
    let shown = explain(&load(tables, "x").unwrap());
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(shown.contains("http://h/?k=<secret>"), "{shown}");
}

#[test]
fn one_trailing_line_end_belongs_to_the_file_and_not_to_the_secret() {
    for (text, value) in [
        ("s", Some("s")),
        ("s\n", Some("s")),
        ("s\r\n", Some("s")),
        ("s\n\n", None),
        ("s\nt", None),
        ("\n", None),
        ("", None),
    ] {
        let found = load("headers = { authorization = { env = \"TOKEN\" } }", text);
        let found =
            found.ok().map(|settings| settings.services[0].targets[0].headers["authorization"].clone());
        assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), value, "{text:?}");
    }
}

#[test]
fn a_secret_of_two_lines_is_two_secrets_or_a_mistake() {
    let said = load("[admin]\ntoken = { env = \"TOKEN\" }", "S3CR3T-7f1d\nt").unwrap_err().to_string();
    assert!(said.contains("the secret of env TOKEN has more than one line"), "{said}");
    assert!(!said.contains(CANARY), "{said}");
}

#[test]
fn what_is_missing_is_named() {
    let said = load("headers = { authorization = { env = \"NOWHERE\" } }", "x").unwrap_err().to_string();
    assert!(said.contains("the variable NOWHERE is not set"), "{said}");
    let said = load("headers = { authorization = { file = \"no/where\" } }", "x").unwrap_err().to_string();
    assert!(said.contains("can't read the secret file no/where"), "{said}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "Bearer f\n").unwrap();
    let tables = format!("headers = {{ authorization = {{ file = \"{}\" }} }}", file.path().display());
    assert_eq!(load(&tables, "x").unwrap().services[0].targets[0].headers["authorization"], "Bearer f");
    for bad in ["{ vault = \"x\" }", "{ env = \"A\", file = \"B\" }", "{ env = 5 }", "{}"] {
        let said = load(&format!("headers = {{ authorization = {bad} }}"), "x").unwrap_err().to_string();
        assert!(said.contains("write { env = \"NAME\" } or { file = \"PATH\" }"), "{bad}: {said}");
    }
}
