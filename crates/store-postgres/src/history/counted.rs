//! Deliveries by status and receipts by verdict: the sums, and what was not added to them yet.

use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{EndpointId, RowId, SourceId, Timestamp};
use hookpost_store::codec::verdict_of_number;
use hookpost_store::history::{EndpointCounts, ReceiptCounts};

use crate::counts::FIRST_VERDICT;
use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::query;

/// One statement: what is folded meanwhile is seen on one side or the other.
const SQL: &str = "
    SELECT status, sum(deliveries)::bigint FROM (
        SELECT status, deliveries FROM hookpost.count_sum WHERE endpoint = $1 AND minute >= $2 AND minute < $3
        UNION ALL
        SELECT change.status, change.change::bigint
        FROM hookpost.count_change, unnest(endpoints, minutes, statuses, changes) AS change (endpoint, minute, status, change)
        WHERE change.endpoint = $1 AND change.minute >= $2 AND change.minute < $3
    ) AS counted GROUP BY status";

pub(super) async fn of_endpoint(
    shared: &Shared,
    endpoint: EndpointId,
    since: Timestamp,
    until: Timestamp,
) -> Result<EndpointCounts, StoreError> {
    let mut counts = EndpointCounts::default();
    for (code, count) in of_owner(shared, endpoint.row(), since, until).await? {
        if let Some(status) = DeliveryStatus::from_code(code) {
            *counts.of_mut(status) = count;
        }
    }
    Ok(counts)
}

pub(super) async fn of_source(shared: &Shared, source: SourceId, since: Timestamp, until: Timestamp) -> Result<ReceiptCounts, StoreError> {
    let mut counts = ReceiptCounts::default();
    for (code, count) in of_owner(shared, source.row(), since, until).await? {
        if let Some(Ok(verdict)) = code.checked_sub(FIRST_VERDICT).map(verdict_of_number) {
            *counts.of_mut(verdict) = count;
        }
    }
    Ok(counts)
}

/// By status.
async fn of_owner(shared: &Shared, owner: RowId, since: Timestamp, until: Timestamp) -> Result<Vec<(u8, u64)>, StoreError> {
    let minute = |minutes: u64| i32::try_from(minutes).unwrap_or(i32::MAX);
    let (since, until) = (minute(since.unix_ms() / 60_000), minute(until.unix_ms().div_ceil(60_000)));
    let connection = shared.connections.get().await?;
    let mut counts = Vec::new();
    for row in query(&connection, SQL, &[&owner.as_i64(), &since, &until]).await? {
        if let Ok(code) = u8::try_from(row.try_get::<_, i16>(0)?) {
            counts.push((code, u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or_default()));
        }
    }
    Ok(counts)
}
