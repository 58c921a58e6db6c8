//! What the load writes: rows as they are in real life, the same every time.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::delivery::{ResponseBody, ResponseRecord, Transition};
use hookpost_domain::endpoint::Disabled;
use hookpost_domain::message::{PayloadType, Routing};
use hookpost_domain::receipt::{ReceiptTiming, ReceivedBody, ReceivedRequest, Rejection, Verdict};
use hookpost_domain::secret::EndpointSecrets;
use hookpost_domain::{
    Application, ApplicationId, Attempt, AttemptOutcome, DeliveryState, Endpoint, EndpointId, EventTypeName, MessageContent, OrgId,
    Progress, SigningSecret, SourceId, Timestamp,
};

use crate::intake::{NewReceipt, NewReceiptOutcome, Once};
use crate::{IdempotencyKey, LeasedDelivery, NewMessage, Record, SharedStore};

pub(super) fn content(payload: Bytes, endpoints: &[EndpointId], time: Timestamp) -> MessageContent {
    MessageContent {
        event_type: EventTypeName::parse("order.paid").expect("a name"),
        event_id: None,
        channels: vec![],
        tags: vec![],
        payload: Some(payload),
        content_type: PayloadType::Json,
        headers: Vec::new(),
        ordering_key: None,
        payload_expires_at: time + Duration::from_secs(90 * 86_400),
        deliver_at: None,
        routing: Routing { targets: endpoints.iter().copied().collect(), skips: vec![] },
    }
}

/// What the engine records of an attempt that succeeded.
pub(super) fn delivered(leased: &LeasedDelivery, time: Timestamp) -> Record {
    let response = ResponseRecord {
        status_code: 200,
        headers: vec![("content-type".into(), "text/plain".into()), ("date".into(), "Thu, 01 Jan 2026 00:00:00 GMT".into())],
        body: ResponseBody::Text("ok".into()),
    };
    Record {
        key: leased.key,
        lease: leased.lease,
        application: leased.application,
        event_type: leased.message.content.event_type.clone(),
        trigger: leased.trigger,
        attempt: Some(Attempt {
            number: 1,
            trigger: leased.trigger,
            started_at: time,
            duration_ms: 1,
            url: "https://receiver.example.com/webhooks/orders".into(),
            signature: "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=".into(),
            outcome: AttemptOutcome::Response(response),
        }),
        transition: Transition { state: DeliveryState::Delivered, progress: Progress { attempts: 1, scheduled_attempts: 1 } },
        health: None,
    }
}

/// As a provider sends it: a dozen headers, of which two hold signatures.
pub(super) fn receipt(source: SourceId, message: NewMessage, event: [u8; 16], rejected: bool, time: Timestamp) -> NewReceipt {
    let header = |name: &str, value: &'static str| (name.to_owned(), Bytes::from_static(value.as_bytes()));
    let payload = message.content.payload.clone().unwrap_or_default();
    let (body, outcome) = if rejected {
        let rejection = Rejection { code: "bad_signature".into(), detail: "The signature does not fit.".into(), hint: None };
        (ReceivedBody::Bytes(payload), NewReceiptOutcome::Settled(Verdict::Rejected(rejection)))
    } else {
        let once = Some(Once { key: IdempotencyKey(event), window: Duration::from_secs(7 * 86_400) });
        (ReceivedBody::InMessage, NewReceiptOutcome::Message { message, once })
    };
    NewReceipt {
        source,
        received_at: time,
        request: ReceivedRequest {
            method: "POST".into(),
            url: "https://hooks.example.com/in/".into(),
            headers: vec![
                header("Host", "hooks.example.com"),
                header("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
                header("Content-Type", "application/json; charset=utf-8"),
                header("Content-Length", "1024"),
                header("Accept", "*/*; q=0.5, application/xml"),
                header("Cache-Control", "no-cache"),
                header("X-Forwarded-For", "192.0.2.17"),
                header("X-Forwarded-Proto", "https"),
                header("Accept-Encoding", "gzip"),
                header("Stripe-Signature", "t=1767323045,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"),
            ],
            body,
            peer: Some([192, 0, 2, 17].into()),
        },
        status_code: if rejected { 401 } else { 200 },
        timing: ReceiptTiming::default(),
        event_id: Some("evt_1NG8Du2eZvKYlo2CUI79vXWy".into()),
        event_type: Some("invoice.paid".into()),
        replay_of: None,
        unverified: None,
        outcome,
    }
}

pub(super) async fn make_applications(
    store: &SharedStore,
    applications: usize,
    endpoints: usize,
    now: Timestamp,
) -> Vec<(ApplicationId, Vec<EndpointId>)> {
    let mut made = Vec::new();
    for _ in 0..applications {
        let id = ApplicationId::from_row(store.new_row_id(now));
        let org = OrgId::parse(OrgId::DEFAULT).expect("a tenant");
        let application = Application {
            id,
            org,
            uid: None,
            name: "load".into(),
            throttle_rate: None,
            metadata: Default::default(),
            created_at: now,
            updated_at: now,
        };
        store.create_application(application).await.expect("an application");
        let mut targets = Vec::new();
        for _ in 0..endpoints {
            let endpoint = Endpoint {
                id: EndpointId::from_row(store.new_row_id(now)),
                application: id,
                uid: None,
                url: "https://receiver.example.com/webhooks/orders".into(),
                description: String::new(),
                version: 1,
                disabled: Disabled::No,
                event_types: None,
                channels: None,
                throttle_rate: None,
                concurrency: None,
                ordered: false,
                retry_schedule: None,
                headers: vec![],
                secrets: EndpointSecrets { current: SigningSecret::Hmac256(vec![1; 24]), old: vec![] },
                metadata: Default::default(),
                created_at: now,
                updated_at: now,
            };
            targets.push(endpoint.id);
            store.create_endpoint(endpoint).await.expect("an endpoint");
        }
        made.push((id, targets));
    }
    made
}
