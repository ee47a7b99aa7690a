//! Packed runs of bytes, and where they are kept while they are edited.

/// Bytes that an edit replaces a part of.
pub trait Buffer {
    fn bytes(&self) -> &[u8];

    /// Puts `inserted` in the place of the `removed` bytes at `at`.
    fn splice(&mut self, at: usize, removed: usize, inserted: &[u8]);
}

impl Buffer for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn splice(&mut self, at: usize, removed: usize, inserted: &[u8]) {
        Vec::splice(self, at..at + removed, inserted.iter().copied());
    }
}
