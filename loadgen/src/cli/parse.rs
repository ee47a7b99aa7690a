//! Numbers with units, and the small languages of options.

use std::time::Duration;

use ringwell::text::quote::split_args;

use crate::plan::{CommandSpec, Distribution, OnMiss, SecondsRange, ValueSizes};
use crate::workload::{MIX, mix_command};

/// A count with `k`, `m` or `g` for thousands, millions or milliards: `200k`, `1.5m`.
pub fn count(text: &str) -> Result<u64, String> {
    let number = scaled(text)?;
    if number.fract() != 0.0 || number < 1.0 {
        return Err("it is a whole number from 1 on, such as 200k or 1.5m".into());
    }
    Ok(number as u64)
}

/// Requests per second: `200k`, `1.5m`, `500/s`.
pub fn rate(text: &str) -> Result<f64, String> {
    let number = scaled(text.strip_suffix("/s").unwrap_or(text))?;
    if !(0.001..=1e9).contains(&number) {
        return Err("a rate is from 0.001 to 1g requests per second".into());
    }
    Ok(number)
}

fn scaled(text: &str) -> Result<f64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    decimal(digits)
        .map(|number| number * factor)
        .ok_or("it is a number such as 5000, 200k or 1.5m".into())
}

/// Digits with or without a decimal point; no sign, no exponent, no `inf`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if plain { text.parse().ok() } else { None }
}

/// A length of time: `10s`, `500ms`, `20us`, `2m`, `1h`; seconds without a unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("the units of time are us, ms, s, m and h".into()),
    };
    let number = decimal(digits).ok_or("it is a time such as 10s, 500ms or 2m")?;
    let longest = 366.0 * 86_400.0;
    if number * seconds > longest {
        return Err("it is longer than a year".into());
    }
    Ok(Duration::from_secs_f64(number * seconds))
}

/// As [`duration`], but not nothing.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than 0".into()),
        duration => Ok(duration),
    }
}

/// Bytes: `64`, `1k`, `4kb`, `1m`; k is 1024.
pub fn bytes(text: &str) -> Result<usize, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        _ => return Err("the units of size are k (1024) and m".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "it is a size such as 64, 1k or 64-4096")?;
    number
        .checked_mul(factor)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or("it is too large".into())
}

/// Sizes of values: `64`, `64-4096`, or `64:0.8,4096:0.2`.
pub fn value_sizes(text: &str) -> Result<ValueSizes, String> {
    if text.contains(':') {
        let weighted = text.split(',').map(|item| {
            let (size, weight) =
                item.split_once(':').ok_or("every size has a weight: 64:0.8,4096:0.2")?;
            Ok((bytes(size)?, weight_of(weight)?))
        });
        return Ok(ValueSizes::Weighted(weighted.collect::<Result<_, String>>()?));
    }
    let Some((min, max)) = text.split_once('-') else {
        return Ok(ValueSizes::Fixed(bytes(text)?));
    };
    let (min, max) = (bytes(min)?, bytes(max)?);
    if min > max {
        return Err("the smaller size comes first".into());
    }
    Ok(ValueSizes::Range { min, max })
}

pub fn weight_of(text: &str) -> Result<f64, String> {
    decimal(text)
        .filter(|weight| weight.is_finite())
        .ok_or_else(|| format!("the weight \"{text}\" is not a number from 0 on"))
}

/// TTLs: `30s`, `10s-60s`, whole seconds.
pub fn ttl(text: &str) -> Result<SecondsRange, String> {
    let seconds = |text: &str| {
        let duration = duration(text)?;
        if duration.subsec_nanos() != 0 || duration.is_zero() {
            return Err("a TTL is whole seconds from 1 on".to_string());
        }
        Ok(duration.as_secs())
    };
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    let range = SecondsRange { min: seconds(min)?, max: seconds(max)? };
    if range.min > range.max { Err("the shorter TTL comes first".into()) } else { Ok(range) }
}

/// `uniform`, `zipf:0.99`, `gaussian:0.1`, `hotspot:0.1/0.9`, `sequential`.
pub fn distribution(text: &str) -> Result<Distribution, String> {
    let (name, parameter) = match text.split_once(':') {
        Some((name, parameter)) => (name, Some(parameter)),
        None => (text, None),
    };
    let number = |text: &str| decimal(text).ok_or_else(|| format!("\"{text}\" is not a number"));
    Ok(match (name, parameter) {
        ("uniform", None) => Distribution::Uniform,
        ("sequential", None) => Distribution::Sequential,
        ("zipf", exponent) => Distribution::Zipf { exponent: number(exponent.unwrap_or("0.99"))? },
        ("gaussian", deviation) => {
            Distribution::Gaussian { deviation: number(deviation.unwrap_or("0.1"))? }
        }
        ("hotspot", shares) => {
            let (keys, accesses) = shares
                .unwrap_or("0.1/0.9")
                .split_once('/')
                .ok_or("a hotspot is keys/requests, such as hotspot:0.1/0.9")?;
            Distribution::Hotspot { keys: number(keys)?, accesses: number(accesses)? }
        }
        _ => {
            return Err("the distributions are uniform, zipf:EXPONENT, gaussian:DEVIATION, \
                        hotspot:KEYS/REQUESTS and sequential"
                .into());
        }
    })
}

/// `set`, or `set,delay=2ms`.
pub fn on_miss(text: &str) -> Result<OnMiss, String> {
    let delay = match text.split_once(',') {
        None if text == "set" => Duration::ZERO,
        Some(("set", option)) => {
            duration(option.strip_prefix("delay=").ok_or("behind set comes delay=TIME")?)?
        }
        _ => return Err("a miss can be filled by set, or set,delay=2ms".into()),
    };
    Ok(OnMiss { delay })
}

/// Processors: `1,3-5`.
pub fn cpus(text: &str) -> Result<CpuList, String> {
    let number = |text: &str| {
        text.parse::<usize>().ok().filter(|cpu| *cpu < 4096).ok_or("it is a list such as 1,3-5")
    };
    let mut cpus = Vec::new();
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("{item} is the wrong way round"));
        }
        for cpu in first..=last {
            if cpus.contains(&cpu) {
                return Err(format!("processor {cpu} is named twice"));
            }
            cpus.push(cpu);
        }
    }
    Ok(CpuList(cpus))
}

/// One value of `--cpus` (clap takes a plain vector for many values).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(pub Vec<usize>);

/// `get=90,set=10`, by the names of [`MIX`].
pub fn mix(text: &str) -> Result<Mix, String> {
    let mut commands: Vec<CommandSpec> = Vec::new();
    for item in text.split(',') {
        let (name, weight) = item.split_once('=').unwrap_or((item, "1"));
        let known = mix_command(name).ok_or_else(|| {
            let names: Vec<&str> = MIX.iter().map(|c| c.name).collect();
            format!("\"{name}\" is none of {}; send anything else by --cmd", names.join(" "))
        })?;
        let title = known.name.to_ascii_uppercase();
        if commands.iter().any(|c| c.title == title) {
            return Err(format!("{name} is named twice"));
        }
        commands.push(CommandSpec {
            title,
            template: known.template.iter().map(ToString::to_string).collect(),
            weight: weight_of(weight)?,
            inline: false,
        });
    }
    if commands.iter().all(|c| c.weight == 0.0) {
        return Err("one weight at least is above 0".into());
    }
    Ok(Mix(commands))
}

/// One value of `--mix`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix(pub Vec<CommandSpec>);

/// A command line, quoted as in redis-cli, of which nothing is a weight.
pub fn command(text: &str, weight: f64) -> Result<CommandSpec, String> {
    let words = split_args(text.as_bytes())
        .map_err(|_| format!("the quotes in \"{text}\" are not balanced"))?;
    let template = words
        .into_iter()
        .map(String::from_utf8)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("\"{text}\" is not UTF-8 when its quotes are read"))?;
    if template.is_empty() {
        return Err("a command has at least one word".into());
    }
    Ok(CommandSpec { title: text.trim().to_string(), template, weight, inline: false })
}

/// A command line that may end in `@` and its weight: `GET __key__@9`.
pub fn weighted_command(text: &str) -> Result<CommandSpec, String> {
    let trimmed = text.trim_end();
    match trimmed.rsplit_once('@').map(|(line, weight)| (line, decimal(weight))) {
        Some((line, Some(weight))) if !trimmed.ends_with('@') => command(line, weight),
        _ => command(text, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T>(results: impl IntoIterator<Item = Result<T, String>>) -> bool {
        results.into_iter().all(|r| r.is_err())
    }

    #[test]
    fn counts_and_rates() {
        assert_eq!(count("200k"), Ok(200_000));
        assert_eq!(count("1.5M"), Ok(1_500_000));
        assert_eq!(count("7"), Ok(7));
        assert_eq!(rate("200k"), Ok(200_000.0));
        assert_eq!(rate("1.5m/s"), Ok(1_500_000.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        assert!(refused(["", "0", "k", "-1", "1.5", "1e3", "inf", "nan", "1kk", "1 k"].map(count)));
        assert!(refused(["0", "/s", "2g", "-5", "1e9", "5 /s"].map(rate)));
    }

    #[test]
    fn times() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("20us"), Ok(Duration::from_micros(20)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert!(refused(["", "s", "-1s", "1d", "1 s", "400000h"].map(duration)));
        assert!(refused(["0", "0ms"].map(positive_duration)));
    }

    #[test]
    fn sizes() {
        assert_eq!(value_sizes("64"), Ok(ValueSizes::Fixed(64)));
        assert_eq!(value_sizes("1k"), Ok(ValueSizes::Fixed(1024)));
        assert_eq!(value_sizes("64-4k"), Ok(ValueSizes::Range { min: 64, max: 4096 }));
        assert_eq!(
            value_sizes("64:0.8,4096:0.2"),
            Ok(ValueSizes::Weighted(vec![(64, 0.8), (4096, 0.2)]))
        );
        let bad =
            ["", "x", "-1", "64:", ":1", "64:x", "64:1,65", "9-8", "1g", "99999999999999999m"];
        assert!(refused(bad.map(value_sizes)));
    }

    #[test]
    fn ttls() {
        assert_eq!(ttl("10s-1m"), Ok(SecondsRange { min: 10, max: 60 }));
        assert_eq!(ttl("5"), Ok(SecondsRange { min: 5, max: 5 }));
        assert!(refused(["0", "500ms", "60s-10s", "1s-", "-"].map(ttl)));
    }

    #[test]
    fn distributions() {
        assert_eq!(distribution("uniform"), Ok(Distribution::Uniform));
        assert_eq!(distribution("sequential"), Ok(Distribution::Sequential));
        assert_eq!(distribution("zipf"), Ok(Distribution::Zipf { exponent: 0.99 }));
        assert_eq!(distribution("zipf:1"), Ok(Distribution::Zipf { exponent: 1.0 }));
        assert_eq!(distribution("gaussian:0.2"), Ok(Distribution::Gaussian { deviation: 0.2 }));
        assert_eq!(
            distribution("hotspot:0.2/0.8"),
            Ok(Distribution::Hotspot { keys: 0.2, accesses: 0.8 })
        );
        let bad = ["", "zip", "zipf:", "zipf:-1", "uniform:1", "hotspot:0.1", "hotspot:a/b"];
        assert!(refused(bad.map(distribution)));
    }

    #[test]
    fn lists_of_processors() {
        assert_eq!(cpus("1,3-5"), Ok(CpuList(vec![1, 3, 4, 5])));
        assert!(refused(["", "1,", "a", "5-3", "1,0-2", "0-99999999"].map(cpus)));
    }

    #[test]
    fn misses() {
        assert_eq!(on_miss("set"), Ok(OnMiss { delay: Duration::ZERO }));
        assert_eq!(on_miss("set,delay=2ms"), Ok(OnMiss { delay: Duration::from_millis(2) }));
        assert!(refused(["", "get", "set,", "set,2ms", "set,delay=x"].map(on_miss)));
    }

    #[test]
    fn mixes() {
        let Mix(commands) = mix("get=90,SET=10").expect("both are known");
        let summary: Vec<_> =
            commands.iter().map(|c| (c.title.as_str(), c.template.join(" "), c.weight)).collect();
        assert_eq!(
            summary,
            [("GET", "GET __key__".into(), 90.0), ("SET", "SET __key__ __value__".into(), 10.0)]
        );
        assert!(refused(
            ["", "get=", "get=x", "nope=1", "get=1,get=2", "get=0", "get=-1"].map(mix)
        ));
    }

    #[test]
    fn commands_with_weights() {
        let spec = weighted_command("ZADD z __rand__ 'a b'@2.5").expect("balanced");
        assert_eq!(spec.template, ["ZADD", "z", "__rand__", "a b"]);
        assert_eq!((spec.weight, spec.title.as_str()), (2.5, "ZADD z __rand__ 'a b'"));
        for whole in ["GET user@host", "GET a@", "GET @b"] {
            let spec = weighted_command(whole).expect("no weight in it");
            assert_eq!((spec.weight, spec.template.join(" ").as_str()), (1.0, whole));
        }
        assert!(refused(["", "  ", "@5", "GET \"x", r#"GET "\xff""#].map(weighted_command)));
    }
}
