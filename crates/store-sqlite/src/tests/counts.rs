//! Counters of minutes that are past their time.

use std::time::Duration;

use hookpost_domain::{DeliveryState, Timestamp};
use hookpost_store::conformance::Harness;
use hookpost_store::conformance::fixture::*;
use hookpost_store::history::EndpointCounts;

use super::harness::SqliteHarness;

const HOUR: Duration = Duration::from_secs(3600);

/// Writes everything that is in memory to the tables.
async fn flush(harness: &SqliteHarness) {
    harness.sqlite().shared.limits.store_small();
    for _ in 0..100 {
        harness.in_writer(|_| Ok(())).await.unwrap();
    }
}

/// What is taken off a count comes after the row that it is taken off was swept.
#[tokio::test]
async fn forgetting_leaves_no_negative_counts() {
    let mut harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 1).await;
    let old = accept_leased(&mut harness, scene.message(), NOW).await.remove(0);
    record_one(harness.store(), tried(&old, 200, DeliveryState::Delivered, NOW), NOW).await;
    let open = accept_leased(&mut harness, scene.message(), NOW).await.remove(0);
    let later = NOW + 2 * HOUR;
    let young = accept_leased(&mut harness, scene.message(), later).await.remove(0);
    record_one(harness.store(), tried(&young, 200, DeliveryState::Delivered, later), later).await;
    flush(&harness).await;

    // Recorded, and not in the table yet when the rows of its minute go.
    record_one(harness.store(), tried(&open, 200, DeliveryState::Delivered, later), later).await;
    while harness.store().forget(policy(HOUR), later).await.unwrap().more {}
    let expected = EndpointCounts { success: 1, ..EndpointCounts::default() };
    for _ in 0..2 {
        let counts = harness.store().endpoint_counts(scene.endpoints[0], Timestamp::ZERO, Timestamp::MAX).await.unwrap();
        assert_eq!(counts, expected);
        flush(&harness).await;
        let counts = harness.store().endpoint_counts(scene.endpoints[0], Timestamp::ZERO, Timestamp::MAX).await.unwrap();
        assert_eq!(counts, expected);
        let minutes = harness
            .sqlite()
            .read(|connection, _| Ok(connection.query_row("SELECT count(*) FROM counter", [], |row| row.get::<_, i64>(0))?))
            .await;
        assert_eq!(minutes, Ok(1), "the minute that is past its time has no row");
        harness.reopen().await;
    }
}
