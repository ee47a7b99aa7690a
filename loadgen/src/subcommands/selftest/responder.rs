//! A server inside this process that keeps every request for a known time and remembers what it
//! did, so that what the load generator recorded can be compared with the truth.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::plan::Endpoint;

/// The command that is measured. Everything else (CLIENT, INFO, ...) is answered at once and
/// not remembered.
pub const COMMAND: &str = "SELFTEST";

/// How long requests are kept.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    Fixed(Duration),
    /// Every `one_in`th request of all connections is kept for `rare`, the others for `usual`.
    Bimodal {
        usual: Duration,
        rare: Duration,
        one_in: u64,
    },
    /// Requests are answered at once, but nothing is read or answered for `length`, starting
    /// `after` the first request.
    Stall {
        after: Duration,
        length: Duration,
    },
}

/// What the responder did.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// When each request was read, nanoseconds since the responder was started, in the order in
    /// which connections noticed.
    pub arrivals_ns: Vec<u64>,
    /// How long each was kept: from reading it to handing its answer to the kernel began.
    pub kept_ns: Vec<u64>,
    /// How long the stall really was, from its planned start to when the last connection woke up.
    pub stall_ns: u64,
    /// Commands of any kind.
    commands: u64,
}

pub struct Responder {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    behaviour: Behaviour,
    started: Instant,
    ended: AtomicBool,
    truth: Mutex<Truth>,
    connections: Mutex<Vec<TcpStream>>,
}

impl Responder {
    /// # Errors
    /// When this host has no loopback port left.
    pub fn start(behaviour: Behaviour) -> Result<Responder, Failure> {
        let no_port = |error| {
            Failure::run(format!("the self-test's server cannot listen on loopback: {error}"))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(no_port)?;
        let port = listener.local_addr().map_err(no_port)?.port();
        let shared = Arc::new(Shared {
            behaviour,
            started: Instant::now(),
            ended: AtomicBool::new(false),
            truth: Mutex::default(),
            connections: Mutex::default(),
        });
        let accepting = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Ok(Responder { port, shared, accepting: Some(accepting) })
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp { host: Ipv4Addr::LOCALHOST.to_string(), port: self.port }
    }

    /// Ends all connections and tells what happened on them.
    pub fn finish(mut self) -> Truth {
        self.end();
        std::mem::take(&mut self.shared.truth())
    }

    fn end(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the accepting thread up.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        let _ = accepting.join();
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn connections(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.connections.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Notes the request's arrival; how long it is to be kept.
    fn arrived(&self, at_ns: u64) -> Duration {
        let mut truth = self.truth();
        let number = truth.arrivals_ns.len() as u64;
        truth.arrivals_ns.push(at_ns);
        match self.behaviour {
            Behaviour::Fixed(delay) => delay,
            Behaviour::Bimodal { usual, rare, one_in } => {
                if number % one_in == one_in - 1 {
                    rare
                } else {
                    usual
                }
            }
            Behaviour::Stall { after, length } => {
                let first_ns = truth.arrivals_ns[0];
                let start_ns = first_ns + nanoseconds(after);
                let end_ns = start_ns + nanoseconds(length);
                if (start_ns..end_ns).contains(&at_ns) {
                    Duration::from_nanos(end_ns - at_ns)
                } else {
                    Duration::ZERO
                }
            }
        }
    }

    fn answered(&self, arrived_ns: u64, now_ns: u64) {
        let mut truth = self.truth();
        truth.kept_ns.push(now_ns - arrived_ns);
        if let Behaviour::Stall { after, length } = self.behaviour {
            let start_ns = truth.arrivals_ns[0] + nanoseconds(after);
            let end_ns = start_ns + nanoseconds(length);
            if (start_ns..end_ns).contains(&arrived_ns) {
                truth.stall_ns = truth.stall_ns.max(now_ns - start_ns);
            }
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::Acquire) {
            break;
        }
        let Ok(stream) = stream else { continue };
        let Ok(other) = stream.try_clone() else { continue };
        shared.connections().push(other);
        let shared = shared.clone();
        threads.push(std::thread::spawn(move || serve(stream, &shared)));
    }
    for stream in shared.connections().drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// One connection, in order, each request on its own. Ends with the connection, or with the first
/// thing that is no command.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let mut input = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let count = match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let read_ns = shared.now_ns();
        input.extend_from_slice(&chunk[..count]);
        let mut used = 0;
        while let Some((length, name)) = command(&input[used..]) {
            let answer = if name.eq_ignore_ascii_case(COMMAND.as_bytes()) {
                keep(shared, read_ns);
                "+OK\r\n".to_owned()
            } else {
                answer(&name, shared)
            };
            shared.truth().commands += 1;
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            used += length;
        }
        input.drain(..used);
    }
}

fn keep(shared: &Shared, read_ns: u64) {
    let time = shared.arrived(read_ns);
    let deadline_ns = read_ns + nanoseconds(time);
    if let Some(left @ 1..) = deadline_ns.checked_sub(shared.now_ns()) {
        std::thread::sleep(Duration::from_nanos(left));
    }
    shared.answered(read_ns, shared.now_ns());
}

/// As a Redis server would, as far as a load generator asks before and after a run.
fn answer(name: &[u8], shared: &Shared) -> String {
    match name.to_ascii_uppercase().as_slice() {
        b"INFO" => {
            let commands = shared.truth().commands;
            let text = format!("# Stats\r\ntotal_commands_processed:{commands}\r\n");
            format!("${}\r\n{text}\r\n", text.len())
        }
        b"CONFIG" => "*0\r\n".to_owned(),
        b"PING" => "+PONG\r\n".to_owned(),
        _ => "+OK\r\n".to_owned(),
    }
}

/// The length of the first command and its name, once it is there as a whole. What is no array of
/// bulk strings never is.
fn command(input: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (words, mut at) = header(input, 0, b'*')?;
    let mut name = Vec::new();
    for word in 0..words {
        let (length, start) = header(input, at, b'$')?;
        let bytes = input.get(start..start.checked_add(length)?)?;
        input.get(start + length..start + length + 2)?;
        if word == 0 {
            name = bytes.to_vec();
        }
        at = start + length + 2;
    }
    Some((at, name))
}

/// The number in a line such as `*2`, and where the next begins.
fn header(input: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let rest = input.get(at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let line = rest[..end].strip_prefix(&[kind])?;
    Some((std::str::from_utf8(line).ok()?.parse().ok()?, at + end + 2))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(responder: &Responder, requests: &[&[u8]]) -> Vec<Duration> {
        let mut stream = TcpStream::connect(("127.0.0.1", responder.port)).expect("connecting");
        let mut times = Vec::new();
        for request in requests {
            let start = Instant::now();
            stream.write_all(request).expect("sending");
            let mut reply = [0; 5];
            stream.read_exact(&mut reply).expect("an answer");
            assert_eq!(&reply, b"+OK\r\n");
            times.push(start.elapsed());
        }
        times
    }

    const REQUEST: &[u8] = b"*1\r\n$8\r\nSELFTEST\r\n";

    #[test]
    fn it_keeps_requests_as_told_and_tells_the_truth() {
        let (usual, rare) = (Duration::from_millis(1), Duration::from_millis(20));
        let behaviour = Behaviour::Bimodal { usual, rare, one_in: 3 };
        let responder = Responder::start(behaviour).expect("a port");
        let times = ask(&responder, &[REQUEST; 6]);
        let truth = responder.finish();
        assert_eq!((truth.arrivals_ns.len(), truth.kept_ns.len(), truth.commands), (6, 6, 6));
        for (i, (felt, kept)) in times.iter().zip(&truth.kept_ns).enumerate() {
            let told = if i % 3 == 2 { rare } else { usual };
            let kept = Duration::from_nanos(*kept);
            assert!(kept >= told && *felt >= kept, "{i}: {kept:?} {felt:?}");
        }
    }

    #[test]
    fn a_stall_holds_everything_back_until_its_end() {
        let (after, length) = (Duration::from_millis(30), Duration::from_millis(60));
        let responder = Responder::start(Behaviour::Stall { after, length }).expect("a port");
        ask(&responder, &[REQUEST]);
        std::thread::sleep(Duration::from_millis(40));
        let late = ask(&responder, &[REQUEST, REQUEST]);
        let truth = responder.finish();
        assert!(late[0] < length && late[0] > Duration::from_millis(5), "{late:?}");
        assert!(truth.stall_ns >= nanoseconds(length), "{}", truth.stall_ns);
    }

    #[test]
    fn commands_may_arrive_in_pieces_and_several_at_once() {
        let responder = Responder::start(Behaviour::Fixed(Duration::ZERO)).expect("a port");
        let (head, tail) = REQUEST.split_at(9);
        let mut stream = TcpStream::connect(("127.0.0.1", responder.port)).expect("connecting");
        stream.write_all(&[REQUEST, head].concat()).expect("sending");
        std::thread::sleep(Duration::from_millis(5));
        stream.write_all(tail).expect("sending");
        let mut replies = [0; 10];
        stream.read_exact(&mut replies).expect("two answers");
        assert_eq!(&replies, b"+OK\r\n+OK\r\n");
        assert_eq!(responder.finish().arrivals_ns.len(), 2);
    }
}
