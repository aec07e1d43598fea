//! Dates as libostree prints them.

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `at`, in seconds since 1970, as GLib's `%c` in the C locale, `offset` seconds east of UTC.
///
/// GLib pads the day with a figure space (U+2007), not with a space.
pub(super) fn format(at: u64, offset: i32) -> String {
    let local = i64::try_from(at).unwrap_or(i64::MAX / 2) + i64::from(offset);
    let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let weekday = DAYS[usize::try_from(days.rem_euclid(7)).unwrap_or_default()];
    let month = MONTHS[usize::try_from(month - 1).unwrap_or_default()];
    let pad = if day < 10 { "\u{2007}" } else { "" };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday} {month} {pad}{day} {hour:02}:{minute:02}:{second:02} {year}")
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar.
///
/// Counting years from March puts the leap day last, so a month's first day is a linear function
/// of the month: 153 days for each five months.
fn civil(days: i64) -> (i64, i64, i64) {
    const PER_ERA: i64 = 146_097;
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(PER_ERA);
    let day_of_era = from_march_0000.rem_euclid(PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // `LC_ALL=C date -u -d @N +'%a %b %e %H:%M:%S %Y'`, with GLib's padding.
        let table = [
            (0, "Thu Jan \u{2007}1 00:00:00 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 2000"),
            (1_795_250_797, "Sat Nov 21 08:46:37 2026"),
            (4_107_542_400, "Mon Mar \u{2007}1 00:00:00 2100"),
            (8_589_934_591, "Wed Mar 16 12:56:31 2242"),
        ];
        for (at, expected) in table {
            assert_eq!(format(at, 0), expected);
        }
    }

    #[test]
    fn zones_shift_the_date() {
        assert_eq!(format(0, -18_000), "Wed Dec 31 19:00:00 1969");
        assert_eq!(format(1_795_250_797, 50_400), "Sat Nov 21 22:46:37 2026");
    }
}
