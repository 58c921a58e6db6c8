//! What a source has seen of late, in eight bytes each: what it need not ask the store about, and what the store has no key of. A value that is kept with the
//! progress of its source.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hookpost_domain::limits;
use ring::digest::{Digest, SHA256, digest};
use serde::{Deserialize, Serialize};

/// What stands for a key, or for the whole of an item.
pub(super) fn mark_of(bytes: impl AsRef<[u8]>) -> u64 {
    mark_in(&digest(&SHA256, bytes.as_ref()))
}

/// The mark of what has this hash.
pub(super) fn mark_in(hash: &Digest) -> u64 {
    hash.as_ref()[..8].iter().fold(0, |mark, byte| mark << 8 | u64::from(*byte))
}

/// The marks of what was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Remembered {
    /// Seen last is last.
    marks: Vec<u64>,
}

impl Remembered {
    pub(super) fn known(&self) -> HashSet<u64> {
        self.marks.iter().copied().collect()
    }

    pub(super) fn add(&mut self, seen: impl Iterator<Item = u64>) {
        let seen: Vec<u64> = seen.collect();
        let again: HashSet<u64> = seen.iter().copied().collect();
        self.marks.retain(|mark| !again.contains(mark));
        self.marks.extend(seen);
        let surplus = self.marks.len().saturating_sub(limits::POLL_ITEMS_REMEMBERED_MAX);
        self.marks.drain(..surplus);
    }
}

impl Serialize for Remembered {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.marks.iter().flat_map(|mark| mark.to_le_bytes()).collect();
        serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Remembered {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD.decode(text).map_err(serde::de::Error::custom)?;
        let marks = bytes.chunks_exact(8).map(|chunk| chunk.iter().rev().fold(0, |mark, byte| mark << 8 | u64::from(*byte))).collect();
        Ok(Self { marks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_what_was_seen_last() {
        let mut remembered = Remembered::default();
        remembered.add([1, 2, 3].into_iter());
        remembered.add([2, 4].into_iter());
        assert_eq!(remembered.marks, [1, 3, 2, 4]);
        let max = limits::POLL_ITEMS_REMEMBERED_MAX as u64;
        remembered.add(10..10 + max - 1);
        assert_eq!((remembered.marks.len() as u64, remembered.marks[0]), (max, 4));
    }
}
