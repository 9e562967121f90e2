//! How one process hangs in the world: running, paused, or gone.
//!
//! A process that is gone is one whose calls never return: its tasks stand still for ever, and from
//! outside that cannot be told from a kill. A paused one goes on where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::versions::Version;
use crate::world::World;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Running,
    /// It stands still and will go on.
    Paused,
    /// It will never go on.
    Gone,
}

/// Everything that a process sends or hears goes through its link.
#[derive(Debug)]
pub struct Link {
    /// The world around it.
    pub world: Arc<World>,
    /// Its name in histories.
    pub name: String,
    /// The version of its program.
    pub version: Version,
    life: watch::Sender<Life>,
    server: AtomicUsize,
}

impl Link {
    /// A process that runs today's program and talks to the gate's first server.
    pub fn new(world: &Arc<World>, name: impl Into<String>) -> Arc<Self> {
        Self::of(world, name, Version::Today)
    }

    /// The same of another version.
    pub fn of(world: &Arc<World>, name: impl Into<String>, version: Version) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            name: name.into(),
            version,
            life: watch::Sender::new(Life::Running),
            server: AtomicUsize::new(0),
        })
    }

    /// Waits until the process runs; for ever where it is gone.
    pub async fn pass(&self) {
        if *self.life.borrow() == Life::Running {
            return;
        }
        let mut life = self.life.subscribe();
        // The sender lives as long as the link does.
        let _ = life.wait_for(|life| *life == Life::Running).await;
    }

    /// What the process does now.
    pub fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// Lets the process run, pause or be gone for good.
    pub fn set(&self, life: Life) {
        self.life.send_modify(|now| {
            if *now != Life::Gone {
                *now = life;
            }
        });
    }

    /// Returns once the process is gone.
    pub async fn gone(&self) {
        let mut life = self.life.subscribe();
        let _ = life.wait_for(|life| *life == Life::Gone).await;
    }

    /// Returns once the process stands still.
    pub async fn paused(&self) {
        let mut life = self.life.subscribe();
        let _ = life.wait_for(|life| *life == Life::Paused).await;
    }

    /// Which of the gate's servers it talks to.
    pub fn server(&self) -> usize {
        self.server.load(Ordering::Relaxed)
    }

    /// Talks to another of the gate's servers from now on.
    pub fn turn_to(&self, server: usize) {
        self.server.store(server, Ordering::Relaxed);
    }
}
