//! Clients: each wants one thing after the other, and tries again with the same key where it was
//! told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use domain::ids::{OrderId, UserId};
use domain::user::Role;
use parking_lot::Mutex;

use crate::books::{Answer, Attempt, Command, Made, Wish};
use crate::link::Life;
use crate::node::Node;
use crate::plan::Fault;
use crate::shop;
use crate::site::Running;
use crate::world::World;

/// The most attempts at one command.
const ATTEMPTS_MAX: u64 = 8;
/// How many times in a thousand a client asks again although it has its answer.
const ONCE_MORE_PER_MILLE: u64 = 50;

/// All clients of a run, and what they know.
#[derive(Debug)]
pub struct Clients {
    world: Arc<World>,
    running: Arc<Running>,
    left: AtomicUsize,
    numbers: AtomicUsize,
    books: Mutex<Vec<Command>>,
    orders: Mutex<Vec<OrderId>>,
    users: Mutex<Vec<UserId>>,
    /// Registrations that were acknowledged or refused: the next address is worth a try.
    registered: AtomicUsize,
}

impl Clients {
    /// Clients that have not begun.
    pub fn new(world: &Arc<World>, running: &Arc<Running>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            running: Arc::clone(running),
            left: AtomicUsize::new(world.plan.commands),
            numbers: AtomicUsize::new(0),
            books: Mutex::default(),
            orders: Mutex::default(),
            users: Mutex::default(),
            registered: AtomicUsize::new(0),
        })
    }

    /// The world.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Everything that was asked and answered.
    pub fn books(&self) -> Vec<Command> {
        self.books.lock().clone()
    }

    /// The shop opens: every item comes into the catalogue, with some units.
    ///
    /// # Errors
    /// A mistake of the simulation.
    pub async fn open_the_shop(&self) -> Result<()> {
        for item in 0..self.world.plan.items {
            let sku = shop::sku(item);
            let price = 100 + item as i64;
            let put = Wish::Put {
                sku: sku.clone(),
                price,
            };
            self.want("opener", put, true).await?;
            let units = self.world.roll(1..=12) as i64;
            self.want("opener", Wish::Move { sku, units }, true).await?;
        }
        Ok(())
    }

    /// No more commands are begun.
    pub fn close(&self) {
        self.left.store(0, Ordering::Relaxed);
    }

    /// One client, until all commands are spent.
    ///
    /// # Errors
    /// A mistake of the simulation.
    pub async fn run(self: Arc<Self>, number: usize) -> Result<()> {
        let name = format!("client-{number}");
        let take = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        while self.left.fetch_update(order, order, take).is_ok() {
            tokio::time::sleep(self.world.delay(0..=self.world.plan.think_max)).await;
            let wish = self.wish();
            // A log-in is a new one every time.
            let keyed = !matches!(wish, Wish::LogIn { .. }) && self.world.chance(850);
            self.want(&name, wish, keyed).await?;
        }
        Ok(())
    }

    fn wish(&self) -> Wish {
        let world = &self.world;
        let sku = |world: &World| shop::sku(world.pick(world.plan.items));
        match world.roll(1..=100) {
            1..=4 => Wish::Put {
                sku: sku(world),
                price: world.roll(1..=500) as i64,
            },
            5..=16 => Wish::Move {
                sku: sku(world),
                units: world.roll(1..=6) as i64,
            },
            17..=22 => Wish::Move {
                sku: sku(world),
                units: -(world.roll(1..=4) as i64),
            },
            23..=26 => Wish::Set {
                sku: sku(world),
                available: world.roll(0..=8) as i64,
                expected: world.roll(0..=4) as i64,
            },
            27 => Wish::Discontinue { sku: sku(world) },
            28..=33 => Wish::Register {
                address: self.address(),
            },
            34..=37 => Wish::LogIn {
                address: self.address(),
            },
            38..=42 => self.change_user(),
            43..=62 => self.cancel(),
            _ => self.place(),
        }
    }

    fn place(&self) -> Wish {
        let world = &self.world;
        let lines = (0..world.roll(1..=3)).map(|_| {
            let item = world.pick(world.plan.items);
            (shop::sku(item), world.roll(1..=3) as i64)
        });
        Wish::Place {
            lines: lines.collect(),
        }
    }

    /// An address that somebody may have, may be asking for, or that is free.
    fn address(&self) -> usize {
        let next = self.registered.load(Ordering::Relaxed);
        (next + self.world.pick(3)).saturating_sub(1)
    }

    fn change_user(&self) -> Wish {
        let world = &self.world;
        let users = self.users.lock();
        let Some(user) = users.get(world.pick(users.len())).copied() else {
            return Wish::Register { address: 0 };
        };
        match world.pick(3) {
            0 => Wish::SetRole {
                user,
                role: [Role::Customer, Role::Staff, Role::Admin][world.pick(3)],
            },
            _ => Wish::Rename {
                user,
                name: format!("Name {}", world.roll(1..=9)),
            },
        }
    }

    /// Cancels an order of late, now and then one that somebody else is cancelling as well.
    fn cancel(&self) -> Wish {
        let orders = self.orders.lock();
        if orders.is_empty() {
            drop(orders);
            return self.place();
        }
        let latest = orders.len().saturating_sub(6);
        let order = orders[latest + self.world.pick(orders.len() - latest)];
        Wish::Cancel { order }
    }

    /// Asks for something until there is an answer, or patience ends.
    ///
    /// # Errors
    /// A mistake of the simulation.
    pub async fn want(&self, name: &str, wish: Wish, keyed: bool) -> Result<Answer> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let key = keyed.then(|| format!("key-{number}"));
        let mut command = Command {
            fingerprint: format!("f{wish}"),
            wish,
            key,
            attempts: vec![],
        };
        let attempts = if keyed {
            self.world.roll(1..=ATTEMPTS_MAX)
        } else {
            1
        };
        let mut last = Answer::Unknown("never asked".to_owned());
        for attempt in 1..=attempts {
            let asked = self.attempt(name, number, &command).await?;
            last = asked.answer.clone();
            command.attempts.push(asked);
            // Now and then a client asks again for what is done. Not for what was refused: a
            // refusal is true of earlier attempts, and says nothing of a new one.
            let done = matches!(last, Answer::Done { .. });
            let again = last.asks_again() || done && self.world.chance(ONCE_MORE_PER_MILLE);
            if !again || attempt == attempts {
                break;
            }
            tokio::time::sleep(self.world.delay(20..=3_000)).await;
        }
        self.remember(&command);
        self.books.lock().push(command);
        Ok(last)
    }

    /// What other clients may ask about from now on.
    fn remember(&self, command: &Command) {
        let made = command
            .attempts
            .iter()
            .find_map(|attempt| match &attempt.answer {
                Answer::Done { made, .. } => Some(*made),
                _ => None,
            });
        match (&command.wish, made) {
            (Wish::Place { .. }, Some(Made::Order(order))) => self.orders.lock().push(order),
            (Wish::Register { address }, Some(Made::User(user))) => {
                self.users.lock().push(user);
                self.registered.fetch_max(address + 1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    async fn attempt(&self, name: &str, number: usize, command: &Command) -> Result<Attempt> {
        let world = &self.world;
        let sent = world.elapsed();
        let mut split = self.running.is_split();
        let node = self.running.any_node();
        let key = command.key.as_deref();
        let wish = &command.wish;
        let at = &node.link.name;
        let told = key.unwrap_or("no key");
        world.say(name, format!("#{number} asks {at} to {wish} ({told})"));
        let adopted = node.commands.committer().keeper().adopted();
        let answer = self.asked(&node, command).await?;
        split |= self.running.was_split_since(sent);
        world.say(name, format!("#{number} hears from {at}: {answer}"));
        Ok(Attempt {
            sent,
            answered: world.elapsed(),
            epoch: adopted,
            split,
            answer,
        })
    }

    async fn asked(&self, node: &Arc<Node>, command: &Command) -> Result<Answer> {
        let world = &self.world;
        if node.link.life() == Life::Gone {
            tokio::time::sleep(world.delay(1..=50)).await;
            return Ok(Answer::Unavailable("the connection is refused".to_owned()));
        }
        let patience = if world.strikes(Fault::HungUp) {
            world.delay(0..=200)
        } else {
            Duration::from_secs(20)
        };
        let request = shop::request(world, command.key.as_deref(), &command.fingerprint);
        let gone_away = |why: &str| Ok(Answer::Unknown(why.to_owned()));
        tokio::select! {
            biased;
            () = node.link.gone() => gone_away("the connection broke"),
            // A paused node answers when it goes on, if somebody still listens.
            answered = async {
                let answered = shop::ask(node, request, &command.wish).await;
                node.link.pass().await;
                answered
            } => answered,
            () = tokio::time::sleep(patience) => gone_away("the client hung up"),
        }
    }
}
