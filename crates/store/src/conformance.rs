//! The suite that every store passes: one test per promise, the same for all.
//!
//! A store implements [`Harness`] in its tests and expands the list:
//!
//! ```text
//! hookpost_store::conformance_tests!(MyHarness::open());
//! ```
//!
//! Time is an argument of every operation, so nothing here waits. [`model`] adds random sequences of operations, compared with the
//! memory store step by step.

pub mod access;
pub mod catalog;
pub mod delivery;
pub mod documents;
pub mod feed;
pub mod fixture;
pub mod history;
pub mod intake;
pub mod ledger;
pub mod model;
pub mod queue;
pub mod receipt;
pub mod receive;
pub mod source;
pub mod usage;

use async_trait::async_trait;

use crate::SharedStore;
use crate::queue::ReadyReceiver;

/// The capacity of the ready channel that a harness opens its store with: small, so that tests can fill it.
pub const READY_GROUPS: usize = 8;

/// A store under test, empty at first.
#[async_trait]
pub trait Harness: Send {
    fn store(&self) -> &SharedStore;

    fn ready(&mut self) -> &mut ReadyReceiver;

    /// What `kill -9` and a new start would do: drops the store without ceremony and opens what is left, with a new ready channel.
    async fn reopen(&mut self);

    /// Whether what is open after [`Self::reopen`] never heard of endpoints that were deleted before. No message is on its way to one then: whoever routed it is
    /// gone with the process.
    fn forgets_deleted_endpoints(&self) -> bool {
        false
    }
}

/// Expands to one `#[tokio::test]` per promise; `$open` makes a future of a fresh harness.
#[macro_export]
macro_rules! conformance_tests {
    ($open:expr) => {
        $crate::conformance_tests! { @modules $open;
            intake {
                accepts_and_hands_over
                what_was_acknowledged_survives_a_crash
                equal_keys_make_one_message
                equal_keys_at_the_same_moment_make_one_message
                keys_are_forgotten_after_their_window
                event_ids_are_unique_in_their_application
                event_ids_are_unique_also_at_the_same_moment
                a_repeated_request_is_no_duplicate_of_itself
                what_was_refused_leaves_no_trace
                unknown_applications_are_refused
                the_first_answer_kept_stays
                who_began_is_known
                later_messages_wait_for_their_time
                whoever_comes_after_a_backlog_joins_it
                a_full_channel_leaves_a_backlog
                targets_that_are_gone_end_as_canceled
                ids_grow_whatever_the_clock_does
                calls_get_ids_in_their_order
            }
            queue {
                due_comes_before_backlog_and_old_before_new
                claims_keep_their_bounds
                nothing_is_leased_twice
                released_deliveries_are_as_they_were
                records_are_written
                a_lost_lease_changes_nothing
                deliveries_may_end_without_a_try
                what_was_recorded_survives_a_crash
                leases_do_not_survive_a_crash
                an_ordered_lane_keeps_its_order
                attempts_by_hand_stand_outside_the_order
                lanes_are_found_again_at_start
                the_backlog_is_counted
            }
            delivery {
                finished_deliveries_are_sent_again
                sending_again_leaves_the_schedule_alone
                what_was_never_routed_can_be_sent
                what_cannot_be_sent_again_is_left_out
                one_request_at_a_time
                requests_survive_release_and_crash
                waiting_deliveries_are_canceled
                canceling_is_selective_and_comes_in_pieces
                canceling_calls_off_requests
                deliveries_end_with_their_endpoint
                deliveries_end_with_their_application
            }
            catalog {
                applications_are_found_by_id_and_uid
                applications_of_others_are_not_there
                uids_of_applications_are_unique_per_tenant
                refused_changes_leave_everything_as_it_was
                endpoints_stand_oldest_first_with_all_they_have
                uids_of_endpoints_are_unique_per_application
                what_is_not_there_is_not_found
                applications_are_listed_in_pages
                event_types_are_kept_per_tenant
                event_types_are_listed_in_pages
                tasks_are_kept_and_listed
                every_change_shows_in_the_version
                the_catalog_survives_a_crash
            }
            access {
                api_keys_are_found_by_hash
                api_keys_are_changed_in_place_or_not_at_all
                revocations_are_remembered
            }
            source {
                sources_are_found_with_all_they_have
                uids_of_sources_are_unique_per_tenant
                tokens_lead_to_their_source
                a_source_comes_and_goes_with_its_application
                an_application_of_others_stays_when_a_source_goes
                half_a_source_is_never_made
                sources_are_listed_in_pages
                sources_that_nobody_calls_are_listed_for_the_engine
                states_of_sources_are_kept_apart
                every_change_of_a_source_shows_in_the_version
            }
            receive {
                a_message_is_made_with_its_receipt
                what_is_refused_is_kept_and_makes_nothing
                a_body_that_is_not_the_payload_is_kept_beside_it
                the_same_event_makes_one_message
                what_is_known_can_be_asked
                the_same_event_at_the_same_moment_makes_one_message
                events_are_told_apart_for_the_window_of_their_source
                events_and_requests_to_the_api_never_meet
                a_message_that_is_refused_leaves_no_receipt
            }
            receipt {
                receipts_are_seen_at_their_source_only
                receipts_are_listed_in_pages
                receipts_are_filtered
                receipts_are_counted_by_verdict_and_minute
                a_body_goes_with_the_payload_of_its_message
                old_receipts_are_forgotten
                receipts_are_forgotten_in_pieces
            }
            history {
                messages_are_found_by_id_and_event_id
                messages_are_filtered
                messages_are_listed_in_pages
                deliveries_of_a_message_are_listed_in_pages
                messages_of_an_endpoint_are_filtered
                messages_of_an_endpoint_are_listed_in_pages
                attempts_are_filtered
                attempts_are_listed_in_pages
                deliveries_are_counted_by_status_and_minute
                payloads_are_expunged
                responses_are_expunged
                expired_payloads_are_forgotten
                old_messages_are_forgotten_with_all_they_had
                forgetting_comes_in_pieces
            }
            documents {
                documents_are_found_on_their_shelf_only
                names_of_documents_are_unique_on_their_shelf
                documents_are_listed_in_pages
                documents_are_changed_in_place_or_not_at_all
                a_document_is_deleted_once
                documents_go_with_what_owns_them
                documents_of_a_kind_are_listed_for_the_engine
                documents_are_forgotten_at_their_time
                every_change_of_a_document_shows_in_the_version
                typed_documents_come_back
            }
            ledger {
                progress_is_changed_where_it_stands
                nothing_is_lost_when_several_advance_at_once
                progress_is_forgotten_whatever_its_name
                logs_are_listed_in_pages
                entries_are_found_in_their_log_only
                old_entries_are_forgotten
            }
            feed {
                a_feed_has_the_messages_of_its_application_in_their_order
                a_feed_keeps_its_bounds
                whoever_reads_on_misses_nothing
                a_feed_has_what_is_left_of_messages
            }
            usage {
                what_is_sent_is_counted_by_event_type
                attempts_count_when_they_are_recorded
                usage_has_a_window
                what_makes_no_message_counts_for_nothing
                old_usage_is_exact_by_the_hour
                old_usage_is_forgotten
            }
        }
    };
    (@modules $open:expr; $($module:ident { $($name:ident)* })*) => {
        $( mod $module {
            #[allow(unused_imports)]
            use super::*;

            $( #[tokio::test]
            async fn $name() {
                $crate::conformance::$module::$name(&mut $open.await).await;
            } )*
        } )*
    };
}
