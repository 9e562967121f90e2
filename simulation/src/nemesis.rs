//! Faults that are done by hand, one after the other, as long as the clients are at it; and at the
//! end the hands that put everything in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use domain::sku::Sku;

use crate::gate::server::Role;
use crate::link::Life;
use crate::plan::Fault;
use crate::replays;
use crate::shop;
use crate::site::Running;
use crate::versions::{self, Version};

/// Does harm until the world is calm.
///
/// # Errors
/// A mistake of the simulation.
pub async fn rage(running: Arc<Running>) -> Result<()> {
    let world = Arc::clone(running.world());
    let faults = world.plan.by_hand.clone();
    if faults.is_empty() {
        return Ok(());
    }
    let (least, most) = world.plan.fault_pause;
    loop {
        tokio::time::sleep(world.delay(least..=most)).await;
        if world.is_calm() {
            return Ok(());
        }
        let fault = faults[world.pick(faults.len())];
        let running = Arc::clone(&running);
        // Each in a task of its own, so that faults overlap.
        tokio::spawn(async move {
            let world = Arc::clone(running.world());
            world.count(fault);
            world.say("nemesis", fault);
            if let Err(error) = harm(&running, fault).await {
                world.say("nemesis", format!("{fault} fails: {error:#}"));
            }
            running.note_split();
        });
    }
}

/// Copies and files are made all the time, and replication goes on.
pub async fn keep_copies(running: Arc<Running>) {
    let world = Arc::clone(running.world());
    while !world.is_calm() {
        tokio::time::sleep(world.delay(50..=1_500)).await;
        {
            let mut servers = running.cluster().servers.lock();
            let [first, second] = &mut *servers;
            replicate(first, second);
            replicate(second, first);
            let which = world.pick(2);
            if world.chance(400) && servers[which].up {
                servers[which].save();
            }
        }
        if world.chance(100) {
            // Before the first start there is nothing to copy.
            let _ = running.store.copy();
        }
    }
}

fn replicate(master: &mut crate::gate::server::Server, replica: &mut crate::gate::server::Server) {
    let works = master.up && replica.up && !master.hung;
    if works && master.role == Role::Master && replica.role == Role::Replica {
        let (data, replid) = master.replicated();
        replica.follow(data, replid);
    }
}

async fn harm(running: &Arc<Running>, fault: Fault) -> Result<()> {
    let world = running.world();
    match fault {
        Fault::RestartEmpty => restart_master(running, false).await,
        Fault::RestartOldFile => restart_master(running, true).await,
        Fault::Flush => on_master(running, |server| server.flush()),
        Fault::ScriptsFlushed => on_master(running, |server| server.flush_scripts()),
        Fault::ValueDeleted => {
            let item = world.pick(world.plan.items);
            if let Ok(sku) = Sku::parse(&shop::sku(item)) {
                on_master(running, |server| {
                    server.lose_item(&sku);
                });
            }
        }
        Fault::Full => {
            on_master(running, |server| server.full = true);
            tokio::time::sleep(world.delay(200..=8_000)).await;
            let mut servers = running.cluster().servers.lock();
            servers.iter_mut().for_each(|server| server.full = false);
        }
        Fault::Hung => {
            on_master(running, |server| server.hung = true);
            tokio::time::sleep(world.delay(200..=15_000)).await;
            let mut servers = running.cluster().servers.lock();
            servers.iter_mut().for_each(|server| server.hung = false);
        }
        Fault::ReplidChanged => {
            let replid = running.cluster().new_replid();
            on_master(running, |server| server.change_replid(replid));
        }
        Fault::Failover => failover(running, true).await,
        Fault::Split => failover(running, false).await,
        Fault::Failback => {
            failover(running, false).await;
            tokio::time::sleep(world.delay(0..=500)).await;
            failover(running, false).await;
        }
        Fault::LeaderChange => {
            let partitions = running.broker().partitions();
            let partition = partitions[world.pick(partitions.len())];
            running.broker().set_leaderless(partition, true);
            world.say("log", format!("{partition} has no leader"));
            tokio::time::sleep(world.delay(100..=8_000)).await;
            running.broker().set_leaderless(partition, false);
        }
        Fault::LogFull => {
            running.broker().set_full(true);
            tokio::time::sleep(world.delay(500..=20_000)).await;
            running.broker().set_full(false);
        }
        Fault::NodeKilled => {
            let index = world.pick(world.plan.nodes);
            running.kill_node(index);
            tokio::time::sleep(world.delay(100..=20_000)).await;
            running.replace_node(index)?;
        }
        Fault::NodeUpgraded => change_version(running, Version::Next).await?,
        Fault::NodeDowngraded => change_version(running, Version::Today).await?,
        Fault::NodePaused => {
            let nodes = running.nodes();
            let link = Arc::clone(&nodes[world.pick(nodes.len())].link);
            link.set(Life::Paused);
            tokio::time::sleep(world.delay(500..=60_000)).await;
            world.say(&link.name, "goes on");
            link.set(Life::Running);
        }
        Fault::ClockJump => {
            let nodes = running.nodes();
            let hours = world.roll(0..=12) as i64 - 6;
            nodes[world.pick(nodes.len())].clock.jump(hours * 3_600);
        }
        Fault::ProjectorKilled => running.projectors(Life::Gone),
        Fault::ProjectorPaused => {
            running.projectors(Life::Paused);
            tokio::time::sleep(world.delay(500..=30_000)).await;
            running.projectors(Life::Running);
        }
        Fault::RowsOfOtherFold => {
            running.store.outdate()?;
            running.projectors(Life::Gone);
            replays::until_of_this_fold(running).await?;
        }
        Fault::Replay => replays::replay(running).await?,
        Fault::ProjectorTwice => {
            running.add_projectors();
            tokio::time::sleep(world.delay(500..=20_000)).await;
            running.end_other_projectors();
        }
        Fault::StoreDown => {
            running.store.set_up(false);
            tokio::time::sleep(world.delay(100..=5_000)).await;
            running.store.set_up(true);
        }
        Fault::StoreRestored if running.store.restore()? => {
            world.say("store", "is restored from a copy");
        }
        Fault::SnapshotDeleted
        | Fault::SnapshotTruncated
        | Fault::SnapshotDamaged
        | Fault::SnapshotReplaced
        | Fault::SnapshotOfOtherFold => {
            if let Some(kept) = &running.site.snapshots
                && !kept.harm(world, fault)?
            {
                world.say("nemesis", "there is no snapshot");
            }
        }
        Fault::EpochChanged => {
            let nodes = running.nodes();
            let node = &nodes[world.pick(nodes.len())];
            let keeper = node.commands.committer().keeper();
            let outcome = tokio::select! {
                biased;
                () = node.link.gone() => return Ok(()),
                outcome = keeper.change_epoch("the operator asked for it") => outcome,
            };
            let told = match outcome {
                Ok(changed) => format!("the epoch is {} now", changed.epoch),
                Err(why) => format!("the epoch is not changed: {why}"),
            };
            world.say(&node.link.name, told);
        }
        _ => {}
    }
    Ok(())
}

/// A node is replaced by one of this version, killed as hard as any.
async fn change_version(running: &Running, version: Version) -> Result<()> {
    let world = running.world();
    let index = world.pick(world.plan.nodes);
    running.kill_node(index);
    tokio::time::sleep(world.delay(0..=3_000)).await;
    running.replace_node_by(index, version)
}

/// Does something to a master that runs.
fn on_master(running: &Running, harm: impl FnOnce(&mut crate::gate::server::Server)) {
    let mut servers = running.cluster().servers.lock();
    let mut masters: Vec<_> = servers
        .iter_mut()
        .filter(|server| server.up && server.role == Role::Master)
        .collect();
    if !masters.is_empty() {
        let which = running.world().pick(masters.len());
        harm(masters.swap_remove(which));
    }
}

async fn restart_master(running: &Running, with_file: bool) {
    if let Some(which) = master(running) {
        restart(running, which, with_file).await;
    }
}

/// A server is killed and started again, with its file or without.
pub(crate) async fn restart(running: &Running, which: usize, with_file: bool) {
    let cluster = running.cluster();
    cluster.servers.lock()[which].kill();
    running.note_split();
    tokio::time::sleep(running.world().delay(10..=3_000)).await;
    let replid = cluster.new_replid();
    let mut servers = cluster.servers.lock();
    // Somebody else was promoted meanwhile: then it comes back as a replica.
    let other = &servers[1 - which];
    let role = match other.up && other.role == Role::Master {
        true => Role::Replica,
        false => Role::Master,
    };
    if !servers[which].up {
        servers[which].start(role, replid, with_file);
    }
}

fn master(running: &Running) -> Option<usize> {
    let servers = running.cluster().servers.lock();
    servers
        .iter()
        .position(|server| server.up && server.role == Role::Master)
}

/// The replica is promoted. The old master dies, or serves on for a while.
async fn failover(running: &Running, dies: bool) {
    let (cluster, world) = (running.cluster(), running.world());
    let (old, replid) = {
        let mut servers = cluster.servers.lock();
        let found = (0..2).find(|old| {
            let (master, replica) = (&servers[*old], &servers[1 - *old]);
            master.role == Role::Master && replica.up && replica.role == Role::Replica
        });
        let Some(old) = found else { return };
        if dies {
            servers[old].kill();
        }
        let replid = cluster.new_replid();
        servers[1 - old].promote(replid);
        world.say(servers[1 - old].name, "is promoted");
        (old, replid)
    };
    running.note_split();
    for node in running.nodes() {
        tokio::time::sleep(world.delay(0..=2_000)).await;
        node.link.turn_to(1 - old);
    }
    tokio::time::sleep(world.delay(0..=5_000)).await;
    follow(running, old, replid);
    running.note_split();
    // Nodes that were started meanwhile.
    running
        .nodes()
        .iter()
        .for_each(|it| it.link.turn_to(1 - old));
}

/// The old master becomes the replica of the new one, if that still is one.
fn follow(running: &Running, old: usize, replid: u64) {
    let mut servers = running.cluster().servers.lock();
    let (data, now) = servers[1 - old].replicated();
    let still = servers[1 - old].up && servers[1 - old].role == Role::Master && now == replid;
    if !still {
        return;
    }
    if !servers[old].up {
        servers[old].start(Role::Replica, replid, false);
    }
    servers[old].follow(data, replid);
    running.world().say(servers[old].name, "is a replica now");
}

/// Nothing goes wrong any more: one master, and everybody talks to it; every process runs.
///
/// # Errors
/// A mistake of the simulation.
pub async fn heal(running: &Arc<Running>) -> Result<()> {
    let world = running.world();
    world.calm_down();
    world.say("nemesis", "nothing goes wrong any more");
    // What is being done by hand comes to its end: the longest fault, twice over.
    tokio::time::sleep(Duration::from_secs(125)).await;
    {
        let mut servers = running.cluster().servers.lock();
        for server in servers.iter_mut() {
            server.hung = false;
            server.full = false;
        }
        let master = servers
            .iter()
            .position(|it| it.up && it.role == Role::Master)
            .unwrap_or(0);
        let replid = running.cluster().new_replid();
        if !servers[master].up {
            servers[master].start(Role::Master, replid, false);
        } else if servers[master].role == Role::Replica {
            servers[master].promote(replid);
        }
        let (data, replid) = servers[master].replicated();
        if !servers[1 - master].up {
            servers[1 - master].start(Role::Replica, replid, false);
        }
        servers[1 - master].follow(data, replid);
        for node in running.nodes() {
            node.link.turn_to(master);
        }
    }
    running.note_split();
    for partition in running.broker().partitions() {
        running.broker().set_leaderless(partition, false);
    }
    running.broker().set_full(false);
    running.store.set_up(true);
    running.end_other_projectors();
    running.projectors(Life::Running);
    // Once a newer program has claimed, an upgrade has to be finished.
    let finish = versions::is_newer_claimed(running.broker());
    for (index, node) in running.nodes().iter().enumerate() {
        node.link.set(Life::Running);
        if finish && node.link.version != Version::Next {
            running.kill_node(index);
            running.replace_node_by(index, Version::Next)?;
        }
        running.replace_node(index)?;
    }
    Ok(())
}
