//! A flash sale: many buyers, few units, all at once; live on the screen, then its audit.
//!
//! By default on a throwaway server of its own, whose log `holdfast audit` then folds as well. On
//! a given server only what is public is looked at: the answers, the orders, the item and its
//! ledger. The exit code is 1 if anything does not add up.

mod checks;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use hyper::body::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::checks::Sold;
use crate::http;
use crate::load::call::Call;
use crate::load::check::{self, Check};
use crate::load::connection::Target;
use crate::load::crowd::{Crowd, Ran, Shared, Until, connections_max, look};
use crate::load::server::{Admin, Server, Throwaway};
use crate::load::shop::{Shop, one_unit, order_call};
use crate::load::table::milliseconds;
use crate::load::tally::Tally;
use crate::settings::SaleArgs;

/// Accounts that the buyers share: a password's hash is made to be slow, and it is not what is on
/// show here.
const CUSTOMERS: usize = 8;
/// How often the screen is brought up to date.
const REDRAW_EVERY: Duration = Duration::from_millis(50);
/// How long the read side may take to show what was sold.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);
/// What is on the screen while the sale runs.
const BAR: &str = "{bar:16.green/dim} {pos}/{len} answered · {msg}";

/// How a sale went, for programs.
#[derive(Debug, Serialize)]
struct Report {
    buyers: u32,
    stock: u32,
    connections: usize,
    sold: usize,
    sold_out: u64,
    errors: u64,
    retries: u64,
    took_ms: u128,
    p50_us: u128,
    p99_us: u128,
    checks: Vec<Check>,
    kept: bool,
}

/// Where the sale takes place.
struct Stage {
    /// The server of this run; killed when this is dropped.
    _server: Option<Server>,
    throwaway: Option<Throwaway>,
    shop: Shop,
}

/// Holds a sale and audits it.
///
/// # Errors
/// One sentence where it could not be held at all.
pub(crate) async fn run(args: SaleArgs) -> Result<ExitCode> {
    let stopping = CancellationToken::new();
    http::stop_on_signals(stopping.clone())?;
    let stopped = || anyhow!("the sale was stopped");
    let stage = tokio::select! {
        stage = Stage::set(&args) => stage?,
        () = stopping.cancelled() => return Err(stopped()),
    };
    let run = uuid::Uuid::now_v7().simple().to_string();
    let sku = format!("sale-{run}");
    // Not given up half-way: what is asked for may still come after it was taken back.
    let stocked = stage.shop.stock(&sku, args.stock.into()).await;
    let held = match stocked {
        Ok(()) => tokio::select! {
            held = hold(&args, &stage, &run, &sku) => held,
            () = stopping.cancelled() => Err(stopped()),
        },
        Err(error) => Err(error),
    };
    // However it ended, a shop does not go on selling what was only on show.
    let cleared = stage.clear(&sku).await;
    let code = held?;
    cleared?;
    Ok(code)
}

async fn hold(args: &SaleArgs, stage: &Stage, run: &str, sku: &str) -> Result<ExitCode> {
    let calls = prepare(&stage.shop, run, &one_unit(sku), args.buyers).await?;
    let connections = calls.len().min(connections_max());
    if !args.json {
        announce(args, connections);
    }
    let ran = sell(args, &stage.shop.writes, &calls, connections).await?;
    let sold = Sold {
        sku,
        stock: args.stock,
        calls: &calls,
        tally: &ran.tally,
    };
    let mut checks = sold.check(&stage.shop, CAUGHT_UP_WITHIN).await?;
    if let Some(throwaway) = &stage.throwaway {
        checks.push(check::of_the_log(throwaway).await?);
    }
    let report = report(args, connections, &ran, checks);
    print(&report, &ran.tally, args.json)?;
    Ok(if report.kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Stage {
    async fn set(args: &SaleArgs) -> Result<Self> {
        match &args.server {
            Some(url) => {
                let target = Target::parse(url)?;
                let shop = Shop::open(&target, &target, &admin_of_the_environment()?).await?;
                Ok(Self {
                    _server: None,
                    throwaway: None,
                    shop,
                })
            }
            None => {
                let throwaway = Throwaway::new(vec![])?;
                let server = throwaway.start_role("serve").await?;
                let shop = Shop::open(&server.target, &server.target, &throwaway.admin).await?;
                Ok(Self {
                    _server: Some(server),
                    throwaway: Some(throwaway),
                    shop,
                })
            }
        }
    }
}

impl Stage {
    /// Takes the item out of the catalogue where that is somebody's; a throwaway server goes as a
    /// whole.
    async fn clear(&self, sku: &str) -> Result<()> {
        if self.throwaway.is_some() {
            return Ok(());
        }
        let cleared = self.shop.discontinue(sku).await;
        cleared.with_context(|| format!("{sku} may still be on sale; discontinue it"))
    }
}

fn admin_of_the_environment() -> Result<Admin> {
    let variable = |name| {
        std::env::var(name)
            .with_context(|| format!("{name} is not set; it names an administrator of that server"))
    };
    let (email, password) = (
        variable("HOLDFAST_ADMIN_EMAIL")?,
        variable("HOLDFAST_ADMIN_PASSWORD")?,
    );
    Ok(Admin { email, password })
}

/// One order per buyer, each under a key of its own.
async fn prepare(shop: &Shop, run: &str, body: &Bytes, buyers: u32) -> Result<Arc<Vec<Call>>> {
    let count = CUSTOMERS.min(usize::try_from(buyers)?);
    let customers = shop.customers(run, count).await?;
    let shared = customers.iter().cycle().take(usize::try_from(buyers)?);
    Ok(Arc::new(
        shared.map(|customer| order_call(body, customer)).collect(),
    ))
}

fn announce(args: &SaleArgs, connections: usize) {
    let SaleArgs { buyers, stock, .. } = args;
    println!("A flash sale: {buyers} buyers want one unit each, {stock} are in stock.");
    println!("The buyers share {CUSTOMERS} accounts; every order has a key of its own.");
    if connections < usize::try_from(*buyers).unwrap_or(usize::MAX) {
        println!(
            "They share {connections} connections, for more descriptors are not allowed here (ulimit -n)."
        );
    }
}

/// Lets all buyers order at once, and shows how it goes.
async fn sell(
    args: &SaleArgs,
    target: &Target,
    calls: &Arc<Vec<Call>>,
    connections: usize,
) -> Result<Ran> {
    let until = Until::Calls(calls.len());
    let crowd = Crowd {
        target: target.clone(),
        clients: connections,
        until,
    };
    let (shared, calls) = (Shared::default(), Arc::clone(calls));
    // On stderr, and only where that is a terminal.
    let screen = if args.json {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(args.buyers.into())
    };
    screen.set_style(ProgressStyle::with_template(BAR)?);
    let selling = crowd.run(&shared, move |call| calls[call].clone());
    tokio::pin!(selling);
    let mut redraw = tokio::time::interval(REDRAW_EVERY);
    let ran = loop {
        tokio::select! {
            ran = &mut selling => break ran?,
            _ = redraw.tick() => draw(&screen, &look(&shared), args.stock),
        }
    };
    draw(&screen, &ran.tally, args.stock);
    screen.abandon();
    Ok(ran)
}

fn draw(screen: &ProgressBar, tally: &Tally, stock: u32) {
    screen.set_message(format!(
        "sold {}/{stock} · sold out {} · errors {} · p50 {} ms · p99 {} ms",
        tally.placed.len(),
        tally.sold_out,
        tally.errors(),
        milliseconds(tally.latency(0.5)),
        milliseconds(tally.latency(0.99)),
    ));
    screen.set_position(tally.ended());
}

fn report(args: &SaleArgs, connections: usize, ran: &Ran, checks: Vec<Check>) -> Report {
    let tally = &ran.tally;
    Report {
        buyers: args.buyers,
        stock: args.stock,
        connections,
        sold: tally.placed.len(),
        sold_out: tally.sold_out,
        errors: tally.errors(),
        retries: tally.retries,
        took_ms: ran.took.as_millis(),
        p50_us: tally.latency(0.5).as_micros(),
        p99_us: tally.latency(0.99).as_micros(),
        kept: check::all_kept(&checks),
        checks,
    }
}

fn print(report: &Report, tally: &Tally, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    println!(
        "\n{} sold, {} sold out, {} errors, {} sent again; {} ms, p50 {} ms, p99 {} ms\n",
        report.sold,
        report.sold_out,
        report.errors,
        report.retries,
        report.took_ms,
        milliseconds(tally.latency(0.5)),
        milliseconds(tally.latency(0.99)),
    );
    if let Some(surprise) = &tally.surprise {
        println!("The first answer that nobody expected: {surprise}\n");
    }
    check::print(&report.checks);
    Ok(())
}
