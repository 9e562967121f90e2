//! One seed from its first command to the last check.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use command_api::gate::Refusal;
use event_log::RawRecord;
use personal_data::Secrets;
use record::epochs::EpochEntry;
use record::{Partition, Position};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::books::{Answer, Command, Wish};
use crate::checks::{self, Counts, Violation};
use crate::clients::Clients;
use crate::gate::cluster::Cluster;
use crate::log::broker::Broker;
use crate::measured::Measured;
use crate::nemesis;
use crate::node::Site;
use crate::plan::Plan;
use crate::randomness;
use crate::recovery;
use crate::replays;
use crate::shop;
use crate::site::Running;
use crate::snapshots::{self, Snapshots};
use crate::store::Store;
use crate::world::World;

/// The clients are at it for at most this long.
const SALE_MAX: Duration = Duration::from_secs(900);
/// After everything was put in order, all must work again within this time: the wait for a sign of
/// life doubles up to 160 s.
const RECOVERED_WITHIN: Duration = Duration::from_secs(600);

/// An address that nobody wants before the end.
const FRESH_ADDRESS: usize = 1_000_000;

/// What a run breaks that does not come to its checks.
const NO_PANIC: &str = "no panic";

/// What came of a seed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Commands of clients.
    pub commands: u64,
    /// Attempts by the kind of their answer.
    pub answers: BTreeMap<String, u64>,
    /// What went wrong, and how often.
    pub faults: BTreeMap<String, u64>,
    /// How often a recovery was struck, by what it had just done.
    pub struck: BTreeMap<String, u64>,
    /// How often a fold looked for a snapshot, by what came of it.
    pub snapshots: BTreeMap<String, u64>,
    /// What was looked at, by promise.
    pub looked: Counts,
    /// Epochs that were claimed.
    pub epochs: u64,
    /// Virtual time that it took.
    pub elapsed: Duration,
    /// What is broken.
    pub violations: Vec<Violation>,
    /// Names the history: two that differ in a letter have different ones.
    pub digest: String,
    /// The history, where it was asked for.
    pub lines: Vec<String>,
}

impl Outcome {
    /// A seed that told nothing.
    pub fn broke(seed: u64, why: impl Into<String>) -> Self {
        Self {
            seed,
            violations: vec![Violation::new(NO_PANIC, why)],
            ..Self::default()
        }
    }

    /// The same, but a run that did not come to its checks counts for nothing: whoever looks for a
    /// planted bug wants to see a promise broken, not a process that fell over.
    pub fn of_promises_only(mut self) -> Self {
        self.violations.retain(|broken| broken.promise != NO_PANIC);
        self
    }
}

/// Runs a seed. Once in a process, on a thread that nothing else ran on before: see
/// [`randomness`].
pub fn run(seed: u64, plan: Plan) -> Outcome {
    randomness::feed(seed);
    let measured = Measured::default();
    let played = || metrics::with_local_recorder(&measured, || on_this_thread(seed, plan));
    match catch_unwind(AssertUnwindSafe(played)) {
        Ok(Ok(outcome)) => Outcome {
            snapshots: measured.of(command_api::metrics::SNAPSHOTS_USED),
            ..outcome
        },
        Ok(Err(error)) => Outcome::broke(seed, format!("the simulation failed: {error:#}")),
        Err(panic) => Outcome::broke(seed, format!("panicked: {}", message(&*panic))),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a word").to_owned()
}

fn on_this_thread(seed: u64, plan: Plan) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let directory = snapshots::directory()?;
    runtime.block_on(played(seed, plan, &directory))
}

async fn played(seed: u64, plan: Plan, directory: &TempDir) -> Result<Outcome> {
    let world = World::new(seed, plan);
    let site = Site {
        world: Arc::clone(&world),
        cluster: Cluster::new(&world),
        broker: Broker::new(&world),
        secrets: Arc::new(Secrets::generate()),
        snapshots: Snapshots::new(&world.plan, directory).map(Arc::new),
    };
    let store = Store::new(&world)?;
    let running = Running::start(site, store)?;
    let clients = Clients::new(&world, &running);
    let nemesis = tokio::spawn(nemesis::rage(Arc::clone(&running)));
    tokio::spawn(recovery::strike(Arc::clone(&running)));
    tokio::spawn(nemesis::keep_copies(Arc::clone(&running)));
    let sale = tokio::spawn(sale(Arc::clone(&clients)));
    tokio::pin!(sale);
    let ended = tokio::time::timeout(SALE_MAX, &mut sale).await;
    clients.close();
    nemesis::heal(&running).await?;
    nemesis.await??;
    let mut violations = Vec::new();
    match ended {
        Ok(ended) => ended??,
        Err(_) => match tokio::time::timeout(RECOVERED_WITHIN, &mut sale).await {
            Ok(ended) => ended??,
            Err(_) => violations.push(Violation::new("liveness", "a client is never answered")),
        },
    }
    violations.extend(recovered(&running, &clients).await?);
    let mut looked = Counts::new();
    let books = clients.books();
    violations.extend(checks::check(&running, &books, &mut looked)?);
    for violation in &violations {
        world.say(
            "CHECK",
            format!("{} IS BROKEN: {}", violation.promise, violation.what),
        );
    }
    let lines = world.lines();
    let faults = world.faults().into_iter();
    let struck = world.recoveries.struck().into_iter();
    Ok(Outcome {
        seed,
        commands: books.len() as u64,
        answers: answers(&books),
        faults: faults.map(|(fault, n)| (fault.to_string(), n)).collect(),
        struck: struck.map(|(step, n)| (step.to_string(), n)).collect(),
        snapshots: BTreeMap::new(),
        looked,
        epochs: claims(&running),
        elapsed: world.elapsed(),
        violations,
        digest: digest(&lines, &running),
        lines,
    })
}

fn claims(running: &Running) -> u64 {
    let landed = running.broker().landed();
    let is_claim = |(_, position, raw): &&(Duration, Position, RawRecord)| {
        position.partition == Partition::EPOCHS
            && matches!(
                EpochEntry::decode(&raw.payload),
                Ok(EpochEntry::Claim { .. })
            )
    };
    landed.iter().filter(is_claim).count() as u64
}

fn digest(lines: &[String], running: &Running) -> String {
    let mut digest = Sha256::new();
    for line in lines {
        digest.update(line.as_bytes());
        digest.update(b"\n");
    }
    // What a line does not tell: the salt of a hash, the key that something is sealed with.
    for (_, _, raw) in running.broker().landed() {
        digest.update(&raw.payload);
    }
    let bytes = digest.finalize();
    bytes
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

async fn sale(clients: Arc<Clients>) -> Result<()> {
    clients.open_the_shop().await?;
    let count = clients.world().plan.clients;
    let all = (0..count).map(|number| tokio::spawn(Arc::clone(&clients).run(number)));
    for client in all.collect::<Vec<_>>() {
        client.await??;
    }
    Ok(())
}

/// Liveness: a new item can be supplied and ordered, nothing stays pending, and the projectors
/// catch up.
async fn recovered(running: &Arc<Running>, clients: &Arc<Clients>) -> Result<Vec<Violation>> {
    let world = running.world();
    let deadline = world.elapsed() + RECOVERED_WITHIN;
    let sku = "FRESH".to_owned();
    let lines = vec![(sku.clone(), 1)];
    let address = FRESH_ADDRESS;
    let again = (0..world.plan.items).map(|item| Wish::Move {
        sku: shop::sku(item),
        units: 1,
    });
    let fresh = [
        Wish::Put {
            sku: sku.clone(),
            price: 100,
        },
        Wish::Move { sku, units: 1 },
        Wish::Place { lines },
        Wish::Register { address },
        Wish::LogIn { address },
    ];
    let mut broken = Vec::new();
    // Every item is touched, so that damage which nobody met yet is found and mended.
    for wish in fresh.into_iter().chain(again) {
        loop {
            let keyed = !matches!(wish, Wish::LogIn { .. });
            let answer = clients.want("fresh", wish.clone(), keyed).await?;
            // The shop may never have got as far as this item.
            let no_item = answer == Answer::Refused(Refusal::NotFound);
            // An attempt before had another key, and nobody knew what became of it.
            let taken = answer == Answer::Refused(Refusal::EmailTaken);
            if matches!(answer, Answer::Done { .. }) || no_item || taken {
                break;
            }
            if world.elapsed() > deadline || !answer.asks_again() {
                let what = format!("a fresh command still fails at the end: {wish}: {answer}");
                broken.push(Violation::new("liveness", what));
                return Ok(broken);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let is_pending = || {
        let servers = running.cluster().servers.lock();
        let open = servers.iter().find_map(|server| server.open_data());
        open.is_some_and(|(_, data)| !data.pending(None).is_empty())
    };
    while is_pending() && world.elapsed() < deadline {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // The last copy may be of rows that have been replayed since.
    let replayed = replays::until_of_this_fold(running);
    match tokio::time::timeout(RECOVERED_WITHIN, replayed).await {
        Ok(replayed) => replayed?,
        Err(_) => {
            let what = "the rows of another fold are never replayed";
            broken.push(Violation::new("I5", what));
        }
    }
    if let Err(why) = running.projectors_caught_up(Duration::from_secs(120)).await {
        broken.push(Violation::new("I5", why));
    } else if world.plan.replayed_at_end {
        broken.extend(replays::last(running).await);
    }
    Ok(broken)
}

fn answers(books: &[Command]) -> BTreeMap<String, u64> {
    let mut answers = BTreeMap::new();
    for attempt in books.iter().flat_map(|command| &command.attempts) {
        *answers.entry(attempt.answer.kind().to_owned()).or_default() += 1;
    }
    answers
}
