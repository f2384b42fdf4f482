//! One service: how well it answers, where the time goes, and how its promise stands.

use super::looks::{BUDGET, BURN, WANTED};
use super::release::{errors, p95};
use super::source::{Board, Chosen, Line, Look, Panel, Section};

pub(super) fn board() -> Board {
    Board {
        name: "service",
        title: "service",
        description: "One service as its users' requests would find it: errors, response time by target and phase, and the error budget.",
        from: "now-3h",
        chosen: Chosen::Targets,
        objectives: true,
        events: true,
        deeper: Some("release"),
        sections: vec![promise(), targets(), time()],
    }
}

fn promise() -> Section {
    Section {
        title: "The promise",
        lines: vec![
            Line { height: 8, panels: vec![errors(), p95()] },
            Line {
                height: 7,
                panels: vec![
                    Panel::new(
                        Look::Lines,
                        "Error budget left",
                        "percentunit",
                        "Share of the error budget of 30 days that is left, as the probes saw it; below zero more was spent than there was.",
                    )
                    .ask("min by (service, instance) (serin_error_budget_remaining_ratio)", "{{service}} {{instance}}")
                    .steps(BUDGET),
                    Panel::new(
                        Look::Lines,
                        "Burn rate",
                        "none",
                        "How many times faster than allowed the error budget is spent, over an hour, six hours and three days; at 1 it lasts for exactly 30 days.",
                    )
                    .ask("max by (service, window) (serin_error_budget_burn_rate)", "{{service}} {{window}}")
                    .steps(BURN)
                    .zero_based(),
                    Panel::new(
                        Look::Lines,
                        "Attained",
                        "percentunit",
                        "Production answers in the rolling window as a share of the probes that were planned; below a half nothing is called good.",
                    )
                    .ask("min by (service, instance) (serin_attained_ratio)", "{{service}} {{instance}}")
                    .steps(WANTED)
                    .share(),
                ],
            },
            Line {
                height: 7,
                panels: vec![
                    Panel::new(
                        Look::Stack,
                        "Failures by reason",
                        "reqps",
                        "Failed probes of the production path a second, by reason. What begins with prober. is our own doing and judged by nobody. In CloudWatch: by target, and only the target's own.",
                    )
                    .ask(
                        r#"sum by (service, reason) (rate(serin_probe_failures_total{purpose="production"}[$__rate_interval])) > 0"#,
                        "{{service}} {{reason}}",
                    )
                    .target_metric("Failures", "Sum", "")
                    .zero_based(),
                    Panel::new(
                        Look::Stack,
                        "Answers by class of status",
                        "reqps",
                        "HTTP answers on the production path a second.",
                    )
                    .ask(
                        "sum by (service, status_class) (rate(serin_probe_answers_total[$__rate_interval])) > 0",
                        "{{service}} {{status_class}}",
                    )
                    .zero_based(),
                ],
            },
        ],
    }
}

fn targets() -> Section {
    Section {
        title: "Targets",
        lines: vec![
            Line {
                height: 8,
                panels: vec![
                    Panel::new(
                        Look::Lines,
                        "Worst targets by errors and slowness",
                        "percentunit",
                        "The targets with the largest share of bad answers, and of answers over the latency objective, in their own rolling window (a minute, or the judge's window if that is longer).",
                    )
                    .ask("topk(10, max by (service, target) (serin_target_error_ratio))", "{{service}} {{target}}")
                    .ask("topk(10, max by (service, target) (serin_target_slow_ratio))", "{{service}} {{target}} slow")
                    .target_metric("ErrorRate", "Average", "")
                    .zero_based(),
                    Panel::new(
                        Look::Lines,
                        "Worst targets by P95",
                        "s",
                        "The slowest targets: P95 of their own rolling window, at most 0.8 % off.",
                    )
                    .ask("topk(10, max by (service, target) (serin_target_p95_seconds))", "{{service}} {{target}}")
                    .target_metric("Latency", "p95", "")
                    .zero_based(),
                ],
            },
            Line {
                height: 8,
                panels: vec![
                    Panel::new(
                        Look::Lines,
                        "P95 by target over the interval",
                        "s",
                        "P95 of the response time of each target, from histograms: coarser than the judge's own figure where the scrape keeps classic buckets only.",
                    )
                    .quantile("0.95", "serin_probe_duration_seconds", &["service", "target"], "{{service}} {{target}}")
                    .zero_based(),
                    Panel::new(
                        Look::Lines,
                        "Probes by purpose",
                        "reqps",
                        "Probes that came to an end a second, by what they were for. In CloudWatch: of production, in each period.",
                    )
                    .ask(
                        "sum by (service, purpose) (rate(serin_probe_attempts_total[$__rate_interval]))",
                        "{{service}} {{purpose}}",
                    )
                    .target_metric("Attempts", "Sum", "")
                    .zero_based(),
                ],
            },
        ],
    }
}

fn time() -> Section {
    Section {
        title: "Where the time goes",
        lines: vec![Line {
            height: 8,
            panels: vec![
                Panel::new(Look::Lines, "P95 by phase", "s", "P95 of each phase of a probe.")
                    .quantile("0.95", "serin_probe_phase_seconds", &["service", "phase"], "{{service}} {{phase}}")
                    .zero_based(),
                Panel::new(
                    Look::Lines,
                    "Response time and service time",
                    "s",
                    "P50 and P99 of the response time from the planned instant, and P99 of the service time from the begin of the probe: what lies between them is waiting.",
                )
                .quantile("0.5", "serin_probe_duration_seconds", &["service"], "{{service}} P50")
                .quantile("0.99", "serin_probe_duration_seconds", &["service"], "{{service}} P99")
                .quantile("0.99", "serin_probe_service_seconds", &["service"], "{{service}} P99 of service time")
                .metric("Latency", "p50", "P50")
                .metric("Latency", "p99", "P99")
                .zero_based(),
            ],
        }],
    }
}
