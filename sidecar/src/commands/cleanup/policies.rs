//! Removes the policies before the objects that they refer to.

use kube::api::{DeleteParams, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};

use super::super::cluster::call;
use super::super::report;
use super::super::setup::CommandError;
use super::deadline::Deadline;
use crate::kubernetes::api_error::is_status;
use crate::telemetry::policies::POLICIES;

/// Deletes the policies, and returns when they are gone. Policies that do not exist are ignored.
pub(super) async fn remove(client: &Client, deadline: Deadline) -> Result<(), CommandError> {
    let kind = GroupVersionKind::gvk("policies.kubewarden.io", "v1", "ClusterAdmissionPolicy");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    for name in POLICIES {
        let deleted = call(format!("delete the ClusterAdmissionPolicy {name}"), async {
            match api.delete(name, &DeleteParams::default()).await {
                // If a finalizer holds the object, the answer is the object. Otherwise it is already gone, and an object that
                // exists now was created since.
                Ok(answer) => Ok(Some(answer.left().and_then(|held| held.metadata.uid))),
                // A cluster without Kubewarden answers this, too.
                Err(error) if is_status(&error, 404) => Ok(None),
                Err(error) => Err(error),
            }
        });
        if let Some(uid) = deleted.await? {
            wait_until_gone(&api, name, uid.as_deref(), deadline).await?;
            report::to_stdout(format_args!("Deleted the ClusterAdmissionPolicy {name}."))?;
        }
    }
    Ok(())
}

/// Waits for the policy of this uid, which is being deleted; one with another uid is another policy.
async fn wait_until_gone(
    api: &Api<DynamicObject>,
    name: &str,
    uid: Option<&str>,
    deadline: Deadline,
) -> Result<(), CommandError> {
    let obstacle = async || match call(format!("read the ClusterAdmissionPolicy {name}"), api.get_opt(name))
        .await?
    {
        None => Ok(None),
        Some(found) if uid.is_some() && found.metadata.uid.as_deref() == uid => Ok(Some(format!(
            "the ClusterAdmissionPolicy {name} is still being deleted: check that Kubewarden's controller runs, \
                 which removes its finalizer, then run this again"
        ))),
        Some(_) => Err(CommandError::Refused(format!(
            "the ClusterAdmissionPolicy {name} was deleted, but something created it again: stop that tool, such \
                 as Argo CD or Flux, then run this again"
        ))),
    };
    deadline.wait(obstacle).await
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::telemetry::testing::{api_server, refusal};

    fn policy(uid: &str) -> (u16, Value) {
        let kind = ("policies.kubewarden.io/v1", "ClusterAdmissionPolicy");
        (200, json!({ "apiVersion": kind.0, "kind": kind.1, "metadata": { "name": "inject", "uid": uid } }))
    }

    fn gone() -> (u16, Value) {
        (
            200,
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Success", "details": { "uid": "u-1" } }),
        )
    }

    /// Creates a cluster with only the first policy, which answers its deletion and then each look at it.
    fn cluster_with(
        deleted: (u16, Value),
        mut read: impl FnMut(usize) -> (u16, Value) + Send + 'static,
    ) -> (Client, Arc<Mutex<usize>>) {
        let reads = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&reads);
        let client = api_server(move |method, path, _| {
            if !path.contains("acr-credential-helper-inject") {
                return refusal(404);
            }
            if method == "DELETE" {
                return deleted.clone();
            }
            let mut reads = counter.lock().unwrap();
            *reads += 1;
            read(*reads)
        });
        (client, reads)
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_that_its_controller_still_holds_is_waited_for() {
        let read = |reads| if reads == 3 { refusal(404) } else { policy("u-1") };
        let (client, reads) = cluster_with(policy("u-1"), read);
        remove(&client, Deadline::start()).await.unwrap();
        assert_eq!(*reads.lock().unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_that_never_goes_is_named_with_what_to_look_at() {
        let (client, reads) = cluster_with(policy("u-1"), |_| policy("u-1"));
        let error = remove(&client, Deadline::start()).await.unwrap_err().to_string();
        assert!(error.contains("acr-credential-helper-inject is still being deleted"), "{error}");
        assert!(*reads.lock().unwrap() > 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_that_is_made_again_is_no_fault_of_kubewarden() {
        for deleted in [policy("u-1"), gone()] {
            let (client, reads) = cluster_with(deleted, |_| policy("u-2"));
            let error = remove(&client, Deadline::start()).await.unwrap_err().to_string();
            assert!(
                error.contains(
                    "acr-credential-helper-inject was deleted, but something created it again: stop"
                ),
                "{error}"
            );
            assert_eq!(*reads.lock().unwrap(), 1, "waiting does not help");
        }
    }

    #[tokio::test]
    async fn a_cluster_without_kubewarden_has_none() {
        remove(&api_server(|_, _, _| refusal(404)), Deadline::start()).await.unwrap();
    }
}
