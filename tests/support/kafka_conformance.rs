//! One suite for the Kafka client that runs against real brokers and against the in-process broker, so that the latter
//! can be trusted to behave like the former.
//!
//! Every function takes a [`Subject`] and uses names of its own, so that they can share a cluster.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kastellan::kafka::{
    AclDeletion, AclScope, Admin, ClientsEndpoint, Deadlines, Endpoint, LoginOutcome, LoginRequest, LoginTarget,
    Logins, Outcome, Peek, QuotaChange, QuotaKeyChange, ScramAlteration, ScramChange, Unsent, boot_now,
};
use kastellan::names::{
    AclRule, BrokerId, Mechanism, Operation, PatternType, Permission, Principal, ResourceType, UserName, UserQuotas,
};
use kastellan::secret::{Iterations, Salt, ScramCredential, Secret};

/// A cluster to try, whatever it is made of.
pub struct Subject {
    /// As a principal with the rights to apply, and no more.
    pub admin: Endpoint,
    /// The listener of applications, with both SCRAM mechanisms.
    pub clients: ClientsEndpoint,
    /// How many brokers it has.
    pub brokers: usize,
    /// The brokers' own count of failed authentications; `None` where others log in too.
    pub failed_authentications: Option<Box<dyn Fn() -> usize + Send + Sync>>,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Subject {
    pub async fn connect(&self) -> Admin {
        Admin::connect(self.admin.clone(), Deadlines::default()).await.unwrap()
    }

    async fn logins(&self, admin: &Admin) -> Logins {
        let cluster = admin.cluster().id.clone();
        Logins::discover(self.clients.clone(), Mechanism::ALL.into(), cluster, Deadlines::default()).await.unwrap()
    }

    fn failures(&self) -> usize {
        self.failed_authentications.as_ref().map_or(0, |count| count())
    }
}

/// A user name that nobody else uses, with every kind of character that a login takes.
fn user(purpose: &str) -> UserName {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    UserName::parse(format!("{purpose} =,\"Mueller\" {}", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap()
}

fn credential(mechanism: Mechanism, seed: u8) -> ScramCredential {
    let password = Secret::from_text(format!("password-{seed}"));
    ScramCredential::derive(mechanism, password, Salt::parse(vec![seed; 24]).unwrap(), Iterations::default())
}

fn upsert(user: &UserName, credential: &ScramCredential) -> ScramAlteration {
    let salted_password = Arc::new(credential.keys.salted_password.duplicate());
    let change = ScramChange::Upsert {
        mechanism: credential.mechanism,
        iterations: credential.iterations,
        salt: credential.salt.clone(),
        salted_password,
    };
    ScramAlteration { user: user.clone(), change, not_after: Some(boot_now().plus(Duration::from_secs(30))) }
}

fn delete(user: &UserName, mechanism: Mechanism) -> ScramAlteration {
    ScramAlteration { user: user.clone(), change: ScramChange::Delete { mechanism }, not_after: None }
}

async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until every broker shows exactly these mechanisms.
async fn shown_everywhere(admin: &Admin, user: &UserName, mechanisms: &[Mechanism]) {
    for &broker in admin.cluster().brokers.keys() {
        eventually(&format!("broker {broker} shows {mechanisms:?} of {user}"), || async {
            let shown = admin.describe_scram(Some(broker), std::slice::from_ref(user)).await.unwrap();
            shown[user].iter().map(|(mechanism, _)| *mechanism).collect::<Vec<_>>() == mechanisms
        })
        .await;
    }
}

fn all_done(outcomes: &[(usize, Outcome)]) {
    for (place, (index, outcome)) in outcomes.iter().enumerate() {
        assert_eq!(place, *index);
        assert_eq!(*outcome, Outcome::Done, "{index}");
    }
}

/// Runs everything below.
pub async fn run_all(subject: &Subject) {
    knows_its_cluster(subject).await;
    credentials_come_and_go(subject).await;
    alterations_without_a_permit_stay_here(subject).await;
    many_credentials_are_written_in_batches(subject).await;
    acls_come_and_go(subject).await;
    quotas_come_and_go(subject).await;
    a_new_credential_is_proven_without_a_failed_login(subject).await;
    a_replaced_credential_is_seen_by_its_salt(subject).await;
    many_log_in_at_once(subject).await;
}

pub async fn knows_its_cluster(subject: &Subject) {
    let admin = subject.connect().await;
    let cluster = admin.refresh().await.unwrap();
    assert_eq!(cluster.brokers.len(), subject.brokers);
    for operation in [Operation::Describe, Operation::Alter, Operation::DescribeConfigs, Operation::AlterConfigs] {
        assert!(cluster.authorized_operations.contains(&operation), "{operation}");
    }
    assert!(!cluster.authorized_operations.contains(&Operation::Create));
}

pub async fn credentials_come_and_go(subject: &Subject) {
    let admin = subject.connect().await;
    let (known, unknown) = (user("known"), user("unknown"));
    let [first, second] = [(Mechanism::ScramSha256, 1), (Mechanism::ScramSha512, 2)].map(|(m, s)| credential(m, s));
    // Two slots of one user in one call: Kafka refuses that in one request.
    all_done(&admin.alter_scram(vec![upsert(&known, &first), upsert(&known, &second)]).await);
    shown_everywhere(&admin, &known, &Mechanism::ALL).await;
    let shown = admin.describe_scram(None, &[known.clone(), unknown.clone(), known.clone()]).await.unwrap();
    assert_eq!(shown[&known], [(Mechanism::ScramSha256, 4096), (Mechanism::ScramSha512, 4096)]);
    assert_eq!(shown[&unknown], []);
    assert!(admin.describe_scram(None, &[]).await.unwrap().is_empty());

    let outcomes =
        admin.alter_scram(vec![delete(&known, Mechanism::ScramSha256), delete(&unknown, Mechanism::ScramSha256)]).await;
    assert_eq!(outcomes, [(0, Outcome::Done), (1, Outcome::AlreadySo)]);
    shown_everywhere(&admin, &known, &[Mechanism::ScramSha512]).await;
    all_done(&admin.alter_scram(vec![delete(&known, Mechanism::ScramSha512)]).await);
    shown_everywhere(&admin, &known, &[]).await;
}

pub async fn alterations_without_a_permit_stay_here(subject: &Subject) {
    let admin = subject.connect().await;
    let (late, damaged, good) = (user("late"), user("damaged"), user("good"));
    let credential = credential(Mechanism::ScramSha256, 3);
    let expired = ScramAlteration { not_after: Some(boot_now()), ..upsert(&late, &credential) };
    let mut short = upsert(&damaged, &credential);
    if let ScramChange::Upsert { salted_password, .. } = &mut short.change {
        *salted_password = Arc::new(Secret::new(vec![1; 5]));
    }
    let outcomes = admin.alter_scram(vec![expired, short, upsert(&good, &credential)]).await;
    assert_eq!(outcomes[0], (0, Outcome::NotSent { why: Unsent::PermitExpired }));
    assert!(matches!(&outcomes[1], (1, Outcome::NotSent { why: Unsent::Invalid { .. } })), "{outcomes:?}");
    assert_eq!(outcomes[2], (2, Outcome::Done));
    shown_everywhere(&admin, &good, &[Mechanism::ScramSha256]).await;
    let shown = admin.describe_scram(None, &[late.clone(), damaged.clone()]).await.unwrap();
    assert!(shown.values().all(Vec::is_empty));
    all_done(&admin.alter_scram(vec![delete(&good, Mechanism::ScramSha256)]).await);
}

pub async fn many_credentials_are_written_in_batches(subject: &Subject) {
    let admin = subject.connect().await;
    let credential = credential(Mechanism::ScramSha256, 4);
    let users: Vec<UserName> = (0..2_500).map(|_| user("many")).collect();
    all_done(&admin.alter_scram(users.iter().map(|user| upsert(user, &credential)).collect()).await);
    eventually("all are shown", || async {
        let shown = admin.describe_scram(None, &users).await.unwrap();
        shown.len() == users.len() && shown.values().all(|slots| slots.len() == 1)
    })
    .await;
    all_done(&admin.alter_scram(users.iter().map(|user| delete(user, Mechanism::ScramSha256)).collect()).await);
}

fn rule(permission: Permission, resource_type: ResourceType, name: &str, operation: Operation) -> AclRule {
    let pattern_type = PatternType::Literal;
    AclRule { permission, resource_type, pattern_type, resource_name: name.into(), operation, host: "*".into() }
}

fn rules(name: &str) -> Vec<AclRule> {
    let allow = |resource_type, name: &str, operation| rule(Permission::Allow, resource_type, name, operation);
    vec![
        allow(ResourceType::Topic, name, Operation::Read),
        AclRule { pattern_type: PatternType::Prefix, ..allow(ResourceType::Topic, name, Operation::Write) },
        AclRule { host: "10.0.0.1".into(), ..allow(ResourceType::Group, "*", Operation::Read) },
        allow(ResourceType::Cluster, "kafka-cluster", Operation::IdempotentWrite),
        allow(ResourceType::TransactionalId, name, Operation::All),
        allow(ResourceType::DelegationToken, name, Operation::Describe),
        allow(ResourceType::User, "User:x", Operation::CreateTokens),
        rule(Permission::Deny, ResourceType::Topic, "secrets", Operation::All),
    ]
}

async fn acls_of(admin: &Admin, principal: &Principal) -> BTreeSet<AclRule> {
    let listing = admin.list_acls(AclScope::Principal(principal.clone())).await.unwrap();
    assert_eq!(listing.unknown, 0);
    assert!(listing.rules.iter().all(|(of, _)| of == principal));
    listing.rules.into_iter().map(|(_, rule)| rule).collect()
}

pub async fn acls_come_and_go(subject: &Subject) {
    let admin = subject.connect().await;
    let user = user("acls");
    let principal = Principal::of_user(&user);
    let rules = rules("orders");
    let acls: Vec<_> = rules.iter().map(|rule| (principal.clone(), rule.clone())).collect();
    assert_eq!(admin.create_acls(acls.clone()).await, vec![Outcome::Done; rules.len()]);
    assert_eq!(admin.create_acls(acls.clone()).await, vec![Outcome::Done; rules.len()], "again");
    let wanted: BTreeSet<AclRule> = rules.iter().cloned().collect();
    eventually("the ACLs are shown", || async { acls_of(&admin, &principal).await == wanted }).await;
    let everybody = admin.list_acls(AclScope::All).await.unwrap();
    assert!(everybody.rules.len() > rules.len(), "ours, and those of others");

    let absent = rule(Permission::Allow, ResourceType::Topic, "absent", Operation::Read);
    let removed = admin
        .delete_acls(vec![
            AclDeletion::Exact(principal.clone(), rules[0].clone()),
            AclDeletion::Exact(principal.clone(), absent),
        ])
        .await;
    assert_eq!(removed[0].as_ref().unwrap().rules, [(principal.clone(), rules[0].clone())]);
    assert_eq!(removed[1].as_ref().unwrap().rules, []);
    eventually("one is gone", || async { acls_of(&admin, &principal).await.len() == rules.len() - 1 }).await;
    let removed = admin.delete_acls(vec![AclDeletion::WholePrincipal(principal.clone())]).await;
    assert_eq!(removed[0].as_ref().unwrap().rules.len(), rules.len() - 1);
    eventually("all are gone", || async { acls_of(&admin, &principal).await.is_empty() }).await;
}

pub async fn quotas_come_and_go(subject: &Subject) {
    let admin = subject.connect().await;
    let (one, two) = (user("quotas"), user("quotas"));
    let desired = UserQuotas {
        producer_byte_rate: Some(1_048_576.0),
        consumer_byte_rate: Some(2_097_152.0),
        request_percentage: Some(50.5),
        controller_mutation_rate: Some(10.0),
    };
    let change = QuotaChange::between(&UserQuotas::default(), &desired);
    let more =
        QuotaChange([QuotaKeyChange::Set(5.0), QuotaKeyChange::Leave, QuotaKeyChange::Remove, QuotaKeyChange::Leave]);
    let changes = vec![(one.clone(), change), (two.clone(), QuotaChange::default()), (one.clone(), more)];
    assert_eq!(admin.alter_user_quotas(changes).await, vec![Outcome::Done; 3]);
    let expected = UserQuotas { producer_byte_rate: Some(5.0), request_percentage: None, ..desired };
    eventually("the quotas are shown", || async {
        let listed = admin.list_user_quotas().await.unwrap();
        listed.get(&one) == Some(&expected) && !listed.contains_key(&two)
    })
    .await;
    let away = QuotaChange::between(&desired, &UserQuotas::default());
    assert_eq!(admin.alter_user_quotas(vec![(one.clone(), away)]).await, [Outcome::Done]);
    eventually("the quotas are gone", || async { !admin.list_user_quotas().await.unwrap().contains_key(&one) }).await;
}

/// The whole protocol for a new slot: Describe on the broker, barrier, salt, proof.
pub async fn a_new_credential_is_proven_without_a_failed_login(subject: &Subject) {
    let admin = subject.connect().await;
    let logins = subject.logins(&admin).await;
    let failures = subject.failures();
    let brokers: Vec<BrokerId> = admin.cluster().brokers.keys().copied().collect();
    for mechanism in Mechanism::ALL {
        let (user, credential) = (user("login"), credential(mechanism, 5));
        all_done(&admin.alter_scram(vec![upsert(&user, &credential)]).await);
        shown_everywhere(&admin, &user, &[mechanism]).await;
        for (broker, applied) in admin.barrier(&brokers, PATIENCE).await {
            applied.unwrap_or_else(|error| panic!("broker {broker}: {error}"));
        }
        let request = |target| LoginRequest { target, user: &user, credential: &credential };
        let outcome = logins.login(request(LoginTarget::Bootstrap)).await;
        assert!(matches!(outcome, LoginOutcome::LoggedIn(_)), "{outcome:?}");
        assert_eq!(logins.brokers().keys().copied().collect::<Vec<_>>(), brokers);
        for &broker in &brokers {
            let outcome = logins.login(request(LoginTarget::Broker(broker))).await;
            assert!(matches!(outcome, LoginOutcome::LoggedIn(_)), "{broker}: {outcome:?}");
        }
        let other = self::credential(mechanism, 6);
        let outcome =
            logins.login(LoginRequest { credential: &other, ..request(LoginTarget::Broker(brokers[0])) }).await;
        assert_eq!(
            outcome,
            LoginOutcome::SaltDiffers { salt: credential.salt.clone(), iterations: credential.iterations.count() }
        );
        all_done(&admin.alter_scram(vec![delete(&user, mechanism)]).await);
    }
    assert_eq!(subject.failures(), failures, "a probe caused a failed authentication");
}

/// The protocol for a slot that exists: poll the salt.
pub async fn a_replaced_credential_is_seen_by_its_salt(subject: &Subject) {
    let admin = subject.connect().await;
    let logins = subject.logins(&admin).await;
    let failures = subject.failures();
    let user = user("replaced");
    let [old, new] = [7, 8].map(|seed| credential(Mechanism::ScramSha512, seed));
    all_done(&admin.alter_scram(vec![upsert(&user, &old)]).await);
    shown_everywhere(&admin, &user, &[Mechanism::ScramSha512]).await;
    let brokers: Vec<BrokerId> = admin.cluster().brokers.keys().copied().collect();
    admin.barrier(&brokers, PATIENCE).await;
    let request = LoginRequest { target: LoginTarget::Bootstrap, user: &user, credential: &old };
    assert!(matches!(logins.login(request).await, LoginOutcome::LoggedIn(_)));
    all_done(&admin.alter_scram(vec![upsert(&user, &new)]).await);
    for &broker in &brokers {
        let target = LoginTarget::Broker(broker);
        eventually("the new salt is shown", || async {
            match logins.peek(target, &user, Mechanism::ScramSha512).await {
                Peek::Credential { salt, iterations } => salt == new.salt && iterations == 4096,
                Peek::Failed(outcome) => panic!("{outcome:?}"),
            }
        })
        .await;
        let outcome = logins.login(LoginRequest { target, user: &user, credential: &new }).await;
        assert!(matches!(outcome, LoginOutcome::LoggedIn(_)), "{outcome:?}");
    }
    all_done(&admin.alter_scram(vec![delete(&user, Mechanism::ScramSha512)]).await);
    assert_eq!(subject.failures(), failures, "a probe caused a failed authentication");
}

pub async fn many_log_in_at_once(subject: &Subject) {
    let admin = subject.connect().await;
    let logins = subject.logins(&admin).await;
    let failures = subject.failures();
    let credential = credential(Mechanism::ScramSha256, 9);
    let users: Vec<UserName> = (0..300).map(|_| user("crowd")).collect();
    all_done(&admin.alter_scram(users.iter().map(|user| upsert(user, &credential)).collect()).await);
    for user in &users[users.len() - 1..] {
        shown_everywhere(&admin, user, &[Mechanism::ScramSha256]).await;
    }
    let brokers: Vec<BrokerId> = admin.cluster().brokers.keys().copied().collect();
    for applied in admin.barrier(&brokers, PATIENCE).await.into_values() {
        applied.unwrap();
    }
    let request = |target, user| LoginRequest { target, user, credential: &credential };
    assert!(matches!(logins.login(request(LoginTarget::Bootstrap, &users[0])).await, LoginOutcome::LoggedIn(_)));
    let targets = brokers.iter().map(|&broker| LoginTarget::Broker(broker));
    let requests: Vec<_> = targets.flat_map(|target| users.iter().map(move |user| request(target, user))).collect();
    let outcomes = logins.login_many(&requests).await;
    assert_eq!(outcomes.len(), users.len() * brokers.len());
    for outcome in outcomes {
        assert!(matches!(outcome, LoginOutcome::LoggedIn(_)), "{outcome:?}");
    }
    let peeks: Vec<_> =
        users.iter().map(|user| (LoginTarget::Broker(brokers[0]), user, Mechanism::ScramSha256)).collect();
    for peek in logins.peek_many(&peeks).await {
        assert_eq!(peek, Peek::Credential { salt: credential.salt.clone(), iterations: 4096 });
    }
    all_done(&admin.alter_scram(users.iter().map(|user| delete(user, Mechanism::ScramSha256)).collect()).await);
    assert_eq!(subject.failures(), failures, "a probe caused a failed authentication");
}
