//! Reading replies that this server's own shards wrote, to merge them.

/// The integer of `:<n>\r\n`.
pub fn integer(reply: &[u8]) -> Option<i64> {
    let line = reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    crate::text::number::parse_i64(line)
}

/// The encoded elements of an array.
pub fn array_elements(reply: &[u8]) -> Option<Vec<&[u8]>> {
    let mut elements = Elements::of(reply)?;
    let found = elements.by_ref().collect();
    elements.is_at_end().then_some(found)
}

/// The elements of [`array_elements`], found one by one; none behind one that is not whole.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// `None` if the reply is no array.
    pub fn of(reply: &'a [u8]) -> Option<Elements<'a>> {
        let (left, rest) = header(reply.strip_prefix(b"*")?)?;
        Some(Elements { left, rest })
    }

    /// Whether there were as many elements as the array should have, and nothing else.
    pub fn is_at_end(&self) -> bool {
        self.left == 0 && self.rest.is_empty()
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let left = self.left.checked_sub(1)?;
        let (element, behind) = self.rest.split_at_checked(element_len(self.rest)?)?;
        (self.left, self.rest) = (left, behind);
        Some(element)
    }
}

/// Whether an encoded element is the null of either version.
pub fn is_null(element: &[u8]) -> bool {
    matches!(element, b"$-1\r\n" | b"_\r\n")
}

fn element_len(bytes: &[u8]) -> Option<usize> {
    let (mut rest, mut elements) = (bytes, 1usize);
    while elements > 0 {
        elements -= 1;
        let (&kind, line) = rest.split_first()?;
        let end = line.iter().position(|&byte| byte == b'\r')?;
        let (line, behind) = line.split_at_checked(end)?;
        rest = behind.strip_prefix(b"\r\n")?;
        // A negative length stands for a null, in the version that has no other.
        let len = || match line {
            [b'-', ..] => Some(0),
            _ => usize::try_from(crate::text::number::parse_u64(line)?).ok(),
        };
        match kind {
            b'$' | b'=' if line != b"-1" => rest = rest.get(len()?..)?.strip_prefix(b"\r\n")?,
            b'*' | b'~' | b'>' => elements = elements.checked_add(len()?)?,
            b'%' => elements = elements.checked_add(len()?.checked_mul(2)?)?,
            _ => {}
        }
    }
    Some(bytes.len() - rest.len())
}

/// A length and what is behind its line.
fn header(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (value, behind) = bytes.split_at_checked(bytes.iter().position(|&byte| byte == b'\r')?)?;
    let value = crate::text::number::parse_u64(value)?;
    Some((usize::try_from(value).ok()?, behind.strip_prefix(b"\r\n")?))
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
        let nested = b"*3\r\n*2\r\n*1\r\n$1\r\na\r\n:1\r\n%1\r\n+k\r\n*-1\r\n-ERR x\r\n";
        let elements = array_elements(nested).unwrap();
        let expected =
            [&b"*2\r\n*1\r\n$1\r\na\r\n:1\r\n"[..], b"%1\r\n+k\r\n*-1\r\n", b"-ERR x\r\n"];
        assert_eq!(elements, expected);
        assert_eq!(array_elements(b"*1\r\n*2\r\n:1\r\n"), None);
        assert_eq!(integer(b":-7\r\n"), Some(-7));
    }
}
