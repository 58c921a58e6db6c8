//! How something came in: by a door, or because we looked.

use super::ReceivedRequest;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Somebody called.
    Door,
    /// Its time had come.
    Cron,
    /// We asked.
    Poll,
    /// It was missing, and we asked the provider for it.
    BackFill,
}

impl Origin {
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
    pub fn origin(&self) -> Origin {
        let all = [Origin::Cron, Origin::Poll, Origin::BackFill];
        all.into_iter().find(|origin| origin.as_method() == Some(&self.method)).unwrap_or(Origin::Door)
    }
}
