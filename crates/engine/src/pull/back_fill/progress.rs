//! Which stretch of time is looked at, and how far the look has come: from where the last complete look ended to what is old enough to have arrived.

use hookpost_domain::source::BackFill;
use hookpost_domain::{Source, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::remembered::Remembered;
use super::super::rhythm::Rhythm;
use super::Place;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BackFillProgress {
    pub(super) rhythm: Rhythm,
    /// Of which list the rest speaks.
    list: String,
    /// Everything before this time was compared.
    checked_until: Option<Timestamp>,
    walk: Option<Walk>,
    /// Events that are receipts and no messages, so that the store has no key of theirs.
    pub(super) set_apart: Remembered,
}

/// A look that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Walk {
    window: Window,
    cursor: String,
    #[serde(default)]
    toward: Toward,
}

/// Which way a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Toward {
    #[default]
    Older,
    Newer,
}

/// Whole seconds, which is how providers count; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

impl Window {
    pub(super) fn contains(self, at: Timestamp) -> bool {
        (self.since.unix_seconds()..=self.until.unix_seconds()).contains(&at.unix_seconds())
    }
}

impl BackFillProgress {
    /// What is to be looked at now; `None`: nothing is old enough. A walk that is under way goes on, unless it has become pointless.
    pub(super) fn window(&mut self, back_fill: &BackFill, source: &Source, now: Timestamp) -> Option<Window> {
        let list = format!("{} {}", back_fill.base_url.as_deref().unwrap_or_default(), back_fill.resource.as_deref().unwrap_or_default());
        if self.list != list {
            *self = Self { rhythm: std::mem::take(&mut self.rhythm), list, ..Self::default() };
        }
        let earliest = (now - back_fill.look_back(&source.rules.deduplicate)).max(source.created_at);
        if let Some(walk) = self.walk.as_ref().filter(|walk| walk.window.until > earliest) {
            return Some(walk.window);
        }
        self.walk = None;
        let window = Window { since: self.checked_until.unwrap_or(earliest).max(earliest), until: now - back_fill.settle() };
        (window.since < window.until).then_some(window)
    }

    /// Where the walk is; `None`: at the beginning.
    pub(super) fn place(&self) -> Option<Place<'_>> {
        self.walk.as_ref().map(|walk| Place { toward: walk.toward, cursor: &walk.cursor })
    }

    /// A page was taken in; `next` is the one after it.
    pub(super) fn read(&mut self, window: Window, next: Option<(Toward, String)>) {
        match next {
            Some((toward, cursor)) => self.walk = Some(Walk { window, cursor, toward }),
            None => {
                self.walk = None;
                self.checked_until = Some(window.until);
            }
        }
    }

    /// The next look begins with the first page again.
    pub(super) fn gave_up_walk(&mut self) {
        self.walk = None;
    }
}
