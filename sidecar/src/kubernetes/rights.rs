//! The rights of the sidecar: what it needs, and which rights are missing.
//!
//! The only list of rights is `needed`; the shipped manifest is tested against it.

use std::fmt;

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

/// Number of reviews that are requested at the same time.
const CONCURRENT: usize = 8;

/// The options of the sidecar that its rights depend on.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    /// The sidecar's own namespace.
    pub namespace: &'a str,
    /// Name of the pull secret.
    pub pull_secret: &'a str,
    /// Name of the ConfigMap with the configuration.
    pub config_map: &'a str,
    /// Name of the Secret that keeps the credentials across a restart.
    pub state_secret: &'a str,
    /// Name of the Lease.
    pub lease: &'a str,
    /// Policies that are compared with the configuration.
    pub policies: &'a [&'a str],
    /// Whether service accounts are written.
    pub service_accounts: bool,
}

/// Verbs on one kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// API group; empty for the core.
    pub group: &'static str,
    /// Kind of object, in the plural.
    pub resource: &'static str,
    /// One object only; all objects if absent.
    pub name: Option<String>,
    /// One namespace only; all namespaces if absent.
    pub namespace: Option<String>,
    /// The allowed verbs.
    pub verbs: Vec<&'static str>,
}

/// Returns all rights that are needed, with as few objects as possible.
pub fn needed(needs: &Needs<'_>) -> Vec<Right> {
    let Needs { namespace, pull_secret, config_map, state_secret, lease, policies, service_accounts } =
        *needs;
    let everywhere = |group, resource, name: Option<&str>, verbs: &[&'static str]| Right {
        group,
        resource,
        name: name.map(str::to_owned),
        namespace: None,
        verbs: verbs.to_vec(),
    };
    let here = |group, resource, name, verbs: &[&'static str]| Right {
        namespace: Some(namespace.to_owned()),
        ..everywhere(group, resource, Some(name), verbs)
    };
    let mut rights = vec![
        everywhere("", "secrets", Some(pull_secret), &["get", "create", "patch", "delete", "list", "watch"]),
        everywhere("", "namespaces", None, &["get", "list", "watch"]),
        everywhere("events.k8s.io", "events", None, &["create"]),
        here("", "configmaps", config_map, &["get", "list", "watch"]),
        here("", "secrets", state_secret, &["get", "create", "patch"]),
        here("coordination.k8s.io", "leases", lease, &["get", "create", "patch"]),
    ];
    if service_accounts {
        rights.push(everywhere("", "serviceaccounts", None, &["list", "watch", "patch"]));
    }
    rights.extend(
        policies.iter().map(|name| {
            everywhere("policies.kubewarden.io", "clusteradmissionpolicies", Some(name), &["get"])
        }),
    );
    rights
}

/// Asks the API server which of these rights are missing. All users may ask that about themselves.
pub async fn missing(client: &Client, rights: Vec<Right>) -> Result<Vec<Right>, kube::Error> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let asked: Vec<_> = rights
        .iter()
        .enumerate()
        .flat_map(|(at, right)| right.verbs.iter().map(move |verb| (at, *verb, right.question(verb))))
        .map(|(at, verb, question)| ask(reviews.clone(), at, verb, question))
        .collect();
    let answers: Vec<_> = stream::iter(asked).buffered(CONCURRENT).collect().await;
    let mut lacking: Vec<(usize, &'static str)> = Vec::new();
    for answer in answers {
        let (at, verb, allowed) = answer?;
        if !allowed {
            lacking.push((at, verb));
        }
    }
    let lacks = rights.into_iter().enumerate().filter_map(|(at, right)| {
        let verbs: Vec<_> = lacking.iter().filter(|(of, _)| *of == at).map(|(_, verb)| *verb).collect();
        (!verbs.is_empty()).then_some(Right { verbs, ..right })
    });
    Ok(lacks.collect())
}

async fn ask(
    reviews: Api<SelfSubjectAccessReview>,
    at: usize,
    verb: &'static str,
    question: SelfSubjectAccessReview,
) -> Result<(usize, &'static str, bool), kube::Error> {
    let answer = reviews.create(&PostParams::default(), &question).await?;
    Ok((at, verb, answer.status.is_some_and(|status| status.allowed)))
}

impl Right {
    fn question(&self, verb: &str) -> SelfSubjectAccessReview {
        let Self { group, resource, name, namespace, verbs: _ } = self;
        SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some((*group).to_owned()),
                    resource: Some((*resource).to_owned()),
                    name: name.clone(),
                    namespace: namespace.clone(),
                    verb: Some(verb.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        }
    }
}

/// Formats the rule to add, and where to add it.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, resource, name, namespace, verbs } = self;
        let verbs = verbs.join(", ");
        write!(f, "{verbs} {resource}")?;
        if let Some(name) = name {
            write!(f, " {name}")?;
        }
        if let Some(namespace) = namespace {
            write!(f, " in {namespace}: add to the Role acr-credential-sidecar in {namespace}")?;
        } else {
            f.write_str(": add to the ClusterRole acr-credential-sidecar")?;
        }
        write!(f, " {{apiGroups: [\"{group}\"], resources: [{resource}], ")?;
        if let Some(name) = name {
            write!(f, "resourceNames: [{name}], ")?;
        }
        write!(f, "verbs: [{verbs}]}}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::telemetry::policies::POLICIES;
    use crate::telemetry::testing::api_server;

    const NEEDS: Needs<'_> = Needs {
        namespace: "kube-system",
        pull_secret: "acr-credential-secret-aggregation",
        config_map: "acr-configuration",
        state_secret: "acr-credential-sidecar-state",
        lease: "acr-credential-sidecar",
        policies: &[],
        service_accounts: false,
    };

    #[test]
    fn a_missing_right_names_the_rule_to_add() {
        let rights = needed(&NEEDS);
        let check = |at: usize, expected: &str| assert_eq!(rights[at].to_string(), expected);
        check(
            1,
            "get, list, watch namespaces: add to the ClusterRole acr-credential-sidecar {apiGroups: [\"\"], \
             resources: [namespaces], verbs: [get, list, watch]}",
        );
        check(
            5,
            "get, create, patch leases acr-credential-sidecar in kube-system: add to the Role acr-credential-sidecar \
             in kube-system {apiGroups: [\"coordination.k8s.io\"], resources: [leases], resourceNames: \
             [acr-credential-sidecar], verbs: [get, create, patch]}",
        );
    }

    /// Returns one element for each verb on each object, so that rules that are split differently compare equal.
    fn grains(rights: &[Right]) -> BTreeSet<[String; 5]> {
        let of = |right: &Right| {
            let Right { group, resource, name, namespace, verbs } = right.clone();
            let [name, namespace] = [name, namespace].map(Option::unwrap_or_default);
            let fixed = [group.to_owned(), resource.to_owned(), name, namespace];
            verbs.into_iter().map(move |verb| {
                let [group, resource, name, namespace] = fixed.clone();
                [group, resource, name, namespace, verb.to_owned()]
            })
        };
        rights.iter().flat_map(of).collect()
    }

    fn grains_of_manifest() -> BTreeSet<[String; 5]> {
        let texts = |rule: &Value, key: &str| -> Vec<String> {
            let list = rule[key].as_array().cloned().unwrap_or_default();
            list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let documents: Vec<Value> = serde_saphyr::from_multiple(MANIFEST).unwrap();
        let mut grains = BTreeSet::new();
        for role in documents.iter().filter(|object| object["rules"].is_array()) {
            let namespace = role["metadata"]["namespace"].as_str().unwrap_or_default();
            for rule in role["rules"].as_array().unwrap() {
                let names = texts(rule, "resourceNames");
                let names = if names.is_empty() { vec![String::new()] } else { names };
                for group in texts(rule, "apiGroups") {
                    for resource in texts(rule, "resources") {
                        for name in &names {
                            let verbs = texts(rule, "verbs").into_iter();
                            grains.extend(verbs.map(|verb| {
                                [group.clone(), resource.clone(), name.clone(), namespace.to_owned(), verb]
                            }));
                        }
                    }
                }
            }
        }
        grains
    }

    const MANIFEST: &str = include_str!("../../../deploy/sidecar.yaml");

    #[test]
    fn the_shipped_manifest_grants_what_is_needed_and_nothing_else() {
        let needs = Needs { policies: &POLICIES, ..NEEDS };
        assert_eq!(grains_of_manifest(), grains(&needed(&needs)));
    }

    #[tokio::test]
    async fn only_what_is_missing_is_named_each_verb_of_it() {
        let client = api_server(|_, path, review| {
            assert!(path.starts_with("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"), "{path}");
            let asked = &review["spec"]["resourceAttributes"];
            let lacks = asked["resource"] == "secrets"
                && asked["name"] == NEEDS.pull_secret
                && (asked["verb"] == "patch" || asked["verb"] == "watch");
            (201, json!({ "spec": review["spec"], "status": { "allowed": !lacks } }))
        });
        let missing = missing(&client, needed(&NEEDS)).await.unwrap();
        let lines: Vec<_> = missing.iter().map(Right::to_string).collect();
        assert_eq!(
            lines,
            ["patch, watch secrets acr-credential-secret-aggregation: add to the ClusterRole \
                 acr-credential-sidecar {apiGroups: [\"\"], resources: [secrets], resourceNames: \
                 [acr-credential-secret-aggregation], verbs: [patch, watch]}"]
        );
    }

    #[test]
    fn service_accounts_are_touched_only_where_they_are_written() {
        let touches =
            |needs: &Needs<'_>| needed(needs).iter().any(|right| right.resource == "serviceaccounts");
        assert!(!touches(&NEEDS));
        assert!(touches(&Needs { service_accounts: true, ..NEEDS }));
    }

    #[test]
    fn no_secret_is_asked_for_without_its_name() {
        let needs = Needs { service_accounts: true, ..NEEDS };
        let secrets = needed(&needs).into_iter().filter(|right| right.resource == "secrets");
        assert!(secrets.clone().all(|right| right.name.is_some()));
        assert_eq!(secrets.count(), 2);
    }
}
