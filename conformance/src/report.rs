//! Verdicts, and the forms in which they are told. Knows nothing of what was judged.

mod json;
mod junit;
mod tap;
mod text;

use std::time::Duration;

use clap::ValueEnum;

/// How a report looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
    /// JUnit's XML, as CI systems read it
    Junit,
    /// The Test Anything Protocol, version 14
    Tap,
}

/// What was judged, and the verdicts.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What made it: `linkgate 0.1.0`, and which list was gone through.
    pub by: Vec<(String, String)>,
    /// In the order in which they are told.
    pub suites: Vec<Suite>,
}

/// What belongs together: a file of cases, a checklist.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// In the order in which they are told.
    pub results: Vec<Outcome>,
}

/// One thing that was judged.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name, unique in its suite.
    pub name: String,
    /// What it is about, in a few words; may be empty.
    pub about: String,
    /// How long it took.
    pub time: Duration,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of it. The texts may have several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Not as it must be.
    Failed(String),
    /// Not as it should be; the whole passes even so.
    Warned(String),
    /// Not judged.
    Skipped(String),
}

/// How many there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Warned.
    pub warned: usize,
    /// Skipped.
    pub skipped: usize,
}

impl Report {
    /// How many there are of each.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for outcome in self.suites.iter().flat_map(|suite| &suite.results) {
            match outcome.verdict {
                Verdict::Passed => tally.passed += 1,
                Verdict::Failed(_) => tally.failed += 1,
                Verdict::Warned(_) => tally.warned += 1,
                Verdict::Skipped(_) => tally.skipped += 1,
            }
        }
        tally
    }

    /// The report in that form, a line break at its end. `colour` is for people's terminals.
    pub fn render(&self, format: Format, colour: bool) -> String {
        match format {
            Format::Text => text::render(self, colour),
            Format::Json => json::render(self),
            Format::Junit => junit::render(self),
            Format::Tap => tap::render(self),
        }
    }
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Warned(_) => "warned",
            Self::Skipped(_) => "skipped",
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Passed => "",
            Self::Failed(text) | Self::Warned(text) | Self::Skipped(text) => text,
        }
    }
}

#[cfg(test)]
mod tests;
