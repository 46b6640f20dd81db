//! The content of the state Secret.

use std::collections::HashMap;
use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::broker::{Held, ResolvedRegistry, Snapshot};
use crate::cluster::fingerprint::Fingerprint;
use crate::configuration::Host;
use crate::credential::{Credential, CredentialKey};

/// The form of the document. A process that does not know a form mints again.
const VERSION: u32 = 1;

/// The credentials that a process held at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    version: u32,
    credentials: Vec<Record>,
}

/// Why a document cannot be used. It contains no part of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is not JSON of this form.
    #[error("its state is damaged")]
    Damaged,
    /// Another release wrote it.
    #[error("its state has version {0}, but this release supports only version {VERSION}")]
    OtherVersion(u32),
}

/// One credential.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// Fingerprint of what it was minted for.
    key: String,
    user: String,
    #[serde(serialize_with = "expose", deserialize_with = "hide")]
    password: SecretString,
    issued_at: Timestamp,
    expires_at: Timestamp,
    /// The discovered hosts; `None` if none were looked up.
    hosts: Option<Vec<String>>,
}

impl Default for SavedState {
    fn default() -> Self {
        Self { version: VERSION, credentials: Vec::new() }
    }
}

impl SavedState {
    /// Reads a document.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
        }
        let Form { version } = serde_json::from_slice(bytes).map_err(|_| Unusable::Damaged)?;
        if version != VERSION {
            return Err(Unusable::OtherVersion(version));
        }
        serde_json::from_slice(bytes).map_err(|_| Unusable::Damaged)
    }

    /// Returns the text of the document.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        serde_json::to_vec(self).map(Zeroizing::new)
    }

    /// Returns the number of credentials in it.
    pub fn len(&self) -> usize {
        self.credentials.len()
    }

    /// Returns the credentials that have not expired and that these registries need.
    pub fn restore(&self, registries: &[ResolvedRegistry], now: Timestamp) -> HashMap<CredentialKey, Held> {
        let keys = registries.iter().map(ResolvedRegistry::key);
        keys.filter_map(|key| {
            let fingerprint = Fingerprint::of_key(&key);
            let record = self.credentials.iter().find(|record| record.key == fingerprint)?;
            Some((key, record.held(now)?))
        })
        .collect()
    }

    /// Returns the document after a change. Good credentials that are not in the snapshot yet are kept: a process that
    /// has just started must not forget what it has not requested again.
    pub fn updated(&self, snapshot: &Snapshot, now: Timestamp) -> Self {
        let mut credentials: Vec<Record> = Vec::new();
        for entry in &snapshot.entries {
            let key = Fingerprint::of_key(&entry.key);
            let discovered = entry.registry.registry.domains.is_empty() && !entry.hosts.is_empty();
            let hosts = discovered.then(|| entry.hosts.iter().map(ToString::to_string).collect());
            if let Some(known) = credentials.iter_mut().find(|record| record.key == key) {
                known.hosts = known.hosts.take().or(hosts);
                continue;
            }
            if let Some(issued) = &entry.issued {
                let Credential { user, password, expires_at } = &issued.credential;
                credentials.push(Record {
                    key,
                    user: user.clone(),
                    password: password.clone(),
                    issued_at: issued.issued_at,
                    expires_at: *expires_at,
                    hosts,
                });
            } else {
                let before = self.credentials.iter().find(|record| record.key == key);
                credentials.extend(before.filter(|record| record.expires_at > now).cloned());
            }
        }
        Self { version: VERSION, credentials }
    }
}

impl Record {
    fn held(&self, now: Timestamp) -> Option<Held> {
        let Self { key: _, user, password, issued_at, expires_at, hosts } = self;
        if *expires_at <= now {
            return None;
        }
        let hosts = match hosts {
            Some(hosts) => Some(hosts.iter().map(|host| Host::parse(host).ok()).collect::<Option<_>>()?),
            None => None,
        };
        let credential =
            Credential { user: user.clone(), password: password.clone(), expires_at: *expires_at };
        Some(Held { credential, issued_at: *issued_at, hosts })
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        let Self { key, user, password, issued_at, expires_at, hosts } = self;
        (key, user, issued_at, expires_at, hosts)
            == (&other.key, &other.user, &other.issued_at, &other.expires_at, &other.hosts)
            && password.expose_secret() == other.password.expose_secret()
    }
}

impl Eq for Record {}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("key", &self.key)
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

fn expose<S: Serializer>(password: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(password.expose_secret())
}

fn hide<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}

#[cfg(test)]
mod tests;
