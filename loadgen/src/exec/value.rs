//! Replies as trees, for the few questions outside the measurement.

/// One reply. RESP3's maps are lists of keys and values in turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Error(String),
    Text(Vec<u8>),
    Number(i64),
    List(Vec<Value>),
}

/// Deeper nesting, or more elements, than any answer that this program asks for.
const DEPTH_MAX: usize = 8;
const ELEMENTS_MAX: u64 = 1 << 20;

impl Value {
    /// Text, or a number as text.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<i64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Text(_) => self.text()?.parse().ok(),
            _ => None,
        }
    }

    pub fn list(&self) -> Option<&[Value]> {
        match self {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    /// Parses a reply that [`crate::reply::Decoder`] has found to be whole and well-formed; `None`
    /// for one that is too deep or too long for us.
    pub fn parse(bytes: &[u8]) -> Option<Value> {
        parse(&mut { bytes }, 0)
    }
}

fn parse(rest: &mut &[u8], depth: usize) -> Option<Value> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = rest.get(1..end.checked_sub(1)?)?;
    let kind = *rest.first()?;
    *rest = &rest[end + 1..];
    let text = String::from_utf8_lossy(line);
    let value = match kind {
        b'-' => Value::Error(text.into_owned()),
        b':' => Value::Number(text.parse().ok()?),
        b'+' | b',' | b'#' | b'(' => Value::Text(line.to_vec()),
        b'_' => Value::Null,
        b'$' | b'*' if line == b"-1" => Value::Null,
        b'$' | b'=' | b'!' => {
            let length: usize = text.parse().ok()?;
            let body = rest.get(..length)?;
            *rest = rest.get(length.checked_add(2)?..)?;
            match kind {
                b'!' => Value::Error(String::from_utf8_lossy(body).into_owned()),
                b'=' => Value::Text(body.get(4..)?.to_vec()),
                _ => Value::Text(body.to_vec()),
            }
        }
        b'*' | b'~' | b'>' | b'%' | b'|' => {
            let pairs = matches!(kind, b'%' | b'|');
            let count = text.parse::<u64>().ok()? * if pairs { 2 } else { 1 };
            if count > ELEMENTS_MAX || depth == DEPTH_MAX {
                return None;
            }
            let values: Option<Vec<_>> = (0..count).map(|_| parse(rest, depth + 1)).collect();
            match kind {
                b'|' => return parse(rest, depth + 1),
                _ => Value::List(values?),
            }
        }
        _ => return None,
    };
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind() {
        let text = |text: &str| Value::Text(text.into());
        let cases = [
            ("+OK\r\n", text("OK")),
            ("-ERR no\r\n", Value::Error("ERR no".into())),
            ("!6\r\nERR no\r\n", Value::Error("ERR no".into())),
            (":-5\r\n", Value::Number(-5)),
            ("$3\r\na\nb\r\n", text("a\nb")),
            ("=7\r\ntxt:abc\r\n", text("abc")),
            ("$-1\r\n", Value::Null),
            ("_\r\n", Value::Null),
            ("%1\r\n+a\r\n*1\r\n:1\r\n", {
                Value::List(vec![text("a"), Value::List(vec![Value::Number(1)])])
            }),
            ("|1\r\n+a\r\n:1\r\n:2\r\n", Value::Number(2)),
        ];
        for (bytes, value) in cases {
            assert_eq!(Value::parse(bytes.as_bytes()), Some(value), "{bytes}");
        }
    }

    #[test]
    fn what_is_cut_or_too_deep_is_none() {
        for bytes in
            ["", "\n", "$", "$5\r\nab\r\n", "*2\r\n:1\r\n", "*99999999\r\n", "=2\r\nab\r\n"]
        {
            assert_eq!(Value::parse(bytes.as_bytes()), None, "{bytes}");
        }
        assert_eq!(Value::parse("*1\r\n".repeat(100_000).as_bytes()), None);
    }
}
