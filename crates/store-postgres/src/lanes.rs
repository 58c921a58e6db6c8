//! Endpoints with something to do, for the start and for the poll.
