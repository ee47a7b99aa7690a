use ringwell_test_support::Rng;

use super::*;

const ENCODINGS: [Encoding; 3] = [Encoding::Resp2, Encoding::Resp3, Encoding::Values];

fn written(encoding: Encoding, values: &[Value<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, encoding);
    values.iter().for_each(|value| reply.value(value));
    out
}

fn shown(encoding: Encoding, value: Value<'_>) -> String {
    String::from_utf8(written(encoding, &[value])).unwrap()
}

#[test]
fn each_version_has_its_own_bytes() {
    let cases: [(Value<'_>, &str, &str); 18] = [
        (Value::Integer(-7), ":-7\r\n", ":-7\r\n"),
        (Value::Simple(b"a\rb\n"), "+a b \r\n", "+a b \r\n"),
        (Value::Error(b"ERR a\r\n+b"), "-ERR a  +b\r\n", "-ERR a  +b\r\n"),
        (Value::Bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
        (Value::Bulk(&[b'x'; 10]), "$10\r\nxxxxxxxxxx\r\n", "$10\r\nxxxxxxxxxx\r\n"),
        (Value::Null, "$-1\r\n", "_\r\n"),
        (Value::NullArray, "*-1\r\n", "_\r\n"),
        (Value::Array(12), "*12\r\n", "*12\r\n"),
        (Value::Map(6), "*12\r\n", "%6\r\n"),
        (Value::Pairs(2), "*4\r\n", "*2\r\n"),
        (Value::Pair, "", "*2\r\n"),
        (Value::Set(2), "*2\r\n", "~2\r\n"),
        (Value::Push(2), "*2\r\n", ">2\r\n"),
        (Value::Double(86.25), "$5\r\n86.25\r\n", ",86.25\r\n"),
        (Value::Boolean(true), ":1\r\n", "#t\r\n"),
        (Value::Boolean(false), ":0\r\n", "#f\r\n"),
        (Value::BigNumber(b"-12"), "$3\r\n-12\r\n", "(-12\r\n"),
        (Value::Verbatim(b"a"), "$1\r\na\r\n", "=5\r\ntxt:a\r\n"),
    ];
    for (value, resp2, resp3) in cases {
        assert_eq!(shown(Encoding::Resp2, value), resp2);
        assert_eq!(shown(Encoding::Resp3, value), resp3);
    }
}

#[test]
fn doubles_have_no_more_digits_than_they_need() {
    for (value, text) in [(0.0, "0"), (1.0, "1"), (0.1, "0.1"), (-2.5, "-2.5"), (86.25, "86.25")] {
        assert_eq!(shown(Encoding::Resp3, Value::Double(value)), format!(",{text}\r\n"));
    }
}

#[test]
fn values_are_read_as_they_were_written() {
    let long = vec![b'x'; 70_000];
    let mut values = vec![Value::Null, Value::NullArray, Value::Boolean(true), Value::Double(-0.5)];
    for shift in 0..64 {
        let power = 1i64 << shift;
        values.extend([power.wrapping_sub(1), power, power.wrapping_neg()].map(Value::Integer));
        let len = usize::MAX >> shift;
        values.extend([Value::Array(len), Value::Map(len), Value::Set(len), Value::Push(len)]);
        values.extend([Value::Pairs(len), Value::Pair]);
    }
    for len in [0, 1, 251, 252, 253, 254, 255, 256, 65_535, 65_536, 70_000] {
        let bytes = &long[..len];
        values.extend([Value::Bulk(bytes), Value::Verbatim(bytes), Value::BigNumber(bytes)]);
        values.extend([Value::Simple(bytes), Value::Error(bytes)]);
    }
    for value in &values {
        let bytes = written(Encoding::Values, &[*value]);
        let mut read = Values::new(&bytes);
        assert_eq!((read.next(), read.is_empty()), (Some(*value), true));
        if matches!(value, Value::Integer(_) | Value::Bulk(_) | Value::Null | Value::Array(_)) {
            assert!(bytes.len() <= written(Encoding::Resp2, &[*value]).len(), "{value:?}");
        }
        for len in 0..bytes.len().min(20) {
            let mut cut = Values::new(&bytes[..len]);
            assert_eq!((cut.next(), cut.bytes().len()), (None, len), "{value:?} cut at {len}");
        }
    }
    let bytes = written(Encoding::Values, &values);
    assert!(Values::new(&bytes).eq(values));
}

/// A value with its elements.
fn random_value<'a>(rng: &mut Rng, depth: usize, out: &mut Vec<Value<'a>>) {
    const TEXT: &[u8] = &[b'-'; 300];
    let number = rng.next();
    let text = &TEXT[..number as usize % 300];
    out.push(match rng.below(if depth > 0 { 16 } else { 10 }) {
        0 => Value::Integer(number as i64 >> (number % 64)),
        1 => Value::Simple(text),
        2 => Value::Error(text),
        3 => Value::Null,
        4 => Value::NullArray,
        5 => Value::Double(number as i64 as f64 / 1024.0),
        6 => Value::Boolean(number.is_multiple_of(2)),
        7 => Value::BigNumber(text),
        8 => Value::Verbatim(text),
        9 => Value::Bulk(text),
        10 => Value::Array(number as usize % 4),
        11 => Value::Map(number as usize % 4),
        12 => Value::Set(number as usize % 4),
        13 => Value::Pairs(number as usize % 4),
        14 => Value::Pair,
        _ => Value::Push(number as usize % 4),
    });
    for _ in 0..out[out.len() - 1].elements() {
        random_value(rng, depth - 1, out);
    }
}

#[test]
fn values_become_what_would_have_been_written_at_once() {
    let mut rng = Rng::new(1);
    for _ in 0..2_000 {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        random_value(&mut rng, 4, &mut first);
        random_value(&mut rng, 4, &mut second);
        let bytes = written(Encoding::Values, &[first.clone(), second.clone()].concat());
        for encoding in ENCODINGS {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, encoding);
            let mut values = Values::new(&bytes);
            assert_eq!(reply.copy_from(&mut values), Some(()));
            assert_eq!(reply.position(), written(encoding, &first).len());
            reply.values(values);
            assert_eq!(out, written(encoding, &[first.clone(), second.clone()].concat()));
        }
        let cut = rng.below(written(Encoding::Values, &first).len());
        let mut out = Vec::new();
        let copied =
            Reply::new(&mut out, Encoding::Resp2).copy_from(&mut Values::new(&bytes[..cut]));
        assert_eq!(copied, None, "{first:?} cut at {cut}");
    }
}

#[test]
fn of_any_bytes_something_or_nothing_is_read() {
    let mut rng = Rng::new(1);
    for _ in 0..20_000 {
        let len = rng.below(24);
        // Mostly tags that there are.
        let byte = |_| {
            let shift = rng.below(64);
            (rng.next() >> shift) as u8
        };
        let bytes: Vec<u8> = (0..len).map(byte).collect();
        let mut values = Values::new(&bytes);
        let read = values.by_ref().count();
        assert!(read <= bytes.len());
        let mut out = Vec::new();
        let _ = Reply::new(&mut out, Encoding::Resp3).copy_from(&mut Values::new(&bytes));
    }
}
