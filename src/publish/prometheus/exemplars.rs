//! Exemplars with the id of a probe's trace. The library keeps them for histograms that it counts itself, and ours are counted
//! already, so they are put in behind it: series and buckets stand in the same order everywhere.

use crate::publish::figures::{BOUNDS, Exemplar, Value};
use crate::publish::names::Metric;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{
    self as model, LabelPair, MetricFamily,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// The one figure that has any.
pub(super) const OF: Metric = Metric::Duration;

/// Those of each series, in the order of the series.
#[derive(Clone, Debug, Default)]
pub(super) struct Exemplars(Arc<Mutex<Vec<BTreeMap<usize, Exemplar>>>>);

impl Exemplars {
    /// Of all series, as they were encoded.
    pub(super) fn gather<'a>(&self, series: impl Iterator<Item = &'a Value>) {
        let of = |value: &Value| match value {
            Value::Spread(spread) => spread.exemplars.clone(),
            Value::Count(_) | Value::Level(_) => BTreeMap::new(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = series.map(of).collect();
    }

    fn gathered(&self) -> Vec<BTreeMap<usize, Exemplar>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Behind their buckets, as [`OpenMetrics`](https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars) has it.
    pub(super) fn into_openmetrics(self, text: &str) -> String {
        let series = self.gathered();
        if series.iter().all(BTreeMap::is_empty) {
            return text.to_owned();
        }
        let bucket = format!("{}_bucket{{", OF.name().prometheus);
        let (mut out, mut number) = (String::with_capacity(text.len()), 0);
        for line in text.lines() {
            out.push_str(line);
            if line.starts_with(&bucket) {
                let (of, place) = (number / (BOUNDS.len() + 1), number % (BOUNDS.len() + 1));
                if let Some(Exemplar { trace, seconds, at }) =
                    series.get(of).and_then(|each| each.get(&place))
                {
                    let (whole, thousandths) = (at.0.div_euclid(1_000), at.0.rem_euclid(1_000));
                    // Writing to a string can't fail.
                    let _ =
                        write!(out, " # {{trace_id=\"{trace:032x}\"}} {seconds} {whole}.{thousandths:03}");
                }
                number += 1;
            }
            out.push('\n');
        }
        out
    }

    /// Into their buckets. Prometheus takes those of native histograms from there too.
    pub(super) fn into_families(self, families: &mut [MetricFamily]) {
        let Some(family) = families.iter_mut().find(|family| family.name == OF.name().prometheus) else {
            return;
        };
        for (metric, exemplars) in family.metric.iter_mut().zip(self.gathered()) {
            let Some(histogram) = &mut metric.histogram else { continue };
            for (place, exemplar) in exemplars {
                if let Some(bucket) = histogram.bucket.get_mut(place) {
                    bucket.exemplar = Some(of(exemplar));
                }
            }
        }
    }
}

fn of(exemplar: Exemplar) -> model::Exemplar {
    let label = LabelPair { name: "trace_id".into(), value: format!("{:032x}", exemplar.trace) };
    let mut told =
        model::Exemplar { label: vec![label], value: exemplar.seconds, ..model::Exemplar::default() };
    let at = told.timestamp.get_or_insert_default();
    at.seconds = exemplar.at.0.div_euclid(1_000);
    at.nanos = i32::try_from(exemplar.at.0.rem_euclid(1_000) * 1_000_000).unwrap_or_default();
    told
}
