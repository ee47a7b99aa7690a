//! One shard's locks: granted strictly in the order of arrival.
//!
//! Invariants:
//! - A key has a lock record only while somebody holds or awaits it, so a shard with no multi-shard
//!   command in sight pays one comparison per command.
//! - A waiter is granted only when everything before it in the key's queue has been.
//! - A command with several keys that has to wait waits at all of them, so nothing that comes later
//!   for one of its keys runs before it.
//! - While a whole-shard lock is held or awaited, all later arrivals wait behind it.
//! - While a command waits, the later ones of its connection that must not overtake it wait too, as
//!   if the connection were one more key: see [`Turn`].

use std::collections::VecDeque;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::fault::{Fault, Planted};
use super::message::{ConnId, LockKey, OwnedRequest, Part, Request, ShardId, TxnId};
use super::unit::Waiting;
use crate::commands::Row;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    Shared,
    Exclusive,
}

impl LockMode {
    /// What a command wants its keys in.
    #[inline]
    pub fn of(row: &Row) -> LockMode {
        if row.writes() { LockMode::Exclusive } else { LockMode::Shared }
    }
}

/// A command's place among those of its connection, each of which runs on one shard.
///
/// Commands on one key overtake each other freely where their keys allow it: `Shared`. A fence, see
/// [`Row::is_fence`], neither overtakes nor is overtaken: `Exclusive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    connection: (ShardId, ConnId),
    mode: LockMode,
}

impl Turn {
    /// Of a command of so many arguments, or of an EXEC, that the core `from` sent or runs for
    /// itself.
    pub fn of(from: ShardId, request: &Request, arguments: usize) -> Turn {
        let fence = request.row.is_fence(arguments);
        let mode = if fence { LockMode::Exclusive } else { LockMode::Shared };
        Turn { connection: (from, request.conn), mode }
    }
}

/// What may run now, in the order of the grants.
#[derive(Debug)]
pub enum Grant {
    /// All locks of the part are held, until its release.
    Part(Box<Part>),
    /// Nothing stands against the command any more. It holds no lock: it runs at once.
    Request(Box<OwnedRequest>),
}

/// Who holds or awaits locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Part(TxnId),
    /// A waiting single-shard command, by its number.
    Request(u64),
}

#[derive(Debug, Default)]
struct KeyLock {
    shared: usize,
    exclusive: bool,
    queue: VecDeque<(Holder, LockMode)>,
    planted: Planted,
}

impl KeyLock {
    fn compatible(&self, mode: LockMode) -> bool {
        if self.planted.is(Fault::SharedBesideExclusive) && mode == LockMode::Shared {
            return true;
        }
        !self.exclusive && (mode == LockMode::Shared || self.shared == 0)
    }

    /// Whether a newcomer may have the lock at once.
    fn is_free_for(&self, mode: LockMode) -> bool {
        (self.queue.is_empty() || self.planted.is(Fault::NewcomerOvertakes))
            && self.compatible(mode)
    }

    fn hold(&mut self, mode: LockMode) {
        match mode {
            LockMode::Shared => self.shared += 1,
            LockMode::Exclusive => self.exclusive = true,
        }
    }

    /// Whether it was free.
    fn hold_or_queue(&mut self, holder: Holder, mode: LockMode) -> bool {
        let free = self.is_free_for(mode);
        if free {
            self.hold(mode);
        } else {
            self.queue.push_back((holder, mode));
        }
        free
    }

    fn let_go(&mut self, mode: LockMode) {
        match mode {
            LockMode::Shared => self.shared -= 1,
            LockMode::Exclusive => self.exclusive = false,
        }
    }

    /// Grants from the front of the queue what can be granted. Commands that may now run are
    /// `finished` at once: they hold nothing.
    fn pump(
        &mut self,
        everybody: &mut HashMap<Holder, Arrived>,
        granted: &mut Vec<Grant>,
        finished: &mut Vec<Holder>,
    ) {
        while let Some(&(holder, mode)) = self.queue.front() {
            if !self.compatible(mode) {
                return;
            }
            self.queue.pop_front();
            self.hold(mode);
            let Some(arrived) = everybody.get_mut(&holder) else { continue };
            arrived.missing -= 1;
            if arrived.missing == 0 {
                granted.extend(arrived.work.take());
                if let Holder::Request(_) = holder {
                    finished.push(holder);
                }
            }
        }
    }

    fn is_unused(&self) -> bool {
        self.shared == 0 && !self.exclusive && self.queue.is_empty()
    }
}

/// Somebody who has arrived and is not done.
#[derive(Debug)]
struct Arrived {
    /// Sorted by hash, each once.
    keys: Vec<LockKey>,
    /// A command's only.
    turn: Option<Turn>,
    /// Locks not granted yet; for a whole shard, 1 until it is.
    missing: usize,
    whole_shard: bool,
    /// Taken when everything is granted.
    work: Option<Grant>,
}

#[derive(Debug, Default)]
pub struct Locks {
    /// By the keys' hashes.
    keys: HashMap<u64, KeyLock>,
    /// Of connections with commands that wait.
    turns: HashMap<(ShardId, ConnId), KeyLock>,
    arrived: HashMap<Holder, Arrived>,
    next_request: u64,
    /// The whole-shard part that is held or awaited.
    barrier: Option<Holder>,
    /// What arrived behind the barrier.
    behind: VecDeque<Grant>,
    planted: Planted,
}

impl Locks {
    pub fn plant(&mut self, planted: Planted) {
        self.planted = planted;
    }

    /// True if nothing is locked or awaited: every command may run.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.arrived.is_empty()
    }

    /// Whether a command on these keys must wait; if so, hand it to [`Locks::wait`].
    #[inline]
    pub fn must_wait<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, mode: LockMode) -> bool {
        !self.is_idle() && self.is_in_the_way(keys, mode)
    }

    fn is_in_the_way<'k>(&self, mut keys: impl Iterator<Item = &'k [u8]>, mode: LockMode) -> bool {
        if self.planted.is(Fault::ReadSlipsIn) && mode == LockMode::Shared {
            return false;
        }
        self.barrier.is_some() || keys.any(|key| !self.is_free(LockKey::new(key, mode)))
    }

    fn is_free(&self, wanted: LockKey) -> bool {
        self.keys.get(&wanted.hash).is_none_or(|lock| lock.is_free_for(wanted.mode))
    }

    /// As [`Locks::must_wait`] for keys that are wanted in different modes.
    #[inline]
    pub fn all_must_wait(&self, mut keys: impl Iterator<Item = LockKey>) -> bool {
        !self.is_idle() && (self.barrier.is_some() || keys.any(|wanted| !self.is_free(wanted)))
    }

    /// Whether somebody holds a lock on this key who is not this multi-shard command. It counts as
    /// its own only if it may modify the key.
    pub fn is_held_by_others(&self, key: &[u8], but: Option<TxnId>) -> bool {
        if self.is_idle() {
            return false;
        }
        let hash = LockKey::hash(key);
        let held = self.keys.get(&hash).is_some_and(|lock| lock.exclusive || lock.shared > 0);
        let barred = self.barrier.and_then(|holder| self.arrived.get(&holder));
        if !held && barred.is_none_or(|arrived| arrived.missing > 0) {
            return false;
        }
        let own = but.and_then(|txn| self.arrived.get(&Holder::Part(txn)));
        !own.is_some_and(|own| {
            let of_key = own.keys.binary_search_by_key(&hash, |lock| lock.hash);
            let exclusive = |at: usize| own.keys[at].mode == LockMode::Exclusive;
            own.missing == 0 && (own.whole_shard || of_key.is_ok_and(exclusive))
        })
    }

    /// The hashes of the keys on which a multi-shard command holds locks here; `None` if it holds
    /// the whole shard.
    pub fn held_by(&self, txn: TxnId) -> Option<Vec<u64>> {
        match self.arrived.get(&Holder::Part(txn)) {
            Some(arrived) if arrived.whole_shard => None,
            Some(arrived) => Some(arrived.keys.iter().map(|lock| lock.hash).collect()),
            None => Some(Vec::new()),
        }
    }

    /// Whether a command must wait for others of its connection; if so, hand it to
    /// [`Locks::wait`].
    #[inline]
    pub fn is_out_of_turn(&self, turn: Turn) -> bool {
        !self.is_idle()
            && !self.planted.is(Fault::TurnNotKept)
            && self.turns.get(&turn.connection).is_some_and(|lock| !lock.is_free_for(turn.mode))
    }

    /// Queues a command that [`Locks::must_wait`] at all of its keys, and at its turn.
    pub fn wait(&mut self, request: Box<OwnedRequest>) {
        if self.barrier.is_some() {
            self.behind.push_back(Grant::Request(request));
            return;
        }
        let holder = Holder::Request(self.next_request);
        self.next_request += 1;
        let keys = request.work.locks(request.request.row);
        let turn = Some(turn_of(&request));
        let granted = self.queue_up(holder, keys, turn, Some(Grant::Request(request)));
        debug_assert!(granted.is_none(), "a command waited that did not have to");
    }

    /// A part has arrived. If all of its locks are granted at once it comes back to be run.
    pub fn arrive(&mut self, mut part: Box<Part>) -> Option<Box<Part>> {
        if self.barrier.is_some() {
            self.behind.push_back(Grant::Part(part));
            return None;
        }
        let holder = Holder::Part(part.txn);
        let granted = if part.whole_shard {
            self.barrier = Some(holder);
            let idle = self.arrived.is_empty();
            let (granted, work) = if idle {
                (Some(Grant::Part(part)), None)
            } else {
                (None, Some(Grant::Part(part)))
            };
            let missing = usize::from(!idle);
            let (keys, turn) = (Vec::new(), None);
            let arrived = Arrived { keys, turn, missing, whole_shard: true, work };
            self.arrived.insert(holder, arrived);
            granted
        } else {
            if self.planted.is(Fault::RunsBeforeLocked) {
                part.locks.retain(|lock| self.is_free(*lock));
            }
            let keys = std::mem::take(&mut part.locks);
            self.queue_up(holder, keys, None, Some(Grant::Part(part)))
        };
        match granted {
            Some(Grant::Part(part)) => Some(part),
            _ => None,
        }
    }

    /// Locks all of these keys for a command until its release, or none if one is not free.
    pub fn try_hold(&mut self, txn: TxnId, mut keys: Vec<LockKey>) -> bool {
        if self.barrier.is_some() {
            return false;
        }
        LockKey::merge(&mut keys);
        if self.planted.is(Fault::RunsBeforeLocked) {
            keys.retain(|lock| self.is_free(*lock));
        }
        let free = self.is_idle() || keys.iter().all(|wanted| self.is_free(*wanted));
        if free {
            self.queue_up(Holder::Part(txn), keys, None, None);
        }
        free
    }

    /// Takes the locks that are free and queues for the others. If all were free, the work comes
    /// back and the locks are held.
    fn queue_up(
        &mut self,
        holder: Holder,
        keys: Vec<LockKey>,
        turn: Option<Turn>,
        mut work: Option<Grant>,
    ) -> Option<Grant> {
        let mut missing = 0;
        for wanted in &keys {
            let planted = self.planted;
            let fresh = || KeyLock { planted, ..KeyLock::default() };
            let lock = self.keys.entry(wanted.hash).or_insert_with(fresh);
            missing += usize::from(!lock.hold_or_queue(holder, wanted.mode));
        }
        if let Some(turn) = turn {
            let lock = self.turns.entry(turn.connection).or_default();
            missing += usize::from(!lock.hold_or_queue(holder, turn.mode));
        }
        let granted = if missing == 0 { work.take() } else { None };
        self.arrived.insert(holder, Arrived { keys, turn, missing, whole_shard: false, work });
        granted
    }

    /// The multi-shard command is over: its locks go, and what waited for them may run, in the
    /// order given.
    pub fn release(&mut self, txn: TxnId, granted: &mut Vec<Grant>) {
        self.done(Holder::Part(txn), granted);
        self.grant_barrier(granted);
    }

    /// Lets go of everything that somebody held, and of what was only waiting for that.
    fn done(&mut self, holder: Holder, granted: &mut Vec<Grant>) {
        let (mut finished, mut next) = (Vec::new(), Some(holder));
        while let Some(holder) = next {
            let Some(done) = self.arrived.remove(&holder) else {
                next = finished.pop();
                continue;
            };
            debug_assert_eq!(done.missing, 0, "released before it was granted");
            let mut wanted = false;
            for held in &done.keys {
                let Entry::Occupied(mut entry) = self.keys.entry(held.hash) else { continue };
                let lock = entry.get_mut();
                lock.let_go(held.mode);
                if self.planted.is(Fault::GrantedOutOfOrder) {
                    lock.queue.make_contiguous().reverse();
                }
                if lock.is_unused() {
                    entry.remove();
                } else {
                    wanted = true;
                }
            }
            let unwoken = usize::from(self.planted.is(Fault::WakeUpLost));
            let keys = if wanted { &done.keys[..] } else { &[] };
            for held in keys.iter().skip(unwoken) {
                if let Some(lock) = self.keys.get_mut(&held.hash) {
                    lock.pump(&mut self.arrived, granted, &mut finished);
                    if lock.is_unused() {
                        self.keys.remove(&held.hash);
                    }
                }
            }
            if let Some(turn) = done.turn
                && let Some(lock) = self.turns.get_mut(&turn.connection)
            {
                lock.let_go(turn.mode);
                lock.pump(&mut self.arrived, granted, &mut finished);
                if lock.is_unused() {
                    self.turns.remove(&turn.connection);
                }
            }
            if done.whole_shard {
                self.barrier = None;
                self.let_in(granted);
            }
            next = finished.pop();
        }
    }

    /// The barrier is granted when everything that came before it is done.
    fn grant_barrier(&mut self, granted: &mut Vec<Grant>) {
        let Some(holder) = self.barrier else { return };
        if self.arrived.len() == 1
            && let Some(arrived) = self.arrived.get_mut(&holder)
        {
            arrived.missing = 0;
            granted.extend(arrived.work.take());
        }
    }

    /// Lets in what waited behind the barrier, up to the next one.
    fn let_in(&mut self, granted: &mut Vec<Grant>) {
        while self.barrier.is_none() {
            match self.behind.pop_front() {
                None => return,
                Some(Grant::Part(part)) => granted.extend(self.arrive(part).map(Grant::Part)),
                Some(Grant::Request(request)) => {
                    let keys = request.work.locks(request.request.row);
                    if self.is_out_of_turn(turn_of(&request))
                        || self.all_must_wait(keys.into_iter())
                    {
                        self.wait(request);
                    } else {
                        granted.push(Grant::Request(request));
                    }
                }
            }
        }
    }
}

fn turn_of(request: &OwnedRequest) -> Turn {
    let arguments = match &request.work {
        Waiting::Command(args) => args.as_args().len(),
        Waiting::Unit(_) => 0,
    };
    Turn::of(request.from, &request.request, arguments)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::commands::table;
    use crate::protocol::args::OwnedArgs;
    use crate::protocol::reply::Encoding;
    use crate::txn::{ConnId, Request, RunAs, Waiting, Work};

    fn txn(number: u64) -> TxnId {
        TxnId { coordinator: 0, number }
    }

    fn part(number: u64, keys: &[&str], mode: LockMode) -> Box<Part> {
        let locks = keys.iter().map(|key| LockKey::new(key.as_bytes(), mode));
        let work = Work::Fetch { keys: Vec::new() };
        Box::new(Part { txn: txn(number), locks: locks.collect(), whole_shard: false, work })
    }

    fn whole(number: u64) -> Box<Part> {
        let work = Work::Fetch { keys: Vec::new() };
        Box::new(Part { txn: txn(number), locks: Vec::new(), whole_shard: true, work })
    }

    /// Of a connection of its own.
    fn request(words: &[&str]) -> Box<OwnedRequest> {
        static NEXT: AtomicU32 = AtomicU32::new(100);
        request_of(NEXT.fetch_add(1, Ordering::Relaxed), words)
    }

    fn request_of(connection: u32, words: &[&str]) -> Box<OwnedRequest> {
        let row = table().get(words[0].as_bytes()).expect("a command");
        let args: OwnedArgs = words.iter().map(|word| word.as_bytes()).collect();
        let conn = ConnId { index: connection, generation: 0 };
        let run_as = RunAs { db: 0, encoding: Encoding::Resp2, no_touch: false };
        let request = Request::new(row, conn, 0, run_as);
        Box::new(OwnedRequest { from: 0, request, work: Waiting::Command(args) })
    }

    fn released(locks: &mut Locks, number: u64) -> Vec<String> {
        let mut granted = Vec::new();
        locks.release(txn(number), &mut granted);
        let names = granted.iter().map(|grant| match grant {
            Grant::Part(part) => format!("part {}", part.txn.number),
            Grant::Request(request) => match &request.work {
                Waiting::Command(args) => format!("{:?}", args.as_args()),
                Waiting::Unit(unit) => format!("{:?}", unit.commands),
            },
        });
        names.collect()
    }

    fn must_wait(locks: &Locks, key: &str, mode: LockMode) -> bool {
        locks.must_wait([key.as_bytes()].into_iter(), mode)
    }

    #[test]
    fn locks_are_granted_in_the_order_of_arrival() {
        let mut locks = Locks::default();
        assert!(locks.arrive(part(1, &["a", "b"], LockMode::Exclusive)).is_some());
        assert!(locks.arrive(part(2, &["b", "c"], LockMode::Shared)).is_none());
        assert!(locks.arrive(part(3, &["c"], LockMode::Shared)).is_some());
        assert!(locks.arrive(part(4, &["c"], LockMode::Exclusive)).is_none());
        assert!(must_wait(&locks, "c", LockMode::Shared), "nobody overtakes the writer");
        assert!(!must_wait(&locks, "d", LockMode::Exclusive));
        assert_eq!(released(&mut locks, 1), ["part 2"]);
        assert!(released(&mut locks, 3).is_empty());
        assert_eq!(released(&mut locks, 2), ["part 4"]);
        assert!(released(&mut locks, 4).is_empty());
        assert!(locks.is_idle() && locks.keys.is_empty());
    }

    #[test]
    fn a_waiting_command_holds_its_place_at_all_of_its_keys() {
        let mut locks = Locks::default();
        assert!(locks.arrive(part(1, &["a"], LockMode::Exclusive)).is_some());
        locks.wait(request(&["MGET", "a", "b", "a"]));
        assert!(must_wait(&locks, "b", LockMode::Exclusive), "APPEND b must not run before MGET");
        assert!(!must_wait(&locks, "b", LockMode::Shared));
        locks.wait(request(&["APPEND", "b", "x"]));
        locks.wait(request(&["GET", "a"]));
        assert!(locks.arrive(part(2, &["b"], LockMode::Exclusive)).is_none());
        let order = [r#"["MGET", "a", "b", "a"]"#, r#"["GET", "a"]"#, r#"["APPEND", "b", "x"]"#];
        let granted = released(&mut locks, 1);
        assert_eq!(granted[..3], order, "{granted:?}");
        assert_eq!(granted[3..], ["part 2"]);
        assert!(released(&mut locks, 2).is_empty());
        assert!(locks.is_idle() && locks.keys.is_empty());
    }

    fn request_must_wait(locks: &Locks, request: &OwnedRequest) -> bool {
        let keys = request.work.locks(request.request.row);
        locks.is_out_of_turn(turn_of(request)) || locks.all_must_wait(keys.iter().copied())
    }

    #[test]
    fn a_fence_keeps_its_place_among_the_commands_of_its_connection() {
        let mut locks = Locks::default();
        assert!(locks.arrive(part(1, &["a"], LockMode::Exclusive)).is_some());
        let (get, set) = (request_of(1, &["GET", "a"]), request_of(1, &["SET", "x", "1"]));
        let (mset, last) = (request_of(1, &["MSET", "b", "1", "c", "1"]), ["GET", "y"]);
        assert!(!request_must_wait(&locks, &mset));
        locks.wait(get);
        assert!(!request_must_wait(&locks, &set), "single keys may overlap");
        assert!(request_must_wait(&locks, &mset), "GET a has not been executed");
        assert!(!request_must_wait(&locks, &request_of(2, &["MGET", "b", "c"])));
        locks.wait(mset);
        assert!(request_must_wait(&locks, &request_of(1, &last)), "nothing overtakes MSET");
        assert!(!request_must_wait(&locks, &request_of(2, &last)));
        locks.wait(request_of(1, &last));
        let order = [r#"["GET", "a"]"#, r#"["MSET", "b", "1", "c", "1"]"#, r#"["GET", "y"]"#];
        assert_eq!(released(&mut locks, 1), order);
        assert!(locks.is_idle() && locks.keys.is_empty() && locks.turns.is_empty());
    }

    #[test]
    fn a_whole_shard_waits_for_what_came_before_and_holds_back_the_rest() {
        let mut locks = Locks::default();
        assert!(locks.arrive(part(1, &["a"], LockMode::Shared)).is_some());
        assert!(locks.arrive(whole(2)).is_none());
        assert!(must_wait(&locks, "b", LockMode::Shared));
        locks.wait(request(&["GET", "b"]));
        assert!(locks.arrive(part(3, &["c"], LockMode::Shared)).is_none());
        assert!(locks.arrive(whole(4)).is_none());
        assert!(locks.arrive(part(5, &["c"], LockMode::Shared)).is_none());
        assert_eq!(released(&mut locks, 1), ["part 2"]);
        assert_eq!(released(&mut locks, 2), [r#"["GET", "b"]"#, "part 3"]);
        assert_eq!(released(&mut locks, 3), ["part 4"]);
        assert_eq!(released(&mut locks, 4), ["part 5"]);
        assert!(released(&mut locks, 5).is_empty());
        assert!(locks.is_idle());
        assert!(locks.arrive(whole(6)).is_some(), "an idle shard is granted at once");
    }
}
