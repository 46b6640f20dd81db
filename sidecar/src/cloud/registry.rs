//! ACR: the credentials and the hosts of an instance.

use std::collections::BTreeSet;

use jiff::Timestamp;
use reqwest::Method;
use secrecy::SecretString;

use super::answer::{Fields, LONGEST_LIFE};
use super::api::Api;
use super::call::Operation;
use super::endpoints::Base;
use super::error::CloudError;
use super::keys::Session;
use crate::configuration::{Host, Instance, InstanceId};
use crate::credential::Credential;

/// Mints a credential.
pub(super) async fn credential(
    api: &Api,
    base: &Base,
    instance: &Instance,
    session: &Session,
) -> Result<Credential, CloudError> {
    let body = match instance {
        Instance::Personal => api.signed(base, PERSONAL_TOKEN, &[], session).await?,
        Instance::Enterprise(id) => {
            api.signed(base, ENTERPRISE_TOKEN, &[("InstanceId", id.as_str())], session).await?
        }
    };
    read_credential(body.fields(), instance, api.clock.wall())
}

/// Returns all enabled hosts of an instance's registry, sorted: public, VPC and custom ones. The list is empty if no endpoint is
/// enabled.
pub(super) async fn enterprise_hosts(
    api: &Api,
    base: &Base,
    id: &InstanceId,
    session: &Session,
) -> Result<Vec<Host>, CloudError> {
    let parameters = [("InstanceId", id.as_str()), ("ModuleName", "Registry")];
    let body = api.signed(base, ENDPOINTS, &parameters, session).await?;
    Ok(read_hosts(body.fields()))
}

const ENTERPRISE_TOKEN: Operation = Operation::rpc("GetAuthorizationToken", "2018-12-01");
const ENDPOINTS: Operation = Operation::rpc("ListInstanceEndpoint", "2018-12-01");
const PERSONAL_TOKEN: Operation = Operation {
    action: "GetAuthorizationToken",
    version: "2016-06-07",
    method: Method::GET,
    path: "/tokens",
};

fn read_credential(
    fields: Fields<'_>,
    instance: &Instance,
    now: Timestamp,
) -> Result<Credential, CloudError> {
    let (fields, user, password, expiry) = match instance {
        Instance::Personal => {
            let data = fields.object("data").ok_or_else(|| fields.missing("data"))?;
            (data, "tempUserName", "authorizationToken", "expireDate")
        }
        Instance::Enterprise(_) => (fields, "TempUsername", "AuthorizationToken", "ExpireTime"),
    };
    let (user, password) = (fields.required(user)?, SecretString::from(fields.required(password)?));
    let milliseconds = fields.integer(expiry).ok_or_else(|| fields.missing(expiry))?;
    let expires_at = Timestamp::from_millisecond(milliseconds).ok();
    let expires_at = expires_at
        .filter(|at| at.duration_since(now) < LONGEST_LIFE)
        .ok_or_else(|| fields.malformed(format!("{expiry} is too far in the future")))?;
    Ok(Credential { user, password, expires_at })
}

fn read_hosts(fields: Fields<'_>) -> Vec<Host> {
    let enabled = fields.objects("Endpoints").filter(|endpoint| endpoint.truth("Enable") == Some(true));
    let domains = enabled.flat_map(|endpoint| endpoint.objects("Domains").collect::<Vec<_>>());
    let hosts: BTreeSet<Host> = domains.filter_map(|domain| read_host(&domain.text("Domain")?)).collect();
    hosts.into_iter().collect()
}

/// Reads a domain of an instance. An invalid domain is left out and logged, so that the instance keeps its other domains. The
/// owner of an instance chooses its domains, and may be another account: a public registry is therefore not accepted.
fn read_host(domain: &str) -> Option<Host> {
    match Host::from_api(domain) {
        Ok(host) if host.is_elsewhere() => {
            tracing::warn!(%host, "the instance names a host that cannot be its own; it is left out");
            None
        }
        Ok(host) => Some(host),
        Err(error) => {
            tracing::warn!(%error, "the instance has a domain that is not a host; it is left out");
            None
        }
    }
}

/// Reads a text as a response of each operation. The first byte determines the status. No message may contain a part of a
/// credential.
///
/// # Panics
/// Panics if a host cannot belong to an instance, or is not in order.
#[cfg(any(test, fuzzing))]
pub fn fuzz_answer(text: &[u8]) {
    let Some((first, body)) = text.split_first() else { return };
    let status =
        [200, 400, 403, 404, 429, 500, 503].into_iter().cycle().nth(usize::from(*first) % 7).unwrap_or(200);
    let answer = super::http::Answer {
        status,
        headers: http::HeaderMap::new(),
        body: zeroize::Zeroizing::new(body.to_vec()),
    };
    let call = super::call::Call::new("GetAuthorizationToken", "cr.example.com".to_owned());
    let Ok(body) = super::answer::read(&call, &answer, Timestamp::UNIX_EPOCH) else { return };
    for instance in [
        Instance::Personal,
        Instance::Enterprise(InstanceId::parse("cri-example").unwrap_or_else(|_| unreachable!())),
    ] {
        let _ = read_credential(body.fields(), &instance, Timestamp::UNIX_EPOCH);
    }
    let hosts = read_hosts(body.fields());
    assert!(hosts.iter().all(|host| !host.is_elsewhere()) && hosts.is_sorted());
}

#[cfg(test)]
mod tests;
