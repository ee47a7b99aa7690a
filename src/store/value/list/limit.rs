//! How large a chunk of a list may be.

/// The directive `list-max-listpack-size`, understood: -1 to -5 are 4 to 64 KiB, a positive number
/// is a number of elements, in at most 8 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    bytes: usize,
    /// None where bytes alone decide.
    elements: Option<usize>,
}

/// Chunks limited by their elements get no larger than this, unless by one single element.
const COUNTED_BYTES_MAX: usize = 8 << 10;

/// What Redis takes an element's encoding for before it knows it; the same figure makes chunks end
/// where Redis's do.
const ENTRY_OVERHEAD_ESTIMATE: usize = 8;

impl Default for Limit {
    fn default() -> Limit {
        Limit::from_directive(-2)
    }
}

impl Limit {
    pub const fn from_directive(value: i64) -> Limit {
        match value {
            ..=-5 => Limit { bytes: 64 << 10, elements: None },
            -4..=-1 => Limit { bytes: 2048 << -value, elements: None },
            0 => Limit { bytes: COUNTED_BYTES_MAX, elements: Some(1) },
            1.. => Limit { bytes: COUNTED_BYTES_MAX, elements: Some(value as usize) },
        }
    }

    #[cfg(test)]
    pub(super) fn new(bytes: usize, elements: Option<usize>) -> Limit {
        Limit { bytes, elements }
    }

    /// Whether one run may be that large: beyond this a list is in chunks (`quicklist`).
    pub fn admits(self, bytes: usize, elements: usize) -> bool {
        bytes <= self.bytes && self.elements.is_none_or(|max| elements <= max)
    }

    /// Whether a list in chunks that has shrunk to one run of that size is kept as that run again
    /// (`listpack`): at half the limit, so that a list at the limit does not change its form with
    /// every command. The rule is Redis 7.2's.
    pub fn admits_shrunk(self, bytes: usize, elements: usize) -> bool {
        match self.elements {
            Some(max) => elements <= max / 2,
            None => bytes <= self.bytes / 2,
        }
    }

    /// Whether a run of that size takes another element, of that many bytes as text.
    pub(super) fn admits_another(self, bytes: usize, elements: usize, text_len: usize) -> bool {
        self.admits(
            bytes.saturating_add(text_len).saturating_add(ENTRY_OVERHEAD_ESTIMATE),
            elements + 1,
        )
    }

    /// Whether two neighbouring chunks are so sparse that they become one: at half the limit, so
    /// that what was just split is not joined.
    pub(super) fn admits_joined(self, bytes: usize, elements: usize) -> bool {
        bytes <= self.bytes / 2 && self.elements.is_none_or(|max| elements <= max / 2)
    }

    pub(super) fn bytes(self) -> usize {
        self.bytes
    }
}
