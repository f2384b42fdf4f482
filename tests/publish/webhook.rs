//! Pages, their attempts and their secret.

use super::receiver::{Receiver, status};
use super::{CANARY, Log, child, configured, page, second, shown, start};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;
use serin::clock;
use serin::model::guard::PageKind;
use serin::publish::{Item, Publisher};
use serin::settings::{Publish, Secret, Webhook};
use sha2::{Digest, Sha256};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

fn webhook(url: String) -> Publish {
    let webhook = Webhook {
        url: Secret::new(url),
        timeout: Duration::from_secs(2),
        secret: None,
        template: None,
        content_type: HeaderValue::from_static("application/json"),
    };
    Publish { webhook: Some(webhook), ..Publish::default() }
}

/// A webhook that signs and has the template of Discord's.
fn signing(url: &str, key: &str) -> Publish {
    let tables = "[publish.webhook]\nurl = { env = \"URL\" }\nsecret = { env = \"KEY\" }\n\
        template = '{\"content\": {{ kind ~ \" \" ~ service ~ \": \" ~ text }}}'\n";
    configured(tables, &[("URL", url), ("KEY", key)])
}

/// HMAC-SHA256 as RFC 2104 writes it, by another SHA-256 than the program's.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ byte).collect() };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

#[tokio::test]
async fn a_page_is_posted_as_json() {
    let receiver = Receiver::start(|_, _| status(StatusCode::OK)).await;
    let publisher = start(&webhook(receiver.url("/hook")));
    publisher.send(Item::Second(second(0)));
    publisher.send(page(PageKind::Breach));
    publisher.drain(Duration::from_secs(5)).await;
    let [got] = receiver.got().try_into().expect("one request: only pages are told");
    assert_eq!((got.method, got.path.as_str()), (Method::POST, "/hook"));
    assert_eq!(got.headers["content-type"], "application/json");
    assert_eq!(got.headers["host"], receiver.address.to_string());
    let mut message: Value = serde_json::from_slice(&got.body).expect("JSON");
    let id = message["id"].take();
    assert_eq!(got.headers["webhook-id"], id.as_str().expect("a text"));
    assert!(got.headers.get("webhook-signature").is_none(), "there is nothing to sign with");
    let at = message["at"].take();
    let at: jiff::Timestamp = at.as_str().expect("a text").parse().expect("RFC 3339");
    assert!((clock::wall().0 - at.as_millisecond()).abs() < 60_000, "{at}");
    assert_eq!(
        message,
        serde_json::json!({
            "service": "shop", "kind": "breach", "text": "29 of 29 answers bad", "dry_run": true,
            "epoch": 7, "release": 3, "at": null, "id": null, "schema": 1, "instance": "instance-1",
        })
    );
}

#[tokio::test]
async fn every_attempt_is_signed_and_has_the_same_id() {
    let receiver = Receiver::start(|n, _| match n {
        0 => status(StatusCode::BAD_GATEWAY),
        _ => status(StatusCode::NO_CONTENT),
    })
    .await;
    let key = [7_u8; 32];
    let publisher = start(&signing(&receiver.url("/hook"), &format!("whsec_{}", STANDARD.encode(key))));
    publisher.send(page(PageKind::Breach));
    let got = receiver.wait(2).await;
    publisher.drain(Duration::from_secs(5)).await;
    for got in &got {
        let header = |name: &str| got.headers[name].to_str().expect("ASCII").to_owned();
        let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
        let seconds: i64 = at.parse().expect("seconds");
        assert!((clock::wall().0 / 1_000 - seconds).abs() < 60, "{seconds}");
        let signed = [format!("{id}.{at}.").as_bytes(), got.body.as_ref()].concat();
        assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(hmac(&key, &signed))));
        assert_eq!(got.body, "{\"content\": \"breach shop: 29 of 29 answers bad\"}");
    }
    assert_eq!(got[0].headers["webhook-id"], got[1].headers["webhook-id"]);
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let (log, _guard) = Log::capture();
    let other = Receiver::start(|_, _| status(StatusCode::OK)).await;
    for code in [301, 302, 303, 307, 308] {
        let location = other.url(&format!("/{CANARY}"));
        let receiver = Receiver::start(move |_, _| {
            let mut response = status(StatusCode::from_u16(code).expect("a status"));
            response.headers_mut().insert("location", location.parse().expect("a header"));
            response
        })
        .await;
        let publisher = start(&webhook(receiver.url(&format!("/{CANARY}"))));
        publisher.send(page(PageKind::Breach));
        shown(&publisher, "serin_dropped_total{destination=\"webhook\",reason=\"refused\"} 1").await;
        publisher.drain(Duration::from_secs(1)).await;
        assert_eq!(receiver.got().len(), 1, "another attempt gets the same answer");
        assert!(log.text().contains(&format!("the answer was {code} ")), "{}", log.text());
    }
    assert_eq!(log.text().matches("redirects are not followed").count(), 5, "{}", log.text());
    assert!(!log.text().contains(CANARY), "{}", log.text());
    assert_eq!(other.got().len(), 0);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_won_t_is_not() {
    let receiver = Receiver::start(|n, _| match n {
        0 => status(StatusCode::SERVICE_UNAVAILABLE),
        1 => status(StatusCode::OK),
        _ => status(StatusCode::NOT_FOUND),
    })
    .await;
    let publisher = start(&webhook(receiver.url("/hook")));
    publisher.send(page(PageKind::Breach));
    receiver.wait(2).await;
    publisher.send(page(PageKind::Refused));
    shown(&publisher, "serin_dropped_total{destination=\"webhook\",reason=\"refused\"} 1").await;
    publisher.drain(Duration::from_secs(5)).await;
    assert_eq!(receiver.got().len(), 3, "503 and its repetition, and one 404");
}

#[tokio::test]
async fn who_asks_for_a_pause_is_left_alone_so_long() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let receiver = Receiver::start(move |n, _| {
        noted.lock().unwrap().push(clock::now());
        let mut answer = status(if n == 0 { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::NO_CONTENT });
        answer.headers_mut().insert("retry-after", "2".parse().unwrap());
        answer
    })
    .await;
    let publisher = start(&webhook(receiver.url("/hook")));
    publisher.send(page(PageKind::Breach));
    receiver.wait(2).await;
    let times = times.lock().unwrap().clone();
    let pause = times[1].since(times[0]);
    assert!(pause >= Duration::from_secs(2), "{pause:?}");
}

#[tokio::test]
async fn a_hanging_webhook_delays_nobody_and_its_losses_are_counted() {
    let receiver = Receiver::hanging().await;
    let publisher = start(&webhook(receiver.url("/hook")));
    let begun = clock::now();
    for _ in 0..200 {
        publisher.send(page(PageKind::Blind));
    }
    let took = clock::now().since(begun);
    assert!(took < Duration::from_millis(200), "{took:?}");
    let text = shown(&publisher, "serin_pages_total{service=\"shop\",kind=\"blind\"} 200").await;
    // Nothing else ran between the sends, so the queue took its 64 and no more.
    assert!(
        text.contains("serin_dropped_total{destination=\"webhook\",reason=\"queue-full\"} 136\n"),
        "{text}"
    );
    assert!(
        text.contains("serin_dropped_total{destination=\"prometheus\",reason=\"queue-full\"} 0\n"),
        "{text}"
    );
    let begun = clock::now();
    publisher.drain(Duration::from_millis(300)).await;
    let took = clock::now().since(begun);
    assert!(took < Duration::from_secs(2), "the drain ends when it must: {took:?}");
}

#[tokio::test]
async fn the_secret_url_is_never_shown() {
    let (log, _guard) = Log::capture();
    let receiver = Receiver::start(|_, _| status(StatusCode::FORBIDDEN)).await;
    let publisher = start(&webhook(receiver.url(&format!("/{CANARY}?token={CANARY}"))));
    publisher.send(page(PageKind::Breach));
    let text = shown(&publisher, "serin_dropped_total{destination=\"webhook\",reason=\"refused\"} 1").await;
    let shown = format!("{text}{publisher:?}{}", log.text());
    publisher.drain(Duration::from_secs(1)).await;
    assert!(log.text().contains("a message was lost"), "{}", log.text());
    assert!(receiver.got()[0].path.contains(CANARY), "the webhook itself gets it");
    assert!(!shown.contains(CANARY) && !log.text().contains(CANARY), "{shown}{}", log.text());

    let unusable = [
        format!("ftp://{CANARY}/"),
        format!("no url {CANARY}"),
        format!("http://:1/{CANARY}"),
        format!("https://u:{CANARY}@h/"),
    ];
    for url in unusable {
        let refused = Publisher::start(&webhook(url), &super::roster(), "i", "v").expect_err("no such URL");
        assert!(!format!("{refused} {refused:?}").contains(CANARY), "{refused:?}");
        assert_eq!(
            refused.to_string(),
            "publish.webhook.url is no http or https URL with a host and without user info"
        );
    }
}

#[tokio::test]
async fn https_is_spoken_to_whom_the_roots_know() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let file = folder.path().join("roots.pem");
    fs::write(&file, own.cert.pem()).expect("a file");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a certificate with its key");
    let receiver = Receiver::tls(TlsAcceptor::from(Arc::new(config))).await;
    let url = format!("https://localhost:{}/hook", receiver.address.port());
    let roots = file.to_string_lossy().into_owned();
    child("webhook::in_child_one_page", vec![("SSL_CERT_FILE", roots), ("SERIN_TEST_URL", url.clone())])
        .await;
    assert_eq!(receiver.got().len(), 1);

    // Without the root nothing is sent.
    child("webhook::in_child_one_page_lost", vec![("SERIN_TEST_URL", url)]).await;
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
#[ignore = "started by https_is_spoken_to_whom_the_roots_know"]
async fn in_child_one_page() {
    let publisher = start(&webhook(std::env::var("SERIN_TEST_URL").expect("a URL")));
    publisher.send(page(PageKind::Breach));
    publisher.drain(Duration::from_secs(10)).await;
}

#[tokio::test]
#[ignore = "started by https_is_spoken_to_whom_the_roots_know"]
async fn in_child_one_page_lost() {
    let publisher = start(&webhook(std::env::var("SERIN_TEST_URL").expect("a URL")));
    publisher.send(page(PageKind::Breach));
    shown(&publisher, "serin_dropped_total{destination=\"webhook\",reason=\"unavailable\"} 1").await;
}
