//! Forgetting: whole partitions where retention is long, rows in pieces where it is short; payloads, keys, answers and revocations by their age.
