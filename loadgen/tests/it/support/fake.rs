//! A server that behaves as a test wants it to, and remembers what it was sent.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What a fake server says to a command, given as its words.
pub enum Say {
    Reply(Vec<u8>),
    /// Nothing more, to anybody: all connections are closed, and new ones are too.
    Die,
}

type Answer = dyn Fn(&[String]) -> Say + Send + Sync;

pub struct Fake {
    pub port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    greeting: Vec<u8>,
    answer: Box<Answer>,
    /// Every command as it came, raw, and as words.
    seen: Mutex<Vec<(Vec<u8>, Vec<String>)>>,
    connections: Mutex<Vec<TcpStream>>,
    dead: AtomicBool,
    over: AtomicBool,
}

impl Fake {
    /// Answers what Redis would answer to what the set-up of connections asks, and whatever
    /// `answer` says to the rest.
    pub fn answering(answer: impl Fn(&[String]) -> Say + Send + Sync + 'static) -> Fake {
        Fake::start(Vec::new(), Box::new(answer))
    }

    /// Says this to everybody who connects and closes the connection.
    pub fn greeting(greeting: &str) -> Fake {
        Fake::start(greeting.as_bytes().to_vec(), Box::new(|_| Say::Die))
    }

    fn start(greeting: Vec<u8>, answer: Box<Answer>) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            greeting,
            answer,
            seen: Mutex::default(),
            connections: Mutex::default(),
            dead: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let accepting = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Fake { port, shared, accepting: Some(accepting) }
    }

    /// `127.0.0.1:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Raw commands so far whose first word `interesting` likes, in any case.
    pub fn seen(&self, interesting: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
        let seen = self.shared.seen.lock().expect("no panic");
        let interesting = seen
            .iter()
            .filter(|(_, words)| words.first().is_some_and(|w| interesting(&w.to_uppercase())));
        interesting.map(|(raw, _)| raw.clone()).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for stream in listener.incoming() {
        if shared.over.load(Ordering::SeqCst) {
            break;
        }
        let Ok(stream) = stream else { continue };
        let Ok(other) = stream.try_clone() else { continue };
        shared.connections.lock().expect("no panic").push(other);
        let shared = shared.clone();
        threads.push(std::thread::spawn(move || serve(stream, &shared)));
    }
    shared.close_all();
    for thread in threads {
        let _ = thread.join();
    }
}

impl Shared {
    fn close_all(&self) {
        for stream in self.connections.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    if !shared.greeting.is_empty() || shared.dead.load(Ordering::SeqCst) {
        let _ = stream.write_all(&shared.greeting);
        // What was sent meanwhile would turn the end of the stream into a reset.
        let _ = stream.shutdown(Shutdown::Write);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        return;
    }
    let mut input = Vec::new();
    let mut chunk = [0; 65536];
    loop {
        let mut used = 0;
        while let Some((length, words)) = command(&input[used..]) {
            let raw = input[used..used + length].to_vec();
            used += length;
            shared.seen.lock().expect("no panic").push((raw, words.clone()));
            match set_up_answer(&words).map_or_else(|| (shared.answer)(&words), Say::Reply) {
                Say::Reply(bytes) => {
                    if stream.write_all(&bytes).is_err() {
                        return;
                    }
                }
                Say::Die => {
                    shared.dead.store(true, Ordering::SeqCst);
                    shared.close_all();
                    return;
                }
            }
        }
        input.drain(..used);
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
        }
    }
}

fn set_up_answer(words: &[String]) -> Option<Vec<u8>> {
    let name = words.first()?.to_uppercase();
    Some(match name.as_str() {
        "CONFIG" => {
            let name = words.get(2)?;
            format!("*2\r\n${}\r\n{name}\r\n$2\r\nno\r\n", name.len()).into_bytes()
        }
        "CLIENT" | "SELECT" | "HELLO" => b"+OK\r\n".to_vec(),
        "INFO" => b"$0\r\n\r\n".to_vec(),
        _ => return None,
    })
}

/// The length and the words of the first command, inline or an array, once it is whole.
fn command(input: &[u8]) -> Option<(usize, Vec<String>)> {
    let (line, mut at) = line(input, 0)?;
    let Some(count) = line.strip_prefix('*') else {
        return Some((at, line.split(' ').map(str::to_owned).collect()));
    };
    let mut words = Vec::new();
    for _ in 0..count.parse::<usize>().ok()? {
        let (header, start) = self::line(input, at)?;
        let length: usize = header.strip_prefix('$')?.parse().ok()?;
        let word = input.get(start..start + length)?;
        input.get(start + length..start + length + 2)?;
        words.push(String::from_utf8_lossy(word).into_owned());
        at = start + length + 2;
    }
    Some((at, words))
}

fn line(input: &[u8], at: usize) -> Option<(String, usize)> {
    let rest = input.get(at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some((String::from_utf8_lossy(&rest[..end]).into_owned(), at + end + 2))
}
