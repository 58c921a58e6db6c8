//! Attempts that somebody asks for by hand.
