//! The contract of logs, kept by the simulated one.

use std::sync::Arc;

use event_log::{EventLog, conformance};
use simulation::link::Link;
use simulation::log::broker::Broker;
use simulation::log::connection::Connection;
use simulation::plan::Plan;
use simulation::world::World;

fn open() -> Arc<Connection> {
    let world = World::new(1, Plan::quiet());
    let (broker, link) = (Broker::new(&world), Link::new(&world, "node"));
    Connection::new(&broker, &link)
}

macro_rules! conforms {
    ($($check:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            conformance::$check(open()).await;
        }
    )*};
}

conforms! {
    appended_records_come_back_in_order
    a_tail_starts_in_the_middle
    a_tail_from_the_end_waits
    two_tails_show_the_same
    a_tail_reads_every_partition
    an_offset_past_the_end_is_shortened
    a_record_is_read_at_its_position
    every_task_keeps_its_order
    a_larger_payload_than_stated_is_refused
    a_tombstone_comes_back_empty
    one_append_can_be_waited_for
    a_flush_waits_for_everything
    a_healthy_log_passes_its_probe
    a_tail_that_is_not_read_blocks_nobody
}

/// Nobody closes this log: who opens it next finds it as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_a_reopening() {
    let world = World::new(1, Plan::quiet());
    let broker = Broker::new(&world);
    let log = Connection::new(&broker, &Link::new(&world, "node"));
    conformance::acknowledged_records_survive_a_reopening(log, async |log| {
        drop(log);
        Connection::new(&broker, &Link::new(&world, "another")) as Arc<dyn EventLog>
    })
    .await;
}
