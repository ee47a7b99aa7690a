//! What every input must hold to, for the fuzzer and the tests.

use super::{Decoded, Decoder, Limits, ProtocolError};
use crate::protocol::Args;

/// What a stream of requests comes to: its commands, and the error that ended it, if one did.
type Outcome = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Decodes the input at once and in pieces, and panics if that makes a difference. The first byte
/// of `data` sets the size of the pieces (and by its highest bit whether the client has
/// authenticated); the rest is the input.
pub fn check_pieces(data: &[u8]) {
    let Some((&first, input)) = data.split_first() else { return };
    let limits = Limits { bulk_bytes_max: 1 << 20, authenticated: first & 0x80 == 0 };
    let piece_bytes = usize::from(first & 0x7f) + 1;
    let whole = decode(input, input.len().max(1), limits);
    let in_pieces = decode(input, piece_bytes, limits);
    // A line that is too long is refused as soon as that is certain: in pieces, maybe sooner.
    if !whole.1.is_some_and(ProtocolError::is_too_big)
        && !in_pieces.1.is_some_and(ProtocolError::is_too_big)
    {
        assert_eq!(whole, in_pieces, "pieces of {piece_bytes} bytes decode to something else");
    }
}

fn decode(input: &[u8], piece_bytes: usize, limits: Limits) -> Outcome {
    let mut decoder = Decoder::default();
    let mut spans = Vec::new();
    let (mut held, mut commands) = (Vec::new(), Vec::new());
    for piece in input.chunks(piece_bytes) {
        held.extend_from_slice(piece);
        loop {
            spans.clear();
            let consumed = match decoder.decode(&held, &mut spans, limits) {
                Ok(Decoded::Command { consumed }) => {
                    commands.push(owned(Args::new(&held, &spans)));
                    consumed
                }
                Ok(Decoded::Inline { consumed }) => {
                    commands.push(owned(decoder.take_inline().as_args()));
                    consumed
                }
                Ok(Decoded::Nothing { consumed }) => consumed,
                Ok(Decoded::Incomplete) => break,
                Err(error) => return (commands, Some(error)),
            };
            held.drain(..consumed);
        }
    }
    (commands, None)
}

fn owned(args: Args<'_>) -> Vec<Vec<u8>> {
    args.iter().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_make_no_difference() {
        let inputs: [&[u8]; 4] = [
            b"*1\r\n$4\r\nPING\r\nPING\r\n*0\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n*1\r\n:1\r\n",
            b"ECHO \"a b\"\r\n\r\n*-1\r\n*1\r\n$+4\r\nPING\r\n",
            b"*11\r\n$4\r\nMGET\r\n",
            b"ECHO 'a\r\n",
        ];
        for input in inputs {
            for first in 0..=u8::MAX {
                check_pieces(&[&[first], input].concat());
            }
        }
    }
}
