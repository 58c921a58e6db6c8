//! The promises of all stores, and those of this one.

mod harness;

use harness::SqliteHarness;

hookpost_store::conformance_tests!(SqliteHarness::open());
