//! `serin generate cloudwatch`: alarms, one alarm above them, and a dashboard, as a `CloudFormation` template.

use crate::model::objective::{Goal, Objective, Scope};
use crate::model::policy::Mode;
use crate::settings::{CloudWatch, Service};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The fast burn of the SRE workbook (chapter 5): 2 % of a month's budget in an hour.
const FAST_BURN: f64 = 14.4;
/// A share can't be above this.
const WHOLE_PERCENT: f64 = 100.0;
/// Widgets of a dashboard are placed on 24 columns.
const COLUMNS: u32 = 24;
const HEIGHT: u32 = 6;

/// The whole template.
pub(super) fn template(services: &[Service], told: &CloudWatch) -> Value {
    let mut resources = Map::new();
    let mut widgets = Vec::new();
    for (place, service) in services.iter().enumerate() {
        // Logical ids are letters and digits only, and two services must not share one.
        let id = format!("{}N{place}", logical(&service.name));
        let alarms = alarms(service, told);
        let rule: Vec<String> = alarms
            .iter()
            .map(|alarm| format!("ALARM(\"${{AWS::StackName}}-{}-{}\")", service.name, alarm.name))
            .collect();
        for alarm in &alarms {
            resources.insert(format!("{id}{}", logical(&alarm.name)), alarm.resource(service, told));
        }
        let depends: Vec<String> =
            alarms.iter().map(|alarm| format!("{id}{}", logical(&alarm.name))).collect();
        resources.insert(format!("{id}Attention"), attention(service, &rule.join(" OR "), &depends));
        widgets.extend(row(service, told, u32::try_from(place).unwrap_or(u32::MAX / HEIGHT)));
    }
    let body = json!({ "widgets": widgets, "periodOverride": "inherit" }).to_string();
    resources.insert(
        "Dashboard".into(),
        json!({ "Type": "AWS::CloudWatch::Dashboard",
                "Properties": { "DashboardName": { "Fn::Sub": "${AWS::StackName}-serin" },
                                "DashboardBody": { "Fn::Sub": body } } }),
    );
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Serin: alarms and a dashboard over the figures that it sends to CloudWatch",
        "Parameters": { "AlarmTopic": {
            "Type": "String", "Default": "",
            "Description": "ARN of the SNS topic that is told; empty: nobody" } },
        "Conditions": { "IsTold": { "Fn::Not": [{ "Fn::Equals": [{ "Ref": "AlarmTopic" }, ""] }] } },
        "Resources": resources,
    })
}

/// One alarm before it is written down.
struct Alarm {
    name: String,
    /// What it means, and what to do.
    says: String,
    metric: &'static str,
    statistic: String,
    /// Above, or below.
    operator: &'static str,
    threshold: f64,
    /// Periods in a row.
    periods: u32,
    missing: &'static str,
}

fn alarms(service: &Service, told: &CloudWatch) -> Vec<Alarm> {
    const ABOVE: &str = "GreaterThanOrEqualToThreshold";
    const BELOW: &str = "LessThanThreshold";
    let name = &service.name;
    // Five minutes of standard points, whatever the interval.
    let periods = u32::try_from(300 / period_s(told)).unwrap_or(1).max(2);
    let alarm =
        |name: &str, says: String, metric, statistic: &str, (operator, threshold), periods, missing| Alarm {
            name: name.to_owned(),
            says,
            metric,
            statistic: statistic.to_owned(),
            operator,
            threshold,
            periods,
            missing,
        };
    let mut all = vec![if service.mode == Mode::Act {
        // Of several instances one that is armed is enough; none, or a dead Serin, tells nothing, and that is the alarm.
        let says = format!(
            "Nothing would put a bad release of {name} back: no Serin is armed, or none runs. /-/armed says why."
        );
        alarm("unarmed", says, "Armed", "Maximum", (BELOW, 1.0), periods, "breaching")
    } else {
        let says = format!("No Serin probes {name}: none runs, or none reaches CloudWatch.");
        alarm("silent", says, "Attempts", "Sum", (BELOW, 1.0), periods, "breaching")
    }];
    let says = format!("A release of {name} broke its promise. `serin report` has the account.");
    all.push(alarm("breach", says, "Breaches", "Sum", (ABOVE, 1.0), 1, "notBreaching"));
    let says = format!("Serin can't tell the fault of {name} from its own: nothing is judged meanwhile.");
    all.push(alarm("blind", says, "Blind", "Minimum", (ABOVE, 1.0), periods, "notBreaching"));
    let promises = service.judge.objectives.all.iter().filter(|one| one.scope == Scope::Service);
    all.extend(promises.map(|objective| of_promise(name, objective, periods)));
    all
}

/// What the service itself promises: its groups' and URLs' own promises have no figure of their own in `CloudWatch`.
fn of_promise(service: &str, objective: &Objective, periods: u32) -> Alarm {
    let (name, says, metric, statistic, threshold) = match objective.goal {
        Goal::Availability { bad_share_max } => {
            let percent = (bad_share_max * FAST_BURN * WHOLE_PERCENT).min(WHOLE_PERCENT);
            let says = format!(
                "More than {percent:.3} % of the probes of {service} fail, {FAST_BURN} times what is promised."
            );
            ("errors".to_owned(), says, "ErrorRate", "Average".to_owned(), percent)
        }
        Goal::Latency { quantile, limit } => {
            let statistic = format!("p{}", f64::from(quantile) / 100.0);
            let says = format!("{statistic} of {service} is above the promised {} ms.", limit.as_millis());
            (format!("latency-{statistic}"), says, "Latency", statistic, limit.as_secs_f64() * 1_000.0)
        }
    };
    Alarm {
        name,
        says,
        metric,
        statistic,
        operator: "GreaterThanThreshold",
        threshold,
        periods,
        missing: "notBreaching",
    }
}

impl Alarm {
    fn resource(&self, service: &Service, told: &CloudWatch) -> Value {
        let mut properties = json!({
            "AlarmName": { "Fn::Sub": format!("${{AWS::StackName}}-{}-{}", service.name, self.name) },
            "AlarmDescription": self.says,
            "Namespace": told.namespace,
            "MetricName": self.metric,
            "Dimensions": [{ "Name": "Service", "Value": service.name }],
            "Period": period_s(told),
            "EvaluationPeriods": self.periods,
            "DatapointsToAlarm": self.periods,
            "ComparisonOperator": self.operator,
            "Threshold": self.threshold,
            "TreatMissingData": self.missing,
        });
        let kind = if self.statistic.starts_with('p') { "ExtendedStatistic" } else { "Statistic" };
        properties[kind] = json!(self.statistic);
        json!({ "Type": "AWS::CloudWatch::Alarm", "Properties": properties })
    }
}

/// The one that tells: one message a service, however many of its alarms ring.
fn attention(service: &Service, rule: &str, depends: &[String]) -> Value {
    let told = json!({ "Fn::If": ["IsTold", [{ "Ref": "AlarmTopic" }], { "Ref": "AWS::NoValue" }] });
    json!({
        "Type": "AWS::CloudWatch::CompositeAlarm",
        "DependsOn": depends,
        "Properties": {
            "AlarmName": { "Fn::Sub": format!("${{AWS::StackName}}-{}", service.name) },
            "AlarmDescription": format!("Something of {} wants a person; the alarms below it say what.", service.name),
            "AlarmRule": { "Fn::Sub": rule },
            "AlarmActions": told.clone(),
            "OKActions": told,
        }
    })
}

/// A service's widgets, in a row of their own.
fn row(service: &Service, told: &CloudWatch, place: u32) -> Vec<Value> {
    let name = &service.name;
    let metric = |metric: &str, options: Value| json!([told.namespace, metric, "Service", name, options]);
    let widgets = [
        (
            "answers that fail",
            "Percent",
            vec![metric("ErrorRate", json!({ "stat": "Average", "label": "failed" }))],
        ),
        (
            "response time",
            "Milliseconds",
            ["p50", "p95", "p99"]
                .map(|stat| metric("Latency", json!({ "stat": stat, "label": stat })))
                .to_vec(),
        ),
        (
            "releases",
            "Count",
            vec![
                metric("Breaches", json!({ "stat": "Sum", "label": "broke a promise" })),
                metric("Reverts", json!({ "stat": "Sum", "label": "put back, and proved" })),
            ],
        ),
        (
            "Serin itself",
            "1 = yes",
            vec![
                metric("Armed", json!({ "stat": "Maximum", "label": "armed" })),
                metric("Blind", json!({ "stat": "Maximum", "label": "blind" })),
            ],
        ),
    ];
    let width = COLUMNS / 4;
    let of = |(column, (title, label, metrics)): (u32, (&str, &str, Vec<Value>))| {
        json!({
            "type": "metric", "x": column * width, "y": place * HEIGHT, "width": width, "height": HEIGHT,
            "properties": { "title": format!("{name}: {title}"), "metrics": metrics, "view": "timeSeries",
                            "region": "${AWS::Region}", "period": period_s(told),
                            "yAxis": { "left": { "min": 0, "label": label, "showUnits": false } } }
        })
    };
    (0..).zip(widgets).map(of).collect()
}

/// Points of less than a minute have their own price as alarms, and an interval that is longer leaves gaps.
fn period_s(told: &CloudWatch) -> u64 {
    told.interval.max(Duration::from_mins(1)).as_secs().div_ceil(60) * 60
}

fn logical(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::publish::names::CLOUDWATCH;
    use crate::settings;
    use std::collections::{BTreeMap, BTreeSet};

    const ACT: &str = r#"
service = "shop-a"
mode = "act"
sole_actuator = true
owner = "none"
listener = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2"
[[targets]]
url = "http://127.0.0.1:1/"
version = { header = "x-version" }
[objectives]
availability = "99.9%"
p95 = "250ms"
p999 = "900ms"
[publish.cloudwatch]
namespace = "Ours"
interval = "90s"
"#;
    const OBSERVE: &str = r#"
service = "shopa"
[[targets]]
url = "http://127.0.0.1:1/"
[objectives]
availability = "90%"
[publish.cloudwatch]
namespace = "Ours"
interval = "90s"
"#;

    fn made(documents: &[&str]) -> Value {
        let folder = tempfile::tempdir().unwrap();
        for (place, text) in documents.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{place}.toml")), text).unwrap();
        }
        let paths = vec![folder.path().to_str().unwrap().to_owned()];
        let sources = Sources { paths, variables: BTreeMap::new(), overrides: Vec::new() };
        let settings = settings::load(&sources).unwrap();
        template(&settings.services, settings.process.publish.cloudwatch.as_ref().unwrap())
    }

    fn of_kind<'a>(template: &'a Value, kind: &str) -> Vec<&'a Value> {
        let resources = template["Resources"].as_object().unwrap();
        resources.values().filter(|each| each["Type"] == kind).map(|each| &each["Properties"]).collect()
    }

    fn alarm<'a>(template: &'a Value, name: &str) -> &'a Value {
        let alarms = of_kind(template, "AWS::CloudWatch::Alarm");
        let is = |each: &&Value| each["AlarmName"]["Fn::Sub"] == format!("${{AWS::StackName}}-{name}");
        alarms.into_iter().find(is).unwrap_or_else(|| panic!("no alarm {name}"))
    }

    #[test]
    fn a_dead_or_unarmed_serin_is_an_alarm_and_so_is_each_promise() {
        let made = made(&[ACT, OBSERVE]);
        let unarmed = alarm(&made, "shop-a-unarmed");
        assert_eq!((&unarmed["MetricName"], &unarmed["Statistic"]), (&json!("Armed"), &json!("Maximum")));
        assert_eq!((&unarmed["TreatMissingData"], &unarmed["Threshold"]), (&json!("breaching"), &json!(1.0)));
        assert_eq!(unarmed["ComparisonOperator"], "LessThanThreshold");
        assert_eq!((&unarmed["Period"], &unarmed["EvaluationPeriods"]), (&json!(120), &json!(2)));
        // Who only observes is never armed, and that is no alarm; that nobody probes is one.
        let silent = alarm(&made, "shopa-silent");
        assert_eq!(
            (&silent["MetricName"], &silent["TreatMissingData"]),
            (&json!("Attempts"), &json!("breaching"))
        );
        let threshold = |name: &str| alarm(&made, name)["Threshold"].as_f64().unwrap();
        assert!((threshold("shop-a-errors") - 1.44).abs() < 1e-9);
        assert!((threshold("shopa-errors") - 100.0).abs() < 1e-9, "a share is never above the whole");
        assert!((threshold("shop-a-latency-p95") - 250.0).abs() < 1e-9);
        assert_eq!(alarm(&made, "shop-a-latency-p99.9")["ExtendedStatistic"], "p99.9");
        let count = of_kind(&made, "AWS::CloudWatch::Alarm").len();
        assert_eq!(count, 6 + 4, "two services whose ids differ by a dash only keep their alarms apart");
    }

    #[test]
    fn the_alarm_above_rings_for_each_below_it_and_the_others_tell_nobody() {
        let made = made(&[ACT, OBSERVE]);
        for each in of_kind(&made, "AWS::CloudWatch::CompositeAlarm") {
            let name = each["AlarmName"]["Fn::Sub"].as_str().unwrap();
            let rule = each["AlarmRule"]["Fn::Sub"].as_str().unwrap();
            let below = of_kind(&made, "AWS::CloudWatch::Alarm")
                .into_iter()
                .map(|alarm| alarm["AlarmName"]["Fn::Sub"].as_str().unwrap())
                .filter(|alarm| alarm.starts_with(&format!("{name}-")));
            let wants: BTreeSet<String> = below.map(|alarm| format!("ALARM(\"{alarm}\")")).collect();
            let rings: BTreeSet<String> = rule.split(" OR ").map(str::to_owned).collect();
            assert_eq!(rings, wants);
            assert_eq!(each["AlarmActions"]["Fn::If"][0], "IsTold");
        }
        assert_eq!(of_kind(&made, "AWS::CloudWatch::CompositeAlarm").len(), 2);
        for each in of_kind(&made, "AWS::CloudWatch::Alarm") {
            assert_eq!((&each["AlarmActions"], &each["Namespace"]), (&Value::Null, &json!("Ours")));
        }
    }

    #[test]
    fn every_metric_that_is_named_is_sent() {
        let made = made(&[ACT, OBSERVE]);
        let sent: BTreeSet<&str> = CLOUDWATCH.iter().map(|name| name.name).collect();
        for each in of_kind(&made, "AWS::CloudWatch::Alarm") {
            assert!(sent.contains(each["MetricName"].as_str().unwrap()), "{each}");
        }
        let body =
            of_kind(&made, "AWS::CloudWatch::Dashboard")[0]["DashboardBody"]["Fn::Sub"].as_str().unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let widgets = body["widgets"].as_array().unwrap();
        let mut places = BTreeSet::new();
        for widget in widgets {
            let (x, y) = (widget["x"].as_u64().unwrap(), widget["y"].as_u64().unwrap());
            assert!(x + widget["width"].as_u64().unwrap() <= 24 && places.insert((x, y)), "{widget}");
            assert_eq!(widget["properties"]["region"], "${AWS::Region}");
            for metric in widget["properties"]["metrics"].as_array().unwrap() {
                assert!(sent.contains(metric[1].as_str().unwrap()), "{metric}");
                assert_eq!((&metric[0], &metric[2]), (&json!("Ours"), &json!("Service")));
            }
        }
        assert_eq!(widgets.len(), 8);
    }
}
