//! How long buckets are at most: what makes a fair choice among their items possible without
//! knowing where each one is.

use super::directory::Directory;

/// A bound on items per place (see [`Directory`]), which follows the buckets up and, once all of
/// them have been split or merged, down again.
#[derive(Clone, Debug)]
pub(super) struct Longest {
    /// No bucket has more items per place than this.
    bound: usize,
    /// Nor has any that was changed since the number of buckets was `round_start`, a power of two.
    /// At the next power of two those are all.
    of_round: usize,
    round_start: usize,
}

impl Longest {
    /// For a directory of one empty bucket.
    pub(super) fn new() -> Longest {
        Longest { bound: 0, of_round: 0, round_start: 1 }
    }

    pub(super) fn per_place(&self) -> usize {
        self.bound
    }

    /// A bucket has got items.
    #[inline]
    pub(super) fn note(&mut self, directory: &Directory, bucket: usize) {
        let per_place = directory.get(bucket).len().div_ceil(directory.places_of(bucket));
        self.bound = self.bound.max(per_place);
        self.of_round = self.of_round.max(per_place);
    }

    /// The last bucket is new, and its partner has been split.
    pub(super) fn grown(&mut self, directory: &Directory) {
        let last = directory.len() - 1;
        if last.is_power_of_two() {
            // The others keep two places from now on.
            self.bound = self.bound.div_ceil(2);
            self.of_round = self.of_round.div_ceil(2);
        }
        self.note(directory, last);
        self.note(directory, Directory::partner_of(last));
        self.end_round(directory);
    }

    /// The last bucket is gone, and its partner has its items.
    pub(super) fn shrunk(&mut self, directory: &Directory) {
        if directory.len().is_power_of_two() {
            // The others kept two places.
            self.bound *= 2;
            self.of_round *= 2;
        }
        self.note(directory, Directory::partner_of(directory.len()));
        self.end_round(directory);
    }

    fn end_round(&mut self, directory: &Directory) {
        if directory.len().is_power_of_two() && directory.len() != self.round_start {
            self.bound = self.of_round;
            self.of_round = 0;
            self.round_start = directory.len();
        }
    }
}
