//! What all lanes share: attempts in flight and payload bytes in memory. A lane may have as much as it leaves free for the others ("dynamic
//! threshold"), so that however many endpoints hang or lag, the next healthy one finds room. Never blocks.

use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

#[derive(Debug)]
pub(crate) struct Budget {
    free: AtomicIsize,
}

impl Budget {
    pub(crate) fn new(total: usize) -> Self {
        Self { free: AtomicIsize::new(isize::try_from(total).unwrap_or(isize::MAX)) }
    }

    /// Takes without asking: whoever takes looked at [`Self::free`] before, and may overdraw by a little.
    pub(crate) fn take(&self, amount: usize) {
        self.free.fetch_sub(amount as isize, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, amount: usize) {
        self.free.fetch_add(amount as isize, Ordering::Relaxed);
    }

    pub(crate) fn free(&self) -> usize {
        usize::try_from(self.free.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

/// The state that lanes look at when they plan.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Attempts in flight.
    pub(crate) slots: Budget,
    /// Bytes of payload in the queues of lanes.
    pub(crate) memory: Budget,
    halted: AtomicBool,
}

impl Shared {
    pub(crate) fn new(slots: usize, memory_bytes: usize) -> Self {
        Self { slots: Budget::new(slots), memory: Budget::new(memory_bytes), halted: AtomicBool::new(false) }
    }

    /// The store does not take outcomes: nothing more is attempted until it does.
    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed)
    }

    /// Returns what it was before.
    pub(crate) fn halt(&self, halted: bool) -> bool {
        self.halted.swap(halted, Ordering::Relaxed)
    }
}
