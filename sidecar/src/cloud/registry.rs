//! ACR: credentials and hosts of an instance.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::answer::{Body, Context, Fields};
use super::api::{Api, Operation};
use super::endpoints::Base;
use super::error::CloudError;
use super::keys::Session;
use crate::configuration::{Host, Instance, InstanceId, Region};
use crate::credential::Credential;

/// Mints a credential.
pub(super) async fn credential(
    api: &Api,
    base: &Base,
    instance: &Instance,
    session: &Session,
) -> Result<Credential, CloudError> {
    let (operation, body) = match instance {
        Instance::Personal => (PERSONAL_TOKEN, api.signed(base, PERSONAL_TOKEN, &[], session).await?),
        Instance::Enterprise(id) => {
            let parameters = [("InstanceId", id.as_str())];
            (ENTERPRISE_TOKEN, api.signed(base, ENTERPRISE_TOKEN, &parameters, session).await?)
        }
    };
    let credential = read_credential(&operation.context(base), &body, instance, api.clock.wall());
    credential.map_err(|error| error.by(session.origin.principal()))
}

/// All enabled hosts of an instance's registry, public, VPC and custom ones, sorted; none where no endpoint is enabled.
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

/// The hosts of Personal Edition in a region.
pub(crate) fn personal_hosts(region: &Region) -> Vec<Host> {
    Host::of_personal_edition(region)
}

const ENTERPRISE_TOKEN: Operation = Operation::rpc("GetAuthorizationToken", "2018-12-01");
const ENDPOINTS: Operation = Operation::rpc("ListInstanceEndpoint", "2018-12-01");
const PERSONAL_TOKEN: Operation =
    Operation { action: "GetAuthorizationToken", version: "2016-06-07", method: "GET", path: "/tokens" };

/// A credential lives as long as the session it was minted with, 12 hours at most. What lives longer than twice that
/// was not understood.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(24);

fn read_credential(
    context: &Context,
    body: &Body,
    instance: &Instance,
    now: Timestamp,
) -> Result<Credential, CloudError> {
    let missing = |field| context.malformed(format!("the answer has no {field}"));
    let (fields, user, password, expiry) = match instance {
        Instance::Personal => {
            let data = body.fields().object("data").ok_or_else(|| missing("data"))?;
            (data, "tempUserName", "authorizationToken", "expireDate")
        }
        Instance::Enterprise(_) => (body.fields(), "TempUsername", "AuthorizationToken", "ExpireTime"),
    };
    let text = |name| fields.text(name).ok_or_else(|| missing(name));
    let (user, password) = (text(user)?, SecretString::from(text(password)?));
    let milliseconds = fields.integer(expiry).ok_or_else(|| missing(expiry))?;
    let expires_at = Timestamp::from_millisecond(milliseconds).ok();
    let expires_at = expires_at
        .filter(|at| at.duration_since(now) < LONGEST_LIFE)
        .ok_or_else(|| context.malformed(format!("{expiry} is too far in the future")))?;
    Ok(Credential { user, password, expires_at })
}

fn read_hosts(fields: Fields<'_>) -> Vec<Host> {
    let enabled = fields.objects("Endpoints").filter(|endpoint| endpoint.truth("Enable") == Some(true));
    let domains = enabled.flat_map(|endpoint| endpoint.objects("Domains").collect::<Vec<_>>());
    let hosts: BTreeSet<Host> = domains.filter_map(|domain| read_host(&domain.text("Domain")?)).collect();
    hosts.into_iter().collect()
}

/// One odd domain must not cost an instance its other ones, so it is left out, and said so. The owner of an instance chooses
/// its domains, and may be another account: a public registry is none of them.
fn read_host(domain: &str) -> Option<Host> {
    match Host::from_api(domain) {
        Ok(host) if host.is_elsewhere() => {
            tracing::warn!(%host, "the instance names a host that cannot be its own; it is left out");
            None
        }
        Ok(host) => Some(host),
        Err(error) => {
            tracing::warn!(%error, "the instance has a domain that is no host; it is left out");
            None
        }
    }
}

/// Reads an answer as those of every operation are read. No message may hold what a credential is made of.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(status: u16, body: &[u8]) {
    let answer = super::http::Answer {
        status,
        headers: http::HeaderMap::new(),
        body: zeroize::Zeroizing::new(body.to_vec()),
    };
    let context =
        Context { action: "GetAuthorizationToken", host: "cr.example.com".to_owned(), personal: false };
    let Ok(body) = super::answer::read(&context, &answer, Timestamp::UNIX_EPOCH) else { return };
    for instance in [
        Instance::Personal,
        Instance::Enterprise(InstanceId::parse("cri-example").unwrap_or_else(|_| unreachable!())),
    ] {
        let _ = read_credential(&context, &body, &instance, Timestamp::UNIX_EPOCH);
    }
    let hosts = read_hosts(body.fields());
    assert!(hosts.iter().all(|host| !host.is_elsewhere()) && hosts.is_sorted());
}

#[cfg(test)]
mod tests;
