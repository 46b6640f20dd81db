//! Writes the steps of a diagnosis, for people and for scripts.

use serde::Serialize;

use super::diagnosis::passes;
use crate::commands::Exit;
use crate::commands::arguments::Output;
use crate::commands::report::{self, Line, Mark};

/// All explanations.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    ok: bool,
    subjects: Vec<Explained>,
    /// Objects without a pod template, by kind and name.
    passed_over: Vec<String>,
}

/// The findings about one Pod or workload.
#[derive(Serialize)]
pub(super) struct Explained {
    subject: String,
    ok: bool,
    findings: Vec<Line>,
}

impl Explained {
    pub(super) fn new(subject: String, findings: Vec<Line>) -> Self {
        Self { subject, ok: passes(&findings), findings }
    }
}

impl Explanation {
    pub(super) fn new(subjects: Vec<Explained>, passed_over: Vec<String>) -> Self {
        Self { ok: subjects.iter().all(|explained| explained.ok), subjects, passed_over }
    }

    pub(super) fn write(&self, output: Output) -> std::io::Result<Exit> {
        report::finish(output, self.ok, self, Self::write_text)
    }

    fn write_text(&self) -> std::io::Result<()> {
        for (at, Explained { subject, ok, findings }) in self.subjects.iter().enumerate() {
            let gap = if at == 0 { "" } else { "\n" };
            report::to_stdout(format_args!("{gap}{}", report::one_line(subject)))?;
            for line in findings {
                report::line_to_stdout("  ", line)?;
            }
            report::to_stdout(if !ok {
                "It cannot pull its images."
            } else if findings.iter().all(|line| line.mark == Mark::Ok) {
                "Nothing prevents it."
            } else {
                "No error was found. Lines with ! are warnings; lines with - were not checked."
            })?;
        }
        if !self.passed_over.is_empty() {
            let those = self.passed_over.join(", ");
            let those = report::one_line(&those);
            report::to_stdout(format_args!("\nSkipped, because there is no pod template in it: {those}"))?;
        }
        Ok(())
    }
}
