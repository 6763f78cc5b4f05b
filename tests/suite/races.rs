//! Passes that meet: what one of them did, or made of the user, after the other had looked.

use std::collections::BTreeMap;
use std::time::Duration;

use kastellan::credential::Phase;
use kastellan::engine::Finished;
use kastellan::names::{BrokerId, NamespacedName, Principal, UserName};
use kastellan::plan::Options;
use kastellan::store::StoreReader as _;

use super::support::broker::Settings;
use super::support::world::{World, user, user_with};

const LAG: Duration = Duration::from_millis(1_200);

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn pruning() -> Options {
    Options { prune: true, max_deletes: 20, allow_empty: true, ..Options::default() }
}

/// `payments`, with one more ACL than usual and a quota.
fn with_more_access() -> String {
    let acls = ["payments", "invoices"]
        .map(|topic| format!("{{resource: {{type: topic, name: {topic}}}, operations: [Read]}}"));
    user_with("payments", &format!("    acls: [{}]\n  quotas: {{producerByteRate: 1024}}\n", acls.join(", ")))
}

/// How many ACLs, and whether quotas, of `payments` are left.
fn left(world: &World) -> (usize, bool) {
    let username = UserName::parse("payments").unwrap();
    let principal = Principal::of_user(&username);
    world.cluster.look(|state| {
        let acls = state.acls.iter().filter(|(of, _)| *of == principal).count();
        (acls, state.quotas.contains_key(&username))
    })
}

async fn phase(world: &World) -> Phase {
    let user: NamespacedName = "demo/payments".parse().unwrap();
    world.store.read_records(&[user]).await.pop().unwrap().unwrap().unwrap().value.phase
}

/// The broker that is asked lists neither an ACL nor a quota that came a moment ago.
#[test]
fn a_deletion_leaves_nothing_behind_that_a_broker_does_not_list_yet() {
    run(async {
        let lag = BTreeMap::from([(BrokerId(1), LAG)]);
        let world = World::with(Settings { brokers: 3, apply_lag: lag, ..Settings::default() }).await;
        world.apply(&user("payments"), &Options::default()).await;
        tokio::time::sleep(LAG).await;
        world.apply(&with_more_access(), &Options::default()).await;
        assert_eq!(left(&world), (2, true));
        let deleted = world.apply("", &pruning()).await;
        let is_reported = deleted.users.values().all(|ended| *ended != Finished::Done);
        assert!(is_reported, "no plan has listed one of its ACLs: {:?}", deleted.users);
        assert_eq!((phase(&world).await, left(&world)), (Phase::Deleting, (1, false)), "it is put back");
        tokio::time::sleep(LAG).await;
        let deleted = world.apply("", &pruning()).await;
        assert!(deleted.users.values().all(|ended| *ended == Finished::Done), "{:?}", deleted.users);
        assert_eq!((phase(&world).await, left(&world)), (Phase::Deleted, (0, false)));
    });
}

#[test]
fn a_plan_that_waited_for_approval_gives_nothing_to_a_user_that_was_deleted_meanwhile() {
    run(async {
        let world = World::start().await;
        world.apply(&user("payments"), &Options::default()).await;
        let planned = world.plan(&with_more_access(), &Options::default()).await;
        world.apply("", &pruning()).await;
        assert_eq!((phase(&world).await, left(&world)), (Phase::Deleted, (0, false)));
        let executed = planned.execute(&Options::default()).await;
        assert!(executed.users.values().all(|ended| matches!(ended, Finished::Waiting { .. })), "{:?}", executed.users);
        assert_eq!(left(&world), (0, false));
    });
}
