//! One shard's locks: granted strictly in the order of arrival.
//!
//! Invariants:
//! - A key has a lock record only while somebody holds or awaits it, so a shard with no multi-shard
//!   command in sight pays one comparison per command.
//! - A waiter is granted only when everything before it in the key's queue has been.
//! - A command with several keys that has to wait waits at all of them, so nothing that comes later
//!   for one of its keys runs before it.
//! - A command that had to wait holds its locks while it runs, like a part: what waits behind it is
//!   granted when it is over, and not before those have been served who wait for what it left.
//! - While a whole-shard lock is held or awaited, all later arrivals wait behind it.
//! - While a command waits, the later ones of its connection that must not overtake it wait too, as
//!   if the connection were one more key: see [`Turn`].

use std::collections::VecDeque;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::fault::{Planted, planted};
use super::message::{ConnId, LockKey, OwnedRequest, Part, Request, ShardId, TxnId};
use super::unit::OwnedWork;
use crate::commands::Row;
use crate::protocol::Args;

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
/// [`Command::is_fence`](crate::commands::Command::is_fence), neither overtakes nor is overtaken: `Exclusive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    connection: (ShardId, ConnId),
    mode: LockMode,
}

impl Turn {
    /// Of a command with these arguments, or without any of an EXEC, that the core `from` sent or
    /// runs for itself.
    pub fn of(from: ShardId, request: &Request, args: Option<Args<'_>>) -> Turn {
        let fence = args.is_none_or(|args| request.row.is_fence(args));
        let mode = if fence { LockMode::Exclusive } else { LockMode::Shared };
        Turn { connection: (from, request.conn), mode }
    }
}

/// What may run now: all of its locks are held, until its release.
#[derive(Debug)]
pub enum Grant {
    Part(Box<Part>),
    Request(Box<OwnedRequest>),
}

/// Who holds or awaits locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A part of a multi-shard command.
    Part(TxnId),
    /// A single-shard command that had to wait, by its number.
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
        if planted!(self, SharedBesideExclusive) && mode == LockMode::Shared {
            return true;
        }
        !self.exclusive && (mode == LockMode::Shared || self.shared == 0)
    }

    /// Whether a newcomer may have the lock at once.
    fn is_free_for(&self, mode: LockMode) -> bool {
        (self.queue.is_empty() || planted!(self, NewcomerOvertakes)) && self.compatible(mode)
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

    /// Grants from the front of the queue what can be granted.
    fn pump(
        &mut self,
        everybody: &mut HashMap<Holder, Arrived>,
        granted: &mut VecDeque<(Holder, Grant)>,
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
                granted.extend(arrived.work.take().map(|work| (holder, work)));
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
    /// What may run, in the order of the grants; empty between two events.
    granted: VecDeque<(Holder, Grant)>,
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
        if planted!(self, ReadSlipsIn) && mode == LockMode::Shared {
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

    /// Whether somebody holds a lock on this key beside the one who is named.
    pub fn is_held_by_others(&self, key: &[u8], but: Option<Holder>) -> bool {
        if self.is_idle() {
            return false;
        }
        let own = but.and_then(|holder| self.arrived.get(&holder));
        if own.is_some_and(|own| own.whole_shard) {
            return false;
        }
        let barred = self.barrier.and_then(|holder| self.arrived.get(&holder));
        if barred.is_some_and(|arrived| arrived.missing == 0) {
            return true;
        }
        let hash = LockKey::hash(key);
        let Some(lock) = self.keys.get(&hash) else { return false };
        let own_mode = own.and_then(|own| {
            let at = own.keys.binary_search_by_key(&hash, |lock| lock.hash).ok()?;
            Some(own.keys[at].mode)
        });
        let own_shared = own_mode == Some(LockMode::Shared);
        let own_exclusive = own_mode == Some(LockMode::Exclusive);
        lock.shared > usize::from(own_shared) || lock.exclusive && !own_exclusive
    }

    /// The hashes of the keys that somebody holds or awaits here; `None` for the whole shard.
    pub fn keys_of(&self, holder: Holder) -> Option<impl Iterator<Item = u64>> {
        let arrived = self.arrived.get(&holder);
        if arrived.is_some_and(|arrived| arrived.whole_shard) {
            return None;
        }
        Some(arrived.into_iter().flat_map(|arrived| &arrived.keys).map(|lock| lock.hash))
    }

    /// Whether a command must wait for others of its connection; if so, hand it to
    /// [`Locks::wait`].
    #[inline]
    pub fn is_out_of_turn(&self, turn: Turn) -> bool {
        !self.is_idle()
            && !planted!(self, TurnNotKept)
            && self.turns.get(&turn.connection).is_some_and(|lock| !lock.is_free_for(turn.mode))
    }

    /// Queues a command that [`Locks::must_wait`] at all of its keys, and at its turn.
    pub fn wait(&mut self, request: Box<OwnedRequest>) {
        if self.barrier.is_some() {
            self.behind.push_back(Grant::Request(request));
            return;
        }
        let (_, granted) = self.queue_up_request(request);
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
            if planted!(self, RunsBeforeLocked) {
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
        if planted!(self, RunsBeforeLocked) {
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

    /// Somebody is over: the locks go. What waited for them is granted, see [`Locks::next_granted`].
    pub fn release(&mut self, holder: Holder) {
        self.let_go(holder);
        self.grant_barrier();
    }

    /// What is to run next. Who runs it releases it when it is over, and calls this until nothing
    /// is left.
    pub fn next_granted(&mut self) -> Option<(Holder, Grant)> {
        self.granted.pop_front()
    }

    fn let_go(&mut self, holder: Holder) {
        let Some(done) = self.arrived.remove(&holder) else { return };
        debug_assert_eq!(done.missing, 0, "released before it was granted");
        let mut wanted = false;
        for held in &done.keys {
            let Entry::Occupied(mut entry) = self.keys.entry(held.hash) else { continue };
            let lock = entry.get_mut();
            lock.let_go(held.mode);
            if planted!(self, GrantedOutOfOrder) {
                lock.queue.make_contiguous().reverse();
            }
            if lock.is_unused() {
                entry.remove();
            } else {
                wanted = true;
            }
        }
        let unwoken = usize::from(planted!(self, WakeUpLost));
        let keys = if wanted { &done.keys[..] } else { &[] };
        for held in keys.iter().skip(unwoken) {
            if let Some(lock) = self.keys.get_mut(&held.hash) {
                lock.pump(&mut self.arrived, &mut self.granted);
            }
        }
        if let Some(turn) = done.turn
            && let Some(lock) = self.turns.get_mut(&turn.connection)
        {
            lock.let_go(turn.mode);
            lock.pump(&mut self.arrived, &mut self.granted);
            if lock.is_unused() {
                self.turns.remove(&turn.connection);
            }
        }
        if done.whole_shard {
            self.barrier = None;
            self.let_in();
        }
    }

    /// The barrier is granted when everything that came before it is over.
    fn grant_barrier(&mut self) {
        let Some(holder) = self.barrier else { return };
        if self.arrived.len() == 1
            && let Some(arrived) = self.arrived.get_mut(&holder)
        {
            arrived.missing = 0;
            self.granted.extend(arrived.work.take().map(|work| (holder, work)));
        }
    }

    /// Lets in what waited behind the barrier, up to the next one.
    fn let_in(&mut self) {
        while self.barrier.is_none() {
            let granted = match self.behind.pop_front() {
                None => return,
                Some(Grant::Part(part)) => {
                    let holder = Holder::Part(part.txn);
                    self.arrive(part).map(|part| (holder, Grant::Part(part)))
                }
                Some(Grant::Request(request)) => {
                    let (holder, granted) = self.queue_up_request(request);
                    granted.map(|granted| (holder, granted))
                }
            };
            self.granted.extend(granted);
        }
    }

    fn queue_up_request(&mut self, request: Box<OwnedRequest>) -> (Holder, Option<Grant>) {
        let holder = Holder::Request(self.next_request);
        self.next_request += 1;
        let keys = request.work.locks(request.request.row);
        let turn = Some(turn_of(&request));
        (holder, self.queue_up(holder, keys, turn, Some(Grant::Request(request))))
    }
}

fn turn_of(request: &OwnedRequest) -> Turn {
    let args = match &request.work {
        OwnedWork::Command(args) => Some(args.as_args()),
        OwnedWork::Unit(_) => None,
    };
    Turn::of(request.from, &request.request, args)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::commands::table;
    use crate::protocol::args::OwnedArgs;
    use crate::protocol::reply::Encoding;
    use crate::txn::{ConnId, OwnedWork, Request, RunAs, Work};

    fn txn(number: u64) -> TxnId {
        TxnId { coordinator: 0, number }
    }

    fn part(number: u64, keys: &[&str], mode: LockMode) -> Box<Part> {
        let locks = keys.iter().map(|key| LockKey::new(key.as_bytes(), mode));
        let work = Work::Hold { watcher: None };
        Box::new(Part { txn: txn(number), locks: locks.collect(), whole_shard: false, work })
    }

    fn whole(number: u64) -> Box<Part> {
        let work = Work::Hold { watcher: None };
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
        Box::new(OwnedRequest { from: 0, request, work: OwnedWork::Command(args) })
    }

    /// What runs when the part is over, in order; commands of one shard are over at once.
    fn released(locks: &mut Locks, number: u64) -> Vec<String> {
        let mut names = Vec::new();
        locks.release(Holder::Part(txn(number)));
        while let Some((holder, grant)) = locks.next_granted() {
            names.push(match &grant {
                Grant::Part(part) => format!("part {}", part.txn.number),
                Grant::Request(request) => match &request.work {
                    OwnedWork::Command(args) => format!("{:?}", args.as_args()),
                    OwnedWork::Unit(unit) => format!("{:?}", unit.commands),
                },
            });
            if let Grant::Request(_) = grant {
                locks.release(holder);
            }
        }
        names
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

    #[test]
    fn nobody_is_its_own_obstacle() {
        let mut locks = Locks::default();
        let holder = |number| Some(Holder::Part(txn(number)));
        assert!(!locks.is_held_by_others(b"a", None));
        assert!(locks.arrive(part(1, &["a", "b"], LockMode::Shared)).is_some());
        for key in [&b"a"[..], b"b"] {
            assert!(locks.is_held_by_others(key, None) && locks.is_held_by_others(key, holder(7)));
            assert!(!locks.is_held_by_others(key, holder(1)), "a shared lock is its own too");
        }
        assert!(locks.arrive(part(2, &["a"], LockMode::Shared)).is_some());
        assert!(
            locks.is_held_by_others(b"a", holder(1)) && locks.is_held_by_others(b"a", holder(2))
        );
        assert!(locks.is_held_by_others(b"b", holder(2)));
        assert!(released(&mut locks, 1).is_empty() && released(&mut locks, 2).is_empty());
        assert!(locks.arrive(part(3, &["a"], LockMode::Exclusive)).is_some());
        assert!(!locks.is_held_by_others(b"a", holder(3)) && locks.is_held_by_others(b"a", None));
        assert!(locks.arrive(whole(4)).is_none());
        assert!(!locks.is_held_by_others(b"b", None), "who waits for the shard holds nothing");
        assert_eq!(released(&mut locks, 3), ["part 4"]);
        assert!(locks.is_held_by_others(b"b", None) && !locks.is_held_by_others(b"b", holder(4)));
        assert!(released(&mut locks, 4).is_empty() && locks.is_idle());
    }

    #[test]
    fn a_command_that_has_waited_holds_its_locks_while_it_runs() {
        let mut locks = Locks::default();
        assert!(locks.arrive(part(1, &["c"], LockMode::Exclusive)).is_some());
        locks.wait(request(&["APPEND", "c", "x"]));
        assert!(locks.arrive(part(2, &["c"], LockMode::Shared)).is_none());
        locks.release(Holder::Part(txn(1)));
        let Some((holder, Grant::Request(_))) = locks.next_granted() else { panic!("APPEND") };
        assert!(locks.next_granted().is_none(), "the reader waits until it is over");
        assert!(
            locks.is_held_by_others(b"c", None) && !locks.is_held_by_others(b"c", Some(holder))
        );
        let hash = LockKey::hash(b"c");
        assert_eq!(locks.keys_of(holder).map(|keys| keys.collect()), Some(vec![hash]));
        locks.release(holder);
        assert!(matches!(locks.next_granted(), Some((_, Grant::Part(part))) if part.txn == txn(2)));
        assert!(released(&mut locks, 2).is_empty() && locks.is_idle());

        // Behind a whole-shard lock too.
        assert!(locks.arrive(whole(3)).is_some());
        locks.wait(request(&["APPEND", "c", "x"]));
        assert!(locks.arrive(part(4, &["c"], LockMode::Exclusive)).is_none());
        assert!(locks.arrive(whole(5)).is_none());
        locks.release(Holder::Part(txn(3)));
        let Some((holder, Grant::Request(_))) = locks.next_granted() else { panic!("APPEND") };
        assert!(locks.next_granted().is_none());
        locks.release(holder);
        assert!(matches!(locks.next_granted(), Some((_, Grant::Part(part))) if part.txn == txn(4)));
        assert_eq!(released(&mut locks, 4), ["part 5"]);
        assert!(released(&mut locks, 5).is_empty() && locks.is_idle());
    }
}
