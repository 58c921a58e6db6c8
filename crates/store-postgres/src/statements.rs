//! Statements on connections of the pool: prepared once for each connection.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The driver's own errors: a change looks at the constraint that they name.
type Answer<T> = Result<T, tokio_postgres::Error>;

pub(crate) async fn query(client: &impl GenericClient, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Answer<Vec<Row>> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, parameters).await
}

pub(crate) async fn query_opt(client: &impl GenericClient, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Answer<Option<Row>> {
    let statement = client.prepare_cached(sql).await?;
    client.query_opt(&statement, parameters).await
}

/// Whether a column of text can hold it. PostgreSQL has no text with a NUL in it and answers with an error; who asks for such a name finds nothing.
pub(crate) fn can_be_text(name: &str) -> bool {
    !name.contains('\0')
}

pub(crate) async fn query_one(client: &impl GenericClient, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Answer<Row> {
    let statement = client.prepare_cached(sql).await?;
    client.query_one(&statement, parameters).await
}

/// How many rows were changed.
pub(crate) async fn execute(client: &impl GenericClient, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Answer<u64> {
    let statement = client.prepare_cached(sql).await?;
    client.execute(&statement, parameters).await
}
