//! Points in time as people write them on the command line.

use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use error_class::{Classified, ErrorClass};

/// A text that is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Could not parse '{0}'")]
pub(crate) struct NoTime(String);

impl Classified for NoTime {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// Seconds since 1970 UTC of `@SECONDS`, a date with or without a time and a zone, `now`, `today`,
/// `yesterday`, or `3 days ago`. Without a zone it is the local one. Before 1970 the number is negative,
/// which commits, as with libostree, hold in two's complement.
pub(crate) fn parse(text: &str, now: DateTime<Utc>) -> Result<u64, NoTime> {
    let text = text.trim();
    let seconds = text
        .strip_prefix('@')
        .and_then(|seconds| seconds.parse().ok())
        .or_else(|| absolute(text))
        .or_else(|| relative(text, now));
    seconds
        .map(i64::cast_unsigned)
        .ok_or_else(|| NoTime(text.to_owned()))
}

fn absolute(text: &str) -> Option<i64> {
    let zoned = [
        "%Y-%m-%d %H:%M:%S %z",
        "%Y-%m-%dT%H:%M:%S%#z",
        "%Y-%m-%d %H:%M:%S%#z",
        "%a, %d %b %Y %H:%M:%S %z",
        "%a %b %d %H:%M:%S %z %Y",
    ];
    let text = text
        .strip_suffix(['Z', 'z'])
        .map_or_else(|| text.to_owned(), |text| format!("{text}+0000"));
    let with_zone = zoned
        .iter()
        .find_map(|form| DateTime::parse_from_str(&text, form).ok())
        .map(|time| time.timestamp());
    with_zone.or_else(|| local(&text))
}

fn local(text: &str) -> Option<i64> {
    let forms = [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
    ];
    let time = forms
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .or_else(|| {
            let forms = ["%Y-%m-%d", "%B %d %Y", "%B %d, %Y", "%d %B %Y"];
            let parse = |form: &&str| NaiveDate::parse_from_str(text, form).ok();
            forms.iter().find_map(parse)?.and_hms_opt(0, 0, 0)
        })?;
    Some(Local.from_local_datetime(&time).earliest()?.timestamp())
}

fn relative(text: &str, now: DateTime<Utc>) -> Option<i64> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (number, unit) = match words[..] {
        ["now" | "today"] => (0, "second"),
        ["yesterday"] => (1, "day"),
        [number, unit, "ago"] => (number.parse().ok()?, unit),
        [unit, "ago"] => (1, unit),
        [number, unit] => (-number.parse::<i64>().ok()?, unit),
        _ => return None,
    };
    before(now, number, unit.strip_suffix('s').unwrap_or(unit)).map(|time| time.timestamp())
}

fn before(now: DateTime<Utc>, number: i64, unit: &str) -> Option<DateTime<Utc>> {
    let span = match unit {
        "second" | "sec" => TimeDelta::try_seconds(number),
        "minute" | "min" => TimeDelta::try_minutes(number),
        "hour" => TimeDelta::try_hours(number),
        "day" => TimeDelta::try_days(number),
        "week" => TimeDelta::try_weeks(number),
        "fortnight" => TimeDelta::try_weeks(number.checked_mul(2)?),
        "month" => return months_before(now, number),
        "year" => return months_before(now, number.checked_mul(12)?),
        _ => None,
    };
    now.checked_sub_signed(span?)
}

fn months_before(now: DateTime<Utc>, number: i64) -> Option<DateTime<Utc>> {
    let months = chrono::Months::new(u32::try_from(number.unsigned_abs()).ok()?);
    if number < 0 {
        now.checked_add_months(months)
    } else {
        now.checked_sub_months(months)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are those of `TZ=UTC date --date=TEXT +%s`, from the same point in time.
    #[test]
    fn times_are_read_as_by_date() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        for (text, expected) in [
            ("@100", 100),
            ("2020-01-02 03:04:05 +0000", 1_577_934_245),
            ("2020-01-02T03:04:05Z", 1_577_934_245),
            ("2020-01-02T03:04:05+01:00", 1_577_930_645),
            ("Thu, 02 Jan 2020 03:04:05 +0000", 1_577_934_245),
            ("now", 1_700_000_000),
            ("1 week ago", 1_699_395_200),
            ("3 days ago", 1_699_740_800),
            ("yesterday", 1_699_913_600),
            ("1 month ago", 1_697_321_600),
            (
                "1955-11-05 00:00:00 +0000",
                (-446_774_400_i64).cast_unsigned(),
            ),
        ] {
            assert_eq!(parse(text, now), Ok(expected), "{text}");
        }
        for text in ["", "soon", "@x", "2020-13-01"] {
            assert_eq!(parse(text, now), Err(NoTime(text.to_owned())));
        }
    }
}
