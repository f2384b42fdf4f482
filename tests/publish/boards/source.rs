//! A dashboard before it is in any dialect: what it shows, in which words.

use super::promql::Ask;

/// From which value on (none: from the lowest) which colour.
pub(super) type Step = (Option<f64>, &'static str);
/// A value, what it means, and its colour.
pub(super) type Word = (&'static str, &'static str, &'static str);

/// One dashboard.
pub(super) struct Board {
    /// Its file, and the middle of its uid.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    /// The time that it shows at first.
    pub(super) from: &'static str,
    /// What can be chosen on it.
    pub(super) chosen: Chosen,
    /// Whether the promise can be typed in, to be drawn.
    pub(super) objectives: bool,
    /// Whether breaches, reverts and the like are marked.
    pub(super) events: bool,
    /// The board that a click on a service's line opens.
    pub(super) deeper: Option<&'static str>,
    pub(super) sections: Vec<Section>,
}

/// What can be chosen on a board, beside where the figures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// Some services.
    Services,
    /// One service.
    Service,
    /// One service, and some of its targets.
    Targets,
}

/// A row that can be folded.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
}

/// Panels beside each other. They share the width by their weights; what a dialect doesn't have leaves no hole.
pub(super) struct Line {
    pub(super) height: u32,
    pub(super) panels: Vec<Panel>,
}

/// How a panel shows what it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Lines over time.
    Lines,
    /// The same, one on another.
    Stack,
    /// Bars over time.
    Bars,
    /// What held when.
    States,
    /// The last figure, large.
    Stat,
    /// A row a service, a column a query.
    Table,
}

/// One panel.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) look: Look,
    /// As Grafana names it.
    pub(super) unit: &'static str,
    pub(super) weight: u32,
    pub(super) queries: Vec<Query>,
    pub(super) metrics: Vec<Metric>,
    /// From which value on which colour.
    pub(super) steps: Vec<Step>,
    /// What a value means, and its colour.
    pub(super) words: &'static [Word],
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
}

/// One question to Prometheus.
pub(super) struct Query {
    pub(super) ask: Ask,
    /// What its answers are called; the column's name in a table.
    pub(super) legend: &'static str,
    /// In a table: the column's own unit, thresholds and words.
    pub(super) column: Option<Column>,
}

/// How a table shows a column.
pub(super) struct Column {
    pub(super) unit: &'static str,
    pub(super) steps: Vec<Step>,
    pub(super) words: &'static [Word],
}

/// One question to `CloudWatch`.
#[derive(Clone, Copy)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) by_target: bool,
    pub(super) statistic: &'static str,
    /// What it is called after the service, or the target.
    pub(super) label: &'static str,
}

impl Panel {
    pub(super) fn new(
        look: Look,
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        Self {
            title,
            description,
            look,
            unit,
            weight: 1,
            queries: Vec::new(),
            metrics: Vec::new(),
            steps: Vec::new(),
            words: &[],
            min: None,
            max: None,
        }
    }

    pub(super) fn ask(mut self, expression: &'static str, legend: &'static str) -> Self {
        self.queries.push(Query { ask: Ask::Expression(expression), legend, column: None });
        self
    }

    /// A quantile of `histogram`, by labels.
    pub(super) fn quantile(
        mut self,
        share: &'static str,
        histogram: &'static str,
        by: &'static [&'static str],
        legend: &'static str,
    ) -> Self {
        self.queries.push(Query { ask: Ask::Quantile(share, histogram, by), legend, column: None });
        self
    }

    /// A column of a table.
    pub(super) fn column(
        mut self,
        title: &'static str,
        unit: &'static str,
        expression: &'static str,
        steps: &[Step],
        words: &'static [Word],
    ) -> Self {
        let column = Some(Column { unit, steps: steps.to_vec(), words });
        self.queries.push(Query { ask: Ask::Expression(expression), legend: title, column });
        self
    }

    /// The same from `CloudWatch`, for the whole service.
    pub(super) fn metric(mut self, name: &'static str, statistic: &'static str, label: &'static str) -> Self {
        self.metrics.push(Metric { name, by_target: false, statistic, label });
        self
    }

    /// The same from `CloudWatch`, for each target.
    pub(super) fn target_metric(
        mut self,
        name: &'static str,
        statistic: &'static str,
        label: &'static str,
    ) -> Self {
        self.metrics.push(Metric { name, by_target: true, statistic, label });
        self
    }

    pub(super) const fn wide(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    pub(super) fn steps(mut self, steps: &[Step]) -> Self {
        self.steps = steps.to_vec();
        self
    }

    pub(super) const fn says(mut self, words: &'static [Word]) -> Self {
        self.words = words;
        self
    }

    pub(super) const fn zero_based(mut self) -> Self {
        self.min = Some(0.0);
        self
    }

    pub(super) const fn share(mut self) -> Self {
        self.min = Some(0.0);
        self.max = Some(1.0);
        self
    }
}
