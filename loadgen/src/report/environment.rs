//! Where a run took place: figures without it cannot be compared. And how times are written.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Of the host that made the load.
    pub host: String,
    pub cpu_model: String,
    /// Processors that this process may use.
    pub cpus: usize,
    pub kernel: String,
    pub loadgen_version: String,
    pub server: Option<ServerIdentity>,
}

/// As the server calls itself in INFO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerIdentity {
    /// `redis`, `ringwell`, ...
    pub name: String,
    pub version: String,
}

impl Environment {
    /// What this host says of itself; what it does not say is `unknown`.
    pub fn of_this_host(server: Option<ServerIdentity>) -> Self {
        let line = |path: &str| {
            fs::read_to_string(path).map_or("unknown".into(), |text| text.trim().to_owned())
        };
        Environment {
            host: line("/proc/sys/kernel/hostname"),
            cpu_model: cpu_model(&line("/proc/cpuinfo")).unwrap_or("unknown").to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: line("/proc/sys/kernel/osrelease"),
            loadgen_version: env!("CARGO_PKG_VERSION").to_owned(),
            server,
        }
    }
}

/// x86 calls it `model name`; some ARM systems have a `Model` or nothing.
fn cpu_model(cpuinfo: &str) -> Option<&str> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| matches!(name.trim(), "model name" | "Model"))
        .map(|(_, model)| model.trim())
}

/// Milliseconds since 1970; 0 before that.
pub fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-01-01T00:00:00.250Z` (RFC 3339).
pub fn rfc3339(time: SystemTime) -> String {
    let ms = unix_ms(time);
    let (days, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60);
    let (second, ms) = (ms_of_day / 1_000 % 60, ms_of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Days since 1970 to year, month, day, by eras of 400 Gregorian years that start in March
/// (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse of [`rfc3339`], for exactly its format.
fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let is_shaped = text.len() == 24
        && text.char_indices().all(|(i, c)| match i {
            4 | 7 => c == '-',
            10 => c == 'T',
            13 | 16 => c == ':',
            19 => c == '.',
            23 => c == 'Z',
            _ => c.is_ascii_digit(),
        });
    if !is_shaped {
        return None;
    }
    let date = (number(0..4)?, number(5..7)?, number(8..10)?);
    let around = (date.0.checked_sub(1970)?) * 365;
    let day = (around..around + 2_100).find(|&day| civil(day) == date)?;
    let seconds = number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?;
    let since =
        std::time::Duration::from_millis((day * 86_400 + seconds) * 1_000 + number(20..23)?);
    UNIX_EPOCH.checked_add(since)
}

pub(super) fn write_time<S: Serializer>(
    time: &SystemTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

pub(super) fn read_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a time")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_and_read() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.250Z"),
            (951_782_399, "2000-02-28T23:59:59.250Z"),
            (951_782_400, "2000-02-29T00:00:00.250Z"),
            (1_735_689_599, "2024-12-31T23:59:59.250Z"),
            (1_767_225_600, "2026-01-01T00:00:00.250Z"),
            (4_102_444_800, "2100-01-01T00:00:00.250Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(250);
            assert_eq!(rfc3339(time), text);
            assert_eq!(parse_rfc3339(text), Some(time));
        }
        for bad in ["", "2026-02-30T00:00:00.000Z", "2026-01-01 00:00:00.000Z", "µ"] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_processor_has_a_name() {
        let cpuinfo = "processor\t: 0\nvendor_id\t: X\nmodel name\t: Example 9000 @ 3 GHz\n";
        assert_eq!(cpu_model(cpuinfo), Some("Example 9000 @ 3 GHz"));
        assert_eq!(cpu_model("processor : 0\n"), None);
    }

    #[test]
    fn this_host_is_known() {
        let environment = Environment::of_this_host(None);
        assert!(environment.cpus >= 1 && environment.kernel != "unknown");
    }
}
