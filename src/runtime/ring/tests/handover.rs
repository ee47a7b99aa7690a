//! Connections that move from one ring to another.

use super::*;

/// A ring with one connection that receives.
fn receiving(options: Options) -> (Ring, Key, TcpStream) {
    let mut ring = Ring::new(options).unwrap();
    let (ours, theirs) = pair();
    let key = ring.insert(ours).unwrap();
    ring.receive(key);
    (ring, key, theirs)
}

/// Pauses, goes on until the connection is quiet, and takes it out.
fn take_when_quiet(ring: &mut Ring, key: Key, received: &mut Vec<u8>) -> OwnedFd {
    ring.pause(key);
    run(ring, collect(received), |ring| ring.is_quiet(key));
    ring.take(key).expect("quiet")
}

#[test]
fn a_stream_goes_through_many_rings_and_loses_nothing() {
    const RINGS: usize = 3;
    const MOVES: usize = 300;
    let sent = pattern(4 << 20);
    let mut rings: Vec<Ring> = (0..RINGS).map(|_| Ring::new(SMALL).unwrap()).collect();
    let (mut ours, mut theirs) = pair();
    let to_send = sent.clone();
    let writer = std::thread::spawn(move || {
        theirs.write_all(&to_send).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        theirs
    });
    let mut received = Vec::new();
    for turn in 0..MOVES {
        let ring = &mut rings[turn % RINGS];
        let key = ring.insert(ours).unwrap();
        ring.receive(key);
        let mut passes = turn % 4;
        run(ring, collect(&mut received), |_| {
            passes = passes.wrapping_sub(1);
            passes == usize::MAX
        });
        ours = take_when_quiet(ring, key, &mut received);
        assert!(!ring.is_open(key) && ring.connections() == 0);
    }
    assert!(received.len() < sent.len(), "nothing was left for the last ring");
    let ring = &mut rings[MOVES % RINGS];
    let key = ring.insert(ours).unwrap();
    ring.receive(key);
    let mut ended = false;
    let see = |ring: &mut Ring, completion, bytes: &[u8]| match completion {
        Completion::Received { chunk, .. } => {
            received.extend_from_slice(bytes);
            ring.give_back(chunk);
        }
        Completion::Ended { error: None, .. } => ended = true,
        other => panic!("{other:?}"),
    };
    run(ring, see, |ring| ring.is_quiet(key));
    assert!(ended && received == sent);
    // It can still be sent to.
    let _theirs = writer.join().unwrap();
    ring.send(key, b"bye".to_vec(), Report::Soon);
    let mut told = false;
    let see = |_: &mut Ring, completion, _: &[u8]| {
        told |= matches!(completion, Completion::Sent { bytes: 3, .. });
    };
    run(ring, see, |ring| ring.can_send(key));
    assert!(told);
}

#[test]
fn what_is_in_the_kernel_is_not_handed_out() {
    let (mut ring, key, mut theirs) = receiving(SMALL);
    assert!(!ring.is_quiet(key) && ring.take(key).is_none(), "a receive is on its way");
    run(&mut ring, |_, completion, _| panic!("{completion:?}"), |ring| !ring.has_queued());
    ring.pause(key);
    assert!(ring.take(key).is_none(), "it has not ended yet");
    assert!(ring.is_open(key), "nothing has changed");
    run(&mut ring, |_, completion, _| panic!("{completion:?}"), |ring| ring.is_quiet(key));

    ring.send(key, b"hello".to_vec(), Report::Whenever);
    assert!(ring.take(key).is_none(), "a send is on its way");
    let mut sent = false;
    let see = |_: &mut Ring, completion, _: &[u8]| {
        sent |= matches!(completion, Completion::Sent { bytes: 5, .. });
    };
    run(&mut ring, see, |ring| ring.is_quiet(key));
    assert!(sent, "reported before it was quiet");

    let socket = ring.take(key).expect("quiet");
    assert!(ring.take(key).is_none() && !ring.is_quiet(key));
    // The socket stays open, and the slot is free for another.
    let mut hello = [0; 5];
    theirs.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    let (ours, _other) = pair();
    let next = ring.insert(ours).unwrap();
    assert_eq!((next.index, ring.connections()), (key.index, 1));
    ring.close(next);
    assert!(ring.take(next).is_none());
    drop(socket);
}

#[test]
fn a_send_that_blocks_is_not_handed_out() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, mut theirs) = pair();
    sending::set_send_buffer(&ours, 4096);
    let key = ring.insert(ours).unwrap();
    ring.send(key, pattern(2 << 20), Report::Whenever);
    sending::until_waiting(&mut ring, key);
    assert!(ring.take(key).is_none());
    let reader = std::thread::spawn(move || {
        theirs.read_exact(&mut vec![0; 2 << 20]).unwrap();
        theirs
    });
    run(&mut ring, |_, _, _| (), |ring| ring.is_quiet(key));
    let _theirs = reader.join().unwrap();
    assert!(ring.take(key).is_some());
}

#[test]
fn the_end_of_the_stream_is_seen_by_the_next_ring() {
    for reset in [false, true] {
        let (mut ring, key, theirs) = receiving(SMALL);
        let mut received = Vec::new();
        let ours = take_when_quiet(&mut ring, key, &mut received);
        if reset {
            // Closing with unread bytes sends a reset.
            let mut ours = std::fs::File::from(ours.try_clone().unwrap());
            ours.write_all(b"unread").unwrap();
        }
        drop(theirs);
        let mut next = Ring::new(SMALL).unwrap();
        let key = next.insert(ours).unwrap();
        next.receive(key);
        let mut ended = None;
        let see = |_: &mut Ring, completion, _: &[u8]| match completion {
            Completion::Ended { error, .. } => ended = Some(error.map(|error| error.kind())),
            other => panic!("{other:?}"),
        };
        run(&mut next, see, |ring| ring.is_quiet(key));
        assert_eq!(ended, Some(reset.then_some(ErrorKind::ConnectionReset)));
    }
}

#[test]
fn an_end_that_was_reported_is_reported_again() {
    let (mut ring, key, theirs) = receiving(SMALL);
    drop(theirs);
    let mut ends = 0;
    let mut see = |_: &mut Ring, completion, _: &[u8]| match completion {
        Completion::Ended { error: None, .. } => ends += 1,
        other => panic!("{other:?}"),
    };
    run(&mut ring, &mut see, |ring| ring.is_quiet(key));
    let ours = ring.take(key).expect("quiet");
    let mut next = Ring::new(SMALL).unwrap();
    let key = next.insert(ours).unwrap();
    next.receive(key);
    run(&mut next, &mut see, |ring| ring.is_quiet(key));
    assert_eq!(ends, 2);
}
