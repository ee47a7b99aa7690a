//! The rare paths, forced with tiny rings, few buffers and small socket buffers.

mod cancelling;
mod fetching;
mod handover;
mod sending;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::connections::{Receive, SendState};
use super::*;

const SMALL: Options =
    Options { entries: 8, completions: 16, buffers: 4, buffers_circulating: 1, buffer_bytes: 64 };

/// A connected pair over loopback: ours for the ring, theirs as the peer.
fn pair() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0.into(), theirs)
}

/// Runs passes until `done`; every completion goes to `see`, received bytes included.
fn run(
    ring: &mut Ring,
    mut see: impl FnMut(&mut Ring, Completion, &[u8]),
    mut done: impl FnMut(&mut Ring) -> bool,
) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done(ring) {
        assert!(Instant::now() < deadline, "the ring made no progress");
        ring.enter(false).unwrap();
        while let Some(completion) = ring.next() {
            let bytes = match &completion {
                Completion::Received { chunk, .. } => ring.data(chunk).to_vec(),
                _ => Vec::new(),
            };
            see(ring, completion, &bytes);
        }
        ring.end_pass();
    }
}

/// Collects what arrives, giving every buffer back.
fn collect(into: &mut Vec<u8>) -> impl FnMut(&mut Ring, Completion, &[u8]) + '_ {
    |ring, completion, bytes| {
        if let Completion::Received { chunk, .. } = completion {
            into.extend_from_slice(bytes);
            ring.give_back(chunk);
        }
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[test]
fn bytes_in_and_bytes_out() {
    let mut ring = Ring::new(Options::default()).unwrap();
    let (ours, mut theirs) = pair();
    let key = ring.insert(ours).unwrap();
    ring.receive(key);
    theirs.write_all(b"ping").unwrap();
    let (mut received, mut sent) = (Vec::new(), 0);
    run(
        &mut ring,
        |ring, completion, bytes| match completion {
            Completion::Received { key, chunk } => {
                received.extend_from_slice(bytes);
                ring.give_back(chunk);
                ring.send(key, b"pong!".to_vec(), Report::Whenever);
                assert!(!ring.can_send(key), "one send at a time");
            }
            Completion::Sent { bytes, .. } => sent += bytes,
            other => panic!("{other:?}"),
        },
        |ring| {
            ring.can_send(key) && ring.slots.open(key).unwrap().sent == 0 && {
                theirs.set_nonblocking(true).unwrap();
                let mut answer = [0; 8];
                theirs.read(&mut answer).is_ok_and(|length| &answer[..length] == b"pong!")
            }
        },
    );
    assert_eq!((&received[..], sent), (&b"ping"[..], 5));
}

#[test]
fn receives_go_on_when_buffers_run_out() {
    let mut ring = Ring::new(SMALL).unwrap();
    let sent = pattern(100_000);
    let mut keys = Vec::new();
    let mut writers = Vec::new();
    for _ in 0..3 {
        let (ours, mut theirs) = pair();
        let key = ring.insert(ours).unwrap();
        ring.receive(key);
        keys.push((key, Vec::new()));
        let sent = sent.clone();
        writers.push(std::thread::spawn(move || theirs.write_all(&sent).unwrap()));
    }
    let (mut ended, mut starved) = (0, false);
    let ring = &mut ring;
    let deadline = Instant::now() + Duration::from_secs(20);
    while ended < keys.len() {
        assert!(Instant::now() < deadline);
        ring.enter(false).unwrap();
        // Buffers are held until the end of the pass, so that they do run out.
        let mut held = Vec::new();
        while let Some(completion) = ring.next() {
            match completion {
                Completion::Received { key, chunk } => {
                    let (_, received) = keys.iter_mut().find(|(k, _)| *k == key).unwrap();
                    received.extend_from_slice(ring.data(&chunk));
                    held.push(chunk);
                }
                Completion::Ended { error: None, .. } => ended += 1,
                other => panic!("{other:?}"),
            }
        }
        starved |= !ring.starved.is_empty();
        held.into_iter().for_each(|chunk| ring.give_back(chunk));
        ring.end_pass();
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert!(starved, "the test did not reach what it tests");
    assert!(keys.iter().all(|(_, received)| *received == sent));
}

#[test]
fn completions_beyond_the_queue_are_not_lost() {
    let options = Options { entries: 4, completions: 8, buffers: 64, ..SMALL };
    let mut ring = Ring::new(Options { buffers_circulating: 64, ..options }).unwrap();
    let mut peers = Vec::new();
    // More connections than submission entries, too: the rest waits in the backlog.
    for _ in 0..40 {
        let (ours, theirs) = pair();
        let key = ring.insert(ours).unwrap();
        ring.receive(key);
        peers.push((key, theirs));
    }
    run(&mut ring, |_, completion, _| panic!("{completion:?}"), |ring| !ring.has_queued());
    peers.iter_mut().for_each(|(_, theirs)| theirs.write_all(b"x").unwrap());
    // Everything that has arrived is completed in one call, which is more than fits.
    let (mut received, mut overflowed) = (0, false);
    let deadline = Instant::now() + Duration::from_secs(20);
    while received < peers.len() && Instant::now() < deadline {
        ring.enter(false).unwrap();
        overflowed |= ring.queue.overflowed();
        while let Some(completion) = ring.next() {
            match completion {
                Completion::Received { chunk, .. } => ring.give_back(chunk),
                other => panic!("{other:?}"),
            }
            received += 1;
        }
        ring.end_pass();
    }
    assert!(overflowed, "the test did not reach what it tests");
    assert_eq!(received, peers.len());
}

#[test]
fn pausing_stops_and_resuming_goes_on() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, mut theirs) = pair();
    let key = ring.insert(ours).unwrap();
    ring.receive(key);
    theirs.write_all(b"one").unwrap();
    let mut received = Vec::new();
    let mut count = 0;
    run(&mut ring, collect(&mut received), |_| {
        count += 1;
        count > 20
    });
    assert_eq!(received, b"one");

    ring.pause(key);
    run(&mut ring, collect(&mut received), |ring| {
        ring.slots.open(key).unwrap().receive == Receive::Off
    });
    theirs.write_all(b"two").unwrap();
    let mut count = 0;
    run(&mut ring, collect(&mut received), |_| {
        count += 1;
        count > 20
    });
    assert_eq!(received, b"one", "paused");

    ring.receive(key);
    // Paused and resumed again before the kernel knows.
    ring.pause(key);
    ring.receive(key);
    let mut count = 0;
    run(&mut ring, collect(&mut received), |_| {
        count += 1;
        count > 50
    });
    assert_eq!(received, b"onetwo");
    theirs.shutdown(Shutdown::Write).unwrap();
    let mut ended = false;
    run(
        &mut ring,
        |_, completion, _| ended |= matches!(completion, Completion::Ended { error: None, .. }),
        |ring| ring.slots.open(key).unwrap().receive == Receive::Off,
    );
    assert!(ended);
}

#[test]
fn accepting_goes_on_until_it_is_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut ring = Ring::new(SMALL).unwrap();
    let number = ring.add_listener(&listener);
    ring.accept(number);
    let _clients: Vec<_> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut accepted = 0;
    let mut count = 0;
    let see = |_: &mut Ring, completion, _: &[u8]| match completion {
        Completion::Accepted { listener, .. } if listener == number => accepted += 1,
        other => panic!("{other:?}"),
    };
    run(&mut ring, see, |_| {
        count += 1;
        count > 50
    });
    assert_eq!(accepted, 5);
    ring.stop_accepting(number);
    let mut count = 0;
    let nothing = |_: &mut Ring, completion, _: &[u8]| panic!("{completion:?}");
    run(&mut ring, nothing, |_| {
        count += 1;
        count > 10
    });
    let _late = TcpStream::connect(address).unwrap();
    let mut count = 0;
    run(&mut ring, nothing, |_| {
        count += 1;
        count > 50
    });
}

#[test]
fn accepting_can_be_stopped_and_started_in_quick_succession() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut ring = Ring::new(SMALL).unwrap();
    let number = ring.add_listener(&listener);
    let (mut clients, mut accepted) = (Vec::new(), 0);
    for turn in 0..100 {
        ring.accept(number);
        if turn % 2 == 0 {
            ring.enter(false).unwrap();
        }
        clients.push(TcpStream::connect(address).unwrap());
        ring.stop_accepting(number);
        ring.accept(number);
        let see = |_: &mut Ring, completion, _: &[u8]| match completion {
            Completion::Accepted { .. } => accepted += 1,
            other => panic!("{other:?}"),
        };
        let mut passes = 0;
        run(&mut ring, see, |_| {
            passes += 1;
            passes > 4
        });
    }
    assert_eq!(accepted, clients.len());
}

#[test]
fn an_accept_that_fails_is_reported_and_can_be_started_again() {
    let (not_listening, _theirs) = pair();
    let mut ring = Ring::new(SMALL).unwrap();
    let number = ring.add_listener(&not_listening);
    for _ in 0..2 {
        ring.accept(number);
        let mut failed = false;
        let mut count = 0;
        run(
            &mut ring,
            |_, completion, _| match completion {
                Completion::AcceptFailed { listener, error } => {
                    assert_eq!(listener, number);
                    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
                    failed = true;
                }
                other => panic!("{other:?}"),
            },
            |_| {
                count += 1;
                count > 10
            },
        );
        assert!(failed);
    }
}

#[test]
fn a_doorbell_and_a_timer_end_the_sleep() {
    let mut ring = Ring::new(SMALL).unwrap();
    // SAFETY: a new eventfd that nobody else owns.
    let bell = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_NONBLOCK)) };
    ring.watch(&bell);
    let ringer = bell.try_clone().unwrap();
    for _ in 0..3 {
        let ringer = ringer.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            std::fs::File::from(ringer).write_all(&1u64.to_ne_bytes()).unwrap();
        });
        let mut rung = false;
        while !rung {
            ring.enter(true).unwrap();
            while let Some(completion) = ring.next() {
                assert!(matches!(completion, Completion::Doorbell), "{completion:?}");
                rung = true;
            }
        }
        thread.join().unwrap();
    }
    let before = Instant::now();
    ring.wake_in(Duration::from_secs(60));
    ring.enter(false).unwrap();
    ring.wake_in(Duration::from_millis(30));
    loop {
        ring.enter(true).unwrap();
        if let Some(completion) = ring.next() {
            assert!(matches!(completion, Completion::Timer), "{completion:?}");
            break;
        }
    }
    let waited = before.elapsed();
    assert!((30..5_000).contains(&waited.as_millis()), "{waited:?}");
}

#[test]
fn one_ring_wakes_another() {
    let (to_us, from_sleeper) = std::sync::mpsc::channel();
    let sleeper = std::thread::spawn(move || {
        let mut ring = Ring::new(SMALL).unwrap();
        for _ in 0..3 {
            to_us.send(ring.as_raw_fd()).unwrap();
            let mut rung = false;
            while !rung {
                ring.enter(true).unwrap();
                while let Some(completion) = ring.next() {
                    assert!(matches!(completion, Completion::Doorbell), "{completion:?}");
                    rung = true;
                }
            }
        }
        to_us.send(-1).unwrap();
    });
    let mut ring = Ring::new(SMALL).unwrap();
    loop {
        let peer = from_sleeper.recv_timeout(Duration::from_secs(10)).expect("it sleeps on");
        if peer < 0 {
            break;
        }
        ring.ring_peer(peer, 7);
        ring.enter(false).unwrap();
        assert!(ring.next().is_none(), "success is silent");
    }
    sleeper.join().unwrap();
    // What is no ring cannot be rung, and says so.
    let (not_a_ring, _theirs) = pair();
    ring.ring_peer(not_a_ring.as_raw_fd(), 7);
    ring.enter(false).unwrap();
    let refused = ring.next();
    assert!(matches!(refused, Some(Completion::NotRung { peer: 7 })), "{refused:?}");
}
