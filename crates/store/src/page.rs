//! Pages of a list.

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
