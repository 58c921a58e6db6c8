//! Pages of a list, and how they are cut out of one that is in memory.

use std::convert::Infallible;
use std::ops::ControlFlow;

use crate::history::ScannedPage;

/// A cut out of a list. Items always come in the order of the list; `cursor` is an item that need not exist any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<C> {
    pub limit: usize,
    pub order: Order,
    pub cursor: Option<Cursor<C>>,
}

/// By id (by name for event types).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor<C> {
    /// The items that follow it in the order of the list.
    After(C),
    /// The items just before it in the order of the list: paging backwards.
    Before(C),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// There is nothing more in the direction of the cursor.
    pub done: bool,
}

impl<C> PageRequest<C> {
    pub fn first(limit: usize, order: Order) -> Self {
        Self { limit, order, cursor: None }
    }
}

/// One walk along a list: from where (exclusive), in which direction, and how many items at most.
#[derive(Debug, Clone, Copy)]
pub struct Walk<C> {
    pub from: Option<C>,
    pub ascending: bool,
    pub count: usize,
}

impl<C> Walk<C> {
    /// As a store says it.
    pub fn map<D>(self, as_stored: impl FnOnce(C) -> D) -> Walk<D> {
        Walk { from: self.from.map(as_stored), ascending: self.ascending, count: self.count }
    }
}

impl Walk<i64> {
    /// `id < ?` or `id > ?`, and the order; `?` is [`Self::bound`].
    pub fn comparison(&self) -> (&'static str, &'static str) {
        if self.ascending { (">", "ASC") } else { ("<", "DESC") }
    }

    pub fn bound(&self) -> i64 {
        self.from.unwrap_or(if self.ascending { -1 } else { i64::MAX })
    }
}

impl<C: Clone> PageRequest<C> {
    /// Paging backwards is walking the other way from the cursor, and turning what was found round. One more than the page shows whether it is the last.
    pub fn walk(&self) -> Walk<C> {
        let from = self.cursor.as_ref().map(|(Cursor::After(from) | Cursor::Before(from))| from.clone());
        Walk { from, ascending: (self.order == Order::Ascending) != self.is_backwards(), count: self.limit.saturating_add(1) }
    }

    /// The page, from what such a walk came by.
    pub fn listed<T>(&self, mut items: Vec<T>) -> Listed<T> {
        let done = items.len() <= self.limit;
        items.truncate(self.limit);
        if self.is_backwards() {
            items.reverse();
        }
        Listed { items, done }
    }

    pub fn begin_scan<T>(&self, rows_max: usize) -> Scan<T, C> {
        let page = ScannedPage { items: Vec::new(), done: false, next: None };
        Scan { page, limit: self.limit, backwards: self.is_backwards(), rows_left: rows_max, last: None }
    }

    fn is_backwards(&self) -> bool {
        matches!(self.cursor, Some(Cursor::Before(_)))
    }
}

/// A page that is made by looking through rows in the direction of the walk, until it is full or so many were looked at that it is better to answer.
#[derive(Debug)]
pub struct Scan<T, C> {
    page: ScannedPage<T, C>,
    limit: usize,
    backwards: bool,
    rows_left: usize,
    last: Option<C>,
}

impl<T, C> Scan<T, C> {
    /// The next row; `load` gives it if it is wanted. `Break`: there is more, but not on this page.
    pub fn look<E>(&mut self, cursor: C, load: impl FnOnce() -> Result<Option<T>, E>) -> Result<ControlFlow<()>, E> {
        if self.rows_left == 0 {
            self.page.next = self.last.take().filter(|_| self.page.items.len() < self.limit);
            return Ok(ControlFlow::Break(()));
        }
        self.rows_left -= 1;
        self.last = Some(cursor);
        if let Some(item) = load()? {
            if self.page.items.len() == self.limit {
                return Ok(ControlFlow::Break(()));
            }
            self.page.items.push(item);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// `done`: there were no more rows.
    pub fn end(mut self, done: bool) -> ScannedPage<T, C> {
        self.page.done = done;
        if self.backwards {
            self.page.items.reverse();
        }
        self.page
    }
}

impl<C: Ord + Clone> PageRequest<C> {
    /// Cuts a page out of `rows`, which come in ascending order, each with its cursor.
    pub fn cut<T>(&self, rows: impl DoubleEndedIterator<Item = (C, T)>) -> Listed<T> {
        let page = self.scan(rows, usize::MAX, |_| true);
        Listed { items: page.items, done: page.done }
    }

    /// The same with a filter, and a bound on the rows that are looked at.
    pub fn scan<T>(
        &self,
        rows: impl DoubleEndedIterator<Item = (C, T)>,
        rows_max: usize,
        matches: impl Fn(&T) -> bool,
    ) -> ScannedPage<T, C> {
        let Walk { from, ascending, .. } = self.walk();
        let mut rows = rows.filter(|(cursor, _)| from.as_ref().is_none_or(|from| if ascending { cursor > from } else { cursor < from }));
        let mut scan = self.begin_scan(rows_max);
        loop {
            let Some((cursor, row)) = (if ascending { rows.next() } else { rows.next_back() }) else { return scan.end(true) };
            let Ok(flow) = scan.look(cursor, || Ok::<_, Infallible>(Some(row).filter(&matches)));
            if flow.is_break() {
                return scan.end(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(order: Order, cursor: Option<Cursor<u32>>, items: &[u32], done: bool) {
        let page = PageRequest { limit: 3, order, cursor }.cut((1..=7).map(|row| (row, row)));
        assert_eq!((page.items.as_slice(), page.done), (items, done));
    }

    #[test]
    fn pages_go_both_ways_in_both_orders() {
        use Order::{Ascending, Descending};
        check(Ascending, None, &[1, 2, 3], false);
        check(Ascending, Some(Cursor::After(3)), &[4, 5, 6], false);
        check(Ascending, Some(Cursor::After(4)), &[5, 6, 7], true);
        check(Ascending, Some(Cursor::After(7)), &[], true);
        check(Ascending, Some(Cursor::Before(6)), &[3, 4, 5], false);
        check(Ascending, Some(Cursor::Before(4)), &[1, 2, 3], true);
        check(Ascending, Some(Cursor::Before(1)), &[], true);
        check(Descending, None, &[7, 6, 5], false);
        check(Descending, Some(Cursor::After(5)), &[4, 3, 2], false);
        check(Descending, Some(Cursor::After(4)), &[3, 2, 1], true);
        check(Descending, Some(Cursor::Before(2)), &[5, 4, 3], false);
        check(Descending, Some(Cursor::Before(4)), &[7, 6, 5], true);
    }

    #[test]
    fn a_scan_says_where_to_go_on() {
        let scan = |limit, order, cursor, rows_max| {
            let page = PageRequest { limit, order, cursor }.scan((1..=9).map(|row| (row, row)), rows_max, |row| row % 4 == 0);
            (page.items, page.done, page.next)
        };
        use Order::{Ascending, Descending};
        assert_eq!(scan(2, Ascending, None, 6), (vec![4], false, Some(6)));
        assert_eq!(scan(2, Ascending, Some(Cursor::After(6)), 6), (vec![8], true, None));
        assert_eq!(scan(1, Ascending, None, 6), (vec![4], false, None));
        assert_eq!(scan(1, Ascending, None, 9), (vec![4], false, None));
        assert_eq!(scan(2, Descending, None, 2), (vec![8], false, Some(8)));
        assert_eq!(scan(9, Descending, Some(Cursor::Before(2)), 9), (vec![8, 4], true, None));
    }
}
