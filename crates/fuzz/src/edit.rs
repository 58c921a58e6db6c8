//! Small changes to bytes, told by bytes: so that a runner which knows nothing of a format still stays near to it.

/// What parsers look for.
const TOKENS: [&[u8]; 16] =
    [b",", b"=", b";", b".", b"{", b"}", b"[", b"]", b"\"", b"\\u0000", b"%", b"&", b"\0", b"\xff", b"-1", b"99999999999999999999"];
const CHANGES_MAX: usize = 8;

/// Each change is three bytes: where, what, and with what.
pub fn edited(original: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for change in changes.chunks_exact(3).take(CHANGES_MAX) {
        let [place, what, with] = [change[0], change[1], change[2]];
        let at = usize::from(place) * (bytes.len() + 1) / 256;
        let until = bytes.len().min(at + usize::from(with % 16) + 1);
        match what % 6 {
            0 if at < bytes.len() => bytes[at] = with,
            1 => drop(bytes.drain(at..until)),
            2 => bytes.insert(at, with),
            3 => drop(bytes.splice(at..at, TOKENS[usize::from(with) % TOKENS.len()].iter().copied())),
            4 => {
                let piece = bytes[at..until].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            5 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_what_they_say() {
        assert_eq!(edited(b"abc", &[]), b"abc");
        assert_eq!(edited(b"abc", &[0, 0, b'x']), b"xbc");
        assert_eq!(edited(b"abc", &[0, 1, 0]), b"bc");
        assert_eq!(edited(b"abc", &[255, 2, b'd']), b"abcd");
        assert_eq!(edited(b"abc", &[0, 3, 1]), b"=abc");
        assert_eq!(edited(b"abc", &[0, 4, 1]), b"ababc");
        assert_eq!(edited(b"abc", &[128, 5, 0]), b"ab");
    }
}
