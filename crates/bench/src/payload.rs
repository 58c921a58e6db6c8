//! What is sent: a payload of about 1 KiB that says which one it is and when it should have been sent, at fixed places, so
//! that the receiving side need not parse it; and a filler by which a changed byte is noticed.

use bytes::Bytes;

const EVENT_HEAD: &[u8] = br#"{"eventType":"bench.sent","payload":"#;
const SEQUENCE_AT: usize = br#"{"sequence":""#.len();
const DIGITS: usize = 16;
const SENT_AT: usize = SEQUENCE_AT + DIGITS + br#"","sent_us":""#.len();

/// Knows the form; makes and reads the values.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    request: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) sequence: u64,
    /// Since the beginning of the bench, by the plan: what was sent late is late from here on.
    pub(crate) sent_us: u64,
}

impl Payload {
    pub(crate) fn of_bytes(payload_bytes: usize) -> Self {
        let frame = r#"{"sequence":"0000000000000000","sent_us":"0000000000000000","filler":""}"#.len();
        let filler: String = ('a'..='z').cycle().take(payload_bytes.saturating_sub(frame)).collect();
        let payload = format!(r#"{{"sequence":"{0:016}","sent_us":"{0:016}","filler":"{filler}"}}"#, 0);
        Self { request: [EVENT_HEAD, payload.as_bytes(), b"}"].concat() }
    }

    /// The body of the request that creates the message.
    pub(crate) fn request(&self, stamp: Stamp) -> Bytes {
        let mut request = self.request.clone();
        let payload = EVENT_HEAD.len();
        write_digits(&mut request[payload + SEQUENCE_AT..][..DIGITS], stamp.sequence);
        write_digits(&mut request[payload + SENT_AT..][..DIGITS], stamp.sent_us);
        request.into()
    }

    /// The payload as it has to arrive.
    pub(crate) fn delivered(&self, stamp: Stamp) -> Bytes {
        let request = self.request(stamp);
        request.slice(EVENT_HEAD.len()..request.len() - 1)
    }

    /// `None`: not one of ours, or not as it was sent.
    pub(crate) fn read(&self, body: &[u8]) -> Option<Stamp> {
        let form = &self.request[EVENT_HEAD.len()..self.request.len() - 1];
        let same = |from: usize, to: usize| body[from..to] == form[from..to];
        if body.len() != form.len() || !same(0, SEQUENCE_AT) || !same(SEQUENCE_AT + DIGITS, SENT_AT) || !same(SENT_AT + DIGITS, form.len())
        {
            return None;
        }
        let sequence = read_digits(&body[SEQUENCE_AT..][..DIGITS])?;
        let sent_us = read_digits(&body[SENT_AT..][..DIGITS])?;
        Some(Stamp { sequence, sent_us })
    }
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn read_digits(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_nothing_else() {
        let form = Payload::of_bytes(1024);
        let stamp = Stamp { sequence: 1_234_567, sent_us: 9_876_543_210 };
        let payload = form.delivered(stamp);
        assert_eq!(payload.len(), 1024);
        assert_eq!(form.read(&payload), Some(stamp));
        let request: serde_json::Value = serde_json::from_slice(&form.request(stamp)).expect("JSON");
        assert_eq!(request["eventType"], "bench.sent");
        assert_eq!(request["payload"]["sequence"], "0000000001234567");
        for at in [0, SEQUENCE_AT, SENT_AT, 500, 1023] {
            let mut changed = payload.to_vec();
            changed[at] ^= 1;
            assert_ne!(form.read(&changed), Some(stamp), "{at}");
        }
        assert_eq!(form.read(&payload[..1023]), None);
    }
}
