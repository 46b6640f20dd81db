//! The rights that `deploy/sidecar.yaml` grants, for a sidecar with names of its own.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::manifests::Manifests;
use crate::paths;

/// The service account that the manifest makes, which the sidecar runs as.
pub const ACCOUNT: &str = "acr-credential-sidecar";

/// What the manifest has in comments, for the modes that attach.
const ATTACHING: &str = "  # - apiGroups: [\"\"]\n  #   resources: [\"serviceaccounts\"]\n  #   verbs: [\"list\", \"watch\", \"patch\"]\n";

/// The service account, the roles and their bindings, for a sidecar whose namespace and pull secret are both called
/// `name`. The namespace has to be there.
///
/// # Errors
/// When the manifest cannot be read, or lacks the rule for service accounts.
pub fn of_sidecar(name: &str, attaches: bool) -> Result<Vec<Value>> {
    let mut text = std::fs::read_to_string(paths::manifests().join("sidecar.yaml"))?;
    text = text
        .replace("namespace: kube-system", &format!("namespace: {name}"))
        .replace("acr-credential-secret-aggregation", name);
    if attaches {
        ensure!(text.contains(ATTACHING), "the manifest has another rule for service accounts");
        text = text.replace(ATTACHING, &ATTACHING.replace("# ", ""));
    }
    let mut objects = Manifests::parse(&text)?.objects;
    objects.retain(|object| object["kind"] != "Deployment" && object["kind"] != "PodDisruptionBudget");
    for object in &mut objects {
        match object["kind"].as_str() {
            Some("ClusterRole") => object["metadata"]["name"] = json!(name),
            Some("ClusterRoleBinding") => {
                object["metadata"]["name"] = json!(name);
                object["roleRef"]["name"] = json!(name);
            }
            _ => {}
        }
    }
    Ok(objects)
}
