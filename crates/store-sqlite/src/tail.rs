//! The newest part of everything that is indexed: lists by owner, idempotency keys, counters. It lives in memory and is journaled: every
//! commit writes its [`Journal`] as one row of `tail_log`, and the tail takes up exactly those bytes, after the commit or at open.
//!
//! When it has grown enough it is frozen, a new one begins, and `flush` writes the frozen one in sorted runs. Readers look at the live
//! tail, the frozen one, and then the tables; never at the tables first, or they would miss what is written in between.

use std::collections::HashMap;
use std::sync::Arc;

use hookpost_domain::receipt::VerdictKind;
use hookpost_domain::{
    AttemptId, DeliveryKey, DeliveryState, EndpointId, Message, MessageId, Progress, ReceiptId, RowId, SourceId, Timestamp,
};
use hookpost_store::{IdempotencyKey, MadeOnce, Once};

use crate::FastHash;
use crate::keys::{KeyClass, REQUEST_WINDOW_S};
use hookpost_store::codec::{Unreadable, put_varint, take_byte, take_varint, verdict_number, verdict_of_number};

/// List entries and keys that a tail has when it is frozen: enough for long runs, few enough to be replayed in milliseconds at open.
pub(crate) const TAIL_WEIGHT_MAX: usize = 128 << 10;

const JOURNAL_VERSION: u8 = 1;
const MESSAGE: u8 = 1;
const TRANSITION: u8 = 2;
const RECEIPT: u8 = 3;

const SAME_APPLICATION: u8 = 1;
const SAME_TARGETS: u8 = 2;
const WITH_KEY: u8 = 4;
/// The clock stood behind the ids when the message was accepted.
const WITH_TIME: u8 = 8;
/// The key of an event, and its window.
const WITH_EVENT_KEY: u8 = 16;
const SAME_ENDPOINT: u8 = 1;
const WITH_ATTEMPT: u8 = 2;
const WITH_MINUTE: u8 = 4;
const SAME_SOURCE: u8 = 1;
const RECEIVED_IN_OTHER_MINUTE: u8 = 2;

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

/// What one commit adds to the tail, as the bytes that are stored.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    bytes: Vec<u8>,
    /// How the number of unfinished deliveries changes.
    pub(crate) unfinished: i64,
    last_message: u64,
    last_application: u64,
    last_targets: smallvec::SmallVec<[EndpointId; 4]>,
    last_endpoint: u64,
    last_transition: u64,
    last_attempt: u64,
    last_receipt: u64,
    last_source: u64,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![JOURNAL_VERSION],
            unfinished: 0,
            last_message: 0,
            last_application: 0,
            last_targets: smallvec::SmallVec::new(),
            last_endpoint: 0,
            last_transition: 0,
            last_attempt: 0,
            last_receipt: 0,
            last_source: 0,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn message(&mut self, message: &Message, key: Option<TakenKey>) {
        let id = message.id;
        let application = message.application.row().raw();
        let targets = &message.content.routing.targets;
        let mut flags = 0;
        if application == self.last_application {
            flags |= SAME_APPLICATION;
        }
        if *targets == self.last_targets {
            flags |= SAME_TARGETS;
        }
        flags |= match key {
            Some(TakenKey::Request(_)) => WITH_KEY,
            Some(TakenKey::Event(_)) => WITH_EVENT_KEY,
            None => 0,
        };
        if message.created_at != id.created_at() {
            flags |= WITH_TIME;
        }
        self.bytes.extend([MESSAGE, flags]);
        put_varint(&mut self.bytes, id.row().raw() - self.last_message);
        self.last_message = id.row().raw();
        put_varint(&mut self.bytes, minute_of(message.content.payload_expires_at));
        if flags & SAME_APPLICATION == 0 {
            self.bytes.extend(application.to_le_bytes());
            self.last_application = application;
        }
        if flags & SAME_TARGETS == 0 {
            put_varint(&mut self.bytes, targets.len() as u64);
            for target in targets {
                self.bytes.extend(target.row().raw().to_le_bytes());
            }
            self.last_targets.clone_from(targets);
        }
        if let Some(key) = key {
            self.bytes.extend(key.bytes());
        }
        if let Some(TakenKey::Event(once)) = key {
            put_varint(&mut self.bytes, once.window_s().into());
        }
        if flags & WITH_TIME != 0 {
            put_varint(&mut self.bytes, message.created_at.unix_ms());
        }
        self.unfinished += targets.len() as i64;
    }

    pub(crate) fn receipt(&mut self, id: ReceiptId, source: SourceId, received_at: Timestamp, verdict: VerdictKind) {
        let (raw, source, minute) = (id.row().raw(), source.row().raw(), minute_of(received_at));
        let mut flags = 0;
        if source == self.last_source {
            flags |= SAME_SOURCE;
        }
        if minute != minute_of(id.created_at()) {
            flags |= RECEIVED_IN_OTHER_MINUTE;
        }
        self.bytes.extend([RECEIPT, flags, verdict_number(verdict)]);
        put_varint(&mut self.bytes, raw - self.last_receipt);
        self.last_receipt = raw;
        if flags & SAME_SOURCE == 0 {
            self.bytes.extend(source.to_le_bytes());
            self.last_source = source;
        }
        if flags & RECEIVED_IN_OTHER_MINUTE != 0 {
            put_varint(&mut self.bytes, minute);
        }
    }

    pub(crate) fn transition(
        &mut self,
        key: DeliveryKey,
        message_created_at: Timestamp,
        attempt: Option<AttemptId>,
        from: Counted,
        to: Counted,
    ) {
        let DeliveryKey { message, endpoint } = key;
        let raw_endpoint = endpoint.row().raw();
        let minute = minute_of(message_created_at);
        let mut flags = 0;
        if minute != minute_of(message.created_at()) {
            flags |= WITH_MINUTE;
        }
        if raw_endpoint == self.last_endpoint {
            flags |= SAME_ENDPOINT;
        }
        if attempt.is_some() {
            flags |= WITH_ATTEMPT;
        }
        self.bytes.extend([TRANSITION, flags, (from as u8) << 4 | to as u8]);
        // Neighbours in a batch are near each other, before or after.
        put_varint(&mut self.bytes, zigzag(message.row().raw().wrapping_sub(self.last_transition) as i64));
        self.last_transition = message.row().raw();
        if flags & SAME_ENDPOINT == 0 {
            self.bytes.extend(raw_endpoint.to_le_bytes());
            self.last_endpoint = raw_endpoint;
        }
        if let Some(attempt) = attempt {
            put_varint(&mut self.bytes, attempt.row().raw() - self.last_attempt);
            self.last_attempt = attempt.row().raw();
        }
        if flags & WITH_MINUTE != 0 {
            put_varint(&mut self.bytes, minute);
        }
        let open = |counted| i64::from(matches!(counted, Counted::Pending | Counted::Sending));
        self.unfinished += open(to) - open(from);
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
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
    /// List entries and keys.
    pub(crate) weight: usize,
}

impl Tail {
    /// Takes up the journal of a commit.
    pub(crate) fn replay(&mut self, journal: &[u8]) -> Result<(), Unreadable> {
        let mut bytes = match journal.split_first() {
            Some((&JOURNAL_VERSION, rest)) => rest,
            _ => return Err(Unreadable { what: "journal", why: "its format is not known".to_owned() }),
        };
        let mut reader = JournalReader::default();
        while !bytes.is_empty() {
            reader.entry(&mut bytes, self).ok_or_else(|| Unreadable { what: "journal", why: "it ends early".to_owned() })?;
        }
        Ok(())
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

#[derive(Default)]
struct JournalReader {
    last_message: u64,
    application: u64,
    targets: Vec<u64>,
    endpoint: u64,
    last_transition: u64,
    last_attempt: u64,
    last_receipt: u64,
    source: u64,
}

impl JournalReader {
    fn entry(&mut self, bytes: &mut &[u8], tail: &mut Tail) -> Option<()> {
        match take_byte(bytes)? {
            MESSAGE => self.message(bytes, tail),
            TRANSITION => self.transition(bytes, tail),
            RECEIPT => self.receipt(bytes, tail),
            _ => None,
        }
    }

    fn message(&mut self, bytes: &mut &[u8], tail: &mut Tail) -> Option<()> {
        let flags = take_byte(bytes)?;
        let id = self.last_message + take_varint(bytes)?;
        self.last_message = id;
        let expiry_minute = take_varint(bytes)?;
        if flags & SAME_APPLICATION == 0 {
            self.application = take_u64(bytes)?;
        }
        if flags & SAME_TARGETS == 0 {
            self.targets.clear();
            for _ in 0..take_varint(bytes)? {
                self.targets.push(take_u64(bytes)?);
            }
        }
        tail.push(ListKind::MessagesOfApplication, self.application, (id, 0));
        tail.push(ListKind::PayloadsByExpiry, expiry_minute, (id, 0));
        let key = if flags & (WITH_KEY | WITH_EVENT_KEY) != 0 { Some(take_chunk(bytes)?) } else { None };
        let window_s = if flags & WITH_EVENT_KEY != 0 { u32::try_from(take_varint(bytes)?).ok()? } else { REQUEST_WINDOW_S };
        let id_time = RowId::from_raw(id).created_at();
        let created_at = if flags & WITH_TIME != 0 { Timestamp::from_unix_ms(take_varint(bytes)?) } else { id_time };
        for &target in &self.targets {
            tail.push(ListKind::MessagesOfEndpoint, target, (id, 0));
            tail.count(target, minute_of(created_at), Counted::Pending, 1);
        }
        if let Some(key) = key {
            let class = if flags & WITH_EVENT_KEY != 0 { KeyClass::Event } else { KeyClass::Request };
            tail.take_key(class, key, MadeOnce { message: MessageId::from_row(RowId::from_raw(id)), created_at, window_s });
        }
        Some(())
    }

    fn receipt(&mut self, bytes: &mut &[u8], tail: &mut Tail) -> Option<()> {
        let flags = take_byte(bytes)?;
        let verdict = verdict_of_number(take_byte(bytes)?).ok()?;
        let id = self.last_receipt + take_varint(bytes)?;
        self.last_receipt = id;
        if flags & SAME_SOURCE == 0 {
            self.source = take_u64(bytes)?;
        }
        let id_minute = minute_of(RowId::from_raw(id).created_at());
        let minute = if flags & RECEIVED_IN_OTHER_MINUTE != 0 { take_varint(bytes)? } else { id_minute };
        tail.push(ListKind::ReceiptsOfSource, self.source, (id, 0));
        tail.receipt_counters.entry((self.source, minute)).or_default().receipt(verdict);
        Some(())
    }

    fn transition(&mut self, bytes: &mut &[u8], tail: &mut Tail) -> Option<()> {
        let flags = take_byte(bytes)?;
        let counted = take_byte(bytes)?;
        let message = self.last_transition.wrapping_add(unzigzag(take_varint(bytes)?) as u64);
        self.last_transition = message;
        if flags & SAME_ENDPOINT == 0 {
            self.endpoint = take_u64(bytes)?;
        }
        if flags & WITH_ATTEMPT != 0 {
            let attempt = self.last_attempt + take_varint(bytes)?;
            self.last_attempt = attempt;
            tail.push(ListKind::AttemptsOfEndpoint, self.endpoint, (attempt, message));
        }
        let from = *Counted::ALL.get(usize::from(counted >> 4))?;
        let to = *Counted::ALL.get(usize::from(counted & 15))?;
        let id_minute = minute_of(RowId::from_raw(message).created_at());
        let minute = if flags & WITH_MINUTE != 0 { take_varint(bytes)? } else { id_minute };
        if from != to {
            tail.count(self.endpoint, minute, from, -1);
            tail.count(self.endpoint, minute, to, 1);
        }
        Some(())
    }
}

fn take_chunk<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*chunk)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take_chunk(bytes).map(u64::from_le_bytes)
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
