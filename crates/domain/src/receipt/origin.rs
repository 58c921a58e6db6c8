//! How something came in: by a door, or because we looked.

use super::{Receipt, ReceivedRequest, Verdict};

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

    /// The code of a receipt that says that looking failed, and so is about no event.
    pub fn failure_code(self) -> Option<&'static str> {
        match self {
            Self::Door => None,
            Self::Cron => Some("cron_failed"),
            Self::Poll => Some("poll_failed"),
            Self::BackFill => Some("back_fill_failed"),
        }
    }

    fn of_method(method: &str) -> Self {
        [Self::Cron, Self::Poll, Self::BackFill].into_iter().find(|origin| origin.as_method() == Some(method)).unwrap_or(Self::Door)
    }

    /// Whether a method is one of our words.
    pub fn is_word(method: &str) -> bool {
        Self::of_method(method) != Self::Door
    }
}

impl ReceivedRequest {
    pub fn origin(&self) -> Origin {
        Origin::of_method(&self.method)
    }
}

impl Receipt {
    /// It is about no event: looking for some failed.
    pub fn is_failed_look(&self) -> bool {
        let code = self.request.origin().failure_code();
        matches!(&self.verdict, Verdict::Rejected(rejection) if code == Some(rejection.code.as_str()))
    }
}
