//! Ending deliveries that nobody holds.
