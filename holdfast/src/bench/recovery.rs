//! How long a node takes to serve again when the gate has lost everything, with a long log and
//! many living orders: without a snapshot and with one. How long a planned change of the epoch
//! makes commands wait. Whether the commit path gets slower as the log grows. What the gate takes.

mod fill;
mod memory;
mod place;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use command_api::commands::Commands;
use command_api::commit::Request;
use domain::ids::UserId;
use domain::order::RequestedLine;
use domain::quantity::Quantity;
use domain::sku::Sku;
use record::{Actor, RecordedKey};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::fill::{Filler, Shape};
use self::place::{Place, bytes_of, peak_memory};
use super::unless_stopped;
use crate::http;
use crate::load::process::Meter;
use crate::load::table::{Side, Table};
use crate::settings::BenchArgs;
use crate::write_side::WriteSide;

/// Records in the log at which the commit path is measured, beside the full log.
const STAGES: [u64; 2] = [1_000, 100_000];
/// Orders that are placed at once.
const CLIENTS: usize = 256;
/// How long commands are measured.
const COMMITTING: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    what: String,
    figure: String,
    /// CPU time by process, where it can be seen.
    cpu: String,
}

/// Measures, and prints.
///
/// # Errors
/// One sentence that says what could not be measured.
pub(super) async fn run(args: &BenchArgs) -> Result<()> {
    let stopping = CancellationToken::new();
    http::stop_on_signals(stopping.clone())?;
    let mut measured = vec![];
    for part in [Part::Growing, Part::Whole] {
        let place = Place::make(args).await?;
        let of_part = unless_stopped(&stopping, measure(args, &place, part)).await;
        // Whatever went wrong, nothing is left behind.
        let cleared = place.clear().await;
        measured.extend(of_part?);
        cleared?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        let columns = [
            ("what", Side::Left),
            ("figure", Side::Right),
            ("CPU", Side::Left),
        ];
        let mut table = Table::new(&columns);
        for Measured { what, figure, cpu } in measured {
            table.row([what, figure, cpu]);
        }
        print!("{}", table.render());
    }
    Ok(())
}

/// What is measured over a log of its own: orders that are placed while it grows are of today, and
/// no record behind them may be years old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The commit path while the log is short.
    Growing,
    /// All else, once the log is as long as was asked for.
    Whole,
}

struct Bench<'a> {
    place: &'a Place,
    quiet: bool,
    measured: Vec<Measured>,
}

async fn measure(args: &BenchArgs, place: &Place, part: Part) -> Result<Vec<Measured>> {
    let mut bench = Bench {
        place,
        quiet: args.json,
        measured: vec![],
    };
    bench.part(args, part).await?;
    Ok(bench.measured)
}

impl Bench<'_> {
    async fn part(&mut self, args: &BenchArgs, part: Part) -> Result<()> {
        let shape = Shape {
            records: args.records,
            live: args.live_orders,
            days: args.days,
        };
        let (place, first) = (self.place, self.place.node(false).await?);
        let epoch = first.commands.committer().keeper().open().await;
        let epoch = epoch.map_err(anyhow::Error::msg)?.number();
        first.finish(Duration::from_secs(5)).await;
        drop(first);
        let log = Arc::clone(&place.log);
        let mut filler = Filler::begin(log, epoch, place.currency, shape).await?;
        let sku = filler.sku();
        if part == Part::Whole {
            let (meter, began) = (Meter::start(&place.watched), Instant::now());
            filler.until(shape.records).await?;
            self.tell("log filled", began.elapsed(), &meter);
            return self.full(&sku, shape).await;
        }
        for stage in STAGES.into_iter().filter(|stage| *stage < shape.records) {
            filler.until(stage).await?;
            let node = self.started(stage).await?;
            self.commits(&node, &sku, stage).await?;
            node.finish(Duration::from_secs(5)).await;
            filler.goes_on_in(epoch_of(&node).await?);
        }
        Ok(())
    }

    async fn full(&mut self, sku: &Sku, shape: Shape) -> Result<()> {
        let place = self.place;
        peak_memory();
        let node = self.started(shape.records).await?;
        self.say(
            "memory of the node at its peak",
            in_megabytes(peak_memory()),
        );
        self.commits(&node, sku, shape.records).await?;
        let node = self
            .lost(node, sku, "gate lost, no snapshot: answers after", false)
            .await?;
        if let Some(redis) = place.redis()? {
            for (name, entries, bytes) in redis.sizes().await? {
                let each = bytes.checked_div(entries).unwrap_or(0);
                let figure = format!("{entries} × {each} B = {} MB", bytes / 1_000_000);
                self.say(&format!("Redis: {name}"), figure);
            }
        }
        // From here on with snapshots; the gate stays as it is.
        node.finish(Duration::from_secs(5)).await;
        drop(node);
        let node = place.node(true).await?;
        peak_memory();
        let (meter, began) = (Meter::start(&place.watched), Instant::now());
        let keeper = node.commands.committer().keeper();
        let stored = keeper.make_snapshot().await.map_err(anyhow::Error::msg)?;
        self.tell(
            "snapshot made out of the whole log",
            began.elapsed(),
            &meter,
        );
        self.say(
            "memory of the node at its peak",
            in_megabytes(peak_memory()),
        );
        let directory = stored
            .path
            .parent()
            .context("a snapshot is in a directory")?;
        self.say("snapshot", in_megabytes(Some(bytes_of(directory)?)));
        let node = self
            .lost(node, sku, "gate lost, with a snapshot: answers after", true)
            .await?;
        self.change(&node, sku).await?;
        node.finish(Duration::from_secs(5)).await;
        self.measured.extend(memory::of_pieces(place).await?);
        Ok(())
    }

    /// A node that starts with an empty gate.
    async fn started(&mut self, records: u64) -> Result<WriteSide> {
        self.place.lose().await?;
        let (meter, began) = (Meter::start(&self.place.watched), Instant::now());
        let node = self.place.node(false).await?;
        let what = format!("start on {records} records, gate empty");
        self.tell(&what, began.elapsed(), &meter);
        Ok(node)
    }

    /// Loses the gate under a running node, and waits until it answers again.
    async fn lost(
        &mut self,
        mut node: WriteSide,
        sku: &Sku,
        what: &str,
        snapshots: bool,
    ) -> Result<WriteSide> {
        let (meter, began) = (Meter::start(&self.place.watched), Instant::now());
        if self.place.redis()?.is_some() {
            self.place.lose().await?;
        } else {
            node = self.place.node(snapshots).await?;
        }
        while order(&node.commands, sku).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.tell(what, began.elapsed(), &meter);
        Ok(node)
    }

    /// Orders for some seconds, all that the commit path takes.
    async fn commits(&mut self, node: &WriteSide, sku: &Sku, records: u64) -> Result<()> {
        let (meter, began) = (Meter::start(&self.place.watched), Instant::now());
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let (commands, sku) = (node.commands.clone(), sku.clone());
            clients.spawn(async move {
                let mut placed = 0_u64;
                while began.elapsed() < COMMITTING {
                    placed += u64::from(order(&commands, &sku).await.is_ok());
                }
                placed
            });
        }
        let placed: u64 = clients.join_all().await.into_iter().sum();
        let a_second = u128::from(placed) * 1_000 / began.elapsed().as_millis().max(1);
        let each = meter.read().into_iter().map(|(name, cpu)| {
            let nanoseconds = cpu.as_nanos() / u128::from(placed.max(1));
            format!("{name} {} µs", nanoseconds / 1_000)
        });
        self.push(Measured {
            what: format!("orders a second at {records} records"),
            figure: a_second.to_string(),
            cpu: format!("each: {}", each.collect::<Vec<_>>().join(", ")),
        });
        Ok(())
    }

    /// A planned change while clients order; the longest that one of them waited for any answer.
    async fn change(&mut self, node: &WriteSide, sku: &Sku) -> Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let longest = Arc::new(AtomicU64::new(0));
        let (last, mut clients) = (Arc::new(AtomicU64::new(0)), tokio::task::JoinSet::new());
        for _ in 0..8 {
            let (commands, sku, stop) = (node.commands.clone(), sku.clone(), Arc::clone(&stop));
            let (longest, last) = (Arc::clone(&longest), Arc::clone(&last));
            clients.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if order(&commands, &sku).await.is_ok() {
                        let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                        let before = last.fetch_max(now, Ordering::Relaxed);
                        longest.fetch_max(now.saturating_sub(before), Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        let (meter, asked) = (Meter::start(&self.place.watched), Instant::now());
        let keeper = node.commands.committer().keeper();
        let changed = keeper.change_epoch("a benchmark").await;
        let changed = changed.map_err(anyhow::Error::msg)?;
        self.tell(
            "planned change of the epoch, with its preparation",
            asked.elapsed(),
            &meter,
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.store(true, Ordering::Relaxed);
        clients.join_all().await;
        self.say(
            "its pause, as the node says",
            in_milliseconds(changed.pause),
        );
        let gap = Duration::from_millis(longest.load(Ordering::Relaxed));
        self.say(
            "its pause, between two accepted orders",
            in_milliseconds(gap),
        );
        Ok(())
    }

    fn tell(&mut self, what: &str, took: Duration, meter: &Meter) {
        let cpu = meter.read().into_iter();
        let cpu = cpu.map(|(name, cpu)| format!("{name} {} s", tenths(cpu)));
        self.push(Measured {
            what: what.to_owned(),
            figure: format!("{} s", tenths(took)),
            cpu: cpu.collect::<Vec<_>>().join(", "),
        });
    }

    fn say(&mut self, what: &str, figure: String) {
        self.push(Measured {
            what: what.to_owned(),
            figure,
            cpu: String::new(),
        });
    }

    /// Told as it comes, for a run takes minutes.
    fn push(&mut self, measured: Measured) {
        if !self.quiet {
            let Measured { what, figure, cpu } = &measured;
            eprintln!("{what}: {figure} {cpu}");
        }
        self.measured.push(measured);
    }
}

async fn epoch_of(node: &WriteSide) -> Result<u64> {
    let open = node.commands.committer().keeper().open().await;
    Ok(open.map_err(anyhow::Error::msg)?.number())
}

/// Places an order of one unit, under a key of its own.
async fn order(commands: &Commands, sku: &Sku) -> Result<()> {
    let user = UserId(Uuid::from_u128(7));
    let hash = || Uuid::new_v4().simple().to_string();
    let request = Request {
        actor: Actor::User {
            id: user,
            role: domain::user::Role::Customer,
        },
        key: Some(RecordedKey {
            key: hash(),
            fingerprint: hash(),
        }),
        correlation_id: Uuid::now_v7(),
        traceparent: None,
    };
    let line = RequestedLine {
        sku: sku.clone(),
        quantity: Quantity::new(1)?,
    };
    commands.place_order(request, user, vec![line]).await?;
    Ok(())
}

fn tenths(duration: Duration) -> String {
    let tenths = duration.as_millis() / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn in_milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

fn in_megabytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || "unknown".to_owned(),
        |bytes| format!("{} MB", bytes / 1_000_000),
    )
}
