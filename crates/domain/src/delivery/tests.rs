//! The delivery state machine: cases first, then what holds for every sequence of outcomes.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
const PENDING: DeliveryState = DeliveryState::Pending;
const EXHAUSTED: DeliveryState = DeliveryState::Dead { reason: Reason::RetriesExhausted };
const REFUSED: DeliveryState = DeliveryState::Dead { reason: Reason::ReceiverRefused };

fn answer(status_code: u16) -> AttemptOutcome {
    AttemptOutcome::Response(ResponseRecord { status_code, ..ResponseRecord::default() })
}

fn no_answer() -> AttemptOutcome {
    AttemptOutcome::Error { kind: TransportErrorKind::Timeout, message: "no answer within 15 s".into() }
}

fn waits(ms: u64) -> DeliveryState {
    DeliveryState::Waiting { at: NOW + Duration::from_millis(ms) }
}

fn after(scheduled_attempts: u32) -> Progress {
    Progress { attempts: scheduled_attempts, scheduled_attempts }
}

/// Without jitter on the schedule "1s,2s,4s".
fn check(before: DeliveryState, progress: Progress, trigger: Trigger, outcome: &AttemptOutcome, wish: ReceiverWish, state: DeliveryState) {
    let schedule = RetrySchedule::parse("1s,2s,4s").unwrap();
    let transition = advance(Tried { before, progress, trigger, outcome, wish }, &schedule, NOW, 0.5);
    let scheduled_attempts = progress.scheduled_attempts + u32::from(trigger == Trigger::Scheduled);
    assert_eq!(transition, Transition { state, progress: Progress { attempts: progress.attempts + 1, scheduled_attempts } });
}

#[test]
fn only_2xx_is_success() {
    let wish = ReceiverWish::default();
    for status in [200, 202, 204, 299] {
        check(PENDING, after(0), Trigger::Scheduled, &answer(status), wish, DeliveryState::Delivered);
    }
    for status in [100, 199, 300, 301, 308, 400, 404, 410, 429, 500, 503, 599] {
        check(PENDING, after(0), Trigger::Scheduled, &answer(status), wish, waits(1000));
    }
    check(PENDING, after(0), Trigger::Scheduled, &no_answer(), wish, waits(1000));
}

#[test]
fn follows_the_schedule_to_its_end() {
    for (made, state) in [(0, waits(1000)), (1, waits(2000)), (2, waits(4000)), (3, EXHAUSTED), (9, EXHAUSTED)] {
        check(waits(0), after(made), Trigger::Scheduled, &answer(500), ReceiverWish::default(), state);
    }
    // Manual attempts in between do not use the schedule up.
    let progress = Progress { attempts: 9, scheduled_attempts: 1 };
    check(waits(0), progress, Trigger::Scheduled, &answer(500), ReceiverWish::default(), waits(2000));
}

#[test]
fn a_manual_attempt_leaves_the_chain_unless_it_succeeds() {
    let manual = |before, outcome: &AttemptOutcome, wish, state| check(before, after(1), Trigger::Manual, outcome, wish, state);
    let canceled = DeliveryState::Canceled { reason: Reason::NotRouted };
    let wish = ReceiverWish { disable: true, abort: true, retry_after: Some(Duration::from_secs(3)), slow_down: true };
    for before in [PENDING, waits(77), DeliveryState::Delivered, EXHAUSTED, REFUSED] {
        manual(before, &answer(500), ReceiverWish::default(), before);
        manual(before, &answer(410), wish, before);
        manual(before, &answer(200), ReceiverWish::default(), DeliveryState::Delivered);
    }
    manual(canceled, &answer(500), ReceiverWish::default(), EXHAUSTED);
    manual(canceled, &answer(200), ReceiverWish::default(), DeliveryState::Delivered);
}

#[test]
fn a_receiver_may_refuse() {
    let disable = ReceiverWish { disable: true, ..ReceiverWish::default() };
    let abort = ReceiverWish { abort: true, ..ReceiverWish::default() };
    check(PENDING, after(0), Trigger::Scheduled, &answer(410), disable, REFUSED);
    check(PENDING, after(0), Trigger::Scheduled, &answer(500), abort, REFUSED);
    check(PENDING, after(0), Trigger::Scheduled, &answer(200), disable, DeliveryState::Delivered);
}

#[test]
fn client_errors_are_final_where_the_schedule_says_so() {
    let schedule = RetrySchedule::parse("1s,no-4xx").unwrap();
    for (status, state) in
        [(400, REFUSED), (404, REFUSED), (499, REFUSED), (408, waits(1000)), (425, waits(1000)), (429, waits(1000)), (500, waits(1000))]
    {
        let outcome = answer(status);
        let tried =
            Tried { before: PENDING, progress: after(0), trigger: Trigger::Scheduled, outcome: &outcome, wish: ReceiverWish::default() };
        assert_eq!(advance(tried, &schedule, NOW, 0.5).state, state, "{status}");
    }
}

#[test]
fn retry_after_moves_later_only_and_not_beyond_the_schedule() {
    let asks = |made, seconds, state| {
        let wish = ReceiverWish { retry_after: Some(Duration::from_secs(seconds)), ..ReceiverWish::default() };
        check(waits(0), after(made), Trigger::Scheduled, &answer(503), wish, state);
    };
    asks(0, 0, waits(1000));
    asks(0, 3, waits(3000));
    asks(0, 3600, waits(7000));
    asks(1, 1, waits(2000));
    asks(1, 3600, waits(6000));
    asks(2, u64::MAX, waits(4000));
    asks(3, 1, EXHAUSTED);
}

#[test]
fn reads_what_the_receiver_wishes() {
    let wish = |status, retry_after, delivery| ReceiverWish::of_answer(status, retry_after, delivery, NOW);
    let none = ReceiverWish::default();
    // NOW is 2023-11-14T22:13:20Z.
    for (text, seconds) in [
        ("120", Some(120)),
        (" 7 ", Some(7)),
        ("0", Some(0)),
        ("99999999999999999999", Some(u64::MAX)),
        ("Tue, 14 Nov 2023 22:14:20 GMT", Some(60)),
        ("Tue, 14 Nov 2023 22:12:20 GMT", Some(0)),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
    ] {
        let expected = ReceiverWish { retry_after: seconds.map(Duration::from_secs), slow_down: true, ..none };
        assert_eq!(wish(503, Some(text), None), expected, "{text:?}");
    }
    assert_eq!(wish(410, None, None), ReceiverWish { disable: true, ..none });
    assert_eq!(wish(500, None, Some("Disable")), ReceiverWish { disable: true, ..none });
    assert_eq!(wish(500, None, Some(" abort-message ")), ReceiverWish { abort: true, ..none });
    assert_eq!(wish(500, None, Some("abort")), none);
    for status in [429, 502, 503, 504] {
        assert_eq!(wish(status, None, None), ReceiverWish { slow_down: true, ..none });
    }
}

prop_compose! {
    fn arbitrary_end()(status in prop_oneof![Just(200_u16), Just(404), Just(410), Just(429), Just(503), 100_u16..600],
                       manual in prop::bool::weighted(0.2), retry_after in prop::option::of(0_u64..10_000), jitter in 0.0..1.0_f64)
                       -> (u16, Trigger, Option<Duration>, f64) {
        (status, if manual { Trigger::Manual } else { Trigger::Scheduled }, retry_after.map(Duration::from_secs), jitter)
    }
}

proptest! {
    /// Plays a delivery the way the engine does: scheduled attempts while it is not final, manual ones at any time.
    #[test]
    fn whatever_receivers_answer_the_rules_hold(
        waits_ms in prop::collection::vec(1_u64..100_000, 0..8),
        client_errors_are_final: bool,
        ends in prop::collection::vec(arbitrary_end(), 1..40),
    ) {
        let schedule = RetrySchedule { waits_ms, client_errors_are_final };
        let (mut state, mut progress, mut now) = (PENDING, Progress::default(), NOW);
        for (attempt, (status, trigger, retry_after, jitter)) in (1..).zip(ends) {
            if trigger == Trigger::Scheduled {
                if state.is_final() {
                    continue;
                }
                if let DeliveryState::Waiting { at } = state {
                    now = now.max(at);
                }
            }
            let outcome = answer(status);
            let wish = ReceiverWish { retry_after, ..ReceiverWish::of_answer(status, None, None, now) };
            let tried = Tried { before: state, progress, trigger, outcome: &outcome, wish };
            let made = advance(tried, &schedule, now, jitter);
            let without = advance(Tried { wish: ReceiverWish { retry_after: None, ..wish }, ..tried }, &schedule, now, jitter);

            // Attempts are numbered without gaps, and never more are scheduled than the schedule has.
            prop_assert_eq!(made.progress.attempts, progress.attempts + 1);
            prop_assert!(made.progress.attempts <= attempt);
            prop_assert!(made.progress.scheduled_attempts as usize <= schedule.attempts_max());
            // Success is always success, and final is final but for success by hand.
            prop_assert_eq!(made.state == DeliveryState::Delivered, (200..300).contains(&status) || state == DeliveryState::Delivered);
            if state.is_final() && made.state != state {
                prop_assert_eq!(made.state, DeliveryState::Delivered);
            }
            // `Retry-After` never makes it earlier, and never later than the rest of the schedule (with its jitter) allows.
            match (made.state, without.state) {
                (DeliveryState::Waiting { at }, DeliveryState::Waiting { at: plain }) => {
                    prop_assert!(at >= plain);
                    if trigger == Trigger::Scheduled {
                        let rest = schedule.span_after(made.progress.scheduled_attempts);
                        prop_assert!(at.since(now) <= rest.mul_f64(1.2));
                    }
                }
                (state, plain) => prop_assert_eq!(state, plain),
            }
            (state, progress) = (made.state, made.progress);
        }
    }

    #[test]
    fn without_retry_after_the_whole_chain_takes_no_longer_than_its_schedule(
        waits_ms in prop::collection::vec(1_u64..100_000, 0..8), jitter in 0.0..1.0_f64,
    ) {
        let schedule = RetrySchedule { waits_ms, client_errors_are_final: false };
        let (mut state, mut progress, mut now) = (PENDING, Progress::default(), NOW);
        let outcome = no_answer();
        while !state.is_final() {
            let tried = Tried { before: state, progress, trigger: Trigger::Scheduled, outcome: &outcome, wish: ReceiverWish::default() };
            Transition { state, progress } = advance(tried, &schedule, now, jitter);
            if let DeliveryState::Waiting { at } = state {
                now = at;
            }
        }
        prop_assert_eq!(progress.attempts as usize, schedule.attempts_max());
        prop_assert!(now.since(NOW) <= schedule.span().mul_f64(1.2));
    }

    #[test]
    fn reading_retry_after_never_panics(text in "\\PC{0,40}") {
        let _ = ReceiverWish::of_answer(503, Some(&text), Some(&text), NOW);
    }
}
