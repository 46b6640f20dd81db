//! Service accounts in every situation.

use super::*;

const BOTH: &str = "watch-namespace: team-*\nattach: both\nservice-account: default, builder-*";
const OTHER: &str = "watch-namespace: other\nattach: both";

fn world(text: &str, accounts: &[ServiceAccount]) -> World {
    World {
        accounts: accounts.to_vec(),
        pull_secret: Some(found("new", Some(60))),
        ..World::configured(text)
    }
}

/// A list that we wrote last.
fn attached(name: &str, pull_secrets: &[&str]) -> ServiceAccount {
    ServiceAccount { ours_last: true, ..account(name, pull_secrets) }
}

#[test]
fn selected_accounts_get_our_entry_behind_all_others() {
    let accounts =
        [account("builder-1", &["mine", "", "mine"]), account("default", &[]), account("other", &[])];
    world(BOTH, &accounts).check("leave, attach builder-1 [mine  mine acr-pull], attach default [acr-pull]");
    world("watch-namespace: team-*", &accounts).check("leave");
}

#[test]
fn an_entry_that_is_there_is_left_where_it_is() {
    world(BOTH, &[account("default", &["acr-pull", "mine"])]).check("leave");
    world(BOTH, &[attached("default", &["acr-pull", "acr-pull"])]).check("leave");
}

#[test]
fn no_entry_refers_to_a_pull_secret_that_does_not_come() {
    let accounts = [account("default", &[])];
    World { pull_secret: None, ..world(BOTH, &accounts) }.check("create, attach default [acr-pull]");
    World { pull_secret: None, content: None, ..world(BOTH, &accounts) }.check("leave");
    let mut foreign = found("", None);
    foreign.ours = false;
    World { pull_secret: Some(foreign), ..world(BOTH, &accounts) }.check("leave, say ForeignPullSecret");
}

#[test]
fn a_deselected_namespace_loses_our_entries_at_once_and_no_others() {
    let accounts = [attached("builder-1", &["mine", "acr-pull", ""]), account("default", &["acr-pull"])];
    world(OTHER, &accounts).check("leave, detach builder-1 [mine ], detach default [], again in 300 s");
    // Never managed: what stands there, somebody else has written.
    World { pull_secret: None, ..world(OTHER, &[account("default", &["acr-pull"])]) }.check("leave");
}

#[test]
fn a_deselected_account_loses_our_entry_but_not_one_of_its_own() {
    world(BOTH, &[attached("other", &["acr-pull"]), account("third", &["acr-pull"])])
        .check("leave, detach other []");
}

#[test]
fn the_mode_pod_takes_our_entries_back() {
    world("watch-namespace: team-*\nattach: pod", &[attached("default", &["acr-pull"])])
        .check("leave, detach default []");
}

#[test]
fn who_keeps_taking_our_entry_out_is_named_and_given_pauses() {
    let mut contested = account("default", &["mine"]);
    contested.other_manager = Some("argocd-controller".into());
    let once = World { taken_out: 1, ..world(BOTH, &[contested.clone()]) };
    once.check("leave, attach default [mine acr-pull]");
    let twice = World { taken_out: 2, account_hold: MINUTE, ..world(BOTH, &[contested]) };
    twice.check("leave, say PullSecretListContested, again in 60 s");
    assert_eq!(
        twice.plan().notices[0].message,
        "argocd-controller keeps removing acr-pull from imagePullSecrets: configure it not to change that list, or set attach to pod"
    );
}

#[test]
fn accounts_that_enforce_mountable_secrets_are_explained_in_the_mode_pod() {
    let locked = ServiceAccount { enforces_mountable: true, ..account("default", &[]) };
    world("watch-namespace: team-*", std::slice::from_ref(&locked))
        .check("leave, say MountableSecretsEnforced");
    world(BOTH, &[locked]).check("leave, attach default [acr-pull]");
}

#[test]
fn a_list_that_is_too_long_is_left_as_it_is_and_named() {
    let check = |name: &str, pull_secrets: &[&str], expected: Option<&str>| {
        let account = ServiceAccount { is_too_long: true, ours_last: true, ..account(name, pull_secrets) };
        let plan = world(BOTH, &[account]).plan();
        assert!(plan.service_accounts.is_empty());
        let notices: Vec<_> = plan.notices.iter().map(|notice| notice.message.as_str()).collect();
        assert_eq!(notices.first().map(|text| text.rsplit_once(": ").unwrap().1), expected);
    };
    check("default", &[], Some("shorten the list, or add acr-pull by hand"));
    check("default", &["acr-pull"], None);
    check("other", &["acr-pull"], Some("shorten the list, or remove acr-pull by hand"));
    check("other", &[], None);
}
