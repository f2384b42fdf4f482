//! One release: the change, what it did to the answers, the verdict, and what was done about it.

use super::looks::{ARMED, BLIND, BURN, HOLDS, VERDICTS, YES};
use super::source::{Board, Chosen, Line, Look, Panel, Section};

pub(super) fn board() -> Board {
    Board {
        name: "release",
        title: "release",
        description: "A release as Serin sees it: who answers, how well, what the verdict is, and what was done about it.",
        from: "now-1h",
        chosen: Chosen::Service,
        objectives: true,
        events: true,
        deeper: None,
        sections: vec![release(), acting()],
    }
}

fn release() -> Section {
    Section {
        title: "The release",
        lines: vec![
            Line {
                height: 8,
                panels: vec![
                    Panel::new(
                        Look::Lines,
                        "Answers by version",
                        "reqps",
                        "Answers a second by the version that gave them, over the last 10 s: a cutover is where one curve falls and the other rises, and a revert makes a V of it. A version that was not seen for 5 min ends.",
                    )
                    .ask("sum by (version) (serin_answers_by_version)", "{{version}}")
                    .zero_based(),
                    verdict(),
                ],
            },
            Line { height: 8, panels: vec![errors(), p95()] },
            Line {
                height: 8,
                panels: vec![
                    Panel::new(
                        Look::Lines,
                        "Burn rate",
                        "none",
                        "How many times faster than allowed the error budget is spent, over an hour, six hours and three days; at 1 it lasts for exactly 30 days.",
                    )
                    .ask("max by (window) (serin_error_budget_burn_rate)", "{{window}}")
                    .steps(BURN)
                    .zero_based(),
                    Panel::new(
                        Look::Stack,
                        "Failures by reason",
                        "reqps",
                        "Failed probes of the production path a second, by reason. What begins with prober. is our own doing and judged by nobody.",
                    )
                    .ask(
                        r#"sum by (reason) (rate(serin_probe_failures_total{purpose="production"}[$__rate_interval])) > 0"#,
                        "{{reason}}",
                    )
                    .zero_based(),
                ],
            },
        ],
    }
}

fn verdict() -> Panel {
    Panel::new(
        Look::States,
        "Verdict",
        "none",
        "The judge's word on what production does now. Nothing is shown while nobody knows it: silence is neither good nor bad.",
    )
    .ask(
        r#"max by (service, instance) (serin_verdict{verdict="inconclusive"}) + 2 * max by (service, instance) (serin_verdict{verdict="blind"}) + 3 * max by (service, instance) (serin_verdict{verdict="bad"})"#,
        "{{instance}}",
    )
    .says(VERDICTS)
}

pub(super) fn errors() -> Panel {
    Panel::new(
        Look::Lines,
        "Error rate",
        "percentunit",
        "Share of bad answers in the judge's rolling window; in CloudWatch, of all probes that our own side didn't spoil. A dashed line is the objective that was typed in above; it has no influence on what Serin does.",
    )
    .ask("max by (service, instance) (serin_error_ratio)", "{{service}} {{instance}}")
    .ask("vector($error_objective)", "objective")
    .metric("ErrorRate", "Average", "")
    .zero_based()
}

pub(super) fn p95() -> Panel {
    Panel::new(
        Look::Lines,
        "P95",
        "s",
        "P95 of the response time in the judge's rolling window, from the planned instant to the last byte. A dashed line is the objective that was typed in above.",
    )
    .ask("max by (service, instance) (serin_p95_seconds)", "{{service}} {{instance}}")
    .ask("vector($p95_objective)", "objective")
    .metric("P95", "Maximum", "")
    .zero_based()
}

fn acting() -> Section {
    let stat = |title, description| Panel::new(Look::Stat, title, "short", description);
    Section {
        title: "May it act, and did it",
        lines: vec![
            Line {
                height: 7,
                panels: vec![
                    armed(),
                    Panel::new(
                        Look::States,
                        "Blind",
                        "none",
                        "Why the prober can't tell the target's fault from its own, if it can't.",
                    )
                    .ask("max by (reason) (serin_blind)", "{{reason}}")
                    .metric("Blind", "Maximum", "blind")
                    .says(BLIND),
                    Panel::new(
                        Look::States,
                        "Conditions that forbid acting",
                        "none",
                        "Each condition of acting that does not hold. All must hold before anything is put back.",
                    )
                    .ask("min by (condition) (serin_condition) == 0", "{{condition}}")
                    .says(HOLDS),
                    Panel::new(
                        Look::Lines,
                        "Unprotected",
                        "s",
                        "For how long no breach will be answered yet, because of the reverts that were made.",
                    )
                    .ask("max by (service, instance) (serin_unprotected_seconds)", "{{service}} {{instance}}")
                    .zero_based(),
                ],
            },
            Line {
                height: 6,
                panels: vec![
                    stat("Breaches", "Releases that broke a promise in the time shown.")
                        .ask("round(sum by (service) (increase(serin_breaches_total[$__range])))", "{{service}}")
                        .metric("Breaches", "Sum", "broke a promise"),
                    stat("Reverts", "Reverts in the time shown, by how they ended; dry_run is what would have been one in observe mode.")
                        .ask("round(sum by (outcome) (increase(serin_reverts_total[$__range])))", "{{outcome}}")
                        .metric("Reverts", "Sum", "put back, and proved")
                        .wide(2),
                    stat("Writes", "Mutating calls in the time shown, by what came of them.")
                        .ask("round(sum by (outcome) (increase(serin_writes_total[$__range])))", "{{outcome}}")
                        .wide(2),
                    stat("A person is needed", "Why a person must look; nothing more is done automatically until it is acknowledged.")
                        .ask("max by (reason) (serin_needs_human)", "{{reason}}")
                        .says(YES)
                        .wide(3),
                ],
            },
            Line {
                height: 7,
                panels: vec![
                    Panel::new(
                        Look::Bars,
                        "Refusals and pages",
                        "short",
                        "Breaches that were not answered by a write, and messages for people, in each interval.",
                    )
                    .ask("sum by (reason) (increase(serin_refusals_total[$__rate_interval])) > 0", "refused: {{reason}}")
                    .ask("sum by (kind) (increase(serin_pages_total[$__rate_interval])) > 0", "page: {{kind}}")
                    .zero_based(),
                    Panel::new(
                        Look::Lines,
                        "Epoch",
                        "none",
                        "The number of the open epoch: it steps when the listener or alias changes, whoever did it.",
                    )
                    .ask("max by (service, instance) (serin_epoch)", "{{service}} {{instance}}"),
                ],
            },
        ],
    }
}

pub(super) fn armed() -> Panel {
    Panel::new(
        Look::States,
        "Armed",
        "none",
        "Whether a breach would be answered by a write, as far as is known now.",
    )
    .ask("max by (service, instance) (serin_armed)", "{{service}} {{instance}}")
    .metric("Armed", "Maximum", "armed")
    .says(ARMED)
}
