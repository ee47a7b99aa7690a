//! Clients that wait for data, at the shard that owns the keys: who waits at which key, and who is
//! served when it is modified. The engine has the side of the connection.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

use super::Shard;
use crate::commands::blocking::first_ready;
use crate::commands::{Readiness, Row, Wait, WaitsAt};
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::DATABASES;
use crate::txn::{
    Holder, LockKey, Message, PartResult, RunAs, TxnId, Waiter, planted, shard_of_key,
};

/// A key with its database.
type Place = (u8, Box<[u8]>);

/// The waiters of this shard's keys.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    by_id: HashMap<TxnId, Registered>,
    queues: HashMap<Place, Queue>,
    /// How many queues there are in each database.
    queues_of_db: [usize; DATABASES],
    arrivals: u64,
    /// Modified keys whose queues have not been looked at since, in the order of the modifications.
    ready: VecDeque<Place>,
    /// Those of them that somebody held, by their hashes for locks: looked at when that is over.
    /// Each has its number among those that were ever set aside.
    held: HashMap<u64, Vec<(u64, Place)>>,
    set_aside: u64,
}

#[derive(Debug)]
struct Registered {
    waiter: Arc<Waiter>,
    /// Its number among those who came to wait at this shard.
    arrival: u64,
}

/// Who waits at a key.
#[derive(Debug, Default)]
struct Queue {
    /// By command, since with one they are all as ready as the first.
    lanes: Vec<Lane>,
    /// The first one's command is being tried by the core of its connection. Nobody behind it is
    /// served before the outcome is known.
    trying: Option<TxnId>,
}

#[derive(Debug)]
struct Lane {
    row: &'static Row,
    /// In the order of arrival.
    waiters: BTreeMap<u64, Arc<Waiter>>,
}

impl Queue {
    fn insert(&mut self, arrival: u64, waiter: &Arc<Waiter>) {
        let known = self.lanes.iter().position(|lane| std::ptr::eq(lane.row, waiter.row));
        let lane = known.unwrap_or_else(|| {
            self.lanes.push(Lane { row: waiter.row, waiters: BTreeMap::new() });
            self.lanes.len() - 1
        });
        self.lanes[lane].waiters.insert(arrival, Arc::clone(waiter));
    }

    fn remove(&mut self, arrival: u64) {
        for lane in &mut self.lanes {
            lane.waiters.remove(&arrival);
        }
        self.lanes.retain(|lane| !lane.waiters.is_empty());
    }

    /// The first of each lane, or by mistake the last, in the order of arrival.
    fn first_of_each(&self, last_first: bool) -> Vec<Arc<Waiter>> {
        let first = |lane: &Lane| {
            let mut waiters = lane.waiters.iter();
            let first = match last_first {
                true => waiters.next_back(),
                false => waiters.next(),
            };
            first.map(|(arrival, waiter)| (*arrival, Arc::clone(waiter)))
        };
        let mut all: Vec<(u64, Arc<Waiter>)> = self.lanes.iter().filter_map(first).collect();
        all.sort_unstable_by_key(|(arrival, _)| *arrival);
        all.into_iter().map(|(_, waiter)| waiter).collect()
    }
}

impl Waiters {
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn set_aside(&mut self, place: Place) {
        let held = self.held.entry(LockKey::hash(&place.1)).or_default();
        if !held.iter().any(|(_, known)| *known == place) {
            held.push((self.set_aside, place));
            self.set_aside += 1;
        }
    }

    /// Keys at which somebody waits.
    pub fn keys(&self) -> usize {
        self.queues.len()
    }
}

impl Shard {
    /// The client waits at all of its keys that belong to this shard, behind those who are there.
    pub fn register_waiter(&mut self, waiter: &Arc<Waiter>) {
        // One that needs other keys of this shard does not wait at them.
        if waiter.positions_of(self.id, self.count).next().is_none() {
            return;
        }
        self.waiters.arrivals += 1;
        let arrival = self.waiters.arrivals;
        let args = waiter.args.as_args();
        for position in waiter.positions_of(self.id, self.count) {
            let key = args.at(position);
            let db = usize::from(waiter.run_as.db);
            let queues = &mut self.waiters.queues;
            let queue = queues.entry((waiter.run_as.db, key.into())).or_insert_with(|| {
                self.waiters.queues_of_db[db] += 1;
                self.store.db_mut(db).changes.expect(key);
                Queue::default()
            });
            queue.insert(arrival, waiter);
            // When this client's command looked, the key may have been kept for another that was
            // being tried for, and that may have ended since without taking everything.
            self.waiters.ready.push_back((waiter.run_as.db, key.into()));
        }
        let registered = Registered { waiter: Arc::clone(waiter), arrival };
        let before = self.waiters.by_id.insert(waiter.id, registered);
        debug_assert!(before.is_none(), "it waits already");
    }

    /// The client does not wait here any more. Those behind it are served if they can be now.
    pub fn end_wait(&mut self, id: TxnId) {
        let Some(Registered { waiter, arrival }) = self.waiters.by_id.remove(&id) else { return };
        let args = waiter.args.as_args();
        for position in waiter.positions_of(self.id, self.count) {
            let place = (waiter.run_as.db, args.at(position).into());
            let Some(queue) = self.waiters.queues.get_mut(&place) else { continue };
            queue.remove(arrival);
            let was_tried = queue.trying == Some(id);
            if queue.lanes.is_empty() {
                self.waiters.queues.remove(&place);
                let db = usize::from(waiter.run_as.db);
                self.waiters.queues_of_db[db] -= 1;
                self.store.db_mut(db).changes.expect_no_more(&place.1);
            } else if was_tried {
                queue.trying = None;
                self.waiters.ready.push_back(place);
            }
        }
        if self.waiters.by_id.is_empty() {
            (self.waiters.ready, self.waiters.held) = (VecDeque::new(), HashMap::new());
        }
    }

    /// An attempt for this client was in vain: it waits on at its place.
    pub fn wait_on(&mut self, id: TxnId) {
        let Some(Registered { waiter, .. }) = self.waiters.by_id.get(&id) else { return };
        let args = waiter.args.as_args();
        for position in waiter.positions_of(self.id, self.count) {
            let place = (waiter.run_as.db, args.at(position).into());
            if let Some(queue) = self.waiters.queues.get_mut(&place)
                && queue.trying == Some(id)
            {
                queue.trying = None;
                // What was modified meanwhile was not looked at.
                self.waiters.ready.push_back(place);
            }
        }
    }

    /// Serves who waits for what has been modified, except at keys that somebody else holds than
    /// `holder`, who is just ending: those are set aside. To be called behind every command or
    /// transaction, before anything else runs that could take what waiters are due; and for whoever
    /// holds locks before they go, as what was set aside because of them is looked at then. Nothing
    /// is set aside without somebody who holds it, so nothing is forgotten.
    #[inline]
    pub fn serve_waiters(&mut self, holder: Option<Holder>) {
        if !self.waiters.by_id.is_empty() {
            self.serve_ready(holder);
        }
    }

    #[cold]
    fn serve_ready(&mut self, mut holder: Option<Holder>) {
        if planted!(self, EndNotLookedAt) {
            holder = holder.filter(|holder| matches!(holder, Holder::Part(_)));
        }
        if let Some(holder) = holder {
            self.take_held(holder);
        }
        self.collect_ready();
        while let Some(place) = self.waiters.ready.pop_front() {
            if self.locks.is_held_by_others(&place.1, holder) {
                self.waiters.set_aside(place);
            } else {
                self.serve_place(&place, holder);
                self.collect_ready();
            }
        }
    }

    /// What somebody holds who is ending may be looked at now, unless others hold it too.
    fn take_held(&mut self, holder: Holder) {
        let held = &mut self.waiters.held;
        if held.is_empty() {
            return;
        }
        let mut released: Vec<(u64, Place)> = match self.locks.keys_of(holder) {
            None => held.drain().flat_map(|(_, places)| places).collect(),
            Some(hashes) => hashes.filter_map(|hash| held.remove(&hash)).flatten().collect(),
        };
        // In the order in which they were modified.
        released.sort_unstable_by_key(|(number, _)| *number);
        self.waiters.ready.extend(released.into_iter().map(|(_, place)| place));
    }

    /// Forgets what has been modified: only for a planted fault.
    pub fn forget_ready(&mut self) {
        self.collect_ready();
        self.waiters.ready.clear();
    }

    fn collect_ready(&mut self) {
        for db in 0..DATABASES {
            if self.waiters.queues_of_db[db] > 0 {
                let touched = self.store.db_mut(db).changes.take_touched();
                self.waiters.ready.extend(touched.into_iter().map(|key| (db as u8, key)));
            }
        }
    }

    /// Serves those who wait at a key, in the order in which they came, as long as there is
    /// something for them.
    fn serve_place(&mut self, place: &Place, holder: Option<Holder>) {
        while let Some(queue) = self.waiters.queues.get(place) {
            if queue.trying.is_some() {
                return;
            }
            let mut waiting = queue.first_of_each(planted!(self, ServedOutOfOrder)).into_iter();
            let Some(waiter) = waiting.find(|waiter| self.is_ready(waiter, &place.1)) else {
                return;
            };
            let alone = self.has_all_keys(&waiter, holder);
            let claimed = if alone { waiter.claim() } else { waiter.claim_to_try() };
            if !claimed && !planted!(self, ServedTwice) {
                // Somebody else has ended its wait, and will say so.
                self.end_wait(waiter.id);
            } else if alone {
                let reply = self.serve_waiter(&waiter, &place.1);
                self.end_wait(waiter.id);
                let core = waiter.id.coordinator;
                self.outbox.push(core, Message::Served { waiter, reply });
            } else {
                if let Some(queue) = self.waiters.queues.get_mut(place) {
                    queue.trying = Some(waiter.id);
                }
                let core = waiter.id.coordinator;
                self.outbox.push(core, Message::Ready(waiter));
            }
        }
    }

    /// Whether all keys are here and free that the waiter's command needs to be served.
    fn has_all_keys(&self, waiter: &Waiter, holder: Option<Holder>) -> bool {
        let args = waiter.args.as_args();
        if waiter.wait().is_some_and(|wait| matches!(wait.at, WaitsAt::EveryKey)) {
            return true;
        }
        waiter.row.key_positions(args).map(|position| args.at(position)).all(|key| {
            shard_of_key(key, self.count) == self.id && !self.locks.is_held_by_others(key, holder)
        })
    }

    fn is_ready(&mut self, waiter: &Waiter, key: &[u8]) -> bool {
        let mut out = Vec::new();
        let context = self.context(waiter.run_as, &mut out);
        waiter.wait().is_some_and(|wait| (wait.ready)(&context, key) == Readiness::Ready)
    }

    /// Serves a waiter from this key, which is ready; returns the reply.
    fn serve_waiter(&mut self, waiter: &Waiter, key: &[u8]) -> Vec<u8> {
        let args = waiter.args.as_args();
        match waiter.positions().find(|&position| args.at(position) == key) {
            Some(position) => self.serve_at(waiter, position),
            None => Vec::new(),
        }
    }

    /// Serves a waiter from the key that is the argument of this index; returns the reply.
    pub fn serve_at(&mut self, waiter: &Waiter, position: usize) -> Vec<u8> {
        let Some(wait) = waiter.wait() else { return Vec::new() };
        self.serve_command(wait, waiter.row, waiter.args.as_args(), waiter.run_as, position)
    }

    /// Serves a command that may wait from one of its keys; returns the reply.
    pub fn serve_command(
        &mut self,
        wait: &Wait,
        row: &'static Row,
        args: Args<'_>,
        run_as: RunAs,
        position: usize,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let started = (self.stopwatch)();
        self.store.set_touching(!run_as.no_touch);
        let result = (wait.serve)(&mut self.context(run_as, &mut out), args, position);
        self.store.set_touching(true);
        let nanos = (self.stopwatch)().saturating_sub(started);
        self.statistics.of(row).nanos += nanos;
        self.statistics.count_call(row, result.as_ref().err());
        if let Err(error) = result {
            out.clear();
            Reply::new(&mut out, run_as.encoding).error_bytes(&error.message());
        }
        out
    }

    /// The reply to a command that has found nothing and does not wait.
    pub fn answer_nothing(&mut self, waiter: &Waiter) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(wait) = waiter.wait() {
            (wait.nothing)(&mut Reply::new(&mut out, waiter.run_as.encoding));
        }
        self.statistics.count_call(waiter.row, None);
        out
    }

    /// The part of a command that may wait: its locks are held here.
    pub fn run_wait_part(&mut self, waiter: &Arc<Waiter>, alone: bool) -> PartResult {
        let Some(ready) = self.first_ready(waiter) else {
            if alone && !waiter.may_wait() {
                return PartResult::Reply(self.answer_nothing(waiter));
            }
            if alone && !planted!(self, WaitsTooLate) {
                self.register_waiter(waiter);
            }
            return PartResult::Ready(None);
        };
        if alone && (waiter.claim() || planted!(self, ServedThoughVanished)) {
            return PartResult::Reply(self.serve_at(waiter, ready));
        }
        PartResult::Ready(Some(ready))
    }

    /// Where among the arguments the first of the waiter's keys is that belongs here, is ready, and
    /// is not being tried for somebody who waits there already.
    pub fn first_ready(&mut self, waiter: &Waiter) -> Option<usize> {
        let wait = waiter.wait()?;
        let args = waiter.args.as_args();
        let queues = &self.waiters.queues;
        let is_tried = |position: usize| {
            let queue = queues.get(&(waiter.run_as.db, Box::from(args.at(position))));
            queue.is_some_and(|queue| queue.trying.is_some())
        };
        let positions = waiter.positions_of(self.id, self.count);
        let positions: Vec<usize> = match queues.is_empty() {
            true => positions.collect(),
            false => positions.filter(|&position| !is_tried(position)).collect(),
        };
        let mut out = Vec::new();
        let context = self.context(waiter.run_as, &mut out);
        first_ready(&context, args, wait, positions.into_iter())
    }

    /// What must hold between two events: nobody waits at a key that has something for it and that
    /// nobody holds or is being tried for; and every key that was set aside has a holder, whose end
    /// looks at it again.
    #[cfg(debug_assertions)]
    pub fn check_waiters(&mut self) -> Result<(), String> {
        let mut places: Vec<Place> = self.waiters.queues.keys().cloned().collect();
        places.sort_unstable();
        for (db, key) in &places {
            let queue = &self.waiters.queues[&(*db, key.clone())];
            if queue.trying.is_some() || self.locks.is_held_by_others(key, None) {
                continue;
            }
            for waiter in queue.first_of_each(false) {
                if self.is_ready(&waiter, key) {
                    let key = key.escape_ascii();
                    return Err(format!("{waiter:?} waits at {key}, which is ready and free"));
                }
            }
        }
        let held = self.waiters.held.values().flatten();
        let free = held.filter(|(_, (_, key))| !self.locks.is_held_by_others(key, None)).min();
        match (free, self.waiters.ready.front()) {
            (Some((_, (_, key))), _) => {
                Err(format!("{} is set aside, and free", key.escape_ascii()))
            }
            (None, Some((_, key))) => Err(format!("{} was not looked at", key.escape_ascii())),
            (None, None) => Ok(()),
        }
    }
}
