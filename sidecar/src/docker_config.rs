//! Credentials in the format that the kubelet reads: a docker config.
//!
//! `{"auths":{"<host>":{"auth":"<base64 of user:password>","password":"…","username":"…"}}}`, without white space,
//! with hosts and keys in alphabetical order, so that equal credentials give equal bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::broker::{Issued, RegistryState, ResolvedRegistry, Snapshot};
use crate::clock::Moment;
use crate::credential::Credential;
use crate::hex::hex;

/// A set of registries, by their positions in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrySet(Vec<usize>);

/// A docker config for some registries. `Debug` shows no content.
#[cfg_attr(test, derive(Clone))]
pub struct DockerConfig {
    /// The document. Its buffer never grows while it is written, and is wiped when it is dropped, so that no copy remains.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The registries in it: those of the set that have a credential and get at least one host.
    pub registries: RegistrySet,
    /// When the first of its credentials expires; `None` if it contains no credentials.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the document and the expiry, in hexadecimal. It may be shown to all users: the passwords in the document
    /// are tokens of the cloud, which are too random to be guessed from a hash.
    pub hash: String,
    /// All credentials of the set, and whether each of them was good when the document was rendered.
    judged: Vec<(Arc<Issued>, bool)>,
}

/// The document, in the order of its bytes.
#[derive(Serialize)]
struct Logins<'a> {
    auths: BTreeMap<&'a str, Login<'a>>,
}

#[derive(Serialize)]
struct Login<'a> {
    auth: &'a str,
    password: &'a str,
    username: &'a str,
}

impl RegistrySet {
    /// Creates the set of the registries at these positions.
    pub fn new(positions: impl IntoIterator<Item = usize>) -> Self {
        let mut positions: Vec<_> = positions.into_iter().collect();
        positions.sort_unstable();
        positions.dedup();
        Self(positions)
    }

    /// Returns the registries that a managed namespace gets.
    pub fn for_namespace<'a>(
        registries: impl IntoIterator<Item = &'a ResolvedRegistry>,
        namespace: &str,
    ) -> Self {
        let registries = registries.into_iter().enumerate();
        let gets = registries.filter(|(_, entry)| entry.registry.is_for(namespace));
        Self(gets.map(|(position, _)| position).collect())
    }

    /// Returns the positions, in ascending order.
    pub fn positions(&self) -> &[usize] {
        &self.0
    }
}

impl DockerConfig {
    /// Renders the current credentials of these registries. If two registries claim the same host, the one that lists it in
    /// `domains` gets it, otherwise the earlier one. If that registry has no credential, the host is left out: the credential
    /// of the other registry would not be accepted there.
    pub fn render(snapshot: &Snapshot, set: &RegistrySet, now: Moment) -> Result<Self, serde_json::Error> {
        let mut owners: BTreeMap<&str, (usize, &RegistryState)> = BTreeMap::new();
        let mut judged = Vec::new();
        let entries = set.positions().iter().filter_map(|&at| Some((at, snapshot.entries.get(at)?)));
        let mut in_turn: Vec<_> = entries.collect();
        in_turn.sort_by_key(|(_, entry)| entry.registry.registry.claim_rank());
        for (position, entry) in in_turn {
            for host in &*entry.hosts {
                owners.entry(host.as_str()).or_insert((position, entry));
            }
            judged.extend(entry.issued.iter().map(|issued| (Arc::clone(issued), issued.is_good(now))));
        }
        let owners = owners.into_iter().filter_map(|(host, (position, entry))| {
            let issued = entry.issued.as_deref().filter(|issued| issued.is_good(now))?;
            Some((host, position, &issued.credential))
        });
        let owners: Vec<_> = owners.collect();
        let bytes = document(owners.iter().map(|(host, _, credential)| (*host, *credential)))?;
        let expires_at = owners.iter().map(|(_, _, credential)| credential.expires_at).min();
        Ok(Self {
            registries: RegistrySet::new(owners.iter().map(|(_, position, _)| *position)),
            expires_at,
            hash: hash(&bytes, expires_at),
            bytes,
            judged,
        })
    }

    /// Returns whether each credential is still good, or still not good, as it was when the document was rendered.
    pub fn is_current(&self, now: Moment) -> bool {
        self.judged.iter().all(|(issued, was_good)| issued.is_good(now) == *was_good)
    }
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes: _, registries, expires_at, hash, judged: _ } = self;
        f.debug_struct("DockerConfig")
            .field("registries", registries)
            .field("expires_at", expires_at)
            .field("hash", hash)
            .finish_non_exhaustive()
    }
}

fn document<'a>(
    logins: impl Iterator<Item = (&'a str, &'a Credential)> + Clone,
) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let encoded: Vec<_> = logins.clone().map(|(_, credential)| basic(credential)).collect();
    let auths = logins.zip(&encoded).map(|((host, credential), auth)| {
        let login = Login { auth, password: credential.password.expose_secret(), username: &credential.user };
        (host, login)
    });
    let document = Logins { auths: auths.collect() };
    let mut bytes = Zeroizing::new(Vec::with_capacity(most_bytes(&document)));
    serde_json::to_writer(&mut *bytes, &document)?;
    Ok(bytes)
}

/// Returns the base64 of `user:password`.
fn basic(credential: &Credential) -> Zeroizing<String> {
    let plain = Zeroizing::new([&credential.user, ":", credential.password.expose_secret()].concat());
    Zeroizing::new(STANDARD.encode(&*plain))
}

/// Returns the maximum length of the document. JSON writes one byte as at most six (`\u0000`).
fn most_bytes(document: &Logins<'_>) -> usize {
    const FRAME: usize = r#"{"auths":{}}"#.len();
    const ENTRY: usize = r#""":{"auth":"","password":"","username":""},"#.len();
    let text = |host: &str, login: &Login<'_>| {
        host.len() + login.auth.len() + login.password.len() + login.username.len()
    };
    FRAME + document.auths.iter().map(|(host, login)| ENTRY + 6 * text(host, login)).sum::<usize>()
}

fn hash(bytes: &[u8], expires_at: Option<Timestamp>) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    digest.update(bytes);
    if let Some(expires_at) = expires_at {
        digest.update(&expires_at.as_millisecond().to_be_bytes());
    }
    hex(digest.finish().as_ref())
}

#[cfg(test)]
mod tests;
