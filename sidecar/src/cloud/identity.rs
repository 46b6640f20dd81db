//! The identity whose rights are used: follows the configuration from the first keys to the last role.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::error::{CloudError, Reason};
use super::keys::{Keys, Session, Source};
use super::settings::{CloudSettings, Environment};
use super::sts::{OidcRole, SESSION_NAME};
use crate::configuration::{IdentitySource, OidcProviderArn, RoleArn};

/// The source of the first keys, determined from the environment and the files.
#[derive(Debug)]
pub(super) enum FirstKeys {
    /// The keys are available without a call.
    Here(Session),
    /// The keys need a call with the token in this file.
    Oidc(OidcRole, PathBuf),
    /// The keys need a call to ECS metadata.
    Metadata,
}

/// Determines the source of the first keys. If `last` is true, no other role is assumed with them.
pub(super) fn first_keys(
    source: &IdentitySource,
    settings: &CloudSettings,
    last: bool,
) -> Result<FirstKeys, CloudError> {
    match source {
        IdentitySource::DefaultChain => default_chain(settings, last),
        IdentitySource::KeyPair(pair) => {
            let keys = Keys::new(pair.id.as_str(), pair.secret.expose_secret(), None).ok_or_else(|| {
                unavailable("the entry's access key contains blanks or invalid characters", "correct it")
            })?;
            Ok(FirstKeys::Here(Session::without_expiry(keys, Source::KeyPair)))
        }
        IdentitySource::KeySecret(name) => {
            key_secret(settings.key_secrets.as_deref(), name.as_str()).map(FirstKeys::Here)
        }
        IdentitySource::Rrsa { role, provider, duration } => {
            let file = settings.environment.get(OIDC_TOKEN_FILE).unwrap_or(DEFAULT_TOKEN_FILE);
            let role = OidcRole {
                role: role.clone(),
                provider: provider.clone(),
                duration: *duration,
                session_name: SESSION_NAME.to_owned(),
                last,
            };
            Ok(FirstKeys::Oidc(role, PathBuf::from(file)))
        }
    }
}

/// Reads the cluster's OIDC token. The kubelet renews the file, so it is read for each use.
pub(super) fn oidc_token(file: &Path) -> Result<SecretString, CloudError> {
    let fix = "project a token with the audience sts.aliyuncs.com, or correct ALIBABA_CLOUD_OIDC_TOKEN_FILE";
    let token = read_word(file)
        .map_err(|problem| unavailable(format!("the OIDC token file {} {problem}", file.display()), fix))?;
    Ok(SecretString::from(token.as_str()))
}

/// The name of the Secret in registered clusters.
pub(super) const ADDON_SECRET: &str = "alibaba-addon-secret";

const ACCESS_KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const ACCESS_KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const SECURITY_TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";
const ROLE_ARN: &str = "ALIBABA_CLOUD_ROLE_ARN";
const OIDC_PROVIDER_ARN: &str = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
const OIDC_TOKEN_FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const ROLE_SESSION_NAME: &str = "ALIBABA_CLOUD_ROLE_SESSION_NAME";

/// The file in which ACK's Pod identity webhook stores the token.
const DEFAULT_TOKEN_FILE: &str = "/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token";

/// Life of a session whose role has no other setting.
const DEFAULT_DURATION: Duration = Duration::from_hours(1);

/// Maximum size of a file. A token has at most 20,000 characters.
const LONGEST_WORD: u64 = 64 * 1024;

/// Returns the first source of the chain that exists, even if it is broken: a fallback would silently use other rights than
/// the user intended.
fn default_chain(settings: &CloudSettings, last: bool) -> Result<FirstKeys, CloudError> {
    let CloudSettings { environment, key_secrets, .. } = settings;
    if environment.get(ACCESS_KEY_ID).or(environment.get(ACCESS_KEY_SECRET)).is_some() {
        return environment_keys(environment).map(FirstKeys::Here);
    }
    if environment.get(OIDC_TOKEN_FILE).or(environment.get(OIDC_PROVIDER_ARN)).is_some() {
        return environment_oidc(environment, last);
    }
    if key_secrets.as_ref().is_some_and(|directory| directory.join(ADDON_SECRET).is_dir()) {
        return key_secret(key_secrets.as_deref(), ADDON_SECRET).map(FirstKeys::Here);
    }
    if super::metadata::is_disabled(environment) {
        return Err(unavailable(
            "no access key and no OIDC token in the environment, no Secret alibaba-addon-secret, and ECS metadata is \
             switched off",
            "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, use RRSA, or unset \
             ALIBABA_CLOUD_ECS_METADATA_DISABLED",
        ));
    }
    Ok(FirstKeys::Metadata)
}

fn environment_keys(environment: &Environment) -> Result<Session, CloudError> {
    let id = required(environment, ACCESS_KEY_ID)?;
    let secret = required(environment, ACCESS_KEY_SECRET)?;
    let token = environment.get(SECURITY_TOKEN).map(str::trim);
    let keys = Keys::new(id, secret, token).ok_or_else(|| {
        unavailable(
            "the access key in the environment contains blanks or invalid characters",
            "correct the variables",
        )
    })?;
    Ok(Session::without_expiry(keys, Source::Environment))
}

fn environment_oidc(environment: &Environment, last: bool) -> Result<FirstKeys, CloudError> {
    let file = PathBuf::from(required(environment, OIDC_TOKEN_FILE)?);
    let not_an_arn = |name| move |error| unavailable(format!("{name}: {error}"), format!("correct {name}"));
    let session_name = environment.get(ROLE_SESSION_NAME).unwrap_or(SESSION_NAME);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".@-_".contains(&byte);
    if !(2..=64).contains(&session_name.len()) || !session_name.bytes().all(allowed) {
        return Err(unavailable(
            format!("{ROLE_SESSION_NAME} is not a valid session name"),
            "write 2 to 64 letters, digits or .@-_",
        ));
    }
    let role = OidcRole {
        role: RoleArn::parse(required(environment, ROLE_ARN)?).map_err(not_an_arn(ROLE_ARN))?,
        provider: OidcProviderArn::parse(required(environment, OIDC_PROVIDER_ARN)?)
            .map_err(not_an_arn(OIDC_PROVIDER_ARN))?,
        duration: DEFAULT_DURATION,
        session_name: session_name.to_owned(),
        last,
    };
    Ok(FirstKeys::Oidc(role, file))
}

fn required<'a>(environment: &'a Environment, name: &str) -> Result<&'a str, CloudError> {
    let missing = || {
        unavailable(
            format!("{name} is not set, but other variables of the same identity are"),
            format!("set {name}"),
        )
    };
    environment.get(name).map(str::trim).ok_or_else(missing)
}

/// Reads the key pair of a Secret. Kubernetes renews the files, so they are read for each use.
fn key_secret(directory: Option<&Path>, name: &str) -> Result<Session, CloudError> {
    let fix = "create the Secret in the sidecar's namespace with the keys access-key-id and access-key-secret, and mount it";
    let broken = |problem: String| unavailable(format!("the Secret {name} {problem}"), fix);
    let directory = directory.ok_or_else(|| broken("is not mounted".to_owned()))?;
    // The name becomes part of a path, so it must not lead out of the directory.
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(broken("has a name that is not valid for a Secret".to_owned()));
    }
    let read = |key: &str| {
        let file = directory.join(name).join(key);
        read_word(&file)
            .map_err(|problem| unavailable(format!("the key {key} of the Secret {name} {problem}"), fix))
    };
    let keys = Keys::new(&read("access-key-id")?, &read("access-key-secret")?, None)
        .ok_or_else(|| broken("contains an access key with invalid characters".to_owned()))?;
    Ok(Session::without_expiry(keys, Source::KeySecret(name.to_owned())))
}

/// Reads a file that contains one word, with or without a line end. The error completes "the file …".
fn read_word(file: &Path) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::new());
    let read = File::open(file).and_then(|file| file.take(LONGEST_WORD).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("does not exist".to_owned()),
        Err(error) => return Err(format!("cannot be read ({})", error.kind())),
    }
    let word = Zeroizing::new(text.trim().to_owned());
    match word.as_str() {
        "" => Err("is empty".to_owned()),
        word if word.contains(|c: char| !c.is_ascii_graphic()) => {
            Err("contains more than one word".to_owned())
        }
        _ => Ok(word),
    }
}

fn unavailable(problem: impl Into<String>, fix: impl Into<String>) -> CloudError {
    CloudError::new(Reason::IdentityUnavailable, "finding keys").explained(problem, fix)
}

#[cfg(test)]
mod tests;
