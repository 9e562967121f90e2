//! The queue of each aggregate.
//!
//! What must hold: one command of an aggregate at a time; whoever waits has its turn; an empty
//! queue is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use record::AggregateType;
use shuttle::rand::{Rng as _, thread_rng};

use crate::gate::AggregateKey;
use crate::turns::Turns;

/// See the module.
pub fn run() {
    shuttle::future::block_on(async {
        let turns = Arc::new(Turns::default());
        let at_it: Arc<[AtomicU32; 2]> = Arc::default();
        let command = async |turns: Arc<Turns>, at_it: Arc<[AtomicU32; 2]>| {
            for _ in 0..2 {
                let which = usize::from(thread_rng().gen_range(0..3) == 0);
                let aggregate = AggregateKey {
                    kind: AggregateType::Orders,
                    id: which.to_string().into(),
                };
                let turn = turns.take(aggregate).await;
                let others = at_it[which].fetch_add(1, Ordering::SeqCst);
                assert_eq!(others, 0, "two commands of one aggregate have their turn");
                tokio::task::yield_now().await;
                at_it[which].fetch_sub(1, Ordering::SeqCst);
                drop(turn);
            }
        };
        let commands: Vec<_> = (0..3)
            .map(|_| tokio::spawn(command(Arc::clone(&turns), Arc::clone(&at_it))))
            .collect();
        for command in commands {
            command.await.expect("no task panics");
        }
        let left = format!("{turns:?}");
        assert!(left.contains("data: {}"), "a queue is left: {left}");
    });
}
