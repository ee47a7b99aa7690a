//! A connection outside the measurement: blocking, with timeouts. Connections of the load are set
//! up as one of these before they move to a ring.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::value::Value;
use crate::failure::Failure;
use crate::plan::{Endpoint, Target};
use crate::reply::{Decoder, Kind, excerpt};

/// For connecting, and for each answer during set-up.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer to a question outside the measurement.
const ANSWER_MAX: usize = 16 << 20;

/// `host:port`, or the path.
pub fn address(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        Endpoint::Tcp { host, port } => format!("{host}:{port}"),
        Endpoint::Unix(path) => path.display().to_string(),
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection that has not been authenticated unless [`Client::set_up`] did.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    address: String,
    /// Received and not decoded.
    input: Vec<u8>,
    /// Why the last command of the set-up could not be sent.
    unsaid: Option<std::io::Error>,
    /// Commands sent so far, which the server may have counted.
    pub commands: u64,
}

impl Client {
    /// # Errors
    /// Unresolvable, refused, unreachable, no such path: with what to do.
    pub fn connect(endpoint: &Endpoint) -> Result<Client, Failure> {
        Self::connect_within(endpoint, TIMEOUT)
    }

    /// [`Client::connect`], waiting at most `timeout` for it and for each answer.
    pub fn connect_within(endpoint: &Endpoint, timeout: Duration) -> Result<Client, Failure> {
        let address = address(endpoint);
        let stream = match endpoint {
            Endpoint::Tcp { host, port } => Stream::Tcp(connect_tcp(host, *port, timeout)?),
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path);
                Stream::Unix(stream.map_err(|error| unreachable_path(&address, &error))?)
            }
        };
        let client = Client { stream, address, input: Vec::new(), unsaid: None, commands: 0 };
        client.set_timeouts(Some(timeout)).map_err(|error| client.failed(&error))?;
        Ok(client)
    }

    /// [`Client::connect`], then what `target` asks for: password, protocol, database, a name.
    ///
    /// # Errors
    /// DENIED, a wrong or a missing password, no such database, something that is not Redis.
    pub fn set_up(endpoint: &Endpoint, target: &Target) -> Result<Client, Failure> {
        let mut client = Self::begin_set_up(endpoint, target)?;
        client.end_set_up(target)?;
        Ok(client)
    }

    /// [`Client::set_up`] without waiting for its last answer, which [`Client::end_set_up`] does:
    /// with many connections the server answers them meanwhile.
    pub fn begin_set_up(endpoint: &Endpoint, target: &Target) -> Result<Client, Failure> {
        let mut client = Client::connect(endpoint)?;
        let user = target.user.as_deref().unwrap_or("default");
        match (target.resp3, &target.password) {
            (true, Some(password)) => {
                client.demand(&["HELLO", "3", "AUTH", user, password], target)?;
            }
            (true, None) => client.demand(&["HELLO", "3"], target)?,
            (false, Some(password)) => match &target.user {
                Some(user) => client.demand(&["AUTH", user, password], target)?,
                None => client.demand(&["AUTH", password], target)?,
            },
            (false, None) => {}
        }
        if target.database != 0 {
            client.demand(&["SELECT", &target.database.to_string()], target)?;
        }
        client.unsaid = client.send(&["CLIENT", "SETNAME", "loadgen"]).err();
        Ok(client)
    }

    /// See [`Client::begin_set_up`].
    pub fn end_set_up(&mut self, target: &Target) -> Result<(), Failure> {
        // Servers without this command are none the worse for it; what it says about passwords and
        // access counts.
        let written = self.unsaid.take().map_or(Ok(()), Err);
        match self.answer_to(written)? {
            Value::Error(text) if is_about_access(&text) => Err(self.refused(&text, target)),
            _ => Ok(()),
        }
    }

    fn demand(&mut self, words: &[&str], target: &Target) -> Result<(), Failure> {
        match self.call(words)? {
            Value::Error(text) => Err(self.refused(&text, target)),
            _ => Ok(()),
        }
    }

    /// Sends one command and reads its answer, which may be an error.
    ///
    /// # Errors
    /// When the connection fails or does not speak RESP.
    pub fn call(&mut self, words: &[&str]) -> Result<Value, Failure> {
        let written = self.send(words);
        self.answer_to(written)
    }

    fn send(&mut self, words: &[&str]) -> std::io::Result<()> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.commands += 1;
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(request.as_bytes()),
            Stream::Unix(stream) => stream.write_all(request.as_bytes()),
        }
    }

    fn answer_to(&mut self, written: std::io::Result<()>) -> Result<Value, Failure> {
        // A server that says why it closes the connection (DENIED) does so before it reads.
        match (written, self.answer()) {
            (_, Ok(value)) => Ok(value),
            (Err(error), Err(_)) => Err(self.failed(&error)),
            (Ok(()), Err(failure)) => Err(failure),
        }
    }

    fn answer(&mut self) -> Result<Value, Failure> {
        let mut decoder = Decoder::new(0);
        let (mut start, mut at) = (0, 0);
        loop {
            match decoder.decode(&self.input[at..]) {
                Err(malformed) => return Err(self.not_redis(&malformed.0)),
                Ok((used, Some(reply))) => {
                    at += used;
                    if reply.kind == Kind::Push {
                        start = at;
                        continue;
                    }
                    let value = Value::parse(&self.input[start..at]);
                    self.input.drain(..at);
                    return value.ok_or_else(|| self.not_redis("an answer of unexpected shape"));
                }
                Ok((used, None)) => at += used,
            }
            if self.input.len() > ANSWER_MAX {
                return Err(self.not_redis("an answer without end"));
            }
            let mut chunk = [0; 16 * 1024];
            let received = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(&mut chunk),
                Stream::Unix(stream) => stream.read(&mut chunk),
            };
            match received {
                Ok(0) => return Err(self.closed()),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    /// The socket, for a ring.
    ///
    /// # Errors
    /// When the server has said something that nobody asked for.
    pub fn into_socket(self) -> Result<OwnedFd, Failure> {
        if !self.input.is_empty() {
            let excess = format!("unasked for: {}", excerpt(&self.input));
            return Err(self.not_redis(&excess));
        }
        self.set_timeouts(None).map_err(|error| self.failed(&error))?;
        Ok(match self.stream {
            Stream::Tcp(stream) => stream.into(),
            Stream::Unix(stream) => stream.into(),
        })
    }

    fn set_timeouts(&self, timeout: Option<Duration>) -> std::io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
        }
    }

    // What to do about it.

    fn refused(&self, text: &str, target: &Target) -> Failure {
        let address = &self.address;
        let code = text.split(' ').next().unwrap_or_default();
        let advice = match code {
            "DENIED" => {
                "the server's protected mode admits only its own host: bind it to an address and \
                 set a password, or run loadgen on that host"
            }
            "WRONGPASS" | "NOAUTH" if target.password.is_none() => {
                "give the password with -a (and --user)"
            }
            "WRONGPASS" | "NOAUTH" => "the password, or the user, is not the server's: check both",
            "NOPERM" => {
                "this user may not do that: choose another with --user, or change its rules"
            }
            "NOPROTO" => "the server speaks RESP2 only: leave RESP3 out",
            "LOADING" => "the server is still loading its data: try again when it has",
            _ if text.contains("called without any password") || text.contains("no password") => {
                "the server wants no password: leave it out"
            }
            _ if text.contains("invalid password") => {
                "the password, or the user, is not the server's: check both"
            }
            _ if text.contains("max number of clients") => {
                "use fewer clients, or raise the server's maxclients"
            }
            _ if text.contains("DB index") => "choose a database that the server has",
            _ if text.contains("unknown command") => {
                "the server does not know this command: leave out the option that needs it (RESP3 \
                 needs HELLO)"
            }
            _ => "see the server's log and configuration",
        };
        Failure::run(format!("{address} refuses: {:?}; {advice}", first_sentence(text)))
    }

    fn closed(&self) -> Failure {
        Failure::run(format!(
            "{} closed the connection without an answer; is it a Redis-compatible server, without \
             TLS, and with room for more clients?",
            self.address
        ))
    }

    fn not_redis(&self, what: &str) -> Failure {
        Failure::run(format!(
            "{} does not speak the Redis protocol ({what}); check host and port",
            self.address
        ))
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        let address = &self.address;
        Failure::run(match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => format!(
                "{address} accepts connections but does not answer within {} s; is it a \
                 Redis-compatible server, and does it hang?",
                TIMEOUT.as_secs()
            ),
            _ => format!("{address} ended the connection ({error}); see the server's log"),
        })
    }
}

/// Redis explains DENIED in a dozen of them.
fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..end])
}

fn is_about_access(text: &str) -> bool {
    ["DENIED", "NOAUTH", "WRONGPASS", "LOADING"].iter().any(|code| text.starts_with(code))
        || text.contains("max number of clients")
}

fn connect_tcp(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, Failure> {
    let addresses: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(Failure::run(format!(
                "cannot resolve {host:?} ({error}); check the host's name"
            )));
        }
    };
    let deadline = Instant::now() + timeout;
    let mut last = None;
    for address in &addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        match connect_address(address, left.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let address = address(&Endpoint::Tcp { host: host.into(), port });
    Err(Failure::run(match last {
        None => format!("{host:?} has no address; check the host's name"),
        Some(error) => match error.kind() {
            ErrorKind::ConnectionRefused => {
                format!(
                    "{address} refuses connections; is the server running, and is this its port?"
                )
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => format!(
                "{address} does not answer within {} s; check the address and firewalls",
                timeout.as_secs()
            ),
            _ => advise(&address, &error),
        },
    }))
}

/// Within one host there is no path whose capacity congestion control would have to find out, only
/// its bookkeeping for each send; Reno's is the least, and whoever may set any may set it. It has to
/// be set before connecting, since BBR leaves its pacing behind. Between hosts it stays what the
/// system says.
fn connect_address(address: &SocketAddr, timeout: Duration) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip().is_loopback() {
        // Without it requests only cost a little more.
        let _ = socket.set_tcp_congestion(b"reno");
    }
    socket.set_tcp_nodelay(true)?;
    socket.connect_timeout(&(*address).into(), timeout)?;
    Ok(socket.into())
}

fn unreachable_path(path: &str, error: &std::io::Error) -> Failure {
    Failure::run(match error.kind() {
        ErrorKind::NotFound => {
            format!("there is no socket {path}; is the server running, with this unixsocket?")
        }
        ErrorKind::PermissionDenied => {
            format!("{path} may not be used by this user; see the server's unixsocketperm")
        }
        ErrorKind::ConnectionRefused => {
            format!("nobody listens on {path}; is the server running?")
        }
        _ => advise(path, error),
    })
}

fn advise(address: &str, error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            "too many open files; raise the limit (ulimit -n) or use fewer clients".into()
        }
        Some(libc::EADDRNOTAVAIL) => {
            format!("no local port is left for {address}; use fewer clients, or several addresses")
        }
        _ => format!("cannot connect to {address} ({error}); check the address"),
    }
}
