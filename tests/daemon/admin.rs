//! Who may ask, and who may change.

use super::child::Daemon;
use super::scene::{Scene, bounded};
use serin::admin::{At, get, post};
use serin::lab::LabOptions;
use std::net::SocketAddr;
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
        assert_eq!(daemon.status().await["services"]["checkout"]["mode"], "act");

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
