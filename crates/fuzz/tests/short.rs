//! Every target for a moment, on any compiler: seeds that parsers take, changed at random, with the seed of the randomness printed.

use std::time::{Duration, Instant};

use hookpost_fuzz::{TARGETS, edited, vectors};

/// Of each target. `HOOKPOST_FUZZ_SECONDS` names more.
const DURATION: Duration = Duration::from_millis(700);
const CHANGES_BYTES_MAX: u64 = 24;

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it runs is real time, and what it tries is another thing each time")]
fn nothing_that_strangers_send_breaks_a_parser() {
    let duration = std::env::var("HOOKPOST_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).map_or(DURATION, Duration::from_secs_f64);
    let seed = std::env::var("HOOKPOST_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        since.as_secs()
    });
    println!("seed {seed}: HOOKPOST_FUZZ_SEED={seed} repeats this run");
    let mut random = Random(seed);
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        let (started, mut tried) = (Instant::now(), 0_u64);
        while started.elapsed() < duration {
            for _ in 0..64 {
                let original = &seeds[random.below(seeds.len() as u64) as usize];
                let length = random.below(CHANGES_BYTES_MAX);
                let changes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
                target(&edited(original, &changes));
                tried += 1;
            }
        }
        println!("{name}: {tried} inputs from {} seeds", seeds.len());
    }
}

/// Inputs of a target that its parser takes: changed a little, they come far.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let numbered = |number: usize, rest: &[u8]| [&u16::try_from(number).unwrap().to_le_bytes(), rest].concat();
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match target {
        "request" => (0..vectors().len()).map(|number| numbered(number, &[128, 0, 65])).collect(),
        "header" => {
            let of_vector = |(number, vector): (usize, &hookpost_fuzz::Vector)| {
                vector.request().headers.values().map(|value| numbered(number, value.as_bytes())).collect::<Vec<_>>()
            };
            vectors().iter().enumerate().flat_map(of_vector).collect()
        }
        "form" => texts(&[
            "MessageSid=SM1&Body=hello+%26+1&To=%2B15550100",
            "payload=%7B%22a%22%3A%7B%22b%22%3A%22c%22%7D%7D&id=1",
            "signature%5Btoken%5D=a&signature%5Btimestamp%5D=1767323045&signature%5Bsignature%5D=00",
            "a=1&a=2&=&&%",
        ]),
        "jwt" => {
            let of = vectors().iter().filter(|vector| vector.provider == "generic_jwt");
            let tokens = of.filter_map(|vector| vector.request().headers.get("authorization"));
            tokens.filter_map(|token| token.as_bytes().strip_prefix(b"Bearer ")).map(<[u8]>::to_vec).collect()
        }
        "settings" => {
            let of_vector = |vector: &hookpost_fuzz::Vector| serde_json::to_vec(&vector.settings).unwrap();
            let providers = hookpost_providers::providers().iter().map(|provider| provider.name).collect::<Vec<_>>();
            let number = |name: &str| providers.iter().position(|own| *own == name).unwrap();
            let mut all: Vec<_> = vectors().iter().map(|vector| numbered(number(&vector.provider), &of_vector(vector))).collect();
            for text in ["{$.object}.{header:x-kind} | form:a | query:b", "v0:{timestamp}:{body}", "xml:Id | key:*_events | cloudevent:id"]
            {
                all.extend(["generic_hmac", "generic_hmac_timestamp", "generic_none"].map(|name| numbered(number(name), text.as_bytes())));
            }
            all
        }
        "json_path" => texts(&[
            "$.data.items[0].id\n{\"data\":{\"items\":[{\"id\":1}]}}",
            "$['a name'][*].b\n{\"a name\":[{\"b\":[1,2]},{\"b\":null}]}",
            "a[-1]\n{\"a\":[1,2,3]}",
        ]),
        "template" => texts(&[
            "{{ body.data.id }}-{{ headers.content-type | default: 'none' | upper }}\n{\"data\":{\"id\":\"x\"}}",
            "{{ body | json }}{{ body.a[0] | xml | url }}\n{\"a\":[\"<&>\"]}",
            "{{ event.id }}{{ 'text' | trim }}{{ query.a }}\n{}",
        ]),
        "multipart" => texts(&[
            "multipart/form-data; boundary=x\n--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n",
            "multipart/form-data; boundary=\"a b\"\n--a b\r\nContent-Disposition: form-data; name=a; filename=f\r\nContent-Type: text/plain\r\n\r\n\r\n--a b--",
            "multipart/form-data; boundary=x\n--x\r\nContent-Disposition: form-data; name=\"timestamp\"\r\n\r\n1767323038\r\n--x\r\nContent-Disposition: form-data; name=\"signature\"\r\n\r\nf8ff\r\n--x--",
            "application/x-www-form-urlencoded\na[b]=1&a[c][]=2",
            "application/json\n{\"a\":1}",
        ]),
        "encoding" => vec![
            b"gzip\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00".to_vec(),
            b"deflate\n\x78\x9c\xab\xae\x05\x00\x01\x75\x00\xf9".to_vec(),
            b"br\n\x8f\x00\x80\x7b\x7d\x03".to_vec(),
            b"gzip, gzip\n\x1f\x8b\x08\x00".to_vec(),
        ],
        other => panic!("there are no seeds for {other}"),
    }
}

/// SplitMix64: repeatable, and good enough to change bytes.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
