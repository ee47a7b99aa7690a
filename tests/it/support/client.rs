//! A raw connection: bytes out, bytes or replies in, a time limit on everything.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use ringwell_test_support::PATIENCE;

use super::value::{ReadError, Value, shown};

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub struct Client {
    stream: Stream,
    /// Received and not yet taken.
    buffer: Vec<u8>,
    taken: usize,
}

impl Client {
    pub fn connect(address: impl ToSocketAddrs) -> Client {
        Client::over(TcpStream::connect(address).expect("connecting"))
    }

    pub fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Client { stream: Stream::Tcp(stream), buffer: Vec::new(), taken: 0 }
    }

    pub fn connect_unix(path: &Path) -> Client {
        let stream = UnixStream::connect(path).expect("connecting to the unix socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Client { stream: Stream::Unix(stream), buffer: Vec::new(), taken: 0 }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("sending");
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(s) => s.write_all(bytes),
            Stream::Unix(s) => s.write_all(bytes),
        }
    }

    /// Sends one command as an array of bulk strings and reads its reply.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.send(&encode(args));
        self.read_value()
    }

    /// One command, its arguments separated by single blanks.
    pub fn run(&mut self, line: &str) -> Value {
        self.command(&line.split(' ').collect::<Vec<_>>())
    }

    pub fn read_value(&mut self) -> Value {
        self.try_read_value().unwrap_or_else(|problem| panic!("reading a reply: {problem}"))
    }

    pub fn try_read_value(&mut self) -> Result<Value, String> {
        loop {
            match Value::read(&self.buffer[self.taken..]) {
                Ok((value, length)) => {
                    self.taken += length;
                    if self.taken == self.buffer.len() {
                        self.buffer.clear();
                        self.taken = 0;
                    }
                    return Ok(value);
                }
                Err(ReadError::Malformed(what)) => return Err(format!("malformed: {what}")),
                Err(ReadError::Incomplete) => match self.fill() {
                    Ok(0) => return Err(format!("closed after {:?}", shown(self.rest()))),
                    Ok(_) => {}
                    Err(error) => {
                        return Err(format!("{error} after {:?}", shown(self.rest())));
                    }
                },
            }
        }
    }

    /// Reads exactly these bytes.
    pub fn expect(&mut self, bytes: &[u8]) {
        while self.rest().len() < bytes.len() {
            match self.fill() {
                Ok(0) => panic!("closed after {:?}", shown(self.rest())),
                Ok(_) => {}
                Err(error) => panic!("{error} after {:?}", shown(self.rest())),
            }
        }
        let (received, _) = self.rest().split_at(bytes.len());
        assert!(received == bytes, "{:?} instead of {:?}", shown(received), shown(bytes));
        self.taken += bytes.len();
    }

    /// Everything up to the server's end of stream. An error is a reset or a silence.
    pub fn read_to_end(&mut self) -> std::io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        let bytes = self.rest().to_vec();
        self.taken = self.buffer.len();
        Ok(bytes)
    }

    /// Waits until the server has closed, however it did that; returns what came before.
    pub fn read_until_closed(&mut self) -> Vec<u8> {
        let start = Instant::now();
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    panic!("still open after {:?}: {:?}", start.elapsed(), shown(self.rest()))
                }
                Err(_) => break,
            }
        }
        let bytes = self.rest().to_vec();
        self.taken = self.buffer.len();
        bytes
    }

    /// Panics if anything arrives within `time`, the end of the stream included.
    pub fn expect_silence(&mut self, time: Duration) {
        assert!(self.rest().is_empty(), "unread: {:?}", shown(self.rest()));
        self.set_read_timeout(time);
        match self.fill() {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            other => panic!("not silent: {other:?} {:?}", shown(self.rest())),
        }
        self.set_read_timeout(PATIENCE);
    }

    pub fn set_read_timeout(&mut self, time: Duration) {
        match &self.stream {
            Stream::Tcp(s) => s.set_read_timeout(Some(time)),
            Stream::Unix(s) => s.set_read_timeout(Some(time)),
        }
        .expect("a read timeout");
    }

    pub fn set_write_timeout(&mut self, time: Duration) {
        match &self.stream {
            Stream::Tcp(s) => s.set_write_timeout(Some(time)),
            Stream::Unix(s) => s.set_write_timeout(Some(time)),
        }
        .expect("a write timeout");
    }

    /// Says that nothing more will be sent.
    pub fn end(&mut self) {
        match &self.stream {
            Stream::Tcp(s) => s.shutdown(Shutdown::Write),
            Stream::Unix(s) => s.shutdown(Shutdown::Write),
        }
        .expect("ending the stream");
    }

    /// Closes with a reset instead of an end of stream.
    pub fn reset(self) {
        let Stream::Tcp(stream) = &self.stream else { panic!("a unix socket knows no reset") };
        set_option(stream, libc::SO_LINGER, libc::linger { l_onoff: 1, l_linger: 0 });
    }

    /// Has the kernel keep little of what is sent or received, as between hosts: what the other side
    /// does not take is soon felt.
    pub fn with_small_buffers(self) -> Client {
        const BYTES: libc::c_int = 64 * 1024;
        let Stream::Tcp(stream) = &self.stream else { panic!("for TCP only") };
        set_option(stream, libc::SO_SNDBUF, BYTES);
        set_option(stream, libc::SO_RCVBUF, BYTES);
        self
    }

    pub fn local_port(&self) -> u16 {
        match &self.stream {
            Stream::Tcp(s) => s.local_addr().expect("a local address").port(),
            Stream::Unix(_) => panic!("a unix socket has no port"),
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        if self.taken > self.buffer.len() / 2 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        let mut chunk = [0; 65536];
        // A process that was stopped for a moment finds its reads interrupted.
        let length = loop {
            let read = match &mut self.stream {
                Stream::Tcp(s) => s.read(&mut chunk),
                Stream::Unix(s) => s.read(&mut chunk),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.buffer.extend_from_slice(&chunk[..length]);
        Ok(length)
    }
}

fn set_option<T: Copy>(stream: &TcpStream, option: libc::c_int, value: T) {
    // SAFETY: the pointer and the length are those of a live value, which the kernel reads.
    let status = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<T>() as u32,
        )
    };
    assert_eq!(status, 0, "socket option {option}");
}

/// A command as clients send it: an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}
