//! Questions to the server outside the measurement, on a connection of their own: INFO, the
//! processor time of its process; and servers that this program starts itself.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::exec::client::{Client, address};
use crate::exec::value::Value;
use crate::failure::Failure;
use crate::plan::{Endpoint, Target};

/// How long a server that was started may take until it answers, and to end when asked to.
const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(5);

/// A connection for questions.
#[derive(Debug)]
pub struct Server {
    client: Client,
    endpoint: Endpoint,
}

impl Server {
    /// # Errors
    /// As for the connections of the load: unreachable, DENIED, a wrong password.
    pub fn connect(endpoint: &Endpoint, target: &Target) -> Result<Server, Failure> {
        let client = Client::set_up(endpoint, target)?;
        Ok(Server { client, endpoint: endpoint.clone() })
    }

    /// # Errors
    /// When the connection fails. An error reply is a [`Value::Error`].
    pub fn call(&mut self, words: &[&str]) -> Result<Value, Failure> {
        self.client.call(words)
    }

    /// # Errors
    /// When the connection fails, or the server refuses INFO.
    pub fn info(&mut self) -> Result<Info, Failure> {
        match self.client.call(&["INFO"])? {
            Value::Text(text) => Ok(Info::parse(&String::from_utf8_lossy(&text))),
            Value::Error(text) => {
                Err(Failure::run(format!("{} refuses INFO: {text:?}", address(&self.endpoint))))
            }
            _ => Err(Failure::run(format!(
                "{} answers INFO in an unknown shape",
                address(&self.endpoint)
            ))),
        }
    }

    /// The server's process, where it runs on this host: INFO names it, and it holds the socket
    /// that listens at the endpoint. `None` where that cannot be seen.
    pub fn process(&mut self) -> Option<Process> {
        let process = Process { pid: self.info().ok()?.number("process_id")?.try_into().ok()? };
        process.listens_at(&self.endpoint).then_some(process)
    }
}

/// The fields of INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info(BTreeMap<String, String>);

impl Info {
    pub fn parse(text: &str) -> Info {
        let fields = text.lines().filter(|line| !line.starts_with('#'));
        let fields = fields.filter_map(|line| line.split_once(':'));
        Info(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// `name version`, such as `redis 7.0.15`; servers that are compatible name themselves in
    /// fields of their own.
    pub fn software(&self) -> Option<String> {
        let own = ["ringwell", "valkey", "dragonfly", "keydb", "garnet"].iter().find_map(|name| {
            let version = self.get(&format!("{name}_version"))?;
            Some(format!("{name} {version}"))
        });
        own.or_else(|| {
            let name = self.get("server_name").unwrap_or("redis");
            Some(format!("{name} {}", self.get("redis_version")?))
        })
    }

    pub fn commands_processed(&self) -> Option<u64> {
        self.number("total_commands_processed")
    }
}

/// What the servers of a run counted, from one moment on.
#[derive(Debug)]
pub struct CommandCount {
    servers: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    server: Server,
    /// At the beginning, and by how much asking raised it.
    at_first: u64,
    per_question: u64,
}

impl CommandCount {
    /// Begins to count on every server; `None` where one of them does not tell.
    pub fn begin(endpoints: &[Endpoint], target: &Target) -> Option<CommandCount> {
        let mut servers = Vec::new();
        for endpoint in endpoints {
            let mut server = Server::connect(endpoint, target).ok()?;
            let first = server.info().ok()?.commands_processed()?;
            let at_first = server.info().ok()?.commands_processed()?;
            // Servers differ in whether a command counts itself; that is measured, not assumed.
            let per_question = at_first.saturating_sub(first).min(1);
            servers.push(Counted { server, at_first, per_question });
        }
        Some(CommandCount { servers })
    }

    /// The commands since the beginning, without our questions and without `besides` others.
    pub fn end(mut self, besides: u64) -> Option<u64> {
        let mut sum: u64 = 0;
        for counted in &mut self.servers {
            let now = counted.server.info().ok()?.commands_processed()?;
            sum += now.checked_sub(counted.at_first)?.saturating_sub(counted.per_question);
        }
        sum.checked_sub(besides)
    }
}

/// A process on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
}

impl Process {
    /// Processor time of all its threads so far, user and system; `None` when it has ended.
    pub fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // SAFETY: no memory is passed.
        let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
        Some(Duration::from_millis(cpu_ticks(&stat)?.checked_mul(1000)?.checked_div(per_second)?))
    }

    /// Whether one of its sockets listens at the endpoint.
    fn listens_at(&self, endpoint: &Endpoint) -> bool {
        let listening = match endpoint {
            Endpoint::Tcp { port, .. } => {
                let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
                let tables = tables.iter().filter_map(|path| std::fs::read_to_string(path).ok());
                tables.flat_map(|table| listening_inodes(&table, *port)).collect()
            }
            Endpoint::Unix(path) => {
                let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
                unix_inodes(&table, path)
            }
        };
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{}/fd", self.pid)) else {
            return false;
        };
        descriptors
            .flatten()
            .filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok())
            .filter_map(|target| socket_inode(&target))
            .any(|inode| listening.contains(&inode))
    }
}

/// `utime` + `stime` of proc_pid_stat(5); the process's name before them may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// Inodes of the sockets of /proc/net/tcp that listen (state 0A) on the port.
fn listening_inodes(table: &str, port: u16) -> HashSet<u64> {
    let suffix = format!(":{port:04X}");
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == "0A";
        listens.then(|| fields.get(9)?.parse().ok()).flatten()
    });
    rows.collect()
}

/// Inodes of the sockets of /proc/net/unix with the path.
fn unix_inodes(table: &str, path: &Path) -> HashSet<u64> {
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        (Path::new(fields.get(7)?) == path).then(|| fields.get(6)?.parse().ok()).flatten()
    });
    rows.collect()
}

/// Of a link such as `socket:[12345]`.
fn socket_inode(target: &Path) -> Option<u64> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// A server that this program started, and ends with it.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    /// What it wrote; read when it does not come up.
    log: PathBuf,
}

impl ServerProcess {
    /// Starts a command line (words as a shell splits them, without a shell's other powers) and
    /// waits until `endpoint` answers PING.
    ///
    /// # Errors
    /// When somebody else already answers there, the command cannot be started, or the server does
    /// not answer in time: with the last line that it wrote.
    pub fn start(
        command: &str,
        endpoint: &Endpoint,
        target: &Target,
    ) -> Result<ServerProcess, Failure> {
        let address = address(endpoint);
        if Client::connect_within(endpoint, Duration::from_millis(300)).is_ok() {
            return Err(Failure::run(format!(
                "somebody already answers at {address}, where {command:?} is to be started; end it, \
                 or choose another port"
            )));
        }
        let words = split_words(command)?;
        let Some((program, arguments)) = words.split_first() else {
            return Err(Failure::usage("the command line that starts a server is empty"));
        };
        let cannot = |error: std::io::Error| {
            Failure::run(format!("cannot start {program:?} ({error}); check the command line"))
        };
        let log = std::env::temp_dir().join(format!(
            "loadgen-server-{}-{}.log",
            std::process::id(),
            address.replace(['/', ':'], "_")
        ));
        let output = std::fs::File::create(&log).map_err(cannot)?;
        let errors = output.try_clone().map_err(cannot)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C at the terminal is for this program, which then ends the server.
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        let mut server = ServerProcess { child, log };
        server.await_answer(command, endpoint, target)?;
        Ok(server)
    }

    fn await_answer(
        &mut self,
        command: &str,
        endpoint: &Endpoint,
        target: &Target,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + START_MAX;
        loop {
            let answer = Server::connect(endpoint, target)
                .and_then(|mut server| server.call(&["PING"]))
                .and_then(|answer| match answer {
                    Value::Error(text) => Err(Failure::run(text)),
                    _ => Ok(()),
                });
            let Err(failure) = answer else { return Ok(()) };
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let written = std::fs::read(&self.log).unwrap_or_default();
            let written = String::from_utf8_lossy(&written);
            let last = written.trim_end().lines().next_back().unwrap_or("").trim().to_owned();
            let how = match ended {
                Some(status) => format!("ended ({status})"),
                None => format!("did not answer within {} s: {failure}", START_MAX.as_secs()),
            };
            return Err(Failure::run(format!(
                "{command:?} {how}; its last line was {last:?}; does it listen at {}?",
                address(endpoint)
            )));
        }
    }

    pub fn process(&self) -> Process {
        Process { pid: self.child.id() }
    }

    /// Asks it to end (SIGTERM), and ends it when it does not.
    pub fn stop(self) {}
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // SAFETY: no memory is passed; the child has not been waited for, so its id is its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}

/// Words separated by blanks; quotes of either kind keep blanks in a word.
fn split_words(line: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Failure::usage(format!("a quote is not closed in {line:?}")));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_fields_with_names() {
        let info = Info::parse(
            "# Server\r\nredis_version:7.0.15\r\nprocess_id:42\r\n\r\n# Stats\r\n\
             total_commands_processed:17\r\ndb0:keys=1,expires=0\r\n",
        );
        assert_eq!(info.software().as_deref(), Some("redis 7.0.15"));
        assert_eq!(info.commands_processed(), Some(17));
        assert_eq!(info.get("db0"), Some("keys=1,expires=0"));
        assert_eq!(info.get("# Server"), None);
        let other = Info::parse("redis_version:7.2.4\r\nvalkey_version:8.0.1\r\n");
        assert_eq!(other.software().as_deref(), Some("valkey 8.0.1"));
        assert_eq!(Info::parse("nonsense").software(), None);
    }

    #[test]
    fn processor_time_of_odd_names() {
        let stat = "7 (a) (b 1 2) R 1 2 3 4 5 6 7 8 9 10 250 17 0 0 20";
        assert_eq!(cpu_ticks(stat), Some(267));
        assert_eq!(cpu_ticks("7 (a"), None);
        assert!(Process { pid: std::process::id() }.cpu().is_some());
        assert_eq!(Process { pid: u32::MAX }.cpu(), None);
    }

    #[test]
    fn a_process_listens_only_where_it_does() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let at = |port| Endpoint::Tcp { host: "127.0.0.1".into(), port };
        let this = Process { pid: std::process::id() };
        assert!(this.listens_at(&at(port)));
        assert!(!Process { pid: 1 }.listens_at(&at(port)));
        drop(listener);
        assert!(!this.listens_at(&at(port)));

        let path = std::env::temp_dir().join(format!("loadgen-listens-{}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(this.listens_at(&Endpoint::Unix(path.clone())));
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        assert!(!this.listens_at(&Endpoint::Unix(path)));
    }

    #[test]
    fn command_lines_are_split_like_a_shells() {
        let words = split_words(" a  'b c' d\"e f\"g '' ").unwrap();
        assert_eq!(words, ["a", "b c", "de fg", ""]);
        assert!(split_words("a 'b").is_err());
    }
}
