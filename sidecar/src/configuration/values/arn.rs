//! ARNs of RAM resources: `acs:ram::<account>:<kind>/<name>`.

use super::{ValueError, refuse_if, refuse_placeholder, text_value};

text_value! {
    /// ARN of a RAM role: `acs:ram::<account>:role/<name>`.
    RoleArn
}
text_value! {
    /// ARN of a RAM OIDC provider: `acs:ram::<account>:oidc-provider/<name>`.
    OidcProviderArn
}

const ROLE: &str = "role";
const PROVIDER: &str = "oidc-provider";

impl RoleArn {
    /// Reads an ARN.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        parse(text, ROLE, "copy the role's ARN, such as acs:ram::1234567890123456:role/acr-puller").map(Self)
    }
}

impl OidcProviderArn {
    /// Reads an ARN.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let fix =
            "copy the OIDC provider's ARN, such as acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123";
        parse(text, PROVIDER, fix).map(Self)
    }
}

fn parse(text: &str, kind: &str, fix: &str) -> Result<String, ValueError> {
    let text = text.trim();
    refuse_placeholder(text, fix)?;
    let parts = text.strip_prefix("acs:ram::").and_then(|rest| rest.split_once(':'));
    let parts = parts.and_then(|(account, resource)| Some((account, resource.split_once('/')?)));
    let Some((account, (found, name))) = parts else {
        return Err(ValueError::new(format!("is not of the form acs:ram::ACCOUNT:{kind}/NAME"), fix));
    };
    if found != kind {
        let problem = match found {
            ROLE => "is the ARN of a role".to_owned(),
            PROVIDER => "is the ARN of an OIDC provider".to_owned(),
            "user" => "is the ARN of a user".to_owned(),
            _ => format!("is not the ARN of a RAM {kind}"),
        };
        return Err(ValueError::new(problem, fix));
    }
    let is_account = (1..=20).contains(&account.len()) && account.bytes().all(|byte| byte.is_ascii_digit());
    refuse_if(!is_account, "has no account id, which is a number of some 16 digits", fix)?;
    let is_name = (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    refuse_if(!is_name, "has no valid name after the slash", fix)?;
    Ok(text.to_owned())
}
