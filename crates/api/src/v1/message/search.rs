//! Looking for messages: by everything that lists filter by, and by text in their payloads. A search looks at so many and no more, and says where it goes on.

use std::time::Duration;

use axum::extract::State;
use hookpost_domain::id::MessageKind;
use hookpost_domain::{Message, MessageId, Uid, limits};
use hookpost_store::history::{MessageFilter, ScannedPage};
use hookpost_store::{ApplicationView, Cursor, PageRequest, Reference};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{MessageOut, live_payload};
use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, Path};
use crate::page::Page;
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1;
use crate::v1::application::ApplicationPath;
use crate::v1::window::{self, Window};

const PAYLOAD_BYTES_LOOKED_AT_MAX: usize = 16 << 20;
const TEXT_BYTES_MAX: usize = 1024;

/// The names of the fields are those of the list.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct MessageSearchIn {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    channel: Option<String>,
    tag: Option<String>,
    /// Only messages accepted before this time.
    #[schemars(extend("format" = "date-time"))]
    before: Option<String>,
    /// Only messages accepted after this time.
    #[schemars(extend("format" = "date-time"))]
    after: Option<String>,
    /// Whether payloads are shown. Default: false.
    with_content: Option<bool>,
    /// Only messages of these event types.
    event_types: Option<Vec<String>>,
    /// Only messages whose payload has this text, whatever the case of its ASCII letters. (Hookpost's own.)
    #[schemars(length(min = 1, max = 1024))]
    text: Option<String>,
    /// Only the message with this `eventId`. (Hookpost's own.)
    #[serde(rename = "eventId")]
    event_id: Option<String>,
}

/// What is looked for beyond what a list can filter by.
struct Wanted {
    filter: MessageFilter,
    text: Option<String>,
}

pub(crate) async fn search(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Body(input): Body<MessageSearchIn>,
) -> Result<Json<Page<MessageOut<'static>>>, Problem> {
    let mut wrong = Wrong::in_body();
    let window = Window::parse(&mut wrong, input.before, input.after);
    let filter = window::message_filter(&mut wrong, &input.event_types.unwrap_or_default(), input.channel, input.tag);
    let event_id = wrong.optional("eventId", input.event_id, v1::uid::<MessageKind>);
    if input.text.as_ref().is_some_and(|text| text.is_empty() || text.len() > TEXT_BYTES_MAX) {
        wrong.add("text", format!("must be 1 to {TEXT_BYTES_MAX} bytes long"));
    }
    wrong.nothing()?;
    let view = caller.application(&api, &path.app_id, Right::Read).await?;
    let page =
        window.request::<MessageKind>(&api, input.limit, input.iterator.as_deref(), Duration::ZERO).map_err(Problem::into_body_place)?;
    let Some(page) = page else { return Ok(Json(Page::empty())) };
    let wanted = Wanted { filter: MessageFilter { before: window.before, after: window.after, ..filter }, text: input.text };
    let backwards = window::goes_backwards(&page);
    let scanned = match event_id {
        Some(event_id) => by_event_id(&api, &view, &wanted, &event_id).await?,
        None => by_looking(&api, &view, &wanted, page).await?,
    };
    let with_content = input.with_content.unwrap_or_default();
    Ok(Json(window::answer(&api, backwards, scanned, |message| (message.id, MessageOut::new(&api, &message, with_content)))))
}

async fn by_event_id(
    api: &Api,
    view: &ApplicationView,
    wanted: &Wanted,
    event_id: &Uid,
) -> Result<ScannedPage<Message, MessageId>, Problem> {
    let found = api.store.message(view.application.id, Reference::Uid(event_id.as_str())).await?;
    let found = found.filter(|message| wanted.filter.matches(message) && wanted.has_text(api, message));
    Ok(ScannedPage { items: found.into_iter().collect(), done: true, next: None })
}

async fn by_looking(
    api: &Api,
    view: &ApplicationView,
    wanted: &Wanted,
    page: PageRequest<MessageId>,
) -> Result<ScannedPage<Message, MessageId>, Problem> {
    if wanted.text.is_none() {
        return Ok(api.store.messages(view.application.id, wanted.filter.clone(), page).await?);
    }
    let backwards = window::goes_backwards(&page);
    let mut ask = PageRequest { limit: limits::PAGE_ITEMS_MAX, ..page.clone() };
    let mut found: ScannedPage<Message, MessageId> = ScannedPage { items: Vec::new(), done: false, next: None };
    let mut bytes_left = PAYLOAD_BYTES_LOOKED_AT_MAX;
    loop {
        let mut scanned = api.store.messages(view.application.id, wanted.filter.clone(), ask.clone()).await?;
        // From the cursor on, whichever way it goes.
        if backwards {
            scanned.items.reverse();
        }
        let last = scanned.next.or(scanned.items.last().map(|message| message.id));
        for message in scanned.items {
            bytes_left = bytes_left.saturating_sub(message.content.payload.as_ref().map_or(0, |payload| payload.len()));
            if wanted.has_text(api, &message) {
                found.items.push(message);
            }
            if found.items.len() > page.limit {
                found.items.truncate(page.limit);
                return Ok(in_order(found, backwards));
            }
        }
        found.done = scanned.done;
        let Some(last) = last.filter(|_| !scanned.done) else { return Ok(in_order(found, backwards)) };
        ask.cursor = Some(if backwards { Cursor::Before(last) } else { Cursor::After(last) });
        if bytes_left == 0 {
            found.next = Some(last);
            return Ok(in_order(found, backwards));
        }
        // The store counts what it looks at; a page of it that ended early is as much as one request may cost.
        if scanned.next.is_some() {
            found.next = scanned.next;
            return Ok(in_order(found, backwards));
        }
    }
}

fn in_order(mut found: ScannedPage<Message, MessageId>, backwards: bool) -> ScannedPage<Message, MessageId> {
    if backwards {
        found.items.reverse();
    }
    found
}

impl Wanted {
    fn has_text(&self, api: &Api, message: &Message) -> bool {
        let Some(text) = self.text.as_ref().map(|text| text.as_bytes()) else { return true };
        let payload = live_payload(&message.content, api.now());
        payload.is_some_and(|payload| payload.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text)))
    }
}
