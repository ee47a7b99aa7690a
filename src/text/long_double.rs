//! The 80-bit extended doubles in which Redis computes INCRBYFLOAT and HINCRBYFLOAT on x86-64.
//!
//! Clients see the 64-bit significand in the replies (`123456789.123456789 + 0.000000001` is
//! `123456789.12345678999554366`), so neither `f64` nor exact decimals give the same answers. This
//! is the arithmetic itself: reading, adding and writing, each correctly rounded to nearest, ties
//! to even, as the x87 unit and the C library do.

use super::natural::Natural;

/// A number that is not NaN. Zero has no sign here, because Redis never writes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Zero,
    /// `significand * 2^exponent`; the top bit of the significand is set. Where the format would
    /// be subnormal, the significand ends in zeros instead.
    Finite {
        significand: u64,
        exponent: i32,
    },
    Infinite,
}

/// The exponent of the smallest bit that the format can hold, and of the last bit of its largest
/// number.
const EXPONENT_MIN: i32 = -16445;
const EXPONENT_MAX: i32 = 16383 - 63;

/// Longest input that is read; Redis's buffer (`MAX_LONG_DOUBLE_CHARS`) without its final NUL.
const INPUT_MAX: usize = 5 * 1024 - 1;

impl LongDouble {
    pub const ZERO: Self = LongDouble { negative: false, magnitude: Magnitude::Zero };

    /// Reads a number as `strtold` does: decimal or hexadecimal, `inf` or `infinity` in any case.
    /// `None` for NaN, white space, anything left over, magnitudes out of range, and input of more
    /// than 5119 bytes.
    pub fn parse(input: &[u8]) -> Option<Self> {
        if input.len() > INPUT_MAX {
            return None;
        }
        let (negative, unsigned) = split_sign(input);
        let magnitude = match unsigned {
            [b'0', b'x' | b'X', rest @ ..] => match Hex::parse(rest)? {
                Hex { significand: 0, .. } => Magnitude::Zero,
                hex => in_range(round(hex.significand, hex.exponent, hex.sticky))?,
            },
            word if is_infinity(word) => Magnitude::Infinite,
            rest => Decimal::parse(rest)?.to_magnitude()?,
        };
        Some(LongDouble { negative, magnitude })
    }

    /// The sum; infinite where it is too large. `None` for the difference of two infinities.
    pub fn plus(self, other: Self) -> Option<Self> {
        use Magnitude::*;
        let (large, small) =
            if self.rank() >= other.rank() { (self, other) } else { (other, self) };
        let magnitude = match (large.magnitude, small.magnitude) {
            (Infinite, Infinite) if large.negative != small.negative => return None,
            (Infinite, _) | (_, Zero) => return Some(large),
            (
                Finite { significand: a, exponent },
                Finite { significand: b, exponent: small_exponent },
            ) => {
                // 62 bits below the last one of the larger: more than rounding needs even after
                // a cancellation, which is total or loses one bit wherever `sticky` is set.
                let distance = exponent.abs_diff(small_exponent);
                let wide = u128::from(a) << 62;
                let other = u128::from(b) << 62;
                let shifted = other.checked_shr(distance).unwrap_or(0);
                let sticky = shifted.checked_shl(distance).unwrap_or(0) != other;
                let sum = if large.negative == small.negative {
                    wide + shifted
                } else {
                    wide - shifted - u128::from(sticky)
                };
                round(sum, exponent - 62, sticky)
            }
            // `rank` puts infinite above finite above zero.
            (Zero | Finite { .. }, _) => return Some(large),
        };
        Some(LongDouble { negative: large.negative, magnitude })
    }

    pub fn is_infinite(self) -> bool {
        self.magnitude == Magnitude::Infinite
    }

    /// Appends the number as Redis does: 17 decimals (`%.17Lf`) without trailing zeros, and never
    /// in exponent form. Infinity is `inf` or `-inf`.
    pub fn push(self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        match self.magnitude {
            Magnitude::Zero => out.push(b'0'),
            Magnitude::Infinite => out.extend(b"inf"),
            Magnitude::Finite { significand, exponent: exponent @ 0.. } => {
                let mut whole = Natural::from(u128::from(significand));
                whole.shift_left(exponent.unsigned_abs());
                whole.push_decimal(out);
            }
            Magnitude::Finite { significand, exponent } => {
                let scaled = u128::from(significand) * 10_u128.pow(DECIMALS);
                push_scaled(out, shift_right_to_even(scaled, exponent.unsigned_abs()));
            }
        }
        if &out[start..] == b"-0" {
            out.remove(start);
        }
    }

    /// Compares magnitudes: infinite above finite above zero.
    fn rank(self) -> (u8, i32, u64) {
        match self.magnitude {
            Magnitude::Zero => (0, 0, 0),
            Magnitude::Finite { significand, exponent } => (1, exponent, significand),
            Magnitude::Infinite => (2, 0, 0),
        }
    }
}

/// Decimals that are written.
const DECIMALS: u32 = 17;

/// Reads a hexadecimal floating-point number, with its sign and `0x`, as a double.
pub(super) fn parse_hex_f64(input: &[u8]) -> Option<f64> {
    let (negative, unsigned) = split_sign(input);
    let Hex { significand, exponent, sticky } = Hex::parse(unsigned.get(2..)?)?;
    if significand == 0 {
        return Some(if negative { -0.0 } else { 0.0 });
    }
    // Of 128 bits with a sticky one below, `as f64` rounds correctly: set the lowest bit for it,
    // which lies far below the 53 that are kept.
    let up = significand.leading_zeros();
    let normal = significand << up | u128::from(sticky);
    let exponent = exponent - up as i32;
    // Subnormal results must be rounded once, not twice: keep only the bits that exist there.
    let top = exponent + 127;
    let kept = (top + 1075).clamp(0, 53);
    if !(-1075..=1023).contains(&top) {
        return None;
    }
    let value = shift_right_to_even(normal, 128 - kept as u32) as f64;
    // Two steps, each exact, because 2^-1074 times 2^53 has no single factor in range.
    let scale = exponent + 128 - kept;
    let value = value * 2_f64.powi(scale / 2) * 2_f64.powi(scale - scale / 2);
    let in_range = value != 0.0 && value.is_finite();
    in_range.then_some(if negative { -value } else { value })
}

fn split_sign(input: &[u8]) -> (bool, &[u8]) {
    match input {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

fn is_infinity(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity")
}

/// Numbers that a parser may return: `strtold` reports the others as out of range.
fn in_range(magnitude: Magnitude) -> Option<Magnitude> {
    matches!(magnitude, Magnitude::Finite { .. }).then_some(magnitude)
}

/// `value * 2^exponent`, a little more where `sticky`, rounded to what the format can hold.
fn round(value: u128, exponent: i32, sticky: bool) -> Magnitude {
    if value == 0 {
        return Magnitude::Zero;
    }
    let up = value.leading_zeros();
    let normal = value << up;
    let exponent = exponent - up as i32 + 64;
    // Bits of the significand that lie below the smallest subnormal.
    let missing = EXPONENT_MIN.saturating_sub(exponent).max(0).unsigned_abs();
    let drop = 64 + missing;
    if drop > 128 {
        return Magnitude::Zero;
    }
    let kept = shift_right_to_even_sticky(normal, drop, sticky);
    let (significand, exponent) = match kept.checked_shl(missing) {
        _ if kept == 0 => return Magnitude::Zero,
        // The carry of rounding up went through all 64 bits.
        Some(wide) if wide > u128::from(u64::MAX) => ((wide >> 1) as u64, exponent + 1),
        Some(wide) => (wide as u64, exponent),
        None => return Magnitude::Zero,
    };
    let up = significand.leading_zeros();
    let (significand, exponent) = (significand << up, exponent - up as i32);
    if exponent > EXPONENT_MAX {
        return Magnitude::Infinite;
    }
    Magnitude::Finite { significand, exponent }
}

fn shift_right_to_even(value: u128, bits: u32) -> u128 {
    shift_right_to_even_sticky(value, bits, false)
}

/// Divides by `2^bits`, rounding to nearest and ties to even; `sticky` is a non-zero rest below.
fn shift_right_to_even_sticky(value: u128, bits: u32, sticky: bool) -> u128 {
    match bits {
        0 => value,
        1..=127 => {
            let quotient = value >> bits;
            let rest = value & ((1 << bits) - 1);
            let half = 1 << (bits - 1);
            let up = rest > half || (rest == half && (sticky || quotient & 1 == 1));
            quotient + u128::from(up)
        }
        128 => u128::from(value > 1 << 127 || (value == 1 << 127 && sticky)),
        _ => 0,
    }
}

/// Writes `scaled / 10^17` without trailing zeros.
fn push_scaled(out: &mut Vec<u8>, scaled: u128) {
    let unit = 10_u128.pow(DECIMALS);
    // Below 2^121 / 10^17, so both parts fit.
    super::number::push_u64(out, (scaled / unit) as u64);
    let decimals = format!("{:017}", scaled % unit);
    let decimals = decimals.trim_end_matches('0');
    if !decimals.is_empty() {
        out.push(b'.');
        out.extend_from_slice(decimals.as_bytes());
    }
}

/// A hexadecimal number without sign and `0x`: `significand * 2^exponent`, a little more where
/// `sticky`.
struct Hex {
    significand: u128,
    exponent: i32,
    sticky: bool,
}

impl Hex {
    fn parse(input: &[u8]) -> Option<Self> {
        let mut hex = Hex { significand: 0, exponent: 0, sticky: false };
        let (mut seen_digit, mut seen_point) = (false, false);
        let mut rest = input;
        while let [byte, after @ ..] = rest {
            if *byte == b'.' && !seen_point {
                seen_point = true;
            } else if let Some(digit) = char::from(*byte).to_digit(16) {
                seen_digit = true;
                if hex.significand >> 120 == 0 {
                    hex.significand = hex.significand << 4 | u128::from(digit);
                    hex.exponent -= if seen_point { 4 } else { 0 };
                } else {
                    hex.sticky |= digit != 0;
                    hex.exponent += if seen_point { 0 } else { 4 };
                }
            } else {
                break;
            }
            rest = after;
        }
        if let [b'p' | b'P', power @ ..] = rest {
            hex.exponent = hex.exponent.checked_add(parse_exponent(power)?)?;
            rest = &[];
        }
        (seen_digit && rest.is_empty()).then_some(hex)
    }
}

/// A decimal number without sign: `digits * 10^exponent`, the digits without zeros at either end.
struct Decimal {
    digits: Vec<u8>,
    exponent: i32,
}

impl Decimal {
    fn parse(input: &[u8]) -> Option<Self> {
        let mut decimal = Decimal { digits: Vec::new(), exponent: 0 };
        let (mut seen_digit, mut seen_point) = (false, false);
        let mut rest = input;
        while let [byte, after @ ..] = rest {
            match byte {
                b'.' if !seen_point => seen_point = true,
                b'0'..=b'9' => {
                    seen_digit = true;
                    decimal.exponent -= i32::from(seen_point);
                    if *byte != b'0' || !decimal.digits.is_empty() {
                        decimal.digits.push(byte - b'0');
                    }
                }
                _ => break,
            }
            rest = after;
        }
        if let [b'e' | b'E', power @ ..] = rest {
            decimal.exponent = decimal.exponent.checked_add(parse_exponent(power)?)?;
            rest = &[];
        }
        while decimal.digits.last() == Some(&0) {
            decimal.digits.pop();
            decimal.exponent += 1;
        }
        (seen_digit && rest.is_empty()).then_some(decimal)
    }

    fn to_magnitude(&self) -> Option<Magnitude> {
        if self.digits.is_empty() {
            return Some(Magnitude::Zero);
        }
        // 10^4933 and 10^-4952 are out of range whatever follows; this also bounds the work.
        let point = self.digits.len() as i32 + self.exponent;
        if !(-4951..=4933).contains(&point) {
            return None;
        }
        if self.digits.len() <= 19 && (-19..=0).contains(&self.exponent) {
            return in_range(self.small_to_magnitude());
        }
        let mut numerator = Natural::from_digits(&self.digits);
        let mut denominator = Natural::from(1);
        let power = if self.exponent >= 0 { &mut numerator } else { &mut denominator };
        power.times_power_of_ten(self.exponent.unsigned_abs());
        // The quotient gets 66 or 67 bits: the significand, a bit to round by, and a spare.
        let shift = denominator.bits() as i32 - numerator.bits() as i32 + 66;
        let scaled = if shift >= 0 { &mut numerator } else { &mut denominator };
        scaled.shift_left(shift.unsigned_abs());
        let (quotient, rest) = numerator.divide(&mut denominator, 67);
        in_range(round(quotient, -shift, rest))
    }

    /// Up to 19 digits and 19 decimals, which one division of machine words settles.
    fn small_to_magnitude(&self) -> Magnitude {
        let digits = self.digits.iter().fold(0_u64, |value, &digit| value * 10 + u64::from(digit));
        let divisor = 10_u128.pow(self.exponent.unsigned_abs());
        let up = digits.leading_zeros();
        let numerator = u128::from(digits << up) << 64;
        // At least 2^127 / 10^19, which leaves 63 bits and more; two more steps make it 64 and a
        // bit to round by.
        let (quotient, rest) = (numerator / divisor, numerator % divisor);
        let spare = quotient.leading_zeros().min(3);
        let low = (rest << spare) / divisor;
        let sticky = (rest << spare) % divisor != 0;
        round(quotient << spare | low, -64 - up as i32 - spare as i32, sticky)
    }
}

/// Reads the number after `e` or `p`; what is out of any range is cut to a bound that still is.
fn parse_exponent(input: &[u8]) -> Option<i32> {
    const BOUND: i32 = 1_000_000;
    let (negative, digits) = split_sign(input);
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.iter().try_fold(0_i32, |value, byte| {
        byte.is_ascii_digit().then(|| (value * 10 + i32::from(byte - b'0')).min(BOUND))
    })?;
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: LongDouble) -> String {
        let mut out = Vec::new();
        value.push(&mut out);
        String::from_utf8(out).expect("numbers are ASCII")
    }

    fn sum(a: &str, b: &str) -> Option<String> {
        let parse = |s: &str| LongDouble::parse(s.as_bytes());
        parse(a)?.plus(parse(b)?).map(text)
    }

    /// What `SET k a`, `INCRBYFLOAT k b` answers on redis-server 7.0 (x86-64).
    #[test]
    fn adds_and_writes_as_redis() {
        for (a, b, expected) in [
            ("10.5", "0.1", "10.6"),
            ("3.0e3", "200", "3200"),
            ("5.0e3", "200", "5200"),
            ("1e-5", "0", "0.00001"),
            ("0.1", "0.2", "0.3"),
            ("0", "0.1", "0.1"),
            ("+5", ".5", "5.5"),
            ("5.", "1", "6"),
            ("1", "-1", "0"),
            ("0x1p3", "1", "9"),
            ("1e18", "0.1", "1000000000000000000.125"),
            ("123456789.123456789", "0.000000001", "123456789.12345678999554366"),
            ("1e-19", "0", "0"),
            ("-1e-19", "0", "0"),
            ("1", "-1e-20", "1"),
            ("1e-4940", "1", "1"),
            ("inf", "1", "inf"),
            ("-infinity", "1", "-inf"),
            ("3", "-inf", "-inf"),
            ("-2.5", "1.25", "-1.25"),
            (
                "1.7976931348623157e308",
                "1",
                "179769313486231569995921046774104434048386446944329178485314420765176628523124396\
                 354701868608387085564428793419425520689308708363451136055357897278026477617073498\
                 977686288394835618163294045594434929537447290627480669417384648879122776218333598\
                 953852832103282504751611691208117720159985926376802466863339536384",
            ),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
        assert_eq!(sum("inf", "-inf"), None);
        assert_eq!(sum("1e4932", "1e4932").as_deref(), Some("inf"));
    }

    #[test]
    fn rejects_what_strtold_does_not_read_whole() {
        let long = "1".repeat(INPUT_MAX + 1);
        for input in [
            "",
            "-",
            "+",
            ".",
            "e5",
            "1e",
            "1e+",
            "0x",
            "0x.",
            "0xp1",
            "0x1p",
            "nan",
            "-nan",
            " 1",
            "1 ",
            "1a",
            "--1",
            "1e5000",
            "1e-4960",
            "1e999999999999",
            "infi",
            "1\0",
            "1.2.3",
            &long,
        ] {
            assert_eq!(LongDouble::parse(input.as_bytes()), None, "{input:?}");
        }
        assert!(LongDouble::parse("0".repeat(INPUT_MAX).as_bytes()).is_some());
        assert!(LongDouble::parse(b"0e999999999999").is_some());
        assert!(LongDouble::parse(b"-0").is_some_and(|zero| text(zero) == "0"));
    }

    #[test]
    fn both_readers_round_alike() {
        let mut seed = 88_172_645_463_325_252_u64;
        for i in 0..20_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let digits = (seed >> (i % 64)).max(1) % 10_000_000_000_000_000_000;
            let decimals = i % 20;
            let quick = Decimal::parse(format!("{digits}e-{decimals}").as_bytes());
            // One more digit that changes nothing sends the number through the big integers.
            let small = quick.and_then(|d| d.to_magnitude());
            let mut wide = format!("{digits}").into_bytes();
            wide.iter_mut().for_each(|digit| *digit -= b'0');
            wide.extend([0; 20]);
            let big = Decimal { digits: wide, exponent: -decimals - 20 }.to_magnitude();
            assert_eq!(small, big, "{digits}e-{decimals}");
        }
    }

    /// Doubles are exact in the wider format, and a sum of two that a double holds exactly is the
    /// same in both.
    #[test]
    fn agrees_with_doubles_where_they_are_exact() {
        for i in 0..2000_i32 {
            let a = f64::from(i * 7919 % 4001 - 2000) / 64.0;
            let b = f64::from(i * 104_729 % 3001 - 1500) / 1024.0;
            assert_eq!(sum(&a.to_string(), &b.to_string()), Some((a + b + 0.0).to_string()));
        }
    }

    #[test]
    fn reads_hexadecimal_doubles() {
        for (input, expected) in [
            ("0x10", Some(16.0)),
            ("0x.8", Some(0.5)),
            ("-0x1.921fb54442d18p+1", Some(-std::f64::consts::PI)),
            ("0x1p-1074", Some(5e-324)),
            ("0x1p-1075", None),
            ("0x1.8p-1075", Some(5e-324)),
            ("0x1p-1022", Some(f64::MIN_POSITIVE)),
            ("0x1.fffffffffffffp1023", Some(f64::MAX)),
            ("0x1p1024", None),
            ("0x1.fffffffffffff8p1023", None),
            ("0x0p99999", Some(0.0)),
            ("0x20000000000001", Some(9_007_199_254_740_992.0)),
            ("0x20000000000003", Some(9_007_199_254_740_996.0)),
            (
                "0x200000000000010000000000000000000000001",
                Some(2.0_f64.powi(153) + 2.0_f64.powi(101)),
            ),
        ] {
            assert_eq!(parse_hex_f64(input.as_bytes()), expected, "{input}");
        }
    }

    #[test]
    fn the_longest_numbers_are_cheap() {
        let longest = format!("0.{}", "123456789".repeat(569));
        let began = std::time::Instant::now();
        let value = LongDouble::parse(&longest.as_bytes()[..INPUT_MAX]).expect("a number");
        assert_eq!(text(value), "0.12345678912345679");
        assert!(LongDouble::parse(format!("1{}e-9000", "0".repeat(5000)).as_bytes()).is_some());
        assert!(began.elapsed().as_millis() < 500);
    }
}
