//! `serin demo`: a newcomer watches Serin save a bad release, in a lab on loopback.
//!
//! The demo plays everybody but Serin: it starts the lab, writes a configuration, starts `serin run` on it as a process
//! of its own, cuts the listener over through the API as a pipeline would, makes green go bad, and counts what
//! users get. What it tells of Serin it reads from Serin's own ledger lines, and what the panel shows over its API, as anybody
//! could; there is no other way between them.
//!
//! | file | what |
//! |---|---|
//! | `demo.rs` | the arguments, the play, the outcome |
//! | `demo/story.rs` | ledger lines to a story |
//! | `demo/panel.rs` | on a terminal: a panel beneath it, redrawn in place |
//! | `demo/view.rs` | what that shows |
//! | `stage` | the pipeline, the `serin run` beside it and its configuration: shared with `serin drill` |

mod panel;
mod story;
mod view;

use super::stage::{self, Daemon, narrate};
use super::{Failure, say};
use crate::clock;
use crate::lab::{Fault, Lab, LabOptions, UserCounts, UserOptions};
use crate::model::time::Mono;
use anyhow::{Context, anyhow};
use clap::Args;
use panel::Panel;
use serde_json::json;
use std::time::Duration;
use story::{Outcome, Story, Teller};

/// The users are watched for so long after the end, because the last of them may still be waiting.
const AFTERMATH: Duration = Duration::from_millis(700);
/// A good release is watched for so long.
const WATCH_GOOD: Duration = Duration::from_secs(6);
/// Whatever was to happen has happened by then, beside the propagation.
const PATIENCE: Duration = Duration::from_secs(25);
/// Requests of users a second.
const USERS: u32 = 100;

/// `serin demo`
#[derive(Args, Debug)]
#[command(after_long_help = "\
Faults of green, the new version:
  outage          every answer is a 500
  errors=20%      this share of the answers is a 500
  latency=400ms   every answer comes so much later (the objective is P95 within 250 ms)
  both-bad        green and blue are both out: a shared dependency; Serin must refuse, and say why
  none            green is good; Serin must leave it alone

The exit code is 0 when Serin did what it should: reverted, refused (both-bad) or kept (none).")]
pub(super) struct DemoArgs {
    /// What is wrong with green: outage, errors=PERCENT, latency=TIME, both-bad or none.
    #[arg(long, default_value = "outage", value_parser = parse_fault)]
    fault: DemoFault,
    /// When green goes bad, after the cutover; 0s is broken from the first second.
    #[arg(long, default_value = "4s", value_parser = humantime::parse_duration)]
    at: Duration,
    /// How long the load balancer takes to follow a change; 10s feels like the real thing.
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    propagation: Duration,
    /// Print one JSON object instead of the story.
    #[arg(long)]
    json: bool,
    /// Print the story's lines only, without the panel that a terminal gets; as it is where standard output is none.
    #[arg(long)]
    plain: bool,
}

/// What is wrong with green.
#[derive(Clone, Copy, Debug, PartialEq)]
enum DemoFault {
    Outage,
    Errors(f64),
    Latency(Duration),
    BothBad,
    None,
}

fn parse_fault(text: &str) -> Result<DemoFault, String> {
    match text.split_once('=') {
        None if text == "outage" => Ok(DemoFault::Outage),
        None if text == "both-bad" => Ok(DemoFault::BothBad),
        None if text == "none" => Ok(DemoFault::None),
        Some(("errors", share)) => {
            let percent = share.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
            let percent = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0);
            percent.map(|percent| DemoFault::Errors(percent / 100.0)).ok_or_else(|| {
                format!("errors={share}: wants a percentage above 0 and up to 100, as in errors=20%")
            })
        }
        Some(("latency", time)) => {
            let time = humantime::parse_duration(time).map_err(|error| format!("latency={time}: {error}"))?;
            if time > Duration::from_secs(1) {
                return Err("latency: at most 1s; slower answers are timeouts, which is an outage".into());
            }
            Ok(DemoFault::Latency(time))
        }
        _ => Err(format!("{text}: there are outage, errors=20%, latency=400ms, both-bad and none")),
    }
}

impl DemoFault {
    fn lab(self) -> Fault {
        match self {
            Self::Outage | Self::BothBad => Fault::Outage,
            Self::Errors(share) => Fault::Errors { share },
            Self::Latency(extra) => Fault::Latency { extra },
            Self::None => Fault::None,
        }
    }

    const fn wanted(self) -> Outcome {
        match self {
            Self::Outage | Self::Errors(_) | Self::Latency(_) => Outcome::Reverted,
            Self::BothBad => Outcome::Refused,
            Self::None => Outcome::Kept,
        }
    }

    /// As on the command line.
    fn name(self) -> String {
        match self {
            Self::Outage => "outage".into(),
            Self::Errors(share) => format!("errors={}%", share * 100.0),
            Self::Latency(extra) => format!("latency={}ms", extra.as_millis()),
            Self::BothBad => "both-bad".into(),
            Self::None => "none".into(),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Outage => "green answers 500".into(),
            Self::Errors(share) => format!("green answers 500 to {:.0} % of the requests", share * 100.0),
            Self::Latency(extra) => format!("green answers {} ms later", extra.as_millis()),
            Self::BothBad => "green and blue answer 500".into(),
            Self::None => "nothing goes wrong".into(),
        }
    }
}

pub(super) fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let played = super::runtime()?.block_on(play(args))?;
    say(&played.shown)?;
    match played.complaint {
        None => Ok(()),
        Some(why) => Err(Failure::Failed(anyhow!(why))),
    }
}

/// What is shown at the end, and what is wrong with it.
struct Played {
    shown: String,
    complaint: Option<String>,
}

async fn play(args: &DemoArgs) -> Result<Played, anyhow::Error> {
    let options = LabOptions { propagation: args.propagation, ..LabOptions::default() };
    let lab = Lab::start(options).await.context("the lab can't start")?;
    let panel = if args.json || args.plain { None } else { Panel::start(lab.balancer_addresses().len()) };
    let Some(panel) = panel else { return act(args, lab, None).await };
    // Without a panel the signal itself ends us.
    tokio::select! {
        played = act(args, lab, Some(&panel)) => played,
        () = panel.interrupted() => Err(anyhow!("interrupted")),
    }
}

/// Where the story goes.
fn teller(args: &DemoArgs, panel: Option<&Panel>) -> Teller {
    match panel {
        Some(panel) => Box::new(panel.teller()),
        None if args.json => Box::new(|_: &str| {}),
        None => Box::new(narrate),
    }
}

async fn act(args: &DemoArgs, lab: Lab, panel: Option<&Panel>) -> Result<Played, anyhow::Error> {
    let mut daemon = Daemon::start(&lab, args.propagation, "demo")?;
    let _looks = panel.map(|panel| panel.follow(daemon.socket.clone()));
    let tell = teller(args, panel);
    if !args.json {
        tell(&format!(
            "lab      blue and green, 3 targets each, behind a load balancer at {}\n",
            lab.url("/")
        ));
        tell(&format!(
            "config   {} (edit it, and pass it to `serin run` against your own listener;\n         settle and grace are short here so that the demo is)\n",
            daemon.config.display()
        ));
    }
    daemon.wait_until_good(args.propagation + PATIENCE).await?;
    let users = lab.users(UserOptions {
        rate: USERS,
        path: "/checkout".into(),
        slow_after: Duration::from_millis(250),
        ..UserOptions::default()
    });
    let mut story = Story::new(tell);
    let cutover = cut_over(&lab, args, &mut story).await?;
    let end = watch(&mut daemon, &mut story, args, cutover, &lab).await;
    tokio::time::sleep(AFTERMATH).await;
    let counts = users.stop().await;
    let serving = stage::serving(&lab).await?;
    let stopped = daemon.stop().await;
    lab.stop().await;
    end?;
    stopped?;
    Ok(finish(args, &story, counts, &serving, &daemon))
}

/// The pipeline's part: the listener goes over to green through the API.
async fn cut_over(lab: &Lab, args: &DemoArgs, story: &mut Story) -> Result<Mono, anyhow::Error> {
    if args.at.is_zero() {
        break_it(lab, args.fault);
    }
    stage::cut_over(lab).await?;
    let cutover = clock::now();
    story.begin(cutover);
    story.tell("cutover_sent", cutover, "cutover sent", "blue → green, by the pipeline");
    if args.at.is_zero() && args.fault != DemoFault::None {
        story.tell("fault", cutover, "fault", &args.fault.words());
    }
    Ok(cutover)
}

fn break_it(lab: &Lab, fault: DemoFault) {
    lab.service("green").set_fault(fault.lab());
    if fault == DemoFault::BothBad {
        lab.service("blue").set_fault(fault.lab());
    }
}

/// Follows Serin's ledger until the release has its end, and breaks green on the way.
async fn watch(
    daemon: &mut Daemon,
    story: &mut Story,
    args: &DemoArgs,
    cutover: Mono,
    lab: &Lab,
) -> Result<(), anyhow::Error> {
    let mut broken = args.at.is_zero() || args.fault == DemoFault::None;
    let fault_at = cutover.after(args.at);
    let last = match args.fault {
        DemoFault::None => cutover.after(args.propagation + WATCH_GOOD),
        _ => cutover.after(args.at + args.propagation * 2 + PATIENCE),
    };
    while story.outcome().is_none() {
        let until = if broken { last } else { fault_at };
        tokio::select! {
            line = daemon.next_line() => match line? {
                Some(line) => story.take(&line),
                None => return Err(anyhow!("`serin run` ended early; its log is {}", daemon.log.display())),
            },
            () = tokio::time::sleep(until.since(clock::now())) => {
                if broken {
                    break;
                }
                broken = true;
                break_it(lab, args.fault);
                story.tell("fault", clock::now(), "fault", &args.fault.words());
            }
        }
    }
    Ok(())
}

/// The outcome against what it should be.
fn finish(args: &DemoArgs, story: &Story, users: UserCounts, serving: &str, daemon: &Daemon) -> Played {
    let outcome = story.outcome().unwrap_or(Outcome::Kept);
    let wanted = args.fault.wanted();
    let home = if wanted == Outcome::Reverted { "blue" } else { "green" };
    let complaint = if outcome != wanted {
        Some(format!(
            "the outcome is {}, and should be {}; Serin's log is {}",
            outcome.word(),
            wanted.word(),
            daemon.log.display()
        ))
    } else if serving != home {
        Some(format!("the listener serves {serving}, and should serve {home}"))
    } else {
        None
    };
    let evidence = json!({
        "config": daemon.config, "ledger": daemon.ledger(), "log": daemon.log,
        "report": format!("serin report --dir {}", daemon.evidence.display()),
    });
    let shown = if args.json {
        let value = json!({
            "fault": args.fault.name(),
            "outcome": outcome.word(),
            "timeline": story.timeline(),
            "user_bad_answers": users.bad,
            "user_good_answers": users.good,
            "verdict": story.verdict(),
            "evidence": evidence,
        });
        format!("{value:#}\n")
    } else {
        let span = match (users.first_bad, users.last_bad) {
            (Some(first), Some(last)) => format!(" in {:.2} s", last.since(first).as_secs_f64()),
            _ => String::new(),
        };
        let note = if outcome == Outcome::Reverted && args.propagation.is_zero() {
            "\n          a real load balancer takes some 10 s more to follow the revert; see --propagation 10s"
        } else {
            ""
        };
        format!(
            "          users ({USERS} a second) had {} bad answers{span}, and {} good ones{note}\n          \
             outcome: {}; the account: serin report --dir {}\n",
            users.bad,
            users.good,
            outcome.word(),
            daemon.evidence.display()
        )
    };
    Played { shown, complaint }
}
