//! Named crash points: places where a test lets the process die.
//!
//! A crash point costs one relaxed load when nothing is armed, so release builds keep them and the
//! very binary that is shipped can be killed at every one of them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

static ARMED: AtomicBool = AtomicBool::new(false);
static LEFT: AtomicU32 = AtomicU32::new(0);
static NAME: Mutex<String> = Mutex::new(String::new());

/// Let the process abort at the `nth` (counted from one) passage of the point called `name`;
/// `*` is every point.
pub fn arm(name: &str, nth: u32) {
    NAME.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .replace_range(.., name);
    LEFT.store(nth.max(1), Ordering::SeqCst);
    ARMED.store(true, Ordering::SeqCst);
}

/// Pass the point called `name`; aborts the process when the point is armed and its count is up.
#[inline]
pub fn crash_point(name: &'static str) {
    if ARMED.load(Ordering::Relaxed) {
        pass(name);
    }
}

#[cold]
fn pass(name: &'static str) {
    let armed = NAME.lock().unwrap_or_else(PoisonError::into_inner);
    if (*armed == name || *armed == "*") && LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
        std::process::abort();
    }
}
