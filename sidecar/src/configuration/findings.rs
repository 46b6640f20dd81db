//! What is wrong with a configuration, collected while it is read, so that the user sees all of it at once.

use std::fmt;

use super::typography::LookAlike;

/// One thing that is wrong or unwise: `place: problem: fix`. Holds no value of the configuration that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where, such as `acr-registry-info[1].regionId`.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
    /// How to mend it.
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

/// Every mistake in a configuration, one a line; never empty.
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

/// Findings shown at most. Nobody mends more in one go, and hostile input would make millions.
const MOST: usize = 100;

/// Collects findings.
#[derive(Default)]
pub(super) struct Findings {
    /// Characters that only look right. They come first: they may be why all else is wrong, and nobody sees them.
    pub(super) characters: Vec<Finding>,
    mistakes: Vec<Finding>,
    warnings: Vec<Finding>,
    left_out: bool,
    /// Words of comma lists and lists, so far.
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

    /// Whether there were more mistakes than are shown, so that looking for further ones is a waste.
    pub(super) fn is_full(&self) -> bool {
        self.left_out
    }

    /// Whether there are mistakes. What could not be read then looks as if it were not there.
    pub(super) fn has_mistakes(&self) -> bool {
        !self.mistakes.is_empty() || !self.characters.is_empty()
    }

    /// Mistakes and warnings.
    pub(super) fn finish(mut self) -> (Vec<Finding>, Vec<Finding>) {
        if self.left_out {
            let more = Finding::new("configuration", "has more mistakes than these", "fix these first");
            self.mistakes.push(more);
        }
        self.characters.append(&mut self.mistakes);
        (self.characters, self.warnings)
    }
}

/// Whether there was room for it.
fn add(list: &mut Vec<Finding>, finding: Finding) -> bool {
    let has_room = list.len() < MOST;
    if has_room {
        list.push(finding);
    }
    has_room
}
