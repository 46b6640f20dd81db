//! The rule for retries of a failed attempt.

use std::future::Future;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use super::error::{CloudError, Reason};
use super::settings::Limits;

/// Retries an attempt while its failure can pass, with exponential back-off and jitter, a limited number of times. If an API
/// asks to wait, the next attempt waits for that time, unless it is longer than [`Limits::longest_delay`]: then the caller
/// decides.
pub(super) async fn retrying<T, F>(limits: &Limits, attempt: impl FnMut() -> F) -> Result<T, CloudError>
where
    F: Future<Output = Result<T, CloudError>>,
{
    let backoff = ExponentialBuilder::default()
        .with_min_delay(limits.first_delay)
        .with_max_delay(limits.longest_delay)
        .with_max_times(limits.retries)
        .with_jitter();
    attempt
        .retry(backoff)
        .when(CloudError::is_transient)
        .adjust(|error, delay| wait(error, delay?, limits.longest_delay))
        .notify(|error: &CloudError, delay| {
            tracing::debug!(action = error.action, reason = error.reason.name(), ?delay, "trying again");
        })
        .await
}

fn wait(error: &CloudError, delay: Duration, longest: Duration) -> Option<Duration> {
    match error.reason {
        Reason::Throttled { retry_after: Some(asked) } if asked > longest => None,
        Reason::Throttled { retry_after: Some(asked) } => Some(asked.max(delay)),
        _ => Some(delay),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    /// Returns the number of attempts and the seconds that pass when every attempt fails for this reason.
    async fn failing(reason: Reason) -> (u32, f64) {
        let (attempts, start) = (Cell::new(0), Instant::now());
        let result: Result<(), _> = retrying(&Limits::default(), || {
            attempts.set(attempts.get() + 1);
            std::future::ready(Err(CloudError::new(reason, "AssumeRole")))
        })
        .await;
        assert_eq!(result.unwrap_err().reason, reason);
        (attempts.get(), start.elapsed().as_secs_f64())
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_heal_is_tried_three_times_with_growing_delays() {
        for reason in
            [Reason::ServiceUnavailable, Reason::Unreachable, Reason::Throttled { retry_after: None }]
        {
            let (attempts, seconds) = failing(reason).await;
            assert_eq!(attempts, 3);
            // The delays are 0.2 s and 0.4 s, and jitter at most doubles each.
            assert!((0.6..1.3).contains(&seconds), "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_heal_is_tried_once() {
        for reason in [Reason::NotAuthorized, Reason::KeyRejected, Reason::MalformedAnswer, Reason::Refused] {
            assert_eq!(failing(reason).await.0, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_that_asks_to_wait_is_obeyed_within_bounds() {
        let throttled = |seconds| Reason::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
        let (attempts, seconds) = failing(throttled(2)).await;
        assert_eq!(attempts, 3);
        assert!((4.0..4.5).contains(&seconds), "{seconds}");
        let (attempts, seconds) = failing(throttled(60)).await;
        assert_eq!(attempts, 1);
        assert!(seconds < 0.1, "{seconds}");
    }
}
