//! Pages of a list, the way clients page: `iterator` is the id of the last item, `-` and the id of the first pages backwards.

use hookpost_domain::id::{Id, Kind, PublicIds};
use hookpost_domain::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use hookpost_domain::{Invalid, RowId};
use hookpost_store::{Cursor, Order, PageRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::{Problem, Wrong};

/// What a list answers with.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListResponse_{T}_")]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    /// Give it as `iterator` to get the next page. `null` only when there is nothing to go on from.
    #[schemars(schema_with = "text_or_null")]
    pub(crate) iterator: Option<String>,
    /// Give it as `iterator` to get the page before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prev_iterator: Option<String>,
    /// There is nothing more in this direction.
    pub(crate) done: bool,
}

/// What most lists are asked with.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    order: Option<Ordering>,
}

impl ListQuery {
    /// As [`request`], with the order that the list has if nothing is said.
    pub(crate) fn request<K: Kind>(&self, ids: &PublicIds, default: Order) -> Result<Option<PageRequest<Id<K>>>, Problem> {
        request(ids, self.limit, self.iterator.as_deref(), self.order.map_or(default, Order::from))
    }
}

/// The sorting order of the returned items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ordering {
    Ascending,
    Descending,
}

/// Of a field that is always there.
pub(crate) fn text_or_null(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["string", "null"] })
}

impl From<Ordering> for Order {
    fn from(ordering: Ordering) -> Self {
        match ordering {
            Ordering::Ascending => Self::Ascending,
            Ordering::Descending => Self::Descending,
        }
    }
}

impl<T> Page<T> {
    /// Of items in the order of the list, each with the id (or name) that iterators name it by.
    pub(crate) fn new(items: impl IntoIterator<Item = (String, T)>, done: bool) -> Self {
        let (ids, data): (Vec<String>, Vec<T>) = items.into_iter().unzip();
        let prev_iterator = ids.first().map(|id| format!("-{id}"));
        Self { data, iterator: ids.into_iter().next_back(), prev_iterator, done }
    }

    pub(crate) fn map<U>(self, show: impl Fn(T) -> U) -> Page<U> {
        let Self { data, iterator, prev_iterator, done } = self;
        Page { data: data.into_iter().map(show).collect(), iterator, prev_iterator, done }
    }

    /// What a list gives from behind an id that never was.
    pub(crate) fn empty() -> Self {
        Self { data: Vec::new(), iterator: None, prev_iterator: None, done: true }
    }
}

/// Reads `limit`, `iterator` and the order into what a store is asked. `None`: the iterator has the right shape but names nothing, and the answer is
/// [`Page::empty`].
pub(crate) fn request<K: Kind>(
    ids: &PublicIds,
    limit: Option<u64>,
    iterator: Option<&str>,
    order: Order,
) -> Result<Option<PageRequest<Id<K>>>, Problem> {
    let mut wrong = Wrong::in_query();
    let limit = parse_limit(&mut wrong, limit);
    let cursor = iterator.map(|iterator| match iterator.strip_prefix('-') {
        Some(id) => (id, Cursor::Before as fn(Id<K>) -> Cursor<Id<K>>),
        None => (iterator, Cursor::After as fn(Id<K>) -> Cursor<Id<K>>),
    });
    if let Some((id, _)) = cursor
        && !id.starts_with(K::PREFIX)
    {
        wrong.add(
            "iterator",
            format!("must be the `iterator` or `prevIterator` of an earlier page: it begins with `{0}` or `-{0}`", K::PREFIX),
        );
    }
    wrong.nothing()?;
    match cursor {
        None => Ok(Some(PageRequest { limit, order, cursor: None })),
        Some((id, direction)) => Ok(ids.decode(id).map(|id| PageRequest { limit, order, cursor: Some(direction(id)) })),
    }
}

/// The same for lists that go by name.
pub(crate) fn request_by_name<N>(
    limit: Option<u64>,
    iterator: Option<&str>,
    parse: impl Fn(&str) -> Result<N, Invalid>,
) -> Result<PageRequest<N>, Problem> {
    let mut wrong = Wrong::in_query();
    let limit = parse_limit(&mut wrong, limit);
    let cursor = wrong.optional("iterator", iterator, |iterator| match iterator.strip_prefix('-') {
        Some(name) => parse(name).map(Cursor::Before),
        None => parse(iterator).map(Cursor::After),
    });
    wrong.nothing()?;
    Ok(PageRequest { limit, order: Order::Ascending, cursor })
}

/// For things that are kept as documents, whose ids the store does not tell apart by kind.
pub(crate) fn of_rows<K: Kind>(page: PageRequest<Id<K>>) -> PageRequest<RowId> {
    let cursor = page.cursor.map(|cursor| match cursor {
        Cursor::After(id) => Cursor::After(id.row()),
        Cursor::Before(id) => Cursor::Before(id.row()),
    });
    PageRequest { limit: page.limit, order: page.order, cursor }
}

pub(crate) fn parse_limit(wrong: &mut Wrong, limit: Option<u64>) -> usize {
    match limit.map(usize::try_from) {
        None => PAGE_ITEMS_DEFAULT,
        Some(Ok(limit)) if (1..=PAGE_ITEMS_MAX).contains(&limit) => limit,
        Some(_) => {
            wrong.add("limit", format!("must be between 1 and {PAGE_ITEMS_MAX}"));
            PAGE_ITEMS_DEFAULT
        }
    }
}

/// The same page of a shelf, which goes by rows.
pub(crate) fn by_row<K>(page: PageRequest<Id<K>>) -> PageRequest<RowId> {
    let cursor = page.cursor.map(|cursor| match cursor {
        Cursor::After(id) => Cursor::After(id.row()),
        Cursor::Before(id) => Cursor::Before(id.row()),
    });
    PageRequest { limit: page.limit, order: page.order, cursor }
}
