//! Writing the parts that payloads are made of. Nothing is compressed, which every reader accepts.

use crate::text::number::{self, parse_i64};

/// Redis looks for an integer in strings of up to so many bytes.
const INTEGER_BYTES_MAX: usize = 11;

/// A number, in the shortest of its forms.
pub fn length(out: &mut Vec<u8>, len: usize) {
    let len = len as u64;
    match (u8::try_from(len), u16::try_from(len), u32::try_from(len)) {
        (Ok(len @ ..0x40), _, _) => out.push(len),
        (_, Ok(len @ ..0x4000), _) => out.extend_from_slice(&(len | 0x4000).to_be_bytes()),
        (_, _, Ok(len)) => {
            out.push(0x80);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

/// A string; as an integer where it is the text of one.
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    let integer = if text.len() <= INTEGER_BYTES_MAX { parse_i64(text) } else { None };
    if !integer.is_some_and(|integer| short_integer(out, integer)) {
        length(out, text.len());
        out.extend_from_slice(text);
    }
}

/// A string that is the text of an integer.
pub fn integer(out: &mut Vec<u8>, integer: i64) {
    if !short_integer(out, integer) {
        let mut digits = number::Digits::default();
        let text = number::format_i64(integer, &mut digits);
        length(out, text.len());
        out.extend_from_slice(text);
    }
}

/// Whether the integer has one of the short forms, and has been written in it.
fn short_integer(out: &mut Vec<u8>, integer: i64) -> bool {
    match (i8::try_from(integer), i16::try_from(integer), i32::try_from(integer)) {
        (Ok(integer), _, _) => out.extend_from_slice(&[0xC0, integer as u8]),
        (_, Ok(integer), _) => {
            out.push(0xC1);
            out.extend_from_slice(&integer.to_le_bytes());
        }
        (_, _, Ok(integer)) => {
            out.push(0xC2);
            out.extend_from_slice(&integer.to_le_bytes());
        }
        _ => return false,
    }
    true
}
