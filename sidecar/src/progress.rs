//! One line on a terminal that shows what a long command waits for. Nothing is written where standard error is not a terminal.

use std::io;
use std::sync::LazyLock;

use indicatif::{ProgressBar, ProgressStyle};

/// A terminal has only one last line, so there is one for the process.
static LINE: LazyLock<ProgressBar> = LazyLock::new(|| {
    let line = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        line.set_style(style);
    }
    line
});

/// Shows what is being waited for, in place of what was shown before. The text is one line that this program wrote. Returns
/// whether there is a terminal to show it on.
pub fn show(text: impl FnOnce() -> String) -> bool {
    if LINE.is_hidden() {
        return false;
    }
    LINE.set_message(text());
    if LINE.is_finished() {
        LINE.reset();
    }
    LINE.tick();
    true
}

/// Removes the line, so that other text can be written.
pub fn clear() {
    if !LINE.is_hidden() {
        LINE.finish_and_clear();
    }
}

/// Returns standard error, without the line.
pub fn stderr() -> io::Stderr {
    clear();
    io::stderr()
}
