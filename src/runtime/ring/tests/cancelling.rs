//! Receives and sends that are cancelled at bad moments.

use super::sending::{set_send_buffer, until_waiting};
use super::*;

/// So many passes after a pause the receive has ended: one submits the cancellation and sees the
/// receive's last completion; with more completions than the queue holds it takes a few.
const PASSES_MAX: usize = 8;

/// One pass. What is received is appended, in order; true if the stream has ended.
fn pass(ring: &mut Ring, received: &mut Vec<u8>) -> bool {
    ring.enter(false).unwrap();
    let mut ended = false;
    while let Some(completion) = ring.next() {
        match completion {
            Completion::Received { chunk, .. } => {
                received.extend_from_slice(ring.data(&chunk));
                ring.give_back(chunk);
            }
            Completion::Ended { error: None, .. } => ended = true,
            other => panic!("{other:?}"),
        }
    }
    ring.end_pass();
    ended
}

fn flood(mut theirs: TcpStream, bytes: &[u8]) -> std::thread::JoinHandle<TcpStream> {
    let bytes = bytes.to_vec();
    std::thread::spawn(move || {
        theirs.write_all(&bytes).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        theirs
    })
}

/// Few small buffers, so that receives also end by themselves; and more, so that they go on for long.
fn options() -> [Options; 3] {
    let more = Options { buffers: 64, buffers_circulating: 64, completions: 128, ..SMALL };
    [SMALL, more, Options { buffer_bytes: 4096, ..more }]
}

/// How the owner of a connection pauses and resumes, called once in every pass.
type Owner = fn(&mut Ring, Key, pass: usize);

#[test]
fn nothing_is_lost_by_pausing_and_resuming_in_quick_succession() {
    let same_pass: Owner = |ring, key, _| {
        ring.pause(key);
        ring.receive(key);
    };
    let same_pass_often: Owner = |ring, key, pass| {
        for _ in 0..pass % 7 {
            ring.pause(key);
            ring.receive(key);
        }
    };
    let alternate_passes: Owner = |ring, key, pass| match pass % 2 {
        0 => ring.pause(key),
        _ => ring.receive(key),
    };
    let when_quiet: Owner = |ring, key, _| match ring.is_quiet(key) {
        true => ring.receive(key),
        false => ring.pause(key),
    };
    let uneven: Owner = |ring, key, pass| match pass * pass % 11 {
        0..3 => ring.pause(key),
        3..6 => ring.receive(key),
        _ => {}
    };
    let sent = pattern(1 << 20);
    for options in options() {
        for owner in [same_pass, same_pass_often, alternate_passes, when_quiet, uneven] {
            let mut ring = Ring::new(options).unwrap();
            let (ours, theirs) = pair();
            let key = ring.insert(ours).unwrap();
            let writer = flood(theirs, &sent);
            ring.receive(key);
            let mut received = Vec::new();
            let deadline = Instant::now() + Duration::from_secs(20);
            let (mut passes, mut ended) = (0, false);
            // Half of it while the owner hesitates; the rest shall come by itself.
            while !ended {
                assert!(Instant::now() < deadline, "{} bytes, {passes} passes", received.len());
                if received.len() < sent.len() / 2 {
                    owner(&mut ring, key, passes);
                } else {
                    ring.receive(key);
                }
                passes += 1;
                ended = pass(&mut ring, &mut received);
            }
            assert!(received == sent);
            let _theirs = writer.join().unwrap();
        }
    }
}

#[test]
fn a_pause_ends_reception_within_a_few_passes() {
    const PAUSES: usize = 2_000;
    for options in options() {
        let mut ring = Ring::new(options).unwrap();
        let (ours, theirs) = pair();
        let key = ring.insert(ours).unwrap();
        // Until the reader is gone.
        let writer = std::thread::spawn(move || while (&theirs).write(&[7; 64 << 10]).is_ok() {});
        let mut received = Vec::new();
        for turn in 0..PAUSES {
            received.clear();
            ring.receive(key);
            if turn % 3 == 0 {
                // An earlier pause is still on its way to the kernel.
                ring.pause(key);
                ring.receive(key);
            }
            for _ in 0..turn % 4 {
                pass(&mut ring, &mut received);
            }
            ring.pause(key);
            let mut passes = 0;
            while !ring.is_quiet(key) {
                passes += 1;
                assert!(passes <= PASSES_MAX, "pause {turn} did not end the receive");
                pass(&mut ring, &mut received);
            }
            received.clear();
            pass(&mut ring, &mut received);
            assert_eq!(received.len(), 0, "received after the end");
        }
        ring.close(key);
        pass(&mut ring, &mut received);
        pass(&mut ring, &mut received);
        writer.join().unwrap();
    }
}

/// The kernel has ended the receive when it is told to cancel it, and nobody has seen that yet.
#[test]
fn a_receive_that_has_just_ended_need_not_be_cancelled() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, mut theirs) = pair();
    let key = ring.insert(ours).unwrap();
    ring.receive(key);
    // More than the only buffer in circulation holds.
    let sent = pattern(100);
    theirs.write_all(&sent).unwrap();
    ring.enter(false).unwrap();
    ring.pause(key);
    let mut received = Vec::new();
    let mut passes = 0;
    while !ring.is_quiet(key) {
        passes += 1;
        assert!(passes <= PASSES_MAX);
        pass(&mut ring, &mut received);
    }
    assert_eq!(received, sent[..64], "what it had received is reported");
    ring.receive(key);
    let goal = sent.len();
    let deadline = Instant::now() + Duration::from_secs(5);
    while received.len() < goal && Instant::now() < deadline {
        pass(&mut ring, &mut received);
    }
    assert_eq!(received, sent);
}

/// A cancellation that finds nothing, as if the kernel had been working on the operation.
fn fail_to_cancel(ring: &mut Ring, key: Key, failed: Operation) {
    let nothing = Token { operation: Operation::Bell, key: Key { generation: !0, ..key } };
    ring.queue.cancel(nothing, Token { operation: failed, key });
}

#[test]
fn a_receive_that_was_not_cancelled_is_cancelled_again() {
    for (close, times) in [(false, 1), (false, 3), (true, 1), (true, 3)] {
        let mut ring = Ring::new(SMALL).unwrap();
        let (ours, mut theirs) = pair();
        let key = ring.insert(ours).unwrap();
        ring.receive(key);
        assert!(!pass(&mut ring, &mut Vec::new()));
        let slot = ring.slots.get_mut(key).unwrap();
        slot.receive = Receive::Cancelling;
        slot.receive_wanted = false;
        slot.closing = close;
        for _ in 0..times {
            fail_to_cancel(&mut ring, key, Operation::CancelReceive);
        }
        let ended = |ring: &mut Ring| match close {
            true => ring.connections() == 0,
            false => ring.is_quiet(key),
        };
        let mut passes = 0;
        while !ended(&mut ring) {
            passes += 1;
            assert!(passes <= PASSES_MAX, "close: {close}");
            pass(&mut ring, &mut Vec::new());
        }
        if !close {
            // No cancellation is left that would end what comes next.
            theirs.write_all(b"hello").unwrap();
            let mut received = Vec::new();
            pass(&mut ring, &mut received);
            assert_eq!(received, b"", "paused");
            ring.receive(key);
            run_until(&mut ring, &mut received, 5);
            assert_eq!(received, b"hello");
            assert_eq!(ring.slots.open(key).unwrap().receive, Receive::Armed);
        }
    }
}

fn run_until(ring: &mut Ring, received: &mut Vec<u8>, bytes: usize) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while received.len() < bytes && Instant::now() < deadline {
        pass(ring, received);
    }
}

#[test]
fn a_receive_that_was_not_cancelled_and_is_wanted_again_goes_on() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, mut theirs) = pair();
    let key = ring.insert(ours).unwrap();
    ring.receive(key);
    let mut received = Vec::new();
    pass(&mut ring, &mut received);
    ring.slots.get_mut(key).unwrap().receive = Receive::Cancelling;
    fail_to_cancel(&mut ring, key, Operation::CancelReceive);
    ring.receive(key);
    theirs.write_all(b"one").unwrap();
    run_until(&mut ring, &mut received, 3);
    assert_eq!(received, b"one");
    assert_eq!(ring.slots.open(key).unwrap().receive, Receive::Armed);
    // So that it can be paused again.
    ring.pause(key);
    let mut passes = 0;
    while !ring.is_quiet(key) {
        passes += 1;
        assert!(passes <= PASSES_MAX);
        pass(&mut ring, &mut received);
    }
}

#[test]
fn a_send_that_was_not_cancelled_is_cancelled_again() {
    let mut ring = Ring::new(SMALL).unwrap();
    let (ours, _theirs) = pair();
    set_send_buffer(&ours, 4096);
    let key = ring.insert(ours).unwrap();
    ring.send(key, pattern(4 << 20), Report::Whenever);
    until_waiting(&mut ring, key);
    ring.slots.get_mut(key).unwrap().closing = true;
    fail_to_cancel(&mut ring, key, Operation::CancelSend);
    let mut passes = 0;
    while ring.connections() > 0 {
        passes += 1;
        assert!(passes <= PASSES_MAX);
        pass(&mut ring, &mut Vec::new());
    }
}

/// The send begins to wait in the pass that cancels it, while the peer makes room.
#[test]
fn closing_ends_a_send_however_the_peer_reads() {
    const TIMES: usize = 300;
    let mut ring = Ring::new(SMALL).unwrap();
    let output = pattern(4 << 20);
    let mut peers = Vec::new();
    for turn in 0..TIMES {
        let (ours, mut theirs) = pair();
        set_send_buffer(&ours, 4096);
        let key = ring.insert(ours).unwrap();
        let reader = std::thread::spawn(move || {
            // Some of it, and then no more; the peer stays.
            let _ = theirs.read_exact(&mut vec![0; 256 << 10]);
            theirs
        });
        ring.send(key, output.clone(), Report::Whenever);
        while ring.slots.open(key).is_some_and(|slot| slot.send != SendState::Waiting) {
            pass(&mut ring, &mut Vec::new());
        }
        for _ in 0..turn % 3 {
            pass(&mut ring, &mut Vec::new());
        }
        ring.close(key);
        let mut passes = 0;
        while ring.connections() > 0 {
            passes += 1;
            assert!(passes <= PASSES_MAX, "close {turn} did not end the send");
            pass(&mut ring, &mut Vec::new());
        }
        peers.push(reader);
    }
    // The last close is submitted.
    pass(&mut ring, &mut Vec::new());
    for reader in peers {
        reader.join().unwrap();
    }
}
