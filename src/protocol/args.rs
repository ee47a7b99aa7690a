//! A command's arguments, borrowed from the bytes they arrived in.

use std::ops::Index;

/// Where one argument lies in the bytes of its command. 32 bits suffice: sessions keep every buffer
/// that a command is decoded from below 4 GiB, whatever `client-query-buffer-limit` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

/// The arguments of one command, its name first. Never empty once a decoder returned it.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Every span must lie within `bytes`.
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Self {
        Args { bytes, spans }
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| self.slice(*span))
    }

    /// Like indexing, with the lifetime of the bytes.
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.slice(self.spans[index])
    }

    /// The arguments from `index` on; empty if there are none.
    pub fn from(&self, index: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: self.spans.get(index..).unwrap_or(&[]) }
    }

    /// The first `count` arguments, or all if there are no more.
    pub fn first(&self, count: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: &self.spans[..count.min(self.spans.len())] }
    }

    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + Clone + use<'a> {
        let bytes = self.bytes;
        self.spans
            .iter()
            .map(move |span| &bytes[span.start as usize..span.start as usize + span.len as usize])
    }

    /// What the spans refer to; the arguments with whatever stands between them.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn spans(&self) -> &'a [Span] {
        self.spans
    }

    fn slice(&self, span: Span) -> &'a [u8] {
        &self.bytes[span.start as usize..span.start as usize + span.len as usize]
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        self.at(index)
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

/// Arguments that own their bytes, for tests, inline commands and deferred commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedArgs {
    /// With room for so many arguments of so many bytes together.
    pub fn with_capacity(arguments: usize, bytes: usize) -> OwnedArgs {
        OwnedArgs { bytes: Vec::with_capacity(bytes), spans: Vec::with_capacity(arguments) }
    }

    pub fn push(&mut self, argument: &[u8]) {
        self.spans.push(Span { start: self.bytes.len() as u32, len: argument.len() as u32 });
        self.bytes.extend_from_slice(argument);
    }

    pub fn as_args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Bytes allocated.
    #[inline]
    pub fn capacity_bytes(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    /// Bytes held, for limits and accounting.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.spans.len() * size_of::<Span>()
    }
}

impl<'a> FromIterator<&'a [u8]> for OwnedArgs {
    fn from_iter<T: IntoIterator<Item = &'a [u8]>>(arguments: T) -> Self {
        let mut owned = OwnedArgs::default();
        for argument in arguments {
            owned.push(argument);
        }
        owned
    }
}

impl From<Args<'_>> for OwnedArgs {
    fn from(args: Args<'_>) -> Self {
        let bytes = args.iter().map(<[u8]>::len).sum();
        let mut owned = OwnedArgs::with_capacity(args.len(), bytes);
        args.iter().for_each(|argument| owned.push(argument));
        owned
    }
}
