use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::broker::testing::{HOUR, MINUTE, SECOND, epoch, error};

const DEMAND: Demand = Demand { threshold: Duration::from_mins(15), discover: true };

/// Something that happens to a machine.
#[derive(Debug, Clone, Copy)]
enum Event {
    TimePasses(Duration),
    /// The wall clock is set, or the machine was suspended.
    ClockSteps(SignedDuration),
    /// From now on, credentials live so long; with a negative life, they have expired on arrival.
    CloudHandsOut(SignedDuration),
    /// From now on, calls fail.
    CloudFails(Reason),
}

fn event() -> impl Strategy<Value = Event> {
    let throttled = Reason::Throttled { retry_after: Some(10 * MINUTE) };
    let reason = prop_oneof![Just(Reason::Unreachable), Just(throttled)];
    prop_oneof![
        4 => (0_u64..4000).prop_map(|seconds| Event::TimePasses(Duration::from_secs(seconds))),
        1 => (-8000_i64..8000).prop_map(|seconds| Event::ClockSteps(SignedDuration::from_secs(seconds))),
        2 => (-100_i64..5000).prop_map(|seconds| Event::CloudHandsOut(SignedDuration::from_secs(seconds))),
        1 => reason.prop_map(Event::CloudFails),
    ]
}

fn credential(expires_at: Timestamp) -> Credential {
    Credential { user: "cr_temp_user".to_owned(), password: "token".into(), expires_at }
}

/// Does what the state decides, and holds it to its promises.
struct Machine {
    now: Moment,
    state: State,
    jitter: Jitter,
    /// What the cloud answers: a life, or why not.
    answer: Result<SignedDuration, Reason>,
    last_mint: Option<Instant>,
    last_failure: Option<Instant>,
    /// When the credential in hand ends on the monotonic clock.
    end: Option<Instant>,
}

impl Machine {
    fn new(jitter: Jitter) -> Self {
        Self {
            now: Moment { wall: epoch(), monotonic: Instant::now() },
            state: State::default(),
            jitter,
            answer: Ok(SignedDuration::from_hours(1)),
            last_mint: None,
            last_failure: None,
            end: None,
        }
    }

    fn live_through(&mut self, event: Event) {
        let mut until = self.now.monotonic;
        match event {
            Event::TimePasses(time) => until += time,
            Event::ClockSteps(by) => self.now.wall += by,
            Event::CloudHandsOut(life) => self.answer = Ok(life),
            Event::CloudFails(reason) => self.answer = Err(reason),
        }
        loop {
            self.state.drop_expired(self.now);
            self.nothing_expired_is_in_use();
            match self.state.next(self.now, DEMAND) {
                Step::Mint => self.mint(),
                Step::Discover => {
                    self.state.discovered(Err(error(Reason::Unreachable)), self.now, self.jitter);
                }
                Step::Wait(_) if self.now.monotonic == until => return,
                Step::Wait(nap) => {
                    assert!(!nap.is_zero() && nap <= LONGEST_NAP);
                    let nap = nap.min(until - self.now.monotonic);
                    self.now = Moment { wall: self.now.wall + nap, monotonic: self.now.monotonic + nap };
                }
            }
        }
    }

    fn mint(&mut self) {
        let Moment { wall, monotonic } = self.now;
        let is_past = |last: Option<Instant>, gap| last.is_none_or(|last| monotonic - last >= gap);
        assert!(is_past(self.last_mint, MINUTE));
        assert!(is_past(self.last_failure, 2 * SECOND));
        match &self.answer {
            Ok(life) => {
                self.last_mint = Some(monotonic);
                if life.is_positive() {
                    self.end = Some(monotonic + life.unsigned_abs());
                }
                self.state.minted(Ok(credential(wall + *life)), self.now, self.jitter);
            }
            Err(reason) => {
                self.last_failure = Some(monotonic);
                self.state.minted(Err(error(*reason)), self.now, self.jitter);
            }
        }
    }

    fn nothing_expired_is_in_use(&self) {
        if let Some(issued) = &self.state.issued {
            assert!(self.now.wall < issued.credential.expires_at);
            assert!(self.end.is_some_and(|end| self.now.monotonic < end));
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_calls_are_rare_and_nothing_expired_is_in_use(
        events in prop::collection::vec(event(), 1..30), jitter in 0.0..=1.0,
    ) {
        let mut machine = Machine::new(jitter);
        for event in events {
            machine.live_through(event);
        }
    }
}

#[test]
fn the_minute_between_mints_is_counted_on_the_monotonic_clock() {
    let start = Moment { wall: epoch(), monotonic: Instant::now() };
    let mut state = State::default();
    state.minted(Ok(credential(start.wall + HOUR)), start, 0.0);
    let stepped = Moment { wall: start.wall + 2 * HOUR, ..start };
    state.drop_expired(stepped);
    assert_eq!(state.next(stepped, Demand { discover: false, ..DEMAND }), Step::Wait(LONGEST_NAP));
    let later = Moment { monotonic: start.monotonic + MINUTE, ..stepped };
    assert_eq!(state.next(later, DEMAND), Step::Mint);
}

#[test]
fn a_record_without_a_password_or_a_host_is_not_resumed() {
    let now = Moment { wall: epoch(), monotonic: Instant::now() };
    let resume = |password: &str, host: &[&str]| {
        let credential = Credential { password: password.into(), ..credential(now.wall + HOUR) };
        let hosts = host.iter().map(|host| Host::parse(host).unwrap()).collect();
        State::resume(Held { credential, issued_at: now.wall, hosts: Some(hosts) }, now, 0.0)
    };
    assert_eq!(resume("token", &["a.example.com"]).next(now, DEMAND), Step::Wait(LONGEST_NAP));
    assert_eq!(resume("", &["a.example.com"]).next(now, DEMAND), Step::Mint);
    assert_eq!(resume("token", &[]).next(now, DEMAND), Step::Discover);
}
