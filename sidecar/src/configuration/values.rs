//! The small types of a configuration. Each value is parsed once, at the edge.

mod arn;
mod host;

use std::fmt;
use std::hash::{Hash, Hasher};

use acr_credential_core::{Pattern, PatternError, Vocabulary};
use secrecy::{ExposeSecret, SecretString};

pub use arn::{OidcProviderArn, RoleArn};
pub use host::{Host, Origin, without_token_api};

/// Why a text is not a valid value. The message states the problem and, after a colon, the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {fix}")]
pub struct ValueError {
    /// What is wrong with the text. It never quotes a text that may be a secret.
    pub problem: String,
    /// How to write it instead.
    pub fix: String,
}

impl ValueError {
    pub(super) fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem: problem.into(), fix: fix.into() }
    }
}

impl From<PatternError> for ValueError {
    fn from(error: PatternError) -> Self {
        let text = error.to_string();
        // Most of its messages already contain a fix.
        let (problem, fix) =
            text.split_once("; ").unwrap_or((&text, "write the name as Kubernetes shows it"));
        Self::new(problem, fix)
    }
}

macro_rules! text_value {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use text_value;

/// Returns whether a text is a placeholder from documentation: `cri-xxx`, `xxx.com,yyy.com`, `acs:ram::.*:role/…`, `<uid>`.
fn is_placeholder(text: &str) -> bool {
    let marked = text.contains(['<', '>', '*', '…']) || text.contains("${") || text.contains("{{");
    let is_filler = |word: &str, letter: char| word.len() >= 3 && word.chars().all(|c| c == letter);
    marked
        || text.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
            // Only whole words count: an instance id may contain the same letter three times.
            is_filler(word, 'x') || is_filler(word, 'y')
        })
}

fn refuse_placeholder(text: &str, fix: &str) -> Result<(), ValueError> {
    refuse_if(is_placeholder(text), "is a placeholder from the documentation", fix)
}

/// Returns the error with this problem and fix, if the value has the problem.
pub(super) fn refuse_if(has_problem: bool, problem: &str, fix: &str) -> Result<(), ValueError> {
    if has_problem { Err(ValueError::new(problem, fix)) } else { Ok(()) }
}

text_value! {
    /// Id of an Enterprise Edition instance: `cri-…`.
    InstanceId
}

impl InstanceId {
    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        const FIX: &str = "copy the id, such as cri-0123456789abcdef, from the ACR console";
        let text = text.trim();
        refuse_placeholder(text, FIX)?;
        refuse_if(text.contains(','), "contains more than one id", "write one entry for each instance")?;
        if text.starts_with("crpi-") {
            return Err(no_token_api());
        }
        let Some(random) = text.strip_prefix("cri-") else {
            let problem = match Region::parse(text) {
                Ok(_) => "is a region, not an instance",
                Err(_) => "does not begin with cri-",
            };
            let fix = format!("{FIX}; for Personal Edition, leave it empty");
            return Err(ValueError::new(problem, fix));
        };
        let is_id = (1..=60).contains(&random.len())
            && random.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        refuse_if(!is_id, "contains characters after cri- other than lower-case letters and digits", FIX)?;
        Ok(Self(text.to_owned()))
    }
}

/// Problem and fix for Personal Edition instances created since September 2024
/// (<https://www.alibabacloud.com/help/en/acr/user-guide/non-secret-pulling-container-image>).
const NO_TOKEN_API: (&str, &str) = (
    "belongs to a Personal Edition instance created since September 2024, for which no token API exists",
    "use a pull secret with its fixed password, made by hand",
);

fn no_token_api() -> ValueError {
    let (problem, fix) = NO_TOKEN_API;
    ValueError::new(problem, format!("{fix}, and remove it here"))
}

text_value! {
    /// Id of a region, such as `cn-hangzhou`.
    Region
}

impl Region {
    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        const FIX: &str = "write the id of a region, such as cn-hangzhou";
        let text = text.trim();
        refuse_placeholder(text, FIX)?;
        let is_instance = text.starts_with("cri-") || text.starts_with("crpi-");
        refuse_if(is_instance, "is the id of an instance, not of a region", FIX)?;
        refuse_if(text.bytes().any(|byte| byte.is_ascii_uppercase()), "contains an upper-case letter", FIX)?;
        if !has_form_of_region(text) {
            // Hosts and endpoints of other services contain the region: oss-cn-hangzhou, registry.cn-hangzhou.aliyuncs.com.
            let mut within = text.split('.').flat_map(|part| {
                let dashes = part.match_indices('-').filter_map(|(at, _)| part.get(at + 1..));
                std::iter::once(part).chain(dashes)
            });
            let meant = within.find(|part| has_form_of_region(part) && !is_zone(part));
            let fix =
                meant.map_or_else(|| FIX.to_owned(), |region| format!("write only the region: {region}"));
            return Err(ValueError::new("is not the id of a region", fix));
        }
        if is_zone(text) {
            let region = text.trim_end_matches(|c: char| c.is_ascii_lowercase()).trim_end_matches('-');
            let fix = if has_form_of_region(region) {
                format!("write only the region: {region}")
            } else {
                FIX.to_owned()
            };
            return Err(ValueError::new("is a zone, not a region", fix));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Parts of the world, at the beginning of region ids (<https://api.aliyun.com/product/cr>, and the regions of the SDKs).
const AREAS: [&str; 9] = ["cn", "ap", "eu", "us", "me", "na", "sa", "af", "rus"];

/// Returns whether a text has the form of a region id: a part of the world, a place in it, and an optional suffix that
/// distinguishes the regions of one place, as in `cn-hangzhou`, `ap-southeast-1`, `cn-north-2-gov-1`.
fn has_form_of_region(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= 40
        && text.split_once('-').is_some_and(|(area, rest)| {
            AREAS.contains(&area)
                && rest.starts_with(|c: char| c.is_ascii_lowercase())
                && rest.split('-').all(is_word)
        })
}

/// Returns whether the text is a zone. The id of a zone ends with an additional letter: `cn-hangzhou-b`, `ap-southeast-1a`.
fn is_zone(region: &str) -> bool {
    let last = region.rsplit('-').next().unwrap_or_default();
    let (number, letter) = last.split_at(last.len().saturating_sub(1));
    letter.bytes().all(|byte| byte.is_ascii_lowercase()) && number.bytes().all(|byte| byte.is_ascii_digit())
}

text_value! {
    /// External id that a trust policy may require, 2 to 1,224 characters.
    ExternalId
}

impl ExternalId {
    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let is_id = (2..=1224).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        refuse_if(!is_id, "is not 2 to 1224 characters on one line", "copy it from the role's trust policy")?;
        Ok(Self(text.to_owned()))
    }
}

text_value! {
    /// Name of a Secret in the sidecar's namespace.
    SecretName
}

impl SecretName {
    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        match Pattern::parse(text, Vocabulary::Subdomain)? {
            Pattern::Name(name) => Ok(Self(name.into_owned())),
            Pattern::All | Pattern::Glob(_) => {
                Err(ValueError::new("is a wildcard", "write the name of one Secret"))
            }
        }
    }
}

/// Id of an access key: `LTAI…` or, for a session, `STS.…`. It is not a secret, but it is never printed completely.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessKeyId(String);

impl AccessKeyId {
    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        refuse_placeholder(text, "write the id of an access key")?;
        let is_id = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        let fix = "copy the id, which begins with LTAI, from the RAM console";
        refuse_if(!is_id, "is not the id of an access key", fix)?;
        Ok(Self(text.to_owned()))
    }

    /// Returns the complete id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the id belongs to a session. Such a key cannot be used without the session's token.
    pub fn is_of_session(&self) -> bool {
        self.0.starts_with("STS.")
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `LTAI` and two more characters are enough to distinguish the keys of one account.
        write!(f, "{}…", self.0.chars().take(6).collect::<String>())
    }
}

impl fmt::Debug for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKeyId({self})")
    }
}

/// Reads the secret half of an access key.
pub(super) fn parse_key_secret(text: &str) -> Result<SecretString, ValueError> {
    refuse_placeholder(text, "write the secret of an access key")?;
    let has_blank = text.chars().any(|c| c.is_whitespace() || c.is_control());
    refuse_if(has_blank, "contains a blank", "write only the secret of an access key")?;
    Ok(SecretString::from(text))
}

/// An access key of a RAM user. `Debug` shows neither half.
#[derive(Clone)]
pub struct KeyPair {
    /// The id.
    pub id: AccessKeyId,
    /// The secret.
    pub secret: SecretString,
}

impl PartialEq for KeyPair {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.secret.expose_secret() == other.secret.expose_secret()
    }
}

impl Eq for KeyPair {}

impl Hash for KeyPair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
        self.secret.expose_secret().hash(state);
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair([redacted])")
    }
}

#[cfg(test)]
mod tests;
