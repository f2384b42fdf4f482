//! `serin check --cost`: what the configuration costs a month at AWS, item by item.
//!
//! Prices are list prices of us-east-1 without the free tier, written down here and never asked of AWS: hold them against
//! <https://aws.amazon.com/cloudwatch/pricing/> and <https://aws.amazon.com/lambda/pricing/>. AWS bills by a month of 730 hours.

use crate::publish::names::CLOUDWATCH;
use crate::settings::{CloudWatch, Service, Settings};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

const MONTH: Duration = Duration::from_hours(730);
const DAYS: f64 = 730.0 / 24.0;
/// Custom metrics: how many at which price each, in this order.
const METRICS_USD: [(u64, f64); 4] = [(10_000, 0.30), (240_000, 0.10), (750_000, 0.05), (u64::MAX, 0.02)];
/// One `PutMetricData`.
const PUT_USD: f64 = 0.01 / 1_000.0;
/// One invocation of a function, beside its duration.
const INVOCATION_USD: f64 = 0.20 / 1_000_000.0;
/// Data in one `PutMetricData` at most, and bytes of one that is as long as can be: see `publish/cloudwatch/interval.rs`.
const DATA_MAX: u64 = 1_000;
const BYTES_MAX: u64 = 900_000;
const LONGEST: u64 = 3_000;
const SHORTEST: u64 = 250;
/// A gigabyte of logs that comes in.
const LOGS_GB_USD: f64 = 0.50;
/// Bytes of a line of the embedded metric format, of a service and of a URL: see `publish/emf.rs`.
const LINE_OF_SERVICE: u64 = 2_000;
const LINE_OF_TARGET: u64 = 1_500;
/// How often `CloudWatch` is told, for whom it isn't said in the file, and to compare with.
const INTERVALS: [Duration; 2] = [Duration::from_mins(1), Duration::from_secs(10)];

/// One line of the bill.
#[derive(Debug, PartialEq)]
struct Item {
    what: String,
    usd: f64,
}

/// One way to be told, with its items.
#[derive(Debug, PartialEq)]
struct Way {
    name: String,
    /// The file says so.
    configured: bool,
    items: Vec<Item>,
}

/// What is reckoned.
pub(super) struct Bill {
    ways: Vec<Way>,
    /// What the probes themselves cost, whoever is told.
    probes: Vec<Item>,
    deployments: f64,
}

impl Bill {
    /// Of all services together; `deployments` a day of each.
    pub(super) fn of(settings: &Settings, deployments: f64) -> Self {
        let told = settings.process.publish.cloudwatch.as_ref();
        let mut ways: Vec<Way> =
            told.map(|told| cloudwatch(&settings.services, told.interval, true)).into_iter().collect();
        let others = INTERVALS
            .into_iter()
            .filter(|interval| told.is_none_or(|told: &CloudWatch| told.interval != *interval));
        ways.extend(others.map(|interval| cloudwatch(&settings.services, interval, false)));
        let emf = settings.process.publish.emf.as_ref();
        let interval = emf.map_or(INTERVALS[0], |emf| emf.figures.interval);
        ways.push(lines_of_logs(&settings.services, interval, emf.is_some()));
        let probes =
            settings.services.iter().filter_map(|service| invocations(service, deployments)).collect();
        Self { ways, probes, deployments }
    }

    /// USD a month, as it is configured.
    pub(super) fn total(&self) -> f64 {
        let told = self.ways.iter().filter(|way| way.configured).flat_map(|way| &way.items);
        told.chain(&self.probes).map(|item| item.usd).sum()
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        let mut text = "\ncost of a month, USD (list prices of us-east-1 as this build knows them, no free tier; other regions may cost more)\n".to_owned();
        for way in &self.ways {
            let state = if way.configured { "as configured" } else { "it would be" };
            let sum: f64 = way.items.iter().map(|item| item.usd).sum();
            let _ = writeln!(text, "  {:<66} {sum:>10.2}  {state}", way.name);
            lines(&mut text, &way.items);
        }
        lines(&mut text, &self.probes);
        let _ = writeln!(
            text,
            "  {:<66} {:>10.2}\n  OTLP and Prometheus cost nothing at AWS by themselves; CloudWatch's own OTLP endpoint is billed by the byte, and not reckoned. {} a day and service: no metric's name or dimension\n  changes with a deployment or a task. Not reckoned: capacity units of a balancer, traffic between zones, a function's duration,\n  other logs, and alarms",
            "in all, as configured",
            self.total(),
            match self.deployments {
                1.0 => "1 deployment".to_owned(),
                many => format!("{many} deployments"),
            }
        );
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let items = |items: &[Item]| -> Vec<Value> {
            items.iter().map(|item| json!({"what": item.what, "usd_month": cents(item.usd)})).collect()
        };
        json!({
            "usd_month": cents(self.total()),
            "deployments_a_day": self.deployments,
            "prices": "list prices of us-east-1 as this build knows them, without the free tier",
            "probes": items(&self.probes),
            "ways": self.ways.iter().map(|way| json!({
                "name": way.name,
                "configured": way.configured,
                "items": items(&way.items),
            })).collect::<Vec<_>>(),
        })
    }
}

fn lines(text: &mut String, items: &[Item]) {
    for item in items {
        let _ = writeln!(text, "    {:<64} {:>10.2}", item.what, item.usd);
    }
}

/// To a hundredth of a cent.
fn cents(usd: f64) -> f64 {
    (usd * 1e4).round() / 1e4
}

#[expect(clippy::cast_precision_loss, reason = "counts of one configuration")]
fn cloudwatch(services: &[Service], interval: Duration, configured: bool) -> Way {
    let of_target = CLOUDWATCH.iter().filter(|name| name.by_target).count() as u64;
    let of_service = CLOUDWATCH.len() as u64;
    let targets: u64 = services.iter().map(|service| service.targets.len() as u64).sum();
    let metrics = of_service * services.len() as u64 + of_target * targets;
    // Of each target and each service one is a distribution, and long.
    let long = targets + services.len() as u64;
    let bytes = long * LONGEST + (metrics - long) * SHORTEST;
    let requests_each = metrics.div_ceil(DATA_MAX).max(bytes.div_ceil(BYTES_MAX));
    let instances = services.iter().map(|service| service.instances).max().unwrap_or(1);
    let flushes = MONTH.as_secs_f64() / interval.as_secs_f64();
    let requests = flushes * requests_each as f64 * f64::from(instances);
    Way {
        name: format!("CloudWatch every {}", humantime::format_duration(interval)),
        configured,
        items: vec![
            Item {
                what: format!(
                    "{metrics} metrics: {of_service} a service ({}), {of_target} a URL ({targets})",
                    services.len()
                ),
                usd: metrics_usd(metrics),
            },
            Item { what: format!("{requests:.0} requests; instances: {instances}"), usd: requests * PUT_USD },
        ],
    }
}

/// The metrics cost the same; instead of requests there are bytes.
#[expect(clippy::cast_precision_loss, reason = "counts of one configuration")]
fn lines_of_logs(services: &[Service], interval: Duration, configured: bool) -> Way {
    let Way { mut items, .. } = cloudwatch(services, interval, configured);
    items.truncate(1);
    let targets: u64 = services.iter().map(|service| service.targets.len() as u64).sum();
    let bytes = services.len() as u64 * LINE_OF_SERVICE + targets * LINE_OF_TARGET;
    let instances = services.iter().map(|service| service.instances).max().unwrap_or(1);
    let flushes = MONTH.as_secs_f64() / interval.as_secs_f64();
    let gb = flushes * bytes as f64 * f64::from(instances) / 1e9;
    items.push(Item { what: format!("{gb:.3} GB of logs; instances: {instances}"), usd: gb * LOGS_GB_USD });
    Way {
        name: format!("lines of logs (EMF) every {}", humantime::format_duration(interval)),
        configured,
        items,
    }
}

/// By the tiers.
#[expect(clippy::cast_precision_loss, reason = "a number of metrics")]
fn metrics_usd(metrics: u64) -> f64 {
    let mut left = metrics;
    let mut usd = 0.0;
    for (tier, price) in METRICS_USD {
        let here = left.min(tier);
        usd += here as f64 * price;
        left -= here;
    }
    usd
}

/// Probes of a function are invocations.
fn invocations(service: &Service, deployments: f64) -> Option<Item> {
    service.levers.iter().find_map(|lever| lever.alias())?;
    let (calm, release) = (service.calm_rate_hz(), service.release_rate_hz());
    let released = service.judge.judge_for.as_secs_f64() * deployments * DAYS;
    let each = calm * MONTH.as_secs_f64() + (release - calm).max(0.0) * released.min(MONTH.as_secs_f64());
    let all = each * f64::from(service.instances);
    Some(Item {
        what: format!("{all:.0} invocations of {}'s function by probes", service.name),
        usd: all * INVOCATION_USD,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_cheaper_by_the_ten_thousand() {
        let near = |metrics, usd: f64| assert!((metrics_usd(metrics) - usd).abs() < 1e-6, "{metrics}");
        near(0, 0.0);
        near(10, 3.0);
        near(10_000, 3_000.0);
        near(10_001, 3_000.1);
        near(250_000, 27_000.0);
        near(1_000_000, 64_500.0);
        near(1_000_050, 64_501.0);
    }
}
