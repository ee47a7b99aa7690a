//! The buckets by their numbers, in segments, so that adding one moves few others; and which bucket
//! a hash belongs to.

use super::bucket::Bucket;
use crate::store::memory::held_bytes;

const SEGMENT_BITS: u32 = 9;
const SEGMENT_LEN: usize = 1 << SEGMENT_BITS;

/// `len` buckets in linear hashing. With `units` the power of two that is at least `len`, each hash
/// has a place among `units` by its lowest bits, and so a bucket: that of the place if there is one
/// yet, otherwise the one `units / 2` before, which has not been split and keeps two places.
#[derive(Debug)]
pub(super) struct Directory {
    segments: Vec<Vec<Bucket>>,
    len: usize,
    /// What the segments take.
    segment_bytes: usize,
}

impl Directory {
    /// Of one bucket.
    pub(super) fn new() -> Directory {
        let mut directory = Directory { segments: Vec::new(), len: 0, segment_bytes: 0 };
        directory.push(Bucket::default());
        directory
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What it takes itself, without the buckets' items.
    pub(super) fn heap_bytes(&self) -> usize {
        self.segment_bytes + held_bytes(self.segments.capacity() * size_of::<Vec<Bucket>>())
    }

    pub(super) fn units(&self) -> usize {
        self.len.next_power_of_two()
    }

    /// The bucket that a hash belongs to.
    #[inline]
    pub(super) fn bucket_of(&self, hash: u64) -> usize {
        let units = self.units();
        let place = hash as usize & (units - 1);
        if place < self.len { place } else { place - units / 2 }
    }

    /// How many places the bucket keeps: one or two.
    pub(super) fn places_of(&self, bucket: usize) -> usize {
        if bucket + self.units() / 2 < self.len || bucket >= self.units() / 2 { 1 } else { 2 }
    }

    /// The bucket that the next new one takes its items from, and whose the last one's items become
    /// when that goes.
    pub(super) fn partner_of(bucket: usize) -> usize {
        bucket - (1 << bucket.ilog2())
    }

    #[inline]
    pub(super) fn get(&self, bucket: usize) -> &Bucket {
        &self.segments[bucket >> SEGMENT_BITS][bucket & (SEGMENT_LEN - 1)]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, bucket: usize) -> &mut Bucket {
        &mut self.segments[bucket >> SEGMENT_BITS][bucket & (SEGMENT_LEN - 1)]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.segments.iter().flatten()
    }

    pub(super) fn push(&mut self, bucket: Bucket) {
        if self.len & (SEGMENT_LEN - 1) == 0 {
            self.segments.push(Vec::new());
        }
        let Some(segment) = self.segments.last_mut() else { return };
        if segment.len() == segment.capacity() {
            self.segment_bytes -= bytes_of(segment);
            // A little at a time, as a small table has no other segment.
            let more = (segment.len() / 4).max(2);
            segment.reserve_exact(more.min(SEGMENT_LEN - segment.len()));
            self.segment_bytes += bytes_of(segment);
        }
        segment.push(bucket);
        self.len += 1;
    }

    /// Takes the last bucket out.
    pub(super) fn pop(&mut self) -> Option<Bucket> {
        let segment = self.segments.last_mut()?;
        let bucket = segment.pop()?;
        self.len -= 1;
        let before = bytes_of(segment);
        if segment.is_empty() {
            self.segments.pop();
            self.segment_bytes -= before;
        } else if segment.len() <= segment.capacity() / 4 * 3 {
            segment.shrink_to(segment.len() + segment.len() / 8);
            self.segment_bytes = self.segment_bytes - before + bytes_of(segment);
        }
        Some(bucket)
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.len, self.segments.iter().map(Vec::len).sum::<usize>());
        assert_eq!(self.segment_bytes, self.segments.iter().map(bytes_of).sum::<usize>());
        let full = self.segments.len().saturating_sub(1);
        assert!(self.segments[..full].iter().all(|segment| segment.len() == SEGMENT_LEN));
    }
}

impl Clone for Directory {
    fn clone(&self) -> Directory {
        let segments: Vec<_> = self
            .segments
            .iter()
            .map(|segment| {
                let mut copy = Vec::with_capacity(segment.capacity());
                copy.extend_from_slice(segment);
                copy
            })
            .collect();
        let segment_bytes = segments.iter().map(bytes_of).sum();
        Directory { segments, len: self.len, segment_bytes }
    }
}

fn bytes_of(segment: &Vec<Bucket>) -> usize {
    match segment.capacity() {
        0 => 0,
        capacity => held_bytes(capacity * size_of::<Bucket>()),
    }
}
