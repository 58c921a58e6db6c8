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
