//! The mistakes in a configuration, collected while it is read, so that the user sees all of them together.

use std::fmt;

use super::typography::LookAlike;

/// One mistake or warning: `place: problem: fix`. It contains no value of the configuration that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The place, such as `acr-registry-info[1].regionId`.
    pub place: String,
    /// What is wrong at this place.
    pub problem: String,
    /// How to fix it.
    pub fix: String,
}

impl Finding {
    fn new(place: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, problem, fix } = self;
        write!(f, "{place}: {problem}: {fix}")
    }
}

/// Every mistake in a configuration, one per line; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Finding>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Maximum number of findings that are shown. Users do not fix more in one step, and hostile input would cause millions.
const MOST: usize = 100;

/// Collects findings.
#[derive(Default)]
pub(super) struct Findings {
    /// Characters that only look like ASCII. They come first: they may be the cause of all other mistakes, and they are hard
    /// to see.
    pub(super) characters: Vec<Finding>,
    mistakes: Vec<Finding>,
    warnings: Vec<Finding>,
    left_out: bool,
    /// The number of words in all lists so far.
    pub(super) words: usize,
}

impl Findings {
    pub(super) fn mistake(
        &mut self,
        place: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let finding = Finding::new(place, problem, fix);
        self.left_out |= !add(&mut self.mistakes, finding);
    }

    pub(super) fn character(&mut self, place: &str, problem: String, look_alike: LookAlike) {
        self.left_out |= !add(&mut self.characters, Finding::new(place, problem, look_alike.fix()));
    }

    pub(super) fn warning(
        &mut self,
        place: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        add(&mut self.warnings, Finding::new(place, problem, fix));
    }

    /// Returns whether there are more mistakes than are shown, so that it is useless to look for more.
    pub(super) fn is_full(&self) -> bool {
        self.left_out
    }

    /// Returns whether there are mistakes. If there are, a value that could not be read looks like a missing value.
    pub(super) fn has_mistakes(&self) -> bool {
        !self.mistakes.is_empty() || !self.characters.is_empty()
    }

    /// Returns the mistakes and the warnings.
    pub(super) fn finish(mut self) -> (Vec<Finding>, Vec<Finding>) {
        if self.left_out {
            let more = Finding::new("configuration", "has more mistakes than these", "fix these first");
            self.mistakes.push(more);
        }
        self.characters.append(&mut self.mistakes);
        (self.characters, self.warnings)
    }
}

/// Adds a finding. Returns whether there was room for it.
fn add(list: &mut Vec<Finding>, finding: Finding) -> bool {
    let has_room = list.len() < MOST;
    if has_room {
        list.push(finding);
    }
    has_room
}
