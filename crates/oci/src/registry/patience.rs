//! When a request is made again, and how long to wait before.

use std::time::Duration;

use progress::Interrupt;

use super::error::Problem;
use crate::context::RetryPolicy;

/// How often a wait looks whether somebody asked to stop.
const SLICE: Duration = Duration::from_millis(50);
/// A host without an address rarely gets one soon, so it is asked for only once more.
const ADDRESS_ATTEMPTS: u32 = 2;

/// Counts the attempts at one thing.
#[derive(Debug)]
pub(super) struct Patience {
    policy: RetryPolicy,
    interrupt: Interrupt,
    failures: u32,
}

impl Patience {
    pub(super) fn new(policy: RetryPolicy, interrupt: Interrupt) -> Self {
        Self {
            policy,
            interrupt,
            failures: 0,
        }
    }

    /// Starts counting anew, after there was progress.
    pub(super) fn renew(&mut self) {
        self.failures = 0;
    }

    /// After a failure: waits until it is time for the next attempt, or gives the problem back when
    /// there must be none.
    pub(super) fn after(&mut self, problem: Problem) -> Result<(), Problem> {
        self.failures += 1;
        let Some(pause) = self.pause(&problem) else {
            return Err(problem);
        };
        tracing::debug!(%problem, ?pause, attempt = self.failures, "trying again");
        self.sleep(pause)
    }

    fn pause(&self, problem: &Problem) -> Option<Duration> {
        let retry_after = match problem {
            Problem::RateLimited { retry_after } | Problem::Server { retry_after, .. } => {
                *retry_after
            }
            Problem::Connection { .. } | Problem::Timeout { .. } => None,
            Problem::Dns { .. } if self.failures < ADDRESS_ATTEMPTS => None,
            _ => return None,
        };
        if self.failures >= self.policy.attempts {
            return None;
        }
        match retry_after {
            Some(asked) if asked > self.policy.longest_retry_after => None,
            Some(asked) => Some(asked.max(self.backoff())),
            None => Some(self.backoff()),
        }
    }

    /// Doubles with every failure, up to the longest; somewhere in the upper half of that.
    fn backoff(&self) -> Duration {
        let doublings = (self.failures - 1).min(16);
        let full = self.policy.first_pause.saturating_mul(1 << doublings);
        let full = full.min(self.policy.longest_pause);
        let spread = mixed(self.policy.seed ^ u64::from(self.failures)) % 1024;
        full / 2 + full.mul_f64(spread_fraction(spread) / 2.0)
    }

    fn sleep(&self, pause: Duration) -> Result<(), Problem> {
        let mut left = pause;
        loop {
            self.interrupt.check().map_err(Problem::Interrupted)?;
            if left.is_zero() {
                return Ok(());
            }
            let slice = left.min(SLICE);
            std::thread::sleep(slice);
            left -= slice;
        }
    }
}

fn spread_fraction(spread: u64) -> f64 {
    f64::from(u32::try_from(spread).unwrap_or(0)) / 1024.0
}

/// One step of SplitMix64: every bit of the result depends on every bit of the number.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a `Retry-After` header asks for (RFC 9110, section 10.2.3): seconds, or a date, which is
/// compared with the server's own `Date`, so that no clock of ours is involved.
pub(super) fn retry_after(value: Option<&str>, date: Option<&str>) -> Option<Duration> {
    let value = value?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(value)?;
    let now = http_date(date?)?;
    Some(Duration::from_secs(until.saturating_sub(now)))
}

/// Seconds since some fixed moment, of a date like `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut parts = text.split_once(", ")?.1.split([' ', ':']);
    let mut next = || parts.next();
    let number = |text: &str, limit: u64| text.parse().ok().filter(|n: &u64| *n <= limit);
    let day = number(next()?, 31)?;
    let name = next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64;
    let year = number(next()?, 9999).filter(|year| *year > 0)?;
    let hour = number(next()?, 23)?;
    let minute = number(next()?, 59)?;
    let second = number(next()?, 60)?;
    // Years that begin in March put the leap day last; the months' lengths then follow a formula.
    let year_from_march = year - u64::from(month < 2);
    let month_from_march = (month + 10) % 12;
    let days = 365 * year_from_march + year_from_march / 4 - year_from_march / 100
        + year_from_march / 400
        + (153 * month_from_march + 2) / 5
        + day;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            attempts: 4,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_millis(300),
            longest_retry_after: Duration::from_secs(60),
            seed: 7,
        }
    }

    fn server(retry_after: Option<u64>) -> Problem {
        Problem::Server {
            status: 503,
            retry_after: retry_after.map(Duration::from_secs),
            detail: super::super::error::Detail::default(),
        }
    }

    fn after(failures: u32) -> Patience {
        let mut patience = Patience::new(policy(), Interrupt::default());
        patience.failures = failures;
        patience
    }

    #[test]
    fn pauses_grow_to_a_limit_and_end() {
        for (failures, full) in [(1, 100), (2, 200), (3, 300)] {
            let pause = after(failures).pause(&server(None)).unwrap();
            let millis = pause.as_millis();
            assert!((full / 2..=full).contains(&millis), "{failures}: {millis}");
        }
        assert_eq!(after(4).pause(&server(None)), None);
    }

    #[test]
    fn seeds_spread_the_pauses() {
        let pause = |seed| {
            let mut patience = after(1);
            patience.policy.seed = seed;
            patience.pause(&server(None)).unwrap()
        };
        assert_eq!(pause(1), pause(1));
        assert!((2..20).any(|seed| pause(seed) != pause(1)));
    }

    #[test]
    fn what_the_server_asks_for_is_kept_within_reason() {
        assert_eq!(
            after(1).pause(&server(Some(60))),
            Some(Duration::from_secs(60))
        );
        assert_eq!(after(1).pause(&server(Some(61))), None);
        let quick = after(1).pause(&server(Some(0))).unwrap();
        assert!(quick >= Duration::from_millis(50));
    }

    #[test]
    fn what_cannot_pass_is_not_tried_again() {
        let refused = Problem::PlainHttp { url: String::new() };
        assert_eq!(after(1).pause(&refused), None);
        let unknown = || Problem::Dns {
            host: String::new(),
            cause: String::new(),
        };
        assert!(after(1).pause(&unknown()).is_some());
        assert_eq!(after(2).pause(&unknown()), None);
    }

    #[test]
    fn an_interrupt_ends_the_wait() {
        let interrupt = Interrupt::default();
        let mut patience = Patience::new(policy(), interrupt.clone());
        interrupt.raise();
        let problem = patience.after(server(Some(50))).unwrap_err();
        assert!(matches!(problem, Problem::Interrupted(_)));
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let date = "Wed, 31 Dec 2025 23:59:50 GMT";
        for (value, date, seconds) in [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            ("Thu, 01 Jan 2026 00:00:20 GMT", Some(date), Some(30)),
            ("Sun, 01 Mar 2026 00:00:00 GMT", Some(date), Some(5_097_610)),
            ("Wed, 31 Dec 2025 23:00:00 GMT", Some(date), Some(0)),
            ("Thu, 01 Jan 2026 00:00:20 GMT", None, None),
            ("soon", Some(date), None),
            ("-1", None, None),
            ("Thu, 32 Jan 2026 00:00:20 GMT", Some(date), None),
            (
                "Thu, 01 Jan 99999999999999999999 00:00:20 GMT",
                Some(date),
                None,
            ),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(Some(value), date), expected, "{value}");
        }
        assert_eq!(retry_after(None, Some(date)), None);
    }
}
