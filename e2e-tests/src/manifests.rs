//! Our manifests, read the way Kubewarden's controller and its custom resource definition read them.
//!
//! Stricter in one respect: a field that nobody knows is an error here. A real API server would drop it, and the policy
//! would silently do something else than its author meant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhook,
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::environment::PolicyConfig;
use crate::host_calls::ContextAwareResource;
use crate::review::Mode;

/// The namespace that Kubewarden is installed in. Cluster-wide policies leave it alone.
const KUBEWARDEN_NAMESPACE: &str = "kubewarden";

const DEFAULT_TIMEOUT_SECONDS: i32 = 10;

/// Everything in a set of manifest files.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The policies.
    pub policies: Vec<ClusterAdmissionPolicy>,
    /// Objects of other kinds, as they are.
    pub objects: Vec<Value>,
}

impl Manifests {
    /// Reads all `.yaml` files of a directory, in the order of their names.
    ///
    /// # Errors
    /// When a file cannot be read, is no YAML, or holds a policy that Kubewarden would refuse or understand differently;
    /// the message names the file and the field.
    pub fn read_dir(dir: &Path) -> Result<Self> {
        let entries = std::fs::read_dir(dir).with_context(|| format!("failed to list {}", dir.display()))?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| format!("failed to list {}", dir.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
        files.sort();
        let mut manifests = Self::default();
        for file in files {
            let Self { policies, objects } = Self::read_file(&file)?;
            manifests.policies.extend(policies);
            manifests.objects.extend(objects);
        }
        Ok(manifests)
    }

    /// Reads one file.
    ///
    /// # Errors
    /// As [`Manifests::read_dir`].
    pub fn read_file(file: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("failed to use {}", file.display()))
    }

    /// Reads YAML documents.
    ///
    /// # Errors
    /// As [`Manifests::read_dir`].
    pub fn parse(yaml: &str) -> Result<Self> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("failed to parse the YAML")?;
        let mut manifests = Self::default();
        for document in documents {
            match document.get("kind").and_then(Value::as_str) {
                Some("ClusterAdmissionPolicy") => {
                    manifests.policies.push(ClusterAdmissionPolicy::parse(document)?);
                }
                Some(_) => manifests.objects.push(document),
                None if document.is_null() => {}
                None => bail!("a document has no kind"),
            }
        }
        Ok(manifests)
    }

    /// The policy of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn policy(&self, name: &str) -> Result<&ClusterAdmissionPolicy> {
        self.policies
            .iter()
            .find(|policy| policy.name == name)
            .with_context(|| format!("there is no ClusterAdmissionPolicy {name}"))
    }
}

/// A `ClusterAdmissionPolicy`.
#[derive(Clone, Debug)]
pub struct ClusterAdmissionPolicy {
    /// Its name.
    pub name: String,
    /// What it says.
    pub spec: PolicySpec,
}

/// `spec` of a `ClusterAdmissionPolicy`, with the defaults of its definition.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// The `PolicyServer` that serves it.
    #[serde(default = "default_policy_server")]
    pub policy_server: String,
    /// Whether its verdict counts.
    #[serde(default)]
    pub mode: Mode,
    /// Where the compiled policy comes from.
    pub module: String,
    /// Its settings.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Which requests it sees.
    pub rules: Vec<RuleWithOperations>,
    /// What happens when it cannot be reached; `Fail` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<String>,
    /// Whether it may change objects, which also decides the kind of webhook.
    pub mutating: bool,
    /// Whether the audit scanner runs it.
    #[serde(default = "default_background_audit")]
    pub background_audit: bool,
    /// How rules match requests of other versions; `Equivalent` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_policy: Option<String>,
    /// Which of the requests that match the rules are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_conditions: Option<Vec<MatchCondition>>,
    /// Which objects are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_selector: Option<LabelSelector>,
    /// `None` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side_effects: Option<String>,
    /// How long the API server waits.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: i32,
    /// How long the policy may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_eval_seconds: Option<i32>,
    /// What users read in place of the policy's own message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Objects of which namespaces are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// The kinds that it may read.
    #[serde(default)]
    pub context_aware_resources: BTreeSet<ContextAwareResource>,
    /// Whether it sees the requests in Kubewarden's own namespace.
    #[serde(default)]
    pub allow_inside_admission_controller_namespace: bool,
}

fn default_policy_server() -> String {
    "default".to_owned()
}

fn default_background_audit() -> bool {
    true
}

fn default_timeout_seconds() -> i32 {
    DEFAULT_TIMEOUT_SECONDS
}

/// A webhook configuration of either kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum WebhookConfiguration {
    /// Of a policy with `mutating: true`.
    Mutating(MutatingWebhookConfiguration),
    /// Of any other.
    Validating(ValidatingWebhookConfiguration),
}

impl WebhookConfiguration {
    /// The object, ready to be applied.
    ///
    /// # Errors
    /// None that are known; writing JSON to memory can fail by its signature only.
    pub fn to_object(&self) -> Result<Value> {
        serde_json::to_value(self).context("failed to write the webhook configuration")
    }
}

impl ClusterAdmissionPolicy {
    fn parse(document: Value) -> Result<Self> {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let name = text("/metadata/name").to_owned();
        if text("/apiVersion") != "policies.kubewarden.io/v1" {
            bail!("ClusterAdmissionPolicy {name}: apiVersion must be policies.kubewarden.io/v1");
        }
        if name.is_empty() {
            bail!("a ClusterAdmissionPolicy has no name");
        }
        let Value::Object(mut fields) = document else { bail!("ClusterAdmissionPolicy {name} is no object") };
        let spec = fields.remove("spec").unwrap_or_default();
        if let Some(unknown) =
            fields.keys().find(|key| !["apiVersion", "kind", "metadata"].contains(&key.as_str()))
        {
            bail!("ClusterAdmissionPolicy {name}: {unknown}: unknown field");
        }
        let spec: PolicySpec =
            strict(&spec, "spec").with_context(|| format!("ClusterAdmissionPolicy {name} is invalid"))?;
        spec.check().with_context(|| format!("ClusterAdmissionPolicy {name} is invalid"))?;
        Ok(Self { name, spec })
    }

    /// The name that the policy is served under, which is also its webhook configuration's.
    #[must_use]
    pub fn unique_name(&self) -> String {
        format!("clusterwide-{}", self.name)
    }

    /// What the API server calls the webhook in its messages.
    #[must_use]
    pub fn webhook_name(&self) -> String {
        format!("{}.kubewarden.admission", self.unique_name())
    }

    /// The webhook configuration that Kubewarden's controller makes of the policy, but for an URL where it would name a
    /// Service.
    #[must_use]
    pub fn webhook_configuration(&self, url: &str, ca_pem: &str) -> WebhookConfiguration {
        let metadata = ObjectMeta {
            name: Some(self.unique_name()),
            labels: Some(BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "kubewarden".to_owned())])),
            annotations: Some(BTreeMap::from([
                ("kubewardenPolicyName".to_owned(), self.name.clone()),
                // A ClusterAdmissionPolicy has none.
                ("kubewardenPolicyNamespace".to_owned(), String::new()),
            ])),
            ..ObjectMeta::default()
        };
        let name = self.webhook_name();
        let client_config = WebhookClientConfig {
            url: Some(url.to_owned()),
            ca_bundle: Some(ByteString(ca_pem.as_bytes().to_vec())),
            service: None,
        };
        let spec = &self.spec;
        let rules = Some(spec.rules.clone());
        let failure_policy = spec.failure_policy.clone();
        let match_policy = spec.match_policy.clone();
        let match_conditions = spec.match_conditions.clone();
        let namespace_selector = self.namespace_selector();
        let object_selector = spec.object_selector.clone();
        let side_effects = spec.side_effects.clone().unwrap_or_else(|| "None".to_owned());
        let timeout_seconds = Some(spec.timeout_seconds);
        let admission_review_versions = vec!["v1".to_owned()];
        if spec.mutating {
            WebhookConfiguration::Mutating(MutatingWebhookConfiguration {
                metadata,
                webhooks: Some(vec![MutatingWebhook {
                    name,
                    client_config,
                    rules,
                    failure_policy,
                    match_policy,
                    match_conditions,
                    namespace_selector,
                    object_selector,
                    side_effects,
                    timeout_seconds,
                    admission_review_versions,
                    // The controller leaves it out, which means `Never`.
                    reinvocation_policy: None,
                }]),
            })
        } else {
            WebhookConfiguration::Validating(ValidatingWebhookConfiguration {
                metadata,
                webhooks: Some(vec![ValidatingWebhook {
                    name,
                    client_config,
                    rules,
                    failure_policy,
                    match_policy,
                    match_conditions,
                    namespace_selector,
                    object_selector,
                    side_effects,
                    timeout_seconds,
                    admission_review_versions,
                }]),
            })
        }
    }

    /// What policy-server is told of the policy; the module is the local file in place of the published one.
    #[must_use]
    pub fn policy_config(&self, module: &Path) -> PolicyConfig {
        let spec = &self.spec;
        PolicyConfig {
            module: module.to_owned(),
            settings: spec.settings.clone(),
            mutating: spec.mutating,
            mode: spec.mode,
            message: spec.message.clone().filter(|message| !message.is_empty()),
            context_aware_resources: spec.context_aware_resources.clone(),
            timeout_eval_seconds: spec.timeout_eval_seconds.and_then(|seconds| u64::try_from(seconds).ok()),
        }
    }

    /// The controller takes over `matchExpressions` and drops `matchLabels`, unless the policy applies to Kubewarden's
    /// own namespace too.
    fn namespace_selector(&self) -> Option<LabelSelector> {
        let own = self.spec.namespace_selector.clone();
        if self.spec.allow_inside_admission_controller_namespace {
            return own;
        }
        let mut expressions = vec![LabelSelectorRequirement {
            key: "kubernetes.io/metadata.name".to_owned(),
            operator: "NotIn".to_owned(),
            values: Some(vec![KUBEWARDEN_NAMESPACE.to_owned()]),
        }];
        expressions.extend(own.and_then(|selector| selector.match_expressions).unwrap_or_default());
        Some(LabelSelector { match_expressions: Some(expressions), match_labels: None })
    }
}

impl PolicySpec {
    /// What the definition of the resource, or the controller's own webhook, would refuse.
    fn check(&self) -> Result<()> {
        if self.rules.is_empty() {
            bail!("spec.rules: a value must be specified");
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let missing = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
            if missing(&rule.operations) || missing(&rule.api_versions) || missing(&rule.resources) {
                bail!("spec.rules[{index}]: operations, apiVersions and resources must be specified");
            }
        }
        let eval_seconds = self.timeout_eval_seconds.unwrap_or(2);
        for (field, seconds) in
            [("timeoutSeconds", self.timeout_seconds), ("timeoutEvalSeconds", eval_seconds)]
        {
            if !(2..=30).contains(&seconds) {
                bail!("spec.{field}: must be between 2 and 30");
            }
        }
        if eval_seconds > self.timeout_seconds {
            bail!("spec.timeoutEvalSeconds: must not be greater than timeoutSeconds");
        }
        Ok(())
    }
}

/// Parses a value and makes sure that nothing in it was left over. The types of Kubernetes skip what they do not know;
/// written out again, what they skipped is missing.
fn strict<T: DeserializeOwned + Serialize>(value: &Value, path: &str) -> Result<T> {
    let parsed: T = T::deserialize(value).with_context(|| format!("{path} is invalid"))?;
    let known = serde_json::to_value(&parsed).with_context(|| format!("failed to write {path}"))?;
    match first_unknown(value, &known, path) {
        Some(unknown) => bail!("{unknown}: unknown field"),
        None => Ok(parsed),
    }
}

fn first_unknown(value: &Value, known: &Value, path: &str) -> Option<String> {
    match (value, known) {
        (Value::Object(fields), Value::Object(known)) => fields.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match known.get(name) {
                Some(known) => first_unknown(value, known, &path),
                // Written as nothing.
                None if value.is_null() => None,
                None => Some(path),
            }
        }),
        (Value::Array(items), Value::Array(known)) => items
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(index, (item, known))| first_unknown(item, known, &format!("{path}[{index}]"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const POLICY: &str = r#"
# A comment.
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata:
  name: inject
  annotations: {io.kubewarden.policy.category: Secrets}
spec:
  module: registry://example.com/policy:v1
  mutating: true
  timeoutSeconds: 5
  settings:
    namespaces: ["team-*"]
  contextAwareResources:
    - {apiVersion: v1, kind: ServiceAccount}
  namespaceSelector:
    matchLabels: {dropped: "yes"}
    matchExpressions:
      - {key: kubernetes.io/metadata.name, operator: In, values: [team-a]}
  objectSelector:
    matchExpressions:
      - {key: acr-credential-helper.io/inject, operator: NotIn, values: ["false"]}
  matchConditions:
    - name: not-a-mirror-pod
      expression: "true"
  rules:
    - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: readers}
---
"#;

    fn policy(yaml: &str) -> ClusterAdmissionPolicy {
        Manifests::parse(yaml).unwrap().policies.remove(0)
    }

    #[track_caller]
    fn check_refused(from: &str, to: &str, expected: &str) {
        let changed = POLICY.replacen(from, to, 1);
        assert_ne!(changed, POLICY, "the test changes nothing");
        let error = format!("{:#}", Manifests::parse(&changed).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }

    /// Fills in what an API server fills in, and leaves out where the webhook is.
    fn stored(mut configuration: Value) -> Value {
        let mutating = configuration["kind"] == "MutatingWebhookConfiguration";
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            webhook["clientConfig"].take();
            let mut default = |field: &str, value: &str| {
                if webhook[field].is_null() {
                    webhook[field] = json!(value);
                }
            };
            default("matchPolicy", "Equivalent");
            if mutating {
                default("reinvocationPolicy", "Never");
            }
            for rule in webhook["rules"].as_array_mut().unwrap() {
                if rule["scope"].is_null() {
                    rule["scope"] = json!("*");
                }
            }
        }
        configuration
    }

    #[test]
    fn policies_become_the_webhook_configurations_that_the_real_controller_made_of_them() {
        let recorded: Vec<Value> =
            serde_saphyr::from_multiple(include_str!("../fixtures/kubewarden/webhooks.yaml")).unwrap();
        let policies =
            Manifests::parse(include_str!("../fixtures/kubewarden/policies.yaml")).unwrap().policies;
        assert_eq!((recorded.len(), policies.len()), (3, 3));
        for policy in policies {
            let object = policy.webhook_configuration("https://127.0.0.1:1/x", "CA").to_object().unwrap();
            let name = policy.unique_name();
            let real = recorded.iter().find(|real| real["metadata"]["name"] == *name).unwrap().clone();
            assert_eq!(stored(object), stored(real), "{name}");
        }
    }

    #[test]
    fn match_labels_are_dropped_unless_the_policy_covers_kubewardens_namespace() {
        let dropped = policy(POLICY).namespace_selector().unwrap();
        assert_eq!(dropped.match_labels, None);
        let yaml = POLICY
            .replace("mutating: true", "mutating: true\n  allowInsideAdmissionControllerNamespace: true");
        let kept = policy(&yaml).namespace_selector().unwrap();
        assert_eq!(kept.match_labels, Some(BTreeMap::from([("dropped".to_owned(), "yes".to_owned())])));
        assert_eq!(kept.match_expressions.unwrap().len(), 1);
    }

    #[test]
    fn the_policy_host_gets_what_policy_server_would() {
        let config = policy(POLICY).policy_config(Path::new("policy.wasm"));
        assert_eq!(Value::Object(config.settings), json!({"namespaces": ["team-*"]}));
        assert!(config.mutating);
        assert_eq!(config.mode, Mode::Protect);
        assert_eq!(
            config.context_aware_resources,
            BTreeSet::from([ContextAwareResource {
                api_version: "v1".into(),
                kind: "ServiceAccount".into()
            }])
        );
    }

    #[test]
    fn defaults_are_those_of_the_resource_definition() {
        let spec = policy(&POLICY.replace("  timeoutSeconds: 5\n", "")).spec;
        assert_eq!((spec.timeout_seconds, spec.background_audit), (10, true));
        assert_eq!(spec.policy_server, "default");
    }

    #[test]
    fn other_objects_pass_through() {
        let objects = Manifests::parse(POLICY).unwrap().objects;
        assert_eq!(objects.len(), 1);
        assert_eq!(objects[0]["kind"], "ClusterRole");
    }

    #[test]
    fn a_field_that_nobody_knows_is_an_error_at_any_depth() {
        check_refused("timeoutSeconds: 5", "timeoutSecond: 5", "unknown field `timeoutSecond`");
        check_refused(
            "operator: In,",
            "operator: In, value: [x],",
            "spec.namespaceSelector.matchExpressions[0].value",
        );
        check_refused("resources: [pods]", "resources: [pods], scopes: Namespaced", "spec.rules[0].scopes");
        check_refused(
            "- name: not-a-mirror-pod",
            "- names: x\n      name: other",
            "spec.matchConditions[0].names",
        );
        check_refused("kind: ServiceAccount", "kind: ServiceAccount, name: x", "unknown field `name`");
        check_refused("\nspec:", "\nstatus: {x: 1}\nspec:", "status: unknown field");
    }

    #[test]
    fn what_kubewarden_would_refuse_is_refused() {
        check_refused("timeoutSeconds: 5", "timeoutSeconds: 31", "between 2 and 30");
        check_refused(
            "timeoutSeconds: 5",
            "timeoutSeconds: 5\n  timeoutEvalSeconds: 6",
            "timeoutEvalSeconds",
        );
        check_refused("operations: [CREATE]", "operations: []", "spec.rules[0]");
        check_refused("  mutating: true\n", "", "mutating");
        check_refused("mutating: true", "mutating: true\n  mode: watch", "unknown variant");
        check_refused("policies.kubewarden.io/v1", "policies.kubewarden.io/v1alpha2", "apiVersion must be");
    }
}
