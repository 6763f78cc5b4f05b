//! The real engine over the in-process cluster and a store in memory.

use std::time::Duration;

use futures_util::future::join_all;
use kafka_protocol::messages::ApiKey;
use kastellan::credential::{Ask, Phase, Seen};
use kastellan::engine::Finished;
use kastellan::names::{AclRule, BrokerId, Generation, Mechanism, NamespacedName, Principal, UserName};
use kastellan::plan::{Asked, Options};
use kastellan::store::StoreReader as _;
use proptest::prelude::*;

use super::support::broker::{Change, Fault, FaultKind, Settings, credential_of};
use super::support::world::{World, user, user_with};

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn users(count: usize) -> String {
    (0..count).map(|index| user(&format!("user-{index}"))).collect()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_first_apply_works_in_waves_and_a_second_one_writes_nothing() {
    run(async {
        let world = World::start().await;
        let documents = users(300);
        let executed = world.apply(&documents, &Options::default()).await;
        assert!(executed.users.values().all(|ended| *ended == Finished::Done), "{:?}", executed.users);
        let tally = world.store.tally();
        assert_eq!((tally.record_writes, tally.material_writes, tally.credential_writes), (600, 300, 300));
        assert_eq!(world.cluster.requests(ApiKey::AlterUserScramCredentials), 1, "one batch for all users");
        assert!(world.cluster.requests(ApiKey::CreateAcls) <= 3);
        assert_eq!(world.cluster.failed_authentications(), 0);

        let (first, items) = (world.store.tally(), world.cluster.items_written());
        let planned = world.plan(&documents, &Options::default()).await;
        assert_eq!((planned.plan.in_step, planned.plan.users.len()), (300, 0));
        planned.execute(&Options::default()).await;
        let second = world.store.tally();
        assert_eq!((second.writes(), world.cluster.items_written()), (first.writes(), items));
        assert_eq!(second.secret_reads, first.secret_reads, "at rest no secret is read");
        assert_eq!(world.cluster.failed_authentications(), 0);
    });
}

#[test]
fn a_lost_answer_is_repeated_under_a_permit_of_its_own() {
    run(async {
        let world = World::start().await;
        world.cluster.inject(Fault::once(ApiKey::AlterUserScramCredentials, FaultKind::CloseAfter));
        let executed = world.apply(&users(3), &Options::default()).await;
        assert!(executed.users.values().all(|ended| *ended == Finished::Done), "{:?}", executed.users);
        assert_eq!(executed.effects["upsert"], 6, "sent twice, because nobody knows what became of the first");
        assert_eq!(world.cluster.failed_authentications(), 0);
    });
}

#[test]
fn a_refusal_that_will_not_pass_fails_and_the_record_says_where_it_stands() {
    run(async {
        let world = World::start().await;
        // CLUSTER_AUTHORIZATION_FAILED: only a person can mend that.
        world.cluster.inject(Fault::once(ApiKey::AlterUserScramCredentials, FaultKind::Refuse(31)));
        let executed = world.apply(&users(1), &Options::default()).await;
        let ended = executed.users.values().next().unwrap();
        let Finished::Failed(failed) = ended else { panic!("{ended:?}") };
        assert!(failed.why.contains("Alter"), "the missing right is named: {}", failed.why);
        let records = world.store.list_records().await.unwrap();
        assert_eq!(records[0].1.as_ref().unwrap().value.phase, Phase::Prepared);
        let again = world.apply(&users(1), &Options::default()).await;
        assert_eq!(again.users.values().next(), Some(&Finished::Done));
        assert_eq!(world.store.tally().material_writes, 1, "the same generation, no second password");
    });
}

#[test]
fn a_broker_that_lags_is_waited_for_and_never_sees_a_failed_login() {
    run(async {
        let lag = Duration::from_millis(700);
        let settings = Settings {
            brokers: 3,
            apply_lag: [(kastellan::names::BrokerId(2), lag)].into(),
            publish_lag: Duration::from_millis(30),
            ..Settings::default()
        };
        let world = World::with(settings).await;
        let executed = world.apply(&users(20), &Options::default()).await;
        assert!(executed.users.values().all(|ended| *ended == Finished::Done), "{:?}", executed.users);
        assert_eq!(world.cluster.failed_authentications(), 0);
    });
}

/// One that starts takes logins before it knows what was written meanwhile.
#[test]
fn nothing_is_published_while_any_broker_knows_of_one_that_does_not_run() {
    run(async {
        let world = World::with(Settings { brokers: 3, ..Settings::default() }).await;
        let documents = user("payments").replace("spec:\n", "spec:\n  rotation: {strategy: mechanism-flip}\n");
        let payments: NamespacedName = "demo/payments".parse().unwrap();
        let asked = Asked { what: Ask::Rotate, users: [payments.clone()].into() };
        let rotate = Options { asked: Some(asked), max_deletes: 20, ..Options::default() };
        let users = std::slice::from_ref(&payments);
        let record = async || world.store.read_records(users).await.pop().unwrap().unwrap().unwrap().value;
        world.apply(&documents, &Options::default()).await;
        for knowing in [1, 2] {
            world.cluster.fence(BrokerId(3), [BrokerId(knowing)]);
            world.apply(&documents, &rotate).await;
            let record = record().await;
            assert_eq!((record.phase, record.generation), (Phase::Prepared, Generation(1)), "broker {knowing} knows");
        }
        world.cluster.fence(BrokerId(3), []);
        world.apply(&documents, &Options::default()).await;
        assert_eq!(record().await.phase, Phase::Published);
    });
}

/// A process sends a credential and is gone. The next one sees it in Describe before brokers accept it.
#[test]
fn what_another_process_has_just_sent_is_looked_at_once_brokers_have_applied_it() {
    run(async {
        let lag = Duration::from_millis(400);
        // Whatever else the brokers are applying.
        let pauses = (0..8).map(|step| lag * step / 4);
        join_all(pauses.map(|pause| async move {
            let world = World::with(Settings { brokers: 3, publish_lag: lag, ..Settings::default() }).await;
            let options = Options::default();
            let planned = world.plan(&users(2), &options).await;
            let is_sent = async {
                while world.cluster.state().credentials.is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                tokio::time::sleep(pause).await;
            };
            tokio::select! {
                _ = planned.execute(&options) => {}
                () = is_sent => {}
            }
            let executed = world.apply(&users(2), &options).await;
            assert!(executed.users.values().all(|ended| *ended == Finished::Done), "{:?}", executed.users);
            assert_eq!(world.cluster.failed_authentications(), 0, "after {pause:?}");
        }))
        .await;
    });
}

#[test]
fn what_one_broker_has_lost_is_written_again_without_a_failed_login() {
    run(async {
        let world = World::start().await;
        world.apply(&users(2), &Options::default()).await;
        let (broker, mechanism) = (kastellan::names::BrokerId(2), Mechanism::ScramSha512);
        world.cluster.forget(broker, &name("user-1"), mechanism);
        let executed = world.apply(&users(2), &Options::default()).await;
        assert_eq!(executed.users.values().collect::<Vec<_>>(), [&Finished::Done], "{:?}", executed.users);
        let stored = world.cluster.state().credentials[&(name("user-1"), mechanism)].clone();
        assert!(world.cluster.logs_in(broker, &name("user-1"), mechanism, &stored));
        assert_eq!(world.cluster.failed_authentications(), 0);
        assert!(world.plan(&users(2), &Options::default()).await.plan.is_empty());
    });
}

#[test]
fn a_credential_that_appears_between_plan_and_apply_blocks_its_user_alone() {
    run(async {
        let world = World::start().await;
        let planned = world.plan(&users(3), &Options::default()).await;
        let stranger = credential_of("stranger");
        world.cluster.change(Change::Credential(name("user-1"), Mechanism::ScramSha256, Some(stranger.clone())));
        let executed = planned.execute(&Options::default()).await;
        let ended = executed.users.values().map(|ended| matches!(ended, Finished::Done)).collect::<Vec<_>>();
        assert_eq!(ended, [true, false, true]);
        let credentials = world.cluster.state().credentials;
        assert_eq!(credentials.get(&(name("user-1"), Mechanism::ScramSha256)), Some(&stranger));
        assert!(!credentials.contains_key(&(name("user-1"), Mechanism::ScramSha512)), "nothing was sent to its slots");
        let granted =
            world.cluster.state().acls.into_iter().any(|(principal, _)| principal.user() == Some(name("user-1")));
        assert!(!granted, "a stranger of this name gains nothing");
        assert_eq!(world.cluster.failed_authentications(), 0);
    });
}

#[test]
fn drift_is_healed_without_a_new_generation() {
    run(async {
        let world = World::start().await;
        let documents = users(2);
        world.apply(&documents, &Options::default()).await;
        let before = world.cluster.state();
        let (principal, rule) = before
            .acls
            .iter()
            .find(|(principal, _)| *principal == Principal::of_user(&name("user-0")))
            .cloned()
            .unwrap();
        world.cluster.change(Change::RemoveAcl(principal.clone(), rule.clone()));
        world.cluster.change(Change::AddAcl(principal, AclRule { resource_name: "surplus".into(), ..rule }));
        world.cluster.change(Change::Credential(name("user-1"), Mechanism::ScramSha512, Some(credential_of("other"))));
        world.cluster.change(Change::Quota(name("user-0"), "producer_byte_rate".into(), Some(1.0)));
        let executed = world.apply(&documents, &Options::default()).await;
        assert!(executed.users.values().all(|ended| *ended == Finished::Done), "{:?}", executed.users);
        let mut after = world.cluster.state();
        // The documents say nothing of quotas, so one that somebody set is not ours to remove.
        assert_eq!(after.quotas.remove(&name("user-0")).map(|quotas| quotas.len()), Some(1));
        assert_eq!(after, before);
        assert_eq!(world.store.tally().material_writes, 2);
    });
}

#[test]
fn deletion_takes_everything_and_undo_brings_it_back_as_the_next_generation() {
    run(async {
        let world = World::start().await;
        let options = Options { prune: true, max_deletes: 100, allow_empty: true, ..Options::default() };
        let empty = world.cluster.state();
        world.apply(&users(2), &options).await;
        let executed = world.apply("", &options).await;
        assert!(executed.users.values().all(|ended| *ended == Finished::Done), "{:?}", executed.users);
        assert_eq!(world.cluster.state(), empty, "nothing is orphaned");
        world.apply(&users(2), &options).await;
        for (user, record) in world.store.list_records().await.unwrap() {
            let record = record.unwrap().value;
            assert_eq!((record.phase, record.generation.0), (Phase::Idle, 3), "{user}");
        }
        assert_eq!(world.cluster.failed_authentications(), 0);
    });
}

#[test]
fn limits_refuse_the_whole_pass() {
    run(async {
        let world = World::start().await;
        world.apply(&users(4), &Options::default()).await;
        let pruning = Options { prune: true, max_deletes: 5, ..Options::default() };
        let refused = world.plan(&users(1), &pruning).await.plan;
        assert_eq!(refused.refusals.len(), 1, "three users with an ACL each are six deletes: {:?}", refused.refusals);
        let emptied = world.plan("", &Options { max_deletes: 100, ..pruning }).await.plan;
        assert_eq!(emptied.refusals.len(), 1, "{:?}", emptied.refusals);
        let listed = world.plan(&users(1), &Options::default()).await.plan;
        assert!(listed.users.is_empty() && listed.refusals.is_empty(), "without --prune they are only listed");
        assert_eq!(listed.reports.len(), 3);
    });
}

#[test]
fn a_name_that_exists_is_blocked_until_it_is_adopted() {
    run(async {
        let world = World::start().await;
        world.cluster.change(Change::Credential(name("user-0"), Mechanism::ScramSha512, Some(credential_of("theirs"))));
        let options = Options::default();
        let blocked = world.plan(&users(1), &options).await;
        assert!(blocked.plan.users.is_empty() && blocked.plan.is_held_up());
        let adopted = world.plan_adopting(&users(1), &options, &["demo/user-0"]).await;
        let executed = adopted.execute(&options).await;
        assert_eq!(executed.users.values().next(), Some(&Finished::Done));
        let credentials = world.cluster.state().credentials;
        assert_eq!(credentials[&(name("user-0"), Mechanism::ScramSha512)], credential_of("theirs"));
        assert!(credentials.contains_key(&(name("user-0"), Mechanism::ScramSha256)), "ours is in the free slot");
    });
}

#[test]
fn a_store_that_cannot_be_written_stops_before_kafka_is_touched() {
    run(async {
        let world = World::start().await;
        let planned = world.plan(&users(2), &Options::default()).await;
        let before = world.cluster.state();
        world.store.fail_next(100);
        let executed = planned.execute(&Options::default()).await;
        assert!(executed.users.values().all(|ended| *ended != Finished::Done), "{:?}", executed.users);
        assert_eq!(world.cluster.state(), before);
        world.store.heal();
        world.apply(&users(2), &Options::default()).await;
        assert!(world.plan(&users(2), &Options::default()).await.plan.is_empty());
    });
}

/// A random set of ACLs for a user, as documents write them.
fn authorization() -> impl Strategy<Value = String> {
    let rule = (0..4usize, 0..3usize, prop::bool::ANY, prop::bool::ANY).prop_map(|(name, operation, prefix, deny)| {
        format!(
            "      - {{resource: {{type: topic, name: t{name}, patternType: {}}}, operations: [{}], type: {}}}\n",
            if prefix { "prefix" } else { "literal" },
            ["Read", "Write", "Describe"][operation],
            if deny { "deny" } else { "allow" },
        )
    });
    prop::collection::vec(rule, 0..5).prop_map(|rules| match rules.is_empty() {
        true => "    acls: []\n".to_owned(),
        false => format!("    acls:\n{}", rules.concat()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_of_an_applied_state_is_empty_whatever_came_before(
        first in prop::collection::btree_map(0..4usize, authorization(), 1..4),
        second in prop::collection::btree_map(0..4usize, authorization(), 1..4),
    ) {
        run(async {
            let world = World::start().await;
            let options = Options { prune: true, max_deletes: 1_000, ..Options::default() };
            let text = |users: &std::collections::BTreeMap<usize, String>, reverse: bool| {
                let mut documents = users.iter().map(|(index, body)| user_with(&format!("u{index}"), body)).collect::<Vec<_>>();
                if reverse {
                    documents.reverse();
                }
                documents.concat()
            };
            for users in [&first, &second] {
                let planned = world.plan(&text(users, false), &options).await;
                let reversed = world.plan(&text(users, true), &options).await;
                prop_assert_eq!(&planned.view.digest, &reversed.view.digest, "the order of documents does not matter");
                prop_assert_eq!(&planned.view.users, &reversed.view.users);
                let executed = planned.execute(&options).await;
                prop_assert!(executed.users.values().all(|ended| *ended == Finished::Done), "{:?}", executed.users);
                let after = world.plan(&text(users, false), &options).await;
                prop_assert!(after.plan.is_empty(), "{:?}", after.view.users);
            }
            let known = world.links().await;
            prop_assert!(matches!(known.clusters.values().next(), Some(Seen::Known(_))));
            prop_assert_eq!(world.cluster.failed_authentications(), 0);
            Ok(())
        })?;
    }
}
