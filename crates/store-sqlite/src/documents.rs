//! Documents: sealed, by shelf.

use async_trait::async_trait;
use hookpost_domain::{OrgId, RowId, Timestamp};
use hookpost_store::codec::time;
use hookpost_store::documents::{DocumentKind, DocumentRow, Documents, Named, RowChange, Shelf};
use hookpost_store::page::Walk;
use hookpost_store::rows::{open_document, seal_document};
use hookpost_store::vault::Vault;
use hookpost_store::{Listed, PageRequest, Unavailable, WriteError};
use rusqlite::{Connection, Params, Row, params};

use crate::SqliteStore;
use crate::catalog::{Refusal, refuse};
use crate::command::{WriteContext, Written};
use crate::error::StoreError;

#[async_trait]
impl Documents for SqliteStore {
    async fn document(&self, shelf: &Shelf, named: Named<'_>) -> Result<Option<DocumentRow>, Unavailable> {
        let shelf = shelf.clone();
        let name = match named {
            Named::Id(id) => Err(id),
            Named::Name(name) => Ok(name.to_owned()),
        };
        self.read(move |connection, shared| match name {
            Err(id) => by_id(connection, &shared.vault, &shelf, id),
            Ok(name) => by_name(connection, &shared.vault, &shelf, &name),
        })
        .await
    }

    async fn documents(&self, shelf: &Shelf, page: PageRequest<RowId>) -> Result<Listed<DocumentRow>, Unavailable> {
        let shelf = shelf.clone();
        self.read(move |connection, shared| Ok(page.listed(list(connection, &shared.vault, &shelf, page.walk())?))).await
    }

    async fn documents_of_kind(&self, kind: DocumentKind) -> Result<Vec<DocumentRow>, Unavailable> {
        self.read(move |connection, shared| select(connection, &shared.vault, "kind = ?1 ORDER BY id", [kind as u8])).await
    }

    async fn create_document(&self, row: DocumentRow) -> Result<(), WriteError> {
        self.shared.write(move |context| create(context, &row)).await
    }

    async fn update_document(&self, shelf: &Shelf, id: RowId, change: RowChange) -> Result<DocumentRow, WriteError> {
        let shelf = shelf.clone();
        self.shared.write(move |context| update(context, &shelf, id, change)).await
    }

    async fn delete_document(&self, shelf: &Shelf, id: RowId) -> Result<(), WriteError> {
        let shelf = shelf.clone();
        self.shared.write(move |context| delete(context, &shelf, id)).await
    }
}

fn create(context: &mut WriteContext<'_>, row: &DocumentRow) -> Result<Written<()>, Refusal> {
    let DocumentRow { shelf, id, .. } = row;
    let taken = context.connection.prepare_cached("SELECT 1 FROM document WHERE kind = ?1 AND org = ?2 AND id = ?3")?.exists(params![
        shelf.kind as u8,
        shelf.org.as_str(),
        id.as_i64()
    ])?;
    if taken {
        return refuse(WriteError::Conflict { field: "uid" });
    }
    check_name(context.connection, row)?;
    insert_sealed(context.connection, row, &seal_document(&context.shared.vault, shelf, *id, &row.data))?;
    Ok(changed(()))
}

fn update(context: &mut WriteContext<'_>, shelf: &Shelf, id: RowId, change: RowChange) -> Result<Written<DocumentRow>, Refusal> {
    let vault = &context.shared.vault;
    let Some(mut row) = by_id(context.connection, vault, shelf, id)? else { return refuse(WriteError::NotFound) };
    change(&mut row).map_err(|refusal| Refusal::Refused(refusal.into()))?;
    // Where it stands, and as what, is not for a change to say.
    (row.shelf, row.id) = (shelf.clone(), id);
    check_name(context.connection, &row)?;
    context
        .connection
        .prepare_cached("UPDATE document SET name = ?4, forget_at_ms = ?5, sealed = ?6 WHERE kind = ?1 AND org = ?2 AND id = ?3")?
        .execute(params![
            shelf.kind as u8,
            shelf.org.as_str(),
            id.as_i64(),
            row.name,
            row.forget_at.map(|at| at.unix_ms() as i64),
            seal_document(vault, shelf, id, &row.data)
        ])?;
    Ok(changed(row))
}

fn delete(context: &mut WriteContext<'_>, shelf: &Shelf, id: RowId) -> Result<Written<()>, Refusal> {
    let deleted = context
        .connection
        .prepare_cached("DELETE FROM document WHERE kind = ?1 AND org = ?2 AND id = ?3 AND owner = ?4")?
        .execute(params![shelf.kind as u8, shelf.org.as_str(), id.as_i64(), shelf.owner.as_i64()])?;
    if deleted == 0 {
        return refuse(WriteError::NotFound);
    }
    delete_owned(context.connection, id)?;
    Ok(changed(()))
}

/// Every change shows in the version.
fn changed<T>(value: T) -> Written<T> {
    Written::and(value, |shared| shared.catalog.changed())
}

/// What something owns that is gone, and what that owned.
pub(crate) fn delete_owned(connection: &Connection, owner: RowId) -> Result<(), StoreError> {
    let mut gone = vec![owner.as_i64()];
    let mut delete = connection.prepare_cached("DELETE FROM document WHERE owner = ?1 AND owner <> 0 RETURNING id")?;
    while let Some(owner) = gone.pop() {
        for id in delete.query_map([owner], |row| row.get(0))? {
            gone.push(id?);
        }
    }
    Ok(())
}

/// Some of those whose time has come. Returns how many.
pub(crate) fn forget(connection: &Connection, now: Timestamp, limit: i64) -> Result<usize, StoreError> {
    Ok(connection
        .prepare_cached(
            "DELETE FROM document WHERE (kind, org, id) IN (
                 SELECT kind, org, id FROM document WHERE forget_at_ms <= ?1 ORDER BY forget_at_ms LIMIT ?2)",
        )?
        .execute(params![now.unix_ms() as i64, limit])?)
}

/// As it was sealed, here or elsewhere.
pub(crate) fn insert_sealed(connection: &Connection, row: &DocumentRow, sealed: &[u8]) -> Result<(), StoreError> {
    let DocumentRow { shelf: Shelf { kind, org, owner }, id, name, forget_at, .. } = row;
    connection
        .prepare_cached("INSERT INTO document (kind, org, id, owner, name, forget_at_ms, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![*kind as u8, org.as_str(), id.as_i64(), owner.as_i64(), name, forget_at.map(|at| at.unix_ms() as i64), sealed])?;
    Ok(())
}

fn check_name(connection: &Connection, row: &DocumentRow) -> Result<(), Refusal> {
    let Some(name) = &row.name else { return Ok(()) };
    let Shelf { kind, org, owner } = &row.shelf;
    let taken = connection
        .prepare_cached("SELECT 1 FROM document WHERE kind = ?1 AND org = ?2 AND owner = ?3 AND name = ?4 AND id <> ?5")?
        .exists(params![*kind as u8, org.as_str(), owner.as_i64(), name, row.id.as_i64()])?;
    if taken { refuse(WriteError::Conflict { field: "uid" }) } else { Ok(()) }
}

fn by_id(connection: &Connection, vault: &Vault, shelf: &Shelf, id: RowId) -> Result<Option<DocumentRow>, StoreError> {
    let condition = "kind = ?1 AND org = ?2 AND id = ?3 AND owner = ?4";
    let values = params![shelf.kind as u8, shelf.org.as_str(), id.as_i64(), shelf.owner.as_i64()];
    Ok(select(connection, vault, condition, values)?.pop())
}

fn by_name(connection: &Connection, vault: &Vault, shelf: &Shelf, name: &str) -> Result<Option<DocumentRow>, StoreError> {
    let condition = "kind = ?1 AND org = ?2 AND owner = ?3 AND name = ?4";
    let values = params![shelf.kind as u8, shelf.org.as_str(), shelf.owner.as_i64(), name];
    Ok(select(connection, vault, condition, values)?.pop())
}

fn list(connection: &Connection, vault: &Vault, shelf: &Shelf, walk: Walk<RowId>) -> Result<Vec<DocumentRow>, StoreError> {
    let walk = walk.map(RowId::as_i64);
    let (comparison, order) = walk.comparison();
    let condition = format!("kind = ?1 AND org = ?2 AND owner = ?3 AND id {comparison} ?4 ORDER BY id {order} LIMIT ?5");
    let count = i64::try_from(walk.count).unwrap_or(i64::MAX);
    select(connection, vault, &condition, params![shelf.kind as u8, shelf.org.as_str(), shelf.owner.as_i64(), walk.bound(), count])
}

/// `condition` ends the statement.
fn select(connection: &Connection, vault: &Vault, condition: &str, values: impl Params) -> Result<Vec<DocumentRow>, StoreError> {
    let sql = format!("SELECT kind, org, id, owner, name, forget_at_ms, sealed FROM document WHERE {condition}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values)?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        let (row, sealed) = sealed_row(row)?;
        let data = open_document(vault, &row.shelf, row.id, &sealed)?;
        documents.push(DocumentRow { data, ..row });
    }
    Ok(documents)
}

/// Columns `kind`, `org`, `id`, `owner`, `name`, `forget_at_ms` and `sealed`; without its data, and what is sealed.
pub(crate) fn sealed_row(row: &Row<'_>) -> Result<(DocumentRow, Vec<u8>), StoreError> {
    let unreadable = |why: String| hookpost_store::codec::Unreadable { what: "document", why };
    let kind: u8 = row.get(0)?;
    let kind = DocumentKind::from_number(kind).ok_or_else(|| unreadable(format!("its kind {kind} is not known")))?;
    let org = OrgId::parse(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?).map_err(|error| unreadable(error.to_string()))?;
    let shelf = Shelf { kind, org, owner: RowId::from_i64(row.get(3)?) };
    let forget_at = row.get::<_, Option<i64>>(5)?.map(time);
    let document = DocumentRow { shelf, id: RowId::from_i64(row.get(2)?), name: row.get(4)?, data: Vec::new(), forget_at };
    Ok((document, row.get(6)?))
}
