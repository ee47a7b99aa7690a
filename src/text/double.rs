//! Doubles as Redis 7.2 writes them: the shortest digits that are read back as the same number,
//! integers as such, and an exponent where there would be many zeros.

use std::fmt::Write;
use std::ops::Deref;

/// Of a double: a sign, 17 digits, six zeros behind `0.`, or an exponent.
const TEXT_MAX: usize = 32;

/// Integers beyond this are not written as such: half of what 64 bits hold, as in Redis.
const INTEGER_MAX: f64 = (1_i64 << 62) as f64;

/// The text of a double, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct DoubleText {
    bytes: [u8; TEXT_MAX],
    len: usize,
}

impl Deref for DoubleText {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for DoubleText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// The integer that a double is, if it is one of which every digit counts. -0.0 is 0.
#[inline]
pub fn integer(value: f64) -> Option<i64> {
    let integer = value as i64;
    (value.abs() <= INTEGER_MAX && integer as f64 == value).then_some(integer)
}

impl DoubleText {
    const EMPTY: DoubleText = DoubleText { bytes: [0; TEXT_MAX], len: 0 };

    pub fn new(value: f64) -> DoubleText {
        let mut text = DoubleText::EMPTY;
        match integer(value) {
            Some(0) => text.push(if value.is_sign_negative() { b"-0" } else { b"0" }),
            Some(integer) => text.push(super::number::format_i64(integer, &mut [0; 21])),
            None if value.is_nan() => text.push(b"nan"),
            None if value.is_infinite() => text.push(if value < 0.0 { b"-inf" } else { b"inf" }),
            None => text.push_shortest(value),
        }
        text
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = (self.len + bytes.len()).min(TEXT_MAX);
        let fits = end - self.len;
        debug_assert_eq!(fits, bytes.len(), "no double is that long");
        self.bytes[self.len..end].copy_from_slice(&bytes[..fits]);
        self.len = end;
    }

    fn push_zeros(&mut self, count: usize) {
        self.push(&b"00000000"[..count.min(8)]);
    }

    /// The shortest digits, laid out as by the `fpconv` that Redis contains.
    fn push_shortest(&mut self, value: f64) {
        // Digits with a point behind the first, and an exponent of ten.
        let mut scientific = DoubleText::EMPTY;
        let written = write!(scientific, "{:e}", value.abs());
        debug_assert!(written.is_ok());
        let mut parts = scientific.split(|byte| *byte == b'e');
        let mantissa = parts.next().unwrap_or_default();
        let exponent = parts.next().and_then(super::number::parse_i64).unwrap_or(0);
        let mut digits = DoubleText::EMPTY;
        for part in mantissa.split(|byte| *byte == b'.') {
            digits.push(part);
        }

        if value.is_sign_negative() {
            self.push(b"-");
        }
        let count = digits.len() as i64;
        // Of the last digit.
        let last = exponent - (count - 1);
        if last >= 0 && exponent < count + 7 {
            self.push(&digits);
            self.push_zeros(last as usize);
        } else if last < 0 && (last > -7 || exponent.abs() < 4) {
            match usize::try_from(exponent) {
                Ok(exponent) => {
                    self.push(&digits[..exponent + 1]);
                    self.push(b".");
                    self.push(&digits[exponent + 1..]);
                }
                Err(_) => {
                    self.push(b"0.");
                    self.push_zeros((-1 - exponent) as usize);
                    self.push(&digits);
                }
            }
        } else {
            self.push(&digits[..1]);
            if count > 1 {
                self.push(b".");
                self.push(&digits[1..]);
            }
            self.push(if exponent < 0 { b"e-" } else { b"e+" });
            self.push(super::number::format_i64(exponent.abs(), &mut [0; 21]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::number::parse_f64;

    fn text(value: f64) -> String {
        String::from_utf8(DoubleText::new(value).to_vec()).unwrap()
    }

    /// As ZADD and ZRANGE of redis-server 8.2 show them, with `zset-max-listpack-entries 0`.
    #[test]
    fn doubles_are_written_as_redis_does() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.1, "3.1"),
            (-1.5, "-1.5"),
            (5e-324, "5e-324"),
            (1.23e-10, "1.23e-10"),
            (1e-7, "1e-7"),
            (0.000_001, "0.000001"),
            (0.000_01, "0.00001"),
            (0.000_123, "0.000123"),
            (0.123_456_789_012_3, "0.1234567890123"),
            (12_345_678.9, "12345678.9"),
            (1e15, "1000000000000000"),
            (1_234_567_891_250_000.0, "1234567891250000"),
            (123_456_789_012_345_678.0, "123456789012345680"),
            (4_611_686_018_427_387_000.0, "4611686018427386880"),
            (9_223_372_036_854_775_807.0, "9223372036854776000"),
            (1e20, "1e+20"),
            (1e300, "1e+300"),
            (-f64::MAX, "-1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            for value in [f64::from_bits(state), state as i64 as f64 / 1e6] {
                if !value.is_nan() {
                    assert_eq!(parse_f64(&DoubleText::new(value)), Some(value), "{value:e}");
                }
            }
        }
    }
}
