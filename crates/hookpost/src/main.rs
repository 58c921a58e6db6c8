//! `hookpost`: webhooks, both ways, in one binary. The only composition root: everything that is chosen, opened, started or
//! ended is so here, and every other crate gets what it needs as an argument.

mod cli;
mod client;
mod commands;
mod config;
mod connections;
mod control;
mod database;
mod dev;
mod failure;
mod listener;
mod logging;
mod output;
mod outside;
mod runtime;
mod secrets;
mod serve;
mod shutdown;
mod wiring;

#[cfg(test)]
mod e2e;

use std::process::ExitCode;

use clap::Parser as _;

use crate::config::Environment;

/// Small and quick for many short-lived buffers of different threads, which is what requests are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli, &Environment::of_process()) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}
