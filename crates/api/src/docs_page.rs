//! The description as a page for people: one file of HTML and CSS, nothing loaded from anywhere.

use std::fmt::Write as _;

use aide::openapi::OpenApi;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

pub(crate) fn answer(page: Bytes) -> Response {
    let mut response = Response::new(page.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

pub(crate) fn render(document: &OpenApi) -> String {
    let mut page = String::new();
    let _ = write!(page, "<!doctype html><title>{}</title>", document.info.title);
    page
}
