//! One group of accepted messages as one transaction: keys and event ids first, then what won.
