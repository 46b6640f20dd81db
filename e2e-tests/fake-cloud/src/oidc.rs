//! OIDC tokens: RS256, as a Kubernetes API server signs those of its ServiceAccounts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::policy::OneOrMany;

// Keys for tests, made for this crate: they open nothing.
const TEST_KEY: &[u8] = include_bytes!("oidc-test-key.der");
const OTHER_TEST_KEY: &[u8] = include_bytes!("oidc-other-test-key.der");
const TEST_KEY_ID: &str = "fake-cloud-test-key";

/// An RSA key of a JWKS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    /// Its id, as in the tokens' headers.
    #[serde(default)]
    pub kid: Option<String>,
    /// The modulus, in base64url.
    pub n: String,
    /// The exponent, in base64url.
    pub e: String,
}

/// An OIDC provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcProvider {
    /// The issuer, as in the tokens.
    pub issuer: String,
    /// Audiences that it takes.
    #[serde(default = "sts_audience")]
    pub client_ids: Vec<String>,
    /// Its RSA keys, as in a JWKS. The fake's own test key if not given.
    #[serde(default = "test_keys")]
    pub keys: Vec<PublicKey>,
}

fn sts_audience() -> Vec<String> {
    vec!["sts.aliyuncs.com".into()]
}

fn test_keys() -> Vec<PublicKey> {
    vec![PublicKey::of_the_fake()]
}

/// Which of the fake's keys signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Signer {
    /// The one that providers take by default.
    #[default]
    TestKey,
    /// One that no provider knows.
    Stranger,
}

/// An OIDC token to be minted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// `sub`, such as `system:serviceaccount:kube-system:acr-credential-sidecar`.
    pub subject: String,
    /// The provider's ARN, whose issuer is used. May be left out where there is only one.
    #[serde(default)]
    pub provider: Option<String>,
    /// `iss`, if not the provider's.
    #[serde(default)]
    pub issuer: Option<String>,
    /// `aud`, if not `sts.aliyuncs.com`.
    #[serde(default)]
    pub audience: Option<String>,
    /// Life in seconds, one hour if not given; negative for one that has expired.
    #[serde(default)]
    pub expires_in: Option<i64>,
    /// Which key signs.
    #[serde(default)]
    pub signed_by: Signer,
}

impl TokenRequest {
    /// A good token for this subject.
    #[must_use]
    pub fn of(subject: &str) -> Self {
        Self {
            subject: subject.into(),
            provider: None,
            issuer: None,
            audience: None,
            expires_in: None,
            signed_by: Signer::TestKey,
        }
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    /// `sub`.
    pub(crate) subject: String,
    /// `iss`.
    pub(crate) issuer: String,
    /// `aud`.
    pub(crate) audiences: Vec<String>,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed,
    Signature,
    Expired,
    Issuer,
    Audience,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
}

impl PublicKey {
    /// The key that providers take by default.
    #[must_use]
    pub fn of_the_fake() -> Self {
        // It is compiled in and can be read; a key that is empty would verify nothing.
        let components = KeyPair::from_pkcs8(TEST_KEY)
            .map_or(PublicKeyComponents { n: Vec::new(), e: Vec::new() }, |pair| pair.public().into());
        Self {
            kid: Some(TEST_KEY_ID.into()),
            n: BASE64URL.encode(components.n),
            e: BASE64URL.encode(components.e),
        }
    }

    /// Modulus and exponent.
    pub(crate) fn components(&self) -> Result<PublicKeyComponents<Vec<u8>>, String> {
        let decode = |name: &str, text: &str| {
            BASE64URL.decode(text).map_err(|_| format!("{name} is not base64url: copy the key from the JWKS"))
        };
        Ok(PublicKeyComponents { n: decode("n", &self.n)?, e: decode("e", &self.e)? })
    }
}

/// Signs a token.
///
/// # Errors
/// When signing fails, which it does not for want of anything that a caller gives.
pub(crate) fn mint(
    claims: &Claims,
    issued: Timestamp,
    expires: Timestamp,
    signer: Signer,
) -> Result<String, String> {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": TEST_KEY_ID});
    let payload = json!({
        "iss": claims.issuer,
        "sub": claims.subject,
        "aud": claims.audiences,
        "iat": issued.as_second(),
        "nbf": issued.as_second(),
        "exp": expires.as_second(),
    });
    let part = |value: &Value| BASE64URL.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(&payload));
    let key = match signer {
        Signer::TestKey => TEST_KEY,
        Signer::Stranger => OTHER_TEST_KEY,
    };
    let pair = KeyPair::from_pkcs8(key).map_err(|error| error.to_string())?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|error| error.to_string())?;
    Ok(format!("{text}.{}", BASE64URL.encode(signature)))
}

/// Checks a token against a provider: signature, expiry, issuer, audience.
pub(crate) fn verify(token: &str, provider: &OidcProvider, now: Timestamp) -> Result<Claims, Refusal> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
    let header: Header = parse(header)?;
    let payload: Payload = parse(payload)?;
    let signature = BASE64URL.decode(signature).map_err(|_| Refusal::Malformed)?;
    if payload.iss != provider.issuer {
        return Err(Refusal::Issuer);
    }
    let candidates = provider.keys.iter().filter(|key| header.kid.is_none() || key.kid == header.kid);
    let signed_by_any = header.alg == "RS256"
        && candidates
            .filter_map(|key| key.components().ok())
            .any(|key| key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).is_ok());
    if !signed_by_any {
        return Err(Refusal::Signature);
    }
    if payload.exp <= now.as_second() {
        return Err(Refusal::Expired);
    }
    // A token from the future is as good as a forged one.
    if payload.nbf.is_some_and(|not_before| not_before > now.as_second() + 60) {
        return Err(Refusal::Malformed);
    }
    let audiences = payload.aud.as_slice().to_vec();
    if !audiences.iter().any(|audience| provider.client_ids.contains(audience)) {
        return Err(Refusal::Audience);
    }
    Ok(Claims { subject: payload.sub, issuer: payload.iss, audiences })
}

fn parse<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let bytes = BASE64URL.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)
}
