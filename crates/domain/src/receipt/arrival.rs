//! How something came in: by a door, or because we looked.

use super::ReceivedRequest;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// Somebody called.
    Door,
    /// Its time had come.
    Cron,
    /// We asked.
    Poll,
    /// It was missing, and we asked the provider for it.
    BackFill,
}

impl Arrival {
    /// What stands as the method of a request that nobody made. No method of HTTP is called so, and a door lets none in that is.
    pub fn as_method(self) -> Option<&'static str> {
        match self {
            Self::Door => None,
            Self::Cron => Some("CRON"),
            Self::Poll => Some("POLL"),
            Self::BackFill => Some("BACK_FILL"),
        }
    }
}

impl ReceivedRequest {
    pub fn arrival(&self) -> Arrival {
        let all = [Arrival::Cron, Arrival::Poll, Arrival::BackFill];
        all.into_iter().find(|arrival| arrival.as_method() == Some(&self.method)).unwrap_or(Arrival::Door)
    }
}
