//! What handlers take and give: path, query and body with JSON problems, and answers with their status in the type.
//!
//! The content type of a request is not looked at (some clients send none), unknown fields are ignored, and a body that is not read is not
//! refused.

use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, RequestBody, SchemaObject};
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema, set_body};
use aide::{OperationInput, OperationOutput};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hookpost_domain::limits;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_path_to_error::Segment;

use crate::problem::{FieldError, JSON_DECODE, MISSING, Problem, TYPE_ERROR, VALUE_ERROR};
use crate::query;
use crate::state::Api;

/// The parameters of the path, percent-decoded. Whether they name anything is for the handler to find out.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        // The only way to fail is a segment that is not UTF-8 once decoded, and nothing has such a name.
        let path = axum::extract::Path::from_request_parts(parts, api).await;
        path.map(|axum::extract::Path(path)| Self(path)).map_err(|_| Problem::NOT_FOUND)
    }
}

impl<T: JsonSchema> OperationInput for Path<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        // Not as a schema of its own: it has no meaning outside of the operation.
        let schema = T::json_schema(&mut ctx.schema);
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Path);
        add_parameters(ctx, operation, parameters);
    }
}

/// The parameters of the query; lists may be given as `a,b`, `k=a&k=b`, `k[]=a` or `k[0]=a`.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        query::parse(parts.uri.query().unwrap_or_default()).map(Self).map_err(Problem::Invalid)
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = T::json_schema(&mut ctx.schema);
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Query);
        add_parameters(ctx, operation, parameters);
    }
}

/// A JSON object.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + JsonSchema + Send> FromRequest<Api> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let bytes = read(request, api).await?;
        parse_json(&bytes).map(Self).map_err(|first| Problem::Invalid(all_errors::<T>(&bytes, first)))
    }
}

/// A JSON object, or nothing at all, which means the same as `{}`.
#[derive(Debug)]
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + JsonSchema + Default + Send> FromRequest<Api> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let bytes = read(request, api).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(T::default()));
        }
        parse_json(&bytes).map(Self).map_err(|first| Problem::Invalid(all_errors::<T>(&bytes, first)))
    }
}

/// The bytes of the body, for a handler that borrows from them with [`parse_json`]. `T` is what they are, for the description.
pub(crate) struct RawBody<T>(pub(crate) Bytes, std::marker::PhantomData<fn() -> T>);

impl<T> std::fmt::Debug for RawBody<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawBody({} bytes)", self.0.len())
    }
}

impl<T> FromRequest<Api> for RawBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        Ok(Self(read(request, api).await?, std::marker::PhantomData))
    }
}

impl<T: JsonSchema> OperationInput for Body<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        describe_body::<T>(ctx, operation, true);
    }
}

impl<T: JsonSchema> OperationInput for OptionalBody<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        describe_body::<T>(ctx, operation, false);
    }
}

impl<T: JsonSchema> OperationInput for RawBody<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        describe_body::<T>(ctx, operation, true);
    }
}

fn describe_body<T: JsonSchema>(ctx: &mut GenContext, operation: &mut Operation, required: bool) {
    let content = [json_content::<T>(ctx)].into();
    set_body(ctx, operation, RequestBody { content, required, ..RequestBody::default() });
}

async fn read(request: Request, api: &Api) -> Result<Bytes, Problem> {
    let bytes_max = api.settings.request_body_bytes_max;
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let mut body = request.into_body();
    if announced.is_some_and(|length| length > bytes_max as u64) {
        drain(body).await;
        return Err(Problem::PayloadTooLarge { bytes_max });
    }
    match Limited::new(&mut body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            drain(body).await;
            Err(Problem::PayloadTooLarge { bytes_max })
        }
        Err(_) => Err(Problem::bad_request("generic_error", "The body of the request ended before it was complete.")),
    }
}

/// Reads on, within bounds, and throws away. Most clients look for the answer only after they have sent everything: if the connection closed under
/// them they would see it broken, and try again.
#[cold]
async fn drain(body: axum::body::Body) {
    let mut body = Limited::new(body, limits::REQUEST_BODY_BYTES_DRAINED_MAX);
    let to_its_end = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(limits::REQUEST_BODY_DRAIN_MAX, to_its_end).await;
}

/// Reads a JSON object, borrowing from it where `T` does. Reports the first thing that is wrong.
pub(crate) fn parse_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, FieldError> {
    let is_object = bytes.iter().find(|c| !c.is_ascii_whitespace()) == Some(&b'{');
    if is_object && let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    Err(explain::<T>(bytes, is_object))
}

#[cold]
fn explain<'a, T: Deserialize<'a>>(bytes: &'a [u8], is_object: bool) -> FieldError {
    let at_root = |msg: String, r#type| FieldError { loc: vec!["body".to_owned(), "?".to_owned()], msg, r#type };
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        return at_root(format!("The body is not valid JSON: {error}"), JSON_DECODE);
    }
    if !is_object {
        return at_root("The body must be a JSON object.".to_owned(), TYPE_ERROR);
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Ok(_) => at_root("The body is not valid JSON: something follows the object.".to_owned(), JSON_DECODE),
        Err(error) => {
            let mut loc = vec!["body".to_owned()];
            loc.extend(error.path().iter().filter_map(|segment| match segment {
                Segment::Seq { index } => Some(index.to_string()),
                Segment::Map { key } => Some(key.clone()),
                Segment::Enum { variant } => Some(variant.clone()),
                Segment::Unknown => None,
            }));
            let text = error.inner().to_string();
            let named = |prefix: &str| Some(text.strip_prefix(prefix)?.split('`').next()?.to_owned());
            let (msg, r#type) = if let Some(field) = named("missing field `") {
                loc.push(field);
                ("This field is required.".to_owned(), MISSING)
            } else if let Some(field) = named("duplicate field `") {
                loc.push(field);
                ("This field stands twice.".to_owned(), VALUE_ERROR)
            } else if error.inner().classify() == serde_json::error::Category::Data {
                (in_plain_words(&text), TYPE_ERROR)
            } else {
                (text, JSON_DECODE)
            };
            FieldError { loc, msg, r#type }
        }
    }
}

/// What serde says of a value, in words that do not come from Rust.
pub(crate) fn in_plain_words(text: &str) -> String {
    // The place in the body is said by `loc`.
    let text = text.find(" at line ").map_or(text, |at| &text[..at]);
    let described = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    let Some((found, expected)) = described.and_then(|described| described.split_once(", expected ")) else { return text.to_owned() };
    let expected = match expected {
        "a map" => "an object",
        "a sequence" => "a list",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        // What is left of these is the name of a struct.
        expected if expected.starts_with("struct ") => "an object",
        expected => expected.strip_prefix("expected ").unwrap_or(expected),
    };
    let found = match found.split_once(' ').map_or(found, |(kind, _)| kind) {
        "map" => "an object",
        "sequence" => "a list",
        _ => found,
    };
    format!("must be {expected}, not {found}")
}

/// Finds the other type errors too, by taking away one wrong field after the other; and then what is missing.
#[cold]
fn all_errors<T: DeserializeOwned + JsonSchema>(bytes: &[u8], first: FieldError) -> Vec<FieldError> {
    const ERRORS_MAX: usize = 32;
    let Ok(mut body) = serde_json::from_slice::<serde_json::Value>(bytes) else { return vec![first] };
    let missing = missing_fields::<T>(&body);
    let mut errors: Vec<FieldError> = vec![first];
    while let Some(last) = errors.last().filter(|last| last.r#type == TYPE_ERROR && errors.len() < ERRORS_MAX) {
        if take_away(&mut body, &last.loc[1..]).is_none() {
            break;
        }
        let Ok(bytes) = serde_json::to_vec(&body) else { break };
        match parse_json::<T>(&bytes) {
            // What was taken away is missing now; that is no news.
            Err(next) if errors.iter().all(|known| known.loc != next.loc) => errors.push(next),
            _ => break,
        }
    }
    for error in missing {
        if errors.iter().all(|known| known.loc != error.loc) {
            errors.push(error);
        }
    }
    errors
}

fn missing_fields<T: JsonSchema>(body: &serde_json::Value) -> Vec<FieldError> {
    let Some(fields) = body.as_object() else { return Vec::new() };
    let schema = schemars::schema_for!(T);
    let required = schema.get("required").and_then(|required| required.as_array()).into_iter().flatten();
    let absent = required.filter_map(|field| field.as_str()).filter(|field| !fields.contains_key(*field));
    let error = |field: &str| FieldError {
        loc: vec!["body".to_owned(), field.to_owned()],
        msg: "This field is required.".to_owned(),
        r#type: MISSING,
    };
    absent.map(error).collect()
}

fn take_away(body: &mut serde_json::Value, path: &[String]) -> Option<serde_json::Value> {
    let (last, parents) = path.split_last()?;
    let parent = parents.iter().try_fold(body, |value, segment| match value {
        serde_json::Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
        value => value.get_mut(segment),
    })?;
    match parent {
        // In a list the places of the others would change; it is judged by its first error only.
        serde_json::Value::Array(_) => None,
        value => value.as_object_mut()?.remove(last),
    }
}

/// For optional fields of a PATCH, where `null` means something else than absence: the outer `Option` is presence.
/// Use with `#[serde(default, deserialize_with = "present")]`.
pub(crate) fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// 200 with a JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// 201 with a JSON body.
#[derive(Debug)]
pub(crate) struct Created<T>(pub(crate) T);

/// 202 with a JSON body.
#[derive(Debug)]
pub(crate) struct Accepted<T>(pub(crate) T);

/// 201 with what was made, or 200 with what was there.
#[derive(Debug)]
pub(crate) enum CreatedOr<T> {
    Created(T),
    Existing(T),
}

impl<T> CreatedOr<T> {
    pub(crate) fn map<U>(self, show: impl FnOnce(T) -> U) -> CreatedOr<U> {
        match self {
            Self::Created(body) => CreatedOr::Created(show(body)),
            Self::Existing(body) => CreatedOr::Existing(show(body)),
        }
    }
}

/// 204.
#[derive(Debug)]
pub(crate) struct NoContent;

pub(crate) fn json_response(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => json_response(status, body),
        Err(error) => {
            tracing::error!(target: "hookpost::request", error = %error, "an answer could not be written");
            Problem::Internal.into_response()
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        answer(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        answer(StatusCode::CREATED, &self.0)
    }
}

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        answer(StatusCode::ACCEPTED, &self.0)
    }
}

impl<T: Serialize> IntoResponse for CreatedOr<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Created(body) => answer(StatusCode::CREATED, &body),
            Self::Existing(body) => answer(StatusCode::OK, &body),
        }
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

type ApiResponse = aide::openapi::Response;

fn json_content<T: JsonSchema>(ctx: &mut GenContext) -> (String, MediaType) {
    let schema = SchemaObject { json_schema: ctx.schema.subschema_for::<T>(), example: None, external_docs: None };
    ("application/json".to_owned(), MediaType { schema: Some(schema), ..MediaType::default() })
}

fn describe<T: JsonSchema>(ctx: &mut GenContext, description: &str) -> ApiResponse {
    ApiResponse { description: description.to_owned(), content: [json_content::<T>(ctx)].into(), ..ApiResponse::default() }
}

impl<T: JsonSchema> OperationOutput for Json<T> {
    type Inner = T;

    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<u16>, ApiResponse)> {
        vec![(Some(200), describe::<T>(ctx, "Done"))]
    }
}

impl<T: JsonSchema> OperationOutput for Created<T> {
    type Inner = T;

    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<u16>, ApiResponse)> {
        vec![(Some(201), describe::<T>(ctx, "Created"))]
    }
}

impl<T: JsonSchema> OperationOutput for Accepted<T> {
    type Inner = T;

    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<u16>, ApiResponse)> {
        vec![(Some(202), describe::<T>(ctx, "Accepted: it is on disk and will be done"))]
    }
}

impl<T: JsonSchema> OperationOutput for CreatedOr<T> {
    type Inner = T;

    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<u16>, ApiResponse)> {
        vec![(Some(200), describe::<T>(ctx, "It existed")), (Some(201), describe::<T>(ctx, "Created"))]
    }
}

impl OperationOutput for NoContent {
    type Inner = ();

    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<u16>, ApiResponse)> {
        vec![(Some(204), ApiResponse { description: "Done".to_owned(), ..ApiResponse::default() })]
    }
}
