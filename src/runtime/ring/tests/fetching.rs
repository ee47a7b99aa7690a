//! Receiving into the owner's own memory, between receives into the ring's buffers.

use std::cell::{Cell, RefCell};

use super::super::connections::Intake;
use super::*;

/// What a peer sends while it reads nothing.
fn sender(mut theirs: TcpStream, bytes: Vec<u8>) -> std::thread::JoinHandle<TcpStream> {
    std::thread::spawn(move || {
        theirs.write_all(&bytes).unwrap();
        theirs
    })
}

/// Fetches what there is, up to `bytes_max`, and then asks for more.
fn fetch(ring: &mut Ring, key: Key, into: &mut Vec<u8>, mut bytes_max: usize) -> usize {
    let before = into.len();
    while bytes_max > 0 {
        match ring.fetch(key, into, bytes_max) {
            Ok(bytes) => bytes_max -= bytes,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                ring.fetch_next(key);
                break;
            }
        }
    }
    into.len() - before
}

#[test]
fn what_is_fetched_and_what_is_received_come_in_order() {
    const FETCHED_AT_A_TIME: usize = 50_000;
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, theirs) = pair();
    let key = ring.insert(ours).unwrap();
    ring.receive(key);
    let sent = pattern(400_000);
    let sender = sender(theirs, sent.clone());
    let (mut fetched, mut pieces, mut wanted) = (0, 0, FETCHED_AT_A_TIME);
    let received = RefCell::new(Vec::new());
    run(
        &mut ring,
        |ring, completion, bytes| {
            let received: &mut Vec<u8> = &mut received.borrow_mut();
            match completion {
                Completion::Received { chunk, .. } => {
                    received.extend_from_slice(bytes);
                    ring.give_back(chunk);
                    pieces += 1;
                }
                Completion::Readable { .. } => {}
                other => panic!("{other:?}"),
            }
            let now = fetch(ring, key, received, wanted);
            fetched += now;
            wanted -= now;
            if wanted == 0 && pieces % 20 == 0 {
                wanted = FETCHED_AT_A_TIME;
            }
        },
        |_| received.borrow().len() == sent.len(),
    );
    assert!(*received.borrow() == sent);
    assert!(fetched >= FETCHED_AT_A_TIME && pieces > 0, "{fetched} fetched, {pieces} received");
    sender.join().unwrap();
}

#[test]
fn a_connection_streams_again_when_nothing_large_has_come_for_a_while() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, mut theirs) = pair();
    let key = ring.insert(ours).unwrap();
    ring.receive(key);
    ring.fetch_next(key);
    let mut intakes = Vec::new();
    for n in 0..20_u8 {
        theirs.write_all(&[n]).unwrap();
        let received = RefCell::new(Vec::new());
        let intake = Cell::new(None);
        run(
            &mut ring,
            |ring, completion, bytes| {
                let received: &mut Vec<u8> = &mut received.borrow_mut();
                intake.set(ring.slots.open(key).map(|slot| slot.intake));
                match completion {
                    Completion::Readable { .. } => {
                        assert_eq!(ring.fetch(key, received, 100).unwrap(), 1);
                    }
                    Completion::Received { chunk, .. } => {
                        received.extend_from_slice(bytes);
                        ring.give_back(chunk);
                    }
                    other => panic!("{other:?}"),
                }
            },
            |_| !received.borrow().is_empty(),
        );
        assert_eq!(*received.borrow(), [n]);
        intakes.push(intake.get());
    }
    let streams = |intake: &Option<Intake>| *intake == Some(Intake::Stream);
    assert!(intakes.contains(&Some(Intake::Piece)), "{intakes:?}");
    assert!(intakes.last().is_some_and(streams), "{intakes:?}");
}

/// However it is received at that moment.
#[test]
fn a_connection_ends_while_it_waits_to_be_fetched() {
    for closes in [false, true] {
        let mut ring = Ring::new(SMALL).unwrap();
        let (ours, theirs) = pair();
        let key = ring.insert(ours).unwrap();
        ring.receive(key);
        ring.fetch_next(key);
        run(
            &mut ring,
            |_, completion, _| panic!("{completion:?}"),
            |ring| {
                ring.slots.open(key).is_some_and(|slot| {
                    slot.receive == Receive::Armed && slot.intake == Intake::Readiness
                }) && !ring.has_queued()
            },
        );
        if closes {
            ring.close(key);
            run(&mut ring, |_, other, _| panic!("{other:?}"), |ring| ring.connections() == 0);
            continue;
        }
        drop(theirs);
        let ended = Cell::new(false);
        run(
            &mut ring,
            |ring, completion, _| match completion {
                Completion::Readable { .. } => {
                    assert_eq!(ring.fetch(key, &mut Vec::new(), 9).unwrap(), 0);
                }
                Completion::Ended { error: None, .. } => ended.set(true),
                other => panic!("{other:?}"),
            },
            |_| ended.get(),
        );
    }
}
