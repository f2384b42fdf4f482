//! Serin's own health: a prober that is starved, blind or silent must be seen before a release is.

use super::looks::{BLIND, HOLDS, STARVED, TAKEN, WAITS, WANTED};
use super::release::armed;
use super::source::{Board, Chosen, Line, Look, Panel, Section};

pub(super) fn board() -> Board {
    Board {
        name: "health",
        title: "Serin itself",
        description: "Whether Serin itself is well: is it run in time, does it see, would it act, and does what it publishes arrive.",
        from: "now-3h",
        chosen: Chosen::Services,
        objectives: false,
        events: false,
        deeper: None,
        sections: vec![who(), pace(), sight()],
    }
}

fn who() -> Section {
    Section {
        title: "Who runs, and may act",
        lines: vec![Line {
            height: 7,
            panels: vec![
                Panel::new(
                    Look::Stat,
                    "Versions",
                    "short",
                    "The versions of Serin that run, and how many instances of each.",
                )
                .ask("count by (version) (serin_build_info)", "{{version}}"),
                Panel::new(Look::Stat, "Modes", "short", "The mode of each service: how many instances observe, and how many act.")
                    .ask("sum by (service, mode) (serin_mode) > 0", "{{service}} {{mode}}"),
                armed(),
                Panel::new(
                    Look::States,
                    "Conditions of acting",
                    "none",
                    "Each condition of acting, and whether it holds. All must hold before anything is put back.",
                )
                .ask("min by (service, condition) (serin_condition)", "{{service}} {{condition}}")
                .says(HOLDS)
                .wide(2),
            ],
        }],
    }
}

fn pace() -> Section {
    Section {
        title: "Is it run in time",
        lines: vec![
            Line {
                height: 8,
                panels: vec![
                    Panel::new(
                        Look::Lines,
                        "Not run",
                        "percentunit",
                        "Share of the time in which our own engine should have been run and was not, and share of the enforcement periods in which the CPU quota of its cgroup ran out. What was measured meanwhile is void.",
                    )
                    .ask("max by (service, instance) (serin_prober_stalled_ratio)", "{{service}} {{instance}} stalled")
                    .ask("max by (service, instance) (serin_prober_throttled_ratio)", "{{service}} {{instance}} throttled")
                    .steps(STARVED)
                    .share(),
                    Panel::new(
                        Look::Lines,
                        "Own lateness, P99",
                        "s",
                        "P99 of how late our own process began its probes. Late probes are void.",
                    )
                    .quantile("0.99", "serin_probe_lateness_seconds", &["service", "instance"], "{{service}} {{instance}}")
                    .zero_based(),
                    Panel::new(
                        Look::Lines,
                        "Own echo, P99",
                        "s",
                        "How long our own loopback echoes lay unread: an answer of a target would have waited as long.",
                    )
                    .quantile("0.99", "serin_prober_echo_seconds", &["service", "instance"], "{{service}} {{instance}}")
                    .zero_based(),
                ],
            },
            Line {
                height: 8,
                panels: vec![
                    Panel::new(
                        Look::Lines,
                        "P99 from due",
                        "s",
                        "Response time from the due instant: the wait for the coalescing quantum is in it.",
                    )
                    .quantile("0.99", "serin_probe_since_due_seconds", &["service", "instance"], "{{service}} {{instance}}")
                    .zero_based(),
                    Panel::new(
                        Look::Lines,
                        "Probes",
                        "reqps",
                        "Probes that came to an end a second, by what they were for. In CloudWatch: of production, in each period.",
                    )
                    .ask(
                        "sum by (service, purpose) (rate(serin_probe_attempts_total[$__rate_interval]))",
                        "{{service}} {{purpose}}",
                    )
                    .metric("Attempts", "Sum", "")
                    .zero_based(),
                    Panel::new(
                        Look::Lines,
                        "Void probes",
                        "reqps",
                        "Probes that say nothing about the target, by our own doing, a second.",
                    )
                    .ask("sum by (service, target) (rate(serin_probe_void_total[$__rate_interval]))", "{{service}} {{target}}")
                    .zero_based(),
                ],
            },
        ],
    }
}

fn configuration() -> Line {
    Line {
        height: 6,
        panels: vec![
            Panel::new(
                Look::States,
                "Configuration",
                "none",
                "Whether the configuration was taken when it was read last; if not, that of before goes on, and the log has the faults.",
            )
            .ask("min by (instance) (serin_config_last_reload_successful)", "{{instance}}")
            .says(TAKEN)
            .wide(2),
            Panel::new(
                Look::Stat,
                "Read last",
                "dateTimeFromNow",
                "When the configuration was taken last.",
            )
            .ask("max by (instance) (serin_config_last_reload_success_timestamp_seconds) * 1000", "{{instance}}"),
            Panel::new(
                Look::States,
                "Waits for a release",
                "none",
                "Services that have another configuration, which holds once the release under judgement is over.",
            )
            .ask("max by (service) (serin_config_pending)", "{{service}}")
            .says(WAITS)
            .wide(2),
        ],
    }
}

fn sight() -> Section {
    Section {
        title: "Does it see, and is it heard",
        lines: vec![Line {
            height: 8,
            panels: vec![
                Panel::new(
                    Look::States,
                    "Blind",
                    "none",
                    "Why the prober can't tell the target's fault from its own, if it can't.",
                )
                .ask("max by (service, reason) (serin_blind)", "{{service}} {{reason}}")
                .metric("Blind", "Maximum", "blind")
                .says(BLIND),
                Panel::new(
                    Look::Lines,
                    "Attained",
                    "percentunit",
                    "Production answers in the rolling window as a share of the probes that were planned; below a half nothing is called good.",
                )
                .ask("min by (service, instance) (serin_attained_ratio)", "{{service}} {{instance}}")
                .steps(WANTED)
                .share(),
                Panel::new(
                    Look::Bars,
                    "Dropped by publishing",
                    "short",
                    "Items, exports and metric data that a destination never got, in each interval, and why. No verdict depends on them.",
                )
                .ask("sum by (destination, reason, instance) (increase(serin_dropped_total[$__rate_interval]))", "{{destination}} {{reason}} {{instance}}")
                .zero_based(),
                Panel::new(
                    Look::Lines,
                    "Waits on disk",
                    "short",
                    "Batches that a destination didn't take yet: they go out oldest first once it is back.",
                )
                .ask("sum by (destination, instance) (serin_spool_batches)", "{{destination}} {{instance}}")
                .zero_based(),
                Panel::new(
                    Look::Lines,
                    "Size of what waits",
                    "bytes",
                    "What those take of the disk. At the bound of publish's spool the oldest goes.",
                )
                .ask("sum by (destination, instance) (serin_spool_bytes)", "{{destination}} {{instance}}")
                .zero_based(),
            ],
        }, configuration()],
    }
}
