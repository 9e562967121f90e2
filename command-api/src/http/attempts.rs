//! Limits on guessing passwords: per account and per client address, failed attempts only.
//!
//! Whether an attempt fails is known only after its password was hashed, so attempts under way
//! count like failures until then: no more of them run at once than may still fail, and the
//! others wait for them. A hundred guesses at once are judged as if they came one by one, and a
//! hundred right log-ins at once are all let in.
//!
//! What is remembered is bounded; the name used longest ago is forgotten first. An account that
//! does not exist is limited like one that does.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use contract::Problem;
use domain::email::EmailHash;
use domain::ids::UserId;
use domain::time::Time;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::commands::users::UserError;

/// The most accounts and the most addresses that are remembered; about 150 bytes each.
const NAMES_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

/// How often somebody may guess a password.
#[derive(Debug, Clone)]
pub struct LogInLimits {
    /// Failures per account before the first delay.
    pub account_free: u32,
    /// The first delay; it doubles with every failure that follows.
    pub account_delay_first: Duration,
    /// The longest delay.
    pub account_delay_max: Duration,
    /// When an account's failures are forgotten, counted from the last.
    pub account_forgotten_after: Duration,
    /// Failures per address at once.
    pub address_burst: u32,
    /// One more failure per address is allowed after each such interval.
    pub address_interval: Duration,
}

impl Default for LogInLimits {
    fn default() -> Self {
        Self {
            account_free: 5,
            account_delay_first: Duration::from_secs(1),
            account_delay_max: Duration::from_secs(15 * 60),
            account_forgotten_after: Duration::from_secs(24 * 3600),
            address_burst: 64,
            address_interval: Duration::from_millis(500),
        }
    }
}

/// The limits of a node.
#[derive(Debug)]
pub(super) struct LogInAttempts {
    accounts: Arc<Attempts<Account>>,
    addresses: Arc<Attempts<IpAddr>>,
}

/// Whose password is guessed: by the address given at a log-in, or by a token at a change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Account {
    Email(EmailHash),
    User(UserId),
}

impl LogInAttempts {
    pub(super) fn new(limits: LogInLimits, clock: Arc<dyn Clock>) -> Self {
        let growing = Policy::GrowingDelay {
            free: limits.account_free.max(1),
            first: limits.account_delay_first,
            max: limits.account_delay_max,
            forgotten_after: limits.account_forgotten_after,
        };
        let budget = Policy::Budget {
            burst: limits.address_burst.max(1),
            interval: limits.address_interval.max(Duration::from_millis(1)),
        };
        Self {
            accounts: Attempts::new(growing, Arc::clone(&clock)),
            addresses: Attempts::new(budget, clock),
        }
    }

    /// Begins a log-in from this address.
    ///
    /// # Errors
    /// 429.
    pub(super) async fn by_address(&self, address: IpAddr) -> Result<Attempt<IpAddr>, Problem> {
        self.addresses.begin(network_of(address)).await
    }

    /// Begins a log-in to the account with this e-mail address, whether or not there is one.
    ///
    /// # Errors
    /// 429.
    pub(super) async fn on_account(
        &self,
        email_hash: &EmailHash,
    ) -> Result<Attempt<impl Hash + Eq + Clone + use<>>, Problem> {
        self.accounts
            .begin(Account::Email(email_hash.clone()))
            .await
    }

    /// Begins a password change of this user.
    ///
    /// # Errors
    /// 429.
    pub(super) async fn of_user(
        &self,
        user: UserId,
    ) -> Result<Attempt<impl Hash + Eq + Clone + use<>>, Problem> {
        self.accounts.begin(Account::User(user)).await
    }
}

/// One client has a whole /64 of IPv6 to choose from, so that is what is limited.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

/// How failures limit what follows.
#[derive(Debug, Clone, Copy)]
enum Policy {
    GrowingDelay {
        free: u32,
        first: Duration,
        max: Duration,
        forgotten_after: Duration,
    },
    Budget {
        burst: u32,
        interval: Duration,
    },
}

/// The failures under one name.
#[derive(Debug)]
struct Standing {
    failures: u32,
    /// When the last failure was, or was forgotten.
    since: Time,
    under_way: u32,
    ended: Arc<Notify>,
}

/// Limited attempts by name.
#[derive(Debug)]
struct Attempts<N: Hash + Eq> {
    policy: Policy,
    clock: Arc<dyn Clock>,
    standings: Mutex<LruCache<N, Standing>>,
}

/// An attempt under way. Dropped without a word, it counts as failed.
#[derive(Debug)]
pub(super) struct Attempt<N: Hash + Eq + Clone> {
    name: N,
    ended: Arc<Notify>,
    attempts: Arc<Attempts<N>>,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    /// The password was not judged.
    Withdrawn,
}

impl<N: Hash + Eq + Clone> Attempts<N> {
    fn new(policy: Policy, clock: Arc<dyn Clock>) -> Arc<Self> {
        let standings = Mutex::new(LruCache::new(NAMES_MAX));
        Arc::new(Self {
            policy,
            clock,
            standings,
        })
    }

    async fn begin(self: &Arc<Self>, name: N) -> Result<Attempt<N>, Problem> {
        loop {
            let (ended, turn) = {
                let mut standings = self.standings.lock();
                let now = self.clock.now();
                let standing = standings.get_or_insert_mut(name.clone(), || Standing::new(now));
                let allowed = self.policy.allowed(standing, now);
                let allowed = allowed.map_err(Problem::too_many_attempts)?;
                let ended = Arc::clone(&standing.ended);
                let turn = standing.under_way < allowed;
                standing.under_way += u32::from(turn);
                (Arc::clone(&ended).notified_owned(), turn.then_some(ended))
            };
            match turn {
                Some(notify) => {
                    return Ok(Attempt {
                        name,
                        ended: notify,
                        attempts: Arc::clone(self),
                        verdict: Verdict::Wrong,
                    });
                }
                // It was made while the standings were locked, so no end is missed.
                None => ended.await,
            }
        }
    }

    fn end(&self, name: &N, verdict: Verdict) {
        let mut standings = self.standings.lock();
        let Some(standing) = standings.peek_mut(name) else {
            return;
        };
        standing.under_way = standing.under_way.saturating_sub(1);
        self.policy.judge(standing, verdict, self.clock.now());
        if standing.failures == 0 && standing.under_way == 0 {
            standings.pop(name);
        }
    }
}

impl Standing {
    fn new(now: Time) -> Self {
        Self {
            failures: 0,
            since: now,
            under_way: 0,
            ended: Arc::default(),
        }
    }
}

impl Policy {
    /// How many attempts may be under way, at least one; or how long nobody may try.
    fn allowed(self, standing: &mut Standing, now: Time) -> Result<u32, Duration> {
        self.forget(standing, now);
        let failures = standing.failures;
        match self {
            Self::GrowingDelay { free, .. } if failures < free => Ok(free - failures),
            Self::GrowingDelay {
                free, first, max, ..
            } => {
                let doublings = 2u32.saturating_pow(failures - free);
                let delay = first.saturating_mul(doublings).min(max);
                let left = delay.saturating_sub(elapsed(standing.since, now));
                if left.is_zero() { Ok(1) } else { Err(left) }
            }
            Self::Budget { burst, .. } if failures < burst => Ok(burst - failures),
            Self::Budget { interval, .. } => {
                Err(interval.saturating_sub(elapsed(standing.since, now)))
            }
        }
    }

    /// Takes in how an attempt ended.
    fn judge(self, standing: &mut Standing, verdict: Verdict, now: Time) {
        self.forget(standing, now);
        match (verdict, self) {
            (Verdict::Right, Self::GrowingDelay { .. }) => standing.failures = 0,
            // Who has one account of their own must not buy guesses at others with it.
            (Verdict::Right, Self::Budget { .. }) | (Verdict::Withdrawn, _) => {}
            (Verdict::Wrong, Self::GrowingDelay { .. }) => {
                standing.failures = standing.failures.saturating_add(1);
                standing.since = now;
            }
            (Verdict::Wrong, Self::Budget { .. }) => {
                if standing.failures == 0 {
                    standing.since = now;
                }
                standing.failures = standing.failures.saturating_add(1);
            }
        }
    }

    /// Forgets failures by age.
    fn forget(self, standing: &mut Standing, now: Time) {
        let elapsed = elapsed(standing.since, now);
        match self {
            Self::GrowingDelay {
                forgotten_after, ..
            } => {
                if elapsed >= forgotten_after {
                    standing.failures = 0;
                }
            }
            Self::Budget { interval, .. } => {
                let intervals = elapsed.as_micros() / interval.as_micros().max(1);
                let forgotten = u32::try_from(intervals).unwrap_or(u32::MAX);
                standing.failures = standing.failures.saturating_sub(forgotten);
                let moved = interval.saturating_mul(forgotten);
                standing.since = later(standing.since, moved);
            }
        }
    }
}

/// The time between two moments; none where the clock was set back.
fn elapsed(since: Time, now: Time) -> Duration {
    let microseconds = now.microseconds().saturating_sub(since.microseconds());
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}

fn later(time: Time, by: Duration) -> Time {
    let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Time::from_microseconds(time.microseconds().saturating_add(by))
}

impl<N: Hash + Eq + Clone> Attempt<N> {
    /// Ends it as its result says, which is handed on.
    pub(super) fn end<T>(mut self, result: Result<T, UserError>) -> Result<T, UserError> {
        self.verdict = match &result {
            Ok(_) => Verdict::Right,
            Err(UserError::InvalidCredentials) => Verdict::Wrong,
            Err(UserError::Commit(_)) => Verdict::Withdrawn,
        };
        result
    }

    /// Ends it without a judgement.
    pub(super) fn withdraw(mut self) {
        self.verdict = Verdict::Withdrawn;
    }
}

impl<N: Hash + Eq + Clone> Drop for Attempt<N> {
    fn drop(&mut self) {
        self.attempts.end(&self.name, self.verdict);
        self.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// A clock that stands still until it is set.
    #[derive(Debug)]
    struct SetClock(AtomicI64);

    impl SetClock {
        fn new() -> Arc<Self> {
            Arc::new(Self(AtomicI64::new(1_000_000_000_000)))
        }

        fn move_by(&self, seconds: i64) {
            self.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
        }
    }

    impl Clock for SetClock {
        fn now(&self) -> Time {
            Time::from_microseconds(self.0.load(Ordering::Relaxed))
        }
    }

    fn email() -> EmailHash {
        EmailHash::parse(&"0".repeat(64)).unwrap()
    }

    /// Whether an attempt on the account was let in; it fails.
    async fn fails(attempts: &LogInAttempts) -> bool {
        attempts.on_account(&email()).await.is_ok()
    }

    async fn fail(attempts: &LogInAttempts, times: usize) {
        for _ in 0..times {
            assert!(fails(attempts).await);
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_closes_nothing_for_longer_than_was_said() {
        let clock = SetClock::new();
        let attempts = LogInAttempts::new(LogInLimits::default(), clock.clone());
        fail(&attempts, 5).await;
        clock.move_by(-3600);
        assert!(!fails(&attempts).await);
        clock.move_by(3600 + 1);
        fail(&attempts, 1).await;
    }

    #[tokio::test]
    async fn failures_are_forgotten_after_a_quiet_day() {
        let clock = SetClock::new();
        let attempts = LogInAttempts::new(LogInLimits::default(), clock.clone());
        fail(&attempts, 5).await;
        clock.move_by(24 * 3600);
        fail(&attempts, 5).await;
        assert!(!fails(&attempts).await);
    }

    #[tokio::test]
    async fn what_was_not_judged_or_was_right_leaves_nothing_behind() {
        let attempts = LogInAttempts::new(LogInLimits::default(), SetClock::new());
        for _ in 0..100 {
            attempts.on_account(&email()).await.unwrap().withdraw();
            let attempt = attempts.on_account(&email()).await.unwrap();
            attempt.end(Ok(())).unwrap();
        }
        assert!(attempts.accounts.standings.lock().is_empty());
    }

    #[tokio::test]
    async fn an_attempt_waits_for_those_under_way_where_they_may_use_up_what_is_left() {
        let attempts = LogInAttempts::new(LogInLimits::default(), SetClock::new());
        fail(&attempts, 4).await;
        let first = attempts.on_account(&email()).await.unwrap();
        let hash = email();
        let mut second = Box::pin(attempts.on_account(&hash));
        assert!(futures::poll!(&mut second).is_pending());
        first.end(Ok(())).unwrap();
        assert!(second.await.is_ok());
    }

    #[tokio::test]
    async fn a_network_of_ipv6_has_one_budget() {
        let limits = LogInLimits {
            address_burst: 1,
            ..LogInLimits::default()
        };
        let attempts = LogInAttempts::new(limits, SetClock::new());
        let by = async |address: &str| {
            let address = address.parse().unwrap();
            attempts.by_address(address).await.is_ok()
        };
        assert!(by("2001:db8::1").await);
        assert!(!by("2001:db8::2").await);
        assert!(by("2001:db8:0:1::1").await);
    }
}
