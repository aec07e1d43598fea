use std::cmp::Ordering;

/// The order of version strings that `strverscmp` of the GNU C library defines, by which libostree
/// sorts boot entries: digits in a row compare as numbers, and those that start with zero as the
/// decimals of a fraction (so `000 < 00 < 01 < 010 < 09 < 0 < 1 < 9 < 10`).
#[must_use]
pub fn version_order(a: &[u8], b: &[u8]) -> Ordering {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (rest_a, rest_b) = (a.get(same..), b.get(same..));
    let (rest_a, rest_b) = (rest_a.unwrap_or_default(), rest_b.unwrap_or_default());
    let shared_digits = trailing_digits(a.get(..same).unwrap_or_default());
    match place(shared_digits) {
        Place::Text => text_order(rest_a, rest_b),
        Place::Number => number_order(rest_a, rest_b),
        Place::Fraction { only_zeros } => fraction_order(rest_a, rest_b, only_zeros),
    }
}

/// Where two strings part: outside digits, within a number, or within a number with leading zeros.
enum Place {
    Text,
    Number,
    Fraction { only_zeros: bool },
}

fn place(shared_digits: &[u8]) -> Place {
    match shared_digits.first() {
        None => Place::Text,
        Some(b'0') => Place::Fraction {
            only_zeros: shared_digits.iter().all(|digit| *digit == b'0'),
        },
        Some(_) => Place::Number,
    }
}

fn trailing_digits(text: &[u8]) -> &[u8] {
    let count = text.iter().rev().take_while(|c| c.is_ascii_digit()).count();
    text.get(text.len().saturating_sub(count)..)
        .unwrap_or_default()
}

fn digit_run(text: &[u8]) -> usize {
    text.iter().take_while(|c| c.is_ascii_digit()).count()
}

/// The first differing byte decides, unless both sides start a number there.
fn text_order(a: &[u8], b: &[u8]) -> Ordering {
    match (a.first(), b.first()) {
        (Some(x), Some(y)) if starts_number(*x) && starts_number(*y) => number_order(a, b),
        (x, y) => x.cmp(&y),
    }
}

const fn starts_number(byte: u8) -> bool {
    byte.is_ascii_digit() && byte != b'0'
}

/// The longer run of digits is the larger number; of equal length, the first difference decides.
fn number_order(a: &[u8], b: &[u8]) -> Ordering {
    let by_length = digit_run(a).cmp(&digit_run(b));
    by_length.then_with(|| a.first().cmp(&b.first()))
}

/// After zeros only, the side that goes on with digits is the smaller one; within decimals the first
/// difference decides.
fn fraction_order(a: &[u8], b: &[u8], only_zeros: bool) -> Ordering {
    let goes_on = |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit);
    if only_zeros && goes_on(a) != goes_on(b) {
        return goes_on(b).cmp(&goes_on(a));
    }
    a.first().cmp(&b.first())
}
