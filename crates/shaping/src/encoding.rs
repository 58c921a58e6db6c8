//! Takes off what `Content-Encoding` put on: gzip, deflate and br, within a bound. The bytes that arrived stay as they are; this is for reading them.

use std::borrow::Cow;
use std::io::{self, Read};

use thiserror::Error;

/// More than one is rare, more than three is an attack.
const CODINGS_MAX: usize = 3;
const BROTLI_BUFFER_BYTES: usize = 4096;

/// Why nothing can be found in a body: one sentence, for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unreadable {
    #[error("The body says that it is encoded as `{0}`, which nothing here can read; gzip, deflate and br can be.")]
    UnknownEncoding(String),
    #[error("The body says that it is encoded as `{0}`, and is not, or ends too early.")]
    BrokenEncoding(&'static str),
    #[error("The body is larger than {bytes_max} bytes once it is decoded.")]
    TooLarge { bytes_max: usize },
    #[error("The body says that it is JSON, and is not: {0}.")]
    NotJson(String),
    #[error("The body says that it is a form, and is not: {0}.")]
    NotForm(&'static str),
}

impl Unreadable {
    /// One word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownEncoding(_) => "unknown_encoding",
            Self::BrokenEncoding(_) => "broken_encoding",
            Self::TooLarge { .. } => "decoded_body_too_large",
            Self::NotJson(_) | Self::NotForm(_) => "malformed_body",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

/// The body without its encodings; `encodings` are the values of the header, in the order in which they were put on.
pub(crate) fn decoded<'a>(encodings: &str, body: &'a [u8], bytes_max: usize) -> Result<Cow<'a, [u8]>, Unreadable> {
    let mut decoded = Cow::Borrowed(body);
    for coding in codings(encodings)?.into_iter().rev() {
        decoded = Cow::Owned(decode(coding, &decoded, bytes_max)?);
    }
    Ok(decoded)
}

fn codings(encodings: &str) -> Result<Vec<Coding>, Unreadable> {
    let mut codings = Vec::new();
    for name in encodings.split(',').map(str::trim).filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity")) {
        codings.push(match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Coding::Gzip,
            "deflate" => Coding::Deflate,
            "br" => Coding::Brotli,
            other => return Err(Unreadable::UnknownEncoding(other.chars().take(40).collect())),
        });
    }
    if codings.len() > CODINGS_MAX {
        return Err(Unreadable::UnknownEncoding(format!("{} encodings on top of each other", codings.len())));
    }
    Ok(codings)
}

fn decode(coding: Coding, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
    let read = match coding {
        Coding::Gzip => read_all(flate2::read::MultiGzDecoder::new(body), bytes_max),
        // Two formats go by the name of deflate; senders are about evenly wrong. The first byte of zlib's tells them apart.
        Coding::Deflate if body.first().is_some_and(|first| first & 0x0f == 8) => read_all(flate2::read::ZlibDecoder::new(body), bytes_max),
        Coding::Deflate => read_all(flate2::read::DeflateDecoder::new(body), bytes_max),
        Coding::Brotli => read_all(brotli_decompressor::Decompressor::new(body, BROTLI_BUFFER_BYTES), bytes_max),
    };
    let decoded = read.map_err(|_| Unreadable::BrokenEncoding(coding.name()))?;
    if decoded.len() > bytes_max { Err(Unreadable::TooLarge { bytes_max }) } else { Ok(decoded) }
}

/// One byte more than allowed tells that there was more; a bomb is never unpacked further.
fn read_all(reader: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut decoded)?;
    Ok(decoded)
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn takes_off_what_was_put_on() {
        let text = b"{\"a\": 1}".repeat(20);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&text).unwrap();
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
        deflate.write_all(&text).unwrap();
        // Brotli's form of "hello\n", of which there is no encoder here.
        let brotli = [0x8b, 0x02, 0x80, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x0a, 0x03];
        for (encodings, body, expected) in [
            ("", text.clone(), &text[..]),
            ("identity", text.clone(), &text),
            ("gzip", gzip(&text), &text),
            ("X-GZIP", gzip(&text), &text),
            ("deflate", zlib.finish().unwrap(), &text),
            ("deflate", deflate.finish().unwrap(), &text),
            ("gzip, gzip", gzip(&gzip(&text)), &text),
            ("br", brotli.to_vec(), b"hello\n"),
        ] {
            assert_eq!(decoded(encodings, &body, 1000).as_deref(), Ok(expected), "{encodings}");
        }
    }

    #[test]
    fn says_what_cannot_be_read() {
        let bomb = gzip(&vec![0; 10 << 20]);
        let body = gzip(b"hello");
        for (encodings, body, wrong) in [
            ("zstd", &body[..], Unreadable::UnknownEncoding("zstd".to_owned())),
            ("gzip", b"hello", Unreadable::BrokenEncoding("gzip")),
            ("gzip", b"", Unreadable::BrokenEncoding("gzip")),
            ("gzip", &body[..body.len() - 9], Unreadable::BrokenEncoding("gzip")),
            ("deflate", b"\xff\xff\xff", Unreadable::BrokenEncoding("deflate")),
            ("br", b"hello hello", Unreadable::BrokenEncoding("br")),
            ("gzip", &bomb, Unreadable::TooLarge { bytes_max: 1000 }),
            ("gzip,gzip,gzip,gzip", &body, Unreadable::UnknownEncoding("4 encodings on top of each other".to_owned())),
        ] {
            assert_eq!(decoded(encodings, body, 1000), Err(wrong), "{encodings}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for encodings in ["gzip", "deflate", "br", "br, deflate"] {
                if let Ok(decoded) = decoded(encodings, &body, 500) {
                    prop_assert!(decoded.len() <= 500);
                }
            }
        }
    }
}
