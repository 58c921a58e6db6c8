//! The partitions of history: made ahead, dropped when all in them is past its time.
