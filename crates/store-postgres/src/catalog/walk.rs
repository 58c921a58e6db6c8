//! Lists of rows with an id and what they are as JSON.

use deadpool_postgres::GenericClient;
use hookpost_domain::RowId;
use hookpost_store::page::Walk;
use hookpost_store::rows::from_json;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::StoreError;
use crate::statements::query;

pub(super) fn ids<C>(walk: Walk<C>, row: impl Fn(C) -> RowId) -> Walk<i64> {
    Walk { from: walk.from.map(|id| row(id).as_i64()), ascending: walk.ascending, count: walk.count }
}

/// The first column as JSON.
pub(super) fn json_column<T: DeserializeOwned>(row: &Row) -> Result<T, StoreError> {
    Ok(from_json(row.try_get(0)?)?)
}

/// Rows of a table with `id` and `data`, where `select` ends in its condition, with one parameter.
pub(super) async fn walk_json<T: DeserializeOwned>(
    client: &impl GenericClient,
    select: &str,
    parameter: &[&(dyn ToSql + Sync); 1],
    walk: Walk<i64>,
) -> Result<Vec<T>, StoreError> {
    let (comparison, order) = walk.comparison();
    let sql = format!("{select} AND id {comparison} $2 ORDER BY id {order} LIMIT $3");
    let count = i64::try_from(walk.count).unwrap_or(i64::MAX);
    let rows = query(client, &sql, &[parameter[0], &walk.bound(), &count]).await?;
    rows.iter().map(json_column).collect()
}
