//! The pieces that replies are made of. All but the headers' kinds is the same in both versions.

use crate::text::number;

/// A line. Line breaks in the text become spaces, so that a client's own bytes in an error text
/// can't forge a reply.
pub fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.push(kind);
    out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

/// A kind and a length: the header of a collection or of a bulk string.
#[inline]
pub fn header(out: &mut Vec<u8>, kind: u8, len: usize) {
    if len < 10 {
        out.extend_from_slice(&[kind, b'0' + len as u8, b'\r', b'\n']);
        return;
    }
    out.push(kind);
    number::push_u64(out, len as u64);
    out.extend_from_slice(b"\r\n");
}

#[inline]
pub fn integer(out: &mut Vec<u8>, value: i64) {
    out.push(b':');
    number::push_i64(out, value);
    out.extend_from_slice(b"\r\n");
}

#[inline]
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 16);
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// A verbatim string of plain text.
pub fn verbatim(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 20);
    header(out, b'=', text.len() + 4);
    out.extend_from_slice(b"txt:");
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}
