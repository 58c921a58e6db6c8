//! One group of outcomes as one transaction.
