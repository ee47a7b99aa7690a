//! The receive buffers, provided to the kernel through a ring of descriptors.
//!
//! # Why the `unsafe` here is sound
//!
//! A buffer is owned by exactly one side. It is the kernel's from the moment its descriptor is
//! published until a completion names it; it is ours, as a [`Chunk`], from that completion until
//! `give_back`. Only `data` reads buffer memory, and it takes a `Chunk`. Both mappings live until
//! [`BufferRing`] is dropped, which the ring does after the kernel has let go of them.
//!
//! # Cache and memory
//!
//! The kernel takes buffers in turn, so every buffer in circulation goes through the cache. Only a
//! few circulate therefore, more when they run out; the others are memory never touched. Buffers
//! are a cache line further apart than their size, because the first lines of buffers at multiples
//! of 16 KiB would all compete for the same few sets of the cache.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::queue::Queue;

/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;
const CACHE_LINE: usize = 64;

/// A receive buffer with bytes in it, lent to us until it is given back.
#[derive(Debug)]
#[must_use = "give the buffer back to the ring, or the kernel runs out of them"]
pub struct Chunk {
    id: u16,
    length: u32,
}

impl Chunk {
    pub fn len(&self) -> usize {
        self.length as usize
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

pub(super) struct BufferRing {
    /// `count` descriptors; the first one's reserved field is the ring's tail.
    entries: Mapping,
    memory: Mapping,
    count: u16,
    buffer_bytes: u32,
    stride: usize,
    /// Buffers with numbers below this have been given to the kernel at least once.
    circulating: u16,
    tail: u16,
    published: u16,
}

impl BufferRing {
    pub fn new(
        queue: &Queue,
        count: u16,
        circulating: u16,
        buffer_bytes: u32,
    ) -> io::Result<BufferRing> {
        assert!(count.is_power_of_two() && count <= 1 << 15 && buffer_bytes > 0);
        let stride = buffer_bytes as usize + CACHE_LINE;
        let entries = Mapping::new(count as usize * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(count as usize * stride)?;
        // SAFETY: the mapping holds `count` descriptors and outlives the registration.
        unsafe {
            queue.submitter().register_buf_ring_with_flags(
                entries.start.as_ptr() as u64,
                count,
                GROUP,
                0,
            )?;
        }
        let (circulating_at_first, circulating) = (circulating.clamp(1, count), 0);
        let (tail, published) = (0, 0);
        let mut ring = BufferRing {
            entries,
            memory,
            count,
            buffer_bytes,
            stride,
            circulating,
            tail,
            published,
        };
        ring.circulate(circulating_at_first);
        ring.publish();
        Ok(ring)
    }

    /// Doubles the number of buffers in circulation, up to all of them.
    pub fn circulate_more(&mut self) {
        self.circulate(self.circulating.saturating_mul(2));
    }

    fn circulate(&mut self, wanted: u16) {
        while self.circulating < wanted.min(self.count) {
            self.provide(self.circulating);
            self.circulating += 1;
        }
    }

    /// Bytes of the descriptors and of the buffers in circulation; the others are never touched.
    pub fn memory(&self) -> usize {
        self.entries.bytes + usize::from(self.circulating) * self.stride
    }

    /// The buffer that a completion names.
    pub fn taken(&self, id: u16, length: u32) -> Chunk {
        debug_assert!(id < self.circulating && length <= self.buffer_bytes);
        Chunk { id, length }
    }

    pub fn data(&self, chunk: &Chunk) -> &[u8] {
        assert!(chunk.id < self.count && chunk.length <= self.buffer_bytes);
        // SAFETY: inside the mapping (checked above); ours until the chunk is given back.
        unsafe {
            let start = self.memory.start.add(chunk.id as usize * self.stride);
            std::slice::from_raw_parts(start.as_ptr(), chunk.length as usize)
        }
    }

    pub fn give_back(&mut self, chunk: Chunk) {
        self.provide(chunk.id);
    }

    /// Writes the buffer's descriptor behind the tail; `publish` lets the kernel see it.
    fn provide(&mut self, id: u16) {
        assert!(id < self.count);
        let position = (self.tail & (self.count - 1)) as usize;
        // SAFETY: `position` and `id` are below `count`. At most `count` buffers exist, so the
        // kernel has consumed whatever descriptor stood at `position`. The tail, which shares the
        // first descriptor, is a field that the setters do not touch.
        unsafe {
            let entry = &mut *self.entries.start.cast::<BufRingEntry>().add(position).as_ptr();
            entry.set_addr(self.memory.start.add(id as usize * self.stride).as_ptr() as u64);
            entry.set_len(self.buffer_bytes);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    pub fn publish(&mut self) {
        if self.tail == self.published {
            return;
        }
        // SAFETY: the tail is an aligned field of the mapping, written only here and read by the
        // kernel, for which the release orders the descriptors before it.
        unsafe {
            let entries = self.entries.start.cast::<BufRingEntry>().as_ptr();
            let tail = BufRingEntry::tail(entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
        self.published = self.tail;
    }

    /// Keeps the memory mapped for ever: the kernel may still write to it.
    pub fn leak(&mut self) {
        self.entries.leaked = true;
        self.memory.leaked = true;
    }
}

/// Zeroed anonymous memory, not inherited by children.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
    leaked: bool,
}

impl Mapping {
    fn new(bytes: usize) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_ANONYMOUS | libc::MAP_PRIVATE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, bytes, leaked: false })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if !self.leaked {
            // SAFETY: mapped in `new` with this length, and nobody points into it any more.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        }
    }
}
