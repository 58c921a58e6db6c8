//! Lists of what happened: pages by time, and the filters that all of them share.
//!
//! Without an iterator, `before` begins at the newest item before that time, and `after` alone at the oldest one after it: the page then holds the items just
//! after the time, newest first, and `prevIterator` leads on to newer ones.

use std::time::Duration;

use hookpost_domain::id::{Id, Kind};
use hookpost_domain::{Channel, EventTypeName, RowId, Tag, Timestamp};
use hookpost_store::history::{MessageFilter, ScannedPage};
use hookpost_store::{Cursor, Order, PageRequest};

use crate::page::{self, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1;

/// The bounds in time that a query gives.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    pub(crate) before: Option<Timestamp>,
    pub(crate) after: Option<Timestamp>,
}

impl Window {
    pub(crate) fn parse(wrong: &mut Wrong, before: Option<String>, after: Option<String>) -> Self {
        Self { before: wrong.optional("before", before, v1::time), after: wrong.optional("after", after, v1::time) }
    }

    /// What a store is asked, newest first. `row_delay_max`: how long after the time that the bounds are about a row can be made.
    pub(crate) fn request<K: Kind>(
        self,
        api: &Api,
        limit: Option<u64>,
        iterator: Option<&str>,
        row_delay_max: Duration,
    ) -> Result<Option<PageRequest<Id<K>>>, Problem> {
        let page: Option<PageRequest<Id<K>>> = page::request(api.store.public_ids(), limit, iterator, Order::Descending)?;
        Ok(page.map(|page| match page.cursor {
            Some(_) => page,
            None => PageRequest { cursor: self.cursor(row_delay_max), ..page },
        }))
    }

    fn cursor<K: Kind>(self, row_delay_max: Duration) -> Option<Cursor<Id<K>>> {
        match (self.before, self.after) {
            (Some(before), _) => Some(Cursor::After(Id::from_row(first_at(before + row_delay_max)))),
            (None, Some(after)) => {
                // The last id that can be of `after` itself; cursors exclude what they name.
                let next_ms = first_at(after + Duration::from_millis(1));
                Some(Cursor::Before(Id::from_row(RowId::from_raw(next_ms.raw().saturating_sub(1)))))
            }
            (None, None) => None,
        }
    }
}

fn first_at(time: Timestamp) -> RowId {
    RowId::first_at(time.min(Timestamp::MAX))
}

pub(crate) fn goes_backwards<C>(page: &PageRequest<C>) -> bool {
    matches!(page.cursor, Some(Cursor::Before(_)))
}

/// The filter over messages that a query gives.
pub(crate) fn message_filter(wrong: &mut Wrong, event_types: &[String], channel: Option<String>, tag: Option<String>) -> MessageFilter {
    let event_types = wrong.each("event_types", event_types, |text| EventTypeName::parse(text));
    MessageFilter {
        event_types: Some(event_types).filter(|names| !names.is_empty()),
        channel: wrong.optional("channel", channel, |text| Channel::parse(&text)),
        tag: wrong.optional("tag", tag, |text| Tag::parse(&text)),
        before: None,
        after: None,
    }
}

/// A page as clients see it. Where the search ended before the page was full, the iterator of its direction says where it goes on.
pub(crate) fn answer<K: Kind, I, T>(
    api: &Api,
    backwards: bool,
    scanned: ScannedPage<I, Id<K>>,
    mut show: impl FnMut(I) -> (Id<K>, T),
) -> Page<T> {
    let items = scanned.items.into_iter().map(|item| {
        let (id, out) = show(item);
        (api.public(id), out)
    });
    let mut page = Page::new(items, scanned.done);
    if let Some(next) = scanned.next.map(|id| api.public(id)) {
        if backwards {
            page.prev_iterator = Some(format!("-{next}"));
        } else {
            page.iterator = Some(next);
        }
    }
    page
}
