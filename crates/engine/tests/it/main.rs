//! The engine against a made-up world: every rule of delivery, in simulated time.

mod again;
mod crash;
mod deliver;
mod faulty;
mod health;
mod lanes;
mod news;
mod nodes;
mod order;
mod pull;
mod simulation;
mod sinks;
mod tasks;
mod world;
