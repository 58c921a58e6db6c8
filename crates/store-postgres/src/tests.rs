//! The promises of all stores, and those of this one.

mod changes;
mod feed_of_nodes;
mod forgetting;
mod groups;
mod growth;
mod harness;
mod lives;
mod migrations;
mod moving;
mod nodes;
mod open;
mod pieces;
mod recall;
mod server;
mod tls;

use harness::PostgresHarness;
use hookpost_store::conformance::model;

hookpost_store::conformance_tests!(PostgresHarness::open());

#[test]
fn does_what_the_model_does() {
    model::check_against_model(0..10, PostgresHarness::open);
}
