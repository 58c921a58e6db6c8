//! Strict order: one delivery at a time, and nothing younger than one that waits for its retry. Only lanes of ordered endpoints have this.

use hookpost_domain::{DeliveryState, MessageId, Trigger};

use super::Ended;

#[derive(Debug, Default)]
pub(super) struct Order {
    /// The oldest message that was attempted and waits; nothing younger is attempted.
    pub(super) barrier: Option<MessageId>,
    /// The barrier was set while a claim was under way, whose answer cannot know of it.
    barrier_is_newer_than_claim: bool,
    /// Outcomes that are on their way to the store.
    unrecorded: usize,
    /// Only the store knows what comes next.
    pub(super) ask_first: bool,
}

impl Order {
    /// What waits in the store comes before what the lane has.
    pub(super) fn begin() -> Self {
        Self { ask_first: true, ..Self::default() }
    }

    /// Others may have gone on: what is known here does not count any more.
    pub(super) fn begin_again(&mut self) {
        *self = Self { unrecorded: self.unrecorded, ..Self::begin() };
    }

    /// The next one waits until the outcome of the one before it is on disk: otherwise a crash could bring that one once more, after its successor.
    pub(super) fn stands_still(&self) -> bool {
        self.ask_first || self.unrecorded > 0
    }

    /// A claim would hand out what comes after the one whose outcome is not in the store yet.
    pub(super) fn must_not_claim(&self) -> bool {
        self.unrecorded > 0 && (self.barrier.is_some() || self.ask_first)
    }

    /// What waits for its retry holds up all that is younger, not itself.
    pub(super) fn allows(&self, message: MessageId) -> bool {
        self.barrier.is_none_or(|barrier| message <= barrier)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.unrecorded == 0
    }

    pub(super) fn ended(&mut self, ended: &Ended, claim_under_way: bool) {
        self.unrecorded += 1;
        if self.barrier == Some(ended.message) && ended.state.is_final() {
            // Sent by hand while it held up the others.
            self.barrier = None;
            self.ask_first = true;
        } else if matches!(ended.state, DeliveryState::Waiting { .. }) && ended.trigger == Trigger::Scheduled {
            self.barrier = Some(self.barrier.map_or(ended.message, |other| other.min(ended.message)));
            self.barrier_is_newer_than_claim |= claim_under_way;
        }
    }

    pub(super) fn recorded(&mut self) {
        self.unrecorded = self.unrecorded.saturating_sub(1);
    }

    pub(super) fn claim_begins(&mut self) {
        self.barrier_is_newer_than_claim = false;
    }

    pub(super) fn claimed(&mut self, held_by: Option<MessageId>) {
        self.ask_first = false;
        if !self.barrier_is_newer_than_claim {
            self.barrier = held_by;
        }
    }
}
