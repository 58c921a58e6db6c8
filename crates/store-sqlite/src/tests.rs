//! The promises of all stores, and those of this one.

mod backup;
mod counts;
mod crash;
mod due;
mod failure;
mod harness;
mod moving;
mod open;
mod runs;
mod sealed;
mod sums;
mod threads;

use harness::{FlushingHarness, SqliteHarness};
use hookpost_store::conformance::model;

hookpost_store::conformance_tests!(SqliteHarness::open());

#[test]
fn does_what_the_model_does() {
    model::check_against_model(0..25, SqliteHarness::open);
}

/// The same with every list, counter and key on its way to the tables all the time.
#[test]
fn does_what_the_model_does_while_runs_are_written() {
    model::check_against_model(100..125, FlushingHarness::open);
}
