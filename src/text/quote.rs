//! Splitting a line into arguments and quoting an argument for a line: inline commands and the
//! configuration file.

/// A quote that is not closed, or is closed in the middle of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnbalancedQuotes;

/// Splits a line at white space. `"..."` may hold `\n \r \t \b \a`, `\xHH` and `\` before any other
/// byte; `'...'` only `\'`. After a closing quote there must be white space. A NUL byte ends the
/// line, as it does in Redis.
pub fn split_args(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
    let line = line.split(|&b| b == 0).next().unwrap_or_default();
    let mut args = Vec::new();
    let mut rest = skip_space(line);
    while !rest.is_empty() {
        let (arg, after) = take_arg(rest)?;
        args.push(arg);
        rest = skip_space(after);
    }
    Ok(args)
}

/// Appends `bytes` in double quotes so that [`split_args`] gives them back: printable ASCII as it
/// is, everything else escaped.
pub fn push_repr(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            7 => out.extend(b"\\a"),
            8 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend([b'\\', b'x', HEX[high], HEX[low]]);
            }
        }
    }
    out.push(b'"');
}

/// The `isspace` of C.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn skip_space(line: &[u8]) -> &[u8] {
    let spaces = line.iter().take_while(|&&b| is_space(b)).count();
    &line[spaces..]
}

/// Takes one argument from the front, and gives what follows it.
fn take_arg(line: &[u8]) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    let mut arg = Vec::new();
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            // Vertical tab and form feed separate arguments only where one has ended already.
            b' ' | b'\n' | b'\r' | b'\t' => break,
            b'"' => {
                at = take_double_quoted(line, at + 1, &mut arg)?;
                return end_of_quoted(line, at, arg);
            }
            b'\'' => {
                at = take_single_quoted(line, at + 1, &mut arg)?;
                return end_of_quoted(line, at, arg);
            }
            _ => arg.push(byte),
        }
        at += 1;
    }
    Ok((arg, &line[at..]))
}

fn end_of_quoted(
    line: &[u8],
    at: usize,
    arg: Vec<u8>,
) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    match line.get(at) {
        Some(&byte) if !is_space(byte) => Err(UnbalancedQuotes),
        _ => Ok((arg, &line[at..])),
    }
}

/// Reads up to and over the closing quote; gives the position after it.
fn take_double_quoted(
    line: &[u8],
    mut at: usize,
    arg: &mut Vec<u8>,
) -> Result<usize, UnbalancedQuotes> {
    loop {
        match line[at..] {
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                arg.push(hex_digit(high) << 4 | hex_digit(low));
                at += 4;
            }
            [b'\\', escaped, ..] => {
                arg.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                at += 2;
            }
            [b'"', ..] => return Ok(at + 1),
            [byte, ..] => {
                arg.push(byte);
                at += 1;
            }
            [] => return Err(UnbalancedQuotes),
        }
    }
}

fn take_single_quoted(
    line: &[u8],
    mut at: usize,
    arg: &mut Vec<u8>,
) -> Result<usize, UnbalancedQuotes> {
    loop {
        match line[at..] {
            [b'\\', b'\'', ..] => {
                arg.push(b'\'');
                at += 2;
            }
            [b'\'', ..] => return Ok(at + 1),
            [byte, ..] => {
                arg.push(byte);
                at += 1;
            }
            [] => return Err(UnbalancedQuotes),
        }
    }
}

fn hex_digit(digit: u8) -> u8 {
    (digit as char).to_digit(16).map_or(0, |value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_redis_does() {
        type Case = (&'static [u8], Option<&'static [&'static [u8]]>);
        let cases: [Case; 19] = [
            (b"", Some(&[])),
            (b"   \t", Some(&[])),
            (b"get key", Some(&[b"get", b"key"])),
            (b"  set  k\tv \r", Some(&[b"set", b"k", b"v"])),
            (br#"set k "a b""#, Some(&[b"set", b"k", b"a b"])),
            (br#"set k "\x00\xfF\n\"\q""#, Some(&[b"set", b"k", b"\x00\xff\n\"q"])),
            (br#"set k "\xg1""#, Some(&[b"set", b"k", b"xg1"])),
            (br"set k 'a\'b\n'", Some(&[b"set", b"k", b"a'b\\n"])),
            (br#"set k """#, Some(&[b"set", b"k", b""])),
            (b"''", Some(&[b""])),
            (br#"ab"c d""#, Some(&[b"abc d"])),
            (br#"ab'c d'"#, Some(&[b"abc d"])),
            (br#"set k "open"#, None),
            (b"set k 'open", None),
            (br#"set "a"b"#, None),
            (b"set 'a'b", None),
            (br#"set "a\"#, None),
            (b"get a\x00b c", Some(&[b"get", b"a"])),
            (b"a\x0bb \x0bc", Some(&[b"a\x0bb", b"c"])),
        ];
        for (line, expected) in cases {
            let answer = split_args(line);
            let expected: Option<Vec<Vec<u8>>> =
                expected.map(|args| args.iter().map(|arg| arg.to_vec()).collect());
            assert_eq!(answer.ok(), expected, "{:?}", line.escape_ascii().to_string());
        }
    }

    #[test]
    fn what_is_quoted_splits_to_itself() {
        let every_byte: Vec<u8> = (0..=u8::MAX).collect();
        for bytes in [&b""[..], b"plain", b"a b", b"\"\\'", &every_byte] {
            let mut line = b"directive ".to_vec();
            push_repr(&mut line, bytes);
            assert_eq!(split_args(&line), Ok(vec![b"directive".to_vec(), bytes.to_vec()]));
            assert!(line.iter().all(|b| (b' '..=b'~').contains(b)));
        }
        let mut out = Vec::new();
        push_repr(&mut out, b"a\"b\\\n\r\t\x07\x08\x01\xff");
        assert_eq!(out, br#""a\"b\\\n\r\t\a\b\x01\xff""#);
    }
}
