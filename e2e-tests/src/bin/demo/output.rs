//! What the demo writes.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;

const FRAMES: [&str; 4] = ["◐", "◓", "◑", "◒"];

/// Standard output for what is told, and, where it is a terminal, standard error for how long it takes.
pub(crate) struct Output {
    has_colours: bool,
    has_progress: bool,
}

impl Output {
    /// In colour on a terminal, unless `NO_COLOR` is set; with `CLICOLOR_FORCE`, everywhere.
    pub(crate) fn new() -> Self {
        let is_set = |name| std::env::var_os(name).is_some();
        let shows_colours = stdout().is_terminal() || is_set("CLICOLOR_FORCE");
        Self { has_colours: shows_colours && !is_set("NO_COLOR"), has_progress: stderr().is_terminal() }
    }

    /// Begins a step.
    pub(crate) fn step(&self, title: &str) -> Result<()> {
        writeln!(stdout())?;
        self.say(&self.style("1", &format!("▸ {title}")))
    }

    /// Shows a command.
    pub(crate) fn command(&self, command: &str) -> Result<()> {
        self.say(&self.style("36", &format!("$ {command}")))
    }

    /// Writes lines; none where there is no text.
    // A method like the others, so that all that is written is written through one object.
    #[allow(clippy::unused_self)]
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        if !text.is_empty() {
            writeln!(stdout(), "{text}")?;
        }
        Ok(())
    }

    /// Text in a colour, or in bold.
    pub(crate) fn style(&self, code: &str, text: &str) -> String {
        if self.has_colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Shows on a terminal, while this goes on, that it does and for how long.
    pub(crate) async fn waiting<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        if !self.has_progress {
            return work.await;
        }
        let start = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(120));
        let mut frames = FRAMES.iter().cycle();
        tokio::pin!(work);
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = ticks.tick() => {
                    let frame = frames.next().unwrap_or(&"");
                    write!(stderr(), "\r{frame} {what} ({} s)\x1b[K", start.elapsed().as_secs())?;
                }
            }
        };
        write!(stderr(), "\r\x1b[K")?;
        outcome
    }
}
