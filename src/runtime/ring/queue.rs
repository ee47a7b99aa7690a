//! The submission and completion queues: the only file that builds operations for the kernel.
//!
//! # Why the `unsafe` here is sound
//!
//! The kernel reads memory named by an operation until the operation's last completion (or, for
//! what it copies at submission, until `io_uring_enter` returns). Every such memory outlives that:
//! output buffers belong to slots that are not freed while a send is in the kernel
//! (`connections`), receive buffers are mapped until the ring is gone (`buffers`), the time of the
//! timer is boxed beside the queue. Descriptors stay open while operations use them; a descriptor
//! closed too early would only make an operation fail.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, TimeoutFlags, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::GROUP;
use super::token::Token;

// io_uring_enter(2), io_uring_register(2).
const ENTER_GETEVENTS: u32 = 1;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const REGISTER_RING_FDS: u32 = 20;

pub(super) struct Queue {
    uring: IoUring,
    /// What did not fit into the submission queue, in order.
    backlog: Vec<squeue::Entry>,
    /// Read by the kernel when the timer is submitted.
    time: Box<Timespec>,
    /// What `io_uring_enter` is to be called with: the ring's registered number, which spares a
    /// look-up of the descriptor in every call, or the descriptor itself.
    enter_fd: i32,
    enter_flags: u32,
}

impl Queue {
    pub fn new(entries: u32, completions: u32) -> io::Result<Queue> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(completions)
            .dontfork()
            .build(entries)?;
        let (enter_fd, enter_flags) = match register_ring(uring.as_raw_fd()) {
            Some(number) => (number, ENTER_GETEVENTS | ENTER_REGISTERED_RING),
            None => (uring.as_raw_fd(), ENTER_GETEVENTS),
        };
        Ok(Queue { uring, backlog: Vec::new(), time: Box::default(), enter_fd, enter_flags })
    }

    /// Bytes that the kernel shares with us for the two queues.
    pub fn memory(&self) -> usize {
        let parameters = self.uring.params();
        parameters.sq_entries() as usize * size_of::<squeue::Entry>()
            + parameters.cq_entries() as usize * size_of::<cqueue::Entry>()
    }

    pub fn submitter(&self) -> io_uring::Submitter<'_> {
        self.uring.submitter()
    }

    /// Submits everything queued; true if the kernel has consumed all of it. With `wait`, sleeps
    /// until there is at least one completion.
    pub fn enter(&mut self, wait: bool) -> io::Result<bool> {
        while !self.backlog.is_empty() {
            self.refill();
            let rest = !self.backlog.is_empty();
            if !rest {
                break;
            }
            if !self.enter_once(false)? {
                return Ok(false);
            }
        }
        self.enter_once(wait)
    }

    /// One `io_uring_enter`; true if the submission queue is empty afterwards.
    fn enter_once(&mut self, wait: bool) -> io::Result<bool> {
        let queued = self.uring.submission().len() as u32;
        match self.call(queued, wait) {
            Ok(submitted) if submitted == queued => return Ok(true),
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                // Interrupted, or completions must be read first.
                Some(libc::EINTR | libc::ETIME | libc::EBUSY) => {}
                Some(libc::EAGAIN | libc::ENOMEM) => {
                    // The kernel is short of memory; asking again at once would not help it.
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => return Err(error),
            },
        }
        Ok(self.uring.submission().is_empty())
    }

    /// `io_uring_enter`, which also runs what has arrived for this ring in the meantime.
    fn call(&self, to_submit: u32, wait: bool) -> io::Result<u32> {
        // SAFETY: no argument structure is passed; for the operations submitted see the module's
        // documentation.
        let submitted = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.enter_fd,
                to_submit,
                u32::from(wait),
                self.enter_flags,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        u32::try_from(submitted).map_err(|_| io::Error::last_os_error())
    }

    fn refill(&mut self) {
        let mut submission = self.uring.submission();
        let room = submission.capacity() - submission.len();
        for entry in self.backlog.drain(..room.min(self.backlog.len())) {
            // SAFETY: see the module's documentation; there is room.
            let pushed = unsafe { submission.push(&entry) };
            debug_assert!(pushed.is_ok());
        }
    }

    pub fn has_queued(&mut self) -> bool {
        !self.backlog.is_empty() || !self.uring.submission().is_empty()
    }

    /// Whether there is a completion to read, or one to be made by the next enter; asks no kernel.
    #[inline]
    pub fn has_arrivals(&mut self) -> bool {
        self.uring.submission().taskrun() || !self.uring.completion().is_empty()
    }

    pub fn completion(&mut self) -> Option<cqueue::Entry> {
        self.uring.completion().next()
    }

    /// Whether the kernel holds completions for which the queue had no room.
    pub fn overflowed(&mut self) -> bool {
        self.uring.submission().cq_overflow()
    }

    /// Moves such completions into the queue.
    pub fn flush_overflow(&mut self) -> io::Result<()> {
        match self.call(0, false) {
            Err(error) if error.raw_os_error() != Some(libc::EINTR) => Err(error),
            _ => Ok(()),
        }
    }

    fn push(&mut self, entry: squeue::Entry, token: Token) {
        let entry = entry.user_data(token.to_bits());
        if self.backlog.is_empty() {
            // SAFETY: see the module's documentation.
            let pushed = unsafe { self.uring.submission().push(&entry) };
            if pushed.is_ok() {
                return;
            }
        }
        self.backlog.push(entry);
    }

    pub fn receive(&mut self, fd: RawFd, token: Token) {
        self.push(opcode::RecvMulti::new(Fd(fd), GROUP).build(), token);
    }

    /// Receives once.
    pub fn receive_once(&mut self, fd: RawFd, token: Token) {
        // No length: that of the buffer which the kernel chooses.
        let entry = opcode::Recv::new(Fd(fd), std::ptr::null_mut(), 0).buf_group(GROUP).build();
        self.push(entry.flags(squeue::Flags::BUFFER_SELECT), token);
    }

    /// Completes once, when there is something to receive.
    pub fn await_readable(&mut self, fd: RawFd, token: Token) {
        self.push(opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).build(), token);
    }

    /// Sends without waiting. If `silent`, a completion comes only if not all of `output` was taken.
    pub fn try_send(&mut self, fd: RawFd, output: &[u8], silent: bool, token: Token) {
        // `WAITALL` makes a short send count as a failure, which is what posts its completion.
        let flags = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let mut entry = send(fd, output, flags);
        if silent {
            entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
        }
        self.push(entry, token);
    }

    /// Sends all of `output`, however long the peer takes; a completion always comes.
    pub fn wait_send(&mut self, fd: RawFd, output: &[u8], token: Token) {
        self.push(send(fd, output, libc::MSG_WAITALL | libc::MSG_NOSIGNAL), token);
    }

    /// As [`Queue::try_send`] of a message.
    pub fn try_send_message(
        &mut self,
        fd: RawFd,
        message: *const libc::msghdr,
        silent: bool,
        token: Token,
    ) {
        let flags = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let mut entry = opcode::SendMsg::new(Fd(fd), message).flags(flags as u32).build();
        if silent {
            entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
        }
        self.push(entry, token);
    }

    /// As [`Queue::wait_send`] of a message.
    pub fn wait_send_message(&mut self, fd: RawFd, message: *const libc::msghdr, token: Token) {
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        self.push(opcode::SendMsg::new(Fd(fd), message).flags(flags as u32).build(), token);
    }

    pub fn accept(&mut self, fd: RawFd, token: Token) {
        let entry = opcode::AcceptMulti::new(Fd(fd)).flags(libc::SOCK_CLOEXEC).build();
        self.push(entry, token);
    }

    /// Watches for readability, once per time that the descriptor becomes so.
    pub fn poll(&mut self, fd: RawFd, token: Token) {
        self.push(opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).multi(true).build(), token);
    }

    /// Wakes another ring of this process, where a completion with token `rung` appears.
    pub fn ring_peer(&mut self, ring: RawFd, token: Token) {
        let rung = Token::rung().to_bits();
        self.push(silent(opcode::MsgRingData::new(Fd(ring), 0, rung, None).build()), token);
    }

    pub fn fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    pub fn timer(&mut self, delay: Duration, token: Token, replaces: bool) {
        *self.time = Timespec::from(delay);
        if replaces {
            let flags = TimeoutFlags::empty();
            let update = opcode::TimeoutUpdate::new(token.to_bits(), &raw const *self.time);
            self.push(silent(update.flags(flags).build()), Token::unanswered());
        } else {
            self.push(opcode::Timeout::new(&raw const *self.time).build(), token);
        }
    }

    /// Ends the operation with token `of`; its own last completion says when it has ended. If it
    /// was not there, or will not end by this, a completion with `failed` comes.
    pub fn cancel(&mut self, of: Token, failed: Token) {
        let entry = opcode::AsyncCancel::new(of.to_bits()).build();
        self.push(silent(entry), failed);
    }

    pub fn close(&mut self, fd: RawFd) {
        self.push(silent(opcode::Close::new(Fd(fd)).build()), Token::unanswered());
    }

    /// Cancels everything in the kernel and waits for it; false if some of it did not end.
    pub fn cancel_all(&mut self) -> bool {
        // What was queued last (closes above all) shall still happen.
        if self.enter(false).is_err() {
            return false;
        }
        let wait = Timespec::new().sec(1);
        let cancelled = self.submitter().register_sync_cancel(Some(wait), CancelBuilder::any());
        if let Err(error) = cancelled
            && error.raw_os_error() != Some(libc::ENOENT)
        {
            return false;
        }
        // One more round for the completions to be posted; nothing is left that would post more.
        let time = Timespec::new().nsec(1_000_000);
        let _ = self.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time));
        true
    }
}

/// Registers the ring's descriptor with the kernel for this thread; `None` if it will not.
fn register_ring(fd: RawFd) -> Option<i32> {
    /// `struct io_uring_rsrc_update`; `offset` of all ones lets the kernel choose, and returns it.
    #[repr(C)]
    struct Update {
        offset: u32,
        reserved: u32,
        data: u64,
    }
    let mut update = Update { offset: u32::MAX, reserved: 0, data: fd as u64 };
    // SAFETY: the kernel reads and writes one `Update`, which lives during the call.
    let registered = unsafe {
        libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_RING_FDS, &raw mut update, 1)
    };
    (registered == 1).then_some(update.offset as i32)
}

fn send(fd: RawFd, output: &[u8], flags: i32) -> squeue::Entry {
    // The kernel sends at most 2 GiB at a time; the rest counts as a short send.
    let length = output.len().min(i32::MAX as usize) as u32;
    opcode::Send::new(Fd(fd), output.as_ptr(), length).flags(flags).build()
}

fn silent(entry: squeue::Entry) -> squeue::Entry {
    entry.flags(squeue::Flags::SKIP_SUCCESS)
}
