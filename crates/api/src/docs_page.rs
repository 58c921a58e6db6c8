//! The description as a page for people: one file of HTML and CSS, nothing loaded from anywhere.
//!
//! It reads the same document that programs get, so it cannot say anything else.

use aide::openapi::OpenApi;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde_json::Value;

const CSS: &str = include_str!("docs_page.css");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const SCHEMAS: &str = "#/components/schemas/";

pub(crate) fn answer(page: Bytes) -> Response {
    let mut response = Response::new(page.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"));
    response
}

pub(crate) fn render(document: &OpenApi) -> String {
    let document = serde_json::to_value(document).unwrap_or_default();
    let tags: Vec<&Value> = items(&document["tags"]).collect();
    let title = text(&document["info"]["title"]);
    let links: String = tags.iter().map(|tag| link(text(&tag["name"]))).collect();
    let groups: String = tags.iter().map(|tag| group(&document, tag)).collect();
    let schemas: String = fields(&document["components"]["schemas"]).map(|(name, schema)| schema_section(name, schema)).collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title} API</title><style>{CSS}</style>\
         <nav><b>{title}</b> <span class=\"type\">{version}</span>{links}<a href=\"#Models\">Models</a>\
         <a href=\"/api/v1/openapi.json\">openapi.json</a></nav>\
         <main><h1>{title} API</h1>{description}{groups}<h2 id=\"Models\">Models</h2>{schemas}</main></html>",
        title = escape(title),
        version = escape(text(&document["info"]["version"])),
        description = prose(text(&document["info"]["description"])),
    )
}

fn link(tag: &str) -> String {
    format!("<a href=\"#{}\">{}</a>", anchor(tag), escape(tag))
}

fn group(document: &Value, tag: &Value) -> String {
    let name = text(&tag["name"]);
    let mut html = format!("<h2 id=\"{}\">{}</h2>{}", anchor(name), escape(name), prose(text(&tag["description"])));
    for (path, item) in fields(&document["paths"]) {
        for method in METHODS {
            let operation = &item[method];
            if items(&operation["tags"]).any(|tag| tag == name) {
                html += &operation_section(path, method, operation);
            }
        }
    }
    html
}

fn operation_section(path: &str, method: &str, operation: &Value) -> String {
    let id = text(&operation["operationId"]);
    let parameters: String = items(&operation["parameters"])
        .map(|parameter| {
            row(
                text(&parameter["name"]),
                text(&parameter["in"]),
                parameter["required"] == true,
                &parameter["schema"],
                &parameter["description"],
            )
        })
        .collect();
    let body = json_schema(&operation["requestBody"]).map(type_of).unwrap_or_default();
    let answers: String = fields(&operation["responses"])
        .filter(|(_, response)| response["$ref"].is_null())
        .map(|(status, response)| {
            let schema = json_schema(response).map(type_of).unwrap_or_default();
            format!("<tr><td>{status}</td><td>{schema}</td><td>{}</td></tr>", escape(text(&response["description"])))
        })
        .collect();
    format!(
        "<details id=\"{anchor}\"><summary><span class=\"method {method}\">{upper}</span><span class=\"path\">{path}</span>\
         <span>{summary}</span></summary><p class=\"id\">{id}</p>{parameters}{body}<h4>Answers</h4><table>{answers}</table></details>",
        anchor = anchor(id),
        upper = method.to_uppercase(),
        path = escape(path),
        summary = prose_inline(text(&operation["summary"])),
        id = escape(id),
        parameters = table("Parameters", &parameters),
        body = if body.is_empty() { String::new() } else { format!("<h4>Body</h4><p>{body}</p>") },
    )
}

fn schema_section(name: &str, schema: &Value) -> String {
    let required: Vec<&Value> = items(&schema["required"]).collect();
    let rows: String = fields(&schema["properties"])
        .map(|(field, property)| row(field, "", required.iter().any(|required| *required == field), property, &property["description"]))
        .collect();
    let values: Vec<String> = items(&schema["enum"])
        .chain(items(&schema["oneOf"]).flat_map(|variant| items(&variant["enum"])))
        .map(|value| format!("<code>{}</code>", escape(&value.to_string())))
        .collect();
    format!(
        "<details id=\"{}\"><summary><span class=\"path\">{}</span></summary>{}{}{}</details>",
        anchor(name),
        escape(name),
        prose(text(&schema["description"])),
        table("", &rows),
        values.join(" "),
    )
}

fn row(name: &str, place: &str, required: bool, schema: &Value, description: &Value) -> String {
    format!(
        "<tr><td><code>{}</code></td><td class=\"type\">{} {}{}</td><td>{}</td></tr>",
        escape(name),
        escape(place),
        type_of(schema),
        if required { ", required" } else { "" },
        prose_inline(text(description)),
    )
}

fn table(heading: &str, rows: &str) -> String {
    match (rows, heading) {
        ("", _) => String::new(),
        (_, "") => format!("<table>{rows}</table>"),
        _ => format!("<h4>{heading}</h4><table>{rows}</table>"),
    }
}

fn json_schema(described: &Value) -> Option<&Value> {
    described.get("content")?.get("application/json")?.get("schema")
}

/// A schema in a few words, with links to the models it names.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(SCHEMAS)) {
        return format!("<a href=\"#{}\">{}</a>", anchor(name), escape(name));
    }
    let several: Vec<String> = ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .flat_map(|key| items(&schema[key]))
        .filter(|variant| variant["type"] != "null")
        .map(type_of)
        .collect();
    if !several.is_empty() {
        return several.join(" or ");
    }
    let types = &schema["type"];
    let name = types.as_str().or_else(|| items(types).filter_map(Value::as_str).find(|name| *name != "null")).unwrap_or("any");
    match name {
        "array" => format!("list of {}", type_of(&schema["items"])),
        _ => match schema["format"].as_str() {
            Some("date-time") => "time".to_owned(),
            _ => escape(name),
        },
    }
}

/// Paragraphs, with the little markup that descriptions use.
fn prose(markdown: &str) -> String {
    let paragraphs = markdown.split("\n\n").filter(|paragraph| !paragraph.is_empty());
    paragraphs.map(|paragraph| format!("<p>{}</p>", prose_inline(paragraph))).collect()
}

/// `code` and *emphasis*.
fn prose_inline(markdown: &str) -> String {
    let mut html = String::new();
    for (index, part) in markdown.split('`').enumerate() {
        if index % 2 == 1 {
            html += &format!("<code>{}</code>", escape(part));
            continue;
        }
        for (index, part) in part.split('*').enumerate() {
            html += &if index % 2 == 1 { format!("<em>{}</em>", escape(part)) } else { escape(part) };
        }
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn anchor(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_every_operation_and_loads_nothing() {
        let document = crate::routes::document();
        let page = render(&document);
        for operation in document.operations().filter_map(|(_, _, operation)| operation.operation_id.clone()) {
            assert!(page.contains(&format!("id=\"{}\"", anchor(&operation))), "{operation} is missing");
        }
        for loading in ["<script", "<img", "<link", "http://", "https://", "@import", "url("] {
            assert!(!page.contains(loading), "the page has {loading}");
        }
    }

    #[test]
    fn text_of_a_description_is_no_markup() {
        assert_eq!(prose_inline("a <b> `c<d>` *e*"), "a &lt;b&gt; <code>c&lt;d&gt;</code> <em>e</em>");
    }
}
