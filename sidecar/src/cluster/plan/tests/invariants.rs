//! What holds in any situation.

use proptest::prelude::*;

use super::*;

const CONFIGURATIONS: [&str; 4] = [
    "watch-namespace: team-*",
    "watch-namespace: team-*\nattach: both",
    "watch-namespace: team-*\nattach: service-account\nservice-account: all",
    "watch-namespace: other\nattach: both",
];

fn any_secret() -> impl Strategy<Value = PullSecret> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.1));
    let texts = (prop::sample::select(vec!["old", "new"]), prop::sample::select(vec!["same", "other"]));
    (flags, texts, prop::option::of(-5_i64..200)).prop_map(
        |((ours, surely_ours, intact, terminating), (hash, inputs), minutes)| PullSecret {
            ours: ours || surely_ours,
            surely_ours,
            intact,
            terminating,
            inputs: inputs.into(),
            ..found(hash, minutes)
        },
    )
}

fn any_account(name: &'static str) -> impl Strategy<Value = ServiceAccount> {
    let entries = prop::collection::vec(prop::sample::select(vec!["", "mine", "other", SECRET]), 0..5);
    (entries, any::<bool>())
        .prop_map(move |(entries, ours_last)| ServiceAccount { ours_last, ..account(name, &entries) })
}

fn any_world() -> impl Strategy<Value = World> {
    let situation = (
        prop::sample::select(CONFIGURATIONS.to_vec()),
        prop::option::of(any_secret()),
        (any_account("builder"), any_account("default")),
        prop::option::of(prop::option::of(1_i64..70)),
    );
    let flags = (any::<bool>(), prop::bool::weighted(0.1), any::<bool>(), any::<bool>(), any::<bool>());
    (situation, flags, 0_u64..2).prop_map(
        |(situation, (adopt, terminating, touched, lost, is_superseded), hold)| {
            let (configuration, pull_secret, (builder, default), minutes) = situation;
            World {
                adopt,
                touched,
                lost,
                is_superseded,
                hold: Duration::from_secs(hold),
                namespace: Namespace { terminating, ..Namespace::default() },
                pull_secret,
                accounts: vec![builder, default],
                content: minutes.map(|minutes| content("new", minutes)),
                ..World::configured(configuration)
            }
        },
    )
}

/// What the cluster is like after the plan.
fn carry_out(mut world: World, plan: &Plan) -> World {
    match &plan.pull_secret {
        SecretAction::Leave => {}
        SecretAction::Create(content) | SecretAction::Update { content, .. } => {
            let DesiredSecret { docker_config, inputs, registries, .. } = &**content;
            world.pull_secret = Some(PullSecret {
                hash: docker_config.hash.as_str().into(),
                expires_at: docker_config.expires_at,
                inputs: inputs.as_str().into(),
                registries: registries.as_str().into(),
                ..found("", None)
            });
            (world.touched, world.lost) = (false, false);
        }
        SecretAction::Delete(_) => world.pull_secret = None,
    }
    for action in &plan.service_accounts {
        let account = world.accounts.iter_mut().find(|account| account.name == action.name).unwrap();
        account.pull_secrets.clone_from(&action.pull_secrets);
        account.ours_last = true;
    }
    world
}

proptest! {
    #[test]
    fn with_the_same_inputs_a_write_lowers_the_expiry_only_in_its_last_moment(world in any_world()) {
        let plan = world.plan();
        if let (SecretAction::Update { content, .. }, Some(found)) = (&plan.pull_secret, &world.pull_secret)
            && found.intact
            && found.ours
            && *found.inputs == *content.inputs
            && !world.is_superseded
            && found.hash != content.docker_config.hash.as_str().into()
        {
            prop_assert!(
                content.docker_config.expires_at >= found.expires_at || found.expires_at <= Some(in_minutes(2))
            );
        }
    }

    #[test]
    fn a_foreign_secret_is_never_written_unasked_and_never_deleted(world in any_world()) {
        let plan = world.plan();
        if world.pull_secret.as_ref().is_some_and(|found| !found.ours) {
            prop_assert!(world.adopt || !plan.pull_secret.is_a_write());
            prop_assert!(!matches!(plan.pull_secret, SecretAction::Delete(_)));
        }
    }

    #[test]
    fn what_bears_one_mark_alone_is_deleted_nowhere(world in any_world()) {
        if world.pull_secret.as_ref().is_some_and(|found| !found.surely_ours) {
            prop_assert!(!matches!(world.plan().pull_secret, SecretAction::Delete(_)));
        }
    }

    #[test]
    fn a_terminating_namespace_is_left_alone(world in any_world()) {
        prop_assert!(!world.namespace.terminating || world.plan().is_idle());
    }

    #[test]
    fn entries_of_others_stay_all_of_them_and_in_order(world in any_world()) {
        let plan = world.plan();
        for action in &plan.service_accounts {
            let before = world.accounts.iter().find(|account| account.name == action.name).unwrap();
            let others = |list: &[Box<str>]| list.iter().filter(|name| &***name != SECRET).cloned().collect::<Vec<_>>();
            prop_assert_eq!(others(&before.pull_secrets), others(&action.pull_secrets));
            let ours = action.pull_secrets.iter().filter(|name| &***name == SECRET).count();
            prop_assert_eq!(ours, usize::from(action.attach));
        }
    }

    #[test]
    fn what_has_been_carried_out_leaves_nothing_to_do(world in any_world()) {
        let plan = world.plan();
        let world = carry_out(world, &plan);
        // A pull secret that was deleted may leave entries behind that are not ours any more; all else is settled.
        let again = world.plan();
        let rest = carry_out(world, &again).plan();
        prop_assert!(rest.is_idle(), "{rest:?}");
    }

    #[test]
    fn nothing_is_written_to_the_pull_secret_while_it_is_on_hold(world in any_world()) {
        prop_assert!(world.hold.is_zero() || !world.plan().pull_secret.is_a_write());
    }
}
