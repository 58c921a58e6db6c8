//! Documents: sealed, by shelf. Nobody keeps them in memory here; a change leaves a row, so that whoever keeps them elsewhere finds that the version moved.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::GenericClient;
use hookpost_domain::{OrgId, RowId};
use hookpost_store::codec::time;
use hookpost_store::documents::{DocumentKind, DocumentRow, Documents, Named, RowChange, Shelf};
use hookpost_store::rows::{open_document, seal_document};
use hookpost_store::vault::Vault;
use hookpost_store::{Listed, PageRequest, Unavailable, WriteError};
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::catalog::{Failed, commit};
use crate::changes::Changed;
use crate::error::StoreError;
use crate::schema::damaged;
use crate::shared::Shared;
use crate::statements::{can_be_text, execute, query, query_opt};

/// What [`decode`] reads.
const COLUMNS: &str = "kind, org, owner, id, name, data, forget_at_ms";

#[async_trait]
impl Documents for PostgresStore {
    async fn document(&self, shelf: &Shelf, named: Named<'_>) -> Result<Option<DocumentRow>, Unavailable> {
        Ok(one(&self.shared, shelf, named).await?)
    }

    async fn documents(&self, shelf: &Shelf, page: PageRequest<RowId>) -> Result<Listed<DocumentRow>, Unavailable> {
        Ok(list(&self.shared, shelf, page).await?)
    }

    async fn documents_of_kind(&self, kind: DocumentKind) -> Result<Vec<DocumentRow>, Unavailable> {
        Ok(of_kind(&self.shared, kind).await?)
    }

    async fn create_document(&self, row: DocumentRow) -> Result<(), WriteError> {
        self.change(|shared| create(shared, row)).await
    }

    async fn update_document(&self, shelf: &Shelf, id: RowId, change: RowChange) -> Result<DocumentRow, WriteError> {
        let shelf = shelf.clone();
        self.change(|shared| update(shared, shelf, id, change)).await
    }

    async fn delete_document(&self, shelf: &Shelf, id: RowId) -> Result<(), WriteError> {
        let shelf = shelf.clone();
        self.change(|shared| delete(shared, shelf, id)).await
    }
}

async fn one(shared: &Shared, shelf: &Shelf, named: Named<'_>) -> Result<Option<DocumentRow>, StoreError> {
    let (kind, owner) = (shelf.kind as i16, shelf.owner.as_i64());
    let connection = shared.connections.get().await?;
    let row = match named {
        Named::Id(id) => {
            let sql = format!("SELECT {COLUMNS} FROM hookpost.document WHERE kind = $1 AND org = $2 AND owner = $3 AND id = $4");
            query_opt(&connection, &sql, &[&kind, &shelf.org.as_str(), &owner, &id.as_i64()]).await?
        }
        Named::Name(name) if !can_be_text(name) => None,
        Named::Name(name) => {
            let sql = format!("SELECT {COLUMNS} FROM hookpost.document WHERE kind = $1 AND org = $2 AND owner = $3 AND name = $4");
            query_opt(&connection, &sql, &[&kind, &shelf.org.as_str(), &owner, &name]).await?
        }
    };
    row.map(|row| decode(&shared.vault, &row)).transpose()
}

async fn list(shared: &Shared, shelf: &Shelf, page: PageRequest<RowId>) -> Result<Listed<DocumentRow>, StoreError> {
    let connection = shared.connections.get().await?;
    let walk = page.walk().map(RowId::as_i64);
    let (comparison, order) = walk.comparison();
    let sql = format!(
        "SELECT {COLUMNS} FROM hookpost.document WHERE kind = $1 AND org = $2 AND owner = $3 AND id {comparison} $4 ORDER BY id {order} LIMIT $5"
    );
    let count = i64::try_from(walk.count).unwrap_or(i64::MAX);
    let (kind, owner) = (shelf.kind as i16, shelf.owner.as_i64());
    let rows = query(&connection, &sql, &[&kind, &shelf.org.as_str(), &owner, &walk.bound(), &count]).await?;
    let items = rows.iter().map(|row| decode(&shared.vault, row)).collect::<Result<_, _>>()?;
    Ok(page.listed(items))
}

async fn of_kind(shared: &Shared, kind: DocumentKind) -> Result<Vec<DocumentRow>, StoreError> {
    let connection = shared.connections.get().await?;
    let sql = format!("SELECT {COLUMNS} FROM hookpost.document WHERE kind = $1 ORDER BY id, org");
    let rows = query(&connection, &sql, &[&(kind as i16)]).await?;
    rows.iter().map(|row| decode(&shared.vault, row)).collect()
}

async fn create(shared: Arc<Shared>, row: DocumentRow) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    insert(&transaction, &shared.vault, &row).await?;
    commit(&shared, transaction, &Changed::Document).await?;
    shared.catalog.changed();
    Ok(())
}

async fn insert(client: &impl GenericClient, vault: &Vault, row: &DocumentRow) -> Result<(), tokio_postgres::Error> {
    let sql = "INSERT INTO hookpost.document (kind, org, owner, id, name, data, forget_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let DocumentRow { shelf, id, name, .. } = row;
    let (kind, owner, data) = (shelf.kind as i16, shelf.owner.as_i64(), seal_document(vault, shelf, *id, &row.data));
    execute(client, sql, &[&kind, &shelf.org.as_str(), &owner, &id.as_i64(), name, &data, &forget_at_ms(row)]).await?;
    Ok(())
}

async fn update(shared: Arc<Shared>, shelf: Shelf, id: RowId, apply: RowChange) -> Result<DocumentRow, Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let (kind, owner) = (shelf.kind as i16, shelf.owner.as_i64());
    let sql = format!("SELECT {COLUMNS} FROM hookpost.document WHERE kind = $1 AND org = $2 AND owner = $3 AND id = $4 FOR UPDATE");
    let found = query_opt(&transaction, &sql, &[&kind, &shelf.org.as_str(), &owner, &id.as_i64()]).await?;
    let mut row = decode(&shared.vault, &found.ok_or(WriteError::NotFound)?)?;
    apply(&mut row)?;
    // Where it stands and what it is called inside does not change.
    (row.shelf, row.id) = (shelf, id);
    let sql = "UPDATE hookpost.document SET name = $4, data = $5, forget_at_ms = $6 WHERE kind = $1 AND org = $2 AND id = $3";
    let data = seal_document(&shared.vault, &row.shelf, id, &row.data);
    execute(&transaction, sql, &[&kind, &row.shelf.org.as_str(), &id.as_i64(), &row.name, &data, &forget_at_ms(&row)]).await?;
    commit(&shared, transaction, &Changed::Document).await?;
    shared.catalog.changed();
    Ok(row)
}

async fn delete(shared: Arc<Shared>, shelf: Shelf, id: RowId) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let (kind, owner) = (shelf.kind as i16, shelf.owner.as_i64());
    let sql = "DELETE FROM hookpost.document WHERE kind = $1 AND org = $2 AND owner = $3 AND id = $4";
    if execute(&transaction, sql, &[&kind, &shelf.org.as_str(), &owner, &id.as_i64()]).await? == 0 {
        return Err(WriteError::NotFound.into());
    }
    delete_owned(&transaction, id).await?;
    commit(&shared, transaction, &Changed::Document).await?;
    shared.catalog.changed();
    Ok(())
}

/// What a thing that goes owns, and what that owns.
pub(crate) async fn delete_owned(client: &impl GenericClient, owner: RowId) -> Result<(), tokio_postgres::Error> {
    let sql = "
        WITH RECURSIVE gone AS (
            SELECT kind, org, id FROM hookpost.document WHERE owner = $1
            UNION
            SELECT owned.kind, owned.org, owned.id FROM hookpost.document AS owned JOIN gone ON owned.owner = gone.id
        )
        DELETE FROM hookpost.document USING gone WHERE document.kind = gone.kind AND document.org = gone.org AND document.id = gone.id";
    execute(client, sql, &[&owner.as_i64()]).await?;
    Ok(())
}

fn forget_at_ms(row: &DocumentRow) -> Option<i64> {
    row.forget_at.map(|at| at.unix_ms() as i64)
}

fn decode(vault: &Vault, row: &Row) -> Result<DocumentRow, StoreError> {
    let (shelf, id) = (shelf_of(row)?, RowId::from_i64(row.try_get(3)?));
    let data = open_document(vault, &shelf, id, row.try_get(5)?)?;
    let forget_at = row.try_get::<_, Option<i64>>(6)?.map(time);
    Ok(DocumentRow { shelf, id, name: row.try_get(4)?, data, forget_at })
}

/// The first three columns.
pub(crate) fn shelf_of(row: &Row) -> Result<Shelf, StoreError> {
    let kind = u8::try_from(row.try_get::<_, i16>(0)?).ok().and_then(DocumentKind::from_number);
    let kind = kind.ok_or_else(|| damaged("a document is of no kind that is known"))?;
    let org = OrgId::parse(row.try_get(1)?).map_err(|_| damaged("a document belongs to no tenant"))?;
    Ok(Shelf { kind, org, owner: RowId::from_i64(row.try_get(2)?) })
}
