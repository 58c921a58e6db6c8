//! The life of this node: its row, renewed while it lives; taken away from those that fell silent.
//!
//! Every transaction that writes in the name of a node locks its row (`FOR KEY SHARE`, which renewing does not hinder) and finds it gone if another has
//! buried it. A node buries only while it has itself reached the database without a break for the time of a lease: after an outage of the database
//! everybody comes back before anybody is taken for dead.

/// What is known without asking.
#[derive(Debug)]
pub(crate) struct NodeLife {
    /// In the leases of this life.
    pub(crate) holder: i64,
    /// In the row ids.
    pub(crate) number: u8,
}

impl NodeLife {
    pub(crate) fn holder(&self) -> i64 {
        self.holder
    }
}
