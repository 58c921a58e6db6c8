//! What a store has, as counts and checksums: two stores with the same rows have the same, in whatever order they give them.

use ring::digest::{Context, SHA256};

/// What is counted and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Applications,
    Endpoints,
    EventTypes,
    ApiKeys,
    Revocations,
    Health,
    Tasks,
    Messages,
    Deliveries,
    Attempts,
    IdempotencyKeys,
    KeptAnswers,
    Sources,
    SourceStates,
    Receipts,
    EventKeys,
    Documents,
    Progress,
    LogEntries,
    Usage,
}

impl Kind {
    pub const ALL: [Self; 20] = [
        Self::Applications,
        Self::Endpoints,
        Self::EventTypes,
        Self::ApiKeys,
        Self::Revocations,
        Self::Health,
        Self::Tasks,
        Self::Messages,
        Self::Deliveries,
        Self::Attempts,
        Self::IdempotencyKeys,
        Self::KeptAnswers,
        Self::Sources,
        Self::SourceStates,
        Self::Receipts,
        Self::EventKeys,
        Self::Documents,
        Self::Progress,
        Self::LogEntries,
        Self::Usage,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Applications => "applications",
            Self::Endpoints => "endpoints",
            Self::EventTypes => "event types",
            Self::ApiKeys => "API keys",
            Self::Revocations => "revoked tokens",
            Self::Health => "states of endpoints' health",
            Self::Tasks => "background tasks",
            Self::Messages => "messages",
            Self::Deliveries => "deliveries",
            Self::Attempts => "attempts",
            Self::IdempotencyKeys => "idempotency keys",
            Self::KeptAnswers => "kept answers",
            Self::Sources => "sources",
            Self::SourceStates => "states of sources",
            Self::Receipts => "receipts",
            Self::EventKeys => "keys of events",
            Self::Documents => "documents",
            Self::Progress => "states of sinks",
            Self::LogEntries => "entries of logs",
            Self::Usage => "counts of usage",
        }
    }
}

/// Counts by kind, and sums of one hash per row. A sum does not depend on the order, and the hash of a row says everything that is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    counts: [u64; Kind::ALL.len()],
    sums: [u128; Kind::ALL.len()],
}

impl Tally {
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts[kind as usize]
    }

    /// The first kind that is not the same.
    pub fn difference(&self, other: &Self) -> Option<Kind> {
        let same =
            |kind: Kind| (self.counts[kind as usize], self.sums[kind as usize]) == (other.counts[kind as usize], other.sums[kind as usize]);
        Kind::ALL.into_iter().find(|kind| !same(*kind))
    }

    pub(super) fn add(&mut self, kind: Kind, fields: Fields) {
        let digest = fields.0.finish();
        let (half, _) = digest.as_ref().split_first_chunk().expect("a digest has 32 bytes");
        self.counts[kind as usize] += 1;
        self.sums[kind as usize] = self.sums[kind as usize].wrapping_add(u128::from_le_bytes(*half));
    }
}

/// The fields of one row, told apart by their lengths.
pub(super) struct Fields(Context);

impl Fields {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    pub(super) fn optional(self, number: Option<u64>) -> Self {
        self.number(number.is_some().into()).number(number.unwrap_or_default())
    }

    pub(super) fn optional_bytes(self, bytes: Option<&[u8]>) -> Self {
        self.number(bytes.is_some().into()).bytes(bytes.unwrap_or_default())
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let mut fields = self.number(bytes.len() as u64);
        fields.0.update(bytes);
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(rows: &[(Kind, &[&[u8]])]) -> Tally {
        let mut tally = Tally::default();
        for (kind, fields) in rows {
            tally.add(*kind, fields.iter().fold(Fields::new(), |fields, bytes| fields.bytes(bytes)));
        }
        tally
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_everything_else_does() {
        let (first, second): (&[&[u8]], &[&[u8]]) = (&[b"ab", b"c"], &[b"x"]);
        let all = tally(&[(Kind::Tasks, first), (Kind::Tasks, second), (Kind::Health, second)]);
        assert_eq!(all.difference(&tally(&[(Kind::Health, second), (Kind::Tasks, second), (Kind::Tasks, first)])), None);
        assert_eq!(all.count(Kind::Tasks), 2);
        for other in [
            tally(&[(Kind::Tasks, first), (Kind::Health, second)]),
            tally(&[(Kind::Tasks, first), (Kind::Tasks, first), (Kind::Health, second)]),
            // The same bytes, divided into fields in another way.
            tally(&[(Kind::Tasks, &[b"a", b"bc"]), (Kind::Tasks, second), (Kind::Health, second)]),
        ] {
            assert_eq!(all.difference(&other), Some(Kind::Tasks));
        }
    }
}
