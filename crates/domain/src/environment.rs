//! What the outside world lends to the program: time and randomness, as values that tests replace.

use crate::Timestamp;

/// Wall-clock time. It may jump; whoever needs order uses ids, which never go back.
pub trait Clock: Send + Sync + std::fmt::Debug {
    fn now(&self) -> Timestamp;
}

/// A source of unpredictable bytes (or, in a test, of repeatable ones).
pub trait Entropy: Send + Sync + std::fmt::Debug {
    fn fill(&self, buffer: &mut [u8]);
}

/// A number in `0.0..1.0` for jitter.
pub fn unit_interval(entropy: &dyn Entropy) -> f64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    // 53 bits is what the mantissa of an f64 holds exactly.
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    /// Bytes that count up: repeatable, and never the same twice in a row.
    #[derive(Debug, Default)]
    pub(crate) struct Counting(AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for byte in buffer {
                *byte = self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn unit_interval_stays_below_one() {
        #[derive(Debug)]
        struct Always(u8);
        impl Entropy for Always {
            fn fill(&self, buffer: &mut [u8]) {
                buffer.fill(self.0);
            }
        }
        assert!(unit_interval(&Always(0xff)) < 1.0 && unit_interval(&Always(0xff)) > 0.999);
        assert_eq!(unit_interval(&Always(0)), 0.0);
    }
}
