//! Every bound of the system, with its unit in the name. What users may change is a setting whose default stands here.

use std::time::Duration;

pub const NAME_CHARS_MAX: usize = 256;
pub const CHANNEL_CHARS_MAX: usize = 128;
pub const CHANNELS_PER_ENDPOINT_MAX: usize = 10;
pub const CHANNELS_PER_MESSAGE_MAX: usize = 10;
pub const TAGS_PER_MESSAGE_MAX: usize = 5;
pub const METADATA_BYTES_MAX: usize = 4096;
pub const URL_BYTES_MAX: usize = 65_536;
pub const HEADER_VALUE_BYTES_MAX: usize = 4096;
pub const HEADERS_PER_ENDPOINT_MAX: usize = 50;
pub const ENDPOINTS_PER_APPLICATION_MAX: usize = 20_000;

/// Default limit of a request body; the setting is `request_body_bytes_max`.
pub const REQUEST_BODY_BYTES_MAX: usize = 1 << 20;
/// How much of a body that is too large is read and thrown away, and for how long, so that its client is still there to read the answer.
pub const REQUEST_BODY_BYTES_DRAINED_MAX: usize = 16 << 20;
pub const REQUEST_BODY_DRAIN_MAX: Duration = Duration::from_secs(5);
/// How much of a response is kept with the attempt.
pub const RESPONSE_BODY_BYTES_KEPT: usize = 20_000;
/// How much of a response is read before the connection is given up: what is beyond the kept part is only drained.
pub const RESPONSE_BODY_BYTES_READ_MAX: usize = 256 << 10;
pub const RESPONSE_HEADERS_BYTES_KEPT: usize = 4096;
/// An answer with more than this in its headers is an error of the receiver.
pub const RESPONSE_HEADERS_BYTES_READ_MAX: usize = 32 << 10;

/// For name, TCP, proxy and TLS together.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried one after the other.
pub const CONNECT_ADDRESSES_MAX: usize = 8;
/// Name lookups under way at a time: each occupies a thread of the operating system for as long as its name server hangs.
pub const LOOKUPS_IN_FLIGHT_MAX: usize = 128;
/// How long a connection without work is kept for the next delivery to its host.
pub const IDLE_CONNECTION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// Many endpoints of many tenants share a host (hooks of automation services): with fewer than their attempts in flight together, connections
/// would be opened and closed for every delivery.
pub const IDLE_CONNECTIONS_PER_HOST_MAX: usize = 1024;
/// In the whole process: each is a file descriptor.
pub const IDLE_CONNECTIONS_MAX: usize = 4096;

pub const SECRET_BYTES_MIN: usize = 24;
pub const SECRET_BYTES_MAX: usize = 75;
pub const SECRET_BYTES_GENERATED: usize = 24;
pub const OLD_SECRETS_MAX: usize = 10;
pub const SECRET_GRACE_DEFAULT: Duration = Duration::from_secs(24 * 3600);
pub const SECRET_GRACE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

pub const PAGE_ITEMS_DEFAULT: usize = 50;
pub const PAGE_ITEMS_MAX: usize = 250;
/// A list with a filter looks at this many rows before it answers with what it found and a cursor to go on from.
pub const PAGE_ROWS_SCANNED_MAX: usize = 50_000;

/// Uids of streams and sinks.
pub const SHORT_UID_CHARS_MAX: usize = 60;
/// Each is on disk before the next: the order holds whatever happens between.
pub const STREAM_EVENTS_AT_ONCE_MAX: usize = 1000;
pub const SINK_BATCH_DEFAULT: u16 = 100;
pub const SINK_BATCH_MAX: u16 = 1000;
pub const SINK_WAIT_S_MAX: u16 = 300;
pub const SINK_FILTERS_MAX: usize = 1000;
/// How long a poll may wait for something to come.
pub const POLL_WAIT_S_MAX: u64 = 30;
/// Messages that one poll looks at, wanted or not, and about how much payload.
pub const POLL_ROWS_SCANNED_MAX: usize = 2000;
pub const POLL_BYTES_SCANNED_MAX: usize = 4 << 20;
pub const POLL_CONSUMER_CHARS_MAX: usize = 128;
pub const POLL_LEASE_MS_DEFAULT: u64 = 30_000;
pub const POLL_LEASE_MS_MAX: u64 = 3_600_000;

pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(12 * 3600);
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;

/// How long a source can tell an event from a repetition of it.
pub const DEDUPLICATION_WINDOW_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the old URL of a source is good after a rotation, and how many old ones there can be.
pub const SOURCE_TOKEN_GRACE: Duration = Duration::from_secs(48 * 3600);
pub const SOURCE_TOKENS_OLD_MAX: usize = 3;
/// From the end of a request at a source to its answer, whatever the store does; the body has a time of its own.
pub const SOURCE_ANSWER_DEADLINE: Duration = Duration::from_secs(1);
/// How long the body of a request at a source may take.
pub const SOURCE_BODY_READ_MAX: Duration = Duration::from_secs(10);
pub const SOURCE_HEADERS_MAX: usize = 100;
pub const SOURCE_HEADERS_BYTES_MAX: usize = 64 << 10;
/// How much of a body that was refused is read and thrown away beside the answer.
pub const SOURCE_BODY_BYTES_DRAINED_MAX: usize = 256 << 20;
/// How large a body may become by taking off its encoding, or as large as it came.
pub const SOURCE_BODY_BYTES_DECODED_MAX: usize = 4 << 20;
/// Requests of one source that are worked on at the same time, where it does not say.
pub const SOURCE_IN_FLIGHT_DEFAULT: u16 = 1024;
/// Bytes of bodies that all sources together, and one of them, hold in memory.
pub const SOURCES_BODY_BYTES_IN_MEMORY_MAX: usize = 128 << 20;
pub const SOURCE_BODY_BYTES_IN_MEMORY_MAX: usize = 32 << 20;
/// Sources that are kept ready.
pub const SOURCES_PREPARED_MAX: usize = 10_000;
/// Schemas that are kept ready for one source.
pub const SOURCE_SCHEMAS_PREPARED_MAX: usize = 256;
/// Receipts of requests that made no message, kept per second and source; what is beyond is counted only.
pub const SOURCE_REJECTED_KEPT_PER_SECOND: u16 = 20;
/// Rejected requests of one source whose mistake is looked for, per second: it costs many signatures.
pub const SOURCE_DIAGNOSES_PER_SECOND: u16 = 2;
/// Receipts that wait to be written after their request was answered, and diagnoses at a time, in the whole process.
pub const RECEIPTS_WAITING_MAX: usize = 256;
pub const DIAGNOSES_AT_ONCE_MAX: usize = 1;
/// Sources whose secrets a diagnosis tries.
pub const DIAGNOSIS_SOURCES_MAX: usize = 50;
/// Receipts that one step of a replay of many takes up.
pub const RECEIPTS_REPLAYED_AT_ONCE_MAX: usize = 100;
pub const RECEIPT_RETENTION_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Of what a user says, not of what a provider sends.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// Longest wait between two looks of a source that asks.
pub const PULL_EVERY_S_MAX: u32 = 7 * 24 * 3600;
/// Sources that are asked, or fire, at the same moment; the others wait for their turn.
pub const PULLS_AT_ONCE_MAX: usize = 32;
/// For one request of a pull source, from the name to the end of the answer.
pub const PULL_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A larger answer is an error: cut JSON is none.
pub const PULL_ANSWER_BYTES_MAX: usize = 4 << 20;
/// After failures in a row, unless the source itself waits longer, or the address asks for more.
pub const PULL_BACK_OFF_MAX: Duration = Duration::from_secs(3600);
/// How long an address can make us wait by `Retry-After` and its like.
pub const PULL_RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// Between two receipts of failures of one source, so that an address that is gone does not fill the disk.
pub const PULL_FAILURE_RECEIPT_EVERY: Duration = Duration::from_secs(3600);
/// Messages that are written down at the same time for one source.
pub const PULL_ITEMS_AT_ONCE_MAX: usize = 64;

pub const CRON_SCHEDULE_BYTES_MAX: usize = 256;
/// Times of a schedule that passed within this are made up for one by one; it is how late a busy server may be.
pub const CRON_CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);
/// The last time that passed while the server was down is made up for within this.
pub const CRON_MADE_UP_WITHIN: Duration = Duration::from_secs(24 * 3600);

pub const POLL_EVERY_S_MIN: u32 = 1;
/// URL, or body, before and after the templates.
pub const POLL_REQUEST_BYTES_MAX: usize = 16 << 10;
pub const POLL_PAGES_DEFAULT: u16 = 10;
pub const POLL_PAGES_MAX: u16 = 100;
pub const POLL_CURSOR_BYTES_MAX: usize = 4096;
/// In one answer.
pub const POLL_ITEMS_MAX: usize = 10_000;
/// Items of the last pages that are known without asking the store: eight bytes each.
pub const POLL_ITEMS_REMEMBERED_MAX: usize = 20_000;

pub const BACK_FILL_EVERY_S_MIN: u32 = 10;
pub const BACK_FILL_EVERY_S_DEFAULT: u32 = 600;
pub const BACK_FILL_LOOK_BACK_DAYS_DEFAULT: u16 = 3;
pub const BACK_FILL_LOOK_BACK_DAYS_MAX: u16 = 30;
pub const BACK_FILL_SETTLE_S_DEFAULT: u32 = 300;
pub const BACK_FILL_SETTLE_S_MAX: u32 = 24 * 3600;
/// Pages of the provider's list in one look; the next look goes on where this one stopped.
pub const BACK_FILL_PAGES_MAX: usize = 50;
/// Events that are fetched one by one in one look.
pub const BACK_FILL_DETAILS_MAX: usize = 500;

pub const RETRY_STEPS_MAX: usize = 64;
pub const RETRY_SPAN_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
pub const RECOVER_WINDOW_MAX: Duration = Duration::from_secs(14 * 24 * 3600);

/// Applications that the result of a task lists one by one.
pub const TASK_STATISTICS_MAX: usize = 20_000;
/// Messages that the result of a broadcast lists one by one.
pub const TASK_MESSAGES_LISTED_MAX: usize = 1000;

/// How much of the result of a task stands in the event that tells of its end; a larger one is to be asked for.
pub const TASK_RESULT_BYTES_TOLD_MAX: usize = 256 << 10;

/// Attempts that one event of the log of attempts tells of, and those that wait for that, in the whole process.
pub const ATTEMPT_LOG_ENTRIES_MAX: usize = 100;
pub const ATTEMPT_LOG_WAITING_MAX: usize = 10_000;

/// Sinks that send at the same moment; the others wait for their turn.
pub const SINKS_SENDING_AT_ONCE_MAX: usize = 256;
/// Payload in one batch of a sink; one message goes however large it is.
pub const SINK_BATCH_BYTES_MAX: usize = 1 << 20;
/// Messages that are looked at for one batch, where the sink wants few of them.
pub const SINK_MESSAGES_LOOKED_AT_MAX: usize = 5000;
/// Messages of a sink that wait for their time; the sink goes past no more.
pub const SINK_DEFERRED_MAX: usize = 1000;
/// Longest wait between two tries of a batch, unless the receiver asks for more.
pub const SINK_BACK_OFF_MAX: Duration = Duration::from_secs(3600);
/// How long a receiver can make a sink wait by `Retry-After`.
pub const SINK_RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// How much of an answer is kept with the attempt at a sink.
pub const SINK_RESPONSE_BYTES_KEPT: usize = 2000;

/// Deliveries that one lane holds in memory; the rest waits on disk.
pub const LANE_DELIVERIES_IN_MEMORY_MAX: usize = 512;
pub const LANE_BYTES_IN_MEMORY_MAX: usize = 4 << 20;
/// Payload bytes that all lanes together hold in memory.
pub const LANES_BYTES_IN_MEMORY_MAX: usize = 64 << 20;
/// Attempts that one endpoint has in flight at a time while it is healthy.
pub const LANE_CONCURRENCY_DEFAULT: usize = 64;
/// Reasons for not routing to an endpoint that are kept with a message; `why` works out the rest.
pub const SKIPS_PER_MESSAGE_MAX: usize = 32;

/// Messages (or payloads) that one piece of retention removes: writers wait for as long as it takes.
pub const FORGOTTEN_AT_ONCE_MAX: usize = 500;
pub const PAYLOAD_RETENTION_DEFAULT: Duration = Duration::from_secs(90 * 24 * 3600);

const _: () = assert!(RESPONSE_BODY_BYTES_KEPT <= RESPONSE_BODY_BYTES_READ_MAX);
const _: () = assert!(LANE_CONCURRENCY_DEFAULT <= IDLE_CONNECTIONS_PER_HOST_MAX && IDLE_CONNECTIONS_PER_HOST_MAX <= IDLE_CONNECTIONS_MAX);
const _: () = assert!(PAGE_ITEMS_DEFAULT <= PAGE_ITEMS_MAX);
const _: () = assert!(POLL_PAGES_DEFAULT <= POLL_PAGES_MAX && POLL_CURSOR_BYTES_MAX <= POLL_REQUEST_BYTES_MAX);
const _: () = assert!(BACK_FILL_LOOK_BACK_DAYS_MAX as u64 * 24 * 3600 <= DEDUPLICATION_WINDOW_MAX.as_secs());
const _: () = assert!(SECRET_BYTES_MIN <= SECRET_BYTES_GENERATED && SECRET_BYTES_GENERATED <= SECRET_BYTES_MAX);
const _: () =
    assert!(REQUEST_BODY_BYTES_MAX <= SOURCE_BODY_BYTES_DECODED_MAX && REQUEST_BODY_BYTES_MAX * 4 <= SOURCE_BODY_BYTES_IN_MEMORY_MAX);
const _: () = assert!(SOURCE_BODY_BYTES_IN_MEMORY_MAX * 4 <= SOURCES_BODY_BYTES_IN_MEMORY_MAX);
const _: () = assert!(LANE_CONCURRENCY_DEFAULT < LANE_DELIVERIES_IN_MEMORY_MAX);
