//! One binary for all that is tested from the outside: vectors, properties, diagnosis.

mod diagnosis;
mod generic;
mod properties;
mod settings;
mod vectors;
