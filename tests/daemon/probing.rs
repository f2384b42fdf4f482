//! The engine alone: what each kind of server makes of a sample.

use super::odd::{Certificates, OK, Odd, Seen, request};
use super::scene::bounded;
use serin::config::Sources;
use serin::engine::{Chapter, Dialer, EngineOptions, Finding, Keeper, Order, Port, run};
use serin::model::guard::{Aim, Cadence, OpId, Proof};
use serin::model::sample::{Fault, Ours, Outcome, Purpose, Sample, Taint};
use serin::model::target::Versions;
use serin::settings;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// What a keeper was given.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) samples: Vec<Sample>,
    pub(crate) versions: BTreeSet<String>,
}

struct Collect(Arc<Mutex<Kept>>);

impl Keeper for Collect {
    fn sample(&mut self, sample: &Sample) {
        self.0.lock().unwrap().samples.push(sample.clone());
    }

    fn chapter(&mut self, _: Chapter) {}

    fn revise(&mut self, _: &settings::Service) {}

    fn pump(&mut self, versions: &Versions) {
        let mut kept = self.0.lock().unwrap();
        let ids: Vec<_> = kept.samples.iter().map(|sample| sample.version).collect();
        kept.versions.extend(ids.iter().filter_map(|id| versions.name(*id)).map(|name| name.0.to_string()));
    }

    fn finish(&mut self, versions: &Versions) {
        self.pump(versions);
    }
}

/// An engine that runs one service.
pub(crate) struct Engine {
    orders: Option<mpsc::Sender<Order>>,
    findings: mpsc::Receiver<Finding>,
    kept: Arc<Mutex<Kept>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    _folder: TempDir,
}

/// A target of the configuration: its name, its URL and more lines.
pub(crate) struct Wanted(pub(crate) &'static str, pub(crate) String, pub(crate) &'static str);

pub(crate) fn plain(name: &'static str, address: SocketAddr, more: &'static str) -> Wanted {
    Wanted(name, format!("http://{address}/"), more)
}

impl Engine {
    /// Probes `targets` at the calm pace of `rate` a second, all together.
    pub(crate) fn start(targets: &[Wanted], rate: u32, authority: Option<&str>) -> Self {
        let folder = TempDir::new().unwrap();
        let mut text = format!(
            "service = \"odd\"\nmax_rate = \"5000/s\"\n[objectives]\navailability = \"99%\"\n[pace]\ncalm = \"{rate}/s\"\nrelease = \"{}/s\"\n",
            rate.max(100)
        );
        for Wanted(name, url, more) in targets {
            let _ = write!(
                text,
                "[[targets]]\nname = \"{name}\"\nurl = \"{url}\"\nversion = {{ header = \"x-version\" }}\n{more}\n"
            );
        }
        if let Some(pem) = authority {
            let file = folder.path().join("authority.pem");
            std::fs::write(&file, pem).unwrap();
            text = text.replacen('\n', &format!("\nca_file = \"{}\"\n", file.display()), 1);
        }
        let file = folder.path().join("odd.toml");
        std::fs::write(&file, text).unwrap();
        let sources = Sources { paths: vec![file.display().to_string()], ..Sources::default() };
        let service = settings::load(&sources).unwrap().services.remove(0);
        let dialer = Dialer::new(&service.targets, false).unwrap();
        let (orders, order_receiver) = mpsc::channel(16);
        let (finding_sender, findings) = mpsc::channel(65_536);
        let kept = Arc::new(Mutex::new(Kept::default()));
        let keeper = Box::new(Collect(Arc::clone(&kept)));
        let port = Port { orders: order_receiver, findings: finding_sender, keeper };
        let options =
            EngineOptions { quantum: Duration::from_micros(250), threads: 1, instance: "test".into() };
        let thread = std::thread::spawn(move || run(vec![(service, port)], dialer, &options));
        Self { orders: Some(orders), findings, kept, thread: Some(thread), _folder: folder }
    }

    pub(crate) async fn order(&self, order: Order) {
        self.orders.as_ref().unwrap().send(order).await.unwrap();
    }

    /// Runs on until each of the first `targets` has so many clean samples (a machine with other work voids some of them), and so long at
    /// least; then stops.
    pub(crate) async fn stop_with(self, targets: usize, each: usize, time: Duration) -> Kept {
        tokio::time::sleep(time).await;
        let enough = || {
            let kept = self.kept.lock().unwrap();
            (0..targets).all(|target| of(&kept, target).len() >= each)
        };
        for _ in 0..400 {
            if enough() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.stop_after(Duration::ZERO).await
    }

    /// Runs on for so long, then stops; everything that was kept.
    pub(crate) async fn stop_after(mut self, time: Duration) -> Kept {
        tokio::time::sleep(time).await;
        drop(self.orders.take());
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap().unwrap()).await.unwrap();
        std::mem::take(&mut *self.kept.lock().unwrap())
    }
}

pub(crate) fn of(kept: &Kept, target: usize) -> Vec<&Sample> {
    let clean = |sample: &&Sample| {
        usize::from(sample.target.0) == target
            && sample.taint == Taint::Clean
            && sample.purpose == Purpose::Production
    };
    kept.samples.iter().filter(clean).collect()
}

const TIMEOUT: Duration = Duration::from_millis(300);
const SHORT: &str = "timeout = \"300ms\"";

/// Every clean sample of each target has this outcome, and most are done by their deadline and 50 ms.
pub(crate) fn all_have(kept: &Kept, expected: &[(&str, Outcome)]) {
    for (target, (name, outcome)) in expected.iter().enumerate() {
        let samples = of(kept, target);
        assert!(!samples.is_empty(), "{name} was never asked");
        for sample in &samples {
            assert_eq!(sample.outcome, *outcome, "{name}: {sample:?}");
        }
        let in_time = |sample: &&&Sample| sample.response().duration() <= TIMEOUT + Duration::from_millis(50);
        let count = samples.iter().filter(in_time).count();
        // A machine with other work may hold up single ones.
        assert!(count * 2 > samples.len(), "{name}: only {count} of {} by the deadline", samples.len());
    }
}

#[test]
fn each_fault_of_a_server_has_its_name_and_none_outlives_its_deadline() {
    bounded(async {
        // Bound, so that nobody else gets the port, and not listened at.
        let held = TcpSocket::new_v4().unwrap();
        held.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let refused = held.local_addr().unwrap();
        let reset = Odd::start(async |mut stream: TcpStream, seen: Arc<Seen>| {
            request(&mut stream, &seen).await?;
            // What was not read is answered by a reset.
            stream.set_zero_linger()
        })
        .await;
        let hang = Odd::start(async |mut stream: TcpStream, seen: Arc<Seen>| {
            request(&mut stream, &seen).await?;
            std::future::pending().await
        })
        .await;
        let drip = Odd::start(async |mut stream: TcpStream, seen: Arc<Seen>| {
            request(&mut stream, &seen).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        })
        .await;
        let flood = Odd::start(async |mut stream: TcpStream, seen: Arc<Seen>| {
            request(&mut stream, &seen).await?;
            loop {
                stream.write_all("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50).as_bytes()).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let endless = Odd::start(async |mut stream: TcpStream, seen: Arc<Seen>| {
            request(&mut stream, &seen).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nx-version: odd-1\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'x'; 16_384]).await?;
            }
        })
        .await;
        let huge = Odd::start(async |mut stream: TcpStream, seen: Arc<Seen>| {
            request(&mut stream, &seen).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nx-big: ").await?;
            // As fast as it is read, it would take the machine from the others.
            loop {
                stream.write_all(&[b'x'; 16_384]).await?;
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        })
        .await;
        let garbage = Odd::saying(b"\x00\x01\x02 no such protocol\r\n\r\n").await;
        let ancient = Odd::saying(b"<html>hello</html>").await;
        let silent = Odd::saying(b"").await;
        let half = Odd::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
        let error = Odd::saying(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await;
        let login = Odd::saying(b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n").await;
        let body = Odd::saying(OK.as_bytes()).await;
        let targets = [
            plain("refused", refused, SHORT),
            plain("reset", reset.address, SHORT),
            plain("hang", hang.address, SHORT),
            plain("drip", drip.address, SHORT),
            plain("flood", flood.address, SHORT),
            plain("endless", endless.address, SHORT),
            plain("huge", huge.address, SHORT),
            plain("garbage", garbage.address, SHORT),
            plain("ancient", ancient.address, SHORT),
            plain("silent", silent.address, SHORT),
            plain("half", half.address, SHORT),
            plain("error", error.address, SHORT),
            plain("login", login.address, SHORT),
            plain("body", body.address, "timeout = \"300ms\"\nexpect = { body = \"goodbye\" }"),
            Wanted("nowhere", "http://no-such-name.invalid/".into(), SHORT),
        ];
        let engine = Engine::start(&targets, 60, None);
        let kept = engine.stop_with(targets.len(), 3, Duration::from_millis(2500)).await;
        all_have(
            &kept,
            &[
                ("refused", Outcome::Bad(Fault::ConnectRefused)),
                ("reset", Outcome::Bad(Fault::Reset)),
                ("hang", Outcome::Bad(Fault::Timeout)),
                ("drip", Outcome::Bad(Fault::Timeout)),
                ("flood", Outcome::Bad(Fault::Timeout)),
                ("endless", Outcome::Ok),
                ("huge", Outcome::Bad(Fault::Protocol)),
                ("garbage", Outcome::Bad(Fault::Protocol)),
                ("ancient", Outcome::Bad(Fault::Protocol)),
                ("silent", Outcome::Bad(Fault::Closed)),
                ("half", Outcome::Bad(Fault::Closed)),
                ("error", Outcome::Bad(Fault::Status)),
                ("login", Outcome::Bad(Fault::Edge)),
                ("body", Outcome::Bad(Fault::Body)),
                ("nowhere", Outcome::Failed(Ours::Resolve)),
            ],
        );
    });
}

#[test]
fn each_fault_of_tls_has_its_name() {
    bounded(async {
        let certificates = Certificates::new();
        let good = Odd::tls(Arc::clone(&certificates.good)).await;
        let wrong = Odd::tls(Arc::clone(&certificates.wrong_name)).await;
        let expired = Odd::tls(Arc::clone(&certificates.expired)).await;
        let own = Odd::tls(Arc::clone(&certificates.self_signed)).await;
        let none = Odd::saying(OK.as_bytes()).await;
        let mute = Odd::start(async |_stream: TcpStream, _: Arc<Seen>| std::future::pending().await).await;
        let lines: Vec<String> = [&good, &wrong, &expired, &own, &none, &mute]
            .iter()
            .map(|odd| format!("timeout = \"300ms\"\nconnect_to = \"{}\"", odd.address))
            .collect();
        let names = ["good", "wrong", "expired", "own", "none", "mute"];
        let targets: Vec<Wanted> = names
            .iter()
            .zip(&lines)
            .map(|(name, lines)| Wanted(name, "https://localhost/".into(), lines.clone().leak()))
            .collect();
        let engine = Engine::start(&targets, 30, Some(&certificates.authority));
        let kept = engine.stop_with(targets.len(), 3, Duration::from_millis(2500)).await;
        all_have(
            &kept,
            &[
                ("good", Outcome::Ok),
                ("wrong", Outcome::Bad(Fault::TlsCertificate)),
                ("expired", Outcome::Bad(Fault::TlsCertificate)),
                ("own", Outcome::Bad(Fault::TlsCertificate)),
                ("none", Outcome::Bad(Fault::TlsHandshake)),
                ("mute", Outcome::Bad(Fault::TlsHandshake)),
            ],
        );
        let connected = |sample: &&Sample| sample.target.0 == 0 && sample.phases.connect.0 > 0;
        let first = kept.samples.iter().find(connected).expect("the first one connects");
        assert!(first.phases.tls.0 > 0, "{first:?}");
    });
}

#[test]
fn phases_sum_to_the_total_and_the_wait_is_in_the_first_byte() {
    bounded(async {
        let slow = Odd::good(Duration::from_millis(80)).await;
        let targets = [plain("slow", slow.address, "connection = \"fresh\"")];
        let kept = Engine::start(&targets, 20, None).stop_with(1, 10, Duration::from_millis(1500)).await;
        let samples = of(&kept, 0);
        assert!(samples.len() >= 10);
        for sample in samples {
            let sum: u64 = sample.phases.all().iter().map(|span| u64::from(span.0) * 100).sum();
            assert_eq!(sample.due.0 + sum, sample.done().0, "{sample:?}");
            assert!(sample.phases.first_byte.duration() >= Duration::from_millis(79), "{sample:?}");
            assert!(sample.phases.connect.0 > 0 && sample.phases.tls.0 == 0, "{sample:?}");
        }
        assert_eq!(kept.versions, BTreeSet::from(["odd-1".to_owned()]));
    });
}

#[test]
fn a_timeout_longer_than_the_interval_lets_several_be_in_flight() {
    bounded(async {
        let slow = Odd::good(Duration::from_millis(250)).await;
        let targets = [plain("slow", slow.address, "timeout = \"1s\"")];
        let kept = Engine::start(&targets, 40, None).stop_after(Duration::from_secs(2)).await;
        let waiting = Seen::count(&slow.seen.waiting_max);
        assert!((7..=14).contains(&waiting), "40 a second of 250 ms each are 10 at once: {waiting}");
        assert!(of(&kept, 0).iter().all(|sample| sample.outcome == Outcome::Ok));
    });
}

#[test]
fn never_more_connections_are_open_than_probes_may_be_in_flight() {
    bounded(async {
        let hang = Odd::good(Duration::from_mins(1)).await;
        let targets = [plain("hang", hang.address, "timeout = \"100ms\"\nin_flight = 12")];
        let kept = Engine::start(&targets, 100, None).stop_after(Duration::from_secs(2)).await;
        let open = Seen::count(&hang.seen.open_max);
        // The server sees a close a moment after we gave the connection up.
        assert!(open <= 14, "{open} connections were open at once");
        assert!(of(&kept, 0).iter().all(|sample| sample.outcome != Outcome::Ok));
    });
}

#[test]
fn a_kept_connection_that_closes_as_we_write_is_no_failure() {
    bounded(async {
        let closing = Odd::closing_after(5).await;
        let targets = [plain("closing", closing.address, "")];
        let kept = Engine::start(&targets, 60, None).stop_with(1, 60, Duration::from_secs(2)).await;
        let samples = of(&kept, 0);
        assert!(samples.len() >= 60);
        assert!(samples.iter().all(|sample| sample.outcome == Outcome::Ok), "{samples:?}");
        let retried = samples.iter().filter(|sample| sample.phases.queue.0 >= 100).count();
        assert!(retried >= 5, "some met the close, and say so: {retried}");
    });
}

#[test]
fn a_server_that_never_answers_twice_is_bad_on_fresh_connections_too() {
    bounded(async {
        let closing = Odd::closing_after(0).await;
        let targets = [plain("closing", closing.address, "")];
        let kept = Engine::start(&targets, 40, None).stop_after(Duration::from_secs(1)).await;
        assert!(of(&kept, 0).iter().all(|sample| sample.outcome == Outcome::Bad(Fault::Closed)));
        let (asked, sent) = (kept.samples.len(), Seen::count(&closing.seen.requests));
        assert!(
            sent <= asked + 1,
            "a fresh connection is not tried twice: {sent} requests by {asked} probes"
        );
    });
}

#[test]
fn fresh_connections_are_fresh_and_kept_ones_are_kept() {
    bounded(async {
        let (fresh, kept_alive) = (Odd::good(Duration::ZERO).await, Odd::good(Duration::ZERO).await);
        let targets =
            [plain("fresh", fresh.address, "connection = \"fresh\""), plain("kept", kept_alive.address, "")];
        let kept = Engine::start(&targets, 80, None).stop_after(Duration::from_secs(1)).await;
        let requests = Seen::count(&fresh.seen.requests);
        assert!(Seen::count(&fresh.seen.connections).abs_diff(requests) <= 1, "one request a connection");
        let connections = Seen::count(&kept_alive.seen.connections);
        assert!((2..=8).contains(&connections), "a few connections carry all: {connections}");
        let ids: BTreeSet<u32> = of(&kept, 0).iter().map(|sample| sample.conn).collect();
        assert_eq!(ids.len(), of(&kept, 0).len());
    });
}

#[test]
fn a_method_with_effects_is_sent_at_most_once_a_second_whoever_asks() {
    bounded(async {
        let (post, get) = (Odd::good(Duration::ZERO).await, Odd::good(Duration::ZERO).await);
        let more = "method = \"POST\"\nside_effects = \"none\"";
        let targets = [
            plain("post", post.address, more),
            plain("get", post.address, ""),
            plain("other", get.address, ""),
        ];
        let mut engine = Engine::start(&targets, 60, None);
        engine.order(Order::Pace(Cadence::Release)).await;
        // Another server stands for a registered target, so that what it is asked is told apart.
        let registered = Odd::start(async |mut stream: TcpStream, seen: Arc<Seen>| {
            loop {
                request(&mut stream, &seen).await?;
                assert!(!seen.last.lock().await.starts_with("POST"), "a registered target was asked by POST");
                stream.write_all(OK.as_bytes()).await?;
            }
        })
        .await;
        engine.order(Order::Ask([format!("http://{}", registered.address).into()].into())).await;
        let aim = Aim { versions: BTreeSet::new(), answers: 20, within: Duration::from_secs(10) };
        engine.order(Order::Verify(OpId(7), aim)).await;
        let proof = async {
            loop {
                if let Some(Finding::Proof(op, proof)) = engine.findings.recv().await {
                    return (op, proof);
                }
            }
        };
        assert_eq!(proof.await, (OpId(7), Proof::Shown { answers: 40, addresses: 2 }));
        assert!(Seen::count(&registered.seen.requests) > 3);
        let kept = engine.stop_after(Duration::from_secs(2)).await;
        let production = kept.samples.iter().filter(|sample| sample.purpose == Purpose::Production);
        let mut sent: Vec<_> = production
            .filter(|sample| sample.target.0 == 0 && sample.conn != 0)
            .map(|sample| sample.due)
            .collect();
        sent.sort();
        let pairs = sent.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_millis(999));
        assert!(pairs && (1..=6).contains(&sent.len()), "{} by POST", sent.len());
        assert!(
            kept.samples
                .iter()
                .filter(|sample| sample.purpose == Purpose::Direct)
                .all(|sample| sample.target.0 != 0)
        );
    });
}

#[test]
fn whoever_is_asked_for_whatever_reason_gets_a_trace_that_nobody_need_keep() {
    bounded(async {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen_heads = Arc::clone(&heads);
        let good = Odd::start(move |mut stream: TcpStream, seen: Arc<Seen>| {
            let heads = Arc::clone(&seen_heads);
            async move {
                loop {
                    request(&mut stream, &seen).await?;
                    let head = seen.last.lock().await.to_lowercase();
                    heads.lock().unwrap().push(head);
                    stream.write_all(OK.as_bytes()).await?;
                }
            }
        })
        .await;
        let mut engine = Engine::start(&[plain("home", good.address, "")], 20, None);
        engine.order(Order::Ask([format!("http://{}", good.address).into()].into())).await;
        let aim = Aim { versions: BTreeSet::new(), answers: 20, within: Duration::from_secs(10) };
        engine.order(Order::Verify(OpId(7), aim)).await;
        while !matches!(engine.findings.recv().await, Some(Finding::Proof(..))) {}
        engine.stop_after(Duration::from_secs(1)).await;
        let heads = heads.lock().unwrap().clone();
        let parents = heads.iter().filter_map(|head| head.split("\r\ntraceparent: ").nth(1)?.lines().next());
        let parents: Vec<&str> = parents.collect();
        assert_eq!(parents.len(), heads.len(), "production, the direct way, and the proof");
        assert!(parents.len() > 40 && parents.iter().all(|parent| parent.ends_with("-00")), "{parents:?}");
        assert_eq!(parents.iter().collect::<BTreeSet<_>>().len(), parents.len(), "each its own");
    });
}

#[test]
fn connect_to_changes_the_place_and_not_the_name() {
    bounded(async {
        let good = Odd::good(Duration::ZERO).await;
        let more = format!("connect_to = \"{}\"", good.address).leak();
        let targets = [Wanted("by-name", "http://shop.invalid/path?q=1".into(), more)];
        let kept = Engine::start(&targets, 20, None).stop_with(1, 3, Duration::from_millis(800)).await;
        all_have(&kept, &[("by-name", Outcome::Ok)]);
        let head = good.seen.last.lock().await.to_lowercase();
        assert!(
            head.starts_with("get /path?q=1 http/1.1\r\n") && head.contains("\r\nhost: shop.invalid\r\n"),
            "{head}"
        );
    });
}

#[test]
fn an_expected_body_is_found_across_the_boundary_of_two_chunks() {
    bounded(async {
        let chunked = Odd::start(async |mut stream: TcpStream, seen: Arc<Seen>| {
            request(&mut stream, &seen).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nxhel\r\n").await?;
            stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(30)).await;
            stream.write_all(b"3\r\nlox\r\n0\r\n\r\n").await
        })
        .await;
        let targets = [plain("chunked", chunked.address, "expect = { body = \"hello\" }")];
        let kept = Engine::start(&targets, 20, None).stop_with(1, 3, Duration::from_millis(800)).await;
        let samples = of(&kept, 0);
        assert!(
            !samples.is_empty() && samples.iter().all(|sample| sample.outcome == Outcome::Ok),
            "{samples:?}"
        );
        let waited = samples.iter().all(|sample| sample.phases.body.duration() >= Duration::from_millis(25));
        assert!(waited, "the wait for the second chunk is in the body");
    });
}

#[test]
fn a_name_that_does_not_resolve_blinds_us_and_never_convicts() {
    bounded(async {
        let targets = [Wanted("nowhere", "http://no-such-name.invalid/".into(), SHORT)];
        let mut engine = Engine::start(&targets, 60, None);
        let mut words = BTreeSet::new();
        let collect = async {
            while !words.contains("blind") {
                if let Some(Finding::Judged(judged)) = engine.findings.recv().await {
                    words.insert(judged.verdict.word());
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), collect).await.expect("blind in the end");
        let kept = engine.stop_after(Duration::from_secs(1)).await;
        assert!(!words.contains("bad") && !words.contains("good"), "{words:?}");
        all_have(&kept, &[("nowhere", Outcome::Failed(Ours::Resolve))]);
    });
}
