//! Sends that fail, block, or outlive their connection.

use bytes::Bytes;

use super::*;

pub(super) fn set_send_buffer(socket: &impl AsRawFd, bytes: i32) {
    // SAFETY: the option's value is an int that lives during the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const bytes).cast(),
            size_of::<i32>() as u32,
        )
    };
    assert_eq!(set, 0);
}

/// Runs passes until a send of this connection is waiting in the kernel.
pub(super) fn until_waiting(ring: &mut Ring, key: Key) {
    run(
        ring,
        |_, completion, _| panic!("nothing should complete: {completion:?}"),
        |ring| ring.slots.open(key).unwrap().send == SendState::Waiting && !ring.has_queued(),
    );
}

#[test]
fn failed_sends_behind_a_full_completion_queue_are_not_taken_for_sent() {
    let options = Options { entries: 64, completions: 64, ..SMALL };
    let mut ring = Ring::new(options).unwrap();
    let output = pattern(1 << 20);
    let mut peers = Vec::new();
    // Each of these sends stays short, which posts a completion: more than the queue holds.
    for _ in 0..100 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        set_send_buffer(&ours, 4096);
        let key = ring.insert(ours.into()).unwrap();
        ring.send(key, output.clone(), Report::Whenever);
        peers.push((key, theirs));
    }
    // One call that submits everything needs room for all of it.
    let mut overflowed = false;
    ring.enter(false).unwrap();
    overflowed |= ring.queue.overflowed();
    run(
        &mut ring,
        |_, completion, _| panic!("taken for sent: {completion:?}"),
        |ring| {
            peers.iter().all(|(key, _)| ring.slots.open(*key).unwrap().send == SendState::Waiting)
                && !ring.has_queued()
        },
    );
    assert!(overflowed, "the test did not reach what it tests");
    drop(peers);
}

#[test]
fn a_send_that_blocks_goes_on_when_the_peer_reads() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, mut theirs) = pair();
    set_send_buffer(&ours, 4096);
    let key = ring.insert(ours).unwrap();
    let output = pattern(2 << 20);
    ring.send(key, output.clone(), Report::Whenever);
    until_waiting(&mut ring, key);

    // Others are served meanwhile.
    let (other, mut other_theirs) = pair();
    let other = ring.insert(other).unwrap();
    ring.send(other, b"hello".to_vec(), Report::Whenever);
    let mut sent = None;
    run(
        &mut ring,
        |_, completion, _| match completion {
            Completion::Sent { key, bytes } if key == other => sent = Some(bytes),
            other => panic!("{other:?}"),
        },
        |ring| ring.can_send(other),
    );
    assert_eq!(sent, Some(5));
    let mut hello = [0; 5];
    other_theirs.read_exact(&mut hello).unwrap();

    let reader = std::thread::spawn(move || {
        let mut received = vec![0; 2 << 20];
        theirs.read_exact(&mut received).unwrap();
        (received, theirs)
    });
    let mut sent = None;
    run(
        &mut ring,
        |_, completion, _| match completion {
            Completion::Sent { bytes, .. } => sent = Some(bytes),
            other => panic!("{other:?}"),
        },
        |ring| ring.can_send(key),
    );
    assert_eq!(sent, Some(output.len()));
    assert!(reader.join().unwrap().0 == output);
}

/// In its place, however little the socket takes at a time.
#[test]
fn what_lies_elsewhere_is_sent_in_between() {
    for (at, len) in [(0, 300_000), (17, 2 << 20), (40, 1)] {
        let mut ring = Ring::new(SMALL).unwrap();
        let (ours, mut theirs) = pair();
        set_send_buffer(&ours, 4096);
        let key = ring.insert(ours).unwrap();
        let (output, large) = (pattern(40), pattern(len));
        let expected = [&output[..at], &large, &output[at..]].concat();
        ring.send_around(key, output, at, Bytes::from(large), Report::Whenever);
        let bytes = expected.len();
        let reader = std::thread::spawn(move || {
            let mut received = vec![0; bytes];
            theirs.read_exact(&mut received).unwrap();
            (received, theirs)
        });
        let mut sent = None;
        run(
            &mut ring,
            |_, completion, _| match completion {
                Completion::Sent { bytes, .. } => sent = Some(bytes),
                other => panic!("{other:?}"),
            },
            |ring| ring.can_send(key),
        );
        assert_eq!(sent, Some(bytes));
        assert!(ring.slots.open(key).is_some_and(|slot| slot.insert.is_none()));
        assert!(reader.join().unwrap().0 == expected);
    }
}

#[test]
fn a_send_that_is_waited_for_ends_the_sleep() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, _theirs) = pair();
    let key = ring.insert(ours).unwrap();
    ring.send(key, b"hello".to_vec(), Report::Soon);
    let before = Instant::now();
    ring.wake_in(Duration::from_secs(10));
    let mut sent = false;
    while !sent {
        ring.enter(true).unwrap();
        while let Some(completion) = ring.next() {
            sent |= matches!(completion, Completion::Sent { bytes: 5, .. });
        }
    }
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_peer_that_resets_while_it_is_sent_to() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, theirs) = pair();
    set_send_buffer(&ours, 4096);
    let key = ring.insert(ours).unwrap();
    ring.receive(key);
    ring.send(key, pattern(2 << 20), Report::Whenever);
    until_waiting(&mut ring, key);
    // Closing with unread bytes sends a reset.
    drop(theirs);
    let (mut failed, mut ended) = (false, false);
    run(
        &mut ring,
        |_, completion, _| match completion {
            Completion::SendFailed { error, .. } => {
                failed = true;
                assert!(
                    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                    "{error}"
                );
            }
            Completion::Ended { .. } => ended = true,
            other => panic!("{other:?}"),
        },
        |ring| ring.can_send(key) && ring.slots.open(key).unwrap().receive == Receive::Off,
    );
    assert!(failed && ended);
    // Sending on such a connection is an error, not a signal.
    ring.send(key, b"more".to_vec(), Report::Whenever);
    let mut failed = false;
    run(
        &mut ring,
        |_, completion, _| failed |= matches!(completion, Completion::SendFailed { .. }),
        |ring| ring.can_send(key),
    );
    assert!(failed);
    ring.close(key);
    assert_eq!(ring.connections(), 0);
}

#[test]
fn a_slot_is_reused_only_when_the_kernel_has_let_go() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, theirs) = pair();
    set_send_buffer(&ours, 4096);
    let old = ring.insert(ours).unwrap();
    ring.receive(old);
    ring.send(old, pattern(2 << 20), Report::Whenever);
    until_waiting(&mut ring, old);
    let output = ring.slots.open(old).unwrap().output.as_ptr();

    ring.close(old);
    assert!(!ring.is_open(old) && !ring.can_send(old));
    // Still in the kernel: the buffer stays where it is, and a new connection gets another slot.
    let slot = ring.slots.get_mut(old).expect("kept");
    assert_eq!((slot.output.as_ptr(), slot.send), (output, SendState::Waiting));
    let (ours, _theirs) = pair();
    let second = ring.insert(ours).unwrap();
    assert_ne!(second.index, old.index);

    let never = |_: &mut Ring, completion, _: &[u8]| panic!("about a closed key: {completion:?}");
    run(&mut ring, never, |ring| ring.slots.get_mut(old).is_none());
    let (ours, _theirs) = pair();
    let third = ring.insert(ours).unwrap();
    assert_eq!(third.index, old.index);
    assert_ne!(third.generation, old.generation);
    // Nothing that is done with the old key reaches the new owner of the slot.
    ring.close(old);
    ring.pause(old);
    ring.receive(old);
    assert!(ring.is_open(third));
    assert_eq!(ring.slots.open(third).unwrap().receive, Receive::Off);
    drop(theirs);
}

#[test]
fn closing_in_the_pass_of_a_send_keeps_its_buffer() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, mut theirs) = pair();
    let key = ring.insert(ours).unwrap();
    ring.send(key, b"last words".to_vec(), Report::Whenever);
    ring.close(key);
    assert_eq!(ring.connections(), 1, "the send has not even been submitted");
    run(
        &mut ring,
        |_, completion, _| panic!("{completion:?}"),
        |ring| ring.connections() == 0 && !ring.has_queued(),
    );
    let mut words = String::new();
    theirs.read_to_string(&mut words).unwrap();
    assert_eq!(words, "last words");
}

#[test]
fn dropping_a_ring_takes_its_operations_back() {
    let (ours, mut theirs) = pair();
    set_send_buffer(&ours, 4096);
    let mut ring = Ring::new(SMALL).unwrap();
    let key = ring.insert(ours).unwrap();
    ring.receive(key);
    ring.send(key, pattern(2 << 20), Report::Whenever);
    until_waiting(&mut ring, key);
    let started = Instant::now();
    drop(ring);
    assert!(started.elapsed() < Duration::from_secs(1));
    // The socket is closed: the peer sees an end or a reset after what had been sent.
    theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut rest = Vec::new();
    match theirs.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert!(rest.len() < 2 << 20);
}
