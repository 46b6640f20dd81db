//! Waiting for something that happens elsewhere, without guessing how long it takes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often to look again.
const INTERVAL: Duration = Duration::from_millis(25);

/// Looks again and again until there is something to return.
///
/// # Errors
/// When looking fails, or when the time is up; the message names what was waited for.
pub async fn wait_until<T>(
    what: &str,
    timeout: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if start.elapsed() > timeout {
            bail!("waited {timeout:?} in vain until {what}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_found_is_returned() {
        let mut looks = 0;
        let found = wait_until("three looks were taken", Duration::from_secs(5), async || {
            looks += 1;
            Ok((looks == 3).then_some("found"))
        });
        assert_eq!(found.await.unwrap(), "found");
    }

    #[tokio::test]
    async fn a_timeout_names_what_was_waited_for() {
        let error = wait_until("pigs fly", Duration::ZERO, async || Ok(None::<()>)).await.unwrap_err();
        assert!(error.to_string().ends_with("in vain until pigs fly"), "{error}");
    }
}
