//! Times in headers (RFC 9110, section 5.6.7), such as `Sun, 06 Nov 1994 08:49:37 GMT`. Pure.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Days from the first of March of the year 0 to the first of January 1970.
const TO_1970: u64 = 719_468;

/// Seconds since 1970 UTC.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let mut parts = text.split_once(", ")?.1.split([' ', ':']);
    let (day, name) = (parts.next()?, parts.next()?);
    let within = |text: &str, limit: u64| text.parse().ok().filter(|n: &u64| *n <= limit);
    let day = within(day, 31).filter(|day| *day > 0)?;
    let mut number = |limit| within(parts.next()?, limit);
    let month = MONTHS.iter().position(|month| *month == name)? as u64;
    let year = number(9999).filter(|year| *year >= 1970)?;
    let (hour, minute, second) = (number(23)?, number(59)?, number(60)?);
    // Years that begin in March put the leap day last; the months' lengths then follow a formula.
    let year = year - u64::from(month < 2);
    let month = (month + 10) % 12;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((((days - TO_1970) * 24 + hour) * 60 + minute) * 60 + second)
}

/// The text for `time`, seconds since 1970 UTC.
pub(crate) fn format(time: u64) -> String {
    let days = time / 86_400;
    let seconds = time % 86_400;
    let weekday = DAYS[usize::try_from(days % 7).unwrap_or_default()];
    let (year, month, day) = civil(days + TO_1970);
    let name = MONTHS[usize::try_from(month).unwrap_or_default()];
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {day:02} {name} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Year, month (from 0), and day of the month, of a count of days since the first of March of the year 0.
fn civil(days: u64) -> (u64, u64, u64) {
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    (year + era * 400 + u64::from(month < 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of `date -u -d @TIME`.
    #[test]
    fn times_go_to_text_and_back() {
        for (time, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 GMT"),
        ] {
            assert_eq!(format(time), text);
            assert_eq!(parse(text), Some(time), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
