//! One shard's locks: granted strictly in the order of arrival.
//!
//! Invariants:
//! - A key has a lock record only while somebody holds or awaits it, so a shard with no multi-shard
//!   command in sight pays one comparison per command.
//! - A waiter is granted only when everything before it in the key's queue has been.
//! - While a whole-shard lock is held or awaited, all later arrivals wait behind it.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::message::{OwnedRequest, Part, TxnId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    Shared,
    Exclusive,
}

/// What may run now.
#[derive(Debug)]
pub enum Grant {
    /// All locks of the part are held.
    Part(Box<Part>),
    /// Nothing stands against the command any more. It holds no lock: it runs at once.
    Request(Box<OwnedRequest>),
}

#[derive(Debug)]
enum Waiter {
    Part(TxnId, LockMode),
    Request(Box<OwnedRequest>),
}

#[derive(Debug, Default)]
struct KeyLock {
    shared: usize,
    exclusive: bool,
    queue: VecDeque<Waiter>,
}

impl KeyLock {
    fn compatible(&self, mode: LockMode) -> bool {
        !self.exclusive && (mode == LockMode::Shared || self.shared == 0)
    }

    fn hold(&mut self, mode: LockMode) {
        match mode {
            LockMode::Shared => self.shared += 1,
            LockMode::Exclusive => self.exclusive = true,
        }
    }
}

/// A part that has arrived and not been released.
#[derive(Debug)]
struct Arrived {
    keys: Vec<(Box<[u8]>, LockMode)>,
    whole_shard: bool,
    missing: usize,
    /// Taken when it is granted.
    part: Option<Box<Part>>,
}

#[derive(Debug)]
enum HeldBack {
    Part(Box<Part>),
    Request(Box<OwnedRequest>),
}

#[derive(Debug, Default)]
pub struct Locks {
    keys: HashMap<Box<[u8]>, KeyLock>,
    parts: HashMap<TxnId, Arrived>,
    /// The whole-shard part that is held or awaited.
    barrier: Option<TxnId>,
    /// What arrived behind the barrier.
    behind: VecDeque<HeldBack>,
}

impl Locks {
    /// True if nothing is locked or awaited: every command may run.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether a command on these keys must wait; if so, hand it to [`Locks::wait`].
    pub fn must_wait<'k>(&self, mut keys: impl Iterator<Item = &'k [u8]>, mode: LockMode) -> bool {
        if self.is_idle() {
            return false;
        }
        self.barrier.is_some()
            || keys.any(|key| {
                let lock = self.keys.get(key);
                lock.is_some_and(|lock| !lock.queue.is_empty() || !lock.compatible(mode))
            })
    }

    /// Queues a command that [`Locks::must_wait`]. With several keys it waits at the first that
    /// stands against it and tries again from there.
    pub fn wait(&mut self, request: Box<OwnedRequest>) {
        if self.barrier.is_some() {
            self.behind.push_back(HeldBack::Request(request));
            return;
        }
        let mode = mode_of(&request);
        let blocking = request_keys(&request)
            .find(|key| {
                let lock = self.keys.get(*key);
                lock.is_some_and(|lock| !lock.queue.is_empty() || !lock.compatible(mode))
            })
            .map(<[u8]>::to_vec);
        if let Some(lock) = blocking.and_then(|key| self.keys.get_mut(&key[..])) {
            lock.queue.push_back(Waiter::Request(request));
        }
    }

    /// A part has arrived. If all of its locks are granted at once it comes back to be run.
    pub fn arrive(&mut self, part: Box<Part>) -> Option<Box<Part>> {
        if self.barrier.is_some() {
            self.behind.push_back(HeldBack::Part(part));
            return None;
        }
        let txn = part.txn;
        if part.whole_shard {
            self.barrier = Some(txn);
            let granted = self.parts.is_empty();
            let missing = usize::from(!granted);
            let kept = if granted { None } else { Some(part) };
            let mut arrived = Arrived { keys: Vec::new(), whole_shard: true, missing, part: kept };
            let result = if granted { arrived.part.take() } else { None };
            self.parts.insert(txn, arrived);
            return result;
        }
        self.arrive_at_keys(part)
    }

    fn arrive_at_keys(&mut self, part: Box<Part>) -> Option<Box<Part>> {
        let txn = part.txn;
        let mut missing = 0;
        let mut keys = Vec::with_capacity(part.locks.len());
        for wanted in &part.locks {
            let lock = self.keys.entry(wanted.key.clone()).or_default();
            if lock.queue.is_empty() && lock.compatible(wanted.mode) {
                lock.hold(wanted.mode);
            } else {
                lock.queue.push_back(Waiter::Part(txn, wanted.mode));
                missing += 1;
            }
            keys.push((wanted.key.clone(), wanted.mode));
        }
        let mut part = Some(part);
        let granted = if missing == 0 { part.take() } else { None };
        self.parts.insert(txn, Arrived { keys, whole_shard: false, missing, part });
        granted
    }

    /// The multi-shard command is over: its locks go, and what waited for them may run, in the
    /// order given.
    pub fn release(&mut self, txn: TxnId, granted: &mut Vec<Grant>) {
        let Some(done) = self.parts.remove(&txn) else { return };
        debug_assert_eq!(done.missing, 0, "released before it was granted");
        for (key, mode) in done.keys {
            if let Some(lock) = self.keys.get_mut(&key) {
                match mode {
                    LockMode::Shared => lock.shared -= 1,
                    LockMode::Exclusive => lock.exclusive = false,
                }
                self.pump(&key, granted);
            }
        }
        if done.whole_shard {
            self.barrier = None;
            self.let_in(granted);
        }
        self.grant_barrier(granted);
    }

    /// Grants from the front of one key's queue what can be granted.
    fn pump(&mut self, key: &[u8], granted: &mut Vec<Grant>) {
        while let Some(lock) = self.keys.get_mut(key) {
            let Some(front) = lock.queue.pop_front() else {
                if lock.shared == 0 && !lock.exclusive {
                    self.keys.remove(key);
                }
                return;
            };
            match front {
                Waiter::Part(txn, mode) if lock.compatible(mode) => {
                    lock.hold(mode);
                    if let Some(part) = self.one_less_missing(txn) {
                        granted.push(Grant::Part(part));
                    }
                }
                Waiter::Request(request) if lock.compatible(mode_of(&request)) => {
                    self.try_request(request, granted);
                }
                blocked => {
                    lock.queue.push_front(blocked);
                    return;
                }
            }
        }
    }

    /// A command got past one key's queue; it runs unless another of its keys stands against it.
    fn try_request(&mut self, request: Box<OwnedRequest>, granted: &mut Vec<Grant>) {
        let mode = mode_of(&request);
        let blocked_at = request_keys(&request)
            .find(|key| self.keys.get(*key).is_some_and(|lock| !lock.compatible(mode)))
            .map(<[u8]>::to_vec);
        match blocked_at.and_then(|key| self.keys.get_mut(&key[..])) {
            Some(lock) => lock.queue.push_back(Waiter::Request(request)),
            None => granted.push(Grant::Request(request)),
        }
    }

    fn one_less_missing(&mut self, txn: TxnId) -> Option<Box<Part>> {
        let arrived = self.parts.get_mut(&txn)?;
        arrived.missing -= 1;
        if arrived.missing == 0 { arrived.part.take() } else { None }
    }

    /// The barrier is granted when everything that came before it has been released.
    fn grant_barrier(&mut self, granted: &mut Vec<Grant>) {
        let Some(txn) = self.barrier else { return };
        if self.parts.len() == 1
            && let Some(arrived) = self.parts.get_mut(&txn)
            && let Some(part) = arrived.part.take()
        {
            arrived.missing = 0;
            granted.push(Grant::Part(part));
        }
    }

    /// Lets in what waited behind the barrier, up to the next one.
    fn let_in(&mut self, granted: &mut Vec<Grant>) {
        while self.barrier.is_none() {
            match self.behind.pop_front() {
                None => return,
                Some(HeldBack::Part(part)) => {
                    granted.extend(self.arrive(part).map(Grant::Part));
                }
                Some(HeldBack::Request(request)) => {
                    if self.must_wait(request_keys(&request), mode_of(&request)) {
                        self.wait(request);
                    } else {
                        granted.push(Grant::Request(request));
                    }
                }
            }
        }
    }
}

fn mode_of(request: &OwnedRequest) -> LockMode {
    if request.request.row.writes() { LockMode::Exclusive } else { LockMode::Shared }
}

fn request_keys(request: &OwnedRequest) -> impl Iterator<Item = &[u8]> {
    let args = request.args.as_args();
    request.request.row.key_positions(args.len()).map(move |index| args.at(index))
}
