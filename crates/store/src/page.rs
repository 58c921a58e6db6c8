//! Pages of a list, and how they are cut out of one that is in memory.

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
        // Paging backwards is walking the other way from the cursor, and turning what was found round.
        let backwards = matches!(self.cursor, Some(Cursor::Before(_)));
        let ascending = (self.order == Order::Ascending) != backwards;
        let beyond_cursor = |row: &C| match &self.cursor {
            None => true,
            Some(Cursor::After(cursor) | Cursor::Before(cursor)) if ascending => row > cursor,
            Some(Cursor::After(cursor) | Cursor::Before(cursor)) => row < cursor,
        };
        let mut rows = rows.filter(|(cursor, _)| beyond_cursor(cursor));
        let mut page = ScannedPage { items: Vec::new(), done: false, next: None };
        let mut last = None;
        for looked_at in 0.. {
            let Some((cursor, row)) = (if ascending { rows.next() } else { rows.next_back() }) else {
                page.done = true;
                break;
            };
            if looked_at == rows_max {
                page.next = last.filter(|_| page.items.len() < self.limit);
                break;
            }
            last = Some(cursor);
            if matches(&row) {
                if page.items.len() == self.limit {
                    break;
                }
                page.items.push(row);
            }
        }
        if backwards {
            page.items.reverse();
        }
        page
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
