//! All services at a glance.

use super::looks::{ARMED, BUDGET, BURN, VERDICTS, WANTED, YES};
use super::source::{Board, Chosen, Line, Look, Panel, Section};

pub(super) fn board() -> Board {
    Board {
        name: "fleet",
        title: "fleet",
        description: "Every service that Serin watches: how it does, whether a bad release would be put back, and what was.",
        from: "now-6h",
        chosen: Chosen::Services,
        objectives: false,
        events: true,
        deeper: Some("service"),
        sections: vec![now(), services(), over_time()],
    }
}

fn now() -> Section {
    let stat = |title, description| Panel::new(Look::Stat, title, "short", description);
    Section {
        title: "Now",
        lines: vec![Line {
            height: 4,
            panels: vec![
                stat("Services", "Services that are watched.")
                    .ask("count(count by (service) (serin_mode))", "services"),
                stat("Instances", "Processes of Serin that tell something.")
                    .ask("count(count by (job, instance) (serin_build_info))", "instances"),
                stat("Armed", "Services of which a breach would be answered by a write, by one instance at least.")
                    .ask("sum(max by (service) (serin_armed))", "armed")
                    .metric("Armed", "Maximum", "armed"),
                stat("Bad", "Services that break a promise now, by the judge's word.")
                    .ask(r#"sum(max by (service) (serin_verdict{verdict="bad"}))"#, "bad")
                    .steps(&[(None, "green"), (Some(1.0), "red")]),
                stat("Blind", "Services of which nothing is judged: the prober can't tell the target's fault from its own.")
                    .ask("sum(max by (service) (serin_blind))", "blind")
                    .metric("Blind", "Maximum", "blind")
                    .steps(&[(None, "green"), (Some(1.0), "purple")]),
                stat("A person is needed", "Services for which nothing more is done automatically until a person has looked.")
                    .ask("sum(max by (service) (serin_needs_human))", "a person is needed")
                    .steps(&[(None, "green"), (Some(1.0), "red")]),
            ],
        }],
    }
}

fn services() -> Section {
    const VERDICT: &str = r#"max by (service) (serin_verdict{verdict="inconclusive"}) + 2 * max by (service) (serin_verdict{verdict="blind"}) + 3 * max by (service) (serin_verdict{verdict="bad"})"#;
    let table = Panel::new(
        Look::Table,
        "Services",
        "none",
        "Each service with the judge's word, the figures of its rolling window, and what is left of its error budget. A click on its name opens it.",
    );
    Section {
        title: "Services",
        lines: vec![Line {
            height: 10,
            panels: vec![
                table
                    .column("Verdict", "none", VERDICT, &[], VERDICTS)
                    .column("Error rate", "percentunit", "max by (service) (serin_error_ratio)", &[], &[])
                    .column("P95", "s", "max by (service) (serin_p95_seconds)", &[], &[])
                    .column("Attained", "percentunit", "min by (service) (serin_attained_ratio)", WANTED, &[])
                    .column(
                        "Budget left",
                        "percentunit",
                        "min by (service) (serin_error_budget_remaining_ratio)",
                        BUDGET,
                        &[],
                    )
                    .column(
                        "Burn, 1 h",
                        "none",
                        r#"max by (service) (serin_error_budget_burn_rate{window="1h"})"#,
                        BURN,
                        &[],
                    )
                    .column("Armed", "none", "max by (service) (serin_armed)", &[], ARMED)
                    .column("A person is needed", "none", "max by (service) (serin_needs_human)", &[], YES),
            ],
        }],
    }
}

fn over_time() -> Section {
    Section {
        title: "Over time",
        lines: vec![
            Line {
                height: 8,
                panels: vec![
                    Panel::new(
                        Look::Lines,
                        "Error rate",
                        "percentunit",
                        "Share of bad answers in the judge's rolling window. In CloudWatch: of all probes that our own side didn't spoil.",
                    )
                    .ask("max by (service) (serin_error_ratio)", "{{service}}")
                    .metric("ErrorRate", "Average", "")
                    .zero_based(),
                    Panel::new(Look::Lines, "P95", "s", "P95 of the response time in the judge's rolling window.")
                        .ask("max by (service) (serin_p95_seconds)", "{{service}}")
                        .metric("P95", "Maximum", "")
                        .zero_based(),
                ],
            },
            Line {
                height: 8,
                panels: vec![
                    Panel::new(
                        Look::Lines,
                        "Burn rate, 1 h",
                        "none",
                        "How many times faster than allowed the error budget was spent in the last hour: at 1 it lasts for exactly 30 days, at 14.4 a fiftieth of it is gone in an hour.",
                    )
                    .ask(r#"max by (service) (serin_error_budget_burn_rate{window="1h"})"#, "{{service}}")
                    .steps(BURN)
                    .zero_based(),
                    Panel::new(
                        Look::Bars,
                        "Breaches and reverts",
                        "short",
                        "Releases that broke a promise, and reverts by how they ended; dry_run is what would have been one.",
                    )
                    .ask("sum by (service) (increase(serin_breaches_total[$__rate_interval]))", "{{service}} broke a promise")
                    .ask("sum by (service, outcome) (increase(serin_reverts_total[$__rate_interval]))", "{{service}} {{outcome}}")
                    .metric("Breaches", "Sum", "broke a promise")
                    .metric("Reverts", "Sum", "put back, and proved")
                    .zero_based(),
                ],
            },
        ],
    }
}
