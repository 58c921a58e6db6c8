//! The bytes of messages: everything but the payload, which is kept apart.

use bytes::Bytes;
use hookpost_domain::message::{ForwardedHeader, PayloadType, Routing, Skip};
use hookpost_domain::{ApplicationId, Channel, EndpointId, EventTypeName, Message, MessageContent, MessageId, Tag, Timestamp, Uid};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Unreadable, extend, reason_number, reason_of_number, split_version, take_varint, unreadable};

const MESSAGE_VERSION: u8 = 1;
/// With what comes with messages from outside: headers and an ordering key. Those without have the first version, and not a byte more.
const MESSAGE_VERSION_FROM_OUTSIDE: u8 = 2;

#[derive(Serialize)]
struct HeaderOut<'a> {
    created_at: Timestamp,
    event_type: &'a EventTypeName,
    event_id: Option<&'a Uid>,
    channels: &'a [Channel],
    tags: &'a [Tag],
    content_type: Option<&'a str>,
    payload_expires_at: Timestamp,
    deliver_at: Option<Timestamp>,
    targets: &'a [EndpointId],
    skips: SmallVec<[(EndpointId, u8); 4]>,
}

#[derive(Deserialize)]
struct HeaderIn {
    created_at: Timestamp,
    event_type: EventTypeName,
    event_id: Option<Uid>,
    channels: Vec<Channel>,
    tags: Vec<Tag>,
    content_type: Option<String>,
    payload_expires_at: Timestamp,
    deliver_at: Option<Timestamp>,
    targets: SmallVec<[EndpointId; 4]>,
    skips: Vec<(EndpointId, u8)>,
}

/// Follows in rows of the second version.
#[derive(Serialize)]
struct FromOutsideOut<'a> {
    headers: SmallVec<[(&'a str, &'a Bytes); 8]>,
    ordering_key: Option<&'a str>,
}

#[derive(Deserialize)]
struct FromOutsideIn {
    headers: Vec<(String, Bytes)>,
    ordering_key: Option<String>,
}

/// Everything of a message but its payload.
pub fn encode_header(message: &Message, into: &mut Vec<u8>) {
    let content = &message.content;
    let header = HeaderOut {
        created_at: message.created_at,
        event_type: &content.event_type,
        event_id: content.event_id.as_ref(),
        channels: &content.channels,
        tags: &content.tags,
        content_type: match &content.content_type {
            PayloadType::Json => None,
            PayloadType::Other(content_type) => Some(content_type),
        },
        payload_expires_at: content.payload_expires_at,
        deliver_at: content.deliver_at,
        targets: &content.routing.targets,
        skips: content.routing.skips.iter().map(|skip| (skip.endpoint, reason_number(skip.reason))).collect(),
    };
    into.clear();
    if content.headers.is_empty() && content.ordering_key.is_none() {
        into.push(MESSAGE_VERSION);
        extend(&header, into);
        return;
    }
    let from_outside = FromOutsideOut {
        headers: content.headers.iter().map(|header| (header.name.as_str(), &header.value)).collect(),
        ordering_key: content.ordering_key.as_deref(),
    };
    into.push(MESSAGE_VERSION_FROM_OUTSIDE);
    extend(&(header, from_outside), into);
}

fn split_message_version(bytes: &[u8]) -> Result<(u8, &[u8]), Unreadable> {
    match bytes.split_first() {
        Some((&MESSAGE_VERSION, rest)) => Ok((MESSAGE_VERSION, rest)),
        _ => split_version("message", MESSAGE_VERSION_FROM_OUTSIDE, bytes).map(|rest| (MESSAGE_VERSION_FROM_OUTSIDE, rest)),
    }
}

pub fn decode_message(id: MessageId, application: ApplicationId, header: &[u8], payload: Option<&[u8]>) -> Result<Message, Unreadable> {
    let (version, bytes) = split_message_version(header)?;
    let damaged = |error| unreadable("message", error);
    let (header, rest): (HeaderIn, _) = postcard::take_from_bytes(bytes).map_err(damaged)?;
    let from_outside = match version {
        MESSAGE_VERSION => FromOutsideIn { headers: Vec::new(), ordering_key: None },
        _ => postcard::from_bytes(rest).map_err(damaged)?,
    };
    let skips = header
        .skips
        .into_iter()
        .map(|(endpoint, reason)| Ok(Skip { endpoint, reason: reason_of_number(reason)? }))
        .collect::<Result<_, Unreadable>>()?;
    let content = MessageContent {
        event_type: header.event_type,
        event_id: header.event_id,
        channels: header.channels,
        tags: header.tags,
        payload: payload.map(Bytes::copy_from_slice),
        content_type: header.content_type.map_or(PayloadType::Json, PayloadType::Other),
        headers: from_outside.headers.into_iter().map(|(name, value)| ForwardedHeader { name, value }).collect(),
        ordering_key: from_outside.ordering_key,
        payload_expires_at: header.payload_expires_at,
        deliver_at: header.deliver_at,
        routing: Routing { targets: header.targets, skips },
    };
    Ok(Message { id, application, content, created_at: header.created_at })
}

/// When a message was accepted, from the beginning of its header ([`CREATED_AT_BYTES`] of it are enough).
pub fn decode_created_at(header: &[u8]) -> Result<Timestamp, Unreadable> {
    let (_, mut bytes) = split_message_version(header)?;
    take_varint(&mut bytes).map(Timestamp::from_unix_ms).ok_or_else(|| unreadable("message", "it ends early"))
}

/// The version and the longest varint.
pub const CREATED_AT_BYTES: usize = 11;

#[cfg(test)]
mod tests {
    use hookpost_domain::RowId;

    use super::*;

    fn message(headers: Vec<ForwardedHeader>, ordering_key: Option<&str>) -> Message {
        let content = MessageContent {
            event_type: EventTypeName::parse("order.paid").expect("a name"),
            event_id: None,
            channels: vec![],
            tags: vec![],
            payload: None,
            content_type: PayloadType::Json,
            headers,
            ordering_key: ordering_key.map(str::to_owned),
            payload_expires_at: Timestamp::from_unix_ms(1_767_323_045_679),
            deliver_at: None,
            routing: Routing::default(),
        };
        let (id, application) = (MessageId::from_row(RowId::MIN), ApplicationId::from_row(RowId::MIN));
        Message { id, application, content, created_at: Timestamp::from_unix_ms(1_767_323_045_678) }
    }

    #[test]
    fn messages_come_back_and_those_of_the_api_are_as_small_as_they_were() {
        let header = ForwardedHeader { name: "X-GitHub-Event".to_owned(), value: Bytes::from_static(b"push\xff") };
        let mut row = Vec::new();
        for (message, version) in [
            (message(vec![], None), 1),
            (message(vec![header.clone()], None), 2),
            (message(vec![], Some("customer 7")), 2),
            (message(vec![header.clone(), header], Some("")), 2),
        ] {
            encode_header(&message, &mut row);
            assert_eq!((row[0], decode_created_at(&row)), (version, Ok(message.created_at)));
            assert_eq!(decode_message(message.id, message.application, &row, None).as_ref(), Ok(&message));
        }
        encode_header(&message(vec![], None), &mut row);
        // As the first version of this program wrote it.
        let first =
            [&[1, 0xae, 0x9e, 0xa6, 0xe5, 0xb7, 0x33, 10][..], b"order.paid", &[0, 0, 0, 0, 0xaf, 0x9e, 0xa6, 0xe5, 0xb7, 0x33, 0, 0, 0]]
                .concat();
        assert_eq!(row, first);
    }
}
