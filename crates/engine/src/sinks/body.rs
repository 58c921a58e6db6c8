//! What a sink is sent: the body of a batch, and the id that stays the same with it.

use base64::Engine as _;
use bytes::Bytes;
use hookpost_domain::message::{ForwardedHeader, PayloadType};
use hookpost_domain::sink::SinkOwner;
use hookpost_domain::{Channel, Message, PublicIds, Sink, Uid};
use serde::Serialize;
use serde_json::value::RawValue;

/// A batch as it is sent, the same at every try.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BatchBody {
    pub(super) id: String,
    pub(super) content_type: PayloadType,
    pub(super) body: Bytes,
    /// Of the one message, where it goes as it is.
    pub(super) forwarded: Vec<ForwardedHeader>,
    pub(super) ordering_key: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    event_type: &'a str,
    payload: Payload<'a>,
    id: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a Uid>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [Channel],
    /// Where it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_encoding: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Base64(String),
}

impl BatchBody {
    /// `messages` are not empty, and have payloads.
    pub(super) fn new(sink: &Sink, messages: &[Message], ids: &PublicIds) -> Option<Self> {
        let (first, last) = (messages.first()?, messages.last()?);
        let id = if first.id == last.id { ids.encode(first.id) } else { format!("{}-{}", ids.encode(first.id), ids.encode(last.id)) };
        if sink.batch_size <= 1 && matches!(sink.owner, SinkOwner::Application(_)) {
            let content = &first.content;
            return Some(Self {
                id,
                content_type: content.content_type.clone(),
                body: content.payload.clone()?,
                forwarded: content.headers.clone(),
                ordering_key: content.ordering_key.clone(),
            });
        }
        // The events of a stream were given as strings.
        let embeds_json = matches!(sink.owner, SinkOwner::Application(_));
        let events: Vec<Event<'_>> = messages.iter().filter_map(|message| event(message, embeds_json, ids)).collect();
        let body = serde_json::to_vec(&events).ok()?.into();
        Some(Self { id, content_type: PayloadType::Json, body, forwarded: Vec::new(), ordering_key: None })
    }
}

fn event<'a>(message: &'a Message, embeds_json: bool, ids: &PublicIds) -> Option<Event<'a>> {
    let content = &message.content;
    let bytes = content.payload.as_ref()?;
    let is_json = content.content_type == PayloadType::Json;
    let json = (embeds_json && is_json).then(|| serde_json::from_slice::<&RawValue>(bytes).ok()).flatten();
    let payload = match (json, std::str::from_utf8(bytes)) {
        (Some(json), _) => Payload::Json(json),
        (None, Ok(text)) => Payload::Text(text),
        (None, Err(_)) => Payload::Base64(base64::engine::general_purpose::STANDARD.encode(bytes)),
    };
    Some(Event {
        event_type: content.event_type.as_str(),
        payload_encoding: matches!(payload, Payload::Base64(_)).then_some("base64"),
        payload,
        id: ids.encode(message.id),
        timestamp: message.created_at.to_string(),
        event_id: content.event_id.as_ref(),
        channels: &content.channels,
        content_type: (!is_json).then(|| content.content_type.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use hookpost_domain::{RowId, StreamId, Timestamp};

    use super::*;
    use crate::sinks::tests::{message, sink};

    const AT: Timestamp = Timestamp::from_unix_ms(1_767_323_045_678);

    fn with(payload: &'static [u8], content_type: &str) -> Message {
        message(AT, |content| {
            content.payload = Some(Bytes::from_static(payload));
            if content_type != "application/json" {
                content.content_type = PayloadType::Other(content_type.to_owned());
            }
        })
    }

    fn text(body: &BatchBody) -> &str {
        std::str::from_utf8(&body.body).unwrap()
    }

    #[test]
    fn one_message_of_an_application_goes_as_it_is() {
        let ids = PublicIds::new([7; 16]);
        let one = with(b"<a/>", "application/xml");
        let sent = BatchBody::new(&sink(|_| {}), std::slice::from_ref(&one), &ids).unwrap();
        assert_eq!((text(&sent), sent.content_type.as_str(), &sent.id), ("<a/>", "application/xml", &ids.encode(one.id)));
    }

    #[test]
    fn many_are_an_array_with_their_payloads_as_they_were_written() {
        let ids = PublicIds::new([7; 16]);
        let messages = [
            with(br#"{"n": 1.50}"#, "application/json"),
            with(b"no json", "application/json"),
            with(b"a,b", "text/csv"),
            with(&[0xff], "application/octet-stream"),
        ];
        let sent = BatchBody::new(&sink(|sink| sink.batch_size = 5), &messages, &ids).unwrap();
        let id = ids.encode(messages[0].id);
        let rest = format!(r#""id":"{id}","timestamp":"2026-01-02T03:04:05.678000Z""#);
        let expected = [
            format!(r#"{{"eventType":"order.paid","payload":{{"n": 1.50}},{rest}}}"#),
            format!(r#"{{"eventType":"order.paid","payload":"no json",{rest}}}"#),
            format!(r#"{{"eventType":"order.paid","payload":"a,b",{rest},"contentType":"text/csv"}}"#),
            format!(
                r#"{{"eventType":"order.paid","payload":"/w==",{rest},"contentType":"application/octet-stream","payloadEncoding":"base64"}}"#
            ),
        ];
        assert_eq!(text(&sent), format!("[{}]", expected.join(",")));
        let (first, last) = (message(AT, |_| {}), message(AT + std::time::Duration::from_secs(1), |_| {}));
        let two = BatchBody::new(&sink(|sink| sink.batch_size = 2), &[first.clone(), last.clone()], &ids).unwrap();
        assert_eq!(two.id, format!("{}-{}", ids.encode(first.id), ids.encode(last.id)));
    }

    #[test]
    fn events_of_a_stream_are_an_array_of_strings_also_if_there_is_one() {
        let ids = PublicIds::new([7; 16]);
        let of_stream = sink(|sink| sink.owner = SinkOwner::Stream(StreamId::from_row(RowId::from_raw(1))));
        let sent = BatchBody::new(&of_stream, &[with(br#"{"n": 1.50}"#, "application/json")], &ids).unwrap();
        assert!(text(&sent).starts_with(r#"[{"eventType":"order.paid","payload":"{\"n\": 1.50}","id":"msg_"#), "{}", text(&sent));
        assert_eq!(sent.content_type, PayloadType::Json);
    }
}
