//! RAM policies: who may do what to which resource, and who may become a role.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A policy document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Policy {
    /// Always `1`.
    #[serde(default = "version_1")]
    pub version: String,
    /// Its statements.
    pub statement: Vec<Statement>,
}

/// A statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Statement {
    /// Whether it allows or denies.
    pub effect: Effect,
    /// Such as `cr:GetAuthorizationToken` or `cr:*`.
    pub action: OneOrMany,
    /// Such as `acs:cr:*:*:instance/cri-example`.
    pub resource: OneOrMany,
    /// Operator, key, values: all must hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: Conditions,
}

/// Who may become a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TrustPolicy {
    /// Always `1`.
    #[serde(default = "version_1")]
    pub version: String,
    /// Its statements.
    pub statement: Vec<TrustStatement>,
}

/// A statement of a trust policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TrustStatement {
    /// Whether it allows or denies.
    #[serde(default)]
    pub effect: Effect,
    /// `sts:AssumeRole`.
    #[serde(default = "assume_role")]
    pub action: OneOrMany,
    /// Whom.
    pub principal: Principal,
    /// Operator, key, values: all must hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: Conditions,
}

/// Whom a trust policy names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// Accounts (`acs:ram::ID:root`), users and roles.
    #[serde(rename = "RAM", default, skip_serializing_if = "OneOrMany::is_empty")]
    pub ram: OneOrMany,
    /// OIDC providers.
    #[serde(rename = "Federated", default, skip_serializing_if = "OneOrMany::is_empty")]
    pub federated: OneOrMany,
    /// Services, such as `ecs.aliyuncs.com`.
    #[serde(rename = "Service", default, skip_serializing_if = "OneOrMany::is_empty")]
    pub service: OneOrMany,
}

/// Allow or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Effect {
    /// Allows.
    #[default]
    Allow,
    /// Denies, whatever else allows.
    Deny,
}

/// A string or a list of strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Operator, key, values.
pub type Conditions = BTreeMap<Operator, BTreeMap<String, OneOrMany>>;

/// How a condition compares. These are the string operators; others are refused when the state is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operator {
    /// Any of the values, exactly.
    StringEquals,
    /// None of the values.
    StringNotEquals,
    /// Any of the values, in any case.
    StringEqualsIgnoreCase,
    /// Any of the patterns.
    StringLike,
}

/// What an evaluation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Allowed.
    Allowed,
    /// Nothing allows it.
    ImplicitDeny,
    /// Something denies it.
    ExplicitDeny,
}

/// What conditions are compared with, such as `oidc:sub`.
pub(crate) type Context = BTreeMap<String, Vec<String>>;

fn version_1() -> String {
    "1".into()
}

fn assume_role() -> OneOrMany {
    OneOrMany::One("sts:AssumeRole".into())
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// The strings.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    fn any(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.as_slice().iter().any(|item| matches(item))
    }
}

/// The verdict of several policies together on one action and resource.
#[must_use]
pub(crate) fn judge(policies: &[&Policy], action: &str, resource: &str, context: &Context) -> Verdict {
    let effects = policies.iter().flat_map(|policy| &policy.statement).filter_map(|statement| {
        let applies = statement.action.any(|pattern| matches_ignoring_case(pattern, action))
            && statement.resource.any(|pattern| matches(pattern, resource))
            && hold(&statement.condition, context);
        applies.then_some(statement.effect)
    });
    verdict(effects)
}

/// The verdict of a role's trust policy on a principal: any of its names, such as its user's and its account's ARN.
#[must_use]
pub(crate) fn judge_trust(trust: &TrustPolicy, principal: &TrustedAs<'_>, context: &Context) -> Verdict {
    let effects = trust.statement.iter().filter_map(|statement| {
        let named = match principal {
            TrustedAs::Ram(names) => statement.principal.ram.any(|name| names.iter().any(|n| n == name)),
            TrustedAs::Federated(provider) => statement.principal.federated.any(|name| name == *provider),
            TrustedAs::Service(service) => statement.principal.service.any(|name| name == *service),
        };
        let applies = named
            && statement.action.any(|pattern| matches_ignoring_case(pattern, "sts:AssumeRole"))
            && hold(&statement.condition, context);
        applies.then_some(statement.effect)
    });
    verdict(effects)
}

/// As what a principal can be named in a trust policy.
#[derive(Debug)]
pub(crate) enum TrustedAs<'a> {
    /// By any of these ARNs.
    Ram(&'a [String]),
    /// By its OIDC provider's ARN.
    Federated(&'a str),
    /// As this service.
    Service(&'a str),
}

fn verdict(effects: impl Iterator<Item = Effect>) -> Verdict {
    effects.fold(Verdict::ImplicitDeny, |so_far, effect| match (so_far, effect) {
        (Verdict::ExplicitDeny, _) | (_, Effect::Deny) => Verdict::ExplicitDeny,
        (_, Effect::Allow) => Verdict::Allowed,
    })
}

/// All keys of all operators must hold; a key holds when any of its values fits any of the context's.
fn hold(conditions: &Conditions, context: &Context) -> bool {
    conditions.iter().flat_map(|(operator, keys)| keys.iter().map(move |key| (operator, key))).all(
        |(operator, (key, wanted))| {
            let given = context.get(key).map_or(&[][..], Vec::as_slice);
            let fits =
                |compare: fn(&str, &str) -> bool| given.iter().any(|value| wanted.any(|w| compare(w, value)));
            match operator {
                Operator::StringEquals => fits(|wanted, value| wanted == value),
                Operator::StringNotEquals => !fits(|wanted, value| wanted == value),
                Operator::StringEqualsIgnoreCase => fits(str::eq_ignore_ascii_case),
                Operator::StringLike => fits(matches),
            }
        },
    )
}

fn matches_ignoring_case(pattern: &str, text: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
}

/// Whether a pattern with `*` and `?` matches all of a text.
fn matches(pattern: &str, text: &str) -> bool {
    fn inner(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => inner(rest, text),
            (Some((b'*', rest)), Some((_, tail))) => inner(rest, text) || inner(pattern, tail),
            (Some((p, rest)), Some((t, tail))) => (p == t || *p == b'?') && inner(rest, tail),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
    inner(pattern.as_bytes(), text.as_bytes())
}

/// The vendor's policies that matter here.
pub(crate) fn system_policy(name: &str) -> Option<Policy> {
    let actions: &[&str] = match name {
        "AdministratorAccess" => &["*"],
        "AliyunContainerRegistryFullAccess" => &["cr:*"],
        "AliyunContainerRegistryReadOnlyAccess" => &["cr:Get*", "cr:List*", "cr:PullRepository"],
        "AliyunCSManagedAcrRolePolicy" => {
            &["cr:GetAuthorizationToken", "cr:ListInstanceEndpoint", "cr:PullRepository"]
        }
        "AliyunSTSAssumeRoleAccess" => &["sts:AssumeRole"],
        _ => return None,
    };
    Some(Policy {
        version: version_1(),
        statement: vec![Statement {
            effect: Effect::Allow,
            action: OneOrMany::Many(actions.iter().map(|&action| action.to_owned()).collect()),
            resource: OneOrMany::One("*".into()),
            condition: Conditions::new(),
        }],
    })
}
