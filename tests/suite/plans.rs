//! Golden cases: plans, statuses and results as people and programs read them.

use std::time::Duration;

use kastellan::credential::Seen;
use kastellan::names::{Mechanism, UserName};
use kastellan::plan::Options;
use kastellan::store::StoreReader as _;
use kastellan::view::{PlanView, StatusView, UserStatus, plan_markdown, plan_text, status_text};

use super::support::broker::{Change, credential_of};
use super::support::world::{World, user, user_with};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// Digests cover versions of records, which differ from run to run.
fn without_digest(view: PlanView) -> PlanView {
    PlanView { digest: String::new(), ..view }
}

/// A user with every kind of access there is, and a name that would be markup.
fn rich() -> String {
    let access = "    acls:
      - {resource: {type: topic, name: payments., patternType: prefix}, operations: [Read, Write, Describe]}
      - {resource: {type: topic, name: payments.secret}, operations: [Read], type: deny, host: 10.0.0.7}
      - {resource: {type: group, name: \"*\"}, operations: [Read]}
      - {resource: {type: cluster}, operations: [IdempotentWrite]}
      - {resource: {type: transactionalId, name: pay}, operations: [All]}
  quotas: {producerByteRate: 10485760, consumerByteRate: 1500, requestPercentage: 12.5}
";
    user_with("payments", access).replace("clusters: [kafka]", "clusters: [kafka]\n  username: \"pay_*|ments\"")
}

#[test]
fn a_first_plan() {
    run(async {
        let world = World::start().await;
        let planned = world.plan(&(rich() + &user("orders")), &Options::default()).await;
        insta::assert_snapshot!("first_plan.text", plan_text(&planned.view));
        insta::assert_snapshot!("first_plan.markdown", plan_markdown(&planned.view));
        insta::assert_json_snapshot!("first_plan.json", without_digest(planned.view));
    });
}

#[test]
fn drift_and_what_cannot_be_done() {
    run(async {
        let world = World::start().await;
        let options = Options::default();
        world.apply(&(rich() + &user("orders") + &user("gone") + &user("retained")), &options).await;
        let orders = UserName::parse("orders").unwrap();
        let (principal, rule) = world
            .cluster
            .state()
            .acls
            .iter()
            .find(|(principal, _)| principal.user() == Some(orders.clone()))
            .cloned()
            .unwrap();
        world.cluster.change(Change::RemoveAcl(principal, rule));
        world.cluster.change(Change::Credential(orders.clone(), Mechanism::ScramSha512, Some(credential_of("theirs"))));
        world.cluster.change(Change::Quota(
            UserName::parse("pay_*|ments").unwrap(),
            "consumer_byte_rate".into(),
            Some(1.0),
        ));
        let taken = UserName::parse("taken").unwrap();
        world.cluster.change(Change::Credential(taken, Mechanism::ScramSha256, Some(credential_of("theirs"))));
        let changed =
            rich() + &user("orders") + &user("taken") + &user("still").replace("spec:", "spec:\n  suspend: true");
        let changed = changed.replace("type: scram}", "type: scram, iterations: 8192}");
        let planned = world.plan(&changed, &options).await;
        insta::assert_snapshot!("drift.text", plan_text(&planned.view));
        insta::assert_json_snapshot!("drift.json", without_digest(planned.view));
    });
}

#[test]
fn deletions_within_and_beyond_the_limit() {
    run(async {
        let world = World::start().await;
        let documents = rich() + &user("orders");
        world.apply(&documents, &Options::default()).await;
        let pruning = Options { prune: true, max_deletes: 20, ..Options::default() };
        insta::assert_snapshot!("prune.text", plan_text(&world.plan(&user("orders"), &pruning).await.view));
        let refused = Options { prune: true, max_deletes: 3, ..Options::default() };
        insta::assert_snapshot!("prune_refused.text", plan_text(&world.plan("", &refused).await.view));
        insta::assert_snapshot!(
            "undeclared.text",
            plan_text(&world.plan(&user("orders"), &Options::default()).await.view)
        );
    });
}

#[test]
fn the_status_of_users_in_every_phase_there_is() {
    run(async {
        let world = World::start().await;
        world.apply(&(rich() + &user("orders")), &Options::default()).await;
        let pruning = Options { prune: true, max_deletes: 20, ..Options::default() };
        world.apply(&rich(), &pruning).await;
        let mut users = Vec::new();
        let mut latest = jiff::Timestamp::UNIX_EPOCH;
        for (_, record) in world.store.list_records().await.unwrap() {
            let mut record = record.unwrap().value;
            // Instants are the only thing that differs from run to run.
            let published = record.published_at.take();
            latest = latest.max(published.unwrap_or_default());
            record.published_at = published.map(|_| jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(86_400));
            if let Some(deletion) = &mut record.deletion {
                deletion.undo_until = jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(9 * 86_400);
            }
            users.push(UserStatus::new(&record, None, None, "memory", true, jiff::Timestamp::UNIX_EPOCH));
        }
        assert!(latest > jiff::Timestamp::UNIX_EPOCH, "a publication has an instant");
        let view = StatusView { schema: "kastellan.io/status/v1alpha1", users, stores_unknown: Default::default() };
        let now = jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(4 * 86_400);
        insta::assert_snapshot!("status.text", status_text(&view, now));
        insta::assert_json_snapshot!("status.json", view);
        assert!(matches!(world.links().await.clusters.values().next(), Some(Seen::Known(_))));
    });
}
