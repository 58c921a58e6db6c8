//! How far a poll source has come: its cursor, the walk through pages that is under way, what it has seen of late. A value that is stored after the items of
//! a page are on disk, so that a crash repeats a page and loses none.

use std::cmp::Ordering;

use hookpost_domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::remembered::Remembered;
use super::super::rhythm::Rhythm;
use super::answer::Page;
use super::settings::{CursorPath, PreparedPoll};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct PollProgress {
    pub(in super::super) rhythm: Rhythm,
    /// Of which list the rest speaks.
    list: String,
    /// `None`: nothing was ever answered.
    pub(super) cursor: Option<String>,
    pub(super) walk: Option<Walk>,
    pub(super) validators: Option<Validators>,
    pub(super) remembered: Remembered,
}

/// The pages of one look that are still to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Walk {
    /// `None`: with the cursor alone.
    pub(super) next: Option<NextRef>,
    /// So far, of the items of this walk.
    greatest: Option<String>,
}

/// What an answer said of the page after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum NextRef {
    Url(String),
    Token(String),
}

/// By which an address can say that nothing is new, of exactly this request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Validators {
    pub(super) request: String,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

impl PollProgress {
    /// Forgets what is about another list than the one that is asked for now.
    pub(super) fn of_list(&mut self, poll: &PreparedPoll) {
        if self.list != poll.list {
            (self.cursor, self.walk, self.validators) = (None, None, None);
            self.list.clone_from(&poll.list);
        }
    }

    /// Takes a page down whose items are on disk. Returns whether the walk goes on.
    pub(super) fn took(&mut self, poll: &PreparedPoll, page: &Page, validators: Option<Validators>) -> bool {
        self.remembered.add(page.items.iter().map(|item| item.mark));
        let is_first = self.walk.is_none();
        let mut walk = self.walk.take().unwrap_or(Walk { next: None, greatest: None });
        match poll.cursor.as_ref().map(|cursor| &cursor.from) {
            Some(CursorPath::GreatestItem(_)) => walk.greatest = greatest(walk.greatest, page.cursor.clone()),
            Some(_) if page.cursor.is_some() => self.cursor.clone_from(&page.cursor),
            _ => {}
        }
        if page.goes_on {
            walk.next.clone_from(&page.next);
            self.walk = Some(walk);
            return true;
        }
        if walk.greatest.is_some() {
            self.cursor = greatest(self.cursor.take(), walk.greatest);
        }
        // A list of several pages may change behind a first page that does not.
        self.validators = validators.filter(|_| is_first);
        false
    }

    /// Where pages are left when the bound of one look is reached: a source with a cursor goes on there, one without begins anew.
    pub(super) fn paused(&mut self, poll: &PreparedPoll) -> bool {
        if poll.cursor.is_none() {
            self.walk = None;
        }
        self.walk.is_some()
    }

    /// The place that is asked for is unknown to the address: the next look begins where the cursor is.
    pub(super) fn gave_up_walk(&mut self) {
        self.walk = None;
    }
}

/// The greater one: as numbers or as times where both are that, else as texts.
pub(super) fn greatest(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if compare(&one, &other) == Ordering::Less { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn compare(one: &str, other: &str) -> Ordering {
    fn both<T>(parse: impl Fn(&str) -> Option<T>, one: &str, other: &str) -> Option<(T, T)> {
        parse(one).zip(parse(other))
    }
    if let Some((one, other)) = both(|text| text.parse::<i128>().ok(), one, other) {
        return one.cmp(&other);
    }
    if let Some((one, other)) = both(|text| text.parse::<f64>().ok(), one, other) {
        return one.total_cmp(&other);
    }
    // Times that are written differently, or finer than we count, are told apart as texts.
    match both(Timestamp::parse_rfc3339, one, other) {
        Some((first, second)) => first.cmp(&second).then_with(|| one.cmp(other)),
        None => one.cmp(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_is_found_among_numbers_times_and_texts() {
        for (one, other) in [
            ("9", "10"),
            ("-1", "0"),
            ("1.5", "2"),
            ("9007199254740993", "9007199254740994"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5Z"),
            ("2026-01-02T04:00:00+01:00", "2026-01-02T03:30:00Z"),
            ("a", "b"),
            ("", "a"),
        ] {
            let (small, large) = (Some(one.to_owned()), Some(other.to_owned()));
            assert_eq!(greatest(small.clone(), large.clone()), large, "{one} {other}");
            assert_eq!(greatest(large.clone(), small), large, "{other} {one}");
        }
        assert_eq!(greatest(None, Some("a".into())), Some("a".into()));
    }

    #[test]
    fn is_read_as_it_was_written() {
        let mut progress = PollProgress { cursor: Some("c".into()), ..PollProgress::default() };
        progress.remembered.add([1, u64::MAX, 0x0102_0304_0506_0708].into_iter());
        progress.walk = Some(Walk { next: Some(NextRef::Token("t".into())), greatest: None });
        let text = serde_json::to_string(&progress).unwrap();
        assert_eq!(serde_json::from_str::<PollProgress>(&text).unwrap(), progress);
        assert_eq!(serde_json::from_str::<PollProgress>("{}").unwrap(), PollProgress::default());
    }
}
