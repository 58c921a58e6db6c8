//! What the next batch of a sink is made of, from pages of its feed. A value: it is told what is there and asks for nothing.

use std::time::Duration;

use hookpost_domain::sink::{Deferred, SinkBatch, SinkProgress};
use hookpost_domain::{Message, MessageId, Sink, Timestamp, limits};
use hookpost_store::{Feed, FeedLimits};

/// Of messages that the sink does not want many are looked at in one go.
const PAGE_AFTER_THE_FIRST: usize = 250;

#[derive(Debug)]
pub(super) struct Gathering<'a> {
    sink: &'a Sink,
    progress: &'a SinkProgress,
    now: Timestamp,
    messages: Vec<Message>,
    bytes: usize,
    looked_at: usize,
    up_to: Option<MessageId>,
    deferred: Vec<Deferred>,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is no more in the feed.
    Feed,
    /// As many as belong into one batch.
    Full,
    /// As many were looked at as may be at once.
    Enough,
    /// The next one has to wait for its time, and there is no room to remember that.
    NoRoom,
}

/// What the feed has for a sink.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gathered {
    /// Its messages may be none, where all that was looked at is done with.
    pub(super) batch: SinkBatch,
    pub(super) messages: Vec<Message>,
    /// Passed over: their time has not come.
    pub(super) deferred: Vec<Deferred>,
    /// Whoever looks again from the same place finds the same, whatever has come meanwhile.
    pub(super) certain: bool,
    /// Until then more may come to them.
    pub(super) wait_until: Option<Timestamp>,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(sink: &'a Sink, progress: &'a SinkProgress, now: Timestamp) -> Self {
        let up_to = progress.after;
        Self { sink, progress, now, messages: Vec::new(), bytes: 0, looked_at: 0, up_to, deferred: Vec::new(), end: None }
    }

    /// Where the next page begins and how much of it is wanted; `None`: all has been looked at that has to be.
    pub(super) fn next_page(&self) -> Option<(Option<MessageId>, FeedLimits)> {
        if self.end.is_some() {
            return None;
        }
        let room = usize::from(self.sink.batch_size.max(1)) - self.messages.len();
        let messages = if self.looked_at == 0 { room } else { room.max(PAGE_AFTER_THE_FIRST) };
        Some((self.up_to, FeedLimits { messages, payload_bytes: limits::SINK_BATCH_BYTES_MAX - self.bytes }))
    }

    pub(super) fn look_at(&mut self, page: Feed) {
        for message in page.messages {
            if self.end.is_some() {
                return;
            }
            self.look_at_one(message);
        }
        if self.end.is_none() && !page.more {
            self.end = Some(End::Feed);
        }
    }

    fn look_at_one(&mut self, message: Message) {
        let id = message.id;
        let is_wanted = message.content.payload.is_some() && self.sink.wants(&message);
        if is_wanted && !self.progress.deferred.iter().any(|deferred| deferred.message == id) {
            match message.content.deliver_at.filter(|at| *at > self.now) {
                Some(_) if self.progress.deferred.len() + self.deferred.len() >= limits::SINK_DEFERRED_MAX => {
                    self.end = Some(End::NoRoom);
                    return;
                }
                Some(at) => self.deferred.push(Deferred { at, message: id }),
                None => self.add(message),
            }
        }
        self.up_to = Some(id);
        self.looked_at += 1;
        if self.end.is_none() && self.looked_at >= limits::SINK_MESSAGES_LOOKED_AT_MAX {
            self.end = Some(End::Enough);
        }
    }

    fn add(&mut self, message: Message) {
        self.bytes += message.content.payload.as_ref().map_or(0, |payload| payload.len());
        self.messages.push(message);
        if self.messages.len() >= usize::from(self.sink.batch_size) || self.bytes >= limits::SINK_BATCH_BYTES_MAX {
            self.end = Some(End::Full);
        }
    }

    pub(super) fn end(self) -> Gathered {
        let max_wait = Duration::from_secs(self.sink.max_wait_s.into());
        let first = self.messages.first().filter(|_| self.end == Some(End::Feed));
        Gathered {
            wait_until: first.map(|first| first.created_at + max_wait).filter(|until| *until > self.now),
            certain: self.end == Some(End::Full) && self.deferred.is_empty(),
            batch: SinkBatch {
                from: self.progress.after,
                up_to: self.up_to,
                messages: self.messages.iter().map(|message| message.id).collect(),
            },
            messages: self.messages,
            deferred: self.deferred,
        }
    }
}

/// Those whose time has come, as many as belong into one batch: before everything else, in the order of their times.
pub(super) fn due(sink: &Sink, progress: &SinkProgress, now: Timestamp) -> Option<SinkBatch> {
    let mut due: Vec<&Deferred> = progress.deferred.iter().filter(|deferred| deferred.at <= now).collect();
    due.sort_by_key(|deferred| (deferred.at, deferred.message));
    due.truncate(sink.batch_size.max(1).into());
    let messages: Vec<_> = due.into_iter().map(|deferred| deferred.message).collect();
    (!messages.is_empty()).then_some(SinkBatch { from: progress.after, up_to: progress.after, messages })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::tests::{message, sink};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_767_323_000_000);

    fn gather(sink: &Sink, progress: &SinkProgress, messages: Vec<Message>) -> Gathered {
        let mut gathering = Gathering::new(sink, progress, NOW);
        gathering.look_at(Feed { messages, more: false });
        assert!(gathering.next_page().is_none());
        gathering.end()
    }

    fn ids(messages: &[Message]) -> Vec<MessageId> {
        messages.iter().map(|message| message.id).collect()
    }

    #[test]
    fn a_batch_is_full_or_waits_for_more_and_then_goes_as_it_is() {
        let (sink, progress) = (sink(|sink| (sink.batch_size, sink.max_wait_s) = (2, 10)), SinkProgress::default());
        let all: Vec<_> = (1..=3).map(|second| message(NOW - Duration::from_secs(9) + Duration::from_secs(second), |_| {})).collect();
        let full = gather(&sink, &progress, all.clone());
        assert_eq!((ids(&full.messages), full.certain, full.wait_until), (ids(&all[..2]), true, None));
        assert_eq!(full.batch.up_to, Some(all[1].id));
        let waits = gather(&sink, &progress, all[..1].to_vec());
        assert_eq!((waits.wait_until, waits.certain), (Some(all[0].created_at + Duration::from_secs(10)), false));
        let old = message(NOW - Duration::from_secs(10), |_| {});
        assert_eq!(gather(&sink, &progress, vec![old]).wait_until, None);
    }

    #[test]
    fn what_is_not_wanted_or_has_no_payload_is_passed() {
        let (sink, progress) = (sink(|sink| sink.event_types = vec![crate::sinks::tests::name("a")]), SinkProgress::default());
        let messages = vec![
            message(NOW, |content| content.event_type = crate::sinks::tests::name("b")),
            message(NOW + Duration::from_secs(1), |content| (content.event_type, content.payload) = (crate::sinks::tests::name("a"), None)),
        ];
        let found = gather(&sink, &progress, messages.clone());
        assert_eq!((found.messages.len(), found.batch.up_to, found.wait_until), (0, Some(messages[1].id), None));
    }

    #[test]
    fn who_waits_for_his_time_holds_nobody_up_until_there_are_too_many() {
        let later = |ms: u64| message(NOW - Duration::from_millis(ms), |content| content.deliver_at = Some(NOW + Duration::from_secs(60)));
        let (sink, mut progress) = (sink(|sink| sink.batch_size = 10), SinkProgress::default());
        let messages = vec![later(9), message(NOW - Duration::from_millis(8), |_| {})];
        let found = gather(&sink, &progress, messages.clone());
        assert_eq!((ids(&found.messages), found.deferred.len(), found.certain), (ids(&messages[1..]), 1, false));
        progress.deferred = (0..limits::SINK_DEFERRED_MAX).map(|n| Deferred { at: NOW, message: later(n as u64 + 10).id }).collect();
        let found = gather(&sink, &progress, messages);
        assert_eq!((found.messages.len(), found.batch.up_to), (0, None), "the sink waits");
        let due = due(&sink, &progress, NOW).unwrap();
        assert_eq!(due.messages.len(), 10);
        assert!(due.messages.is_sorted());
    }

    #[test]
    fn what_is_deferred_already_is_not_met_again() {
        let one = message(NOW, |content| content.deliver_at = Some(NOW));
        let progress = SinkProgress { deferred: vec![Deferred { at: NOW, message: one.id }], ..SinkProgress::default() };
        let found = gather(&sink(|_| {}), &progress, vec![one.clone()]);
        assert_eq!((found.messages.len(), found.deferred.len(), found.batch.up_to), (0, 0, Some(one.id)));
    }
}
