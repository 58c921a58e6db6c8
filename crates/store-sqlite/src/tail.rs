//! The newest part of everything that is indexed: lists by owner, idempotency keys, counters. It lives in memory and is journaled: every
//! commit writes its [`Journal`] as one row of `tail_log`, and the tail takes up exactly those bytes, after the commit or at open.
//!
//! When it has grown enough it is frozen, a new one begins, and `flush` writes the frozen one in sorted runs. Readers look at the live
//! tail, the frozen one, and then the tables; never at the tables first, or they would miss what is written in between.

mod journal;

use std::collections::HashMap;
use std::sync::Arc;

use hookpost_domain::receipt::VerdictKind;
use hookpost_domain::{DeliveryState, EventTypeName, MessageId, Progress, Timestamp};
use hookpost_store::usage::UsageCounts;
use hookpost_store::{IdempotencyKey, MadeOnce, Once};

use crate::FastHash;
use crate::keys::{KeyClass, REQUEST_WINDOW_S};
use hookpost_store::codec::{Unreadable, verdict_number};

pub(crate) use journal::Journal;

/// List entries and keys that a tail has when it is frozen: enough for long runs, few enough to be replayed in milliseconds at open.
pub(crate) const TAIL_WEIGHT_MAX: usize = 128 << 10;

/// What a list is of; the numbers are those of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ListKind {
    MessagesOfApplication = 1,
    MessagesOfEndpoint = 2,
    AttemptsOfEndpoint = 3,
    /// The owner is the minute in which the payloads may go.
    PayloadsByExpiry = 4,
    ReceiptsOfSource = 5,
}

/// An id, and for attempts the message that it belongs to.
pub(crate) type Entry = (u64, u64);

/// Application, number of the fine span, event type.
pub(crate) type UsageKey = (u64, u64, EventTypeName);
pub(crate) type UsageByKey = HashMap<UsageKey, UsageCounts, FastHash>;

/// How a delivery counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// There was none.
    Nothing,
    Pending,
    Sending,
    Success,
    Fail,
    Canceled,
}

impl Counted {
    const ALL: [Self; 6] = [Self::Nothing, Self::Pending, Self::Sending, Self::Success, Self::Fail, Self::Canceled];

    pub(crate) fn of(state: DeliveryState, progress: Progress) -> Self {
        match state {
            DeliveryState::Pending | DeliveryState::Waiting { .. } if progress.attempts == 0 => Self::Pending,
            DeliveryState::Pending | DeliveryState::Waiting { .. } => Self::Sending,
            DeliveryState::Delivered => Self::Success,
            DeliveryState::Dead { .. } => Self::Fail,
            DeliveryState::Canceled { .. } => Self::Canceled,
        }
    }
}

/// What is counted by owner and minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// By [`Counted`].
    DeliveriesOfEndpoint,
    /// By verdict.
    ReceiptsOfSource,
}

/// The key that a message takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TakenKey {
    Request(IdempotencyKey),
    Event(Once),
}

impl TakenKey {
    pub(crate) fn class(self) -> KeyClass {
        match self {
            Self::Request(_) => KeyClass::Request,
            Self::Event(_) => KeyClass::Event,
        }
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        match self {
            Self::Request(key) | Self::Event(Once { key, .. }) => key.0,
        }
    }

    pub(crate) fn made(self, message: MessageId, created_at: Timestamp) -> MadeOnce {
        match self {
            Self::Request(_) => MadeOnce { message, created_at, window_s: REQUEST_WINDOW_S },
            Self::Event(once) => once.made(message, created_at),
        }
    }

    /// Whether a message that was made by it stands for one that comes now.
    pub(crate) fn is_answered_by(self, made: MadeOnce, now: Timestamp) -> bool {
        match self {
            Self::Request(_) => now < made.until(),
            Self::Event(once) => made.answers(once, now),
        }
    }
}

/// Deliveries by [`Counted`] (without `Nothing`), as differences; receipts by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts(pub(crate) [i64; 5]);

impl Counts {
    pub(crate) fn change(&mut self, counted: Counted, by: i64) {
        if let Some(slot) = (counted as usize).checked_sub(1) {
            self.0[slot] += by;
        }
    }

    pub(crate) fn receipt(&mut self, verdict: VerdictKind) {
        self.0[usize::from(verdict_number(verdict))] += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own += other;
        }
    }

    pub(crate) fn unfinished(self) -> i64 {
        self.0[0] + self.0[1]
    }
}

pub(crate) fn minute_of(time: Timestamp) -> u64 {
    time.unix_ms() / 60_000
}

/// The part of the lists, keys and counters that is not in the tables yet.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) lists: HashMap<(ListKind, u64), Vec<Entry>, FastHash>,
    /// What keys made, by class.
    keys: [HashMap<[u8; 16], MadeOnce, FastHash>; KeyClass::ALL.len()],
    /// By owner and minute.
    counters: HashMap<(u64, u64), Counts, FastHash>,
    receipt_counters: HashMap<(u64, u64), Counts, FastHash>,
    pub(crate) usage: UsageByKey,
    /// List entries and keys.
    pub(crate) weight: usize,
}

impl Tail {
    /// Takes up the journal of a commit.
    pub(crate) fn replay(&mut self, journal: &[u8]) -> Result<(), Unreadable> {
        journal::replay(journal, self)
    }

    fn push(&mut self, kind: ListKind, owner: u64, entry: Entry) {
        self.lists.entry((kind, owner)).or_default().push(entry);
        self.weight += 1;
    }

    fn count(&mut self, endpoint: u64, minute: u64, counted: Counted, by: i64) {
        self.counters.entry((endpoint, minute)).or_default().change(counted, by);
    }

    pub(crate) fn keys(&self, class: KeyClass) -> &HashMap<[u8; 16], MadeOnce, FastHash> {
        &self.keys[class as usize]
    }

    pub(crate) fn counters(&self, counter: Counter) -> &HashMap<(u64, u64), Counts, FastHash> {
        match counter {
            Counter::DeliveriesOfEndpoint => &self.counters,
            Counter::ReceiptsOfSource => &self.receipt_counters,
        }
    }

    fn take_key(&mut self, class: KeyClass, key: [u8; 16], made: MadeOnce) {
        self.keys[class as usize].insert(key, made);
        self.weight += 1;
    }

    pub(crate) fn list(&self, kind: ListKind, owner: u64) -> &[Entry] {
        self.lists.get(&(kind, owner)).map_or(&[], Vec::as_slice)
    }
}

/// A tail that grows no more and is being written.
#[derive(Debug, Default)]
pub(crate) struct Frozen {
    pub(crate) tail: Tail,
    /// The last row of `tail_log` that it was made of.
    pub(crate) seq: i64,
}

/// What readers see beside the tables.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    pub(crate) live: Tail,
    pub(crate) frozen: Option<Arc<Frozen>>,
    /// Of the frozen one, or of the last that was.
    pub(crate) last_frozen_seq: i64,
}

impl Tails {
    pub(crate) fn parts(&self) -> impl DoubleEndedIterator<Item = &Tail> {
        self.frozen.iter().map(|frozen| &frozen.tail).chain(std::iter::once(&self.live))
    }

    pub(crate) fn made_by(&self, class: KeyClass, key: &[u8; 16]) -> Option<MadeOnce> {
        self.parts().rev().find_map(|tail| tail.keys(class).get(key).copied())
    }
}
