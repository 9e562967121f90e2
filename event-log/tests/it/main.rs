//! Both logs, put through the same checks, and what only one of them can get wrong.

/// Runs every check of the conformance suite as a test of its own, over a log that `$open` gives.
macro_rules! conforms {
    ($open:path: $($check:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            let fixture = $open().await;
            event_log::conformance::$check(fixture.log()).await;
            fixture.close().await;
        }
    )*};
    ($open:path) => {
        conforms! { $open:
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
    };
}

mod broker;
mod kafka;
mod sqlite;
