//! How commands fail: a sentence on the error stream, and an exit code that scripts can tell apart.

use std::process::ExitCode;

use crate::config::ConfigError;

/// Failures of which scripts want to know the kind. Everything else ends with 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("{message}")]
    Refused { status: u16, message: String },
}

/// Printed by `hookpost --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  something went wrong
  2  wrong command line or configuration
  3  the server cannot be reached
  4  the server refused the request
  5  not found
  6  `migrate --check`: the database is to be brought up to date";

pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    // A reader that closed the pipe (`| head`) has what it wanted.
    if error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)) {
        return ExitCode::SUCCESS;
    }
    eprintln!("{} {error:#}", console::style("error:").red().bold().for_stderr());
    ExitCode::from(exit_code(error))
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<ConfigError>().is_some() {
        return 2;
    }
    match error.downcast_ref::<Failure>() {
        Some(Failure::Usage(_)) => 2,
        Some(Failure::Unreachable(_)) => 3,
        Some(Failure::Refused { status: 404, .. }) => 5,
        Some(Failure::Refused { .. }) => 4,
        None => 1,
    }
}
