//! Group commit: whoever comes while a transaction is under way waits for the next, which takes all of them.
