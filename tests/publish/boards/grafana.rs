//! A dashboard as Grafana's own export would have it.

use super::Dialect;
use super::promql::{Ask, Words};
use super::source::{Board, Chosen, Look, Metric, Panel, Step, Word};
use serde_json::{Value, json};

/// Grafana's grid.
const COLUMNS: usize = 24;
/// What Grafana 11 and 12 write.
const SCHEMA: u32 = 41;

/// `board` in the words of `dialect`.
pub(super) fn dashboard(board: &Board, dialect: Dialect, all: &[Board]) -> Value {
    json!({
        "uid": uid(board.name, dialect),
        "title": format!("Serin: {}{}", board.title, dialect.suffix()),
        "description": board.description,
        "tags": ["serin", dialect.folder()],
        "editable": false,
        "graphTooltip": 1,
        "schemaVersion": SCHEMA,
        "version": 1,
        "refresh": "10s",
        "timezone": "browser",
        "weekStart": "",
        "fiscalYearStartMonth": 0,
        "preload": false,
        "links": links(board, dialect, all),
        "time": { "from": board.from, "to": "now" },
        "timepicker": { "refresh_intervals": ["5s", "10s", "30s", "1m", "5m"] },
        "templating": { "list": variables(board, dialect) },
        "annotations": { "list": annotations(board, dialect) },
        "panels": panels(board, dialect),
    })
}

fn uid(board: &str, dialect: Dialect) -> String {
    format!("serin-{board}-{}", dialect.folder())
}

/// To the other boards of the same dialect, with what is chosen here.
fn links(board: &Board, dialect: Dialect, all: &[Board]) -> Vec<Value> {
    let others = all.iter().filter(|each| each.name != board.name);
    others
        .map(|other| {
            json!({
                "type": "link", "title": other.title, "url": format!("/d/{}", uid(other.name, dialect)),
                "icon": "dashboard", "tooltip": other.description, "tags": [], "asDropdown": false,
                "includeVars": true, "keepTime": true, "targetBlank": false,
            })
        })
        .collect()
}

fn source(dialect: Dialect) -> Value {
    json!({ "type": dialect.source(), "uid": "${datasource}" })
}

// Variables.

fn variables(board: &Board, dialect: Dialect) -> Vec<Value> {
    let mut list = vec![json!({
        "type": "datasource", "name": "datasource", "label": "Data source", "query": dialect.source(),
        "regex": "", "refresh": 1, "multi": false, "includeAll": false, "hide": 0, "options": [], "current": {},
    })];
    if dialect == Dialect::CloudWatch {
        list.push(of_cloudwatch("region", "Region", &json!({ "queryType": "regions" }), false));
        list.push(text("namespace", "Namespace", "Where [publish.cloudwatch] sends the figures", "Serin"));
        let service = json!({
            "queryType": "dimensionValues", "region": "$region", "namespace": "$namespace",
            "metricName": "Attempts", "dimensionKey": "Service", "dimensionFilters": {},
        });
        list.push(of_cloudwatch("service", "Service", &service, board.chosen == Chosen::Services));
        if board.chosen == Chosen::Targets {
            let target = json!({
                "queryType": "dimensionValues", "region": "$region", "namespace": "$namespace",
                "metricName": "Attempts", "dimensionKey": "Target",
                "dimensionFilters": { "Service": "$service" },
            });
            list.push(of_cloudwatch("target", "Target", &target, true));
        }
        return list;
    }
    let mut words = Words::new(dialect, false);
    let build = words.build("");
    list.push(of_prometheus("job", "Job", &format!("label_values({build}, job)"), true));
    let build = words.build(r#"{job=~"$job"}"#);
    list.push(of_prometheus("instance", "Instance", &format!("label_values({build}, instance)"), true));
    let attempts = words.attempts(r#"{job=~"$job", instance=~"$instance"}"#);
    let service = format!("label_values({attempts}, {})", words.label("service"));
    list.push(of_prometheus("service", "Service", &service, board.chosen == Chosen::Services));
    if board.chosen == Chosen::Targets {
        let own =
            format!(r#"{{job=~"$job", instance=~"$instance", {}=~"$service"}}"#, words.label("service"));
        let attempts = words.attempts(&own);
        let target = format!("label_values({attempts}, {})", words.label("target"));
        list.push(of_prometheus("target", "Target", &target, true));
    }
    if board.objectives {
        let why = "The share of bad answers that may be, 0 to 1; it is only drawn";
        list.push(text("error_objective", "Error objective", why, "0.001"));
        list.push(text("p95_objective", "P95 objective", "In seconds; it is only drawn", "0.25"));
    }
    list
}

fn of_prometheus(name: &str, label: &str, query: &str, many: bool) -> Value {
    let query_object = json!({ "query": query, "refId": format!("var-{name}"), "qryType": 1 });
    variable(name, label, query, &query_object, Dialect::Metrics, many)
}

fn of_cloudwatch(name: &str, label: &str, query: &Value, many: bool) -> Value {
    let mut query = query.clone();
    query["refId"] = json!(format!("var-{name}"));
    variable(name, label, "", &query, Dialect::CloudWatch, many)
}

fn variable(name: &str, label: &str, definition: &str, query: &Value, dialect: Dialect, many: bool) -> Value {
    let mut variable = json!({
        "type": "query", "name": name, "label": label, "datasource": source(dialect), "definition": definition,
        "query": query, "refresh": 2, "sort": 1, "multi": many, "includeAll": many, "regex": "", "hide": 0,
        "options": [], "current": {},
    });
    if many {
        variable["allValue"] = json!(if dialect == Dialect::CloudWatch { "*" } else { ".+" });
        variable["current"] = json!({ "selected": true, "text": ["All"], "value": ["$__all"] });
    }
    variable
}

fn text(name: &str, label: &str, description: &str, value: &str) -> Value {
    json!({
        "type": "textbox", "name": name, "label": label, "description": description, "query": value, "hide": 0,
        "options": [{ "selected": true, "text": value, "value": value }],
        "current": { "selected": true, "text": value, "value": value },
    })
}

// Annotations.

/// What is marked: name, colour, question, title, text.
const EVENTS: [(&str, &str, &str, &str, &str); 4] = [
    (
        "Breaches",
        "red",
        "sum by (service) (increase(serin_breaches_total[$__rate_interval])) > 0",
        "BREACH",
        "{{service}}: a release broke a promise",
    ),
    (
        "Reverts",
        "green",
        "sum by (service, outcome) (increase(serin_reverts_total[$__rate_interval])) > 0",
        "REVERT",
        "{{service}}: {{outcome}}",
    ),
    (
        "Changes of the listener or alias",
        "blue",
        "max by (service) (changes(serin_epoch[$__rate_interval])) > 0",
        "EPOCH",
        "{{service}}: what requests go to changed",
    ),
    (
        "Bad by the judge's word",
        "orange",
        "max by (service) (serin_verdict{verdict=\"bad\"}) == 1",
        "BAD",
        "{{service}}: production breaks a promise",
    ),
];

fn annotations(board: &Board, dialect: Dialect) -> Vec<Value> {
    let mut list = vec![json!({
        "builtIn": 1, "type": "dashboard", "name": "Annotations & Alerts",
        "datasource": { "type": "grafana", "uid": "-- Grafana --" },
        "enable": true, "hide": true, "iconColor": "rgba(0, 211, 255, 1)",
    })];
    if dialect == Dialect::CloudWatch || !board.events {
        return list;
    }
    for (name, color, expression, title, text) in EVENTS {
        let mut words = Words::new(dialect, board.chosen == Chosen::Targets);
        let expression = words.ask(&Ask::Expression(expression));
        let keys: Vec<&str> = ["service", "outcome"]
            .into_iter()
            .filter(|key| text.contains(&format!("{{{{{key}}}}}")))
            .map(|key| words.label(key))
            .collect();
        list.push(json!({
            "name": name, "datasource": source(dialect), "enable": true, "hide": false, "iconColor": color,
            "target": { "expr": expression, "refId": "Anno", "interval": "15s", "editorMode": "code", "range": true },
            "titleFormat": title, "textFormat": words.legend(text), "tagKeys": keys.join(","),
            "useValueForTime": false,
        }));
    }
    list
}

// Panels.

fn panels(board: &Board, dialect: Dialect) -> Vec<Value> {
    let mut list: Vec<Value> = Vec::new();
    let mut y = 0;
    let has = |panel: &&Panel| match dialect {
        Dialect::CloudWatch => !panel.metrics.is_empty(),
        _ => !panel.queries.is_empty(),
    };
    for section in &board.sections {
        let lines: Vec<(u32, Vec<&Panel>)> = section
            .lines
            .iter()
            .map(|line| (line.height, line.panels.iter().filter(has).collect::<Vec<_>>()))
            .filter(|(_, panels)| !panels.is_empty())
            .collect();
        if lines.is_empty() {
            continue;
        }
        list.push(json!({
            "id": list.len() + 1, "type": "row", "title": section.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
        }));
        y += 1;
        for (height, panels) in lines {
            let whole: u32 = panels.iter().map(|panel| panel.weight).sum();
            let mut before = 0;
            for panel in panels {
                let x = COLUMNS * before as usize / whole as usize;
                before += panel.weight;
                let end = COLUMNS * before as usize / whole as usize;
                let mut value = self::panel(board, panel, dialect);
                value["id"] = json!(list.len() + 1);
                value["gridPos"] = json!({ "x": x, "y": y, "w": end - x, "h": height });
                list.push(value);
            }
            y += height;
        }
    }
    list
}

fn panel(board: &Board, panel: &Panel, dialect: Dialect) -> Value {
    let (mut unit, mut max) = (panel.unit, panel.max);
    let mut steps = panel.steps.clone();
    let targets: Vec<Value> = if dialect == Dialect::CloudWatch {
        // Its figures have units of their own.
        unit = super::cloudwatch_unit(panel.metrics[0].name);
        if unit == "percent" {
            max = max.map(|share| share * 100.0);
            steps = steps.into_iter().map(|(from, color)| (from.map(|share| share * 100.0), color)).collect();
        }
        panel.metrics.iter().enumerate().map(|(place, metric)| of_metric(place, metric)).collect()
    } else {
        let each = panel.queries.iter().enumerate();
        each.map(|(place, query)| {
            let mut words = Words::new(dialect, board.chosen == Chosen::Targets);
            let expression = words.ask(&query.ask);
            let mut target = json!({
                "datasource": source(dialect), "refId": letter(place), "expr": expression, "editorMode": "code",
                "legendFormat": words.legend(query.legend), "range": true, "instant": false,
            });
            if matches!(panel.look, Look::Stat | Look::Table) {
                target["range"] = json!(false);
                target["instant"] = json!(true);
            }
            if panel.look == Look::Table {
                target["format"] = json!("table");
                target["legendFormat"] = json!("__auto");
            }
            target
        })
        .collect()
    };
    let (kind, custom, mut options) = looks(panel.look);
    if panel.look == Look::Stat
        && panel.metrics.iter().all(|metric| metric.statistic == "Sum")
        && dialect == Dialect::CloudWatch
    {
        options["reduceOptions"]["calcs"] = json!(["sum"]);
    }
    let mut defaults = json!({
        "unit": unit, "custom": custom, "mappings": mappings(panel.words), "links": deeper(board, panel, dialect),
        "color": { "mode": if panel.look == Look::Lines || panel.look == Look::Stack || panel.look == Look::Bars { "palette-classic" } else { "thresholds" } },
        "thresholds": thresholds(&steps),
    });
    if panel.look == Look::Lines && !steps.is_empty() {
        defaults["custom"]["thresholdsStyle"] = json!({ "mode": "dashed" });
    }
    for (key, bound) in [("min", panel.min), ("max", max)] {
        if let Some(bound) = bound {
            defaults[key] = json!(bound);
        }
    }
    let mut value = json!({
        "type": kind, "title": panel.title, "description": panel.description, "datasource": source(dialect),
        "fieldConfig": { "defaults": defaults, "overrides": overrides(panel, dialect, board) },
        "options": options, "targets": targets,
    });
    if panel.look == Look::Table {
        value["transformations"] = columns(panel, dialect);
    }
    value
}

fn letter(place: usize) -> String {
    char::from(b'A' + u8::try_from(place).expect("few queries")).to_string()
}

/// A figure of `CloudWatch`, of each service or target that is chosen.
fn of_metric(place: usize, metric: &Metric) -> Value {
    let mut dimensions = json!({ "Service": "$service" });
    let mut label = "${PROP('Dim.Service')}".to_owned();
    if metric.by_target {
        dimensions["Target"] = json!("$target");
        label.push_str(" ${PROP('Dim.Target')}");
    }
    if !metric.label.is_empty() {
        label = format!("{label} {}", metric.label);
    }
    json!({
        "datasource": source(Dialect::CloudWatch), "refId": letter(place), "id": "",
        "queryMode": "Metrics", "metricQueryType": 0, "metricEditorMode": 0, "region": "$region",
        "namespace": "$namespace", "metricName": metric.name, "dimensions": dimensions, "matchExact": true,
        "statistic": metric.statistic, "period": "", "label": label, "expression": "", "sqlExpression": "",
    })
}

/// Grafana's name for the look, and its settings.
fn looks(look: Look) -> (&'static str, Value, Value) {
    let legend = |shown: bool| json!({ "displayMode": "list", "placement": "bottom", "showLegend": shown, "calcs": [] });
    let over_time = json!({ "legend": legend(true), "tooltip": { "mode": "multi", "sort": "desc" } });
    let drawn = |style: &str, fill: u32, stacking: &str| {
        json!({
            "drawStyle": style, "lineWidth": 1, "fillOpacity": fill, "showPoints": "never", "spanNulls": false,
            "lineInterpolation": "linear", "stacking": { "mode": stacking, "group": "A" },
        })
    };
    match look {
        Look::Lines => ("timeseries", drawn("line", 10, "none"), over_time),
        Look::Stack => ("timeseries", drawn("line", 40, "normal"), over_time),
        Look::Bars => ("timeseries", drawn("bars", 80, "normal"), over_time),
        Look::States => (
            "state-timeline",
            json!({ "fillOpacity": 80, "lineWidth": 0 }),
            json!({
                "mergeValues": true, "showValue": "auto", "alignValue": "center", "rowHeight": 0.9,
                "legend": legend(false), "tooltip": { "mode": "single", "sort": "none" },
            }),
        ),
        Look::Stat => (
            "stat",
            json!({}),
            json!({
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
                "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "textMode": "auto",
                "orientation": "auto", "wideLayout": true, "showPercentChange": false,
                "percentChangeColorMode": "standard",
            }),
        ),
        Look::Table => (
            "table",
            json!({ "align": "auto", "cellOptions": { "type": "auto" }, "filterable": false, "inspect": false }),
            json!({ "showHeader": true, "cellHeight": "sm" }),
        ),
    }
}

fn thresholds(steps: &[Step]) -> Value {
    let plain = [(None, "text")];
    let steps = if steps.is_empty() { &plain[..] } else { steps };
    let steps: Vec<Value> =
        steps.iter().map(|(from, color)| json!({ "color": color, "value": from })).collect();
    json!({ "mode": "absolute", "steps": steps })
}

fn mappings(words: &[Word]) -> Value {
    if words.is_empty() {
        return json!([]);
    }
    let mut options = json!({});
    for (index, (value, text, color)) in words.iter().enumerate() {
        options[value] = json!({ "text": text, "color": color, "index": index });
    }
    json!([{ "type": "value", "options": options }])
}

/// From a line of a service to its own board.
fn deeper(board: &Board, panel: &Panel, dialect: Dialect) -> Value {
    let Some(to) = board.deeper else { return json!([]) };
    let label = match dialect {
        Dialect::Metrics => "service",
        Dialect::Otlp => "serin_service",
        Dialect::CloudWatch => "Service",
    };
    let names_it = dialect == Dialect::CloudWatch
        || panel.queries.iter().all(|query| query.legend.contains("{{service}}"));
    if panel.look == Look::Table || !names_it {
        return json!([]);
    }
    json!([link(to, &format!("${{__field.labels.{label}}}"), dialect)])
}

fn link(to: &str, service: &str, dialect: Dialect) -> Value {
    let chosen = match dialect {
        Dialect::CloudWatch => "${region:queryparam}&${namespace:queryparam}",
        _ => "${job:queryparam}&${instance:queryparam}",
    };
    let path = uid(to, dialect);
    json!({
        "title": format!("{to} of {service}"), "targetBlank": false,
        "url": format!("/d/{path}?${{datasource:queryparam}}&{chosen}&var-service={service}&${{__url_time_range}}"),
    })
}

// Tables.

fn overrides(panel: &Panel, dialect: Dialect, board: &Board) -> Vec<Value> {
    if panel.look != Look::Table {
        let dashed = |query: &super::source::Query| query.legend == "objective";
        return panel
            .queries
            .iter()
            .filter(|query| dashed(query) && dialect != Dialect::CloudWatch)
            .map(|_| {
                json!({
                    "matcher": { "id": "byName", "options": "objective" },
                    "properties": [
                        { "id": "color", "value": { "mode": "fixed", "fixedColor": "red" } },
                        { "id": "custom.fillOpacity", "value": 0 },
                        { "id": "custom.lineStyle", "value": { "fill": "dash", "dash": [10, 10] } },
                    ],
                })
            })
            .collect();
    }
    let of_column = |query: &super::source::Query| {
        let column = query.column.as_ref().expect("a table's queries are columns");
        let mut properties = vec![
            json!({ "id": "unit", "value": column.unit }),
            json!({ "id": "thresholds", "value": thresholds(&column.steps) }),
            json!({ "id": "mappings", "value": mappings(column.words) }),
        ];
        if !column.steps.is_empty() || !column.words.is_empty() {
            properties.push(json!({ "id": "custom.cellOptions", "value": { "type": "color-text" } }));
        }
        json!({ "matcher": { "id": "byName", "options": query.legend }, "properties": properties })
    };
    let mut list: Vec<Value> = panel.queries.iter().map(of_column).collect();
    if let Some(to) = board.deeper {
        list.push(json!({
            "matcher": { "id": "byName", "options": "Service" },
            "properties": [{ "id": "links", "value": [link(to, "${__value.raw}", dialect)] }],
        }));
    }
    list
}

/// The queries' answers side by side, by service.
fn columns(panel: &Panel, dialect: Dialect) -> Value {
    let service = if dialect == Dialect::Otlp { "serin_service" } else { "service" };
    let mut names = json!({ service: "Service" });
    let mut places = json!({ service: 0 });
    for (place, query) in panel.queries.iter().enumerate() {
        let field = format!("Value #{}", letter(place));
        names[&field] = json!(query.legend);
        places[&field] = json!(place + 1);
    }
    json!([
        { "id": "merge", "options": {} },
        { "id": "organize",
          "options": { "excludeByName": { "Time": true }, "indexByName": places, "renameByName": names } },
    ])
}
