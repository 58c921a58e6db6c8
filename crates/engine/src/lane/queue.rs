//! What a lane holds in memory: leased deliveries, bounded in number and bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use hookpost_domain::{Trigger, limits};
use hookpost_store::queue::LeasedDelivery;

use crate::budget::Shared;

/// What a lane may hold even when the memory of all lanes is used up.
const ALWAYS_HELD: usize = 8;

/// A delivery in the memory of a lane.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) leased: LeasedDelivery,
    /// The public id of the message, written out once for all its deliveries.
    pub(crate) message_id: Arc<str>,
}

impl Work {
    fn bytes(&self) -> usize {
        self.leased.message.content.payload.as_ref().map_or(0, bytes::Bytes::len)
    }

    pub(super) fn is_manual(&self) -> bool {
        self.leased.trigger == Trigger::Manual
    }

    /// Where it stands in strict order: what was asked for by hand stands outside of it and goes first.
    fn rank(&self) -> (bool, hookpost_domain::MessageId) {
        (!self.is_manual(), self.leased.key.message)
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    works: VecDeque<Work>,
    bytes: usize,
    shared: Arc<Shared>,
}

impl Queue {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { works: VecDeque::new(), bytes: 0, shared }
    }

    pub(super) fn len(&self) -> usize {
        self.works.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.works.is_empty()
    }

    pub(super) fn is_more_than_a_few(&self) -> bool {
        self.works.len() > ALWAYS_HELD
    }

    pub(super) fn first(&self) -> Option<&Work> {
        self.works.front()
    }

    pub(super) fn place_of_manual(&self) -> Option<usize> {
        self.works.iter().position(Work::is_manual)
    }

    /// A lane may hold as many bytes as are left for the others.
    pub(super) fn has_room_for(&self, work: &Work) -> bool {
        self.has_room_for_bytes(work.bytes())
    }

    pub(super) fn is_below_half(&self) -> bool {
        self.works.len() < limits::LANE_DELIVERIES_IN_MEMORY_MAX / 2 && self.has_room_for_bytes(0)
    }

    fn has_room_for_bytes(&self, bytes: usize) -> bool {
        self.works.len() < ALWAYS_HELD
            || (self.works.len() < limits::LANE_DELIVERIES_IN_MEMORY_MAX && self.bytes + bytes <= self.bytes_max())
    }

    fn bytes_max(&self) -> usize {
        limits::LANE_BYTES_IN_MEMORY_MAX.min(self.shared.memory.free())
    }

    /// Deliveries and bytes that may be claimed.
    pub(super) fn room(&self) -> (usize, usize) {
        let deliveries = limits::LANE_DELIVERIES_IN_MEMORY_MAX.saturating_sub(self.works.len()).max(1);
        (deliveries, self.bytes_max().saturating_sub(self.bytes))
    }

    pub(super) fn push(&mut self, work: Work) {
        self.count(&work);
        self.works.push_back(work);
    }

    pub(super) fn push_in_order(&mut self, work: Work) {
        self.count(&work);
        let rank = work.rank();
        if self.works.back().is_none_or(|last| last.rank() < rank) {
            self.works.push_back(work);
        } else {
            let place = self.works.partition_point(|other| other.rank() <= rank);
            self.works.insert(place, work);
        }
    }

    pub(super) fn put_in_order(&mut self) {
        self.works.make_contiguous().sort_by_key(Work::rank);
    }

    pub(super) fn take(&mut self, place: usize) -> Option<Work> {
        let work = if place == 0 { self.works.pop_front() } else { self.works.remove(place) }?;
        self.bytes -= work.bytes();
        self.shared.memory.give_back(work.bytes());
        Some(work)
    }

    pub(super) fn take_all(&mut self) -> Vec<Work> {
        self.shared.memory.give_back(std::mem::take(&mut self.bytes));
        self.works.drain(..).collect()
    }

    fn count(&mut self, work: &Work) {
        self.bytes += work.bytes();
        self.shared.memory.take(work.bytes());
    }
}
