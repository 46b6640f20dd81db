//! The sidecar's recent warnings about itself. They contain the names that its pages do not show.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};
use serde::Serialize;

use super::super::arguments::ClusterArgs;
use crate::commands::cluster::call;
use crate::commands::setup::CommandError;
use crate::kubernetes::FIELD_MANAGER;

/// The age at which a warning no longer counts. The sidecar repeats a warning about every ten minutes while the problem
/// lasts, so a problem without a recent warning is over, as far as is known.
const LATELY: SignedDuration = SignedDuration::from_mins(25);

/// An Event of the sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Warning {
    /// The time of the last report.
    pub(super) at: Timestamp,
    pub(super) reason: String,
    pub(super) message: String,
}

/// Reads the warnings about the sidecar as a whole, the newest first.
pub(super) async fn read(
    client: &Client,
    args: &ClusterArgs,
    now: Timestamp,
) -> Result<Vec<Warning>, CommandError> {
    let ClusterArgs { sidecar_namespace, config_map, .. } = args;
    let api: Api<Event> = Api::namespaced(client.clone(), sidecar_namespace);
    // Events about single pull secrets and service accounts are in the namespaces of these objects; those about namespaces are
    // in `default`.
    let about = format!(
        "involvedObject.kind=ConfigMap,involvedObject.name={config_map},reportingComponent={FIELD_MANAGER},type=Warning"
    );
    let action = format!("list events in {sidecar_namespace}");
    let found = call(action, api.list(&ListParams::default().fields(&about))).await?;
    Ok(lately(found.items, now))
}

fn lately(events: Vec<Event>, now: Timestamp) -> Vec<Warning> {
    let warnings = events.into_iter().filter_map(|Event { metadata, reason, message, .. }| {
        let at = metadata.creation_timestamp?.0;
        let (reason, message) = (reason.unwrap_or_default(), on_one_line(&message.unwrap_or_default()));
        (now.duration_since(at) < LATELY).then_some(Warning { at, reason, message })
    });
    let mut warnings: Vec<_> = warnings.collect();
    warnings
        .sort_by(|a, b| b.at.cmp(&a.at).then_with(|| (&a.reason, &a.message).cmp(&(&b.reason, &b.message))));
    let mut known = HashSet::new();
    warnings.retain(|warning| known.insert((warning.reason.clone(), warning.message.clone())));
    warnings
}

/// Puts a message on one line. Others may write Events in the sidecar's namespace, too, and their text must not control
/// a terminal.
fn on_one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join("; ").replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn event(minutes_ago: i64, reason: &str, message: &str) -> Event {
        let at = NOW - SignedDuration::from_mins(minutes_ago);
        Event {
            metadata: ObjectMeta { creation_timestamp: Some(Time(at)), ..ObjectMeta::default() },
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            ..Event::default()
        }
    }

    #[test]
    fn what_is_said_again_is_shown_once_the_last_one_first_and_what_is_over_is_not() {
        let events = vec![
            event(24, "RightsMissing", "missing: a"),
            event(12, "CredentialUnavailable", "acr-registry-info[0]: no"),
            event(3, "RightsMissing", "missing: a"),
            event(40, "PoliciesDisagree", "make them equal"),
        ];
        let shown: Vec<_> =
            lately(events, NOW).into_iter().map(|warning| (warning.at, warning.reason)).collect();
        let ago = |minutes| NOW - SignedDuration::from_mins(minutes);
        assert_eq!(
            shown,
            [(ago(3), "RightsMissing".to_owned()), (ago(12), "CredentialUnavailable".to_owned())]
        );
    }

    #[test]
    fn a_warning_is_one_line_and_does_nothing_to_a_terminal() {
        let warnings = lately(vec![event(1, "ConfigurationInvalid", "a: no\nb: \u{1b}[2Jno")], NOW);
        assert_eq!(warnings[0].message, "a: no; b:  [2Jno");
    }
}
