//! The keys that sign calls, and the session that they belong to.

use std::fmt;

use jiff::Timestamp;
use secrecy::SecretString;

use super::answer::{Fields, LONGEST_LIFE};
use super::error::CloudError;
use super::sessions::SessionKey;
use crate::configuration::RoleArn;

/// An access key, with the token of its session if it has one. `Debug` shows no part of it.
#[derive(Clone)]
pub struct Keys {
    /// The id: `LTAI…` or, for a session, `STS.…`.
    pub id: String,
    /// The secret.
    pub secret: SecretString,
    /// The token of the session.
    pub token: Option<SecretString>,
}

/// Keys with their expiry and their origin.
#[derive(Debug, Clone)]
pub struct Session {
    /// The keys.
    pub keys: Keys,
    /// When the keys expire; `None` if that is not known: for the keys of a RAM user, which do not expire, and for a session in the
    /// environment.
    pub expires_at: Option<Timestamp>,
    /// The origin of the keys.
    pub origin: Origin,
    /// The key under which [`Sessions`](super::sessions::Sessions) keeps the session; `None` for keys that needed no call.
    pub(super) kept_as: Option<SessionKey>,
}

/// The origin of keys. `Display` is a phrase that fits after "with".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source of the first keys.
    pub source: Source,
    /// The roles that are assumed one after the other. The last role makes the calls.
    pub roles: Vec<RoleArn>,
    /// Whether a session policy limits the last role to pulling.
    pub narrowed: bool,
}

/// The source of the first keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID` and `ALIBABA_CLOUD_ACCESS_KEY_SECRET`.
    Environment,
    /// The cluster's OIDC token (RRSA), with which the first role is assumed.
    OidcToken,
    /// The name of a Secret in the sidecar's namespace.
    KeySecret(String),
    /// `customAccessKey` of a registry.
    KeyPair,
    /// ECS metadata, with the name of the node's RAM role.
    Metadata(String),
}

impl Keys {
    /// Creates keys from external texts. Returns `None` if one of them cannot be sent in a header: it is empty, or contains
    /// blanks or characters outside of ASCII.
    pub fn new(id: &str, secret: &str, token: Option<&str>) -> Option<Self> {
        let sendable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        (sendable(id) && sendable(secret) && token.is_none_or(sendable)).then(|| Self {
            id: id.to_owned(),
            secret: SecretString::from(secret),
            token: token.map(SecretString::from),
        })
    }
}

impl Session {
    /// Creates a session of keys whose expiry is not known.
    pub fn without_expiry(keys: Keys, source: Source) -> Self {
        Self { keys, expires_at: None, origin: source.into(), kept_as: None }
    }

    /// Reads a session. STS and ECS metadata write it in the same form.
    pub(super) fn from_answer(
        fields: Fields<'_>,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Self, CloudError> {
        let [id, secret, token] =
            ["AccessKeyId", "AccessKeySecret", "SecurityToken"].map(|name| fields.required(name));
        let keys = Keys::new(&id?, &secret?, Some(&token?))
            .ok_or_else(|| fields.malformed("the answer has keys with invalid characters"))?;
        let expires_at = fields.required("Expiration")?.parse::<Timestamp>().ok();
        let expires_at = expires_at
            .filter(|at| at.duration_since(now) < LONGEST_LIFE)
            .ok_or_else(|| fields.malformed("Expiration is not a time, or is too far in the future"))?;
        if expires_at <= now {
            return Err(fields.malformed(format!("the session has expired already, at {expires_at:.0}")));
        }
        Ok(Self { keys, expires_at: Some(expires_at), origin, kept_as: None })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys([redacted])")
    }
}

/// Creates the origin of the first keys, without an assumed role.
impl From<Source> for Origin {
    fn from(source: Source) -> Self {
        Self { source, roles: Vec::new(), narrowed: false }
    }
}

impl Origin {
    /// Returns the origin after one more role is assumed.
    pub fn then(&self, role: RoleArn, narrowed: bool) -> Self {
        let mut roles = self.roles.clone();
        roles.push(role);
        Self { source: self.source.clone(), roles, narrowed }
    }

    /// Returns the principal that makes the calls and needs the rights, as a phrase that fits after "to".
    pub fn principal(&self) -> String {
        match (&self.source, self.roles.last()) {
            (_, Some(role)) => format!("the role {role}"),
            (Source::Metadata(_) | Source::OidcToken, None) => self.source.to_string(),
            (Source::Environment | Source::KeySecret(_) | Source::KeyPair, None) => {
                format!("the RAM user of {}", self.source)
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.roles.as_slice() {
            [] => write!(f, "{}", self.source),
            [roles @ .., last] => {
                write!(f, "the role {last}, assumed with {}", self.source)?;
                roles.iter().try_for_each(|role| write!(f, " by way of {role}"))
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("the access key in the environment"),
            Self::OidcToken => f.write_str("the cluster's OIDC token"),
            Self::KeySecret(name) => write!(f, "the access key in the Secret {name}"),
            Self::KeyPair => f.write_str("the entry's access key"),
            Self::Metadata(role) => write!(f, "the node's RAM role {role}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: Source, roles: &[&str], expected: &str) {
        let origin = roles
            .iter()
            .fold(Origin::from(source), |origin, role| origin.then(RoleArn::parse(role).unwrap(), false));
        assert_eq!(origin.to_string(), expected);
    }

    #[test]
    fn rights_are_granted_to_users_and_roles_and_not_to_keys() {
        let key = Origin::from(Source::KeySecret("acr-key".to_owned()));
        assert_eq!(key.principal(), "the RAM user of the access key in the Secret acr-key");
        let role = RoleArn::parse("acs:ram::1000000000000001:role/pull").unwrap();
        assert_eq!(key.then(role, true).principal(), "the role acs:ram::1000000000000001:role/pull");
        let node = Origin::from(Source::Metadata("KubernetesWorkerRole".to_owned()));
        assert_eq!(node.principal(), "the node's RAM role KubernetesWorkerRole");
    }

    #[test]
    fn an_origin_reads_as_a_phrase() {
        let (a, b) = ("acs:ram::1000000000000001:role/pull", "acs:ram::1000000000000002:role/registry");
        check(Source::Environment, &[], "the access key in the environment");
        check(
            Source::Metadata("KubernetesWorkerRole".to_owned()),
            &[],
            "the node's RAM role KubernetesWorkerRole",
        );
        check(
            Source::KeySecret("acr-key".to_owned()),
            &[a],
            "the role acs:ram::1000000000000001:role/pull, assumed with the access key in the Secret acr-key",
        );
        check(
            Source::OidcToken,
            &[a, b],
            "the role acs:ram::1000000000000002:role/registry, assumed with the cluster's OIDC token by way of \
             acs:ram::1000000000000001:role/pull",
        );
    }

    #[test]
    fn keys_that_no_header_could_hold_are_none() {
        assert!(Keys::new("LTAI5tEXAMPLE", "secret", Some("token")).is_some());
        for (id, secret, token) in
            [("", "s", None), ("i", "", None), ("i", "s", Some("")), ("i\n", "s", None), ("i", "é", None)]
        {
            assert!(Keys::new(id, secret, token).is_none(), "{id:?} {secret:?} {token:?}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let keys = Keys::new("MARKER-id", "MARKER-secret", Some("MARKER-token")).unwrap();
        let session = Session::without_expiry(keys, Source::KeyPair);
        assert!(!format!("{session:?}").contains("MARKER"));
    }
}
