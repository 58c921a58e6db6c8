//! What a lane knows of its deliveries on disk, and when to claim them. One claim at a time; what happens while it is under way is
//! remembered, because its answer may not know of it.

use std::time::Duration;

use hookpost_domain::Timestamp;

/// Between two claims that bring little: what is due within the same few milliseconds comes in one.
const SPACING: Duration = Duration::from_millis(2);
const LITTLE: usize = 16;
const RETRY: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct Claims {
    /// There is a backlog: older than everything that is new.
    pub(super) on_disk: bool,
    /// When something will be due, or was.
    pub(super) next_due: Option<Timestamp>,
    pub(super) under_way: bool,
    not_before: Timestamp,
    /// Something was put on disk while a claim was under way.
    outdated: bool,
    due_meanwhile: Option<Timestamp>,
    /// Deliveries that are on their way back to the store.
    releases_under_way: usize,
    /// The last claim found nothing because what was given back was not written yet.
    waits_for_release: bool,
}

/// What else decides when to claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Appetite {
    pub(super) has_room: bool,
    /// In strict order something waits for its retry: it must come however full the memory is, and nothing else may.
    pub(super) held_back: bool,
    /// Nothing is known before a claim.
    pub(super) ask_first: bool,
}

impl Claims {
    /// When to claim: now, later, or not before something happens.
    pub(super) fn time(&self, appetite: Appetite, now: Timestamp) -> Option<Timestamp> {
        if self.under_way {
            return None;
        }
        let backlog = self.on_disk && !appetite.held_back && !self.waits_for_release && appetite.has_room;
        let due = self.next_due.filter(|_| appetite.has_room || appetite.held_back);
        let time = if backlog || appetite.ask_first { Some(now) } else { due };
        time.map(|time| time.max(self.not_before))
    }

    pub(super) fn begin(&mut self) {
        self.under_way = true;
        self.outdated = false;
        self.due_meanwhile = None;
    }

    pub(super) fn succeeded(&mut self, count: usize, more: bool, next_due: Option<Timestamp>, now: Timestamp) {
        self.under_way = false;
        self.on_disk = more || self.outdated || self.releases_under_way > 0;
        self.waits_for_release = count == 0 && !more && self.releases_under_way > 0;
        self.next_due = next_due;
        let due_meanwhile = self.due_meanwhile.take();
        self.due_at(due_meanwhile);
        if count < LITTLE {
            self.not_before = now + SPACING;
        }
    }

    pub(super) fn failed(&mut self, now: Timestamp) {
        self.under_way = false;
        self.not_before = now + RETRY;
        let due_meanwhile = self.due_meanwhile.take();
        self.due_at(due_meanwhile);
    }

    pub(super) fn due_at(&mut self, time: Option<Timestamp>) {
        let Some(time) = time else { return };
        let earliest = |other: Option<Timestamp>| Some(other.map_or(time, |other| other.min(time)));
        self.next_due = earliest(self.next_due);
        if self.under_way {
            self.due_meanwhile = earliest(self.due_meanwhile);
        }
    }

    /// Something is on disk, or will be.
    pub(super) fn expect_backlog(&mut self) {
        self.on_disk = true;
        self.outdated |= self.under_way;
    }

    /// So many deliveries go back to the store.
    pub(super) fn giving_back(&mut self, count: usize) {
        self.expect_backlog();
        self.releases_under_way += count;
    }

    /// So many are there.
    pub(super) fn given_back(&mut self, count: usize) {
        self.releases_under_way -= count;
        self.outdated |= self.under_way;
        self.waits_for_release = false;
    }

    /// Nothing is on disk, nor on its way there.
    pub(super) fn is_idle(&self) -> bool {
        !self.on_disk && self.next_due.is_none() && self.nothing_is_under_way()
    }

    pub(super) fn nothing_is_under_way(&self) -> bool {
        !self.under_way && self.releases_under_way == 0
    }
}
