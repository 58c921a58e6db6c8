//! Who sent this webhook, and what is it about? The signature schemes, handshakes, event ids and event types of the providers
//! in [`providers`], and generic ones for everyone else.
//!
//! Pure functions over bytes: no IO, no async, no clock, no randomness but what RSA and ECDSA need to sign. The time is an
//! argument, certificates are part of the settings, and a request is verified exactly as it arrived.
//!
//! ```
//! use hookpost_domain::time::Timestamp;
//! use hookpost_providers::{Settings, UnsignedRequest, Verified, Verifier, provider};
//!
//! let github = provider("github").expect("is in the table");
//! let verifier = Verifier::new(github, &Settings::with_secret("It's a Secret to Everybody")).unwrap();
//!
//! // What a test or a command line does: make a request that verifies.
//! let mut headers = http::HeaderMap::new();
//! headers.insert("x-github-event", "push".parse().unwrap());
//! let now = Timestamp::from_unix_ms(1_767_323_045_000);
//! let unsigned = UnsignedRequest { method: "POST", url: "https://hooks.example.com/in/github", headers: &headers, body: b"{}" };
//! let signed = verifier.sign(&unsigned, "a-delivery", now).unwrap();
//!
//! // What a gateway does with each request.
//! match verifier.verify(&signed.as_request(), now) {
//!     Ok(Verified::Event(event)) => {
//!         assert_eq!(event.event_type.as_deref(), Some("push"));
//!         assert_eq!(event.id.as_deref(), Some("a-delivery"));
//!     }
//!     Ok(Verified::Handshake(handshake)) => println!("answer {}", handshake.answer.status),
//!     Err(rejection) => println!("{}: {rejection}", rejection.code),
//! }
//! ```
//!
//! A request that is rejected can be asked why: [`diagnose`] tries the usual mistakes and names the one it was.
//!
//! Adding a provider is a row in `table` and its vectors in `tests/vectors`.

mod addresses;
mod clock;
mod cloudevents;
mod der;
mod diagnosis;
mod encoding;
mod handshake;
mod json;
mod keys;
mod location;
mod provider;
mod request;
mod schemes;
mod settings;
mod table;
mod template;
mod verdict;
mod verifier;

pub use addresses::{AddressList, address_lists};
pub use diagnosis::{Context, Diagnosis, LabelledSecret, diagnose};
pub use provider::{Provider, Scheme, provider, providers};
pub use request::{Request, SignedRequest, UnsignedRequest};
pub use settings::{Config, KeySet, OneOrMany, Place, Secret, Settings, SettingsError};
pub use verdict::{Answer, CannotSign, Event, Handshake, Rejection, RejectionCode, Verified};
pub use verifier::Verifier;
