//! From the errors of many libraries to a kind and a sentence.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use hookpost_domain::delivery::TransportErrorKind;
use hookpost_engine::TransportError;

pub(crate) fn error(kind: TransportErrorKind, message: impl Into<String>) -> TransportError {
    TransportError { kind, message: message.into() }
}

pub(crate) fn invalid_url(message: impl Into<String>) -> TransportError {
    error(TransportErrorKind::InvalidUrl, message)
}

pub(crate) fn protocol(message: impl Into<String>) -> TransportError {
    error(TransportErrorKind::Protocol, message)
}

/// How far an exchange has come, to say what did not happen in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Connecting,
    Answer,
    Body,
}

pub(crate) fn timed_out(phase: Phase, timeout: Duration) -> TransportError {
    let what = match phase {
        Phase::Connecting => "The connection was not established",
        Phase::Answer => "The receiver did not answer",
        Phase::Body => "The receiver began to answer, but did not end",
    };
    error(TransportErrorKind::Timeout, format!("{what} within {}", seconds(timeout)))
}

/// `15 s`, `0.2 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{} s", (duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// What went wrong after the request was sent, or in its sending.
pub(crate) fn exchange_failed(error: &hyper::Error) -> TransportError {
    if error.is_parse_too_large() {
        return protocol("The headers of the answer are too large");
    }
    if error.is_parse() {
        return protocol("What the receiver answered is not HTTP");
    }
    if error.is_incomplete_message() {
        return protocol("The receiver closed the connection before its answer was complete");
    }
    if let Some(io_error) = find_source::<io::Error>(error) {
        return broken(io_error);
    }
    protocol(match error.source() {
        Some(source) => format!("The connection to the receiver failed: {source}"),
        None => format!("The connection to the receiver failed: {error}"),
    })
}

fn broken(error: &io::Error) -> TransportError {
    protocol(match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => "The receiver reset the connection".to_owned(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => "The receiver closed the connection before its answer".to_owned(),
        _ => format!("The connection to the receiver broke: {error}"),
    })
}

pub(crate) fn find_source<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
