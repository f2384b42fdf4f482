//! Where a value came from, and what is wrong with it.

use std::fmt;
use std::sync::Arc;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default {
        /// The reason for the default.
        why: &'static str,
    },
    /// A document: a file, or `env:NAME` for a document in a variable.
    Document {
        /// The path as given, or `env:NAME`.
        name: Arc<str>,
        /// From 1; 0 where no line can be told.
        line: u32,
    },
    /// One variable, `SERIN__SECTION__KEY`.
    Variable {
        /// Its name.
        name: Arc<str>,
    },
    /// One flag, as it was given: `--set judge.grace=5s`.
    Flag {
        /// The flag without its value.
        text: Arc<str>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default { why } => write!(f, "default: {why}"),
            Self::Document { name, line: 0 } => write!(f, "{name}"),
            Self::Document { name, line } => write!(f, "{name}:{line}"),
            Self::Variable { name } => write!(f, "variable {name}"),
            Self::Flag { text } => write!(f, "flag {text}"),
        }
    }
}

/// One fault of the configuration: where, what, which rule, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value stands.
    pub origin: Origin,
    /// The key as in the file (`judge.window`, `targets[2].url`); empty when it is about a whole document.
    pub key: String,
    /// The value as it may be shown; `None` when it is missing, too large or secret.
    pub value: Option<String>,
    /// The rule that it breaks.
    pub rule: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            // The reason of a default says nothing about a fault that the default has with something else.
            Origin::Default { .. } => write!(f, "default")?,
            origin => write!(f, "{origin}")?,
        }
        match (self.key.is_empty(), &self.value) {
            (true, _) => {}
            (false, None) => write!(f, ": {}", self.key)?,
            (false, Some(value)) => write!(f, ": {} = {value}", self.key)?,
        }
        write!(f, ": {}", self.rule)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// All faults of one run, at least one, in the order of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Why no settings came out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `--config` was not given, or a flag is wrong: the command line is at fault, not a file.
    #[error("{0}")]
    Usage(Problems),
    /// A document, a variable or what they add up to is at fault.
    #[error("{0}")]
    Invalid(Problems),
}

impl ConfigError {
    /// The command line is at fault (exit code 64), not the configuration (78).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }

    /// The faults, at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        let (Self::Usage(problems) | Self::Invalid(problems)) = self;
        &problems.0
    }
}

/// Usage, if every fault stands in a flag.
impl From<Vec<Problem>> for ConfigError {
    fn from(problems: Vec<Problem>) -> Self {
        let usage = problems.iter().all(|problem| matches!(problem.origin, Origin::Flag { .. }));
        if usage { Self::Usage(Problems(problems)) } else { Self::Invalid(Problems(problems)) }
    }
}
