//! The environment variables that are read, all of them here.
//!
//! `BOOTROOT_LOG` filters the log as `RUST_LOG` does elsewhere; `BOOTROOT_CRASH_AT` is for tests.
//! `NO_COLOR` and its relatives are read by `anstream`.

use error_class::{Classified, ErrorClass};
use tracing_subscriber::EnvFilter;

const CRASH_AT: &str = "BOOTROOT_CRASH_AT";
const LOG: &str = "BOOTROOT_LOG";

/// `BOOTROOT_CRASH_AT` cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{CRASH_AT}={value:?} is not NAME or NAME:COUNT")]
pub(crate) struct BadCrashPoint {
    value: String,
}

impl Classified for BadCrashPoint {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// Lets the process die at a named point, when a test asks for that.
pub(crate) fn arm_crash_point() -> Result<(), BadCrashPoint> {
    let Some(value) = std::env::var_os(CRASH_AT) else {
        return Ok(());
    };
    let value = value.to_string_lossy().into_owned();
    match parse_crash_point(&value) {
        Some((name, nth)) => durable::crash::arm(name, nth),
        None => return Err(BadCrashPoint { value }),
    }
    Ok(())
}

fn parse_crash_point(value: &str) -> Option<(&str, u32)> {
    let (name, nth) = match value.rsplit_once(':') {
        Some((name, nth)) => (name, nth.parse().ok()?),
        None => (value, 1),
    };
    (!name.is_empty() && nth > 0).then_some((name, nth))
}

/// Sends the log to standard error: nothing, unless `-v` or `BOOTROOT_LOG` asks for it.
pub(crate) fn start_log(verbose: u8) {
    let directives = match (std::env::var(LOG), verbose) {
        (Ok(directives), _) => directives,
        (Err(_), 0) => return,
        (Err(_), 1) => "debug".to_owned(),
        (Err(_), _) => "trace".to_owned(),
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives))
        .with_writer(anstream::stderr)
        .with_target(false)
        .without_time()
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_point_has_a_name_and_perhaps_a_count() {
        assert_eq!(parse_crash_point("publish"), Some(("publish", 1)));
        assert_eq!(parse_crash_point("*:17"), Some(("*", 17)));
        for bad in ["", ":3", "publish:", "publish:0", "publish:-1"] {
            assert_eq!(parse_crash_point(bad), None, "{bad}");
        }
    }
}
