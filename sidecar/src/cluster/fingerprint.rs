//! Identifies what a credential is minted for, as a short text that contains no secret.

use ring::digest::{Context, SHA256};

use crate::configuration::{AssumeRole, Host, Identity, IdentitySource, Instance};
use crate::credential::CredentialKey;
use crate::hex::hex;

/// A digest over texts. The length of each text is part of the digest, so that two texts cannot run into each other.
pub struct Fingerprint(Context);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Fingerprint {
    /// Returns the fingerprint of a key. Two access keys with the same id are equal here: the secret is not part of the
    /// digest.
    pub fn of_key(key: &CredentialKey) -> String {
        let mut digest = Self::default();
        digest.key(key);
        digest.finish()
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
    }

    /// Adds a key.
    pub fn key(&mut self, key: &CredentialKey) {
        let CredentialKey { identity: Identity { source, assume_role }, region, instance } = key;
        self.text(region.as_str());
        self.text(instance_name(instance));
        match source {
            IdentitySource::DefaultChain => self.text("default"),
            IdentitySource::KeyPair(pair) => self.texts(&["pair", pair.id.as_str()]),
            IdentitySource::KeySecret(name) => self.texts(&["secret", name.as_str()]),
            IdentitySource::Rrsa { role, provider, duration } => {
                self.texts(&["rrsa", role.as_str(), provider.as_str(), &duration.as_secs().to_string()]);
            }
        }
        if let Some(AssumeRole { role, duration, external_id }) = assume_role {
            let external_id = external_id.as_ref().map_or("", |id| id.as_str());
            self.texts(&["role", role.as_str(), &duration.as_secs().to_string(), external_id]);
        }
    }

    /// Adds a list of hosts.
    pub fn hosts(&mut self, hosts: &[Host]) {
        self.text(&hosts.len().to_string());
        for host in hosts {
            self.text(host.as_str());
        }
    }

    /// Returns the digest as 32 hexadecimal digits.
    pub fn finish(self) -> String {
        let mut digits = hex(self.0.finish().as_ref());
        digits.truncate(32);
        digits
    }

    fn texts(&mut self, texts: &[&str]) {
        for text in texts {
            self.text(text);
        }
    }
}

/// Returns the name of an instance in annotations and messages.
pub fn instance_name(instance: &Instance) -> &str {
    match instance {
        Instance::Personal => "personal",
        Instance::Enterprise(id) => id.as_str(),
    }
}
