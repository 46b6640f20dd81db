//! How long `cleanup` waits for others.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::report;
use super::super::setup::CommandError;
use crate::progress;

/// The limit for all waits together: Kubewarden removes the webhooks of a policy within seconds, a Pod has 30 seconds to end, and
/// a Lease that was not released expires within 15. The chart's Job is cut off after 240 (`cleanup.timeoutSeconds`), and has to
/// report before that what it waits for; a last call may take 30 seconds more.
const LIMIT: Duration = Duration::from_mins(3);

/// How often a wait checks whether it is over.
const AGAIN: Duration = Duration::from_millis(500);

/// The remaining time for all waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    end: Instant,
}

impl Deadline {
    /// Starts the countdown.
    pub(super) fn start() -> Self {
        Self { end: Instant::now() + LIMIT }
    }

    /// Returns whether the time is over, so that nothing is waited for any more.
    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.end
    }

    /// Waits until there is no obstacle. An obstacle is a sentence that names it and says how to remove it.
    pub(super) async fn wait(
        self,
        obstacle: impl AsyncFn() -> Result<Option<String>, CommandError>,
    ) -> Result<(), CommandError> {
        while let Some(advice) = obstacle().await? {
            if self.is_over() {
                return Err(CommandError::Refused(advice));
            }
            progress::show(|| {
                let obstacle = advice.split_once(": ").map_or(&*advice, |(obstacle, _)| obstacle);
                let left = self.end.saturating_duration_since(Instant::now()).as_secs();
                format!("waiting for at most {left} s: {}", report::one_line(obstacle))
            });
            pause().await;
        }
        Ok(())
    }
}

/// Waits a moment.
pub(super) async fn pause() {
    sleep(AGAIN).await;
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::super::cluster::CALL_LIMIT;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_waits_end_together() {
        let (began, deadline) = (Instant::now(), Deadline::start());
        sleep(LIMIT / 2).await;
        for _ in 0..2 {
            let error = deadline.wait(async || Ok(Some("it stays".to_owned()))).await.unwrap_err();
            assert_eq!(error.to_string(), "it stays");
        }
        assert!(began.elapsed() < LIMIT + 2 * AGAIN, "{:?}", began.elapsed());
    }

    #[test]
    fn the_charts_job_lives_longer() {
        let values = include_str!("../../../../charts/acr-credential-helper/values.yaml");
        let values: Value = serde_saphyr::from_str(values).unwrap();
        let job = Duration::from_secs(values["cleanup"]["timeoutSeconds"].as_u64().unwrap());
        assert!(LIMIT + CALL_LIMIT < job, "{job:?}");
    }
}
