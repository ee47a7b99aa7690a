//! Integers and doubles, read as strictly as Redis reads them and written quickly.

use super::long_double;

/// Reads an integer in its one canonical form: an optional `-`, no `+`, no leading zeros, no `-0`,
/// no white space; anything that would not be written the same way is rejected.
pub fn parse_i64(input: &[u8]) -> Option<i64> {
    let (negative, digits) = match input {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let magnitude = parse_u64(digits)?;
    if !negative {
        return i64::try_from(magnitude).ok();
    }
    match magnitude {
        0 => None,
        magnitude => 0_i64.checked_sub_unsigned(magnitude),
    }
}

/// As [`parse_i64`], for numbers that have no sign.
pub fn parse_u64(input: &[u8]) -> Option<u64> {
    match input {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if input.len() <= MAX_DIGITS => {
            input.iter().try_fold(0, |value, &byte| {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                u64::checked_add(u64::checked_mul(value, 10)?, u64::from(digit))
            })
        }
        _ => None,
    }
}

/// Digits of `u64::MAX`.
const MAX_DIGITS: usize = 20;

/// Room for the decimal form of any 64-bit integer, its sign included.
pub type Digits = [u8; MAX_DIGITS + 1];

/// Appends the decimal form.
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(format_i64(value, &mut [0; MAX_DIGITS + 1]));
}

/// The decimal form, written into the buffer: for where an allocation would be too much.
pub fn format_i64(value: i64, buffer: &mut Digits) -> &[u8] {
    let mut start = write_digits(buffer, value.unsigned_abs());
    if value < 0 {
        start -= 1;
        buffer[start] = b'-';
    }
    &buffer[start..]
}

/// Appends the decimal form.
pub fn push_u64(out: &mut Vec<u8>, value: u64) {
    let mut buffer = [0; MAX_DIGITS + 1];
    let start = write_digits(&mut buffer, value);
    out.extend_from_slice(&buffer[start..]);
}

/// Writes the digits at the end of the buffer, two at a time, and gives where they begin; that is
/// at least 1, which leaves room for a sign.
fn write_digits(buffer: &mut Digits, mut value: u64) -> usize {
    let mut at = buffer.len();
    while value >= 100 {
        let pair = (value % 100) as usize;
        value /= 100;
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[pair]);
    }
    if value >= 10 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[value as usize]);
    } else {
        at -= 1;
        buffer[at] = b'0' + value as u8;
    }
    at
}

/// `00` to `99`.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

/// Reads a double as Redis does through `strtod`: decimal or hexadecimal, `inf` and `infinity` in
/// any case. Not a number, white space, a magnitude too large or too small (other than zero) and
/// anything left over are rejected.
pub fn parse_f64(input: &[u8]) -> Option<f64> {
    let unsigned = match input {
        [b'+' | b'-', rest @ ..] => rest,
        rest => rest,
    };
    if let [b'0', b'x' | b'X', ..] = unsigned {
        return long_double::parse_hex_f64(input);
    }
    let value: f64 = std::str::from_utf8(input).ok()?.parse().ok()?;
    let has_number = unsigned.first().is_some_and(|b| b.is_ascii_digit() || *b == b'.');
    let lost = match value {
        v if v.is_nan() => true,
        v if v.is_infinite() => has_number,
        0.0 => {
            let mantissa = unsigned.split(|b| matches!(b, b'e' | b'E')).next().unwrap_or_default();
            mantissa.iter().any(|b| matches!(b, b'1'..=b'9'))
        }
        _ => false,
    };
    (!lost).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_only_canonical_integers() {
        for (input, expected) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-7", Some(-7)),
            ("10", Some(10)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("999999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            ("-01", None),
            ("00", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
            ("1.0", None),
            ("1\0", None),
            ("--1", None),
        ] {
            assert_eq!(parse_i64(input.as_bytes()), expected, "{input:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn writes_what_it_reads() {
        let mut values = vec![0, 1, -1, 9, 10, 99, 100, 101, i64::MIN, i64::MAX];
        let mut power = 1_i64;
        while let Some(next) = power.checked_mul(10) {
            power = next;
            values.extend([power - 1, power, power + 1, -power, 1 - power]);
        }
        for value in values {
            let mut out = b"x".to_vec();
            push_i64(&mut out, value);
            assert_eq!(out, format!("x{value}").as_bytes());
            assert_eq!(parse_i64(&out[1..]), Some(value));
        }
        let mut out = Vec::new();
        push_u64(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn reads_doubles_as_strtod() {
        // Accepted and rejected as scores by ZADD of redis-server 7.0.
        for (input, expected) in [
            ("1", Some(1.0)),
            ("+1", Some(1.0)),
            ("-1.5e3", Some(-1500.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("0x10", Some(16.0)),
            ("-0X1.8p1", Some(-3.0)),
            ("inf", Some(f64::INFINITY)),
            ("+INF", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("4.9e-324", Some(5e-324)),
            ("0e999", Some(0.0)),
            ("1.7976931348623157e308", Some(f64::MAX)),
            ("1e400", None),
            ("1e-400", None),
            ("nan", None),
            ("-nan", None),
            ("", None),
            (".", None),
            ("1e", None),
            ("1e+", None),
            ("0x", None),
            (" 1", None),
            ("1 ", None),
            ("1,5", None),
            ("infin", None),
            ("1\0", None),
            ("1_000", None),
        ] {
            assert_eq!(parse_f64(input.as_bytes()), expected, "{input:?}");
        }
    }
}
