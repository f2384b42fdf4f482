//! Who may ask, and who may change.

use super::child::{Daemon, outcome, serin};
use super::scene::{Scene, bounded};
use serde_json::Value;
use serin::admin::{At, get, post};
use serin::lab::{ControlPlaneFault, Fault, LabOptions};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TOKEN: &str = "a-token-of-this-test";
const COMMAND: &str = "/api/v1/services/checkout/command";
const HOLD: &str = "{\"hold\":{\"reason\":\"by the test\"}}";

/// The status of a POST with these headers beside the usual ones.
async fn status(address: SocketAddr, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST {COMMAND} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{HOLD}",
        HOLD.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn everybody_may_ask_and_only_the_socket_or_the_token_may_change() {
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        scene.config.admin = "token = { env = \"ADMIN_TOKEN\" }".into();
        scene.env.push(("ADMIN_TOKEN".into(), TOKEN.into()));
        let daemon = Daemon::armed(&scene).await;
        let tcp = daemon.tcp().await;
        let At::Tcp(address) = tcp else { unreachable!("it is the TCP listener") };

        assert_eq!(get(&tcp, "/-/healthy").await.unwrap(), "healthy\n");
        assert_eq!(get(&tcp, "/-/ready").await.unwrap(), "ready\n");
        assert!(get(&tcp, "/-/armed").await.unwrap().contains("\"armed\":true"));
        let metrics = get(&tcp, "/metrics").await.unwrap();
        assert!(
            metrics.contains("# TYPE serin_armed gauge") && metrics.contains("serin_probe_attempts_total{")
        );
        for (accept, is, begins) in [
            ("", "text/plain; version=0.0.4; charset=utf-8", "# HELP serin_build_info "),
            // Two lines of one header are one list.
            (
                "accept: text/plain;q=0.5\r\naccept: application/openmetrics-text\r\n",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                "# HELP serin_build ",
            ),
            (
                "accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n",
                "application/vnd.google.protobuf; proto=io.prometheus.client.metricfamily; encoding=delimited",
                "",
            ),
        ] {
            let (head, body) = asked(address, "/metrics", accept).await;
            assert!(head.contains(&format!("\r\ncontent-type: {is}")), "{accept}: {head}");
            assert!(head.contains("\r\nvary: accept"), "{head}");
            assert!(body.starts_with(begins) && body.contains("serin_build"), "{accept}: {body:.200}");
        }
        assert_eq!(daemon.status().await["services"]["checkout"]["mode"], "act");

        let picture = get(&tcp, "/badge/checkout.svg").await.unwrap();
        assert!(picture.starts_with("<svg ") && picture.contains("<title>checkout: "), "{picture}");
        assert!(picture.contains("armed"), "{picture}");
        let none = get(&tcp, "/badge/nobody.svg").await.unwrap_err().to_string();
        assert!(none.contains("there are: checkout.svg"), "{none}");

        assert_eq!(status(address, "").await, 401);
        assert_eq!(status(address, "authorization: Bearer wrong\r\n").await, 401);
        let bearer = format!("authorization: Bearer {TOKEN}\r\n");
        assert_eq!(status(address, &format!("{bearer}origin: http://evil.example\r\n")).await, 403);
        assert!(daemon.events("operator").is_empty(), "nothing of that was taken: {}", daemon.output());

        assert_eq!(status(address, &bearer).await, 200);
        assert_eq!(daemon.event("operator").await["command"]["hold"]["reason"], "by the test");
        assert!(get(&tcp, "/-/armed").await.is_err(), "a hold disarms");
        daemon.tell("\"unhold\"").await.unwrap();
        daemon.until_armed().await;
        let unknown = post(&daemon.at(), "/api/v1/services/nobody/command", HOLD.into()).await.unwrap_err();
        assert!(unknown.to_string().contains("there are: checkout"), "{unknown}");
    });
}

#[test]
fn without_a_token_nobody_may_change_over_tcp() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let daemon = Daemon::start(&scene);
        let At::Tcp(address) = daemon.tcp().await else { unreachable!("it is the TCP listener") };
        assert_eq!(status(address, "authorization: Bearer \r\n").await, 401);
        assert_eq!(status(address, "").await, 401);
    });
}

/// The tag that forbids acting, as AWS has it.
async fn tag(scene: &Scene) -> Option<String> {
    let answer =
        scene.pipeline().describe_tags().resource_arns(scene.lab.listener_arn()).send().await.unwrap();
    let tags = answer.tag_descriptions()[0].tags();
    tags.iter().find(|tag| tag.key() == Some("canary:hold")).and_then(|tag| tag.value().map(str::to_owned))
}

#[test]
fn a_hold_is_written_as_a_tag_that_suffices_for_every_instance() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let daemon = Daemon::armed(&scene).await;
        let say = async |words: &[&str]| {
            let socket = scene.path("serin.sock");
            let words: Vec<&str> =
                words.iter().copied().chain(["--socket", socket.to_str().unwrap()]).collect();
            outcome(serin(&words)).await
        };
        let (code, out, error) = say(&["hold", "checkout", "--reason", "ticket #7; see wiki"]).await;
        assert_eq!(
            (code, out.as_str(), error.as_str()),
            (0, "checkout is held until: serin unhold checkout\n", "")
        );
        assert_eq!(
            tag(&scene).await.as_deref(),
            Some("ticket _7_ see wiki"),
            "what a tag may not say is left out"
        );
        assert!(daemon.get("/-/armed").await.is_err());
        assert_eq!(say(&["unhold", "checkout"]).await, (0, String::new(), String::new()));
        assert_eq!(tag(&scene).await, None);
        daemon.until_armed().await;

        scene.lab.set_control_plane_fault("AddTags", Some(ControlPlaneFault::AccessDenied));
        let (code, _, error) = say(&["hold", "checkout"]).await;
        assert_eq!(code, 0, "the hold is taken all the same");
        assert!(error.contains("held by this instance only") && error.contains("AddTags"), "{error}");
        assert!(daemon.get("/-/armed").await.is_err());
        let (code, _, error) = say(&["hold"]).await;
        assert_eq!(code, 64, "{error}");
    });
}

#[test]
fn one_word_on_a_release_serves_argo_flagger_and_ecs() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let daemon = Daemon::armed(&scene).await;
        let tcp = daemon.tcp().await;
        let path = "/api/v1/verdict/checkout";
        let word = async || -> Value { serde_json::from_str(&get(&tcp, path).await.unwrap()).unwrap() };
        let before = word().await;
        assert_eq!((&before["outcome"], &before["hookStatus"]), (&"none".into(), &"IN_PROGRESS".into()));
        let refused = post(&tcp, path, "{}".into()).await.unwrap_err().to_string();
        assert!(refused.contains("409"), "{refused}");

        scene.cut_over().await;
        daemon.event("release").await;
        daemon.until("open", async || word().await["outcome"] == "open").await;
        scene.lab.service("green").set_fault(Fault::Outage);
        daemon.event("verified").await;
        daemon.until("bad", async || word().await["latched"] == "reverted").await;
        let after = word().await;
        assert_eq!((&after["outcome"], &after["hookStatus"]), (&"bad".into(), &"FAILED".into()));
        assert!(post(&tcp, path, "{\"name\":\"checkout\",\"phase\":\"Progressing\"}".into()).await.is_ok());
        assert!(get(&tcp, "/api/v1/verdict/nobody").await.unwrap_err().to_string().contains("404"));

        // We have acted: whoever begins another release is told.
        let armed: Value = serde_json::from_str(&refusal(&tcp, "/-/armed").await).unwrap();
        let service = &armed["services"]["checkout"];
        assert_eq!((&service["live"][0], &service["idle"][0]), (&"blue".into(), &"green".into()));
        let says = service["unprotected"]["says"].as_str().unwrap();
        assert!(says.starts_with("unprotected until ") && says.contains(" UTC, "), "{says}");
        let metrics = get(&tcp, "/metrics").await.unwrap();
        let line = metrics.lines().find(|line| line.starts_with("serin_unprotected_seconds{")).unwrap();
        let seconds: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((1.0..=3_600.0).contains(&seconds), "{line}");
        let socket = scene.path("serin.sock");
        let begin = ["release", "begin", "checkout", "--id", "r2", "--socket", socket.to_str().unwrap()];
        let (code, _, error) = outcome(serin(&begin)).await;
        assert_eq!(code, 0);
        assert!(error.contains("checkout: unprotected until ") && error.contains("not reverted"), "{error}");
    });
}

/// The body of an answer that says no.
async fn refusal(at: &At, path: &str) -> String {
    let At::Tcp(address) = at else { unreachable!("it is the TCP listener") };
    asked(*address, path, "").await.1
}

/// Head and body of the answer to a GET with these headers beside the usual ones.
async fn asked(address: SocketAddr, path: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn the_page_asks_only_where_it_came_from_and_its_figures_are_there() {
    bounded(async {
        let mut scene = Scene::new(LabOptions::default()).await;
        scene.config.admin = "token = { env = \"ADMIN_TOKEN\" }".into();
        scene.env.push(("ADMIN_TOKEN".into(), TOKEN.into()));
        let daemon = Daemon::armed(&scene).await;
        let tcp = daemon.tcp().await;
        let At::Tcp(address) = tcp else { unreachable!("it is the TCP listener") };

        for (path, kind) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")] {
            let (head, body) = asked(address, path, "").await;
            assert!(
                head.starts_with("http/1.1 200") && head.contains(&format!("content-type: {kind}")),
                "{head}"
            );
            let policy = "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'";
            assert!(head.contains(policy) && !head.contains("unsafe"), "{head}");
            assert!(
                head.contains("x-content-type-options: nosniff") && !head.contains("access-control"),
                "{head}"
            );
            assert!(
                !body.contains("innerHTML") && !body.contains("://") || path == "/page.js",
                "{path} asks nobody else"
            );
        }

        daemon
            .until("a point", async || daemon.status().await["services"]["checkout"]["live"]["answers"] != 0)
            .await;
        let json = async |path: &str| serde_json::from_str::<Value>(&get(&tcp, path).await.unwrap()).unwrap();
        let history = json("/api/v1/services/checkout/history").await;
        let newest = history["points"].as_array().unwrap().last().unwrap();
        assert!(newest["p95_ms"].as_f64().unwrap() > 0.0 && newest["error_ratio"] == 0.0, "{history}");
        daemon
            .until("figures of the URLs", async || {
                let urls = json("/api/v1/services/checkout/urls?per_page=1&sort=p95").await;
                assert_eq!((&urls["total"], &urls["pages"]), (&2.into(), &2.into()), "{urls}");
                urls["urls"][0]["answers"].as_u64().unwrap() > 0
                    && urls["urls"].as_array().unwrap().len() == 1
            })
            .await;
        assert_eq!(
            json("/api/v1/services/checkout/urls?page=3&per_page=1").await["urls"],
            serde_json::json!([])
        );
        let wrong = get(&tcp, "/api/v1/services/checkout/urls?per_page=0").await.unwrap_err().to_string();
        assert!(wrong.contains("400") && wrong.contains("1 to 500"), "{wrong}");
        for path in ["history", "urls", "releases", "releases/r1"] {
            let none = get(&tcp, &format!("/api/v1/services/nobody/{path}")).await.unwrap_err().to_string();
            assert!(none.contains("404") && none.contains("there are: checkout"), "{none}");
        }
        assert_eq!(json("/api/v1/services/checkout/releases").await["releases"], serde_json::json!([]));
        let none = get(&tcp, "/api/v1/services/checkout/releases/r9").await.unwrap_err().to_string();
        assert!(none.contains("404"), "{none}");

        // The same in a terminal; here there is none.
        let place = address.to_string();
        let (code, out, error) = outcome(serin(&["top", "--address", &place])).await;
        assert_eq!((code, error.as_str()), (0, ""));
        let line =
            out.lines().find(|line| line.starts_with("checkout: act, ")).expect("a line of the service");
        assert!(line.contains(" ms, yes, ") && line.contains("0.00 %"), "{out}");

        // The page's own words, and those of one that only says it came from here.
        let bearer = format!("authorization: Bearer {TOKEN}\r\n");
        assert_eq!(status(address, "origin: http://localhost\r\n").await, 401);
        assert_eq!(status(address, &format!("{bearer}origin: http://localhost.evil.example\r\n")).await, 403);
        assert_eq!(status(address, &format!("{bearer}origin: null\r\n")).await, 403);
        let two = "origin: http://localhost\r\norigin: http://evil.example\r\n";
        assert_eq!(status(address, &format!("{bearer}{two}")).await, 403);
        assert!(daemon.events("operator").is_empty(), "nothing of that was taken: {}", daemon.output());
        assert_eq!(status(address, &format!("{bearer}origin: http://localhost\r\n")).await, 200);
        // The way to the socket may lead through something that hands on a browser's words.
        let mut socket = tokio::net::UnixStream::connect(scene.path("serin.sock")).await.unwrap();
        let request = format!(
            "POST {COMMAND} HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{HOLD}",
            HOLD.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    });
}

#[test]
fn whoever_listens_is_told_each_second_until_the_end_and_holds_nothing_up() {
    bounded(async {
        let scene = Scene::new(LabOptions::default()).await;
        let mut daemon = Daemon::armed(&scene).await;
        let At::Tcp(address) = daemon.tcp().await else { unreachable!("it is the TCP listener") };
        let mut open = Vec::new();
        for _ in 0..32 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            let mut begin = [0; 12];
            stream.read_exact(&mut begin).await.unwrap();
            assert_eq!(&begin, b"HTTP/1.1 200");
            open.push(stream);
        }
        let (head, body) = asked(address, "/api/v1/events", "").await;
        assert!(head.starts_with("http/1.1 503") && body.contains("32 are told already"), "{head} {body}");
        drop(open.drain(1..));

        let mut told = String::new();
        let mut part = vec![0; 16_384];
        while told.matches("data: {").count() < 4 {
            let count = open[0].read(&mut part).await.unwrap();
            assert!(count > 0, "it goes on: {told}");
            told.push_str(&String::from_utf8_lossy(&part[..count]));
        }
        assert!(told.contains("text/event-stream") && told.contains("\"checkout\":{"), "{told}");
        // Who comes later hears nothing that was told to others.
        drop(open);
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let mut later = TcpStream::connect(address).await.unwrap();
        later.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut told = String::new();
        while told.matches("data: {").count() < 2 || !told.ends_with("\r\n") {
            let count = later.read(&mut part).await.unwrap();
            told.push_str(&String::from_utf8_lossy(&part[..count]));
        }
        let at: Vec<i64> = told
            .split("data: ")
            .skip(1)
            .filter_map(|event| {
                serde_json::from_str::<Value>(event.split("\n\n").next()?).ok()?["at"].as_i64()
            })
            .collect();
        assert!(at.len() >= 2 && at.is_sorted(), "{at:?} {told}");
        let (ended, took) = daemon.terminate().await;
        assert!(ended.success() && took < Duration::from_secs(10), "{ended} after {took:?}");
    });
}
