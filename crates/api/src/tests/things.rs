//! Streams, sinks and the like, put into the store without the operations that make them.

use hookpost_domain::application::Metadata;
use hookpost_domain::sink::{SinkOwner, SinkTarget};
use hookpost_domain::{ApplicationId, OrgId, Sink, Stream, StreamId, Uid};

use crate::testing::TestServer;

pub(super) fn default_org() -> OrgId {
    OrgId::parse(OrgId::DEFAULT).unwrap()
}

/// A stream of the default tenant whose uid is `uid`.
pub(super) async fn stream(server: &TestServer, uid: &str) -> StreamId {
    let api = &server.api;
    let (now, id) = (api.now(), api.new_id(api.now()));
    let stream = Stream {
        id,
        org: default_org(),
        uid: Some(Uid::parse(uid).unwrap()),
        name: "Stream".to_owned(),
        log: ApplicationId::from_row(id.row()),
        metadata: Metadata::new(),
        created_at: now,
        updated_at: now,
    };
    api.store.create(&stream).await.unwrap();
    id
}

/// A poller whose uid is `uid`.
pub(super) async fn poller(server: &TestServer, owner: SinkOwner, uid: &str) -> Sink {
    let api = &server.api;
    let (now, id) = (api.now(), api.new_id(api.now()));
    let sink = Sink {
        id,
        org: default_org(),
        owner,
        log: ApplicationId::from_row(owner.row()),
        uid: Some(Uid::parse(uid).unwrap()),
        disabled: false,
        target: SinkTarget::Poller,
        batch_size: 10,
        max_wait_s: 0,
        event_types: Vec::new(),
        channels: Vec::new(),
        metadata: Metadata::new(),
        created_at: now,
        updated_at: now,
    };
    api.store.create(&sink).await.unwrap();
    sink
}
