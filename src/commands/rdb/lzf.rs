//! LZF, in which Redis compresses long strings of payloads. Only reading: what is written for a cache
//! is better written quickly.
//!
//! ```text
//! 000LLLLL                      L + 1 bytes follow as they are
//! LLLooooo oooooooo             L + 2 bytes are repeated from o + 1 bytes back
//! 111ooooo LLLLLLLL oooooooo    L + 9 bytes are
//! ```
//!
//! Source: <http://oldhome.schmorp.de/marc/liblzf.html>.

const LONGEST_SHORT: usize = 7;

/// What was compressed, if that is `len` bytes. The memory grows with what is there, not with what
/// `len` says.
pub fn inflate(mut compressed: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(len.min(compressed.len().saturating_mul(4)));
    while let Some((&control, rest)) = compressed.split_first() {
        compressed = rest;
        let mut next = || {
            let (&byte, rest) = compressed.split_first()?;
            compressed = rest;
            Some(usize::from(byte))
        };
        let control = usize::from(control);
        let mut repeated = control >> 5;
        if repeated == 0 {
            let (literal, rest) = compressed.split_at_checked(control + 1)?;
            out.extend_from_slice(literal);
            compressed = rest;
        } else {
            if repeated == LONGEST_SHORT {
                repeated += next()?;
            }
            let back = ((control & 0x1F) << 8 | next()?) + 1;
            repeat(&mut out, back, repeated + 2)?;
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

/// Appends `count` of the bytes that begin so many back; they may reach into what is appended.
fn repeat(out: &mut Vec<u8>, back: usize, mut count: usize) -> Option<()> {
    let start = out.len().checked_sub(back)?;
    while count > 0 {
        let step = count.min(out.len() - start);
        out.extend_from_within(start..start + step);
        count -= step;
    }
    Some(())
}
