//! `cargo bench --bench order`: how often threads meet at what orders the multi-shard commands of
//! all cores.
//!
//! So many threads make passes as cores do: each takes what is in its inbox, works for some
//! microseconds, and puts a parcel into the inboxes of three cores while it holds the mutex. Per
//! number of threads and length of a pass:
//!
//! - contended: groups in a thousand that found the mutex taken
//! - waited: nanoseconds between that and the group's turn, the mean over all groups
//! - longest: microseconds, the longest such wait of all
//!
//! With more threads than processors what is seen is preemption of who holds it, which a server with
//! a core of its own for each thread does not know.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

const PARCELS: usize = 3;
const RUN: Duration = Duration::from_millis(500);

/// What all threads share: the mutex, and where each is reached.
struct Post {
    order: Mutex<()>,
    inboxes: Vec<Sender<usize>>,
}

#[derive(Default)]
struct Figures {
    groups: u64,
    contended: u64,
    waited: Duration,
    longest: Duration,
}

fn main() {
    println!("| threads | pass, us | groups/s | contended, in 1,000 | waited, ns | longest, us |");
    println!("|--:|--:|--:|--:|--:|--:|");
    for threads in [2, 4, 8, 16, 32, 64] {
        for pass_us in [2, 20] {
            let figures = run(threads, Duration::from_micros(pass_us));
            let groups = figures.groups as f64;
            println!(
                "| {threads} | {pass_us} | {:.0} | {:.2} | {:.0} | {:.0} |",
                groups / RUN.as_secs_f64(),
                figures.contended as f64 * 1e3 / groups,
                figures.waited.as_nanos() as f64 / groups,
                figures.longest.as_secs_f64() * 1e6
            );
        }
    }
}

fn run(threads: usize, pass: Duration) -> Figures {
    let (inboxes, ends): (Vec<_>, Vec<_>) = (0..threads).map(|_| unbounded()).unzip();
    let (post, stop) = (Arc::new(Post { order: Mutex::new(()), inboxes }), AtomicBool::new(false));
    let mut all = Figures::default();
    std::thread::scope(|scope| {
        let (post, stop) = (&post, &stop);
        let make = |(core, inbox)| scope.spawn(move || passes(core, &inbox, post, pass, stop));
        let cores: Vec<_> = ends.into_iter().enumerate().map(make).collect();
        std::thread::sleep(RUN);
        stop.store(true, Ordering::Relaxed);
        for core in cores {
            let own = core.join().expect("a thread that ends");
            all.groups += own.groups;
            all.contended += own.contended;
            all.waited += own.waited;
            all.longest = all.longest.max(own.longest);
        }
    });
    all
}

fn passes(
    core: usize,
    inbox: &Receiver<usize>,
    post: &Post,
    pass: Duration,
    stop: &AtomicBool,
) -> Figures {
    let mut figures = Figures::default();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        while let Ok(parcel) = inbox.try_recv() {
            black_box(parcel);
        }
        while began.elapsed() < pass {
            std::hint::spin_loop();
        }
        let order = match post.order.try_lock() {
            Ok(order) => order,
            Err(_) => {
                let found = Instant::now();
                let order = post.order.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = found.elapsed();
                figures.contended += 1;
                figures.waited += waited;
                figures.longest = figures.longest.max(waited);
                order
            }
        };
        for n in 1..=PARCELS {
            // Fails only where that thread has ended.
            let _ = post.inboxes[(core + n) % post.inboxes.len()].send(core);
        }
        drop(order);
        figures.groups += 1;
    }
    figures
}
