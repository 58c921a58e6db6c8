//! The description of the API, made from the route table and the types of its handlers.

use aide::generate::{GenContext, in_context};
use aide::openapi::{
    Components, Info, MediaType, OpenApi, Operation, Parameter, ParameterData, ParameterSchemaOrContent, PathItem, Paths, ReferenceOr,
    Response, SchemaObject, SecurityScheme, StatusCode, Tag,
};
use aide::{OperationInput, OperationOutput};
use schemars::JsonSchema;

use crate::idempotency;
use crate::problem::{ErrorOut, ValidationErrorOut};
use crate::routes;
use crate::table::{Described, Method, Table};

const SCHEME: &str = "HTTPBearer";

const DESCRIPTION: &str = "\
Hookpost sends and receives webhooks. You create an *application* for each of your customers, they register *endpoints*, and you create *messages*, \
which are delivered to every endpoint that subscribes to their *event type*, signed, and retried until they arrive.

Send your key as `Authorization: Bearer hp_…`. Every `POST` takes an `idempotency-key`: within 12 hours a repetition gets the first answer and does nothing \
again. Wherever an id stands in a path, your own `uid` does as well.";

/// Problems that every operation may answer with.
const PROBLEMS: [(u16, &str, &str); 9] = [
    (400, "BadRequest", "The request makes no sense as things are"),
    (401, "Unauthorized", "No valid token"),
    (403, "Forbidden", "The token does not allow this"),
    (404, "NotFound", "There is no such thing"),
    (409, "Conflict", "Something else has this name"),
    (413, "PayloadTooLarge", "The body is too large"),
    (422, "ValidationError", "Fields that break a rule, all at once"),
    (429, "TooManyRequests", "Too many requests"),
    (503, "Unavailable", "The store cannot take this now; nothing was changed"),
];

/// The whole description as JSON, for `hookpost openapi`.
pub fn document() -> String {
    to_json(&routes::document())
}

pub(crate) fn to_json(document: &OpenApi) -> String {
    // Made of maps with string keys; there is nothing that could not be written.
    serde_json::to_string_pretty(document).unwrap_or_default()
}

/// What the types of a handler say of its operation.
pub(crate) type OfTypes = fn(&mut GenContext, &mut Operation);

/// Compiled for every row of the table, so it does no more than it must.
pub(crate) fn of_types<I: OperationInput, O: OperationOutput>(context: &mut GenContext, operation: &mut Operation) {
    I::operation_input(context, operation);
    let responses = O::inferred_responses(context, operation);
    add_responses(operation, responses);
}

fn add_responses(operation: &mut Operation, responses: Vec<(Option<u16>, Response)>) {
    let all = operation.responses.get_or_insert_default();
    for (status, response) in responses {
        let response = ReferenceOr::Item(response);
        match status {
            Some(status) => _ = all.responses.entry(StatusCode::Code(status)).or_insert(response),
            None => _ = all.default.get_or_insert(response),
        }
    }
}

/// The description of a table.
pub(crate) fn describe(table: &Table) -> OpenApi {
    // What another description left behind in this thread is forgotten.
    aide::generate::extract_schemas(true);
    let mut document = frame(table.tags());
    let mut paths = Paths::default();
    for described in table.described() {
        let path = paths.paths.entry(described.path.clone()).or_insert_with(|| ReferenceOr::Item(PathItem::default()));
        if let ReferenceOr::Item(path) = path {
            *slot(path, described.method) = Some(operation(described));
        }
    }
    document.paths = Some(paths);
    let schemas = in_context(|context| context.schema.take_definitions(true));
    let components = document.components.get_or_insert_default();
    components.schemas.extend(schemas.into_iter().filter_map(|(name, schema)| {
        let json_schema = schema.try_into().ok()?;
        Some((name, SchemaObject { json_schema, example: None, external_docs: None }))
    }));
    complete(&mut document);
    document
}

fn operation(described: &Described) -> Operation {
    let mut operation = Operation {
        operation_id: Some(described.id.to_owned()),
        summary: Some(described.summary.to_owned()),
        tags: vec![described.tag.to_owned()],
        ..Operation::default()
    };
    in_context(|context| (described.of_types)(context, &mut operation));
    operation
}

fn slot(path: &mut PathItem, method: Method) -> &mut Option<Operation> {
    match method {
        Method::Get => &mut path.get,
        Method::Post => &mut path.post,
        Method::Put => &mut path.put,
        Method::Patch => &mut path.patch,
        Method::Delete => &mut path.delete,
    }
}

/// Everything but the paths.
fn frame(tags: &[(&'static str, &'static str)]) -> OpenApi {
    let scheme = SecurityScheme::Http {
        scheme: "bearer".to_owned(),
        bearer_format: None,
        description: Some("An API key (`hp_…`) or a signed token.".to_owned()),
        extensions: Default::default(),
    };
    let responses = PROBLEMS.iter().map(|(status, name, description)| {
        let media = if *status == 422 { json_schema::<ValidationErrorOut>() } else { json_schema::<ErrorOut<'static>>() };
        let content = [("application/json".to_owned(), media)].into();
        let response = Response { description: (*description).to_owned(), content, ..Response::default() };
        ((*name).to_owned(), ReferenceOr::Item(response))
    });
    OpenApi {
        info: Info {
            title: "Hookpost".to_owned(),
            summary: Some("Webhooks, both ways, in one binary".to_owned()),
            description: Some(DESCRIPTION.to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Info::default()
        },
        tags: tags
            .iter()
            .map(|(name, description)| Tag { name: (*name).to_owned(), description: Some((*description).to_owned()), ..Tag::default() })
            .collect(),
        security: vec![[(SCHEME.to_owned(), Vec::new())].into()],
        components: Some(Components {
            security_schemes: [(SCHEME.to_owned(), ReferenceOr::Item(scheme))].into(),
            responses: responses.collect(),
            ..Components::default()
        }),
        ..OpenApi::default()
    }
}

/// Adds to every operation what all of them have.
fn complete(document: &mut OpenApi) {
    let Some(paths) = &mut document.paths else { return };
    for path in paths.paths.values_mut() {
        let ReferenceOr::Item(path) = path else { continue };
        if let Some(post) = &mut path.post {
            post.parameters.push(ReferenceOr::Item(idempotency_parameter()));
        }
        for operation in operations(path) {
            let responses = &mut operation.responses.get_or_insert_default().responses;
            // Whatever needs no token cannot fail for one.
            let open = operation.tags.iter().any(|tag| tag == "Health");
            for (status, name, _) in PROBLEMS.iter().filter(|_| !open) {
                let reference =
                    ReferenceOr::Reference { reference: format!("#/components/responses/{name}"), summary: None, description: None };
                responses.entry(StatusCode::Code(*status)).or_insert(reference);
            }
            if open {
                operation.security = vec![Default::default()];
            }
        }
    }
    paths.paths.sort_keys();
    if let Some(components) = &mut document.components {
        components.schemas.sort_keys();
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete].into_iter().flatten()
}

fn json_schema<T: JsonSchema>() -> MediaType {
    let json_schema = in_context(|context| context.schema.subschema_for::<T>());
    MediaType { schema: Some(SchemaObject { json_schema, example: None, external_docs: None }), ..MediaType::default() }
}

fn idempotency_parameter() -> Parameter {
    let schema = schemars::json_schema!({ "type": "string", "maxLength": hookpost_domain::limits::IDEMPOTENCY_KEY_BYTES_MAX });
    Parameter::Header {
        parameter_data: ParameterData {
            name: idempotency::HEADER.to_owned(),
            description: Some("Repetitions with the same key get the first answer and do nothing again.".to_owned()),
            required: false,
            deprecated: None,
            format: ParameterSchemaOrContent::Schema(SchemaObject { json_schema: schema, example: None, external_docs: None }),
            example: None,
            examples: Default::default(),
            explode: None,
            extensions: Default::default(),
        },
        style: Default::default(),
    }
}
