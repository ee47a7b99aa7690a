//! Changing runs, wherever their bytes are kept.

use std::fmt;

use super::element;
use super::{Cursor, EMPTY_BYTES, END_MARK, Element, End, HEADER_BYTES, Packed, UNKNOWN_COUNT};

/// Where the bytes of a run are kept.
pub trait Buffer {
    /// The run, from the header up to the end mark.
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
        let len = self.len();
        if added > removed {
            self.resize(len + (added - removed), 0);
        }
        if added != removed {
            self.copy_within(at + removed..len, at + added);
        }
        self.truncate(len - removed + added);
        &mut self[at..at + added]
    }
}

/// The run would be longer than its header can tell: 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a packed run cannot be that long")
    }
}

impl std::error::Error for Full {}

/// A run without elements.
pub fn new() -> [u8; EMPTY_BYTES] {
    [EMPTY_BYTES as u8, 0, 0, 0, 0, 0, END_MARK]
}

/// Adds an element at an end.
pub fn push(buffer: &mut impl Buffer, end: End, element: Element<'_>) -> Result<(), Full> {
    let at = match end {
        End::Front => HEADER_BYTES,
        End::Back => Packed::new(buffer.bytes()).end(),
    };
    insert(buffer, Cursor(at), element)
}

/// Adds elements at an end, in the order in which they are to lie, moving what is there at most
/// once.
pub fn push_many<'e>(
    buffer: &mut impl Buffer,
    end: End,
    elements: impl Iterator<Item = Element<'e>> + Clone,
) -> Result<(), Full> {
    let at = match end {
        End::Front => HEADER_BYTES,
        End::Back => Packed::new(buffer.bytes()).end(),
    };
    insert_many(buffer, Cursor(at), elements)
}

/// Puts elements before the one at the cursor, moving what is behind it at most once.
pub fn insert_many<'e>(
    buffer: &mut impl Buffer,
    at: Cursor,
    elements: impl Iterator<Item = Element<'e>> + Clone,
) -> Result<(), Full> {
    let mut added = 0_usize;
    let mut count = 0;
    for element in elements.clone() {
        added = added.saturating_add(element.entry_bytes());
        count += 1;
    }
    let mut rest = splice(buffer, at.0, 0, added, Some(count))?;
    for element in elements {
        let (entry, behind) = rest.split_at_mut(element.entry_bytes());
        element.write(entry);
        rest = behind;
    }
    Ok(())
}

/// Puts an element before the one at the cursor.
pub fn insert(buffer: &mut impl Buffer, at: Cursor, element: Element<'_>) -> Result<(), Full> {
    element.write(splice(buffer, at.0, 0, element.entry_bytes(), Some(1))?);
    Ok(())
}

/// Puts an element in the place of the one at the cursor.
pub fn replace(buffer: &mut impl Buffer, at: Cursor, element: Element<'_>) -> Result<(), Full> {
    let Some(next) = element::skip(buffer.bytes(), at.0) else { return Ok(()) };
    element.write(splice(buffer, at.0, next - at.0, element.entry_bytes(), Some(0))?);
    Ok(())
}

/// Removes the element at the cursor, where then the one behind it is.
pub fn delete(buffer: &mut impl Buffer, at: Cursor) {
    delete_range(buffer, at, 1);
}

/// Removes up to `count` elements from the cursor on; gives how many there were.
pub fn delete_range(buffer: &mut impl Buffer, from: Cursor, count: usize) -> usize {
    let run = Packed::new(buffer.bytes());
    let mut next = from.0;
    let mut removed = 0;
    while removed < count && next < run.end() {
        let Some(behind) = element::skip(run.bytes, next) else { break };
        next = behind;
        removed += 1;
    }
    remove_bytes(buffer, from.0, next, removed);
    removed
}

/// Takes the element off an end and shows it first.
pub fn pop<R>(
    buffer: &mut impl Buffer,
    end: End,
    show: impl FnOnce(Element<'_>) -> R,
) -> Option<R> {
    let run = Packed::new(buffer.bytes());
    let at = match end {
        End::Front => run.first()?,
        End::Back => run.last()?,
    };
    let (element, next) = element::decode(run.bytes, at.0)?;
    let shown = show(element);
    remove_bytes(buffer, at.0, next, 1);
    Some(shown)
}

/// Adds all elements of another run at an end.
pub fn append(buffer: &mut impl Buffer, end: End, other: Packed<'_>) -> Result<(), Full> {
    let Some(entries) = other.bytes.get(HEADER_BYTES..other.end()) else { return Ok(()) };
    let at = match end {
        End::Front => HEADER_BYTES,
        End::Back => Packed::new(buffer.bytes()).end(),
    };
    splice(buffer, at, 0, entries.len(), other.stored_count())?.copy_from_slice(entries);
    Ok(())
}

/// Cuts the run in front of the cursor; gives the elements from there on as a run of their own.
pub fn split_off(buffer: &mut impl Buffer, at: Cursor) -> Vec<u8> {
    let mut back = new().to_vec();
    let run = Packed::new(buffer.bytes());
    let end = run.end();
    let Some(entries) = run.bytes.get(at.0..end) else { return back };
    back.reserve_exact(entries.len());
    Buffer::splice(&mut back, HEADER_BYTES, 0, entries.len()).copy_from_slice(entries);
    let count = run.iter_from(at).count();
    write_header(&mut back, Some(count));
    remove_bytes(buffer, at.0, end, count);
    back
}

/// Removes the elements that `keep` refuses, moving each of the others at most once; gives how many
/// were removed.
pub fn retain(buffer: &mut impl Buffer, mut keep: impl FnMut(Element<'_>) -> bool) -> usize {
    let end = Packed::new(buffer.bytes()).end();
    let bytes = buffer.bytes_mut();
    let mut read = HEADER_BYTES;
    let mut written = HEADER_BYTES;
    // Where what is kept and not moved yet begins.
    let mut kept_from = HEADER_BYTES;
    let mut removed = 0;
    while read < end {
        let Some((element, next)) = element::decode(bytes, read) else { break };
        if !keep(element) {
            if kept_from != written {
                bytes.copy_within(kept_from..read, written);
            }
            written += read - kept_from;
            kept_from = next;
            removed += 1;
        }
        read = next;
    }
    if removed > 0 {
        remove_bytes(buffer, written, kept_from, removed);
    }
    removed
}

fn remove_bytes(buffer: &mut impl Buffer, from: usize, to: usize, elements: usize) {
    let count = Packed::new(buffer.bytes()).stored_count();
    buffer.splice(from, to - from, 0);
    write_header(buffer.bytes_mut(), count.map(|count| count.saturating_sub(elements)));
}

/// [`Buffer::splice`] and the header with it, which counts so many elements more; `None`: nobody
/// knows how many.
#[inline]
fn splice(
    buffer: &mut impl Buffer,
    at: usize,
    removed: usize,
    added: usize,
    elements: Option<usize>,
) -> Result<&mut [u8], Full> {
    let run = buffer.bytes();
    let total = (run.len() - removed).checked_add(added).ok_or(Full)?;
    if u32::try_from(total).is_err() {
        return Err(Full);
    }
    let count = Packed::new(run).stored_count();
    let count = count.zip(elements).map(|(count, more)| count.saturating_add(more));
    buffer.splice(at, removed, added);
    let bytes = buffer.bytes_mut();
    write_header(bytes, count);
    Ok(&mut bytes[at..at + added])
}

/// Writes the header of a run. Counts from 65,535 on cannot be told, and are not known from then on:
/// as in Redis, until somebody counts.
#[inline]
fn write_header(bytes: &mut [u8], count: Option<usize>) {
    let total = bytes.len() as u32;
    let count = count.and_then(|count| u16::try_from(count).ok()).unwrap_or(UNKNOWN_COUNT);
    if let Some(header) = bytes.first_chunk_mut::<HEADER_BYTES>() {
        header[..4].copy_from_slice(&total.to_le_bytes());
        header[4..].copy_from_slice(&count.to_le_bytes());
    }
}
