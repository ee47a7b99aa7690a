//! Numbers as people read them.

/// The unit of a whole table, so that its figures can be compared at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Microseconds,
    Milliseconds,
    Seconds,
}

impl TimeUnit {
    /// The unit in which a typical value has few digits before the point.
    pub fn fitting(typical_ns: u64) -> Self {
        match typical_ns {
            0..1_000_000 => TimeUnit::Microseconds,
            1_000_000..10_000_000_000 => TimeUnit::Milliseconds,
            _ => TimeUnit::Seconds,
        }
    }

    pub fn symbol(self) -> &'static str {
        match self {
            TimeUnit::Microseconds => "µs",
            TimeUnit::Milliseconds => "ms",
            TimeUnit::Seconds => "s",
        }
    }

    fn nanoseconds(self) -> f64 {
        match self {
            TimeUnit::Microseconds => 1e3,
            TimeUnit::Milliseconds => 1e6,
            TimeUnit::Seconds => 1e9,
        }
    }

    /// Three significant digits or whole units, whichever says more; without the unit.
    pub fn format(self, ns: f64) -> String {
        significant(ns / self.nanoseconds())
    }
}

/// `85.3 µs`, `1.20 ms`, `31.0 s`: a time that stands alone.
pub fn time(ns: f64) -> String {
    if ns < 1e3 {
        return format!("{ns:.0} ns");
    }
    let unit = TimeUnit::fitting(if ns < 1e9 { ns as u64 } else { u64::MAX });
    format!("{} {}", unit.format(ns), unit.symbol())
}

/// Three significant digits; thousands are grouped, and numbers that large are whole.
pub fn significant(number: f64) -> String {
    match number.abs() {
        n if n >= 999.5 => grouped(number.round() as u64),
        n if n >= 99.95 => format!("{number:.0}"),
        n if n >= 9.995 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// `1,234,567`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.char_indices() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `99.95 %` of a ratio from 0 to 1; never rounded up to 100 % or down to 0 %.
pub fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    match percent {
        p if p > 0.0 && p < 0.01 => "<0.01 %".to_owned(),
        p if (99.995..100.0).contains(&p) => ">99.99 %".to_owned(),
        p if p == 0.0 || p == 100.0 => format!("{p:.0} %"),
        p if !(1.0..99.0).contains(&p) => format!("{p:.2} %"),
        p => format!("{p:.1} %"),
    }
}

/// `1 request`, `2 requests`; `1 reply`, `2 replies`; `1 miss`, `2 misses`
pub fn counted(count: u64, noun: &str) -> String {
    let count_text = grouped(count);
    match noun {
        _ if count == 1 => format!("{count_text} {noun}"),
        _ if noun.ends_with('s') => format!("{count_text} {noun}es"),
        _ => match noun.strip_suffix("ly") {
            Some(stem) => format!("{count_text} {stem}lies"),
            None => format!("{count_text} {noun}s"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_stand_alone() {
        let texts: Vec<String> =
            [0.0, 412.0, 85_300.0, 999_000.0, 1_200_000.0, 31_000_000_000.0, 3.6e12]
                .map(time)
                .into();
        let expected = ["0 ns", "412 ns", "85.3 µs", "999 µs", "1.20 ms", "31.0 s", "3,600 s"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn numbers() {
        assert_eq!(significant(0.123_4), "0.12");
        assert_eq!(significant(9.999), "10.0");
        assert_eq!(significant(99.96), "100");
        assert_eq!(significant(999.6), "1,000");
        assert_eq!(significant(1_234_567.8), "1,234,568");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(counted(1, "request"), "1 request");
        assert_eq!(counted(1_001, "request"), "1,001 requests");
        assert_eq!(counted(2, "error reply"), "2 error replies");
        assert_eq!(counted(0, "miss"), "0 misses");
    }

    #[test]
    fn percents_say_all_or_nothing_only_if_so() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.999_999), ">99.99 %");
        assert_eq!(percent(0.000_001), "<0.01 %");
        assert_eq!(percent(0.5), "50.0 %");
        assert_eq!(percent(0.992), "99.20 %");
        assert_eq!(percent(0.012_34), "1.2 %");
    }

    #[test]
    fn one_unit_for_a_table() {
        assert_eq!(TimeUnit::fitting(85_000), TimeUnit::Microseconds);
        assert_eq!(TimeUnit::fitting(4_000_000), TimeUnit::Milliseconds);
        assert_eq!(TimeUnit::fitting(40_000_000_000), TimeUnit::Seconds);
        assert_eq!(TimeUnit::Milliseconds.format(12_340_000.0), "12.3");
        assert_eq!(TimeUnit::Microseconds.format(21_345_678.0), "21,346");
    }
}
