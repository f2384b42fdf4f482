//! `serin release SERVICE --steps …`: the pipeline's part of a canary, driven by the judge's word.
//!
//! Each step is a write to the listener, as any pipeline makes it; the running Serin sees it, judges it and puts it back if it is bad.
//! This side only ever goes on: when the daemon has judged the step good and would put the next one back. It never goes back itself.

use super::stage::narrate;
use super::stand::Stand;
use super::{ConfigArgs, Failure, say};
use crate::admin::{At, post};
use crate::app::aws;
use crate::clock;
use crate::model::alias;
use crate::model::guard::{Command, Depth, WriteOutcome};
use crate::model::listener::{ListenerState, group_name};
use crate::model::owner::Owner;
use crate::model::shift::shift;
use crate::model::time::Mono;
use crate::revert::{Hand, Reverter};
use crate::settings::{self, Service};
use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// How often the daemon is asked.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A step that was made is seen by then: in peace the listener is read once a minute where no answer tells.
const SEEN_WITHIN: Duration = Duration::from_secs(90);
/// After its word a bad release has come to rest by then, or a person was called.
const REST_WITHIN: Duration = Duration::from_mins(3);

/// The steps, and who drives them.
#[derive(Args, Debug)]
pub(super) struct StepArgs {
    /// The service, as in its file.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Drive the release: these shares of the requests go to the new version one after the other, each only when the one
    /// before was judged good. Percent, rising, up to 100.
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',', value_parser = percent, num_args = 1.., requires = "to")]
    steps: Vec<u8>,
    /// The new version's target group: its ARN, or its name where the listener names it already.
    #[arg(long, value_name = "GROUP", requires = "steps")]
    to: Option<String>,
    /// What the pipeline calls the release.
    #[arg(long, value_name = "ID", requires = "steps")]
    id: Option<String>,
    /// A step that was not judged good by then is left as it is, and the release stops there.
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration, requires = "steps")]
    step_timeout: Duration,
    /// One JSON object at the end instead of a line for each step.
    #[arg(long, requires = "steps")]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// The admin socket of the running Serin, if it isn't admin.socket of the configuration.
    #[arg(long, value_name = "PATH", requires = "steps")]
    admin: Option<PathBuf>,
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<u8>().ok();
    number
        .filter(|percent| (1..=100).contains(percent))
        .ok_or_else(|| "wants whole percents from 1 to 100, as in 1,10,50,100".into())
}

/// A step that was made.
#[derive(Debug)]
struct Made {
    percent: u8,
    at: Mono,
    good: Option<Mono>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Every step was good.
    Done,
    /// A step was bad; the daemon has the word.
    Bad,
    /// Somebody else took over.
    Left,
    /// No word in time, or the next step would not be put back.
    Stopped,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Bad => "bad",
            Self::Left => "left",
            Self::Stopped => "stopped",
        }
    }
}

/// Everything that a step needs.
struct Driver {
    service: String,
    hand: Hand,
    at: At,
    green: String,
    within: Duration,
    quiet: bool,
    began: Mono,
    made: Vec<Made>,
}

pub(super) fn steps(args: &StepArgs) -> Result<(), Failure> {
    let (Some(name), Some(to), [_, ..]) = (&args.service, &args.to, args.steps.as_slice()) else {
        return Err(Failure::Usage(
            "release wants `begin SERVICE --id ID`, or SERVICE --steps 1,10,50,100 --to GROUP".into(),
        ));
    };
    if !args.steps.is_sorted_by(|a, b| a < b) {
        return Err(Failure::Usage("--steps: each share has to be larger than the one before".into()));
    }
    let settings = settings::load(&args.config.sources())?;
    let names: Vec<&str> = settings.services.iter().map(|service| service.name.as_str()).collect();
    let service = settings.services.iter().find(|service| service.name == *name).ok_or_else(|| {
        Failure::Usage(format!("the configuration has no service {name}; there are: {}", names.join(", ")))
    })?;
    if !service.has_lever() {
        return Err(Failure::Config(format!(
            "{name} has neither listener, rule nor lambda_alias: there is nothing to step"
        )));
    }
    let at = At::Socket(args.admin.clone().unwrap_or_else(|| settings.process.admin.socket.clone()));
    super::runtime()?.block_on(drive(args, service, to, at))
}

async fn drive(args: &StepArgs, service: &Service, to: &str, at: At) -> Result<(), Failure> {
    let hand = Hand::new(&aws().await, &service.levers, &service.whose);
    let live = ready(&hand, &at, service).await?;
    let green = group(&live, to)?;
    shift(&live, &green, args.steps[0]).map_err(|why| Failure::Failed(anyhow!(why)))?;
    let mut driver = Driver {
        service: service.name.clone(),
        hand,
        at,
        green,
        within: args.step_timeout,
        quiet: args.json,
        began: clock::now(),
        made: Vec::new(),
    };
    if let Some(id) = &args.id {
        driver.mark(id).await?;
    }
    let mut ended = Ok((Outcome::Done, "every step was judged good".to_owned()));
    for percent in &args.steps {
        ended = driver.step(*percent).await;
        if !matches!(ended, Ok((Outcome::Done, _))) {
            break;
        }
    }
    let (outcome, why) = ended.unwrap_or_else(|error| (Outcome::Stopped, format!("{error:#}")));
    if args.json {
        let json = driver.json(outcome, &why);
        say(&format!("{}\n", serde_json::to_string_pretty(&json).map_err(anyhow::Error::from)?))?;
    }
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Bad | Outcome::Left | Outcome::Stopped => Err(Failure::Failed(anyhow!(why))),
    }
}

/// Whether a first step may be made; the listener as it is.
async fn ready(hand: &Hand, at: &At, service: &Service) -> Result<ListenerState, Failure> {
    let stand = Stand::read(at, &service.name).await?;
    let mut reasons = stand.unarmed();
    if reasons.is_empty() && stand.state() != "idle" {
        reasons.push(format!("it is {}, not idle: wait until it has seen what serves good", stand.state()));
    }
    let read = hand.read(Depth::Marks, BTreeSet::new()).await;
    let read = read.map_err(|error| Failure::Failed(anyhow!("{error}")))?;
    match read.marks.as_ref().map(|marks| (&marks.owner, &marks.hold)) {
        Some((Owner::Nobody, None)) => {}
        Some((Owner::Nobody, Some(hold))) => reasons.push(format!("an operator holds: {hold}")),
        Some((Owner::Deployer(deployer), _)) => {
            reasons.push(format!("{} owns the {}: let it make the steps", deployer.by.name(), hand.what()));
        }
        Some((owner, _)) => reasons.push(owner.standing().err().unwrap_or_default()),
        None => reasons.push(format!("whose the {} is was not told", hand.what())),
    }
    if reasons.is_empty() {
        return Ok(read.state);
    }
    Err(Failure::Failed(anyhow!(
        "{} is not ready for steps, and nothing was done:\n  {}",
        service.name,
        reasons.join("\n  ")
    )))
}

/// The group's ARN.
fn group(live: &ListenerState, to: &str) -> Result<String, Failure> {
    if to.starts_with("arn:") {
        return Ok(to.to_owned());
    }
    let forwards = live.rules().iter().filter_map(|rule| rule.forward.as_ref());
    let named: BTreeSet<&str> = forwards.flat_map(|forward| forward.weights()).map(|(arn, _)| arn).collect();
    let found = named.iter().find(|arn| group_name(arn) == to).map(|arn| (*arn).to_owned());
    // A version isn't named before it gets requests; its number, or checkout:8, says which it is.
    let version = named.first().filter(|_| found.is_none()).and_then(|arn| version_beside(arn, to));
    found.or(version).ok_or_else(|| {
        let known: Vec<&str> = named.into_iter().map(group_name).collect();
        Failure::Usage(format!("--to {to}: there are {}; give another by its ARN", known.join(", ")))
    })
}

/// The version of the same function by this name or number.
fn version_beside(arn: &str, to: &str) -> Option<String> {
    let (function, _) = alias::name(arn)?.split_once(':')?;
    let number = to.strip_prefix(function).map_or(Some(to), |rest| rest.strip_prefix(':'))?;
    let (unqualified, _) = arn.rsplit_once(':')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{unqualified}:{number}"))
}

impl Driver {
    /// Names the release before its first step.
    async fn mark(&self, id: &str) -> Result<(), Failure> {
        let command = Command::ReleaseBegin { label: Some(id.into()), irreversible: false };
        let body = serde_json::to_string(&command).map_err(anyhow::Error::from)?;
        let path = format!("/api/v1/services/{}/command", self.service);
        post(&self.at, &path, body).await.map_err(anyhow::Error::from)?;
        Ok(())
    }

    /// Makes one step, and waits for the word on it.
    async fn step(&mut self, percent: u8) -> Result<(Outcome, String), anyhow::Error> {
        let before = Stand::read(&self.at, &self.service).await?;
        let unarmed = before.unarmed();
        if !unarmed.is_empty() {
            let why = format!("{percent} % was not begun, it would not be put back: {}", unarmed.join("; "));
            return Ok((Outcome::Stopped, why));
        }
        if !self.write(percent).await? {
            // There already: it has no epoch of its own, and its word is the one before's.
            self.tell(&format!("{percent:>3} %  is there already"));
            return Ok((Outcome::Done, String::new()));
        }
        self.made.push(Made { percent, at: clock::now(), good: None });
        self.tell(&format!("{percent:>3} %  to {}", group_name(&self.green)));
        let ended = self.word(percent, before.epoch()).await?;
        if ended.0 == Outcome::Done {
            self.tell(&format!("{percent:>3} %  good"));
            if let Some(made) = self.made.last_mut() {
                made.good = Some(clock::now());
            }
        } else {
            self.tell(&format!("{percent:>3} %  {}: {}", ended.0.word(), ended.1));
        }
        Ok(ended)
    }

    /// Every rule that has to change, each over a read of its own; false when none has to.
    async fn write(&self, percent: u8) -> Result<bool, anyhow::Error> {
        let mut changed = false;
        loop {
            let read = self.hand.read(Depth::Listener, BTreeSet::new()).await;
            let live = read.map_err(|error| anyhow!("{error}"))?.state;
            let writes = shift(&live, &self.green, percent).map_err(|why| anyhow!(why))?;
            let Some(write) = writes.into_iter().next() else { return Ok(changed) };
            match self.hand.write(write).await {
                WriteOutcome::Accepted(_) => changed = true,
                WriteOutcome::Throttled => return Err(anyhow!("{percent} %: AWS throttles our writes")),
                WriteOutcome::Raced(code) => {
                    return Err(anyhow!(
                        "{percent} %: somebody else has just written it ({code}); look, and begin anew"
                    ));
                }
                WriteOutcome::Refused(code) => {
                    return Err(anyhow!("{percent} %: AWS refuses the write: {code}"));
                }
                WriteOutcome::Unknown(why) => {
                    return Err(anyhow!(
                        "{percent} %: whether the write went in is not known: {why}; look, and begin anew"
                    ));
                }
            }
        }
    }

    /// Waits until the daemon has judged what it now sees.
    async fn word(&self, percent: u8, before: Option<u64>) -> Result<(Outcome, String), anyhow::Error> {
        let made = clock::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let stand = Stand::read(&self.at, &self.service).await?;
            let waited = clock::now().since(made);
            if stand.epoch() <= before {
                if waited >= SEEN_WITHIN {
                    return Ok((
                        Outcome::Stopped,
                        format!("{percent} % was not seen within {} s", SEEN_WITHIN.as_secs()),
                    ));
                }
                continue;
            }
            match stand.outcome() {
                "good" => return Ok((Outcome::Done, String::new())),
                "bad" => return self.rest(percent).await,
                "left" => {
                    return Ok((Outcome::Left, format!("somebody else shifted the requests at {percent} %")));
                }
                _ if waited >= self.within => {
                    let why = format!(
                        "{percent} % was not judged good within {} s, and stays as it is: {}",
                        self.within.as_secs(),
                        stand.says()
                    );
                    return Ok((Outcome::Stopped, why));
                }
                _ => {}
            }
        }
    }

    /// A bad step is the daemon's: what it does is waited for and told.
    async fn rest(&self, percent: u8) -> Result<(Outcome, String), anyhow::Error> {
        let until = clock::now().after(REST_WITHIN);
        loop {
            let stand = Stand::read(&self.at, &self.service).await.context("after a bad step")?;
            if let Some(latched) = stand.latched() {
                let needs = stand.needs_human().map(|_| "; a person is needed").unwrap_or_default();
                let why =
                    format!("{percent} % was bad, and is {latched}: requests go to {}{needs}", stand.shows());
                return Ok((Outcome::Bad, why));
            }
            if clock::now() >= until {
                return Ok((
                    Outcome::Bad,
                    format!("{percent} % is bad, and it has not come to rest: {}", stand.says()),
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn tell(&self, text: &str) {
        if !self.quiet {
            narrate(&format!("+{:>7.3} s  {text}\n", clock::now().since(self.began).as_secs_f64()));
        }
    }

    fn json(&self, outcome: Outcome, why: &str) -> Value {
        let since = |at: Mono| u64::try_from(at.since(self.began).as_millis()).unwrap_or(u64::MAX);
        let steps: Vec<Value> = self
            .made
            .iter()
            .map(|made| json!({ "percent": made.percent, "at_ms": since(made.at), "good_ms": made.good.map(since) }))
            .collect();
        json!({ "service": self.service, "to": group_name(&self.green), "outcome": outcome.word(), "why": why, "steps": steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_percents() {
        assert_eq!(percent("1"), Ok(1));
        assert_eq!(percent("50%"), Ok(50));
        assert_eq!(percent("100"), Ok(100));
        for text in ["0", "101", "1.5", "-1", "", "%", "ten", "300"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_version_is_called_by_its_number_or_its_name() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:checkout:7";
        let eight = Some("arn:aws:lambda:eu-west-1:123456789012:function:checkout:8".to_owned());
        assert_eq!((version_beside(arn, "8"), version_beside(arn, "checkout:8")), (eight.clone(), eight));
        for none in ["", "live", "checkout", "checkout:", "cart:8", "$LATEST"] {
            assert_eq!(version_beside(arn, none), None, "{none}");
        }
        assert_eq!(version_beside("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/blue/01", "8"), None);
    }
}
