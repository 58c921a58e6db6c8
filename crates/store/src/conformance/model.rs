//! Random sequences of operations, run in lockstep against the memory store and a store under test: whatever can be observed must be
//! the same. A failing sequence is shrunk and printed with its seed, which makes it again.

mod lockstep;

use std::future::Future;
use std::ops::Range;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use super::Harness;
use lockstep::Lockstep;

/// What may happen to a store. Numbers choose among what there is, modulo its count, so that every sequence makes sense.
#[derive(Debug, Clone)]
enum Operation {
    Accept { application: usize, targets: u8, event_id: Option<u8>, key: Option<u8>, later_s: Option<u64>, kind: u8 },
    Claim { endpoint: usize, limit: usize, ordered: bool },
    Release { lease: usize },
    Record { leases: Vec<(usize, End)> },
    RecordStale { lease: usize },
    SendAgain { deliveries: Vec<(usize, usize)>, later_s: u64 },
    Cancel { endpoint: usize, limit: usize, kind: Option<u8> },
    Crash,
    Pass { seconds: u64 },
    Forget { rows_s: u64 },
    ExpungeMessage { message: usize },
    ExpungeAttempt { attempt: usize },
    KeepAnswer { key: u8, status: u16 },
    CreateApplication { org: bool, uid: Option<u8> },
    UpdateApplication { application: usize, uid: Option<u8>, refuse: bool },
    DeleteApplication { application: usize },
    CreateEndpoint { application: usize, uid: Option<u8> },
    UpdateEndpoint { endpoint: usize, uid: Option<u8>, refuse: bool },
    DeleteEndpoint { endpoint: usize },
    Receive { source: usize, what: u8, targets: u8, once: Option<u8>, window_s: u64 },
    CreateSource { application: Option<usize>, uid: Option<u8>, pulled: bool },
    UpdateSource { source: usize, uid: Option<u8>, rotate: bool, refuse: bool },
    DeleteSource { source: usize },
    SetSourceState { source: usize, value: u8 },
    CreateDocument { owner: usize, name: Option<u8>, ends_s: Option<u64> },
    UpdateDocument { document: usize, name: Option<u8>, refuse: bool },
    DeleteDocument { document: usize },
    Advance { of: u8, value: Option<u8>, entries: u8 },
    ForgetProgress { of: u8 },
}

/// How a lease ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Delivered,
    Retry { seconds: u64 },
    Dead,
    CanceledWithoutTry,
}

/// Runs one random sequence of operations per seed. `open` makes a fresh store each time.
pub fn check_against_model<H, F>(seeds: Range<u64>, open: impl Fn() -> F)
where
    H: Harness,
    F: Future<Output = H>,
{
    for seed in seeds {
        if let Err(difference) = compare(seed, &open) {
            panic!("{difference}");
        }
    }
}

/// The shortest sequence found that makes a difference, as a report.
pub fn compare<H, F>(seed: u64, open: &impl Fn() -> F) -> Result<(), String>
where
    H: Harness,
    F: Future<Output = H>,
{
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&proptest::collection::vec(operation(), 1..60), |operations| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut lockstep = Lockstep::begin(open().await).await?;
            for operation in operations {
                lockstep.step(operation).await?;
            }
            lockstep.end().await
        })
    });
    outcome.map_err(|error| match error {
        TestError::Fail(reason, operations) => format!("seed {seed}: {reason}\nafter {operations:#?}"),
        TestError::Abort(reason) => format!("seed {seed}: {reason}"),
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let choice = 0_usize..100;
    let uid = || prop::option::of(0_u8..3);
    let end = prop_oneof![
        3 => Just(End::Delivered),
        4 => (1_u64..50).prop_map(|seconds| End::Retry { seconds }),
        2 => Just(End::Dead),
        1 => Just(End::CanceledWithoutTry),
    ];
    prop_oneof![
        20 => (choice.clone(), any::<u8>(), prop::option::weighted(0.2, 0_u8..4), prop::option::weighted(0.3, 0_u8..4), prop::option::weighted(0.2, 0_u64..60), 0_u8..3)
            .prop_map(|(application, targets, event_id, key, later_s, kind)| Operation::Accept { application, targets, event_id, key, later_s, kind }),
        14 => (choice.clone(), 0_usize..5, any::<bool>()).prop_map(|(endpoint, limit, ordered)| Operation::Claim { endpoint, limit, ordered }),
        8 => choice.clone().prop_map(|lease| Operation::Release { lease }),
        18 => prop::collection::vec((choice.clone(), end), 1..5).prop_map(|leases| Operation::Record { leases }),
        3 => choice.clone().prop_map(|lease| Operation::RecordStale { lease }),
        8 => (prop::collection::vec((choice.clone(), choice.clone()), 1..4), 0_u64..10)
            .prop_map(|(deliveries, later_s)| Operation::SendAgain { deliveries, later_s }),
        4 => (choice.clone(), 0_usize..4, prop::option::of(0_u8..3)).prop_map(|(endpoint, limit, kind)| Operation::Cancel { endpoint, limit, kind }),
        4 => Just(Operation::Crash),
        8 => (0_u64..30).prop_map(|seconds| Operation::Pass { seconds }),
        1 => Just(Operation::Pass { seconds: 13 * 3600 }),
        2 => (60_u64..600).prop_map(|rows_s| Operation::Forget { rows_s }),
        2 => choice.clone().prop_map(|message| Operation::ExpungeMessage { message }),
        1 => choice.clone().prop_map(|attempt| Operation::ExpungeAttempt { attempt }),
        1 => (0_u8..3, 200_u16..210).prop_map(|(key, status)| Operation::KeepAnswer { key, status }),
        2 => (any::<bool>(), uid()).prop_map(|(org, uid)| Operation::CreateApplication { org, uid }),
        2 => (choice.clone(), uid(), any::<bool>()).prop_map(|(application, uid, refuse)| Operation::UpdateApplication { application, uid, refuse }),
        1 => choice.clone().prop_map(|application| Operation::DeleteApplication { application }),
        3 => (choice.clone(), uid()).prop_map(|(application, uid)| Operation::CreateEndpoint { application, uid }),
        2 => (choice.clone(), uid(), any::<bool>()).prop_map(|(endpoint, uid, refuse)| Operation::UpdateEndpoint { endpoint, uid, refuse }),
        1 => choice.clone().prop_map(|endpoint| Operation::DeleteEndpoint { endpoint }),
        14 => (choice.clone(), 0_u8..8, any::<u8>(), prop::option::weighted(0.6, 0_u8..4), 1_u64..120)
            .prop_map(|(source, what, targets, once, window_s)| Operation::Receive { source, what, targets, once, window_s }),
        3 => (prop::option::of(choice.clone()), uid(), any::<bool>())
            .prop_map(|(application, uid, pulled)| Operation::CreateSource { application, uid, pulled }),
        2 => (choice.clone(), uid(), any::<bool>(), any::<bool>())
            .prop_map(|(source, uid, rotate, refuse)| Operation::UpdateSource { source, uid, rotate, refuse }),
        1 => choice.clone().prop_map(|source| Operation::DeleteSource { source }),
        1 => (choice.clone(), any::<u8>()).prop_map(|(source, value)| Operation::SetSourceState { source, value }),
        4 => (choice.clone(), uid(), prop::option::weighted(0.2, 0_u64..200))
            .prop_map(|(owner, name, ends_s)| Operation::CreateDocument { owner, name, ends_s }),
        2 => (choice.clone(), uid(), any::<bool>()).prop_map(|(document, name, refuse)| Operation::UpdateDocument { document, name, refuse }),
        1 => choice.prop_map(|document| Operation::DeleteDocument { document }),
        3 => (0_u8..3, prop::option::of(any::<u8>()), 0_u8..3).prop_map(|(of, value, entries)| Operation::Advance { of, value, entries }),
        1 => (0_u8..3).prop_map(|of| Operation::ForgetProgress { of }),
    ]
}
