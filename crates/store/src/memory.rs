//! The reference store: everything in maps behind one lock.
