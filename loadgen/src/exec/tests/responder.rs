//! A server for tests: a thread per connection, one map, and faults to order.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringwell::txn::slot_of_key;

use crate::plan::Endpoint;

#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Before each GET's answer.
    pub delay: Duration,
    /// Before the answer of the so-manyeth GET, once.
    pub stall: Option<(u64, Duration)>,
    /// Closes all connections when it has served so many commands of the load.
    pub dies_after: Option<u64>,
    /// Sent to whoever connects, who is then hung up on.
    pub greeting: Option<&'static str>,
    pub password: Option<&'static str>,
    /// Changes the last byte of values that it returns.
    pub corrupts: bool,
    /// Never overwrites a value.
    pub stale: bool,
}

pub struct Responder {
    endpoint: Endpoint,
    state: Arc<State>,
}

impl std::ops::Deref for Responder {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

#[derive(Default)]
pub struct State {
    behaviour: Behaviour,
    ended: AtomicBool,
    pub commands: AtomicU64,
    questions: AtomicU64,
    gets: AtomicU64,
    connections: AtomicU64,
    store: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    introduction: Mutex<Vec<String>>,
    cluster: Mutex<Option<Cluster>>,
}

#[derive(Clone)]
struct Cluster {
    /// Slots below it belong to the first port.
    boundary: u16,
    ports: [u16; 2],
    own: usize,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Responder {
    pub fn start(behaviour: Behaviour) -> Responder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = Endpoint::Tcp { host: "127.0.0.1".into(), port };
        listener.set_nonblocking(true).unwrap();
        Self::serve(endpoint, behaviour, move || {
            let (stream, _) = listener.accept().ok()?;
            stream.set_nonblocking(false).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            Some(Box::new(stream) as Box<dyn Stream>)
        })
    }

    pub fn start_at(path: &Path, behaviour: Behaviour) -> Responder {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self::serve(Endpoint::Unix(path.into()), behaviour, move || {
            let (stream, _) = listener.accept().ok()?;
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            Some(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn serve(
        endpoint: Endpoint,
        behaviour: Behaviour,
        accept: impl Fn() -> Option<Box<dyn Stream>> + Send + 'static,
    ) -> Responder {
        let state = Arc::new(State { behaviour, ..State::default() });
        let shared = state.clone();
        std::thread::spawn(move || {
            while !shared.ended.load(Ordering::Relaxed) {
                match accept() {
                    Some(stream) => {
                        let shared = shared.clone();
                        shared.connections.fetch_add(1, Ordering::Relaxed);
                        std::thread::spawn(move || converse(&shared, stream));
                    }
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Responder { endpoint, state }
    }

    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// Slots below `boundary` to the first.
    pub fn form_cluster(first: &Responder, second: &Responder, boundary: u16) {
        let ports = [first, second].map(|node| match node.endpoint {
            Endpoint::Tcp { port, .. } => port,
            Endpoint::Unix(_) => panic!("a cluster has ports"),
        });
        for (own, node) in [first, second].into_iter().enumerate() {
            *node.cluster.lock().unwrap() = Some(Cluster { boundary, ports, own });
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // The listener is closed by its thread, which may be asleep.
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl State {
    /// All that were counted as processed.
    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Of those, the ones for setting up connections, and INFO.
    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn keys(&self) -> u64 {
        self.store.lock().unwrap().len() as u64
    }

    pub fn clear(&self) {
        self.store.lock().unwrap().clear();
        self.introduction.lock().unwrap().clear();
    }

    pub fn introduction(&self) -> Vec<String> {
        self.introduction.lock().unwrap().clone()
    }

    fn answer(&self, words: &[Vec<u8>], authenticated: &mut bool) -> Vec<u8> {
        let text: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let name = text[0].to_uppercase();
        let is_question = !matches!(&name[..], "GET" | "SET" | "NONSENSE");
        if is_question {
            self.questions.fetch_add(1, Ordering::Relaxed);
            self.introduction.lock().unwrap().push(text.join(" "));
        }
        match (&name[..], self.behaviour.password) {
            ("AUTH" | "HELLO", Some(password)) => {
                if text.last().is_none_or(|word| word != password) {
                    return b"-WRONGPASS invalid username-password pair\r\n".to_vec();
                }
                *authenticated = true;
            }
            (_, Some(_)) if !*authenticated => {
                return b"-NOAUTH Authentication required.\r\n".to_vec();
            }
            _ => {}
        }
        if name == "NONSENSE" {
            return b"-ERR unknown command 'NONSENSE'\r\n".to_vec();
        }
        if !is_question && let Some(moved) = self.moved(words) {
            return moved;
        }
        self.commands.fetch_add(1, Ordering::Relaxed);
        match &name[..] {
            "INFO" => {
                // As Redis does: a command is counted when it has been processed.
                let count = self.commands() - 1;
                bulk(format!("# Stats\r\ntotal_commands_processed:{count}\r\n").as_bytes())
            }
            "CLUSTER" => self.slots(),
            "GET" => self.get(&words[1]),
            "SET" => {
                let mut store = self.store.lock().unwrap();
                if !self.behaviour.stale || !store.contains_key(&words[1]) {
                    store.insert(words[1].clone(), words[2].clone());
                }
                b"+OK\r\n".to_vec()
            }
            _ => b"+OK\r\n".to_vec(),
        }
    }

    fn get(&self, key: &[u8]) -> Vec<u8> {
        std::thread::sleep(self.behaviour.delay);
        let number = self.gets.fetch_add(1, Ordering::Relaxed);
        if let Some((at, stall)) = self.behaviour.stall
            && at == number
        {
            let mut left = stall;
            while !left.is_zero() && !self.ended.load(Ordering::Relaxed) {
                let part = left.min(Duration::from_millis(50));
                std::thread::sleep(part);
                left -= part;
            }
        }
        match self.store.lock().unwrap().get(key) {
            None => b"$-1\r\n".to_vec(),
            Some(value) => {
                let mut value = value.clone();
                if let (true, Some(last)) = (self.behaviour.corrupts, value.last_mut()) {
                    *last ^= 1;
                }
                bulk(&value)
            }
        }
    }

    fn moved(&self, words: &[Vec<u8>]) -> Option<Vec<u8>> {
        let cluster = self.cluster.lock().unwrap().clone()?;
        let slot = slot_of_key(&words[1]);
        let owner = usize::from(slot >= cluster.boundary);
        let port = cluster.ports[owner];
        (owner != cluster.own).then(|| format!("-MOVED {slot} 127.0.0.1:{port}\r\n").into_bytes())
    }

    fn slots(&self) -> Vec<u8> {
        let Some(Cluster { boundary, ports, .. }) = self.cluster.lock().unwrap().clone() else {
            return b"-ERR This instance has cluster support disabled\r\n".to_vec();
        };
        let range = |first, last, port| {
            format!("*3\r\n:{first}\r\n:{last}\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$2\r\nid\r\n")
        };
        let (low, high) = (range(0, boundary - 1, ports[0]), range(boundary, 16_383, ports[1]));
        format!("*2\r\n{low}{high}").into_bytes()
    }
}

fn bulk(text: &[u8]) -> Vec<u8> {
    let mut reply = format!("${}\r\n", text.len()).into_bytes();
    reply.extend_from_slice(text);
    reply.extend_from_slice(b"\r\n");
    reply
}

fn converse(state: &State, mut stream: Box<dyn Stream>) {
    if let Some(greeting) = state.behaviour.greeting {
        // Read first: closing with unread bytes would reset the connection.
        let _ = stream.read(&mut [0; 1000]);
        let _ = stream.write_all(greeting.as_bytes());
        return;
    }
    let mut input = Vec::new();
    let mut authenticated = false;
    let mut chunk = [0; 4096];
    while !state.ended.load(Ordering::Relaxed) {
        match stream.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        while let Some((words, used)) = request(&input) {
            input.drain(..used);
            let answer = state.answer(&words, &mut authenticated);
            let served = state.commands().saturating_sub(state.questions());
            if state.behaviour.dies_after.is_some_and(|most| served > most) {
                return;
            }
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

/// A whole command at the beginning of the input, and its length.
fn request(input: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut at = 0;
    let number = |at: &mut usize| -> Option<usize> {
        let end = *at + input.get(*at..)?.iter().position(|byte| *byte == b'\n')?;
        let number = std::str::from_utf8(&input[*at + 1..end - 1]).ok()?.parse().ok()?;
        *at = end + 1;
        Some(number)
    };
    let count = number(&mut at)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = number(&mut at)?;
        words.push(input.get(at..at + length)?.to_vec());
        at += length + 2;
    }
    (at <= input.len()).then_some((words, at))
}
