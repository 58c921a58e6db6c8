//! Keeps the memory of the catalogue true to what other nodes changed: each change leaves a row, which the others find when they ask.
