//! Plays a history: sends each round's commands at once, and compares what was answered, what is
//! read and what stands in the log.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::history::{CUSTOMERS, Command, Fault, History, Numbered, OPENING_PRICE, Round, SKUS};
use super::ledger::change::Change;
use super::ledger::{Broken, Ledger};
use super::log::{Log, Sums};
use super::request::{Names, Sender, Sending};
use crate::harness::{Answer, Client, Server, System};

/// Access tokens are good for ten minutes; nobody plays for that long with one.
const LOGGED_IN_FOR: Duration = Duration::from_secs(300);

/// A running shop in which histories are played, one after the other.
pub(crate) struct Shop {
    system: System,
    redis: Option<Server>,
    log: Log,
    people: People,
    played: u32,
}

/// Who acts.
struct People {
    admin: Client,
    customers: Vec<Client>,
    since: Instant,
}

/// One play of a history.
struct Play {
    names: Names,
    ledger: Ledger,
    /// Of everything that was acknowledged.
    tokens: Vec<String>,
    /// What was answered, for people.
    transcript: String,
}

impl People {
    async fn of(system: &System) -> Self {
        let mut customers = vec![];
        for _ in CUSTOMERS {
            customers.push(system.customer().await);
        }
        Self {
            admin: system.admin().await,
            customers,
            since: Instant::now(),
        }
    }

    fn client(&self, sender: Sender) -> &Client {
        match sender {
            Sender::Admin => &self.admin,
            Sender::Customer(customer) => &self.customers[customer],
        }
    }
}

impl Shop {
    pub(crate) async fn of(system: System) -> Self {
        Self {
            log: Log::of(&system).await,
            people: People::of(&system).await,
            system,
            redis: None,
            played: 0,
        }
    }

    /// The same, over a Redis that may be flushed.
    pub(crate) fn over(self, redis: Server) -> Self {
        let redis = Some(redis);
        Self { redis, ..self }
    }

    /// Plays a history.
    ///
    /// # Errors
    /// The promise that broke, and what was answered until then.
    pub(crate) async fn play(&mut self, history: &History) -> Result<(), String> {
        if self.people.since.elapsed() > LOGGED_IN_FOR {
            self.people = People::of(&self.system).await;
        }
        self.played += 1;
        let mut play = Play {
            names: Names(self.played),
            ledger: Ledger::default(),
            tokens: vec![],
            transcript: String::new(),
        };
        let played = self.all_rounds(&mut play, history).await;
        played.map_err(|broken| format!("{broken}\n\nAnswered:{}", play.transcript))
    }

    async fn all_rounds(&mut self, play: &mut Play, history: &History) -> Result<(), Broken> {
        for round in opening(history) {
            self.round(play, &round).await?;
        }
        for round in &history.rounds {
            self.round(play, round).await?;
        }
        self.sell_out(play).await?;
        self.compare_with_log(play).await
    }

    /// Sends a round's commands at once, each until its outcome is known.
    async fn round(&mut self, play: &mut Play, round: &Round) -> Result<(), Broken> {
        let mut sendings = vec![];
        for numbered in &round.commands {
            if let Some(sending) = Sending::of(numbered, &play.names, &play.ledger) {
                play.ledger.sent(&sending);
                sendings.push(sending);
            }
        }
        let answered = Semaphore::new(0);
        let people = &self.people;
        let answers = join_all(sendings.iter().map(async |sending| {
            let client = people.client(sending.request.sender);
            let answer = client
                .send_until_known(|client| sending.request.call(client))
                .await;
            answered.add_permits(1);
            answer
        }));
        let fault = async {
            if let Some(fault) = round.fault {
                // In the midst of the round, if it has one.
                let half = u32::try_from(sendings.len() / 2).unwrap();
                let _half = answered.acquire_many(half).await.unwrap();
                befall(&mut self.system, self.redis.as_ref(), fault).await;
            }
        };
        let (answers, ()) = tokio::join!(answers, fault);
        let answered: Vec<_> = sendings.into_iter().zip(answers).collect();
        play.note(round, &answered);
        let before: Vec<_> = play.ledger.items().collect();
        let change = play.ledger.take_in(&answered, round.fault.is_some())?;
        self.compare_with_reads(play, &before, &change).await
    }

    /// Every item as it is read, once the reader has seen all that was acknowledged.
    async fn compare_with_reads(
        &self,
        play: &mut Play,
        before: &[(usize, super::ledger::Item)],
        change: &Change,
    ) -> Result<(), Broken> {
        let reader = &self.people.customers[0];
        let token = play.tokens.join(",");
        for sku in 0..SKUS.len() {
            let path = format!("/v1/inventory/{}", play.names.sku(sku));
            let read = reader.get(&path, &token).await;
            let ledger = &mut play.ledger;
            let item = ledger.items().find(|(of, _)| *of == sku);
            let Some((_, item)) = item else {
                if read.status == 404 {
                    continue;
                }
                return Err(format!("I4: nobody created it: {}", read.body));
            };
            let figures = ["supplied", "held", "available", "sold"].map(|name| read.number(name));
            let expected = [item.supplied, ledger.held(sku), ledger.available(sku), 0];
            if figures != expected || read.body["settling"] != false {
                let what = "supplied, held, available, sold";
                return Err(format!(
                    "I1, I4: {what}: {expected:?}, but read: {}",
                    read.body
                ));
            }
            let price = read.body["price"]["amount"].as_i64().unwrap_or(-1);
            let active = read.body["status"] == "active";
            let was = before
                .iter()
                .find(|(of, _)| *of == sku)
                .map(|(_, item)| item);
            let was_active = was.map(|item| item.active);
            if !change.may_become(was_active, sku, active)
                || !change.may_cost(was.map(|item| item.price), sku, price)
            {
                return Err(format!("I4: no command made it this: {}", read.body));
            }
            ledger.reads(sku, price, active);
        }
        Ok(())
    }

    /// The gate has what the ledger has: all that is available can be ordered, and not one more.
    async fn sell_out(&mut self, play: &mut Play) -> Result<(), Broken> {
        let items: Vec<_> = play.ledger.items().collect();
        for (sku, item) in items {
            let order = |units| Command::Place {
                customer: 0,
                lines: vec![(sku, units)],
            };
            if !item.active {
                let price = item.price;
                self.alone(play, Command::Put { sku, price }).await?;
            }
            let available = play.ledger.available(sku);
            if available > 0 {
                self.alone(play, order(available)).await?;
            }
            self.alone(play, order(1)).await?;
            let left = play.ledger.available(sku);
            if left != 0 {
                return Err(format!("T28: {left} {} cannot be sold", SKUS[sku]));
            }
        }
        Ok(())
    }

    /// A round of one command.
    async fn alone(&mut self, play: &mut Play, command: Command) -> Result<(), Broken> {
        let number = play.ledger.next_number();
        let commands = vec![Numbered { number, command }];
        let fault = None;
        self.round(play, &Round { fault, commands }).await
    }

    /// Every order as it is read, the ledger of every item, and the log itself.
    async fn compare_with_log(&mut self, play: &Play) -> Result<(), Broken> {
        let (ledger, token) = (&play.ledger, play.tokens.join(","));
        let mut expected = Sums::default();
        for order in ledger.orders() {
            let client = &self.people.customers[order.customer];
            let read = client
                .get(&format!("/v1/orders/{}", order.id), &token)
                .await;
            let status = if order.live { "placed" } else { "cancelled" };
            let total = read.body["total"]["amount"].as_i64();
            if read.body["status"] != status || total != Some(order.total) {
                return Err(format!(
                    "I4: an order {status} of {}: {}",
                    order.total, read.body
                ));
            }
            expected.orders.insert(order.id.clone());
        }
        for (sku, item) in ledger.items() {
            let name = play.names.sku(sku);
            let path = format!("/v1/inventory/{name}/movements");
            let rows = self.people.admin.list(&path).await;
            let sum: i64 = rows.iter().filter_map(|row| row["quantity"].as_i64()).sum();
            let available = ledger.available(sku);
            if sum != available {
                return Err(format!(
                    "I4: the ledger of {name} is {sum}, not {available}: {rows:?}"
                ));
            }
            if !rows.is_empty() {
                expected.stock.insert(name, (item.supplied, available));
            }
        }
        self.log.catch_up().await;
        let found = self.log.sums(&play.names.prefix());
        if found != expected {
            return Err(format!(
                "I2, I6: acknowledged {expected:#?}, but the log has {found:#?}"
            ));
        }
        let ids = ledger.orders().map(|order| Uuid::parse_str(&order.id));
        self.log.audit(&ids.collect::<Result<Vec<_>, _>>().unwrap())
    }

    /// The end: everything has drained (I5), and the operator's audit, which compares the read
    /// models and the gate too, finds every promise kept.
    pub(crate) async fn close(self) {
        self.system.ready().await;
        self.system.agrees().await;
    }
}

impl Play {
    /// Notes what came back.
    fn note(&mut self, round: &Round, answered: &[(Sending, Answer)]) {
        self.transcript.push_str("\n---");
        for (sending, answer) in answered {
            let replayed = if answer.replayed { ", replayed" } else { "" };
            let (numbered, status, code) = (&sending.numbered, answer.status, answer.code());
            let _ = write!(self.transcript, "\n{numbered}: {status} {code}{replayed}");
            if !answer.token.is_empty() && !self.tokens.contains(&answer.token) {
                self.tokens.push(answer.token.clone());
            }
        }
        if let Some(fault) = round.fault {
            let _ = write!(self.transcript, "\nand meanwhile {fault}");
        }
    }
}

/// The rounds that make the shop: items, then their stock.
fn opening(history: &History) -> Vec<Round> {
    let created = history.opening.iter().enumerate();
    let created: Vec<_> = created
        .filter_map(|(sku, units)| Some((sku, (*units)?)))
        .collect();
    let put = |(sku, _): &(usize, i64)| Command::Put {
        sku: *sku,
        price: OPENING_PRICE,
    };
    let receive = |(sku, units): &(usize, i64)| Command::Move {
        sku: *sku,
        units: *units,
    };
    let stocked = created.iter().filter(|(_, units)| *units > 0);
    // Numbers that no history reaches.
    let round = |commands: Vec<Command>, first: usize| Round {
        fault: None,
        commands: commands
            .into_iter()
            .enumerate()
            .map(|(index, command)| Numbered {
                number: first + index,
                command,
            })
            .collect(),
    };
    vec![
        round(created.iter().map(put).collect(), 1_000),
        round(stocked.map(receive).collect(), 1_100),
    ]
}

/// Lets a fault happen, and mends what does not mend itself.
async fn befall(system: &mut System, redis: Option<&Server>, fault: Fault) {
    match (fault, redis) {
        (Fault::KillServer, _) => {
            system.command_apis[0].kill().await;
            system.command_apis[0] = system.start_command_api().await;
            system.publish();
        }
        (Fault::FlushRedis, Some(redis)) => redis.command("FLUSHALL"),
        (Fault::FlushScripts, Some(redis)) => redis.command("SCRIPT FLUSH"),
        (fault, None) => panic!("this shop has no Redis of its own, so not: {fault}"),
    }
}
