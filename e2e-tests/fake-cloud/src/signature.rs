//! `ACS3-HMAC-SHA256`, from the verifier's side, and the signature that came before it.
//!
//! Written from the vendor's description alone, without a line of the client's signer: the two check each other.
//! <https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature>

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac};

use crate::message::Request;

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// A parsed `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The access key's id.
    pub access_key_id: String,
    /// Names of the signed headers, in the order given.
    pub signed_headers: Vec<String>,
    /// The signature, as sent.
    pub signature: String,
}

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The header does not have the documented form, or leaves out what has to be signed.
    #[error("{0}")]
    Incomplete(String),
    /// The body is not the one that was signed.
    #[error("x-acs-content-sha256 is not the hash of the body")]
    Body,
    /// Another secret, or another request.
    #[error("the server's string to sign is {string_to_sign:?}")]
    Mismatch {
        /// What the server signed.
        string_to_sign: String,
    },
}

impl Authorization {
    /// Reads the header and checks that all that has to be signed is signed: `host`, `content-type` where there is
    /// one, and every `x-acs-*` header.
    ///
    /// # Errors
    /// [`Rejection::Incomplete`], which says what is missing.
    pub fn of(request: &Request) -> Result<Self, Rejection> {
        let incomplete = |what: String| Rejection::Incomplete(what);
        let header =
            request.header("authorization").ok_or_else(|| incomplete("no Authorization header".into()))?;
        let (algorithm, rest) =
            header.split_once(' ').ok_or_else(|| incomplete("Authorization has no parameters".into()))?;
        if algorithm != ALGORITHM {
            return Err(incomplete(format!("the algorithm is not {ALGORITHM}")));
        }
        let field = |name: &str| {
            rest.split(',')
                .filter_map(|part| part.trim().split_once('='))
                .find_map(|(key, value)| (key == name && !value.is_empty()).then(|| value.to_owned()))
                .ok_or_else(|| incomplete(format!("Authorization has no {name}")))
        };
        let signed_headers: Vec<String> = field("SignedHeaders")?.split(';').map(str::to_owned).collect();
        if !signed_headers.is_sorted() {
            return Err(incomplete("SignedHeaders are not sorted".into()));
        }
        let must_be_signed =
            |name: &str| name == "host" || name == "content-type" || name.starts_with("x-acs-");
        let present =
            request.headers.iter().map(|(name, _)| name.as_str()).filter(|name| must_be_signed(name));
        for name in present.chain(["host"]) {
            if !signed_headers.iter().any(|signed| signed == name) {
                return Err(incomplete(format!("{name} is not among SignedHeaders")));
            }
        }
        Ok(Self { access_key_id: field("Credential")?, signed_headers, signature: field("Signature")? })
    }

    /// Checks body and signature.
    ///
    /// # Errors
    /// [`Rejection::Body`], [`Rejection::Mismatch`], or [`Rejection::Incomplete`] where a signed header is missing.
    pub fn verify(&self, request: &Request, secret: &str) -> Result<(), Rejection> {
        let claimed = request.header("x-acs-content-sha256").unwrap_or_default();
        if claimed != hex(digest::digest(&digest::SHA256, &request.body).as_ref()) {
            return Err(Rejection::Body);
        }
        let string_to_sign = self.string_to_sign(request)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        if hex(hmac::sign(&key, string_to_sign.as_bytes()).as_ref()) == self.signature {
            Ok(())
        } else {
            Err(Rejection::Mismatch { string_to_sign })
        }
    }

    /// The two lines that are signed: the algorithm, and the hash of the canonical request.
    ///
    /// # Errors
    /// [`Rejection::Incomplete`] where a signed header is missing.
    pub fn string_to_sign(&self, request: &Request) -> Result<String, Rejection> {
        let mut headers = String::new();
        for name in &self.signed_headers {
            let value = request
                .header(name)
                .ok_or_else(|| Rejection::Incomplete(format!("{name} is signed but was not sent")))?;
            headers.extend([name, ":", &value, "\n"]);
        }
        let canonical = [
            request.method.as_str(),
            if request.path.is_empty() { "/" } else { &request.path },
            &canonical(request.query_parameters()),
            // Ends in a line feed of its own, so that an empty line follows.
            &headers,
            &self.signed_headers.join(";"),
            &request.header("x-acs-content-sha256").unwrap_or_default(),
        ]
        .join("\n");
        Ok(format!("{ALGORITHM}\n{}", hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())))
    }
}

/// The signature of RPC calls that came before: HMAC-SHA1, all of it in the query. The vendor's credentials library still
/// signs `AssumeRole` with it.
///
/// # Errors
/// [`Rejection::Mismatch`].
pub(crate) fn verify_rpc(request: &Request, secret: &str) -> Result<(), Rejection> {
    let mut pairs = request.query_parameters();
    pairs.retain(|(name, _)| name != "Signature");
    let string_to_sign = format!("{}&{}&{}", request.method, encode("/"), encode(&canonical(pairs)));
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{secret}&").as_bytes());
    let signature = BASE64.encode(hmac::sign(&key, string_to_sign.as_bytes()));
    if request.parameter("Signature").as_deref() == Some(signature.as_str()) {
        Ok(())
    } else {
        Err(Rejection::Mismatch { string_to_sign })
    }
}

fn canonical(mut pairs: Vec<(String, String)>) -> String {
    pairs.sort();
    let encoded: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    encoded.join("&")
}

/// RFC 3986, section 2.3: all but the unreserved characters is encoded.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
