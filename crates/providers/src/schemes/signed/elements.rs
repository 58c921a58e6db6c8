//! Headers that are lists of `key=value`: `t=1767323045,v1=…,v1=…`. An element that is not of this form is passed over.

use std::borrow::Cow;

use http::HeaderName;
use smallvec::SmallVec;

use crate::request::Request;
use crate::verdict::{Rejection, RejectionCode};

#[derive(Debug, Default)]
pub(crate) struct Elements<'a>(SmallVec<[(Cow<'a, str>, Cow<'a, str>); 4]>);

impl<'a> Elements<'a> {
    /// Lists that were sent as several headers are one list.
    pub(crate) fn read(request: &Request<'a>, name: &HeaderName, separator: char) -> Result<Self, Rejection> {
        let mut elements = SmallVec::new();
        let mut is_there = false;
        for value in request.header_values(name) {
            is_there = true;
            let pairs = value?.split(separator).filter_map(|element| element.trim().split_once('='));
            elements.extend(pairs.map(|(key, value)| (Cow::Borrowed(key), Cow::Borrowed(value))));
        }
        if is_there { Ok(Self(elements)) } else { Err(Rejection::missing_header(name)) }
    }

    pub(crate) fn all<'s>(&'s self, key: &'s str) -> impl Iterator<Item = &'a str> + use<'a, 's> {
        self.0.iter().filter(move |(name, _)| name == key).filter_map(|(_, value)| match value {
            Cow::Borrowed(value) => Some(*value),
            Cow::Owned(_) => None,
        })
    }

    /// The one value of a key: with two that differ nobody knows which was signed.
    pub(crate) fn one(&self, key: &str) -> Result<&'a str, Rejection> {
        let mut values = self.all(key);
        let malformed = |detail| Rejection::new(RejectionCode::MalformedHeader, detail);
        let first = values.next().ok_or_else(|| malformed(format!("The signature header has no element `{key}=…`.")))?;
        if values.any(|other| other != first) {
            return Err(malformed(format!("The signature header has several elements `{key}=…` that differ.")));
        }
        Ok(first)
    }
}

impl Elements<'static> {
    pub(crate) fn push(&mut self, key: &str, value: &str) {
        self.0.push((Cow::Owned(key.to_owned()), Cow::Owned(value.to_owned())));
    }

    pub(crate) fn borrowed(&self) -> Elements<'_> {
        Elements(self.0.iter().map(|(key, value)| (Cow::Borrowed(&**key), Cow::Borrowed(&**value))).collect())
    }

    pub(crate) fn write(&self, separator: char) -> String {
        let written: Vec<_> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        written.join(&separator.to_string())
    }
}
