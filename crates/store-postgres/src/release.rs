//! Giving leases back.
