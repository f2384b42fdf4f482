//! Every key there is, with its default and the reason for it. Nothing else is accepted.

/// One key of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its path: `judge.window`; `[]` stands for an item of a list, `*` for any name.
    pub path: &'static str,
    /// What it is when nobody sets it; `None`: it is required, or its absence means something.
    pub default: Option<Fallback>,
    /// The reason for the default; for keys without one, what absence means.
    pub why: &'static str,
}

/// A default value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Text, which most values are: a number alone has no unit.
    Text(&'static str),
    /// A count.
    Int(i64),
    /// A switch.
    Bool(bool),
    /// A list of texts.
    Texts(&'static [&'static str]),
}

/// The sections that a process has once; they may stand in any one document.
pub const PROCESS_SECTIONS: [&str; 6] = ["admin", "engine", "evidence", "log", "publish", "reload"];

const fn key(path: &'static str, default: Fallback, why: &'static str) -> Key {
    Key { path, default: Some(default), why }
}

const fn bare(path: &'static str, why: &'static str) -> Key {
    Key { path, default: None, why }
}

use Fallback::{Bool, Int, Text, Texts};

/// All keys, in the order of the reference file.
pub const KEYS: &[Key] = &[
    bare("service", "required; a document without it is a layer beneath all that have it"),
    bare("listener", "without listener, rule and lambda_alias: measure and judge only"),
    bare("rule", "without listener, rule and lambda_alias: measure and judge only"),
    bare("lambda_alias", "without listener, rule and lambda_alias: measure and judge only"),
    key("mode", Text("observe"), "it acts once you trust it, not before"),
    key(
        "revert_style",
        Text("weights"),
        "the state of before, as it was; with stickiness some users stay until their cookie ends",
    ),
    key(
        "owner",
        Text("auto"),
        "ECS, CodeDeploy and Kubernetes' tags are asked; what they own is put back through them, or refused",
    ),
    bare(
        "via",
        "balancer, where one is governed: its own addresses, with the URL's host; with lambda_alias the URL's name; \"public\" measures through a CDN and verifies nothing",
    ),
    bare("ecs_service", "every ECS service of the account is looked through, up to 500"),
    bare("sole_actuator", "needed by act; true says that no other Serin may act on the lever"),
    key("instances", Int(1), "one task of its own; a sidecar states the number of tasks"),
    key("max_rate", Text("1000/s"), "more than this is a load test, not a probe"),
    bare("control", "without it, a fault of our own network is told by the direct probes of blue alone"),
    key("trace_share", Text("0%"), "a prober must not fill its users' tracing bill"),
    bare("ca_file", "the system's trust roots are enough"),
    bare("targets[].name", "the path of the URL; / becomes root"),
    bare("targets[].url", "required"),
    key(
        "targets[].weight",
        Int(1),
        "each URL is asked as often; a critical one may be asked more, and so counts for more",
    ),
    bare("targets[].group", "of no group"),
    bare("targets[].connect_to", "the URL's host is resolved"),
    key("targets[].method", Text("GET"), "reading is safe to repeat thousands of times"),
    bare("targets[].side_effects", "required for methods other than GET and HEAD"),
    bare("targets[].headers.*", "none but Host and User-Agent"),
    bare("targets[].version.header", "without it, answers are told apart by the balancer's weights only"),
    key("targets[].timeout", Text("1s"), "users have left by then; it may exceed the interval"),
    key("targets[].connection", Text("reuse"), "as browsers and meshes do; fresh costs a handshake a probe"),
    key("targets[].http", Text("1.1"), "answers over one HTTP/2 connection share their fate, and prove less"),
    key(
        "targets[].tls_session",
        Text("full"),
        "each handshake proves certificate and key; a resumed one costs a third less",
    ),
    key("targets[].max_body", Text("64KiB"), "a health page is smaller, an endless one is cut"),
    key("targets[].expect.status", Texts(&["200-299"]), "a redirect is not an answer to a health question"),
    bare("targets[].expect.body", "any body is good"),
    bare("targets[].in_flight", "timeout / interval at the release pace, rounded up, + 2, at least 4"),
    bare("targets[].ca_file", "the service's ca_file"),
    bare("objectives.availability", "no promise of availability; one promise at least is required"),
    bare("objectives.p50", "no promise"),
    bare("objectives.p75", "no promise"),
    bare("objectives.p90", "no promise"),
    bare("objectives.p95", "no promise of latency; one promise at least is required"),
    bare("objectives.p98", "no promise"),
    bare("objectives.p99", "no promise"),
    bare("objectives.p999", "no promise"),
    bare("objectives.bad_over", "a slow answer is not a bad one; its status, its body and its timeout count"),
    bare("groups[].name", "required; targets name it as their group"),
    bare("groups[].availability", "no promise for this group"),
    bare("groups[].p50", "no promise for this group"),
    bare("groups[].p75", "no promise for this group"),
    bare("groups[].p90", "no promise for this group"),
    bare("groups[].p95", "no promise for this group"),
    bare("groups[].p98", "no promise for this group"),
    bare("groups[].p99", "no promise for this group"),
    bare("groups[].p999", "no promise for this group"),
    bare("targets[].objectives.availability", "no promise for this URL alone"),
    bare("targets[].objectives.p50", "no promise for this URL alone"),
    bare("targets[].objectives.p75", "no promise for this URL alone"),
    bare("targets[].objectives.p90", "no promise for this URL alone"),
    bare("targets[].objectives.p95", "no promise for this URL alone"),
    bare("targets[].objectives.p98", "no promise for this URL alone"),
    bare("targets[].objectives.p99", "no promise for this URL alone"),
    bare("targets[].objectives.p999", "no promise for this URL alone"),
    key("judge.policy", Text("sequential"), "the fastest that keeps the odds of wrong_reverts"),
    key("judge.wrong_reverts", Text("1 in 1000000 releases"), "rarer than any other cause of a wrong revert"),
    key("judge.tolerate_blip", Text("250ms"), "a garbage collection or a lost packet is over by then"),
    key("judge.window", Text("10s"), "long enough for a P95, short enough to forget the past"),
    key("judge.min_samples", Int(20), "fewer answers have no P95, and are no good word"),
    key("judge.error_rate", Text("0%"), "no floor: the objective and wrong_reverts decide"),
    key(
        "judge.grace",
        Text("10s"),
        "caches and pools warm up; only a version that answers nothing but errors is reverted",
    ),
    key("judge.settle", Text("60s"), "a state that was good for a minute may be returned to"),
    key("judge.settle_answers", Int(100), "at a slow pace a minute alone proves little"),
    key("judge.judge_for", Text("15m"), "what breaks later is rarely the release"),
    key("judge.onset", Text("5m"), "what begins later also has to be worse than before under load"),
    key("judge.propagation", Text("15s"), "AWS promises no bound; about 10 s was seen after a weight change"),
    key(
        "judge.unheard",
        Text("hold"),
        "what breaks both versions of a function at once looks like a bad release once the old one gets no requests",
    ),
    key("judge.threshold.for", Text("0s"), "at once: wrong_reverts is bound enough"),
    key("judge.threshold.bad_streak", Int(0), "never by a streak alone"),
    key("judge.threshold.good_streak", Int(0), "a breach is over when it has left the window"),
    key(
        "judge.burn_rate.windows",
        Texts(&["14.4 in 1h and 5m", "6 in 6h and 30m"]),
        "what pages by the SRE workbook: 2 % of a month's budget in an hour, 5 % in six",
    ),
    key("guard.cool_down", Text("30m"), "a second revert so soon needs a person"),
    key("guard.reverts_per_hour", Int(1), "more is a fight, not a rescue"),
    key("guard.reverts_per_day", Int(3), "three bad releases a day need a person"),
    key("guard.min_healthy", Int(1), "an empty target group is never returned to"),
    key("guard.min_capacity", Text("100%"), "as many targets as serve now: fewer may fall over"),
    key(
        "guard.verify_answers",
        Int(20),
        "with half the traffic still on green, 20 in a row are luck once in a million",
    ),
    key("guard.verify_for", Text("60s"), "several times the propagation seen"),
    bare("guard.hold_file", "nothing holds by file"),
    key("pace.calm", Text("5/s"), "keeps connections and baselines warm, costs nothing"),
    key("pace.release", Text("100/s"), "a dead release is proved dead within a second"),
    key(
        "admin.listen",
        Text("127.0.0.1:9464"),
        "loopback only; 9464 is the Prometheus exporter port of OpenTelemetry",
    ),
    bare("admin.socket", "serin.sock in evidence.dir"),
    bare("admin.token", "what changes state goes over the socket only"),
    key("engine.quantum", Text("250us"), "below what a network can tell, above what a wake-up costs"),
    key("engine.threads", Int(1), "one carries ten thousand probes a second; each service lives on one"),
    key("evidence.dir", Text("serin-data"), "in the working directory"),
    key("evidence.stdout", Bool(true), "Fargate's disk dies with the task, its log stream doesn't"),
    key("evidence.max_disk", Text("256MiB"), "some releases with their samples"),
    bare("publish.aliases", "none: the same figures under two names cost twice"),
    bare("publish.otlp.endpoint", "required in [publish.otlp]; without the section OTLP is off"),
    key("publish.otlp.protocol", Text("http/protobuf"), "what every collector takes at its port 4318"),
    key(
        "publish.otlp.signals",
        Texts(&["metrics", "logs", "traces"]),
        "a collector takes all three; a destination that doesn't is told of in one line",
    ),
    key("publish.otlp.interval", Text("10s"), "a cutover is seen while it lasts"),
    bare("publish.otlp.headers.*", "none"),
    bare("publish.otlp.sigv4", "signed only for CloudWatch's own endpoint"),
    key(
        "publish.otlp.spool",
        Text("16MiB"),
        "hours of a service's figures, compressed, while a collector is away",
    ),
    key("publish.cloudwatch.namespace", Text("Serin"), "one namespace for the IAM condition"),
    key("publish.cloudwatch.interval", Text("60s"), "as CloudWatch stores it"),
    key("publish.cloudwatch.resolution", Int(60), "points of 1 second are kept for three hours only"),
    key(
        "publish.cloudwatch.spool",
        Text("16MiB"),
        "days of a service's figures, compressed, while CloudWatch is away",
    ),
    key("publish.emf.namespace", Text("Serin"), "as of CloudWatch"),
    key("publish.emf.interval", Text("60s"), "as CloudWatch stores it"),
    key("publish.emf.resolution", Int(60), "points of 1 second are kept for three hours only"),
    bare("publish.emf.log_group", "lines go to standard output"),
    bare("publish.emf.log_stream", "serin/ and the machine's name, which in ECS is the container's"),
    key(
        "publish.emf.spool",
        Text("16MiB"),
        "hours of a service's lines, compressed, while the log group is away",
    ),
    bare("publish.webhook.url", "required in [publish.webhook]; without the section nobody is called"),
    key("publish.webhook.timeout", Text("5s"), "a message that takes longer is sent again"),
    bare("publish.webhook.secret", "not signed: whoever knows the receiver's URL may write to it"),
    bare("publish.webhook.template", "the message as JSON, with every key"),
    key("publish.webhook.content_type", Text("application/json"), "as the message is without a template"),
    bare("publish.slack.url", "required in [publish.slack]; without the section no channel is told"),
    key("publish.slack.timeout", Text("5s"), "a message that takes longer is sent again"),
    bare("publish.sns.topic", "required in [publish.sns]; without the section no topic is told"),
    key("publish.sns.timeout", Text("5s"), "a message that takes longer is sent again"),
    bare("publish.eventbridge.bus", "required in [publish.eventbridge]; without the section no bus is told"),
    key("publish.eventbridge.timeout", Text("5s"), "a message that takes longer is sent again"),
    key("log.format", Text("auto"), "text on a terminal, JSON elsewhere"),
    key("log.level", Text("info"), "one line for each change of state"),
    bare("reload.watch", "the file is read anew on SIGHUP and by serin reload, not by itself"),
];

/// What the table says about a path with `[]` and `*` in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A value.
    Leaf,
    /// A table of keys.
    Section,
    /// A list of tables.
    Sections,
    /// No such key.
    Unknown,
}

/// The key of `pattern`, if it is one.
#[must_use]
pub fn find(pattern: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == pattern)
}

/// What `pattern` is.
#[must_use]
pub(crate) fn shape(pattern: &str) -> Shape {
    let below = |path: &str, separator: &str| {
        path.strip_prefix(pattern).is_some_and(|rest| rest.starts_with(separator))
    };
    if find(pattern).is_some() {
        Shape::Leaf
    } else if KEYS.iter().any(|key| below(key.path, ".")) {
        Shape::Section
    } else if KEYS.iter().any(|key| below(key.path, "[]")) {
        Shape::Sections
    } else {
        Shape::Unknown
    }
}

/// The names that may stand in the section `pattern` (empty: at the top), in the order of the table.
#[must_use]
pub fn names_in(pattern: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let rest = match pattern {
            "" => Some(key.path),
            _ => key.path.strip_prefix(pattern).and_then(|rest| rest.strip_prefix('.')),
        };
        if let Some(name) = rest.and_then(|rest| rest.split(['.', '[']).next())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// `section.name`, or `name` at the top.
#[must_use]
pub(crate) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// The pattern of `name` in the section `pattern`: itself, or `*` where any name may stand.
#[must_use]
pub(crate) fn pattern_of(pattern: &str, name: &str) -> String {
    let any = join(pattern, "*");
    if find(&any).is_some() { any } else { join(pattern, name) }
}
