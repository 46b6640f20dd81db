//! Names of RAM resources: `acs:ram::<account>:<kind>/<name>`.

use super::{ValueError, refuse_placeholder, text_value};

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
        let text = text.trim();
        check(text, ROLE, "copy the role's ARN, such as acs:ram::1234567890123456:role/acr-puller")?;
        Ok(Self(text.to_owned()))
    }
}

impl OidcProviderArn {
    /// Reads an ARN.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let fix =
            "copy the OIDC provider's ARN, such as acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123";
        check(text, PROVIDER, fix)?;
        Ok(Self(text.to_owned()))
    }
}

struct Parts<'a> {
    account: &'a str,
    kind: &'a str,
    name: &'a str,
}

impl<'a> Parts<'a> {
    fn of(arn: &'a str) -> Option<Self> {
        let (account, resource) = arn.strip_prefix("acs:ram::")?.split_once(':')?;
        let (kind, name) = resource.split_once('/')?;
        Some(Self { account, kind, name })
    }
}

fn check(text: &str, kind: &str, fix: &str) -> Result<(), ValueError> {
    refuse_placeholder(text, fix)?;
    let Some(parts) = Parts::of(text) else {
        return Err(ValueError::new(format!("is not of the form acs:ram::ACCOUNT:{kind}/NAME"), fix));
    };
    if parts.kind != kind {
        let problem = match parts.kind {
            ROLE => "is the ARN of a role".to_owned(),
            PROVIDER => "is the ARN of an OIDC provider".to_owned(),
            "user" => "is the ARN of a user".to_owned(),
            _ => format!("is not the ARN of a RAM {kind}"),
        };
        return Err(ValueError::new(problem, fix));
    }
    if !(1..=20).contains(&parts.account.len()) || !parts.account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::new("has no account id, which is a number of some 16 digits", fix));
    }
    let is_name = (1..=128).contains(&parts.name.len())
        && parts.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !is_name {
        return Err(ValueError::new("has no valid name after the slash", fix));
    }
    Ok(())
}
