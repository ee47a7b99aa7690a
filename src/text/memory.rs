//! Amounts of memory: `64mb` in, `1.50M` out.

/// Reads an amount as the configuration file has them: digits and a unit in any case. Without a
/// unit, or with `b`, bytes; `k`, `m`, `g` are powers of 1000; `kb`, `mb`, `gb` powers of 1024.
pub fn parse(input: &[u8]) -> Option<u64> {
    let digits = input.iter().take_while(|b| b.is_ascii_digit()).count();
    let factor: u64 = match input[digits..].to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1000 * 1000,
        b"mb" => 1 << 20,
        b"g" => 1000 * 1000 * 1000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let number: u64 = std::str::from_utf8(&input[..digits]).ok()?.parse().ok()?;
    number.checked_mul(factor)
}

/// Writes an amount as INFO's `_human` fields do: two decimals and the largest binary unit that
/// fits.
pub fn human(bytes: u64) -> String {
    const UNITS: [(u32, char); 5] = [(50, 'P'), (40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    for (shift, unit) in UNITS {
        if bytes >= 1 << shift {
            return format!("{:.2}{unit}", bytes as f64 / (1_u64 << shift) as f64);
        }
    }
    format!("{bytes}B")
}

/// Writes an amount as CONFIG REWRITE does: the largest unit that divides it, or plain bytes.
pub fn exact(bytes: u64) -> String {
    for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units() {
        for (input, expected) in [
            ("0", Some(0)),
            ("100", Some(100)),
            ("100b", Some(100)),
            ("1k", Some(1000)),
            ("1kb", Some(1024)),
            ("2M", Some(2_000_000)),
            ("512mb", Some(536_870_912)),
            ("1G", Some(1_000_000_000)),
            ("4Gb", Some(4_294_967_296)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999gb", None),
            ("", None),
            ("mb", None),
            ("-1", None),
            ("1 mb", None),
            ("1tb", None),
            ("1.5gb", None),
        ] {
            assert_eq!(parse(input.as_bytes()), expected, "{input}");
        }
    }

    #[test]
    fn writes_for_people() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_572_864, "1.50M"),
            (8_314_159_104, "7.74G"),
            (1 << 40, "1.00T"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), expected);
        }
    }

    #[test]
    fn writes_for_files_what_it_reads() {
        for bytes in [0, 1, 1000, 1024, 1 << 20, 3 << 30, (1 << 30) + 1, u64::MAX] {
            assert_eq!(parse(exact(bytes).as_bytes()), Some(bytes));
        }
        assert_eq!(exact(64 << 20), "64mb");
    }
}
