//! `multipart/form-data`: the parts of a form, where they lie in its body. It is here so that whoever verifies a request and whoever makes a message of
//! it see the same fields.
//!
//! Nothing is copied but names, parts are found one at a time, and there is an end to their number.

use memchr::memmem::{self, Finder};

const PARTS_MAX: usize = 1000;
/// Beyond what the standard allows (70), as some senders are.
const BOUNDARY_BYTES_MAX: usize = 200;

/// One field, or one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    pub name: String,
    pub is_file: bool,
    pub value: &'a [u8],
}

/// Why a body is not the form that its content type says it is, as a sentence without its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotMultipart(pub &'static str);

/// The parts of a body, in their order; those without a name are left out, and so is what comes after a great many. An error is the last item.
#[derive(Debug)]
pub struct Parts<'a> {
    /// A line break, two hyphens, the boundary.
    delimiter: Finder<'static>,
    /// From the line break on that ends the line of the last boundary.
    rest: &'a [u8],
    left: usize,
}

impl<'a> Parts<'a> {
    pub fn of(content_type: &str, body: &'a [u8]) -> Result<Self, NotMultipart> {
        let boundary = parameter(content_type, "boundary").filter(|boundary| (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()));
        let boundary = boundary.ok_or(NotMultipart("its content type has no boundary"))?;
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        let parts = |rest, left| Self { delimiter: Finder::new(&delimiter).into_owned(), rest, left };
        // Before the first boundary there need be no line break, and there may be text for people.
        if let Some(line) = body.strip_prefix(&delimiter[2..]).and_then(Line::read) {
            return Ok(line.begin(parts));
        }
        let first = parts(body, PARTS_MAX).next_line().ok_or(NotMultipart("it does not begin with its boundary"))?.1;
        Ok(first.begin(parts))
    }

    /// What stands before the next line with the boundary, and that line.
    fn next_line(&self) -> Option<(&'a [u8], Line<'a>)> {
        let mut from = 0;
        loop {
            let at = from + self.delimiter.find(self.rest.get(from..)?)?;
            let after = at + self.delimiter.needle().len();
            if let Some(line) = Line::read(&self.rest[after..]) {
                return Some((&self.rest[..at], line));
            }
            // The boundary is the beginning of something longer.
            from = after;
        }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, NotMultipart>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            self.left -= 1;
            let Some((content, line)) = self.next_line() else {
                self.left = 0;
                return Some(Err(NotMultipart("its last boundary is missing")));
            };
            match line {
                Line::Last => self.left = 0,
                Line::Further(rest) => self.rest = rest,
            }
            if let Some(part) = content.strip_prefix(b"\r\n").and_then(read_part) {
                return Some(Ok(part));
            }
        }
        None
    }
}

/// What follows a boundary.
enum Line<'a> {
    Last,
    Further(&'a [u8]),
}

impl<'a> Line<'a> {
    fn read(after_boundary: &'a [u8]) -> Option<Self> {
        if after_boundary.starts_with(b"--") {
            return Some(Self::Last);
        }
        let blanks = after_boundary.iter().take_while(|c| matches!(c, b' ' | b'\t')).count();
        let rest = &after_boundary[blanks..];
        rest.starts_with(b"\r\n").then_some(Self::Further(rest))
    }

    fn begin(self, parts: impl FnOnce(&'a [u8], usize) -> Parts<'a>) -> Parts<'a> {
        match self {
            Self::Last => parts(b"", 0),
            Self::Further(rest) => parts(rest, PARTS_MAX),
        }
    }
}

/// Headers, an empty line, the value.
fn read_part(content: &[u8]) -> Option<Part<'_>> {
    let end_of_headers = memmem::find(content, b"\r\n\r\n")?;
    let headers = String::from_utf8_lossy(&content[..end_of_headers]);
    let is_disposition = |name: &str| name.trim().eq_ignore_ascii_case("content-disposition");
    let (_, disposition) = headers.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| is_disposition(name))?;
    let is_file = ["filename", "filename*"].iter().any(|name| parameter(disposition, name).is_some());
    Some(Part { name: parameter(disposition, "name")?, is_file, value: &content[end_of_headers + 4..] })
}

/// `; name=value` or `; name="value"` of a header.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"')?;
                (&quoted[..end], quoted[end + 1..].split_once(';').map(|(_, next)| next))
            }
            None => after.split_once(';').map_or((after, None), |(value, next)| (value, Some(next))),
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value.trim().to_owned());
        }
        rest = next?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(content_type: &str, body: &str) -> Result<Vec<String>, NotMultipart> {
        let shown =
            |part: Part<'_>| format!("{}{}{}", part.name, if part.is_file { "@" } else { "=" }, String::from_utf8_lossy(part.value));
        Parts::of(content_type, body.as_bytes())?.map(|part| part.map(shown)).collect()
    }

    fn fields(body: &str) -> Vec<String> {
        read("multipart/form-data; boundary=X", body).unwrap()
    }

    #[test]
    fn parts_are_found_with_their_names() {
        let file = "Content-Disposition: form-data; name=\"file\"; filename=\"a;b.txt\"\r\nContent-Type: text/plain\r\n\r\nhello";
        let body = format!(
            "--X\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n--X \t\r\n{file}\r\n--X\r\nContent-Disposition: form-data; name=b\r\n\r\n\r\n--X--\r\n"
        );
        assert_eq!(fields(&body), ["a=1", "file@hello", "b="]);
        assert_eq!(read("multipart/form-data; charset=utf-8; boundary=\"X\"", &body).unwrap().len(), 3);
        assert_eq!(fields(&format!("words for people\r\n{body}and after it")), ["a=1", "file@hello", "b="]);
    }

    #[test]
    fn a_boundary_is_one_at_the_beginning_of_a_line_only() {
        let part = |value: &str| format!("--X\r\nContent-Disposition: form-data; name=a\r\n\r\n{value}\r\n--X--");
        for value in ["1--X--2", "1\r\n--Xylophone\r\n2", "1\n--X--\n2", "\r\n\r\n"] {
            assert_eq!(fields(&part(value)), [format!("a={value}")], "{value:?}");
        }
    }

    #[test]
    fn what_has_no_name_is_left_out() {
        assert_eq!(fields("--X--"), [""; 0]);
        assert_eq!(fields("--X\r\n--X--"), [""; 0]);
        assert_eq!(
            fields(
                "--X\r\n\r\nvalue\r\n--X\r\nContent-Disposition: form-data\r\n\r\n2\r\n--X\r\nContent-Type: text/plain\r\n\r\n3\r\n--X--"
            ),
            [""; 0]
        );
    }

    #[test]
    fn what_is_no_form_says_why() {
        let body = "--X\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n";
        for (content_type, why) in [
            ("multipart/form-data", "its content type has no boundary"),
            ("multipart/form-data; boundary=", "its content type has no boundary"),
            ("multipart/form-data; boundary=Y", "it does not begin with its boundary"),
            ("multipart/form-data; boundary=X", "its last boundary is missing"),
        ] {
            assert_eq!(read(content_type, body), Err(NotMultipart(why)));
        }
    }

    #[test]
    fn there_is_an_end_to_the_number_of_parts() {
        let many = "--X\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n".repeat(PARTS_MAX + 10) + "--X--";
        assert_eq!(fields(&many).len(), PARTS_MAX);
    }

    proptest! {
        #[test]
        fn hostile_forms_do_no_harm(body in "(--X|\r\n|-|name=|\"|;|content-disposition:|[a-z ]){0,40}", content_type in "[a-z/;=\" -]{0,40}") {
            let _ = read("multipart/form-data; boundary=X", &body);
            let _ = read(&content_type, &body);
        }
    }
}
