//! The software of the simulated hosts: brokers, Kastellans, applications.

use std::net::Ipv4Addr;
use std::sync::Arc;

use kastellan::host;
use kastellan::kafka::{Admin, Authentication, Deadlines, Endpoint};
use kastellan::names::{BrokerId, ClusterName};
use turmoil::net::TcpListener;

use super::super::support::broker::{Door, serve};
use super::pass::{Witness, pass};
use super::watch::Login;
use super::world::{Job, KASTELLANS, World};

/// Port of the administrators' listener.
pub const ADMIN_PORT: u16 = 9092;
/// Port of the clients' listener.
pub const CLIENTS_PORT: u16 = 9093;

/// How one broker's host is called.
pub fn broker_name(cluster: &ClusterName, broker: BrokerId) -> String {
    format!("{cluster}-{broker}")
}

/// How the host of one Kastellan is called.
pub fn kastellan_name(host: usize) -> String {
    format!("kastellan-{host}")
}

/// A broker: both listeners, a session for every connection.
pub async fn broker(world: Arc<World>, cluster: ClusterName, broker: BrokerId) -> turmoil::Result {
    let admin = TcpListener::bind((Ipv4Addr::UNSPECIFIED, ADMIN_PORT)).await?;
    let clients = TcpListener::bind((Ipv4Addr::UNSPECIFIED, CLIENTS_PORT)).await?;
    let shared = world.clusters[&cluster].shared.clone();
    loop {
        let (stream, door) = tokio::select! {
            biased;
            accepted = admin.accept() => (accepted?.0, Door::Admin),
            accepted = clients.accept() => (accepted?.0, Door::Clients),
        };
        tokio::spawn(serve(stream, shared.clone(), broker, door));
    }
}

/// A host that runs Kastellan when there is a pass to be run, each in a process of its own: only the store survives one.
pub async fn kastellan(world: Arc<World>, host: usize) -> turmoil::Result {
    loop {
        let pause = world.with_dice(|dice, _| dice.millis(20, 300));
        tokio::time::sleep(pause).await;
        let Some(job) = world.take_job(host) else { continue };
        let machine = world.machines[host].clone();
        world.note(|| format!("{host}: begins, {:?} {:?} {:?}", job.asked, job.kill, job.freeze));
        let end = host::on(machine, process(world.clone(), host, job)).await;
        world.note(|| match &end {
            Some(end) => format!("{host}: ends {:?}", end.ended),
            None => format!("{host}: killed"),
        });
        world.end_job(host, end);
    }
}

/// One process: runs its pass, stands still in the middle of it, or is killed.
async fn process(world: Arc<World>, host: usize, job: Job) -> Option<super::pass::PassEnd> {
    let witness = Witness::new(world.clone(), host, job.kill);
    let running = async {
        let mut pass = std::pin::pin!(pass(world.clone(), job.declared.clone(), job.asked.clone(), &witness));
        if let Some((after, time)) = job.freeze {
            if let Ok(end) = tokio::time::timeout(after, &mut pass).await {
                return end;
            }
            world.note(|| format!("{host}: frozen for {time:?}"));
            tokio::time::sleep(time).await;
        }
        pass.await
    };
    tokio::select! {
        biased;
        () = witness.doom() => None,
        end = running => Some(end),
    }
}

/// Applications that log in over the network with what they hold. A broker counts what it refuses.
pub async fn applications(world: Arc<World>) -> turmoil::Result {
    loop {
        let pause = world.with_dice(|dice, _| dice.millis(200, 4_000));
        tokio::time::sleep(pause).await;
        if !world.begin_login() {
            continue;
        }
        let login = world.watch().pick_login();
        if let Some(login) = login {
            let machine = world.machines[KASTELLANS].clone();
            let _ = host::on(machine, log_in(&world, login)).await;
        }
        world.end_login();
    }
}

async fn log_in(world: &World, login: Login) -> Result<(), kastellan::kafka::KafkaError> {
    let Login { cluster, username, mechanism, password } = login;
    let clients = world.clusters[&cluster].clients();
    let endpoint = Endpoint {
        bootstrap: clients.bootstrap,
        tls: None,
        authentication: Authentication::Scram { mechanism, username: username.clone(), password: Arc::new(password) },
        client_id: "application".into(),
    };
    let logged_in = Admin::connect(endpoint, Deadlines::default()).await;
    world.note(|| format!("application: {username} {}", if logged_in.is_ok() { "logged in" } else { "did not" }));
    logged_in.map(drop)
}
