//! What an answer to a poll means: its items, byte for byte, how far it leads, and where the next page is. Pure: the answer comes in, the page goes out.

use bytes::Bytes;
use hookpost_domain::{Timestamp, limits};
use hookpost_shaping::JsonPath;
use http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED};
use ring::digest::{Digest, SHA256, digest};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::failure::{Failure, text};
use super::super::link::{next_link, same_host};
use super::super::remembered::{mark_in, mark_of};
use super::ask::Asked;
use super::progress::{NextRef, Validators, greatest};
use super::settings::{CursorPath, Paging, PreparedPoll};
use crate::transport::Answer;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    /// The address says that nothing is new.
    Unchanged,
    Page(Page),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    pub(super) content_type: String,
    /// As far as the answer says it; of a cursor that is the greatest of all items, the greatest of this page.
    pub(super) cursor: Option<String>,
    pub(super) next: Option<NextRef>,
    /// Another page is to be asked for: `next`, or the same with the new cursor.
    pub(super) goes_on: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// What tells it from the others of its source.
    pub(super) key: String,
    /// As its sender names it, where it does.
    pub(super) id: Option<String>,
    /// The key in short, to be remembered.
    pub(super) mark: u64,
    pub(super) body: Bytes,
}

impl PreparedPoll {
    pub(super) fn read(&self, asked: &Asked, answer: &Answer, now: Timestamp) -> Result<Read, Failure> {
        match answer.status_code {
            304 if asked.is_conditional => return Ok(Read::Unchanged),
            204 => return Ok(Read::Page(Page::default())),
            200..=299 => {}
            _ => return Err(Failure::of_answer(answer, now)),
        }
        let document = serde_json::from_slice::<&RawValue>(without_mark(&answer.body));
        let document = match document {
            Ok(document) => document,
            Err(_) if self.wants_no_json() => return Ok(Read::Page(whole(answer))),
            Err(problem) => return Err(Failure::unusable(answer, format!("The answer is not JSON: {problem}."))),
        };
        let texts = self.items_of(document).map_err(|detail| Failure::unusable(answer, detail))?;
        let items = texts.iter().map(|text| self.item(text)).collect::<Result<Vec<_>, _>>();
        let items = items.map_err(|detail| Failure::unusable(answer, detail))?;
        let cursor = self.cursor_of(answer, document, &texts);
        if cursor.as_ref().is_some_and(|cursor| cursor.len() > limits::POLL_CURSOR_BYTES_MAX) {
            return Err(Failure::unusable(
                answer,
                format!("The cursor of the answer is longer than {} bytes.", limits::POLL_CURSOR_BYTES_MAX),
            ));
        }
        let next = self.next_of(asked, answer, document)?;
        let goes_on = match &self.paging {
            Some(Paging::Cursor) => !items.is_empty() && cursor.as_ref().is_some_and(|cursor| *cursor != asked.cursor),
            // An answer that names itself as the next would be asked for without end.
            _ => next.is_some() && next != asked.next,
        };
        Ok(Read::Page(Page { items, content_type: "application/json".to_owned(), cursor, next: next.filter(|_| goes_on), goes_on }))
    }

    /// Nothing in the answer is looked for by a path.
    fn wants_no_json(&self) -> bool {
        let cursor = self.cursor.as_ref().is_none_or(|cursor| matches!(cursor.from, CursorPath::Header(_)));
        let paging = !matches!(self.paging, Some(Paging::Url(_) | Paging::Token(_)));
        self.items.is_none() && self.item_id.is_none() && cursor && paging
    }

    /// The items as they are written in the answer. A path that leads nowhere leads to no items: many an API leaves out what is empty.
    fn items_of<'a>(&self, document: &'a RawValue) -> Result<Vec<&'a str>, String> {
        let found = match &self.items {
            None if !document.get().starts_with(['[', 'n']) => return Ok(vec![document.get()]),
            None => vec![document],
            Some(path) => path.all_raw(document, limits::POLL_ITEMS_MAX),
        };
        let mut texts = Vec::new();
        for value in found {
            match value.get().as_bytes().first() {
                Some(b'[') => {
                    let items: Vec<&RawValue> =
                        serde_json::from_str(value.get()).map_err(|problem| format!("The items cannot be read: {problem}."))?;
                    texts.extend(items.iter().map(|item| item.get()));
                }
                Some(b'{') => texts.push(value.get()),
                _ if value.get() == "null" => {}
                _ => return Err("Where the items should be is neither an array nor an object.".to_owned()),
            }
        }
        if texts.len() > limits::POLL_ITEMS_MAX {
            return Err(format!("The answer has {} items; at most {} are taken at a time.", texts.len(), limits::POLL_ITEMS_MAX));
        }
        Ok(texts)
    }

    fn item(&self, text: &str) -> Result<Item, String> {
        let id = match &self.item_id {
            None => None,
            Some(path) => {
                let id = text_at(path, text);
                Some(id.ok_or("An item has nothing where its id should be.")?)
            }
        };
        Ok(new_item(id, Bytes::copy_from_slice(text.as_bytes())))
    }

    fn cursor_of(&self, answer: &Answer, document: &RawValue, items: &[&str]) -> Option<String> {
        let found = match &self.cursor.as_ref()?.from {
            CursorPath::Path(path) => text_at(path, document.get()),
            CursorPath::Header(name) => text(&answer.headers, name.as_str()).map(str::to_owned),
            CursorPath::LastItem(path) => items.last().and_then(|item| text_at(path, item)),
            CursorPath::GreatestItem(path) => items.iter().fold(None, |found, item| greatest(found, text_at(path, item))),
        };
        found.filter(|cursor| !cursor.is_empty())
    }

    fn next_of(&self, asked: &Asked, answer: &Answer, document: &RawValue) -> Result<Option<NextRef>, Failure> {
        let link = match &self.paging {
            None | Some(Paging::Cursor) => return Ok(None),
            Some(Paging::Token(path)) => return Ok(text_at(path, document.get()).filter(|token| !token.is_empty()).map(NextRef::Token)),
            Some(Paging::Url(path)) => text_at(path, document.get()),
            Some(Paging::Link) => next_link(&answer.headers).map(str::to_owned),
        };
        let Some(link) = link.filter(|link| !link.is_empty()) else { return Ok(None) };
        match same_host(&asked.url, &link) {
            Some(url) => Ok(Some(NextRef::Url(url.into()))),
            None => Err(Failure::unusable(answer, "The answer names a next page with another host, which is not asked.")),
        }
    }
}

impl Asked {
    /// By which the same request can be asked for news only.
    pub(super) fn validators_of(&self, answer: &Answer) -> Option<Validators> {
        let kept = |name: http::HeaderName| text(&answer.headers, name.as_str()).map(str::to_owned);
        let (etag, last_modified) = (kept(ETAG), kept(LAST_MODIFIED));
        let any = etag.is_some() || last_modified.is_some();
        any.then(|| Validators { request: self.name.clone(), etag, last_modified })
    }
}

/// The answer is one item, whatever it is.
fn whole(answer: &Answer) -> Page {
    let items = if answer.body.is_empty() { Vec::new() } else { vec![new_item(None, answer.body.clone())] };
    let content_type = text(&answer.headers, CONTENT_TYPE.as_str()).unwrap_or_default().to_owned();
    Page { items, content_type, ..Page::default() }
}

fn new_item(id: Option<String>, body: Bytes) -> Item {
    let (key, mark) = match &id {
        Some(id) => (key_of_id(id), mark_of(id)),
        None => {
            let hash = digest(&SHA256, &body);
            (key_of_hash(&hash), mark_in(&hash))
        }
    };
    Item { key, id, mark, body }
}

/// By its id where it has one, else by a hash of it.
pub(in super::super) fn key_of(id: Option<&str>, body: &[u8]) -> String {
    id.map_or_else(|| key_of_hash(&digest(&SHA256, body)), key_of_id)
}

fn key_of_id(id: &str) -> String {
    format!("id:{id}")
}

fn key_of_hash(hash: &Digest) -> String {
    let hex: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hash:{hex}")
}

/// The text, number or truth value that a path leads to.
fn text_at(path: &JsonPath, json: &str) -> Option<String> {
    let document: &RawValue = serde_json::from_str(json).ok()?;
    let found = path.all_raw(document, 1).into_iter().next()?;
    match serde_json::from_str(found.get()).ok()? {
        Value::String(text) => Some(text),
        // As it is written: a number may be longer than any that we could hold.
        Value::Number(_) | Value::Bool(_) => Some(found.get().to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Some senders put a byte order mark before their JSON.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}
