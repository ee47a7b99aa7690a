//! Output in several pieces: what sendmsg(2) takes.
//!
//! # Why the `unsafe` here is sound
//!
//! Only [`Insert::message`] makes pointers, to what outlives their use by the kernel: the insert, in
//! its box, and the output belong to a slot that keeps both, unmoved, until the send has ended (see
//! [`super`]).

use std::ptr::null_mut;

use bytes::Bytes;
use libc::{iovec, msghdr};

/// Bytes that are sent in the middle of others, from where they lie.
#[derive(Debug)]
pub(super) struct Insert {
    /// How many of the others come before them.
    at: usize,
    pub bytes: Bytes,
    header: msghdr,
    pieces: [iovec; 3],
}

impl Insert {
    /// `at` is at most the length of the other bytes.
    pub fn new(at: usize, bytes: Bytes) -> Insert {
        let none = iovec { iov_base: null_mut(), iov_len: 0 };
        // SAFETY: null pointers and zeros say that there is nothing.
        let header = unsafe { std::mem::zeroed() };
        Insert { at, bytes, header, pieces: [none; 3] }
    }

    /// What is left to send behind the first `sent` bytes, of which the other bytes are `output`.
    pub fn message(&mut self, output: &[u8], sent: usize) -> *const msghdr {
        let (before, behind) = output.split_at(self.at);
        let mut skipped = sent;
        for (piece, bytes) in self.pieces.iter_mut().zip([before, &self.bytes, behind]) {
            let left = &bytes[skipped.min(bytes.len())..];
            skipped -= bytes.len() - left.len();
            *piece = iovec { iov_base: left.as_ptr().cast_mut().cast(), iov_len: left.len() };
        }
        self.header.msg_iov = self.pieces.as_mut_ptr();
        self.header.msg_iovlen = self.pieces.len();
        &raw const self.header
    }
}
