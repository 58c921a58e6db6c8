//! A code or signature over text that is made of the request: most providers, described by data.
//!
//! The rule says where signatures are and how they are written, what is signed, and where the timestamp is. The signature is
//! checked before the age, so that a stale timestamp is one that the provider really wrote.

use std::borrow::Cow;

use hookpost_domain::time::Timestamp;
use http::HeaderName;
use smallvec::SmallVec;

use crate::clock::{Future, Moment, Unit};
use crate::encoding::Encoding;
use crate::keys::{Algorithm, Asymmetric, Hash, PrivateKey, SecretForm, Text, VerifyingKey};
use crate::location::{Source, Sources, header_name};
use crate::request::{Request, SignedRequest};
use crate::schemes::{Proof, needs_private_key, private_key};
use crate::settings::{Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

mod elements;
mod text;

pub(crate) use elements::Elements;
pub(crate) use text::escape;
use text::{Part, Scene};

/// How a provider signs, as data. Providers are written with `hmac` and the methods below it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) secret: SecretForm,
    pub(crate) encoding: Encoding,
    /// Where the signature is, in the grammar of [`Sources`].
    pub(crate) signature: &'a str,
    pub(crate) form: Form<'a>,
    /// What is signed: `v0:{timestamp}:{body}`.
    pub(crate) text: &'a str,
    pub(crate) second: SecondText,
    pub(crate) time: Option<Time<'a>>,
    /// Headers that must have this value.
    pub(crate) must: &'a [(&'a str, &'a str)],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Form<'a> {
    /// The value is the signature, after the prefix.
    Whole { prefix: &'a str },
    /// A list like `t=1767323045,v1=…,v1=…`, in which elements of this key are signatures.
    Elements { separator: char, key: &'a str },
    /// Headers `…-1`, `…-2` and so on, one for each key.
    Numbered,
    /// Two headers, each made with its own secret.
    Pair { second: &'a str },
}

/// The header in which an operator of Grafana has the timestamp has no default: the settings name it.
pub(crate) const NAMED_BY_SETTINGS: &str = "timestamp_header";

#[derive(Debug, Clone, Copy)]
pub(crate) struct Time<'a> {
    /// `element:t` of the signature header, or in the grammar of [`Sources`].
    pub(crate) source: &'a str,
    pub(crate) unit: Unit,
    /// In seconds; without one the settings may give one.
    pub(crate) tolerance: Option<u64>,
    pub(crate) future: Future,
}

/// What else the signature may be over, where the provider and its libraries do not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecondText {
    None,
    /// The URL with `%3A` and its like decoded, as HubSpot documents and its libraries do not do.
    DecodedUrl,
    /// The body with what is not ASCII, and slashes, escaped, as the libraries of Box do.
    EscapedBody,
}

impl Signed<'static> {
    /// An HMAC over the body in a header.
    pub(crate) const fn hmac(hash: Hash, signature: &'static str, encoding: Encoding) -> Self {
        Self {
            algorithm: Algorithm::Hmac(hash),
            secret: SecretForm::Text,
            encoding,
            signature,
            form: Form::Whole { prefix: "" },
            text: "{body}",
            second: SecondText::None,
            time: None,
            must: &[],
        }
    }

    /// A public-key signature in a header.
    pub(crate) const fn public(asymmetric: Asymmetric, signature: &'static str, encoding: Encoding) -> Self {
        Self { algorithm: Algorithm::Public(asymmetric), ..Self::hmac(Hash::Sha256, signature, encoding) }
    }

    /// The hash of the secret and then the text.
    pub(crate) const fn secret_then_text(signature: &'static str, encoding: Encoding) -> Self {
        Self { algorithm: Algorithm::SecretThenText, ..Self::hmac(Hash::Sha256, signature, encoding) }
    }

    pub(crate) const fn secret(mut self, form: SecretForm) -> Self {
        self.secret = form;
        self
    }

    pub(crate) const fn prefix(mut self, prefix: &'static str) -> Self {
        self.form = Form::Whole { prefix };
        self
    }

    pub(crate) const fn elements(mut self, separator: char, key: &'static str) -> Self {
        self.form = Form::Elements { separator, key };
        self
    }

    pub(crate) const fn numbered(mut self) -> Self {
        self.form = Form::Numbered;
        self
    }

    pub(crate) const fn pair(mut self, second: &'static str) -> Self {
        self.form = Form::Pair { second };
        self
    }

    pub(crate) const fn text(mut self, text: &'static str) -> Self {
        self.text = text;
        self
    }

    pub(crate) const fn or(mut self, second: SecondText) -> Self {
        self.second = second;
        self
    }

    pub(crate) const fn time(mut self, source: &'static str, unit: Unit, tolerance: Option<u64>, future: Future) -> Self {
        self.time = Some(Time { source, unit, tolerance, future });
        self
    }

    pub(crate) const fn must(mut self, must: &'static [(&'static str, &'static str)]) -> Self {
        self.must = must;
        self
    }

    pub(crate) fn names_timestamp_header(&self) -> bool {
        self.time.is_some_and(|time| time.source == NAMED_BY_SETTINGS)
    }

    pub(crate) fn takes(&self) -> &'static [&'static str] {
        match (self.algorithm, self.time) {
            (Algorithm::Public(_), None) => &["secrets", "secret_secondary", "config.header", "private_key"],
            (Algorithm::Public(_), Some(_)) => &["secrets", "secret_secondary", "config.header", "private_key", "tolerance"],
            (_, Some(_)) => &["secrets", "secret_secondary", "config.header", "tolerance"],
            (_, None) if self.text.contains("{notification_url}") => &["secrets", "secret_secondary", "config.header", "notification_url"],
            (_, None) if self.text.contains("{callback_url}") => &["secrets", "secret_secondary", "config.header", "callback_url"],
            (_, None) => &["secrets", "secret_secondary", "config.header"],
        }
    }
}

/// A rule with settings: names parsed, keys ready.
pub(crate) struct Check {
    keys: Vec<VerifyingKey>,
    private_key: Option<PrivateKey>,
    encoding: Encoding,
    signature: Sources,
    form: Placement,
    parts: Vec<Part>,
    second: SecondText,
    clock: Option<Clock>,
    must: Vec<(HeaderName, Box<str>)>,
}

enum Placement {
    Whole { prefix: Box<str> },
    Elements { header: HeaderName, separator: char, key: Box<str> },
    Numbered { headers: Vec<HeaderName> },
    Pair { first: HeaderName, second: HeaderName, second_key: usize },
}

struct Clock {
    source: TimeSource,
    unit: Unit,
    tolerance: Option<u64>,
    future: Future,
}

enum TimeSource {
    Element(Box<str>),
    At(Sources),
}

/// One signature of the request, and which of the keys it may be made with.
struct Candidate<'a> {
    signature: &'a str,
    keys: std::ops::Range<usize>,
}

/// DocuSign allows a hundred keys.
const NUMBERED_HEADERS_MAX: usize = 100;

impl Check {
    pub(crate) fn new(rule: &Signed<'_>, settings: &Settings) -> Result<Self, SettingsError> {
        let secrets = settings.required_secrets()?;
        let keys = secrets.iter().map(|secret| VerifyingKey::new(rule.algorithm, rule.secret, secret)).collect::<Result<_, _>>()?;
        let private_key = match rule.algorithm {
            Algorithm::Public(asymmetric) => private_key(asymmetric, settings)?,
            Algorithm::Hmac(_) | Algorithm::SecretThenText => None,
        };
        // Some operators choose the name of the header, and some proxies rename it.
        let signature = match &settings.config.header {
            Some(name) if rule.signature.starts_with("header:") => Sources::parse(&format!("header:{name}")),
            _ => Sources::parse(rule.signature),
        };
        let signature = signature.map_err(|rule| SettingsError::new("config.header", rule))?;
        let header = |name: &str| header_name(name).map_err(|rule| SettingsError::new("config.header", rule));
        let must = rule.must.iter().map(|(name, value)| Ok((header(name)?, (*value).into()))).collect::<Result<_, _>>()?;
        Ok(Self {
            keys,
            private_key,
            encoding: rule.encoding,
            form: Placement::new(&rule.form, &signature, settings)?,
            signature,
            parts: text::parse(rule.text, settings)?,
            second: rule.second,
            clock: rule.time.map(|time| Clock::new(&time, settings)).transpose()?,
            must,
        })
    }

    fn check_must(&self, request: &Request<'_>) -> Result<(), Rejection> {
        for (name, value) in &self.must {
            if request.required_header(name)? != &**value {
                let detail = format!("The header `{name}` is not `{value}`, which is the only one this scheme has.");
                return Err(Rejection::new(RejectionCode::MalformedHeader, detail));
            }
        }
        Ok(())
    }

    fn elements<'a>(&self, request: &Request<'a>) -> Result<Elements<'a>, Rejection> {
        match &self.form {
            Placement::Elements { header, separator, .. } => Elements::read(request, header, *separator),
            _ => Ok(Elements::default()),
        }
    }

    /// The timestamp as it was written, which is what is signed, and as it is meant.
    fn moment<'a>(&self, request: &Request<'a>, elements: &Elements<'a>) -> Result<Option<(Cow<'a, str>, Moment)>, Rejection> {
        let Some(clock) = &self.clock else { return Ok(None) };
        let text = match &clock.source {
            TimeSource::Element(key) => Cow::Borrowed(elements.one(key)?),
            TimeSource::At(sources) => sources.find(request)?.ok_or_else(|| missing(sources.first()))?,
        };
        let Some(moment) = clock.unit.read(&text) else {
            let detail = format!("The timestamp is not {}.", clock.unit.describe());
            return Err(Rejection::new(RejectionCode::MalformedTimestamp, detail));
        };
        Ok(Some((text, moment)))
    }

    fn whole<'a>(&self, request: &Request<'a>) -> Result<Cow<'a, str>, Rejection> {
        self.signature.find(request)?.ok_or_else(|| missing(self.signature.first()))
    }

    fn candidates<'c>(
        &self,
        request: &Request<'c>,
        whole: &'c str,
        elements: &Elements<'c>,
    ) -> Result<SmallVec<[Candidate<'c>; 2]>, Rejection> {
        let all = 0..self.keys.len();
        let found: SmallVec<[_; 2]> = match &self.form {
            Placement::Whole { prefix } => {
                let signature = whole.strip_prefix(&**prefix).ok_or_else(|| {
                    Rejection::new(RejectionCode::MalformedHeader, format!("The signature does not begin with `{prefix}`."))
                })?;
                SmallVec::from_iter([Candidate { signature, keys: all }])
            }
            Placement::Elements { key, header, .. } => {
                let found: SmallVec<[_; 2]> = elements.all(key).map(|signature| Candidate { signature, keys: all.clone() }).collect();
                if found.is_empty() {
                    let detail = format!("The header `{header}` has no element `{key}=…`.");
                    return Err(Rejection::new(RejectionCode::MalformedHeader, detail));
                }
                found
            }
            Placement::Numbered { headers } => {
                let present = headers.iter().map_while(|name| request.header(name).transpose());
                present.map(|signature| signature.map(|signature| Candidate { signature, keys: all.clone() })).collect::<Result<_, _>>()?
            }
            Placement::Pair { first, second, second_key } => {
                let of_first = request.header(first)?.map(|signature| Candidate { signature, keys: 0..1 });
                let of_second = request.header(second)?;
                let of_second = of_second.map(|signature| Candidate { signature, keys: *second_key..(*second_key + 1).min(all.end) });
                of_first.into_iter().chain(of_second).collect()
            }
        };
        if found.is_empty() { Err(missing(self.signature.first())) } else { Ok(found) }
    }

    /// Which key made one of the signatures over this text.
    fn matching_key(&self, candidates: &[Candidate<'_>], text: &Text<'_>) -> Result<Option<usize>, Rejection> {
        let mut unreadable = 0;
        for candidate in candidates {
            let Some(signature) = self.encoding.decode(candidate.signature) else {
                unreadable += 1;
                continue;
            };
            let fits = self.keys.iter().enumerate().take(candidate.keys.end).skip(candidate.keys.start);
            if let Some((index, _)) = fits.into_iter().find(|(_, key)| key.verifies(text, &signature)) {
                return Ok(Some(index));
            }
        }
        if unreadable == candidates.len() {
            let detail = format!("The signature is not {}, in which it is written here.", self.encoding.name());
            return Err(Rejection::new(RejectionCode::MalformedHeader, detail));
        }
        Ok(None)
    }
}

impl super::Check for Check {
    fn applies(&self, request: &Request<'_>) -> bool {
        let is_there = match &self.form {
            Placement::Numbered { headers } => request.headers.contains_key(&headers[0]),
            Placement::Pair { first, second, .. } => request.headers.contains_key(first) || request.headers.contains_key(second),
            Placement::Elements { header, .. } => request.headers.contains_key(header),
            Placement::Whole { .. } => self.signature.find(request).is_ok_and(|found| found.is_some()),
        };
        is_there && self.check_must(request).is_ok()
    }

    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<Proof, Rejection> {
        self.check_must(request)?;
        let whole = if let Placement::Whole { .. } = self.form { self.whole(request)? } else { Cow::Borrowed("") };
        let elements = self.elements(request)?;
        let candidates = self.candidates(request, &whole, &elements)?;
        let moment = self.moment(request, &elements)?;
        let mut scene =
            Scene { request, timestamp: moment.as_ref().map(|(text, _)| &**text), elements: &elements, second: SecondText::None };
        let mut key = self.matching_key(&candidates, &text::assemble(&self.parts, &scene)?)?;
        if key.is_none() && self.second != SecondText::None {
            scene.second = self.second;
            key = self.matching_key(&candidates, &text::assemble(&self.parts, &scene)?)?;
        }
        let secret = key.ok_or_else(Rejection::bad_signature)?;
        let moment = moment.map(|(_, moment)| moment);
        if let (Some(clock), Some(moment)) = (&self.clock, moment) {
            moment.check(now, clock.tolerance, clock.future)?;
        }
        Ok(Proof { id: None, timestamp: moment.and_then(Moment::timestamp), secret })
    }

    fn sign(&self, request: &mut SignedRequest, id: &str, now: Timestamp) -> Result<(), CannotSign> {
        for (name, value) in &self.must {
            request.set_header(name, value);
        }
        if let Placement::Elements { header, .. } = &self.form {
            // What is signed anew does not vouch for the signature that it had.
            request.headers.remove(header);
        }
        let mut elements = Elements::default();
        let timestamp = self.clock.as_ref().map(|clock| (clock, clock.unit.write(now)));
        if let Some((clock, text)) = &timestamp {
            match &clock.source {
                TimeSource::Element(key) => elements.push(key, text),
                TimeSource::At(sources) => text::put(sources.first(), text, request)?,
            }
        }
        text::fill(&self.parts, id, request, &mut elements)?;
        let signed = {
            let request = &request.as_request();
            let timestamp = timestamp.as_ref().map(|(_, text)| text.as_str());
            let elements = elements.borrowed();
            let scene = Scene { request, timestamp, elements: &elements, second: SecondText::None };
            let text = text::assemble(&self.parts, &scene).map_err(|rejection| CannotSign::new(rejection.detail))?;
            let signature = match &self.private_key {
                Some(key) => key.sign(&text)?,
                None => self.keys[0].code(&text).ok_or_else(needs_private_key)?.to_vec(),
            };
            self.encoding.encode(&signature)
        };
        match &self.form {
            Placement::Whole { prefix } => text::put(self.signature.first(), &format!("{prefix}{signed}"), request)?,
            Placement::Elements { header, separator, key } => {
                elements.push(key, &signed);
                request.set_header(header, &elements.write(*separator));
            }
            Placement::Numbered { headers } => request.set_header(&headers[0], &signed),
            Placement::Pair { first, .. } => request.set_header(first, &signed),
        }
        Ok(())
    }

    fn headers(&self) -> Vec<HeaderName> {
        let mut headers: Vec<HeaderName> = match &self.form {
            Placement::Whole { .. } => self.signature.headers().cloned().collect(),
            Placement::Elements { header, .. } => vec![header.clone()],
            Placement::Numbered { headers } => vec![headers[0].clone()],
            Placement::Pair { first, .. } => vec![first.clone()],
        };
        if let Some(Clock { source: TimeSource::At(sources), .. }) = &self.clock {
            headers.extend(sources.headers().cloned());
        }
        headers.extend(self.must.iter().map(|(name, _)| name.clone()));
        headers.extend(text::headers(&self.parts));
        headers
    }

    fn signs_url(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Url | Part::Fixed(_)))
    }
}

impl Placement {
    fn new(form: &Form<'_>, signature: &Sources, settings: &Settings) -> Result<Self, SettingsError> {
        let refused = |rule: String| SettingsError::new("config.header", rule);
        let header = || match signature.first() {
            Source::Header(name) => Ok(name.clone()),
            _ => Err(refused("must be a header, because several signatures are read from it".to_owned())),
        };
        Ok(match form {
            Form::Whole { prefix } => Self::Whole { prefix: (*prefix).into() },
            Form::Elements { separator, key } => Self::Elements { header: header()?, separator: *separator, key: (*key).into() },
            Form::Numbered => {
                let stem = header()?;
                let numbered = (1..=NUMBERED_HEADERS_MAX).map(|n| header_name(&format!("{stem}-{n}")).map_err(refused));
                Self::Numbered { headers: numbered.collect::<Result<_, _>>()? }
            }
            Form::Pair { second } => {
                // The live secrets are in the order of the settings, so the secondary one comes right after the first.
                let has_second = settings.secret_secondary.as_ref().is_some_and(|secret| !secret.reveal().is_empty());
                let second_key = if has_second { 1 } else { usize::MAX - 1 };
                Self::Pair { first: header()?, second: header_name(second).map_err(refused)?, second_key }
            }
        })
    }
}

impl Clock {
    fn new(time: &Time<'_>, settings: &Settings) -> Result<Self, SettingsError> {
        let refused = |rule: String| SettingsError::new("timestamp_header", rule);
        let source = match (time.source.strip_prefix("element:"), &settings.timestamp_header) {
            (Some(key), _) => TimeSource::Element(key.into()),
            (None, Some(name)) if time.source == NAMED_BY_SETTINGS => {
                TimeSource::At(Sources::parse(&format!("header:{name}")).map_err(refused)?)
            }
            (None, None) if time.source == NAMED_BY_SETTINGS => return Err(refused("is missing: it is chosen by the operator".to_owned())),
            (None, _) => TimeSource::At(Sources::parse(time.source).map_err(refused)?),
        };
        Ok(Self { source, unit: time.unit, tolerance: settings.tolerance.or(time.tolerance), future: time.future })
    }
}

fn missing(source: &Source) -> Rejection {
    match source {
        Source::Header(name) => Rejection::missing_header(name),
        other => Rejection::new(RejectionCode::MissingSignature, format!("{} is missing.", other.describe())),
    }
}
