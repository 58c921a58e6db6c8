//! What a source may take: its rate, its requests at a time, bytes in memory. Counted by this node, in memory.
//!
//! Every bound is one of a single source, or has a part that no single source can take up: a flood at one door leaves the others open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hookpost_domain::throttle::Throttle;
use hookpost_domain::{Timestamp, limits};
use parking_lot::Mutex;

use super::prepared::PreparedSource;
use super::refusal::Refusal;

/// What this node counts of one source, whatever becomes of its rules.
#[derive(Debug)]
pub(super) struct Usage {
    rate: Mutex<Throttle>,
    in_flight: Arc<AtomicUsize>,
    bytes: Arc<Budget>,
    rejected_kept: Mutex<Throttle>,
    diagnoses: Mutex<Throttle>,
}

impl Usage {
    pub(super) fn new(body_bytes_max: usize) -> Self {
        Self {
            rate: Mutex::default(),
            in_flight: Arc::default(),
            bytes: Arc::new(Budget::new(limits::SOURCE_BODY_BYTES_IN_MEMORY_MAX.max(2 * body_bytes_max))),
            rejected_kept: Mutex::default(),
            diagnoses: Mutex::default(),
        }
    }

    /// Takes a place among the requests of the source, or says why there is none.
    pub(super) fn enter(&self, source: &PreparedSource, now: Timestamp) -> Result<Place, Refusal> {
        if let Some(per_second) = source.rate_limit {
            self.rate.lock().take(per_second, now).map_err(|free_at| Refusal::rate_limited(per_second, free_at.since(now)))?;
        }
        let place = Place(Arc::clone(&self.in_flight));
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        // Dropping the place takes it back.
        if before < usize::from(source.in_flight_max) { Ok(place) } else { Err(Refusal::too_many_in_flight(source.in_flight_max)) }
    }

    /// Whether one more request that made no message may be kept now.
    pub(super) fn may_keep_rejected(&self, now: Timestamp) -> bool {
        self.rejected_kept.lock().take(limits::SOURCE_REJECTED_KEPT_PER_SECOND, now).is_ok()
    }

    pub(super) fn may_diagnose(&self, now: Timestamp) -> bool {
        self.diagnoses.lock().take(limits::SOURCE_DIAGNOSES_PER_SECOND, now).is_ok()
    }

    pub(super) fn bytes(&self) -> &Arc<Budget> {
        &self.bytes
    }
}

/// One request of a source that is worked on.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A number of bytes that may be held at a time.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= self.max;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The bytes that one request holds, of its source's and of everyone's; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    of_source: Arc<Budget>,
    of_all: Arc<Budget>,
    bytes: usize,
}

impl Held {
    pub(super) fn new(of_source: &Arc<Budget>, of_all: &Arc<Budget>) -> Self {
        Self { of_source: Arc::clone(of_source), of_all: Arc::clone(of_all), bytes: 0 }
    }

    /// Takes more, as it arrives: what was only announced costs nothing.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Refusal> {
        if !self.of_source.take(bytes) {
            return Err(Refusal::too_many_bytes());
        }
        if !self.of_all.take(bytes) {
            self.of_source.give_back(bytes);
            return Err(Refusal::too_many_bytes());
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of_source.give_back(self.bytes);
        self.of_all.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_from_both_and_given_back() {
        let (one, other, all) = (Arc::new(Budget::new(10)), Arc::new(Budget::new(10)), Arc::new(Budget::new(15)));
        let used = |budget: &Budget| budget.used.load(Ordering::Relaxed);
        let mut first = Held::new(&one, &all);
        first.add(10).unwrap();
        assert!(first.add(1).is_err());
        let mut second = Held::new(&other, &all);
        assert!(second.add(6).is_err());
        second.add(5).unwrap();
        assert_eq!((used(&one), used(&other), used(&all)), (10, 5, 15));
        drop(first);
        second.add(5).unwrap();
        drop(second);
        assert_eq!((used(&one), used(&other), used(&all)), (0, 0, 0));
    }
}
