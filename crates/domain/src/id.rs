//! Identity inside and outside.
//!
//! Inside, every row has a [`RowId`]: 42 bits of milliseconds, 13 bits of counter, 8 bits of node. Row ids of one process are
//! strictly increasing, so inserts append, lists are in creation order, and a time window is a range of ids.
//!
//! Outside, an id is a prefix and 27 base62 characters, the shape that users of webhook tools know (`msg_…`): 20 bytes, of
//! which 4 are seconds since 2014-05-13 (the KSUID epoch), 8 the row id, and 8 a keyed tag over kind and row id. The tag makes an id
//! unguessable without a second index: whoever does not hold the store's key cannot make one that decodes. Streams and sinks have 22 characters
//! there (`strm_…`, `sink_…`): the same without the seconds.

use std::fmt;
use std::hash::Hasher;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use crate::Timestamp;

const COUNTER_BITS: u32 = 13;
const NODE_BITS: u32 = 8;
const KSUID_EPOCH_SECONDS: u64 = 1_400_000_000;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BODY_CHARS: usize = 27;
const BODY_BYTES: usize = 20;
const SHORT_BODY_CHARS: usize = 22;

/// The key of a row: time-ordered, unique in the store, never shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowId(u64);

impl RowId {
    pub const MIN: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX as u64);

    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub const fn raw(self) -> u64 {
        self.0
    }

    /// For stores whose integers are signed; row ids use 63 bits.
    pub const fn as_i64(self) -> i64 {
        self.0 as i64
    }

    pub const fn from_i64(raw: i64) -> Self {
        Self(raw as u64)
    }

    /// The lowest id that a row made at `time` or later can have: turns a time window into a range of ids.
    pub const fn first_at(time: Timestamp) -> Self {
        Self(time.unix_ms() << (COUNTER_BITS + NODE_BITS))
    }

    pub const fn created_at(self) -> Timestamp {
        Timestamp::from_unix_ms(self.0 >> (COUNTER_BITS + NODE_BITS))
    }
}

impl fmt::Debug for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Makes row ids that only ever grow, also when the clock steps back. Seed it with the highest id in the store.
#[derive(Debug, Clone)]
pub struct RowIds {
    node: u8,
    last: u64,
}

impl RowIds {
    pub fn after(last: RowId, node: u8) -> Self {
        Self { node, last: last.raw() >> NODE_BITS }
    }

    /// From now on all are greater than `last`, too.
    pub fn go_on_after(&mut self, last: RowId) {
        self.last = self.last.max(last.raw() >> NODE_BITS);
    }

    pub fn next(&mut self, now: Timestamp) -> RowId {
        self.last = (self.last + 1).max(now.unix_ms() << COUNTER_BITS);
        RowId(self.last << NODE_BITS | u64::from(self.node))
    }
}

/// What kind of thing a public id names; the prefix is part of the published API.
pub trait Kind: 'static {
    const PREFIX: &'static str;
    /// Whether the published shape is the short one.
    const SHORT: bool = false;
}

macro_rules! kinds {
    ($($kind:ident $alias:ident $prefix:literal $($short:ident)? $what:literal;)*) => { $(
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind {}
        impl Kind for $kind {
            const PREFIX: &'static str = $prefix;
            $( const SHORT: bool = stringify!($short).len() > 0; )?
        }
        #[doc = $what]
        pub type $alias = Id<$kind>;
    )* };
}

kinds! {
    ApplicationKind ApplicationId "app_" "Names an application.";
    EndpointKind EndpointId "ep_" "Names an endpoint.";
    MessageKind MessageId "msg_" "Names a message.";
    AttemptKind AttemptId "atmpt_" "Names an attempt.";
    EventTypeKind EventTypeId "evtype_" "Names an event type (clients use its name).";
    TaskKind TaskId "qtask_" "Names a background task.";
    ApiKeyKind ApiKeyId "key_" "Names an API key (not the key itself).";
    SourceKind SourceId "src_" "Names a source.";
    ReceiptKind ReceiptId "rcpt_" "Names a receipt.";
    IntegrationKind IntegrationId "integ_" "Names an integration.";
    StreamKind StreamId "strm_" short "Names a stream.";
    StreamEventTypeKind StreamEventTypeId "strmevtype_" "Names an event type of streams (clients use its name).";
    SinkKind SinkId "sink_" short "Names a sink or a destination.";
    SinkAttemptKind SinkAttemptId "sinkatmpt_" short "Names an attempt at a sink.";
    AuditEntryKind AuditEntryId "audit_" "Names an entry of the audit log.";
}

/// A row id that knows what it names.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Id<K>(RowId, #[serde(skip)] PhantomData<fn() -> K>);

impl<K> Id<K> {
    pub const fn from_row(row: RowId) -> Self {
        Self(row, PhantomData)
    }

    pub const fn row(self) -> RowId {
        self.0
    }

    pub const fn created_at(self) -> Timestamp {
        self.0.created_at()
    }
}

// Derives would ask the same of `K`, which is only a marker.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", K::PREFIX, self.0)
    }
}

/// Turns internal ids into public ones and back. One per store: its key is made with the store and kept in it.
#[derive(Clone)]
pub struct PublicIds {
    key: [u8; 16],
}

impl fmt::Debug for PublicIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicIds(…)")
    }
}

impl PublicIds {
    pub const fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    pub fn encode<K: Kind>(&self, id: Id<K>) -> String {
        if K::SHORT {
            return self.encode_short(id);
        }
        let row = id.row();
        let seconds = row.created_at().unix_seconds().saturating_sub(KSUID_EPOCH_SECONDS);
        let mut bytes = [0; BODY_BYTES];
        bytes[..4].copy_from_slice(&(seconds as u32).to_be_bytes());
        bytes[4..12].copy_from_slice(&row.raw().to_be_bytes());
        bytes[12..].copy_from_slice(&self.tag::<K>(row).to_be_bytes());
        let mut text = String::with_capacity(K::PREFIX.len() + BODY_CHARS);
        text.push_str(K::PREFIX);
        text.extend(base62_from_bytes(&bytes).map(char::from));
        text
    }

    /// `None` for anything that this store did not hand out.
    pub fn decode<K: Kind>(&self, text: &str) -> Option<Id<K>> {
        if K::SHORT {
            return self.decode_short(text);
        }
        let bytes = base62_to_bytes(text.strip_prefix(K::PREFIX)?.as_bytes().try_into().ok()?)?;
        let row = RowId(u64::from_be_bytes(bytes[4..12].try_into().ok()?));
        let id = Id::from_row(row);
        // The whole text is compared, so that an id has exactly one spelling.
        (row <= RowId::MAX && self.encode(id) == text).then_some(id)
    }

    fn encode_short<K: Kind>(&self, id: Id<K>) -> String {
        let mut rest = u128::from(id.row().raw()) << 64 | u128::from(self.tag::<K>(id.row()));
        let mut body = [b'0'; SHORT_BODY_CHARS];
        for slot in body.iter_mut().rev() {
            *slot = BASE62[(rest % 62) as usize];
            rest /= 62;
        }
        let mut text = String::with_capacity(K::PREFIX.len() + SHORT_BODY_CHARS);
        text.push_str(K::PREFIX);
        text.extend(body.map(char::from));
        text
    }

    fn decode_short<K: Kind>(&self, text: &str) -> Option<Id<K>> {
        let body = text.strip_prefix(K::PREFIX)?;
        let value = body.bytes().try_fold(0_u128, |value, c| value.checked_mul(62)?.checked_add(base62_digit(c)?.into()))?;
        let row = RowId((value >> 64) as u64);
        let id = Id::from_row(row);
        (row <= RowId::MAX && self.encode_short(id) == text).then_some(id)
    }

    fn tag<K: Kind>(&self, row: RowId) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(K::PREFIX.as_bytes());
        hasher.write_u64(row.raw());
        hasher.finish()
    }
}

/// Whether `text` has the shape of a public id of this kind, whoever made it.
pub fn has_public_shape<K: Kind>(text: &str) -> bool {
    let chars = if K::SHORT { SHORT_BODY_CHARS } else { BODY_CHARS };
    text.strip_prefix(K::PREFIX).is_some_and(|body| body.len() == chars && body.bytes().all(|c| c.is_ascii_alphanumeric()))
}

fn base62_digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'A'..=b'Z' => Some(c - b'A' + 10),
        b'a'..=b'z' => Some(c - b'a' + 36),
        _ => None,
    }
}

fn base62_from_bytes(bytes: &[u8; BODY_BYTES]) -> [u8; BODY_CHARS] {
    let mut words: [u32; 5] = std::array::from_fn(|i| u32::from_be_bytes(bytes[4 * i..4 * i + 4].try_into().expect("four bytes")));
    let mut text = [b'0'; BODY_CHARS];
    // Five digits at a time: 62^5 fits in 32 bits, which makes this 6 passes over 5 words instead of 27.
    const CHUNK: u64 = 62_u64.pow(5);
    let mut end = BODY_CHARS;
    while end > 0 {
        let mut rest = 0_u64;
        for word in &mut words {
            let value = rest << 32 | u64::from(*word);
            *word = (value / CHUNK) as u32;
            rest = value % CHUNK;
        }
        for slot in text[end.saturating_sub(5)..end].iter_mut().rev() {
            *slot = BASE62[(rest % 62) as usize];
            rest /= 62;
        }
        end = end.saturating_sub(5);
    }
    text
}

fn base62_to_bytes(text: &[u8; BODY_CHARS]) -> Option<[u8; BODY_BYTES]> {
    let mut words = [0_u32; 5];
    for &c in text {
        let mut carry = u64::from(base62_digit(c)?);
        for word in words.iter_mut().rev() {
            let value = u64::from(*word) * 62 + carry;
            *word = value as u32;
            carry = value >> 32;
        }
        if carry != 0 {
            return None;
        }
    }
    let mut bytes = [0; BODY_BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn public_ids_come_back_and_sort_by_time(a in 0..i64::MAX as u64, b in 0..i64::MAX as u64) {
            // Ids from before the KSUID epoch do not exist.
            let epoch = RowId::first_at(Timestamp::from_unix_ms(KSUID_EPOCH_SECONDS * 1000)).raw();
            let (a, b) = (a.max(epoch), b.max(epoch));
            let ids = PublicIds::new([7; 16]);
            let (x, y) = (MessageId::from_row(RowId(a)), MessageId::from_row(RowId(b)));
            prop_assert_eq!(ids.decode(&ids.encode(x)), Some(x));
            prop_assert_eq!(ids.encode(x).len(), 31);
            prop_assert_eq!(ids.encode(x).cmp(&ids.encode(y)), a.cmp(&b));
            prop_assert_eq!(PublicIds::new([8; 16]).decode::<MessageKind>(&ids.encode(x)), None);
            let (x, y) = (SinkId::from_row(RowId(a)), SinkId::from_row(RowId(b)));
            prop_assert_eq!(ids.decode(&ids.encode(x)), Some(x));
            prop_assert_eq!(ids.encode(x).len(), 27);
            prop_assert_eq!(ids.encode(x).cmp(&ids.encode(y)), a.cmp(&b));
            prop_assert_eq!(PublicIds::new([8; 16]).decode::<SinkKind>(&ids.encode(x)), None);
        }

        #[test]
        fn decoding_never_panics(text in "msg_[0-9A-Za-z]{27}") {
            prop_assert_eq!(PublicIds::new([7; 16]).decode::<MessageKind>(&text), None);
            prop_assert_eq!(PublicIds::new([7; 16]).decode::<SinkKind>(&text.replace("msg_", "sink_")), None);
        }
    }

    #[test]
    fn row_ids_grow_when_the_clock_steps_back() {
        let mut ids = RowIds::after(RowId::MIN, 3);
        let first = ids.next(Timestamp::from_unix_ms(2000));
        let second = ids.next(Timestamp::from_unix_ms(1000));
        assert!(second > first);
        assert_eq!(first.created_at(), Timestamp::from_unix_ms(2000));
        assert_eq!(first, RowId(RowId::first_at(Timestamp::from_unix_ms(2000)).raw() | 3));
        assert!(RowIds::after(second, 3).next(Timestamp::ZERO) > second);
    }
}
