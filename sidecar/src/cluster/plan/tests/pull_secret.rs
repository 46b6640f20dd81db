//! The pull secret in every situation.

use super::*;

#[test]
fn a_managed_namespace_gets_the_pull_secret() {
    World::new().check("create");
    World { content: None, ..World::new() }.check("leave");
    World { content: Some(content("new", None)), ..World::new() }.check("leave");
    World { namespace: Namespace { terminating: true, ..Namespace::default() }, ..World::new() }
        .check("leave");
    World::configured("watch-namespace: team-*\nexclude-namespace: team-a*").check("leave");
}

#[test]
fn labels_narrow_what_is_managed() {
    let labelled = |is_left_out| World {
        namespace: Namespace { is_left_out, terminating: false },
        ..World::configured("watch-namespace: all\nwatch-namespace-selector: team=a")
    };
    labelled(false).check("create");
    labelled(true).check("leave");
}

#[test]
fn nothing_is_written_when_all_is_right() {
    World { pull_secret: Some(found("new", Some(60))), ..World::new() }.check("leave");
}

#[test]
fn newer_credentials_are_written_when_the_namespaces_turn_comes() {
    World::with_secret(20).check("renewed");
    let turn = slot("team-a", 8 * MINUTE).as_secs();
    assert!(turn > 0, "the name of the namespace fits the test");
    let waiting = World { spread: 8 * MINUTE, ..World::with_secret(20) };
    waiting.check(&format!("leave, again in {turn} s"));
    assert!(waiting.plan().waits_for_turn);
    World { spread: 8 * MINUTE, waited: 8 * MINUTE, ..World::with_secret(20) }.check("renewed");
    World { spread: 8000 * MINUTE, ..World::with_secret(4) }.check("leave, again in 120 s");
    World { spread: 8 * MINUTE, ..World::with_secret(-1) }.check("renewed");
}

#[test]
fn what_the_user_changed_does_not_wait_for_a_turn() {
    let mut world = World { spread: 8 * MINUTE, ..World::with_secret(20) };
    world.content.as_mut().unwrap().inputs = "other".to_owned();
    world.check("changed");
}

#[test]
fn with_the_same_inputs_the_expiry_never_gets_lower() {
    // A replica with newer credentials has written it; this one does not know that yet.
    World::with_secret(61).check("leave, again in 300 s");
    World::with_secret(60).check("renewed");
    let mut world = World::with_secret(61);
    world.content.as_mut().unwrap().inputs = "other".to_owned();
    world.check("changed");
    let mut world = World::with_secret(61);
    world.content = Some(content("short", Some(1)));
    world.pull_secret = Some(found("old", Some(2)));
    world.check("renewed");
}

#[test]
fn what_a_restarted_process_has_not_in_hand_yet_is_not_taken_away() {
    let mut world = World::with_secret(10);
    world.pull_secret.as_mut().unwrap().registries = "cn-a/one,cn-a/two".into();
    world.content.as_mut().unwrap().awaited = vec!["cn-a/two".to_owned()];
    world.check("leave, again in 300 s");
    world.pull_secret.as_mut().unwrap().expires_at = Some(in_minutes(2));
    world.check("changed");
    let mut world = World::with_secret(10);
    world.content.as_mut().unwrap().awaited = vec!["cn-a/two".to_owned()];
    world.check("renewed");
}

#[test]
fn an_expired_registry_is_taken_out_and_the_pull_secret_stays() {
    World { content: Some(content("empty", None)), ..World::with_secret(0) }.check("changed");
    World { content: Some(content("empty", None)), ..World::with_secret(10) }.check("leave, again in 300 s");
}

#[test]
fn it_pays_to_wait_a_little_for_the_other_first_answers() {
    let mut world = World { settling: true, ..World::new() };
    world.check("create");
    world.content.as_mut().unwrap().pending = true;
    world.check("leave");
    world.settling = false;
    world.check("create");
}

#[test]
fn tampering_is_repaired_and_said_and_repairs_have_their_pauses() {
    let tampered = || {
        let mut secret = found("new", Some(60));
        secret.intact = false;
        secret.other_manager = Some("kubectl".into());
        World { pull_secret: Some(secret), ..World::new() }
    };
    tampered().check("repaired, say PullSecretRepaired");
    World { hold: 4 * MINUTE, ..tampered() }.check("leave, again in 240 s");
    let nothing = DesiredSecret { awaited: vec!["cn-a/one".to_owned()], ..content("empty", None) };
    World { content: Some(nothing), ..tampered() }.check("leave");
    let message = tampered().plan().when_written.unwrap().message;
    assert!(message.starts_with("kubectl changed this Secret"), "{message}");
}

#[test]
fn a_change_that_hides_behind_our_name_is_undone() {
    World { touched: true, pull_secret: Some(found("new", Some(60))), ..World::new() }.check("repaired");
}

#[test]
fn a_deleted_pull_secret_is_written_again() {
    World { lost: true, ..World::new() }.check("create, say PullSecretRepaired");
    World { lost: true, hold: MINUTE, ..World::new() }.check("leave, again in 60 s");
}

#[test]
fn a_foreign_secret_is_left_alone_and_said_unless_it_is_to_be_adopted() {
    let foreign = || {
        let mut secret = found("", None);
        secret.ours = false;
        secret.intact = false;
        secret.other_manager = Some("aliyun-acr-credential-helper".into());
        World { pull_secret: Some(secret), ..World::new() }
    };
    foreign().check("leave, say ForeignPullSecret");
    World { adopt: true, ..foreign() }.check("adopted, say PullSecretAdopted");
    World { adopt: true, content: Some(content("empty", None)), ..foreign() }.check("leave");
    World { adopt: true, pull_secret: foreign().pull_secret, ..World::configured("watch-namespace: other") }
        .check("leave");
}

#[test]
fn a_deselected_namespace_keeps_the_pull_secret_until_it_expires() {
    let deselected =
        |secret| World { pull_secret: Some(secret), ..World::configured("watch-namespace: other") };
    deselected(found("old", Some(3))).check("leave, again in 180 s");
    deselected(found("old", Some(30))).check("leave, again in 300 s");
    deselected(found("old", Some(0))).check("delete");
    deselected(found("old", None)).check("delete");
    let mut invented = found("old", Some(60 * 24 * 365));
    deselected(invented.clone()).check("delete");
    invented.ours = false;
    deselected(invented).check("leave");
}

#[test]
fn one_mark_of_ours_is_not_enough_to_delete_where_nothing_is_managed() {
    let mut one_mark = found("old", Some(0));
    one_mark.surely_ours = false;
    World { pull_secret: Some(one_mark.clone()), ..World::configured("watch-namespace: other") }
        .check("leave, say ForeignPullSecret");
    one_mark.intact = false;
    World { pull_secret: Some(one_mark), ..World::new() }.check("repaired, say PullSecretRepaired");
}

#[test]
fn what_nobody_knows_and_lasts_too_long_goes_with_the_next_mint_and_never_before() {
    // It may be of a replica whose state was lost, so it is not given up for what is older.
    World { spread: 8 * MINUTE, ..World::with_secret(600) }.check("leave, again in 300 s");
    let superseded = World { is_superseded: true, spread: 8 * MINUTE, ..World::with_secret(600) };
    superseded.check("renewed");
    let mut world = World { is_superseded: true, ..World::with_secret(600) };
    world.content.as_mut().unwrap().awaited = vec!["cn-a/one".to_owned()];
    world.check("leave, again in 300 s");
}

#[test]
fn a_secret_that_waits_for_a_finalizer_is_left_alone() {
    let mut secret = found("old", Some(10));
    secret.terminating = true;
    World { pull_secret: Some(secret.clone()), ..World::new() }.check("leave");
    World { pull_secret: Some(secret), ..World::configured("watch-namespace: other") }.check("leave");
}

#[test]
fn the_notice_names_who_and_what_to_do() {
    let mut secret = found("", None);
    secret.ours = false;
    let plan = World { pull_secret: Some(secret), ..World::new() }.plan();
    assert_eq!(plan.notices[0].reason, Reason::ForeignPullSecret);
    assert_eq!(
        plan.notices[0].message,
        "an unknown manager created this Secret, so it is left alone and this namespace gets no credentials: delete it, or run with \
         --adopt to take over every Secret with this name"
    );
}
