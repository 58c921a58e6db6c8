//! What a commit adds to the tail, as bytes: written once, read by the tail after the commit and at open.

use hookpost_domain::receipt::VerdictKind;
use hookpost_domain::{
    ApplicationId, AttemptId, DeliveryKey, EndpointId, EventTypeName, Message, MessageId, ReceiptId, RowId, SourceId, Timestamp,
};
use hookpost_store::MadeOnce;
use hookpost_store::codec::{Unreadable, put_varint, take_byte, take_varint, verdict_number, verdict_of_number};
use hookpost_store::usage::{FINE_S, UsageCounts, span_of};

use super::{Counted, ListKind, Tail, TakenKey, UsageByKey, minute_of};
use crate::keys::{KeyClass, REQUEST_WINDOW_S};

const JOURNAL_VERSION: u8 = 1;
const MESSAGE: u8 = 1;
const TRANSITION: u8 = 2;
const RECEIPT: u8 = 3;
const USAGE: u8 = 4;

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
const SAME_EVENT_TYPE: u8 = 1;

/// What one commit adds to the tail, as the bytes that are stored.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    bytes: Vec<u8>,
    /// How the number of unfinished deliveries changes.
    pub(crate) unfinished: i64,
    /// Added up over the commit, so that a message costs no bytes of its own.
    usage: UsageByKey,
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
            usage: UsageByKey::default(),
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

    /// After the last that is added; see [`Self::close`].
    pub(crate) fn bytes(&self) -> &[u8] {
        debug_assert!(self.usage.is_empty(), "what was added up is not written down");
        &self.bytes
    }

    /// Writes down what was added up.
    pub(crate) fn close(&mut self) {
        let mut last = None;
        for ((application, span, event_type), counts) in self.usage.drain() {
            let is_same = last.as_ref() == Some(&event_type);
            self.bytes.extend([USAGE, if is_same { SAME_EVENT_TYPE } else { 0 }]);
            self.bytes.extend(application.to_le_bytes());
            put_varint(&mut self.bytes, span);
            if !is_same {
                put_varint(&mut self.bytes, event_type.as_str().len() as u64);
                self.bytes.extend(event_type.as_str().as_bytes());
            }
            let UsageCounts { messages, deliveries, success, failure, canceled } = counts;
            for count in [messages, deliveries, success, failure, canceled] {
                put_varint(&mut self.bytes, count);
            }
            last = Some(event_type);
        }
    }

    pub(crate) fn usage(&mut self, application: ApplicationId, event_type: &EventTypeName, at: Timestamp, counts: UsageCounts) {
        if !counts.is_nothing() {
            let key = (application.row().raw(), span_of(at, FINE_S), event_type.clone());
            self.usage.entry(key).or_default().add(counts);
        }
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
        self.usage(message.application, &message.content.event_type, message.created_at, UsageCounts::of_message(message));
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

/// A tail takes up the journal of a commit.
pub(super) fn replay(journal: &[u8], tail: &mut Tail) -> Result<(), Unreadable> {
    let mut bytes = match journal.split_first() {
        Some((&JOURNAL_VERSION, rest)) => rest,
        _ => return Err(Unreadable { what: "journal", why: "its format is not known".to_owned() }),
    };
    let mut reader = JournalReader::default();
    while !bytes.is_empty() {
        reader.entry(&mut bytes, tail).ok_or_else(|| Unreadable { what: "journal", why: "it ends early".to_owned() })?;
    }
    Ok(())
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
    event_type: Option<EventTypeName>,
}

impl JournalReader {
    fn entry(&mut self, bytes: &mut &[u8], tail: &mut Tail) -> Option<()> {
        match take_byte(bytes)? {
            MESSAGE => self.message(bytes, tail),
            TRANSITION => self.transition(bytes, tail),
            RECEIPT => self.receipt(bytes, tail),
            USAGE => self.usage(bytes, tail),
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

    fn usage(&mut self, bytes: &mut &[u8], tail: &mut Tail) -> Option<()> {
        let flags = take_byte(bytes)?;
        let application = take_u64(bytes)?;
        let span = take_varint(bytes)?;
        if flags & SAME_EVENT_TYPE == 0 {
            let length = usize::try_from(take_varint(bytes)?).ok()?;
            let (name, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            self.event_type = Some(EventTypeName::parse(std::str::from_utf8(name).ok()?).ok()?);
        }
        let mut next = || take_varint(bytes);
        let counts = UsageCounts { messages: next()?, deliveries: next()?, success: next()?, failure: next()?, canceled: next()? };
        tail.usage.entry((application, span, self.event_type.clone()?)).or_default().add(counts);
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
