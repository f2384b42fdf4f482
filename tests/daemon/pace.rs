//! The pace: what a stopped process makes of it, what a switch of cadence does, what connections carry, and `serin probe`.

use super::child::{outcome, serin};
use super::odd::{Certificates, OK, Odd, Seen, request};
use super::probing::{Engine, Wanted, all_have, of, plain};
use super::scene::bounded;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use serin::engine::Order;
use serin::model::guard::Cadence;
use serin::model::release::{Baseline, EpochId, Stage};
use serin::model::sample::{Fault, Outcome, Phases, Purpose};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const BAD: &str = "HTTP/1.1 500 Broken\r\ncontent-length: 0\r\nx-version: odd-1\r\n\r\n";

/// A server that notes when each request came.
async fn noting() -> (Odd, Arc<Mutex<Vec<Instant>>>) {
    let came = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&came);
    let odd = Odd::start(move |mut stream: TcpStream, seen: Arc<Seen>| {
        let noted = Arc::clone(&noted);
        async move {
            loop {
                request(&mut stream, &seen).await?;
                #[expect(clippy::disallowed_methods, reason = "a test's own ruler")]
                noted.lock().unwrap().push(Instant::now());
                stream.write_all(OK.as_bytes()).await?;
            }
        }
    })
    .await;
    (odd, came)
}

async fn probe(args: &[&str], url: &str) -> (i32, Value, String) {
    let mut command = serin(&["probe", "--json"]);
    command.args(args).arg(url);
    let (code, out, log) = outcome(command).await;
    (code, serde_json::from_str(&out).unwrap_or(Value::Null), log)
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value:#}"))
}

/// Most that came within `span`.
fn busiest(came: &[Instant], span: Duration) -> usize {
    (0..came.len())
        .map(|first| came[first..].iter().take_while(|at| at.duration_since(came[first]) < span).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn a_process_that_was_stopped_misses_its_probes_and_makes_no_burst() {
    bounded(async {
        let (odd, came) = noting().await;
        let url = format!("http://{}/", odd.address);
        let mut command = serin(&["probe", "--json", "--rate", "200", "--duration", "3s", &url]);
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        tokio::time::sleep(Duration::from_millis(800)).await;
        kill_process(pid, Signal::STOP).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        kill_process(pid, Signal::CONT).unwrap();
        let out = child.wait_with_output().await.unwrap().stdout;
        let found: Value = serde_json::from_slice(&out).unwrap();
        let (attempts, missed) = (number(&found, "attempts"), number(&found, "missed"));
        assert!((595.0..=605.0).contains(&attempts), "every slot is accounted for: {found:#}");
        assert!((150.0..=400.0).contains(&missed), "a second of 200: {found:#}");
        let came = came.lock().unwrap();
        let burst = busiest(&came, Duration::from_millis(10));
        assert!(burst <= 8, "{burst} requests within 10 ms, at 200 a second");
        assert!(number(&found, "stalled_ms") > 800.0, "{found:#}");
    });
}

#[test]
fn a_target_that_hangs_fills_its_slots_and_then_the_next_is_saturated() {
    bounded(async {
        let hang = Odd::good(Duration::from_mins(1)).await;
        let url = format!("http://{}/", hang.address);
        let args = ["--rate", "100", "--duration", "2s", "--timeout", "1s", "--connections", "20"];
        let (code, found, _) = probe(&args, &url).await;
        assert_eq!(code, 1);
        let (saturated, timeouts) = (number(&found, "saturated"), number(&found["failures"], "timeout"));
        // 20 at once, each for a second: 40 to 60 time out, all others find no slot. What our own engine misses is neither.
        let ours = number(&found, "attempts") - timeouts - saturated;
        assert!((40.0 - ours..=60.0).contains(&timeouts), "{found:#}");
        assert!((135.0 - ours..=160.0).contains(&saturated) && saturated > 0.0, "{found:#}");
        assert!(Seen::count(&hang.seen.open_max) <= 22);
    });
}

#[test]
fn a_switch_of_cadence_makes_neither_a_gap_nor_a_burst() {
    bounded(async {
        let good = Odd::good(Duration::ZERO).await;
        let engine = Engine::start(&[plain("good", good.address, "")], 20, None);
        for cadence in [Cadence::Release, Cadence::Calm, Cadence::Release] {
            tokio::time::sleep(Duration::from_millis(330)).await;
            engine.order(Order::Pace(cadence)).await;
        }
        let kept = engine.stop_after(Duration::from_millis(300)).await;
        let due: Vec<u64> = kept.samples.iter().map(|sample| sample.due.0 / 1_000).collect();
        let pauses: Vec<u64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // 20 a second are 50 ms apart, 100 a second 10 ms; a switch may shorten one pause, and a machine with other work leaves a few
        // probes out.
        let long = pauses.iter().filter(|pause| **pause > 50_001).count();
        assert!(long * 20 <= pauses.len(), "{pauses:?}");
        let short = pauses.iter().filter(|pause| **pause < 9_999).count();
        assert!(short <= 3, "{pauses:?}");
        assert!(pauses.contains(&10_000) && pauses.contains(&50_000), "{pauses:?}");
    });
}

#[test]
fn while_a_breach_is_in_doubt_the_old_version_is_asked_as_often_as_production() {
    bounded(async {
        let count = Arc::new(AtomicUsize::new(0));
        let now_and_then = Odd::start(move |mut stream: TcpStream, seen: Arc<Seen>| {
            let count = Arc::clone(&count);
            async move {
                loop {
                    request(&mut stream, &seen).await?;
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    let bad = number > 50 && number.is_multiple_of(25);
                    stream.write_all(if bad { BAD } else { OK }.as_bytes()).await?;
                }
            }
        })
        .await;
        let old = Odd::good(Duration::ZERO).await;
        let engine = Engine::start(&[plain("one", now_and_then.address, "")], 20, None);
        let now = serin::clock::now();
        engine
            .order(Order::Open(Stage {
                epoch: EpochId(1),
                after: now,
                since: now,
                cutover: now,
                release: true,
                old_versions: ["old".into()].into(),
                one_has_all: true,
                baseline: Baseline::default(),
            }))
            .await;
        engine.order(Order::Pace(Cadence::Release)).await;
        engine.order(Order::Ask([format!("http://{}", old.address).into()].into())).await;
        let kept = engine.stop_after(Duration::from_secs(16)).await;
        let direct = kept.samples.iter().filter(|sample| sample.purpose == Purpose::Direct);
        let mut due: Vec<u64> = direct.map(|sample| sample.due.0 / 1_000).collect();
        due.sort_unstable();
        let pauses: Vec<u64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // A fifth of 100 a second is 50 ms apart, and as often is 10 ms; a machine with other work leaves some out.
        let first = pauses.iter().position(|pause| *pause == 10_000).expect("it came to a doubt");
        let odd = pauses[..first].iter().filter(|pause| *pause % 50_000 != 0).count();
        assert!(
            odd <= 3 && first > 5 && pauses.iter().filter(|pause| **pause == 10_000).count() > 100,
            "{pauses:?}"
        );
    });
}

#[test]
fn urls_of_one_origin_share_their_connections() {
    bounded(async {
        let good = Odd::good(Duration::ZERO).await;
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let targets: Vec<Wanted> =
            names.iter().map(|name| Wanted(name, format!("http://{}/{name}", good.address), "")).collect();
        let kept = Engine::start(&targets, 160, None).stop_after(Duration::from_secs(1)).await;
        assert!(kept.samples.len() >= 100);
        assert!((4..=6).contains(&Seen::count(&good.seen.connections)), "four are kept, whatever the URLs");
        let one = |target: usize| of(&kept, target).iter().map(|sample| sample.conn).collect::<Vec<_>>();
        let connections: std::collections::BTreeSet<u32> = one(0).into_iter().collect();
        assert!(connections.len() >= 2, "evidence of one URL comes over several: {connections:?}");
    });
}

#[test]
fn what_is_no_longer_registered_keeps_no_connection_of_ours() {
    bounded(async {
        let (good, registered) = (Odd::good(Duration::ZERO).await, Odd::good(Duration::ZERO).await);
        let engine = Engine::start(&[plain("good", good.address, "")], 100, None);
        let id = || [format!("http://{}", registered.address).into()].into();
        engine.order(Order::Ask(id())).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        let connections = Seen::count(&registered.seen.connections);
        assert!((2..=5).contains(&connections), "{connections}");
        engine.order(Order::Ask(id())).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(Seen::count(&registered.seen.connections) <= 5, "the same ones again change nothing");
        engine.order(Order::Ask([].into())).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(Seen::count(&registered.seen.open), 0);
        engine.stop_after(Duration::ZERO).await;
    });
}

#[test]
fn http2_is_spoken_where_it_is_asked_for_one_stream_a_connection() {
    bounded(async {
        let certificates = Certificates::new();
        let two = Odd::http2(Arc::clone(&certificates.good)).await;
        let one = Odd::tls(Arc::clone(&certificates.good)).await;
        let plain_two = Odd::http2_plain().await;
        let lines =
            |odd: &Odd| format!("http = \"2\"\ntimeout = \"300ms\"\nconnect_to = \"{}\"", odd.address);
        let url = || "https://localhost/two".to_owned();
        let targets = [
            Wanted("two", url(), lines(&two).leak()),
            Wanted("one", url(), lines(&one).leak()),
            Wanted("plain", format!("http://{}/", plain_two.address), "http = \"2\"\ntimeout = \"300ms\""),
        ];
        let engine = Engine::start(&targets, 60, Some(&certificates.authority));
        let kept = engine.stop_with(targets.len(), 3, Duration::from_millis(1500)).await;
        all_have(
            &kept,
            &[("two", Outcome::Ok), ("one", Outcome::Bad(Fault::TlsHandshake)), ("plain", Outcome::Ok)],
        );
        assert!(kept.versions.contains("odd-2"), "{:?}", kept.versions);
        assert_eq!(Seen::count(&two.seen.waiting_max), 1, "streams of one connection at once");
        assert!((4..=6).contains(&Seen::count(&two.seen.connections)), "connections are kept");
    });
}

#[test]
fn a_tls_session_is_resumed_where_it_is_asked_for_and_only_there() {
    bounded(async {
        let certificates = Certificates::new();
        let (full, resumed) =
            (Odd::tls(Arc::clone(&certificates.good)).await, Odd::tls(Arc::clone(&certificates.good)).await);
        let lines = |odd: &Odd, session: &str| {
            format!("connection = \"fresh\"\ntls_session = \"{session}\"\nconnect_to = \"{}\"", odd.address)
        };
        let url = || "https://localhost/".to_owned();
        let targets = [
            Wanted("full", url(), lines(&full, "full").leak()),
            Wanted("resumed", url(), lines(&resumed, "resume").leak()),
        ];
        let engine = Engine::start(&targets, 60, Some(&certificates.authority));
        let kept = engine.stop_with(targets.len(), 3, Duration::from_millis(1500)).await;
        all_have(&kept, &[("full", Outcome::Ok), ("resumed", Outcome::Ok)]);
        assert_eq!(Seen::count(&full.seen.resumed), 0);
        let (again, all) = (Seen::count(&resumed.seen.resumed), Seen::count(&resumed.seen.connections));
        assert!(again + 3 >= all && all > 20, "{again} of {all} resumed");
    });
}

#[test]
fn one_question_is_drawn_with_its_phases() {
    bounded(async {
        let good = Odd::good(Duration::from_millis(20)).await;
        let url = format!("http://{}/", good.address);
        let mut command = serin(&["probe"]);
        command.arg(&url);
        let (code, text, _) = outcome(command).await;
        assert_eq!(code, 0);
        for word in ["200, version odd-1, from 127.0.0.1", "connect", "first_byte", "total"] {
            assert!(text.contains(word), "{word} in {text}");
        }
        let (code, found, _) = probe(&[], &url).await;
        let one = &found["probes"][0];
        let sum: f64 = Phases::NAMES.iter().filter_map(|name| one["phases_us"][name].as_f64()).sum();
        assert!((sum - number(one, "total_us")).abs() < 0.2, "{one:#}");
        assert!(number(&one["phases_us"], "first_byte") >= 19_900.0, "{one:#}");
        assert_eq!((code, one["ok"].as_bool(), one["version"].as_str()), (0, Some(true), Some("odd-1")));
        let (code, found, log) = probe(&["--expect-status", "404"], &url).await;
        assert_eq!((code, found["probes"][0]["reason"].as_str()), (1, Some("status")));
        assert!(log.contains("1 of the probes"), "{log}");
    });
}

#[test]
fn a_paced_run_says_what_it_attained_and_what_it_waited_for() {
    bounded(async {
        let good = Odd::good(Duration::from_millis(5)).await;
        let url = format!("http://{}/", good.address);
        let args = ["--rate", "200", "--duration", "1500ms", "--connections", "10"];
        let (code, found, log) = probe(&args, &url).await;
        assert_eq!(code, 0, "{log}");
        let sent = number(&found, "attempts") - number(&found, "missed");
        assert!((number(&found, "rate_attained") - sent / 1.5).abs() < 6.0, "{found:#}");
        assert!(number(&found["service_us"], "p50") >= 4_900.0, "{found:#}");
        assert!(number(&found["response_us"], "p50") >= number(&found["service_us"], "p50"), "{found:#}");
        for key in ["lateness_us", "since_due_us", "phases_us"] {
            assert!(found[key].is_object(), "{key} in {found:#}");
        }
        let (code, found, _) =
            probe(&["--rate", "max", "--duration", "500ms", "--connections", "4"], &url).await;
        assert_eq!(code, 0);
        let attempts = number(&found, "attempts");
        assert!((100.0..=410.0).contains(&attempts), "four connections, 5 ms each: {attempts}");
    });
}

#[test]
fn what_can_not_be_paced_is_refused_by_name() {
    bounded(async {
        for (args, words) in [
            (&["--rate", "0"][..], "1 a day to 1,000,000 a second"),
            (&["--rate", "-5"][..], "--rate"),
            (&["--rate", "fast"][..], "--rate"),
            (&["--rate", "1/d"][..], "--rate"),
            (&["--rate", "0.04/h"][..], "a day"),
            (&["--rate", "5000", "--quantum", "1ms"][..], "--quantum"),
            (&["--rate", "10", "--quantum", "1s"][..], "--quantum"),
            (&["--rate", "10", "--duration", "0s"][..], "--duration"),
            (&["--rate", "10", "--connections", "0"][..], "--connections"),
            (&["--duration", "5s"][..], "--rate"),
            (&["--timeout", "0s"][..], "--timeout"),
        ] {
            let (code, _, log) = probe(args, "http://127.0.0.1:9/").await;
            assert_eq!(code, 64, "{args:?}: {log}");
            assert!(log.contains(words), "{args:?}: {log}");
        }
        for url in ["ftp://x/", "http://169.254.169.254/", "nonsense", "http://user:word@x/"] {
            let (code, _, log) = probe(&[], url).await;
            assert_eq!(code, 64, "{url}: {log}");
        }
    });
}

#[test]
fn a_pace_that_the_machine_can_not_carry_is_refused_at_the_start() {
    bounded(async {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("serin.toml");
        let write = |targets: &str, pace: &str, more: &str| {
            let text = format!(
                "service = \"heavy\"\nmax_rate = \"100000/s\"\n{targets}\n[objectives]\navailability = \"99%\"\n[pace]\n{pace}\n{more}"
            );
            std::fs::write(&file, text).unwrap();
        };
        let config = file.to_str().unwrap();
        write(
            "[[targets]]\nurl = \"https://127.0.0.1:9/\"\nconnection = \"fresh\"",
            "calm = \"10/s\"\nrelease = \"4000/s\"",
            "",
        );
        for args in [["run", "--config", config], ["check", "--config", config]] {
            let (code, _, log) = outcome(serin(&args)).await;
            assert_eq!(code, 78, "{log}");
            assert!(log.contains("service heavy: its probes need 2.8 cores"), "{log}");
        }
        write("[[targets]]\nurl = \"http://127.0.0.1:9/\"", "calm = \"10/s\"\nrelease = \"5000/s\"", "");
        let (code, _, log) = outcome(serin(&["check", "--config", config])).await;
        assert_eq!(code, 78, "{log}");
        assert!(log.contains("engine.quantum") && log.contains("200us"), "{log}");
        write("[[targets]]\nurl = \"http://127.0.0.1:9/\"", "calm = \"10/s\"\nrelease = \"100/s\"", "");
        let (code, out, log) = outcome(serin(&["check", "--config", config])).await;
        assert_eq!(code, 0, "{log}");
        assert!(out.contains("probes: 0.006 of"), "{out}");
    });
}
