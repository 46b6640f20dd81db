//! What a state must hold to.

use std::collections::BTreeSet;

use crate::policy::system_policy;
use crate::state::{Account, Grant, Metadata, State};

/// Everything that is wrong, each with its place and a way out.
pub(super) fn mistakes(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    check_region(&mut found, "region", &state.region);
    for region in &state.more_regions {
        check_region(&mut found, "moreRegions", region);
    }
    check_positive(&mut found, "credentialSeconds", state.credential_seconds);
    if state.accounts.is_empty() {
        found.push("accounts: there is none: add one, such as \"1000000000000001\": {}".into());
    }
    let mut keys = BTreeSet::new();
    let mut instances = BTreeSet::new();
    for (number, account) in &state.accounts {
        let place = format!("accounts.{number}");
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            found.push(format!("{place}: an account is named by its number: use digits only"));
        }
        check_account(&mut found, &place, account);
        let users = account.users.values().flat_map(|user| user.access_keys.keys());
        for id in account.access_keys.keys().chain(users) {
            if !keys.insert(id) {
                found.push(format!("{place}: the access key {id} is there twice: give each its own id"));
            }
        }
        for id in account.instances.keys() {
            if !instances.insert(id) {
                found.push(format!("{place}: the instance {id} is there twice: give each its own id"));
            }
        }
    }
    if let Some(metadata) = &state.metadata {
        check_metadata(&mut found, state, metadata);
    }
    found
}

fn check_account(found: &mut Vec<String>, place: &str, account: &Account) {
    let of_users = account.users.iter().map(|(name, user)| (format!("users.{name}"), &user.policies));
    let of_roles = account.roles.iter().map(|(name, role)| (format!("roles.{name}"), &role.policies));
    for (owner, policies) in of_users.chain(of_roles) {
        for grant in policies {
            if let Grant::System(name) = grant
                && system_policy(name).is_none()
            {
                found.push(format!(
                    "{place}.{owner}.policies: {name} is not known here: write the policy document out"
                ));
            }
        }
    }
    for (name, role) in &account.roles {
        if !(3600..=43200).contains(&role.max_session_seconds) {
            found.push(format!("{place}.roles.{name}.maxSessionSeconds: must be 3600 to 43200"));
        }
        for statement in &role.trust.statement {
            let principal = &statement.principal;
            for arn in principal.ram.as_slice().iter().chain(principal.federated.as_slice()) {
                if !arn.starts_with("acs:ram::") {
                    found.push(format!(
                        "{place}.roles.{name}.trust: {arn} is no ARN: write acs:ram::ACCOUNT:…"
                    ));
                }
            }
        }
    }
    for (name, provider) in &account.oidc_providers {
        let place = format!("{place}.oidcProviders.{name}");
        if !provider.issuer.starts_with("https://") {
            found.push(format!("{place}.issuer: must begin with https://"));
        }
        for key in &provider.keys {
            if let Err(error) = key.components() {
                found.push(format!("{place}.keys: {error}"));
            }
        }
    }
    for (id, instance) in &account.instances {
        let place = format!("{place}.instances.{id}");
        if !id.starts_with("cri-") {
            found.push(format!("{place}: an instance's id begins with cri-"));
        }
        if instance.name.is_empty() {
            found.push(format!("{place}.name: must not be empty"));
        }
        check_region(found, &format!("{place}.region"), &instance.region);
    }
    for region in &account.personal {
        check_region(found, &format!("{place}.personal"), region);
    }
}

fn check_metadata(found: &mut Vec<String>, state: &State, metadata: &Metadata) {
    check_region(found, "metadata.region", &metadata.region);
    check_positive(found, "metadata.sessionSeconds", metadata.session_seconds);
    let Some(account) = state.accounts.get(&metadata.account) else {
        found.push("metadata.account: name one of the accounts".into());
        return;
    };
    if let Some(role) = &metadata.role
        && !account.roles.contains_key(role)
    {
        found.push(format!("metadata.role: the account has no role {role}: add it to its roles"));
    }
}

fn check_region(found: &mut Vec<String>, place: &str, region: &str) {
    let well_formed = region.contains('-')
        && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !well_formed {
        found.push(format!("{place}: {region:?} is no region: write one such as cn-hangzhou"));
    }
}

fn check_positive(found: &mut Vec<String>, place: &str, seconds: i64) {
    if !(1..=43200).contains(&seconds) {
        found.push(format!("{place}: must be 1 to 43200 seconds"));
    }
}
