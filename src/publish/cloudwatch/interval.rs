//! What one interval gathers, and the data that it becomes: all of `PutMetricData`'s limits are kept here.

use crate::model::delta::{Delta, Second};
use crate::model::record::Record;
use crate::model::sample::Purpose;
use crate::model::time::Span;
use crate::publish::names;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Unique values in `Values` and `Counts` of one datum (`CloudWatch` API reference, `MetricDatum`).
const VALUES_MAX: usize = 150;
/// Data in one request (`CloudWatch` API reference, `PutMetricData`).
const DATA_MAX: usize = 1_000;
/// Bytes in one request: a little under the 1 MB of `PutMetricData`, as sizes are estimated before they are encoded.
const BYTES_MAX: usize = 900_000;
/// A grid for more than [`VALUES_MAX`] distinct times reaches from the shortest of them, or this, to the longest.
const GRID_FROM_MS: f64 = 0.1;
/// The last place of the grid. From 0.1 ms to 60 s its places are 9.3 % apart, and closer for anything narrower.
const GRID_LAST: f64 = 149.0;

/// One datum.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::publish) struct Datum {
    pub(in crate::publish) name: &'static str,
    pub(in crate::publish) unit: &'static str,
    pub(in crate::publish) service: Arc<str>,
    pub(in crate::publish) target: Option<Arc<str>>,
    /// Value and count; one of count 1 for a plain value.
    pub(in crate::publish) values: Vec<(f64, f64)>,
}

impl Datum {
    /// Bytes in CBOR, rounded up: keys, a timestamp, the strings, and nine bytes for each number.
    fn bytes(&self) -> usize {
        200 + self.service.len()
            + self.target.as_ref().map_or(0, |target| target.len())
            + 18 * self.values.len()
    }

    pub(in crate::publish) fn is_finite(&self) -> bool {
        self.values.iter().all(|(value, count)| value.is_finite() && count.is_finite())
    }
}

/// What all services did since the last flush.
#[derive(Debug, Default)]
pub(in crate::publish) struct Interval {
    services: BTreeMap<Arc<str>, Service>,
}

#[derive(Debug, Default)]
struct Service {
    heard: bool,
    whole: Tally,
    targets: BTreeMap<Arc<str>, Tally>,
    p95: Option<Span>,
    blind: Option<bool>,
    /// Outlives the interval: the guard tells changes.
    armed: Option<bool>,
    reverts: u32,
    breaches: u32,
}

#[derive(Debug, Default)]
struct Tally {
    attempts: u64,
    failures: u64,
    ours: u64,
    void: u64,
    latency: BTreeMap<Span, u64>,
}

impl Interval {
    pub(in crate::publish) fn second(&mut self, second: &Second) {
        let service = self.services.entry(Arc::clone(&second.service)).or_default();
        service.heard = true;
        for delta in second.deltas.iter().filter(|delta| delta.purpose == Some(Purpose::Production)) {
            service.whole.add(delta);
            service.targets.entry(names::target_label(&second.targets, delta)).or_default().add(delta);
        }
        service.p95 = second.rolling.and_then(|rolling| rolling.p95);
        service.blind = second.rolling.map(|rolling| rolling.verdict == "blind");
    }

    pub(in crate::publish) fn armed(&mut self, service: &Arc<str>, armed: bool) {
        self.services.entry(Arc::clone(service)).or_default().armed = Some(armed);
    }

    /// It isn't watched any more.
    pub(in crate::publish) fn gone(&mut self, service: &str) {
        self.services.remove(service);
    }

    pub(in crate::publish) fn note(&mut self, service: &Arc<str>, record: &Record) {
        let service = self.services.entry(Arc::clone(service)).or_default();
        match record {
            Record::Breach { .. } => service.breaches += 1,
            Record::Verified { .. } => service.reverts += 1,
            _ => {}
        }
    }

    /// The data of the interval, and the beginning of the next one. A service that was silent has only what the guard said.
    pub(in crate::publish) fn take(&mut self) -> Vec<Datum> {
        let mut data = Vec::new();
        for (name, service) in &mut self.services {
            service.tell(name, &mut data);
            *service = Service { armed: service.armed, ..Service::default() };
        }
        data
    }
}

impl Service {
    fn tell(&self, name: &Arc<str>, out: &mut Vec<Datum>) {
        let mut plain = |metric: &'static str, value: f64| {
            out.push(datum(metric, name, None, vec![(value, 1.0)]));
        };
        if self.heard || self.reverts > 0 || self.breaches > 0 {
            plain("Reverts", f64::from(self.reverts));
            plain("Breaches", f64::from(self.breaches));
        }
        if let Some(armed) = self.armed {
            plain("Armed", f64::from(u8::from(armed)));
        }
        if let Some(blind) = self.blind {
            plain("Blind", f64::from(u8::from(blind)));
        }
        if let Some(p95) = self.p95 {
            plain("P95", p95.millis());
        }
        if self.heard {
            self.whole.tell(name, None, out);
        }
        for (target, tally) in &self.targets {
            tally.tell(name, Some(target), out);
        }
    }
}

impl Tally {
    fn add(&mut self, delta: &Delta) {
        self.attempts += u64::from(delta.attempts);
        self.void += u64::from(delta.void);
        for (reason, count) in &delta.failures {
            let sum = if names::is_ours(reason) { &mut self.ours } else { &mut self.failures };
            *sum += u64::from(*count);
        }
        for (span, count) in delta.response.iter() {
            *self.latency.entry(span).or_default() += u64::from(count);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of one interval")]
    fn tell(&self, service: &Arc<str>, target: Option<&Arc<str>>, out: &mut Vec<Datum>) {
        let mut push = |name, values| out.push(datum(name, service, target, values));
        push("Attempts", vec![(self.attempts as f64, 1.0)]);
        push("Failures", vec![(self.failures as f64, 1.0)]);
        // A failure of our own is void, but not only that is: a late answer says nothing either, be it good or bad.
        let judged = self.attempts.saturating_sub(self.void.max(self.ours));
        if judged > 0 {
            let failures = self.failures.min(judged);
            push("ErrorRate", vec![(100.0 * failures as f64 / judged as f64, 1.0)]);
        }
        if !self.latency.is_empty() {
            push("Latency", distribution(&self.latency));
        }
    }
}

fn datum(metric: &str, service: &Arc<str>, target: Option<&Arc<str>>, values: Vec<(f64, f64)>) -> Datum {
    let row = names::CLOUDWATCH.iter().find(|row| row.name == metric);
    let row = row.expect("each metric of this file stands in the catalogue");
    Datum { name: row.name, unit: row.unit, service: Arc::clone(service), target: target.cloned(), values }
}

/// Times in milliseconds with their counts: as they are while they fit, on a logarithmic grid when they don't.
#[expect(clippy::cast_precision_loss, reason = "counts of one interval")]
fn distribution(times: &BTreeMap<Span, u64>) -> Vec<(f64, f64)> {
    let (Some((shortest, _)), Some((longest, _))) = (times.first_key_value(), times.last_key_value()) else {
        return Vec::new();
    };
    if times.len() <= VALUES_MAX {
        return times.iter().map(|(span, count)| (span.millis(), *count as f64)).collect();
    }
    let from_ms = shortest.millis().max(GRID_FROM_MS);
    let growth = (longest.millis().max(from_ms) / from_ms).powf(1.0 / GRID_LAST).max(1.0 + f64::EPSILON);
    let mut places: BTreeMap<u32, u64> = BTreeMap::new();
    for (span, count) in times {
        *places.entry(place(span.millis() / from_ms, growth)).or_default() += count;
    }
    places.into_iter().map(|(place, count)| (from_ms * growth.powf(f64::from(place)), count as f64)).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the grid first")]
fn place(ratio: f64, growth: f64) -> u32 {
    (ratio.max(1.0).ln() / growth.ln()).round().clamp(0.0, GRID_LAST) as u32
}

/// Requests that keep the limits, and how many data were dropped because one number was no number: a single NaN
/// fails a whole request.
pub(in crate::publish) fn batches(data: Vec<Datum>) -> (Vec<Vec<Datum>>, u64) {
    let (whole, broken): (Vec<Datum>, Vec<Datum>) = data.into_iter().partition(Datum::is_finite);
    let mut batches: Vec<Vec<Datum>> = Vec::new();
    let mut bytes = 0;
    for datum in whole {
        let size = datum.bytes();
        let open = batches.last_mut().filter(|batch| batch.len() < DATA_MAX && bytes + size <= BYTES_MAX);
        if let Some(batch) = open {
            bytes += size;
            batch.push(datum);
        } else {
            bytes = size;
            batches.push(vec![datum]);
        }
    }
    (batches, broken.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delta::{Buckets, Own, Times};
    use crate::model::time::Mono;
    use std::time::Duration;

    fn plain(value: f64) -> Datum {
        datum("Attempts", &Arc::from("shop"), None, vec![(value, 1.0)])
    }

    fn second(delta: Delta) -> Second {
        Second {
            service: "shop".into(),
            at: Mono(0),
            targets: [Arc::from("front")].into(),
            deltas: vec![delta],
            times: Times::default(),
            rolling: None,
            urls: Vec::new(),
            own: Own::default(),
        }
    }

    #[test]
    fn a_number_that_is_none_costs_its_datum_and_not_the_batch() {
        let (batches, broken) = batches(vec![plain(1.0), plain(f64::NAN), plain(f64::INFINITY), plain(2.0)]);
        assert_eq!(broken, 2);
        assert_eq!(batches, [[plain(1.0), plain(2.0)]]);
    }

    #[test]
    fn no_batch_is_over_a_thousand_data_or_a_megabyte() {
        let (small, _) = batches(vec![plain(1.0); 2_500]);
        assert_eq!(small.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        let wide = datum("Latency", &Arc::from("shop"), None, vec![(1.0, 1.0); VALUES_MAX]);
        let (large, _) = batches(vec![wide; 1_000]);
        assert!(large.iter().all(|batch| batch.iter().map(Datum::bytes).sum::<usize>() <= BYTES_MAX));
        assert_eq!(large.iter().map(Vec::len).sum::<usize>(), 1_000);
    }

    #[test]
    fn a_wide_distribution_keeps_its_counts_and_its_p95() {
        let times: BTreeMap<Span, u64> =
            (0..2_000).map(|step| (Span::of(Duration::from_micros(100 + step * 500)), 3)).collect();
        let values = distribution(&times);
        assert!(values.len() <= VALUES_MAX, "{}", values.len());
        let kept: f64 = values.iter().map(|(_, count)| count).sum();
        assert!((kept - 6_000.0).abs() < 0.5, "{kept}");
        let mut below = 0.0;
        let p95 = values.iter().find(|(_, count)| {
            below += count;
            below >= 5_700.0
        });
        let p95_ms = p95.expect("a value").0;
        assert!((p95_ms / 950.0 - 1.0).abs() < 0.04, "{p95_ms}");
    }

    #[test]
    fn the_error_rate_is_absent_when_our_own_side_spoiled_every_probe() {
        let mut interval = Interval::default();
        let failures = BTreeMap::from([("prober.late", 5)]);
        let purpose = Some(Purpose::Production);
        interval.second(&second(Delta { attempts: 5, failures, purpose, ..Delta::default() }));
        let names: Vec<&str> = interval.take().iter().map(|datum| datum.name).collect();
        assert!(!names.contains(&"ErrorRate"), "{names:?}");
        assert!(!names.contains(&"P95"), "{names:?}");
        assert!(names.contains(&"Attempts"), "{names:?}");
    }

    #[test]
    fn saturation_is_the_target_s_and_lateness_is_ours() {
        let mut interval = Interval::default();
        let failures = BTreeMap::from([("saturated", 1), ("prober.late", 6), ("status", 1)]);
        let mut response = Buckets::default();
        response.add(Span::of(Duration::from_millis(20)));
        let purpose = Some(Purpose::Production);
        // Six were passed over and two answered too late to count.
        interval.second(&second(Delta {
            attempts: 12,
            void: 8,
            failures,
            purpose,
            response,
            ..Delta::default()
        }));
        let data = interval.take();
        let of = |name: &str| {
            data.iter()
                .find(|datum| datum.name == name && datum.target.is_none())
                .map(|datum| datum.values[0].0)
        };
        assert_eq!(of("Failures"), Some(2.0));
        assert_eq!(of("ErrorRate"), Some(50.0));
        assert_eq!(of("Reverts"), Some(0.0));
        assert_eq!(interval.take(), [], "a silent service has nothing to tell");
    }
}
