//! Packed runs of bytes, and where they are kept while they are edited.

/// Where the bytes of a run are kept.
pub trait Buffer {
    fn bytes(&self) -> &[u8];

    fn bytes_mut(&mut self) -> &mut [u8];

    /// Replaces `removed` bytes at `at` by `added` ones, and gives these to be written; what they
    /// are until then does not matter.
    fn splice(&mut self, at: usize, removed: usize, added: usize) -> &mut [u8];
}

impl Buffer for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }

    fn splice(&mut self, at: usize, removed: usize, added: usize) -> &mut [u8] {
        Vec::splice(self, at..at + removed, std::iter::repeat_n(0, added));
        &mut self[at..at + added]
    }
}
