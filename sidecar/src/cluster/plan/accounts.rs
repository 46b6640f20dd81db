//! Plans for the service accounts of one namespace.

use super::{AccountAction, AccountSituation, Plan, Rules, SecretAction, Situation, Version};
use crate::cluster::notice::{About, Notice};
use crate::cluster::observed::{ENFORCE_MOUNTABLE, LONGEST_LIST, ServiceAccount};
use crate::configuration::Attach;
use crate::reason::Reason;

pub(super) fn decide(situation: &Situation<'_>, rules: &Rules<'_>, is_managed: bool, plan: &mut Plan) {
    let attaches = rules.configuration.attach != Attach::Pod;
    let is_ours = situation.pull_secret.is_some_and(|found| found.ours && !found.terminating);
    let will_be_there = match plan.pull_secret {
        SecretAction::Leave => is_ours,
        SecretAction::Create(_) | SecretAction::Update { .. } => true,
        SecretAction::Delete(_) => false,
    };
    for account in &situation.service_accounts {
        let facts = account.facts;
        if facts.is_too_long {
            let should_list =
                is_managed && attaches && rules.configuration.service_accounts.contains(&facts.name);
            if should_list != facts.lists(rules.pull_secret) {
                plan.notices.push(too_long(account, should_list, rules));
            }
            continue;
        }
        let is_selected = is_managed && rules.configuration.service_accounts.contains(&facts.name);
        let lists = facts.lists(rules.pull_secret);
        match (is_selected && attaches, lists) {
            // A reference to a Secret that will not exist would only cause warnings.
            (true, false) if will_be_there => attach(account, rules, plan),
            (false, true) if facts.ours_last || !is_managed && is_ours => {
                write(account, AccountAction::detach(facts, rules.pull_secret), plan);
            }
            _ => {}
        }
        if is_selected && !attaches && !lists && facts.enforces_mountable {
            plan.notices.push(mountable_secrets(account, rules));
        }
    }
}

fn attach(account: &AccountSituation<'_>, rules: &Rules<'_>, plan: &mut Plan) {
    if account.taken_out > 1 {
        plan.notices.push(contested(account, rules));
    }
    write(account, AccountAction::attach(account.facts, rules.pull_secret), plan);
}

fn write(account: &AccountSituation<'_>, action: AccountAction, plan: &mut Plan) {
    if account.hold.is_zero() {
        plan.service_accounts.push(action);
    } else {
        plan.again_in(account.hold);
    }
}

impl AccountAction {
    fn attach(facts: &ServiceAccount, pull_secret: &str) -> Self {
        let pull_secrets = facts.pull_secrets.iter().cloned().chain([pull_secret.into()]).collect();
        Self { name: facts.name.clone(), version: version(facts), pull_secrets, attach: true }
    }

    /// Removes our entry from a list that is known completely.
    pub fn detach(facts: &ServiceAccount, pull_secret: &str) -> Self {
        let others = facts.pull_secrets.iter().filter(|name| ***name != *pull_secret).cloned();
        let pull_secrets = others.collect();
        Self { name: facts.name.clone(), version: version(facts), pull_secrets, attach: false }
    }
}

fn version(facts: &ServiceAccount) -> Version {
    Version { uid: facts.uid.clone(), resource_version: facts.resource_version.clone() }
}

fn too_long(account: &AccountSituation<'_>, should_list: bool, rules: &Rules<'_>) -> Notice {
    let fix = if should_list { "shorten the list, or add" } else { "shorten the list, or remove" };
    Notice {
        about: About::ServiceAccount(account.facts.name.clone()),
        reason: Reason::PullSecretListTooLong,
        message: format!(
            "imagePullSecrets has more than {LONGEST_LIST} entries, so it is left as it is: {fix} {} by hand",
            rules.pull_secret
        ),
    }
}

fn contested(account: &AccountSituation<'_>, rules: &Rules<'_>) -> Notice {
    let by = account.facts.other_manager.as_deref().unwrap_or("an unknown manager");
    Notice {
        about: About::ServiceAccount(account.facts.name.clone()),
        reason: Reason::PullSecretListContested,
        message: format!(
            "{by} keeps removing {} from imagePullSecrets: configure it not to change that list, or set attach to pod",
            rules.pull_secret
        ),
    }
}

fn mountable_secrets(account: &AccountSituation<'_>, rules: &Rules<'_>) -> Notice {
    Notice {
        about: About::ServiceAccount(account.facts.name.clone()),
        reason: Reason::MountableSecretsEnforced,
        message: format!(
            "{ENFORCE_MOUNTABLE} is set and imagePullSecrets lacks {}, so Pods of this account are refused: set attach \
             to both, or add it to the list",
            rules.pull_secret
        ),
    }
}
