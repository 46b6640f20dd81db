//! Credentials, and the keys that they are requested with.

use jiff::Timestamp;
use secrecy::SecretString;

use crate::configuration::{Identity, Instance, Region};

/// Identity, region and instance that a credential is minted for. Registries with equal keys share one credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CredentialKey {
    /// The identity whose rights are used.
    pub identity: Identity,
    /// The region of the instance.
    pub region: Region,
    /// The instance.
    pub instance: Instance,
}

/// User and password for `docker login`, valid until a time.
#[derive(Debug, Clone)]
pub struct Credential {
    /// User name, such as `cr_temp_user`.
    pub user: String,
    /// Password.
    pub password: SecretString,
    /// When the credential expires, from the API's response.
    pub expires_at: Timestamp,
}
