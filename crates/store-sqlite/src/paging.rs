//! Turns a page request into one query in one direction.

use hookpost_store::page::Cursor;
use hookpost_store::{Listed, Order, PageRequest};

/// One walk along a list: from where (exclusive), in which direction, and how many items at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk<C> {
    pub(crate) from: Option<C>,
    pub(crate) ascending: bool,
    pub(crate) count: usize,
}

/// `fetch` gives up to `count` items in the direction of the walk; one more than the page shows whether it is the last.
pub(crate) fn list<T, C, E>(page: PageRequest<C>, fetch: impl FnOnce(Walk<C>) -> Result<Vec<T>, E>) -> Result<Listed<T>, E> {
    let in_order = page.order == Order::Ascending;
    let (from, ascending, backwards) = match page.cursor {
        None => (None, in_order, false),
        Some(Cursor::After(from)) => (Some(from), in_order, false),
        Some(Cursor::Before(from)) => (Some(from), !in_order, true),
    };
    let mut items = fetch(Walk { from, ascending, count: page.limit + 1 })?;
    let done = items.len() <= page.limit;
    items.truncate(page.limit);
    if backwards {
        items.reverse();
    }
    Ok(Listed { items, done })
}

impl Walk<i64> {
    /// `id < ?` or `id > ?`, and the order; `?` is [`Self::bound`].
    pub(crate) fn comparison(&self) -> (&'static str, &'static str) {
        if self.ascending { (">", "ASC") } else { ("<", "DESC") }
    }

    pub(crate) fn bound(&self) -> i64 {
        self.from.unwrap_or(if self.ascending { -1 } else { i64::MAX })
    }
}
