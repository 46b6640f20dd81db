//! What the cloud hands out, and what is asked for.

use jiff::Timestamp;
use secrecy::SecretString;

use crate::configuration::{Identity, Instance, Region};

/// What one credential is minted for. Registries with equal keys share one credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CredentialKey {
    /// Whose rights are used.
    pub identity: Identity,
    /// Where the instance is.
    pub region: Region,
    /// Which instance.
    pub instance: Instance,
}

/// What the registry hands out: user and password for `docker login`, until it expires.
#[derive(Debug, Clone)]
pub struct Credential {
    /// User name, such as `cr_temp_user`.
    pub user: String,
    /// Password.
    pub password: SecretString,
    /// When the registry stops to take it, as the API said.
    pub expires_at: Timestamp,
}
