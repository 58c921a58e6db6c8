//! What is configured and lies beside the way of a message: integrations, streams, sinks, settings. Stored as documents that no store looks into.
//!
//! A document stands on a shelf: those of one kind that one thing owns (an application, a stream, or the tenant itself). Names are unique on their shelf.

use std::fmt;
use std::sync::LazyLock;

use async_trait::async_trait;
use hookpost_domain::access::{PollerToken, Ticket};
use hookpost_domain::id::{Id, Kind};
use hookpost_domain::tenant::EnvironmentSettings;
use hookpost_domain::{Integration, Invalid, OrgId, PublicIds, RowId, Sink, Stream, StreamEventType, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::page::{Listed, PageRequest};
use crate::rows::{from_json, to_json};
use crate::{Store, Unavailable, WriteError};

/// The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    Integration = 1,
    Stream = 2,
    StreamEventType = 3,
    Sink = 4,
    EnvironmentSettings = 5,
    /// Something that may be used once.
    Ticket = 6,
    PollerToken = 7,
}

impl DocumentKind {
    pub const ALL: [Self; 7] =
        [Self::Integration, Self::Stream, Self::StreamEventType, Self::Sink, Self::EnvironmentSettings, Self::Ticket, Self::PollerToken];

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shelf {
    pub kind: DocumentKind,
    pub org: OrgId,
    /// [`RowId::MIN`]: the tenant.
    pub owner: RowId,
}

/// As it is stored. The data may hold secrets: stores seal it.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentRow {
    pub shelf: Shelf,
    pub id: RowId,
    pub name: Option<String>,
    pub data: Vec<u8>,
    /// The first [`crate::History::forget`] from then on deletes it; whoever must not see it any more until that looks at the time.
    pub forget_at: Option<Timestamp>,
}

impl fmt::Debug for DocumentRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.shelf, self.id, self.name)
    }
}

/// Changes a row in place, inside the transaction that writes it back; a refusal leaves it as it was.
pub type RowChange = Box<dyn FnOnce(&mut DocumentRow) -> Result<(), Invalid> + Send>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    Id(RowId),
    Name(&'a str),
}

impl<'a> Named<'a> {
    pub fn parse<K: Kind>(ids: &PublicIds, text: &'a str) -> Self {
        ids.decode::<K>(text).map_or(Self::Name(text), |id: Id<K>| Self::Id(id.row()))
    }
}

/// Every change shows in [`crate::Catalog::version`], on all nodes. Documents go with the application that owns them, and so do those that they own
/// themselves (the sinks of a stream).
#[async_trait]
pub trait Documents: Send + Sync + fmt::Debug {
    async fn document(&self, shelf: &Shelf, named: Named<'_>) -> Result<Option<DocumentRow>, Unavailable>;
    async fn documents(&self, shelf: &Shelf, page: PageRequest<RowId>) -> Result<Listed<DocumentRow>, Unavailable>;
    /// Of every tenant, oldest first: for the engine.
    async fn documents_of_kind(&self, kind: DocumentKind) -> Result<Vec<DocumentRow>, Unavailable>;
    /// `Conflict { field: "uid" }` (the name).
    async fn create_document(&self, row: DocumentRow) -> Result<(), WriteError>;
    /// `NotFound`, `Conflict { field: "uid" }`, `Refused`.
    async fn update_document(&self, shelf: &Shelf, id: RowId, change: RowChange) -> Result<DocumentRow, WriteError>;
    /// `NotFound`: of several who delete it at the same moment, one does.
    async fn delete_document(&self, shelf: &Shelf, id: RowId) -> Result<(), WriteError>;
}

/// What can be put on a shelf.
pub trait Document: Serialize + DeserializeOwned + Send + 'static {
    const KIND: DocumentKind;

    fn place(&self) -> Place<'_>;
}

/// Where a document stands, and what it is called there.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub org: &'a OrgId,
    pub owner: RowId,
    pub id: RowId,
    pub name: Option<&'a str>,
    pub forget_at: Option<Timestamp>,
}

impl<'a> Place<'a> {
    /// Of the tenant itself, without a name.
    fn new(org: &'a OrgId, id: RowId) -> Self {
        Self { org, owner: RowId::MIN, id, name: None, forget_at: None }
    }
}

impl dyn Store {
    pub async fn find<T: Document>(&self, org: &OrgId, owner: RowId, named: Named<'_>) -> Result<Option<T>, Unavailable> {
        let row = self.document(&shelf::<T>(org, owner), named).await?;
        row.map(|row| read(&row)).transpose()
    }

    pub async fn list<T: Document>(&self, org: &OrgId, owner: RowId, page: PageRequest<RowId>) -> Result<Listed<T>, Unavailable> {
        let listed = self.documents(&shelf::<T>(org, owner), page).await?;
        let items = listed.items.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Listed { items, done: listed.done })
    }

    /// Of every tenant.
    pub async fn list_all<T: Document>(&self) -> Result<Vec<T>, Unavailable> {
        self.documents_of_kind(T::KIND).await?.iter().map(read).collect()
    }

    pub async fn create<T: Document>(&self, document: &T) -> Result<(), WriteError> {
        self.create_document(row_of(document)?).await
    }

    /// Kind, tenant and owner stay what they are.
    pub async fn update<T: Document>(
        &self,
        org: &OrgId,
        owner: RowId,
        id: RowId,
        change: impl FnOnce(&mut T) -> Result<(), Invalid> + Send + 'static,
    ) -> Result<T, WriteError> {
        let change = Box::new(move |row: &mut DocumentRow| {
            // A row that cannot be read stays as it is.
            let mut document: T = read(row).map_err(|unreadable| Invalid::new(unreadable.to_string()))?;
            change(&mut document)?;
            row.name = document.place().name.map(str::to_owned);
            row.data = to_json(&document).map_err(|error| Invalid::new(error.to_string()))?;
            Ok(())
        });
        Ok(read(&self.update_document(&shelf::<T>(org, owner), id, change).await?)?)
    }

    pub async fn delete<T: Document>(&self, org: &OrgId, owner: RowId, id: RowId) -> Result<(), WriteError> {
        self.delete_document(&shelf::<T>(org, owner), id).await
    }
}

pub fn shelf<T: Document>(org: &OrgId, owner: RowId) -> Shelf {
    Shelf { kind: T::KIND, org: org.clone(), owner }
}

fn row_of<T: Document>(document: &T) -> Result<DocumentRow, Unavailable> {
    let data = to_json(document).map_err(|error| Unavailable(error.to_string()))?;
    let Place { org, owner, id, name, forget_at } = document.place();
    Ok(DocumentRow { shelf: shelf::<T>(org, owner), id, name: name.map(str::to_owned), data, forget_at })
}

fn read<T: Document>(row: &DocumentRow) -> Result<T, Unavailable> {
    from_json(&row.data).map_err(|error| Unavailable(error.to_string()))
}

impl Document for Integration {
    const KIND: DocumentKind = DocumentKind::Integration;

    fn place(&self) -> Place<'_> {
        Place { owner: self.application.row(), ..Place::new(&self.org, self.id.row()) }
    }
}

impl Document for Stream {
    const KIND: DocumentKind = DocumentKind::Stream;

    fn place(&self) -> Place<'_> {
        Place { name: self.uid.as_ref().map(|uid| uid.as_str()), ..Place::new(&self.org, self.id.row()) }
    }
}

impl Document for StreamEventType {
    const KIND: DocumentKind = DocumentKind::StreamEventType;

    fn place(&self) -> Place<'_> {
        Place { name: Some(self.name.as_str()), ..Place::new(&self.org, self.id.row()) }
    }
}

impl Document for Sink {
    const KIND: DocumentKind = DocumentKind::Sink;

    fn place(&self) -> Place<'_> {
        let name = self.uid.as_ref().map(|uid| uid.as_str());
        Place { owner: self.owner.row(), name, ..Place::new(&self.org, self.id.row()) }
    }
}

/// There is one of a tenant.
impl Document for EnvironmentSettings {
    const KIND: DocumentKind = DocumentKind::EnvironmentSettings;

    fn place(&self) -> Place<'_> {
        Place::new(&self.org, RowId::MAX)
    }
}

/// Whoever has one says neither a tenant nor who he is, so all tickets stand on one shelf.
impl Document for Ticket {
    const KIND: DocumentKind = DocumentKind::Ticket;

    fn place(&self) -> Place<'_> {
        static SHELF: LazyLock<OrgId> = LazyLock::new(OrgId::management);
        Place { name: Some(&self.name), forget_at: Some(self.expires_at), ..Place::new(&SHELF, self.id) }
    }
}

/// There is one of a sink.
impl Document for PollerToken {
    const KIND: DocumentKind = DocumentKind::PollerToken;

    fn place(&self) -> Place<'_> {
        Place { owner: self.sink.row(), ..Place::new(&self.org, self.sink.row()) }
    }
}
