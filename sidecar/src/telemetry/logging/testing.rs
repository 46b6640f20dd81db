//! The log, as tests read it.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

static INSTALLED: Once = Once::new();

/// Listens to what this thread logs from now on, at the highest level.
///
/// One subscriber serves all tests. With one for each, `tracing` might remember for good that a line interests no subscriber, if a
/// thread without a subscriber is the first to come by.
pub(crate) fn listen() {
    INSTALLED.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| ThisThread)
            .with_ansi(false)
            .with_target(false)
            .without_time();
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    });
    LINES.with_borrow_mut(Vec::clear);
}

/// What this thread has logged since it began to listen.
pub(crate) fn heard() -> String {
    LINES.with_borrow(|lines| String::from_utf8(lines.clone()).unwrap())
}

struct ThisThread;

impl io::Write for ThisThread {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(text));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
