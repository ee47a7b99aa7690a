//! The post under loom: every interleaving of a few threads with a bounded number of preemptions,
//! and every value that a load may return.
//!
//! The stand-ins promise no more than the protocol may rely on. The queue of this model is weaker
//! than the channel of the server: a look at it may miss what has been put, unless fences forbid
//! that. A doorbell orders nothing but a ring and the sleep that it ends.
//!
//! A model of a bug must fail. [`Model`] takes the fault to plant; a fault in how the post is used
//! is a variant of the thread that uses it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize as Count;
use std::sync::{Mutex as Plain, PoisonError};

use loom::sync::Condvar;
use loom::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, fence};
use loom::thread;

use super::*;

pub const NO_FAULT: u8 = 0;
/// Nothing orders the flag and the queue.
const NO_FENCE: u8 = 1;
/// The last look into the inbox comes before the flag is set.
const EARLY_LOOK: u8 = 2;
/// Who rings leaves the flag up.
const FLAG_LEFT_UP: u8 = 3;
/// The mutex of ordered parcels excludes nobody.
const NO_MUTEX: u8 = 4;
/// What was put last is taken first.
const LAST_IN_FIRST_OUT: u8 = 5;
/// Nothing orders the flag and who has put it up.
const FLAG_RELAXED: u8 = 6;

pub enum Model<const FAULT: u8> {}

impl<const FAULT: u8> Means for Model<FAULT> {
    type Flag = ModelFlag<FAULT>;
    type Number = AtomicI32;
    type Bell = ModelBell;
    type Order = ModelOrder<FAULT>;
    type Queue<T> = Arc<ModelQueue<T>>;
    type Source<T> = ModelSource<T, FAULT>;

    fn queue<T>() -> (Arc<ModelQueue<T>>, ModelSource<T, FAULT>) {
        let queue =
            Arc::new(ModelQueue { items: Plain::new(VecDeque::new()), put: AtomicUsize::new(0) });
        let (taken, found_none) = (Cell::new(0), Cell::new(true));
        (Arc::clone(&queue), ModelSource { queue, taken, found_none })
    }

    fn fence() {
        if FAULT != NO_FENCE {
            fence(Ordering::SeqCst);
        }
    }
}

/// Stores are swaps, because loom lets a store of one thread come between what the swap of another
/// has read and what it has written, which nothing can.
pub struct ModelFlag<const FAULT: u8>(AtomicBool);

impl<const FAULT: u8> Flag for ModelFlag<FAULT> {
    fn new(value: bool) -> Self {
        ModelFlag(AtomicBool::new(value))
    }

    fn load(&self, ordering: Ordering) -> bool {
        self.0.load(ordering)
    }

    fn store(&self, value: bool, ordering: Ordering) {
        self.0.swap(value, if FAULT == FLAG_RELAXED { Ordering::Relaxed } else { ordering });
    }

    fn swap(&self, value: bool, ordering: Ordering) -> bool {
        if FAULT == FLAG_LEFT_UP { self.0.load(ordering) } else { self.0.swap(value, ordering) }
    }
}

impl Number for AtomicI32 {
    fn new(value: i32) -> AtomicI32 {
        AtomicI32::new(value)
    }

    fn load(&self, ordering: Ordering) -> i32 {
        self.load(ordering)
    }

    fn store(&self, value: i32, ordering: Ordering) {
        self.store(value, ordering);
    }
}

/// The sleep of a core, which its eventfd and the messages of other rings end alike.
pub struct ModelBell {
    rung: loom::sync::Mutex<bool>,
    wake: Condvar,
    rings: Count,
}

impl ModelBell {
    fn sleep(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.wake.wait(rung).unwrap();
        }
        *rung = false;
    }
}

impl Bell for ModelBell {
    fn new() -> io::Result<ModelBell> {
        let (rung, wake) = (loom::sync::Mutex::new(false), Condvar::new());
        Ok(ModelBell { rung, wake, rings: Count::new(0) })
    }

    fn ring(&self) {
        self.rings.fetch_add(1, Ordering::Relaxed);
        *self.rung.lock().unwrap() = true;
        self.wake.notify_one();
    }
}

pub struct ModelOrder<const FAULT: u8>(loom::sync::Mutex<()>);

impl<const FAULT: u8> Order for ModelOrder<FAULT> {
    fn new() -> Self {
        ModelOrder(loom::sync::Mutex::new(()))
    }

    fn one_at_a_time(&self, work: impl FnOnce()) {
        let _order = (FAULT != NO_MUTEX).then(|| self.0.lock().unwrap());
        work();
    }
}

/// Only `put` tells the threads about each other: loom switches threads nowhere else in here, so
/// the plain mutex is never contended.
pub struct ModelQueue<T> {
    items: Plain<VecDeque<T>>,
    put: AtomicUsize,
}

pub struct ModelSource<T, const FAULT: u8> {
    queue: Arc<ModelQueue<T>>,
    taken: Cell<usize>,
    found_none: Cell<bool>,
}

impl<T> Queue<T> for Arc<ModelQueue<T>> {
    fn push(&self, item: T) {
        self.put.fetch_add(1, Ordering::Release);
        self.items.lock().unwrap_or_else(PoisonError::into_inner).push_back(item);
    }
}

impl<T, const FAULT: u8> Source<T> for ModelSource<T, FAULT> {
    fn pop(&self) -> Option<T> {
        self.found_none.set(self.queue.put.load(Ordering::Acquire) == self.taken.get());
        if self.found_none.get() {
            return None;
        }
        self.taken.set(self.taken.get() + 1);
        let mut items = self.queue.items.lock().unwrap_or_else(PoisonError::into_inner);
        if FAULT == LAST_IN_FIRST_OUT { items.pop_back() } else { items.pop_front() }
    }

    fn is_empty(&self) -> bool {
        if FAULT == EARLY_LOOK {
            return self.found_none.get();
        }
        self.queue.put.load(Ordering::Relaxed) == self.taken.get()
    }
}

/// Number and sender of a parcel.
type Item = (usize, u32);

type ModelInbox<const FAULT: u8> = Inbox<Model<FAULT>, Item>;

fn post<const FAULT: u8>(cores: usize) -> (Arc<Post<Model<FAULT>, Item>>, Vec<ModelInbox<FAULT>>) {
    let (post, mail) = Post::new(cores).expect("bells of a model cost nothing");
    (post, mail.into_iter().map(|mail| mail.core).collect())
}

/// What a core does that waits for so many parcels, as in the driver; counts how often it
/// said that it was about to sleep.
fn take<const FAULT: u8>(inbox: &Inbox<Model<FAULT>, Item>, count: usize) -> (Vec<Item>, usize) {
    let (mut taken, mut parks) = (Vec::new(), 0);
    loop {
        while let Some(item) = inbox.take() {
            taken.push(item);
        }
        if taken.len() == count {
            return (taken, parks);
        }
        parks += 1;
        if inbox.park() {
            inbox.bell().sleep();
            inbox.unpark();
        }
    }
}

fn of_sender(items: &[Item], sender: usize) -> Vec<u32> {
    items.iter().filter(|item| item.0 == sender).map(|item| item.1).collect()
}

/// Up to so many switches of threads that were not about to wait. Bugs need few (Musuvathi and
/// Qadeer, "Iterative context bounding", PLDI 2007); every fault planted here is found with two.
pub fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Holds the checker to finding a fault, and for the right reason.
pub fn finds(reason: &str, preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let found = catch_unwind(AssertUnwindSafe(|| explore(preemptions, model)));
    let panic = found.expect_err("the planted fault was not found");
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    assert!(text.contains(reason), "found something else: {text}");
}

const LOST: &str = "deadlock";

/// Two cores send two parcels each to a third one that sleeps whenever it can.
fn two_senders<const FAULT: u8>() {
    let (post, inboxes) = post::<FAULT>(1);
    for sender in 0..2 {
        let post = Arc::clone(&post);
        thread::spawn(move || {
            post.deliver(0, (sender, 0));
            post.deliver(0, (sender, 1));
        });
    }
    let (items, _) = take(&inboxes[0], 4);
    assert_eq!([of_sender(&items, 0), of_sender(&items, 1)], [[0, 1], [0, 1]], "out of order");
}

#[test]
fn no_wake_up_is_lost_and_senders_keep_their_order() {
    explore(2, two_senders::<NO_FAULT>);
    finds(LOST, 2, two_senders::<NO_FENCE>);
    finds(LOST, 2, two_senders::<EARLY_LOOK>);
    finds("out of order", 2, two_senders::<LAST_IN_FIRST_OUT>);
}

/// One sender. `bell_first` is the sender that does it the wrong way round.
fn one_sender<const FAULT: u8>(bell_first: bool) {
    let (post, inboxes) = post::<FAULT>(1);
    thread::spawn(move || {
        for number in 0..2 {
            if bell_first {
                post.wake(0);
                post.put(0, (0, number));
            } else {
                post.deliver(0, (0, number));
            }
        }
    });
    assert_eq!(take(&inboxes[0], 2).0, [(0, 0), (0, 1)]);
}

#[test]
fn the_parcel_comes_before_the_bell() {
    explore(5, || one_sender::<NO_FAULT>(false));
    finds(LOST, 2, || one_sender::<NO_FAULT>(true));
}

/// Setting the flag once is answered by one ring, however many send.
fn rings_once<const FAULT: u8>() {
    let (post, inboxes) = post::<FAULT>(1);
    for sender in 0..2 {
        let post = Arc::clone(&post);
        thread::spawn(move || post.deliver(0, (sender, 0)));
    }
    let (_, parks) = take(&inboxes[0], 2);
    let rings = inboxes[0].bell().rings.load(Ordering::Relaxed);
    assert!(rings <= parks, "{rings} rings for {parks} flags");
}

#[test]
fn a_flag_is_rung_for_once() {
    explore(3, rings_once::<NO_FAULT>);
    finds("2 rings for 1 flags", 2, rings_once::<FLAG_LEFT_UP>);
}

/// Two cores ring a third one through their rings: the first in vain. As in the driver, the rings
/// are queued, and what became of them is known only later.
fn ring_fails(recovers: bool) {
    let (post, inboxes) = post::<NO_FAULT>(1);
    post.set_ring(0, Some(3));
    for sender in 0..2 {
        let post = Arc::clone(&post);
        thread::spawn(move || {
            post.put(0, (sender, 0));
            let mut queued = false;
            post.wake_through(0, |_, _| queued = true);
            match (queued, sender) {
                (false, _) => {}
                (true, 0) if recovers => post.not_rung(0),
                (true, 0) => {}
                (true, _) => post.threads[0].bell.ring(),
            }
        });
    }
    take(&inboxes[0], 2);
}

#[test]
fn a_ring_that_fails_is_made_up_for() {
    explore(3, || ring_fails(true));
    finds(LOST, 2, || ring_fails(false));
}

/// Two cores put a group of parcels each into the inboxes of two shards, in different orders.
fn groups<const FAULT: u8>() {
    let (post, inboxes) = post::<FAULT>(2);
    let senders = [[0, 1], [1, 0]].into_iter().enumerate().map(|(sender, shards)| {
        let post = Arc::clone(&post);
        thread::spawn(move || {
            post.put_ordered(|| shards.into_iter().map(|shard| (shard, (sender, 0))));
            shards.into_iter().for_each(|shard| post.wake(shard));
        })
    });
    senders.collect::<Vec<_>>().into_iter().for_each(|sender| sender.join().unwrap());
    let [first, second] = [&inboxes[0], &inboxes[1]].map(|inbox| take(inbox, 2).0);
    assert_eq!(first, second, "met in different orders");
}

#[test]
fn groups_meet_in_one_order_at_every_shard() {
    loom::model(groups::<NO_FAULT>);
    finds("met in different orders", 2, groups::<NO_MUTEX>);
}

/// Each of two cores has a group for both shards, and meets its own without its inbox if nothing is
/// there that was put before.
fn own_group_first<const FAULT: u8>(looks: bool) {
    let (post, inboxes) = post::<FAULT>(2);
    let cores = inboxes.into_iter().enumerate().map(|(core, inbox)| {
        let post = Arc::clone(&post);
        thread::spawn(move || {
            let mut met: Vec<Item> = std::iter::from_fn(|| inbox.take()).collect();
            let (mut own, group) = (true, (core, 0));
            post.put_ordered(|| {
                own = !looks || inbox.is_empty();
                let shards = if own { 1 - core..2 - core } else { 0..2 };
                shards.map(move |shard| (shard, group))
            });
            met.extend(own.then_some(group));
            (met, inbox)
        })
    });
    let cores: Vec<_> = cores.collect();
    let orders = cores.into_iter().map(|core| core.join().unwrap()).collect::<Vec<_>>();
    let orders = orders.into_iter().map(|(mut met, inbox)| {
        met.extend(take(&inbox, 2 - met.len()).0);
        met
    });
    let orders: Vec<Vec<Item>> = orders.collect();
    assert_eq!(orders[0], orders[1], "met in different orders");
}

#[test]
fn an_own_group_may_be_met_when_the_inbox_is_empty() {
    loom::model(|| own_group_first::<NO_FAULT>(true));
    finds("met in different orders", 2, || own_group_first::<NO_FAULT>(false));
    finds("met in different orders", 2, || own_group_first::<NO_MUTEX>(true));
}

/// A core that changes hands: its thread sleeps once, then gives it to another, which takes what
/// comes from then on, and may fail to say so.
fn changes_hands<const FAULT: u8>(says_so: bool) {
    let (post, mut inboxes) = post::<FAULT>(2);
    inboxes.truncate(1);
    let inbox = inboxes.remove(0);
    {
        let post = Arc::clone(&post);
        thread::spawn(move || {
            post.deliver(0, (0, 0));
            post.deliver(0, (0, 1));
        });
    }
    let mut taken: Vec<Item> = std::iter::from_fn(|| inbox.take()).collect();
    if taken.len() < 2 && inbox.park() {
        inbox.bell().sleep();
        inbox.unpark();
    }
    taken.extend(std::iter::from_fn(|| inbox.take()));
    let new = thread::spawn(move || {
        if says_so {
            inbox.is_run_by(1);
        }
        let bell = &post.threads[1].bell;
        while taken.len() < 2 {
            taken.extend(std::iter::from_fn(|| inbox.take()));
            if taken.len() < 2 && inbox.park() {
                bell.sleep();
                inbox.unpark();
            }
        }
        assert_eq!(of_sender(&taken, 0), [0, 1], "out of order");
    });
    new.join().unwrap();
}

#[test]
fn a_core_that_changes_hands_misses_nothing() {
    explore(3, || changes_hands::<NO_FAULT>(true));
    finds(LOST, 3, || changes_hands::<NO_FAULT>(false));
    finds(LOST, 3, || changes_hands::<NO_FENCE>(true));
    finds(LOST, 3, || changes_hands::<FLAG_RELAXED>(true));
}
