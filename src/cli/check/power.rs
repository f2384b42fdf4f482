//! `serin check --power`: what can this configuration see, how soon, and what does it cost the service?

use crate::model::objective::{Goal, Objective};
use crate::model::policy::{Burn, Heard, Join, JudgePolicy, Policy, Unheard};
use crate::model::power::latency::{FACTORS, Times};
use crate::model::power::{Forecast, Limit, SHARES, Test, control_seconds};
use crate::settings::{Service, Settings};
use serde_json::{Value, json};
use std::fmt::Write;

/// What is assumed of response times before a change: the quantile at nine tenths of its limit, and a usual spread.
const PART: f64 = 0.9;
const SIGMA: f64 = 0.5;
/// A configuration that can't see this share is warned of.
const WORTH_SEEING: f64 = 0.05;

/// Of one objective, everything that is told.
struct Sight {
    what: String,
    rate_hz: f64,
    test: Option<Told>,
    burns: Vec<(f64, Option<f64>)>,
    warnings: Vec<String>,
}

/// What the sequential policy sees.
struct Told {
    smallest: Option<f64>,
    floor: f64,
    odds: String,
    shares: Vec<(Option<f64>, Forecast)>,
    /// Seconds until the old version has shown that it does better, for each of them; `None` where it isn't asked.
    control: Vec<Option<f64>>,
}

/// For people.
pub(super) fn words(settings: &Settings) -> String {
    let mut text = String::new();
    for service in &settings.services {
        let _ = writeln!(text, "\npower of {}, policy {}", service.name, service.judge.policy);
        for sight in sights(service) {
            show(&mut text, &sight, &service.judge);
        }
        if let Some(note) = in_steps(service) {
            let _ = writeln!(text, "  {note}");
        }
        let _ = writeln!(text, "  load on the service: {}", service.load_line());
    }
    text
}

/// For programs: one entry a service.
pub(super) fn json(settings: &Settings) -> Value {
    settings.services.iter().map(of_service).collect()
}

fn of_service(service: &Service) -> Value {
    let forecast = |((factor, forecast), control): (&(Option<f64>, Forecast), &Option<f64>)| {
        json!({
            "control_s": control,
            "factor": factor,
            "share": forecast.share,
            "chance": forecast.chance,
            "mean_s": forecast.delay.map(|delay| delay.mean_s),
            "p99_s": forecast.delay.map(|delay| delay.p99_s),
        })
    };
    let told = |told: &Told| {
        json!({
            "smallest_share": told.smallest,
            "floor_share": told.floor,
            "false_alarms": told.odds,
            "finds": told.shares.iter().zip(&told.control).map(forecast).collect::<Vec<_>>(),
        })
    };
    let burn = |(share, after): &(f64, Option<f64>)| json!({"share": share, "mean_s": after});
    let sight = |sight: &Sight| {
        json!({
            "objective": sight.what,
            "rate_hz": sight.rate_hz,
            "sequential": sight.test.as_ref().map(told),
            "burn_rate": sight.burns.iter().map(burn).collect::<Vec<_>>(),
            "warnings": sight.warnings,
        })
    };
    json!({
        "service": service.name,
        "policy": service.judge.policy.to_string(),
        "judge_for_s": service.judge.judge_for.as_secs_f64(),
        "wrong_reverts_one_in": service.judge.wrong_reverts_one_in,
        "load_hz": service.load_hz(),
        "note": in_steps(service),
        "assumed": {"quantile_of_its_limit": PART, "sigma": SIGMA},
        "objectives": sights(service).iter().map(sight).collect::<Vec<_>>(),
    })
}

/// What the times don't say of an alias: they are of a new version that gets all the requests.
fn in_steps(service: &Service) -> Option<String> {
    let Heard::InProduction(unheard) = service.judge.heard else { return None };
    let whole = match unheard {
        Unheard::Hold => "told, and not put back (judge.unheard = \"hold\")",
        Unheard::Revert => "blamed on the release if the control is well (judge.unheard = \"revert\")",
    };
    Some(format!(
        "these times are of a shift of all requests, which is {whole}; in a step to 10 % a tenth of the answers are the new version's, \
         and finding takes about ten times as long: serin simulate --share 10%"
    ))
}

fn sights(service: &Service) -> Vec<Sight> {
    let judge = &service.judge;
    // Whoever has a lever asks the registered targets of the old version, and waits for what they say.
    let direct_hz = service.asks_directly().then(|| service.doubt_rate_hz());
    let tests = Test::of(judge);
    let believed = judge.policy.join == Join::Any || judge.policy.tests.len() == 1;
    let burns = judge.policy.tests.iter().find_map(|policy| match policy {
        Policy::BurnRate(burns) if believed => Some(burns.as_slice()),
        _ => None,
    });
    (0..)
        .zip(&judge.objectives.all)
        .map(|(index, objective)| {
            let test = tests.iter().find(|(place, _)| *place == index).map(|(_, test)| test);
            let told = test.map(|test| told(test, objective, direct_hz.map(|hz| hz * objective.rate_share)));
            let mut warnings =
                test.zip(told.as_ref()).map_or_else(Vec::new, |(test, told)| warnings(test, told));
            if test.is_none() && burns.is_none() {
                warnings.push(format!(
                    "how soon {} finds anything isn't computed: play it with serin simulate",
                    judge.policy
                ));
            }
            let share_max = objective.goal.share_max();
            let burns = burns.map_or_else(Vec::new, |burns| {
                SHARES.map(|share| (share, burnt(burns, share_max, share, judge))).to_vec()
            });
            let rate_hz = judge.release_rate_hz * objective.rate_share;
            Sight { what: what(objective), rate_hz, test: told, burns, warnings }
        })
        .collect()
}

fn told(test: &Test, objective: &Objective, direct_hz: Option<f64>) -> Told {
    let shares = match objective.goal {
        Goal::Availability { .. } => SHARES.map(|share| (None, test.forecast(share))).to_vec(),
        Goal::Latency { quantile, .. } => {
            let times = Times { quantile: f64::from(quantile) / 10_000.0, part: PART, sigma: SIGMA };
            FACTORS.map(|factor| (Some(factor), test.forecast(times.slow(factor)))).to_vec()
        }
    };
    let proof = |(_, forecast): &(_, Forecast)| {
        direct_hz.map(|direct_hz| control_seconds(forecast.share, test.rate_hz, direct_hz))
    };
    let control = shares.iter().map(proof).collect();
    Told { smallest: test.smallest(), floor: test.floor(), odds: test.odds().to_string(), shares, control }
}

/// Seconds until the budget of a pair of windows is spent at `share`; `None` when that isn't within the judged time.
fn burnt(burns: &[Burn], share_max: f64, share: f64, judge: &JudgePolicy) -> Option<f64> {
    let after = |burn: &Burn| {
        let part = (burn.factor * share_max).min(1.0) / share;
        (part <= 1.0).then_some(burn.long.as_secs_f64() * part)
    };
    burns
        .iter()
        .filter_map(after)
        .min_by(f64::total_cmp)
        .filter(|after| *after <= judge.judge_for.as_secs_f64())
}

fn warnings(test: &Test, told: &Told) -> Vec<String> {
    let judged = humantime::format_duration(test.judge_for);
    let more = "quicken pace.release, give its targets more weight, or lengthen judge.judge_for";
    let mut warnings = Vec::new();
    for limit in test.limits(told.smallest) {
        match limit {
            Limit::Blind => warnings.push(format!(
                "it can't see what is promised: not even a total failure is surely found within {judged}; {more}, or shorten judge.tolerate_blip"
            )),
            Limit::Above(share) if share > WORTH_SEEING.max(2.0 * test.share_max) => warnings.push(format!(
                "it can't see what is promised: less than {} bad answers is not surely found within {judged}, and {} is promised; {more}",
                percent(share),
                percent(test.share_max)
            )),
            Limit::Above(_) => {}
            Limit::Slow(seconds) => warnings.push(format!(
                "even a total failure takes {} to be found: probes are rare; quicken pace.release",
                time(seconds)
            )),
        }
    }
    warnings
}

fn show(text: &mut String, sight: &Sight, judge: &JudgePolicy) {
    let judged = humantime::format_duration(judge.judge_for);
    let _ = writeln!(text, "  {}, {:.1} answers a second", sight.what, sight.rate_hz);
    if let Some(told) = &sight.test {
        let seen = told.smallest.map_or_else(
            || format!("nothing is surely seen within {judged}"),
            |share| format!("seen at all, within {judged} with 99 %: {} and more", percent(share)),
        );
        let _ = writeln!(text, "    {seen} (by time alone: {} and more)", percent(told.floor));
        for ((factor, forecast), control) in told.shares.iter().zip(&told.control) {
            let what = factor.map_or_else(
                || format!("{} bad", percent(forecast.share)),
                |factor| format!("{factor} × as slow ({} too slow)", percent(forecast.share)),
            );
            let found = forecast.delay.map_or_else(
                || format!("not surely found within {judged} (chance {})", percent(forecast.chance)),
                |delay| format!("found after {} on average, P99 {}", time(delay.mean_s), time(delay.p99_s)),
            );
            // What is shown sooner than the breach is found costs nothing.
            let mean = forecast.delay.map_or(0.0, |delay| delay.mean_s);
            let control = control.filter(|seconds| forecast.delay.is_some() && *seconds > mean);
            let control = control.map_or_else(String::new, |seconds| {
                format!(
                    "; blamed on the release once the old version has answered well for {}",
                    time(seconds)
                )
            });
            let _ = writeln!(text, "    {what:<34} {found}{control}");
        }
        if told.shares.iter().any(|(factor, _)| factor.is_some()) {
            let _ = writeln!(
                text,
                "    (if times are log-normal with a sigma of {SIGMA}, and the quantile is at {} of its limit before)",
                percent(PART)
            );
        }
        let _ = writeln!(text, "    {}", told.odds);
    }
    for (share, after) in &sight.burns {
        let found =
            after.map_or_else(|| format!("not within {judged}"), |after| format!("after {}", time(after)));
        let _ = writeln!(text, "    burn_rate: {:<23} {found}", format!("{} bad", percent(*share)));
    }
    for warning in &sight.warnings {
        let _ = writeln!(text, "    ! {warning}");
    }
}

/// As in the configuration.
fn what(objective: &Objective) -> String {
    let of = match objective.scope.name() {
        "" => String::new(),
        name => format!(" of {name}"),
    };
    match objective.goal {
        Goal::Availability { bad_share_max } => format!("availability {}{of}", percent(1.0 - bad_share_max)),
        Goal::Latency { quantile, limit } => {
            let digits = (f64::from(quantile) / 100.0).to_string().replace('.', "");
            format!("p{digits} {}{of}", humantime::format_duration(limit))
        }
    }
}

fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn time(seconds: f64) -> String {
    if seconds < 0.9995 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}
