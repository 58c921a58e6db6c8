//! Deliveries by status, endpoint and minute: one row of changes per commit, folded into sums now and then, read as both.
