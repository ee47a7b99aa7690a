//! Reading replies that this server's own shards wrote, to merge them.

/// The integer of `:<n>\r\n`.
pub fn integer(reply: &[u8]) -> Option<i64> {
    let line = reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    crate::text::number::parse_i64(line)
}

/// The encoded elements of an array whose elements are strings, integers or nulls.
pub fn array_elements(reply: &[u8]) -> Option<Vec<&[u8]>> {
    let (count, mut rest) = header(reply.strip_prefix(b"*")?)?;
    let mut elements = Vec::new();
    for _ in 0..count {
        let (element, behind) = rest.split_at_checked(element_len(rest)?)?;
        elements.push(element);
        rest = behind;
    }
    rest.is_empty().then_some(elements)
}

/// Whether an encoded element is the null of either version.
pub fn is_null(element: &[u8]) -> bool {
    matches!(element, b"$-1\r\n" | b"_\r\n")
}

fn element_len(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    if bytes[0] != b'$' || is_null(&bytes[..line]) {
        return Some(line);
    }
    let (len, _) = header(&bytes[1..])?;
    Some(line + len + 2)
}

/// A length and what is behind its line.
fn header(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let value = crate::text::number::parse_u64(&bytes[..end])?;
    Some((usize::try_from(value).ok()?, &bytes[end + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_arrays_into_their_elements() {
        let reply = b"*4\r\n$3\r\na\r\n\r\n$-1\r\n_\r\n:12\r\n";
        let elements = array_elements(reply).unwrap();
        assert_eq!(elements, [&b"$3\r\na\r\n\r\n"[..], b"$-1\r\n", b"_\r\n", b":12\r\n"]);
        assert_eq!(array_elements(b"*1\r\n$5\r\nab\r\n"), None);
        assert_eq!(integer(b":-7\r\n"), Some(-7));
    }
}
