//! What clients see: the same calls that a shop's clients make, over HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use contract::answers::Item;
use hyper::StatusCode;

use super::figures::Figure;
use super::stage::Stage;
use crate::load::call::{Bearer, Call};
use crate::load::connection::Target;
use crate::load::crowd::{Crowd, Ran, Shared, Until};
use crate::load::process::{Meter, Watched};
use crate::load::shop::{Shop, get, one_unit, order_call};
use crate::load::tally::Placed;

/// Accounts that the clients share; each has a token of its own.
const CUSTOMERS: usize = 8;
/// More units than any machine sells in a second.
const UNITS_PER_SECOND: u64 = 200_000;
/// Connections of the phase that reads orders.
const READERS: usize = 50;
/// Orders that are read, again and again.
const ORDERS_READ: usize = 10_000;
/// How long the one idle client is watched.
const IDLE_FOR: Duration = Duration::from_secs(3);
/// How long the read models may take to have everything.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

/// Everything that the phases share.
pub(crate) struct Phases {
    /// Clients of the phases that write.
    pub(crate) connections: usize,
    /// How long each measurement takes, after as long to warm up.
    pub(crate) duration: Duration,
    /// Whose tokens the clients use.
    pub(crate) customers: Arc<Vec<Bearer>>,
    hot: String,
    sold_out: String,
    shop: Shop,
    watched: Vec<Watched>,
}

/// The phase of accepted orders.
pub(crate) struct Accepted {
    /// Its figure.
    pub(crate) figure: Figure,
    /// Every order, those of the warm-up included.
    pub(crate) placed: Vec<Placed>,
    /// How long the read models took to have everything after the load's end.
    pub(crate) drained_after: Duration,
}

/// The phase of the one idle client.
pub(crate) struct Idle {
    /// Its figure.
    pub(crate) figure: Figure,
    /// How many orders it placed.
    pub(crate) placed: u64,
}

impl Phases {
    /// Sets the scene: a hot item with plenty of stock, one that is sold out, customers.
    ///
    /// # Errors
    /// When a call is refused.
    pub(crate) async fn prepare(
        stage: &Stage,
        connections: usize,
        duration: Duration,
    ) -> Result<Self> {
        let run = uuid::Uuid::now_v7().simple().to_string();
        let (hot, sold_out) = (format!("hot-{run}"), format!("sold-out-{run}"));
        let shop = stage.shop.clone();
        let seconds = 2 * duration.as_secs() + IDLE_FOR.as_secs();
        shop.stock(&hot, UNITS_PER_SECOND * seconds).await?;
        shop.stock(&sold_out, 0).await?;
        let customers = Arc::new(shop.customers(&run, CUSTOMERS).await?);
        let watched = stage.watched.clone();
        Ok(Self {
            connections,
            duration,
            customers,
            hot,
            sold_out,
            shop,
            watched,
        })
    }

    /// Orders of one unit of the hot item, all accepted. CPU time is counted until the read models
    /// have every order, for that is part of an order's price.
    ///
    /// # Errors
    /// When something else is answered, or the read models do not catch up.
    pub(crate) async fn accepted(&self) -> Result<Accepted> {
        let mut placed = self
            .order(&self.hot, self.connections, self.duration)
            .await?
            .tally
            .placed;
        self.drained(u64::try_from(placed.len())?).await?;
        let meter = Meter::start(&self.watched);
        let ran = self
            .order(&self.hot, self.connections, self.duration)
            .await?;
        let load_ended = Instant::now();
        all_were(&ran, StatusCode::CREATED)?;
        placed.extend(&ran.tally.placed);
        self.drained(u64::try_from(placed.len())?).await?;
        let drained_after = load_ended.elapsed();
        let count = ran.tally.of(StatusCode::CREATED);
        let figure =
            Figure::of_crowd("accepted orders, one hot SKU", count, &ran).costing(&meter.read());
        Ok(Accepted {
            figure,
            placed,
            drained_after,
        })
    }

    /// Orders of an item of which there is nothing.
    ///
    /// # Errors
    /// When something else is answered.
    pub(crate) async fn sold_out(&self) -> Result<Figure> {
        self.order(&self.sold_out, self.connections, self.duration / 2)
            .await?;
        let meter = Meter::start(&self.watched);
        let ran = self
            .order(&self.sold_out, self.connections, self.duration)
            .await?;
        all_were(&ran, StatusCode::CONFLICT)?;
        let count = ran.tally.sold_out;
        Ok(Figure::of_crowd("sold-out answers", count, &ran).costing(&meter.read()))
    }

    /// One client, nobody else.
    ///
    /// # Errors
    /// When something else than a 201 is answered.
    pub(crate) async fn idle_client(&self) -> Result<Idle> {
        let ran = self
            .order(&self.hot, 1, IDLE_FOR.min(self.duration))
            .await?;
        all_were(&ran, StatusCode::CREATED)?;
        let placed = ran.tally.of(StatusCode::CREATED);
        let figure = Figure::of_crowd("one idle client, accepted orders", placed, &ran);
        Ok(Idle { figure, placed })
    }

    /// Orders read by their owners.
    ///
    /// # Errors
    /// When one is not found.
    pub(crate) async fn read(&self, placed: &[Placed]) -> Result<Figure> {
        let calls = placed.iter().take(ORDERS_READ).map(|placed| {
            let owner = &self.customers[placed.call % CUSTOMERS];
            Ok(get(&format!("/v1/orders/{}", placed.order))?.by(owner))
        });
        let calls = Arc::new(calls.collect::<Result<Vec<Call>>>()?);
        let call = move |number: usize| calls[number % calls.len()].clone();
        crowd(&self.shop.reads, READERS, self.duration / 4, call.clone()).await?;
        let meter = Meter::start(&self.watched);
        let ran = crowd(&self.shop.reads, READERS, self.duration / 2, call).await?;
        all_were(&ran, StatusCode::OK)?;
        let count = ran.tally.of(StatusCode::OK);
        Ok(
            Figure::of_crowd("GET /v1/orders/{id}, 50 connections", count, &ran)
                .costing(&meter.read()),
        )
    }

    async fn order(&self, sku: &str, clients: usize, duration: Duration) -> Result<Ran> {
        let (body, customers) = (one_unit(sku), Arc::clone(&self.customers));
        let call = move |number: usize| order_call(&body, &customers[number % customers.len()]);
        crowd(&self.shop.writes, clients, duration, call).await
    }

    /// Waits until the read models have so many orders.
    ///
    /// # Errors
    /// When that takes too long.
    pub(crate) async fn drained(&self, ordered: u64) -> Result<Item> {
        match self
            .shop
            .caught_up(&self.hot, ordered, DRAINED_WITHIN)
            .await?
        {
            Some(item) => Ok(item),
            None => {
                bail!("the read models did not have {ordered} orders within {DRAINED_WITHIN:?}")
            }
        }
    }
}

/// Lets clients send what `call` gives, for so long.
///
/// # Errors
/// When a client cannot connect.
pub(crate) async fn crowd(
    target: &Target,
    clients: usize,
    duration: Duration,
    call: impl Fn(usize) -> Call + Send + Sync + 'static,
) -> Result<Ran> {
    let until = Until::Elapsed(duration);
    Crowd {
        target: target.clone(),
        clients,
        until,
    }
    .run(&Shared::default(), call)
    .await
}

fn all_were(ran: &Ran, status: StatusCode) -> Result<()> {
    let (as_expected, ended) = (ran.tally.of(status), ran.tally.ended());
    if as_expected == ended && ended > 0 {
        return Ok(());
    }
    let surprise = ran.tally.surprise.as_deref().unwrap_or("the wrong status");
    bail!(
        "{} of {ended} calls were not answered {status}: {surprise}",
        ended - as_expected
    )
}
