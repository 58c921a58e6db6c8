//! Forgetting what is past its time, in small pieces.
