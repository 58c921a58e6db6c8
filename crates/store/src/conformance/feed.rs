//! The feed: all messages of an application, in their order, for those that read on from where they were.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::{ApplicationId, Message, MessageContent, MessageId};
use tokio::task::JoinSet;

use super::Harness;
use super::fixture::*;
use crate::{Feed, FeedLimits, NewMessage, Reference, SharedStore};

const ALL: FeedLimits = FeedLimits { messages: usize::MAX >> 1, payload_bytes: usize::MAX >> 1 };

/// The first so many after `after`. They may come a moment later than they were accepted; the limit only ends a test that would hang.
async fn settled(store: &SharedStore, application: ApplicationId, after: Option<MessageId>, count: usize) -> Vec<Message> {
    let all = async {
        loop {
            let Feed { messages, more } = store.feed(application, after, ALL).await.unwrap();
            if messages.len() >= count {
                assert!(!more);
                return messages;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("what was accepted is fed")
}

fn ids(messages: &[Message]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

fn sized(application: ApplicationId, bytes: usize) -> NewMessage {
    let content = MessageContent { payload: Some(Bytes::from(vec![b'1'; bytes])), ..content(&[]) };
    NewMessage { application, content, idempotency_key: None }
}

pub async fn a_feed_has_the_messages_of_its_application_in_their_order(harness: &mut dyn Harness) {
    let (one, other) = (scene(harness.store(), 2).await, scene(harness.store(), 0).await);
    let store = harness.store();
    let mut accepted = Vec::new();
    for index in 0..5 {
        accept(store, new_message(other.application, &[]), NOW).await;
        let content = match index {
            0 => full_content(&one.endpoints[..1], one.endpoints[1]),
            1 => MessageContent { deliver_at: Some(at(600)), ..content(&one.endpoints) },
            _ => content(&[]),
        };
        let new = NewMessage { application: one.application, content, idempotency_key: None };
        accepted.push(accept(store, new, at(index)).await.id);
    }
    for _ in 0..2 {
        let store = harness.store();
        let fed = settled(store, one.application, None, 5).await;
        assert_eq!(ids(&fed), accepted);
        for message in &fed {
            assert_eq!(store.message(one.application, Reference::Id(message.id)).await.unwrap().as_ref(), Some(message));
        }
        assert_eq!(ids(&settled(store, one.application, Some(accepted[1]), 3).await), accepted[2..]);
        assert_eq!(store.feed(one.application, Some(accepted[4]), ALL).await, Ok(Feed::default()));
        let unknown = ApplicationId::from_row(store.new_row_id(NOW));
        assert_eq!(store.feed(unknown, None, ALL).await, Ok(Feed::default()));
        assert_eq!(settled(store, other.application, None, 5).await.len(), 5);
        harness.reopen().await;
    }
}

pub async fn a_feed_keeps_its_bounds(harness: &mut dyn Harness) {
    let application = scene(harness.store(), 0).await.application;
    let sizes = [10, 10, 10, 500, 1, 0, 40, 40];
    let mut accepted = Vec::new();
    for bytes in sizes {
        accepted.push(accept(harness.store(), sized(application, bytes), NOW).await.id);
    }
    settled(harness.store(), application, None, sizes.len()).await;
    for _ in 0..2 {
        let store = harness.store();
        for (messages, payload_bytes) in
            [(1, usize::MAX), (3, usize::MAX), (8, usize::MAX), (9, usize::MAX), (99, 0), (99, 1), (99, 25), (99, 45), (4, 45)]
        {
            let (mut read, mut after) = (Vec::new(), None);
            loop {
                let feed = store.feed(application, after, FeedLimits { messages, payload_bytes }).await.unwrap();
                assert!((1..=messages).contains(&feed.messages.len()), "{messages} messages, {payload_bytes} bytes: {feed:?}");
                let (_, before_last) = feed.messages.split_last().unwrap();
                let bytes: usize = before_last.iter().map(|message| message.content.payload.as_ref().unwrap().len()).sum();
                assert!(before_last.is_empty() || bytes < payload_bytes, "{payload_bytes} bytes: {feed:?}");
                read.extend(ids(&feed.messages));
                assert_eq!(feed.more, read.len() < accepted.len());
                after = read.last().copied();
                if !feed.more {
                    break;
                }
            }
            assert_eq!(read, accepted);
        }
        harness.reopen().await;
    }
}

/// Ids are given while many write at once: what was read past never comes after.
pub async fn whoever_reads_on_misses_nothing(harness: &mut dyn Harness) {
    const WRITERS: usize = 6;
    const EACH: usize = 30;
    let (one, other) = (scene(harness.store(), 0).await.application, scene(harness.store(), 0).await.application);
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let store = harness.store().clone();
        writers.spawn(async move {
            let mut own = Vec::new();
            for _ in 0..EACH {
                let (own_id, _) = tokio::join!(accept(&store, sized(one, 3), NOW), accept(&store, sized(other, 3), NOW));
                own.push(own_id.id);
            }
            own
        });
    }
    let store = harness.store().clone();
    let reading = async {
        let mut read: Vec<MessageId> = Vec::new();
        while read.len() < WRITERS * EACH {
            let feed = store.feed(one, read.last().copied(), FeedLimits { messages: 7, payload_bytes: 20 }).await.unwrap();
            read.extend(ids(&feed.messages));
            tokio::task::yield_now().await;
        }
        read
    };
    let read = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("what was accepted is fed");
    let mut accepted: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    accepted.sort_unstable();
    assert_eq!(read, accepted);
}

pub async fn a_feed_has_what_is_left_of_messages(harness: &mut dyn Harness) {
    let application = scene(harness.store(), 0).await.application;
    let mut accepted = Vec::new();
    for seconds in [0, 1, 3600] {
        accepted.push(accept(harness.store(), sized(application, 10), at(seconds)).await.id);
    }
    settled(harness.store(), application, None, 3).await;
    harness.store().expunge_message(application, accepted[1]).await.unwrap();
    let payloads = async |harness: &dyn Harness| {
        let fed = settled(harness.store(), application, None, 1).await;
        fed.into_iter().map(|message| (message.id, message.content.payload.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(payloads(harness).await, [(accepted[0], true), (accepted[1], false), (accepted[2], true)]);
    forget_all(harness.store(), DAY, NOW + DAY).await;
    for _ in 0..2 {
        assert_eq!(payloads(harness).await, [(accepted[1], false), (accepted[2], true)]);
        // From where there is nothing any more.
        let fed = settled(harness.store(), application, Some(accepted[0]), 2).await;
        assert_eq!(ids(&fed), accepted[1..]);
        harness.reopen().await;
    }
}
