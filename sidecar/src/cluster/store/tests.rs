//! Events in the orders in which they can come.

use super::*;

const SECRET: &str = "acr-pull";

fn secret(uid: &str, version: &str) -> PullSecret {
    PullSecret {
        uid: uid.into(),
        resource_version: version.into(),
        ours: true,
        surely_ours: true,
        intact: true,
        other_manager: None,
        terminating: false,
        hash: "".into(),
        inputs: "".into(),
        registries: "".into(),
        expires_at: None,
    }
}

fn account(version: &str, pull_secrets: &[&str], ours_last: bool) -> ServiceAccount {
    ServiceAccount {
        name: "default".into(),
        uid: "u".into(),
        resource_version: version.into(),
        pull_secrets: pull_secrets.iter().map(|&name| name.into()).collect(),
        is_too_long: false,
        enforces_mountable: false,
        ours_last,
        other_manager: None,
    }
}

fn store() -> Store {
    let mut store = Store::default();
    assert!(store.see_namespace("a", Namespace::default()).is_some());
    store
}

fn version(store: &Store) -> Option<&str> {
    store.get("a")?.pull_secret.as_ref().map(|found| &*found.facts.resource_version)
}

#[test]
fn only_news_is_news() {
    let mut store = store();
    assert_eq!(store.see_namespace("a", Namespace::default()), None);
    assert!(store.see_namespace("a", Namespace { terminating: true, ..Namespace::default() }).is_some());
    assert!(store.see_secret("a", secret("u", "7"), Instant::now()).is_some());
    assert_eq!(store.see_secret("a", secret("u", "7"), Instant::now()), None);
    assert_eq!(store.see_secret("a", secret("u", "6"), Instant::now()), None, "older than what is known");
    assert!(store.see_secret("a", secret("v", "6"), Instant::now()).is_some(), "another object");
}

#[test]
fn the_answer_to_our_write_and_its_event_come_in_any_order() {
    let mut store = store();
    store.wrote_secret("a", secret("u", "7"));
    assert_eq!(store.see_secret("a", secret("u", "7"), Instant::now()), None);
    assert!(!store.get("a").unwrap().pull_secret.as_ref().unwrap().is_touched());
    store.see_secret("a", secret("u", "9"), Instant::now());
    store.wrote_secret("a", secret("u", "8"));
    assert_eq!(version(&store), Some("9"), "somebody wrote after us, and the watch was faster");
    assert!(store.get("a").unwrap().pull_secret.as_ref().unwrap().is_touched());
    store.wrote_secret("a", secret("u", "10"));
    assert!(!store.get("a").unwrap().pull_secret.as_ref().unwrap().is_touched());
}

#[test]
fn a_pull_secret_that_is_deleted_before_the_answer_to_our_write_comes_is_lost() {
    let mut created = store();
    created.see_secret("a", secret("u", "7"), Instant::now());
    assert!(created.lose_secret("a", "u", Instant::now()).is_some());
    created.wrote_secret("a", secret("u", "7"));
    let mut unseen = store();
    assert_eq!(unseen.lose_secret("a", "u", Instant::now()), None);
    unseen.wrote_secret("a", secret("u", "7"));
    for store in [&created, &unseen] {
        let entry = store.get("a").unwrap();
        assert!(entry.pull_secret.is_none() && entry.lost);
    }
    created.wrote_secret("a", secret("v", "9"));
    assert_eq!(version(&created), Some("9"));
    assert!(!created.get("a").unwrap().lost);
}

#[test]
fn what_this_process_never_wrote_is_not_known_to_be_touched() {
    let mut store = store();
    store.see_secret("a", secret("u", "7"), Instant::now());
    store.see_secret("a", secret("u", "8"), Instant::now());
    assert!(!store.get("a").unwrap().pull_secret.as_ref().unwrap().is_touched());
}

#[test]
fn a_pull_secret_that_others_delete_is_lost_and_one_that_we_delete_is_not() {
    let mut store = store();
    store.wrote_secret("a", secret("u", "7"));
    assert_eq!(store.lose_secret("a", "an older one", Instant::now()), None);
    assert!(store.lose_secret("a", "u", Instant::now()).is_some());
    assert!(store.get("a").unwrap().lost);
    store.wrote_secret("a", secret("v", "9"));
    assert!(!store.get("a").unwrap().lost);
    store.deleted_secret("a", "v");
    assert_eq!(store.lose_secret("a", "v", Instant::now()), None);
    assert!(!store.get("a").unwrap().lost);
}

#[test]
fn a_secret_that_was_made_between_our_deletion_and_its_answer_is_known() {
    let mut store = store();
    store.wrote_secret("a", secret("u", "7"));
    store.see_secret("a", secret("v", "9"), Instant::now());
    store.deleted_secret("a", "u");
    assert_eq!(version(&store), Some("9"));
}

#[test]
fn a_namespace_that_ends_takes_its_pull_secret_along() {
    let mut store = store();
    store.wrote_secret("a", secret("u", "7"));
    store.see_namespace("a", Namespace { terminating: true, ..Namespace::default() });
    store.lose_secret("a", "u", Instant::now());
    assert!(!store.get("a").unwrap().lost);
    store.lose_namespace("a");
    assert!(store.get("a").is_none(), "nothing of it is kept");
}

#[test]
fn what_a_new_list_does_not_show_is_gone() {
    let mut store = store();
    store.see_namespace("b", Namespace::default());
    store.wrote_secret("b", secret("u", "7"));
    store.see_account("b", account("7", &[], false), SECRET, Instant::now());
    for kind in [Kind::Namespace, Kind::PullSecret, Kind::ServiceAccount] {
        store.list_begins(kind);
    }
    store.see_namespace("a", Namespace::default());
    store.see_secret("b", secret("u", "7"), Instant::now());
    assert_eq!(store.list_ends(Kind::PullSecret), []);
    assert_eq!(store.list_ends(Kind::Namespace), [Arc::from("b")]);
    assert_eq!(store.list_ends(Kind::ServiceAccount), []);
    assert!(store.get("b").unwrap().accounts().is_empty());
    store.list_begins(Kind::PullSecret);
    assert_eq!(store.list_ends(Kind::PullSecret), [Arc::from("b")]);
    assert!(store.get("b").is_none() && store.get("a").is_some());
}

#[test]
fn who_takes_our_entry_out_is_counted_and_who_never_had_it_is_not() {
    let (mut store, now) = (store(), Instant::now());
    let mut see = |version, list: &[&str], ours_last| {
        store.see_account("a", account(version, list, ours_last), SECRET, now);
        store.get("a").unwrap().accounts()[0].backoff.count()
    };
    assert_eq!(see("1", &["mine"], false), 0);
    assert_eq!(see("2", &["mine", SECRET], true), 0);
    assert_eq!(see("3", &["mine"], false), 1);
    assert_eq!(see("4", &["mine", SECRET], false), 1, "its own");
    assert_eq!(see("5", &["mine"], false), 1);
}

#[test]
fn accounts_are_kept_in_order_and_found_by_name() {
    let (mut store, now) = (store(), Instant::now());
    for name in ["c", "a", "b"] {
        store.see_account("a", ServiceAccount { name: name.into(), ..account("1", &[], false) }, SECRET, now);
    }
    let names: Vec<_> =
        store.get("a").unwrap().accounts().iter().map(|one| one.facts.name.to_string()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    store.wrote_account("a", ServiceAccount { name: "b".into(), ..account("3", &[SECRET], true) });
    store.lose_account("a", "a");
    let entry = store.get_mut("a").unwrap();
    assert_eq!(&*entry.account_mut("b").unwrap().facts.resource_version, "3");
    assert!(entry.account_mut("a").is_none());
}

#[test]
fn a_block_is_lifted_by_the_next_version() {
    let (mut store, now) = (store(), Instant::now());
    store.see_secret("a", secret("u", "7"), Instant::now());
    store.get_mut("a").unwrap().backoff.block(now);
    store.see_secret("a", secret("u", "7"), Instant::now());
    assert!(!store.get("a").unwrap().backoff.hold(now).is_zero());
    store.see_secret("a", secret("u", "8"), Instant::now());
    assert!(store.get("a").unwrap().backoff.hold(now).is_zero());
}
