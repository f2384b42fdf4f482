//! What `CloudWatch` gets, and what it is called there.

/// One figure of `CloudWatch`. Dimensions are `Service`, or `Service` and `Target`: nothing that changes with a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloudWatchName {
    /// The metric's name.
    pub name: &'static str,
    /// `CloudWatch`'s unit.
    pub unit: &'static str,
    /// It exists for each target too.
    pub by_target: bool,
    /// One sentence, without the full stop.
    pub meaning: &'static str,
}

/// What `CloudWatch` gets.
pub const CLOUDWATCH: [CloudWatchName; 9] = [
    CloudWatchName::new("Attempts", "Count", true, "Production probes that came to an end"),
    CloudWatchName::new("Failures", "Count", true, "Those that failed by the target's doing"),
    CloudWatchName::new(
        "ErrorRate",
        "Percent",
        true,
        "Failures in a hundred probes that our own side didn't spoil; absent without one",
    ),
    CloudWatchName::new("Latency", "Milliseconds", true, "Response times, as a distribution"),
    CloudWatchName::new(
        "P95",
        "Milliseconds",
        false,
        "P95 of the judge's rolling window; absent without an answer",
    ),
    CloudWatchName::new("Reverts", "Count", false, "Reverts that were verified"),
    CloudWatchName::new("Breaches", "Count", false, "Releases that broke a promise"),
    CloudWatchName::new("Armed", "None", false, "1 when a breach would be answered by a write"),
    CloudWatchName::new(
        "Blind",
        "None",
        false,
        "1 when the prober can't tell the target's fault from its own",
    ),
];

impl CloudWatchName {
    const fn new(name: &'static str, unit: &'static str, by_target: bool, meaning: &'static str) -> Self {
        Self { name, unit, by_target, meaning }
    }
}
