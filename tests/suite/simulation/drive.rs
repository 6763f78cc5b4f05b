//! Drives one run: acts in which people ask for something and everything goes wrong, and a quiet end in which everything
//! has to come right.

mod ending;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use kafka_protocol::messages::ApiKey;
use kastellan::credential::{self, Phase};
use kastellan::names::{
    AclRule, BrokerId, ClusterName, Mechanism, NamespacedName, Operation, PatternType, Permission, Principal,
    ResourceType, StoreName, UserName,
};
use kastellan::plan::Asked;
use kastellan::secret::Secret;
use kastellan::store::{MemoryStore, Store as _, StoreReader as _};
use turmoil::Sim;

use super::super::support::broker::{Change, Clock, Door, Fault, FaultKind, InProcessCluster, Settings, credential_of};
use super::Bug;
use super::clock::WorldClock;
use super::dice::Dice;
use super::hosts::{self, ADMIN_PORT, CLIENTS_PORT, broker_name, kastellan_name};
use super::scenario::{Ask, BROKERS, Declared, INPUT_KEY, Meddling, Shape, input_path, topic_name};
use super::watch::Watch;
use super::world::{Faults, Job, KASTELLANS, Kill, World};

/// Time that hosts live through between two looks of the network: messages arrive at its ends.
const TICK: Duration = Duration::from_millis(50);
/// An act that lasts longer hangs.
const ACT_TICKS_MAX: usize = 20_000;
/// Ticks in a row without anything on its way after which nothing is.
const QUIET_TICKS: usize = 3;
/// Ticks after which nothing may be on its way any more: longer than any late request.
const QUIET_TICKS_MAX: usize = 400;
/// Within this time every broker has applied what it knows.
const LAG_MAX: Duration = Duration::from_secs(3);
/// The longest that a request may be late: less than the fence, as R1 assumes.
const LATE_MS_MAX: usize = 2_500;
/// Applications read new credentials within this time, which is less than the overlap of the documents.
const RELOAD_WITHIN: Duration = Duration::from_secs(20 * 3600);

/// One run.
pub struct Run {
    dice: Dice,
    shape: Shape,
    sim: Sim<'static>,
    world: Arc<World>,
    declared: Arc<Declared>,
    /// Links that are cut, and brokers that are down.
    cut: BTreeSet<(String, String)>,
    down: BTreeSet<String>,
    /// Names whose credential somebody deleted by hand.
    meddled: BTreeSet<UserName>,
    revisions: BTreeMap<ClusterName, u64>,
    /// Looks at a salt that met a slot which was being emptied, and were counted as failed logins.
    unlucky_looks: usize,
    /// ACLs and quotas that were given to a name after its deletion had begun.
    given_late: usize,
    /// When something changed last that may keep somebody from logging in.
    changed_at: Duration,
}

/// What came of a run.
pub struct Verdict {
    pub violation: Option<String>,
    pub shape: String,
    pub trace: Vec<String>,
    /// Time that its hosts lived through, and time that passed with what was skipped.
    pub lived: Duration,
    pub passed: Duration,
    /// Looks at a salt that met a slot which was being emptied, and were counted as failed logins.
    pub unlucky_looks: usize,
    /// ACLs and quotas that were given to a name after its deletion had begun.
    pub given_late: usize,
}

/// Runs one seed.
pub fn run(seed: u64, bug: Bug) -> Verdict {
    let mut run = Run::new(seed, bug);
    let shape = format!("{:?}", run.shape);
    let violation = run.play().err();
    let lived = run.sim.elapsed();
    let passed = run.world.clock.now();
    let Run { unlucky_looks, given_late, .. } = run;
    Verdict { violation, shape, trace: run.world.trace(), lived, passed, unlucky_looks, given_late }
}

impl Run {
    fn new(seed: u64, bug: Bug) -> Self {
        let mut dice = Dice::new(seed);
        let shape = Shape::draw(&mut dice);
        let clock = Arc::new(WorldClock::default());
        let name = StoreName::parse("memory").expect("a name");
        let store = MemoryStore::new(name, &["imports/".to_owned()]).expect("a prefix");
        let clusters = shape.clusters.iter().zip(&shape.apply_lag);
        let clusters = clusters.map(|(name, lag)| (name.clone(), cluster(name, lag, &shape, clock.clone()))).collect();
        let reload_within = match bug {
            Bug::ApplicationsReloadLate => 2 * RELOAD_WITHIN,
            Bug::None | Bug::StoreWithoutCompareAndSet | Bug::RequestsOutliveTheFence => RELOAD_WITHIN,
        };
        let watch = Watch::new(dice.fork(), reload_within);
        let world = Arc::new(World::new(clock, bug, store, clusters, dice.fork(), watch));
        let mut sim = turmoil::Builder::new()
            .rng_seed(dice.next())
            .tick_duration(TICK)
            .simulation_duration(Duration::MAX)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(dice.millis(5, 120))
            .build();
        for name in world.clusters.keys() {
            for id in (1..=BROKERS).map(BrokerId) {
                let (world, cluster) = (world.clone(), name.clone());
                let broker = move || hosts::broker(world.clone(), cluster.clone(), id);
                sim.host(broker_name(name, id), broker);
            }
        }
        for host in 0..shape.kastellans {
            let world = world.clone();
            sim.host(kastellan_name(host), move || hosts::kastellan(world.clone(), host));
        }
        let applications = world.clone();
        sim.host("applications", move || hosts::applications(applications.clone()));
        let declared = Arc::new(Declared::begin(&shape, &mut dice));
        let (cut, down) = (BTreeSet::new(), BTreeSet::new());
        let mut run = Self {
            dice,
            shape,
            sim,
            world,
            declared,
            cut,
            down,
            meddled: BTreeSet::new(),
            revisions: BTreeMap::new(),
            unlucky_looks: 0,
            given_late: 0,
            changed_at: Duration::ZERO,
        };
        run.furnish();
        run
    }

    /// What is there before the first pass: given passwords, and what will be adopted.
    fn furnish(&mut self) {
        let declared = self.declared.clone();
        for (user, document) in &declared.users {
            self.give_password(user);
            if !document.adopts {
                continue;
            }
            let username = UserName::parse(document.usernames(user).remove(0)).expect("a name");
            let other = credential_of("somebody else's");
            self.world.watch().planted(&other);
            self.meddled.insert(username.clone());
            for name in &document.clusters {
                let cluster = &self.world.clusters[name];
                cluster.change(Change::AddAcl(Principal::of_user(&username), read(user, 9)));
                let places = if self.dice.chance(250) { &Mechanism::ALL[..] } else { &[Mechanism::ScramSha512] };
                for &mechanism in places {
                    cluster.change(Change::Credential(username.clone(), mechanism, Some(other.clone())));
                }
            }
        }
        self.world.clusters.values().for_each(InProcessCluster::settle);
    }

    /// Somebody puts another password where the document of a user may say that it is.
    fn give_password(&mut self, user: &NamespacedName) {
        let password = Secret::from_text(format!("given-to-{}-{:016x}", user.name, self.dice.next()));
        self.world.watch().given(&password);
        let path = input_path(user);
        let written = self.world.store.write_input(&path, INPUT_KEY, password).now_or_never().expect("at once");
        written.expect("an input");
    }

    fn play(&mut self) -> Result<(), String> {
        for act in 0..self.shape.acts {
            let ask = if act == 0 { Ask::Nothing } else { Ask::draw(&mut self.dice, &self.shape, &self.declared) };
            self.world.note(|| format!("act {act}: {ask:?}"));
            self.ask(&ask);
            self.assign(&ask);
            self.world.set_faults(self.shape.faults);
            self.live_through()?;
            if self.dice.chance(500) {
                self.rest()?;
            }
        }
        self.world.note(|| "the quiet end".to_owned());
        self.settle()?;
        self.compare()
    }

    /// Does what people ask.
    fn ask(&mut self, ask: &Ask) {
        if let Ask::Meddle(user, meddling) = ask {
            self.meddle(user, *meddling);
        }
        match ask {
            Ask::Command(user, credential::Ask::Acknowledge(_)) => self.world.watch().reload(user),
            // A password that was stolen is not given again.
            Ask::Command(user, credential::Ask::Revoke { .. }) | Ask::Given(user) => self.give_password(user),
            _ => {}
        }
        self.declared = Arc::new(self.declared.after(ask, &self.shape, &mut self.dice));
    }

    /// Gives every host a few passes, some of which are killed or stand still in the middle.
    fn assign(&mut self, ask: &Ask) {
        let faults = self.shape.faults;
        let mut asked = match ask {
            Ask::Command(user, what) => Some(Asked { what: what.clone(), users: BTreeSet::from([user.clone()]) }),
            _ => None,
        };
        for host in 0..self.shape.kastellans {
            for _ in 0..self.dice.between(1, 3) {
                let kill = self.dice.chance(faults.kills).then(|| match self.dice.chance(500) {
                    true => Kill::After(self.dice.millis(0, 4_000)),
                    false => Kill::AfterEffects(self.dice.between(1, 12)),
                });
                let is_frozen = self.dice.chance(faults.freezes);
                let freeze = is_frozen.then(|| (self.dice.millis(0, 3_000), self.dice.millis(100, 6_000)));
                let asked = if self.dice.chance(700) { asked.take() } else { None };
                self.world.give(host, Job { declared: self.declared.clone(), asked, kill, freeze });
            }
        }
        self.world.allow_logins(self.dice.below(2));
    }

    /// Ticks until everybody is through.
    fn live_through(&mut self) -> Result<(), String> {
        for _ in 0..ACT_TICKS_MAX {
            self.trouble();
            self.tick()?;
            if self.world.is_at_rest() {
                return Ok(());
            }
        }
        Err("a pass does not end".to_owned())
    }

    /// Nobody does anything until nothing is on its way any more; then hours or weeks pass.
    fn rest(&mut self) -> Result<(), String> {
        self.calm();
        self.fall_quiet()?;
        let hours = if self.dice.chance(500) { self.dice.between(1, 48) } else { self.dice.between(48, 24 * 45) };
        let time = Duration::from_secs(3600 * u64::try_from(hours).expect("small"));
        self.world.clock.skip(time);
        self.world.note(|| format!("{hours} hours pass"));
        if self.shape.has_bad_clocks {
            for machine in &self.world.machines[..KASTELLANS] {
                machine.set_wall_offset(*self.dice.pick(&[-1_800, -60, 0, 60, 1_800]));
            }
        }
        self.world.watch().pass_time(self.world.clock.now());
        Ok(())
    }

    /// Ticks until nothing is on its way, and lets brokers apply what they know.
    fn fall_quiet(&mut self) -> Result<(), String> {
        let mut quiet = 0;
        for _ in 0..QUIET_TICKS_MAX {
            self.tick()?;
            let mut messages = 0;
            self.sim.links(|links| messages = links.map(Iterator::count).sum());
            let late = self.world.clusters.values().map(InProcessCluster::late_requests).sum::<usize>();
            quiet = if messages + late + self.world.stragglers() == 0 { quiet + 1 } else { 0 };
            if quiet == QUIET_TICKS {
                self.world.clock.rest(LAG_MAX);
                return Ok(());
            }
        }
        Err("something stays on its way for ever".to_owned())
    }

    /// Everything goes right from now on.
    fn calm(&mut self) {
        self.world.set_faults(Faults::default());
        for (one, other) in std::mem::take(&mut self.cut) {
            self.sim.repair(&*one, &*other);
        }
        for broker in std::mem::take(&mut self.down) {
            self.sim.bounce(broker);
        }
        for cluster in self.world.clusters.values() {
            cluster.clear_faults();
        }
    }

    fn tick(&mut self) -> Result<(), String> {
        self.sim.step().map_err(|error| format!("a host failed: {error}"))?;
        let world = &self.world;
        world.clock.reach(self.sim.elapsed());
        let mut watch = world.watch();
        // Where somebody else deletes a credential at the very moment, a look at its salt meets its absence.
        let whose = world.clusters.values().flat_map(InProcessCluster::take_failed_logins);
        for what in whose {
            let is_about = |name: &UserName| what.contains(&format!("{name:?}"));
            if self.meddled.iter().any(is_about) {
                continue;
            }
            // So it does where another process, or an earlier one's late request, empties the slot that is looked at.
            if watch.was_just_emptied(is_about, world.clock.lived()) {
                self.unlucky_looks += 1;
            } else {
                watch.fail(format!("a broker counted a failed authentication: {what}"));
            }
        }
        for documents in world.live_documents().iter().chain([&self.declared]) {
            for user in self.shape.users.iter().filter(|user| !documents.users.contains_key(user)) {
                watch.release(user);
            }
            for (user, declared) in &documents.users {
                for cluster in self.shape.clusters.iter().filter(|name| !declared.clusters.contains(name)) {
                    watch.leave(user, cluster);
                }
            }
        }
        watch.pass_time(world.clock.now());
        let now = world.clock.lived();
        for (name, cluster) in &world.clusters {
            if self.revisions.insert(name.clone(), cluster.revision()) != Some(cluster.revision()) {
                watch.look_at_salts(name, cluster);
                watch.look_at_access(name, cluster, now);
                self.changed_at = now;
            }
        }
        if watch.take_change() {
            self.changed_at = now;
        }
        // When every broker has applied what there is, nothing changes until something does.
        if now < self.changed_at + 2 * LAG_MAX {
            let brokers = (1..=BROKERS).map(BrokerId).collect::<Vec<_>>();
            watch.look(&world.clusters, &brokers, now);
        }
        match watch.violation() {
            Some(violation) => Err(violation.clone()),
            None => Ok(()),
        }
    }

    /// What goes wrong in this tick.
    fn trouble(&mut self) {
        let faults = self.shape.faults;
        if self.dice.chance(faults.requests) {
            let cluster = self.dice.pick(&self.shape.clusters).clone();
            let fault = match self.world.bug {
                Bug::RequestsOutliveTheFence => too_late(&mut self.dice),
                Bug::None | Bug::StoreWithoutCompareAndSet | Bug::ApplicationsReloadLate => fault(&mut self.dice),
            };
            self.world.note(|| format!("{cluster}: {fault:?}"));
            self.world.clusters[&cluster].inject(fault);
        }
        if !self.dice.chance(faults.network) {
            return;
        }
        let cluster = self.dice.pick(&self.shape.clusters).clone();
        let broker = broker_name(&cluster, BrokerId(i32::try_from(self.dice.between(1, 3)).expect("small")));
        let host = kastellan_name(self.dice.below(self.shape.kastellans));
        match self.dice.below(4) {
            0 if !self.down.contains(&broker) => {
                self.world.note(|| format!("{broker} crashes"));
                self.sim.crash(&*broker);
                self.down.insert(broker);
            }
            1 => {
                self.world.note(|| format!("{host} and {broker} are parted"));
                self.sim.partition(&*host, &*broker);
                self.cut.insert((host, broker));
            }
            _ => {
                if let Some(broker) = self.down.pop_first() {
                    self.world.note(|| format!("{broker} is back"));
                    self.sim.bounce(broker);
                }
                if let Some((one, other)) = self.cut.pop_first() {
                    self.world.note(|| format!("{one} and {other} meet again"));
                    self.sim.repair(&*one, &*other);
                }
            }
        }
    }

    /// Somebody changes Kafka by hand, while nobody else is at work.
    fn meddle(&mut self, user: &NamespacedName, meddling: Meddling) {
        let cluster_name = self.dice.pick(&self.shape.clusters).clone();
        let cluster = &self.world.clusters[&cluster_name];
        // A stranger in any other slot, or before the user is ours, blocks it until a person has looked: right, and the end
        // of the run's story.
        let records = self.world.store.read_records(std::slice::from_ref(user)).now_or_never().expect("at once");
        let record = records.into_iter().next().and_then(Result::ok).flatten().map(|found| found.value);
        let settled = record.filter(|record| record.phase == Phase::Idle);
        let active =
            settled.filter(|record| record.clusters.contains_key(&cluster_name)).and_then(|record| record.active);
        let Some((username, mechanism)) = active.map(|slot| (slot.username, slot.mechanism)) else { return };
        let principal = Principal::of_user(&username);
        match meddling {
            Meddling::RemoveAcl => cluster.change(Change::RemoveAcl(principal, read(user, 0))),
            Meddling::AddAcl => cluster.change(Change::AddAcl(principal, read(user, 9))),
            Meddling::DeleteCredential => {
                self.world.watch().suspend(user);
                self.meddled.insert(username.clone());
                cluster.change(Change::Credential(username, mechanism, None));
            }
            // Nobody mends it there, and once its user is deleted it is a stranger too.
            Meddling::ReplaceCredential if self.declared.suspended.contains(&cluster_name) => {}
            Meddling::ReplaceCredential => {
                let other = credential_of("somebody else's");
                self.world.watch().suspend(user);
                self.world.watch().planted(&other);
                cluster.change(Change::Credential(username, mechanism, Some(other)));
            }
        }
    }
}

fn cluster(
    name: &ClusterName,
    lag: &BTreeMap<BrokerId, Duration>,
    shape: &Shape,
    clock: Arc<WorldClock>,
) -> InProcessCluster {
    use kastellan::kafka::HostPort;
    let doors = [(Door::Admin, ADMIN_PORT), (Door::Clients, CLIENTS_PORT)];
    let addresses = (1..=BROKERS).map(BrokerId).flat_map(|id| {
        let host = broker_name(name, id);
        doors.map(|(door, port)| ((id, door), HostPort { host: host.as_str().into(), port }))
    });
    let settings = Settings {
        brokers: BROKERS,
        cluster_id: format!("{name}-cluster-id"),
        apply_lag: lag.clone(),
        publish_lag: shape.publish_lag,
        clock: Clock(Arc::new(move || clock.lived())),
        ..Settings::default()
    };
    InProcessCluster::without_listeners(settings, addresses.collect())
}

/// The ACL that lets a user read a topic.
fn read(user: &NamespacedName, topic: usize) -> AclRule {
    AclRule {
        permission: Permission::Allow,
        resource_type: ResourceType::Topic,
        pattern_type: PatternType::Literal,
        resource_name: topic_name(user, topic).into(),
        operation: Operation::Read,
        host: "*".into(),
    }
}

/// A copy of a request that arrives when its fence has long passed.
fn too_late(dice: &mut Dice) -> Fault {
    Fault::once(ApiKey::AlterUserScramCredentials, FaultKind::ExecuteAgain(dice.millis(6_000, 20_000)))
}

/// Something that goes wrong with the next request of a kind.
fn fault(dice: &mut Dice) -> Fault {
    let writes = [
        ApiKey::AlterUserScramCredentials,
        ApiKey::AlterUserScramCredentials,
        ApiKey::AlterUserScramCredentials,
        ApiKey::CreateAcls,
        ApiKey::DeleteAcls,
        ApiKey::AlterClientQuotas,
    ];
    let reads = [
        ApiKey::DescribeUserScramCredentials,
        ApiKey::DescribeAcls,
        ApiKey::DescribeCluster,
        ApiKey::ApiVersions,
        ApiKey::SaslHandshake,
        ApiKey::SaslAuthenticate,
    ];
    let late = dice.millis(0, LATE_MS_MAX);
    let kind = match dice.below(8) {
        0 => FaultKind::Delay(late),
        1 => FaultKind::LateAnswer(late),
        2 => FaultKind::LoseAnswer,
        3 => FaultKind::CloseAfter,
        4 => FaultKind::NeverAnswer,
        5 => FaultKind::Close,
        6 => FaultKind::Throttle(i32::try_from(dice.below(800)).expect("small")),
        _ => return Fault::once(*dice.pick(&writes), FaultKind::ExecuteAgain(late)),
    };
    let api = if dice.chance(700) { *dice.pick(&writes) } else { *dice.pick(&reads) };
    Fault::once(api, kind)
}
