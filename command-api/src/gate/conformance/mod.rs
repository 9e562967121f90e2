//! The contract of [`Gate`](super::Gate) as tests, run against every implementation.
//!
//! `conformance_of_gate!(open)` makes one test of each, where `open` is a [`MakeGate`]. The
//! implementations share no code, so this suite is what keeps them equal.

pub mod claims;
pub mod epochs;
pub mod fixture;
pub mod generations;
pub mod items;
pub mod keys;
pub mod pending;
pub mod settling;
pub mod stock;

use std::sync::Arc;

use super::Gate;

/// Makes an empty gate of its own whose generations of refusals have this many entries.
pub type MakeGate = fn(entries_per_generation: u64) -> Arc<dyn Gate>;

/// Makes a test of everything that a gate promises.
#[macro_export]
macro_rules! conformance_of_gate {
    ($open:path) => {
        $crate::conformance_of_gate! { $open;
            stock: the_last_unit_is_sold_once;
            stock: two_lines_of_one_sku_are_judged_by_their_sum;
            stock: a_refused_second_line_takes_nothing_of_the_first;
            stock: commands_of_one_call_see_each_others_effects;
            stock: a_call_of_any_length_is_decided_in_order;
            stock: a_thousand_buyers_at_once_get_what_there_is;
            stock: new_supply_can_be_sold_once_it_is_settled;
            stock: units_that_are_taken_out_leave_both_figures;
            stock: more_than_is_available_cannot_be_taken_out;
            stock: supply_stops_at_its_limit;
            stock: a_compare_and_set_needs_the_true_figure;
            stock: a_movement_of_nothing_in_the_catalogue_is_not_found;
            keys: the_same_call_twice_takes_once;
            keys: the_same_call_finds_its_first_run_after_it_was_settled;
            keys: a_call_without_a_key_is_known_by_its_record;
            keys: a_second_attempt_of_a_key_is_replayed;
            keys: a_key_with_another_request_is_reused;
            keys: a_key_of_an_earlier_epoch_is_replayed;
            keys: a_refusal_is_remembered;
            keys: a_refusal_without_a_key_is_known_by_its_record;
            keys: a_remembered_refusal_with_another_request_is_a_reused_key;
            keys: verdicts_that_ask_again_are_not_remembered;
            generations: a_generation_begins_when_one_is_full;
            generations: a_command_of_two_generations_ago_is_not_decided;
            generations: a_refusal_outlives_its_generation_by_one;
            generations: a_refusal_found_again_is_kept_longer;
            items: a_sku_without_anything_is_unknown;
            items: an_item_is_pending_until_its_creation_is_settled;
            items: a_record_waits_for_the_creation_of_its_item;
            items: changed_terms_are_given_back;
            items: a_refusal_needs_the_terms_that_it_rests_on;
            items: terms_change_when_they_are_settled;
            items: older_terms_never_replace_newer_ones;
            items: a_discontinued_item_is_refused_at_once;
            items: a_discontinuation_is_not_undone_by_an_older_change;
            items: a_snapshot_without_value_or_pending_record_is_damage;
            items: a_value_without_a_snapshot_is_damage;
            claims: a_claim_is_taken_when_it_is_decided;
            claims: a_taken_claim_is_refused_with_the_record_that_it_rests_on;
            claims: a_claim_finds_its_user;
            claims: a_claim_is_given_up_when_it_is_settled;
            claims: only_the_owner_gives_a_claim_up;
            pending: a_version_is_taken_once;
            pending: an_aggregate_is_loaded_with_everything_decided;
            pending: a_record_names_its_predecessor;
            pending: pending_records_are_listed_until_they_are_settled;
            pending: many_pending_records_are_listed_once_each;
            pending: a_refused_cancel_rests_on_the_cancel_before;
            pending: nothing_changes_by_looking;
            settling: a_cancel_gives_back_when_it_is_settled;
            settling: settling_twice_gives_once;
            settling: a_settled_key_has_its_position;
            settling: a_record_that_was_never_decided_gives_nothing;
            settling: settling_a_creation_and_its_supply_together_makes_both;
            settling: giving_to_an_item_that_never_was_is_damage;
            settling: a_pending_record_without_its_key_is_damage;
            settling: tails_start_at_the_highest_position;
            epochs: an_empty_gate_has_no_epoch;
            epochs: a_published_epoch_is_current;
            epochs: a_lower_epoch_is_closed_once_a_rebuild_begins;
            epochs: a_lower_epoch_is_never_published;
            epochs: a_rebuild_that_was_overtaken_is_not_published;
            epochs: an_epoch_that_was_opened_meanwhile_ends_with_a_higher_one;
            epochs: what_was_rebuilt_is_there;
            epochs: an_epoch_knows_nothing_of_the_one_before;
            epochs: refusals_begin_anew_with_an_epoch;
        }
    };
    ($open:path; $($room:ident: $name:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::gate::conformance::$room::$name($open).await;
            }
        )*
    };
}
