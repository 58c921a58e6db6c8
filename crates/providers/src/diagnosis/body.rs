//! Was the body changed on its way? Proxies and frameworks parse JSON and write it anew; editors add a newline.

use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::{Case, Diagnosis, finding};
use crate::schemes::signed::escape;

const REMEDY: &str = "Hand on the bytes as they arrived, before anything parses them.";

pub(super) fn explain(case: &Case<'_>) -> Option<Diagnosis> {
    let body = case.request.body;
    let plain = plain(body).into_iter().find(|(_, _, changed)| case.verifies_with_body(changed));
    if let Some((code, what, _)) = plain {
        return Some(finding(code, format!("The signature fits the body {what}. {REMEDY}")));
    }
    let value: Value = serde_json::from_slice(body.trim_ascii()).ok()?;
    let written = rewritten(&value).into_iter().flat_map(|(how, text)| {
        let escaped = escape(&text);
        let slashes = String::from_utf8_lossy(&text).replace('/', "\\/").into_bytes();
        let ascii = unescape_slashes(&escaped);
        let newline = [&text[..], b"\n"].concat();
        [
            (how, "", text),
            (how, " with escaped slashes", slashes),
            (how, " in ASCII", ascii),
            (how, " in ASCII with escaped slashes", escaped),
            (how, " with a newline", newline),
        ]
    });
    let (how, details, _) = written.into_iter().find(|(_, _, text)| case.verifies_with_body(text))?;
    let detail =
        format!("The signature fits the same JSON written {how}{details}: something has parsed the body and written it anew. {REMEDY}");
    Some(finding("body_reserialized", detail))
}

/// Changes that have nothing to do with JSON.
fn plain(body: &[u8]) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let text = String::from_utf8_lossy(body);
    let is_text = std::str::from_utf8(body).is_ok();
    let mut changed = Vec::new();
    for ending in ["\n", "\r\n"] {
        match body.strip_suffix(ending.as_bytes()) {
            Some(without) => changed.push(("body_newline_added", "without the newline at its end", without.to_vec())),
            None => changed.push(("body_newline_removed", "with a newline at its end", [body, ending.as_bytes()].concat())),
        }
    }
    changed.push(("body_whitespace", "without the white space around it", body.trim_ascii().to_vec()));
    match body.strip_prefix(b"\xef\xbb\xbf") {
        Some(without) => changed.push(("body_bom_added", "without the byte order mark before it", without.to_vec())),
        None => changed.push(("body_bom_removed", "with a byte order mark before it", [b"\xef\xbb\xbf", body].concat())),
    }
    if is_text && text.contains("\r\n") {
        changed.push(("body_line_ends", "with LF as line ends instead of CR LF", text.replace("\r\n", "\n").into_bytes()));
    } else if is_text && text.contains('\n') {
        changed.push(("body_line_ends", "with CR LF as line ends instead of LF", text.replace('\n', "\r\n").into_bytes()));
    }
    changed.push(("body_lost", "when it is empty", Vec::new()));
    changed
}

/// The same value in the ways in which the usual libraries write it.
fn rewritten(value: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let sorted = sorted(value);
    let mut written = Vec::new();
    for (value, compact, spaced, two, four, tab) in [
        (value, "compactly", "with spaces after `:` and `,`", "with an indent of two", "with an indent of four", "with tabs"),
        (
            &sorted,
            "compactly with sorted keys",
            "with sorted keys and spaces after `:` and `,`",
            "with sorted keys and an indent of two",
            "with sorted keys and an indent of four",
            "with sorted keys and tabs",
        ),
    ] {
        written.push((compact, value.to_string().into_bytes()));
        written.push((spaced, spaced_out(value)));
        for (how, indent) in [(two, "  "), (four, "    "), (tab, "\t")] {
            written.push((how, indented(value, indent)));
        }
    }
    written
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(sorted).collect()),
        scalar => scalar.clone(),
    }
}

fn indented(value: &Value, indent: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(indent.as_bytes()));
    // Writing a value to memory has nothing that could fail.
    let _ = serde::Serialize::serialize(value, &mut serializer);
    text
}

/// As Python writes it without being told otherwise.
fn spaced_out(value: &Value) -> Vec<u8> {
    let joined = |pieces: Vec<Vec<u8>>, open: &[u8], close: &[u8]| [open, &pieces.join(&b", "[..]), close].concat();
    match value {
        Value::Object(map) => {
            let entry =
                |(key, value): (&String, &Value)| [Value::from(key.as_str()).to_string().as_bytes(), b": ", &spaced_out(value)].concat();
            joined(map.iter().map(entry).collect(), b"{", b"}")
        }
        Value::Array(elements) => joined(elements.iter().map(spaced_out).collect(), b"[", b"]"),
        scalar => scalar.to_string().into_bytes(),
    }
}

fn unescape_slashes(escaped: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(escaped).replace("\\/", "/").into_bytes()
}
