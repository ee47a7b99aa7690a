//! What commands have in common that choose at random.

use super::{CommandError, Outcome};

/// The shortest bulk string, in RESP.
const BULK_BYTES_MIN: u64 = 6;

/// A number below the bound, if there is one, every one as likely as any other.
pub fn below(bound: usize, next_random: &mut impl FnMut() -> u64) -> Option<usize> {
    let bound = u64::try_from(bound).ok().filter(|&bound| bound > 0)?;
    loop {
        // D. Lemire, "Fast random integer generation in an interval", ACM TOMACS 29(1), 2019.
        let scaled = u128::from(next_random()) * u128::from(bound);
        if scaled as u64 >= bound.wrapping_neg() % bound {
            return Some((scaled >> 64) as usize);
        }
    }
}

/// Refuses a reply of so many elements, chosen again and again, before it is begun: it would be
/// longer than `bytes_max` whichever they are.
pub fn check_times(count: u64, bytes_max: usize) -> Outcome {
    match count.saturating_mul(BULK_BYTES_MIN) > bytes_max as u64 {
        true => Err(CommandError::ReplyTooLong),
        false => Ok(()),
    }
}

/// Chooses so many of a sequence, each as likely as any other, while it is gone through once.
///
/// Source: selection sampling, D. Knuth, "The art of computer programming" 2, 3.4.2, algorithm S.
pub struct Selection {
    wanted: usize,
    left: usize,
}

impl Selection {
    /// `count` of `len`.
    pub fn new(count: usize, len: usize) -> Selection {
        Selection { wanted: count, left: len }
    }

    /// Whether the next one is chosen.
    pub fn takes_next(&mut self, next_random: &mut impl FnMut() -> u64) -> bool {
        let takes = below(self.left, next_random).is_some_and(|number| number < self.wanted);
        self.wanted -= usize::from(takes);
        self.left = self.left.saturating_sub(1);
        takes
    }
}
