//! A server process for one test: started on a free loopback port, killed when dropped, its log
//! shown when the test fails.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::client::{Client, PATIENCE};

/// The program under test: the one that cargo built, or another build of it.
pub fn ringwell() -> String {
    let built = env!("CARGO_BIN_EXE_ringwell").to_string();
    std::env::var("RINGWELL_TESTS_SERVER").unwrap_or(built)
}

pub struct Server {
    child: Child,
    pub ip: IpAddr,
    pub port: u16,
    /// The server's own directory, removed with it unless the test fails.
    pub dir: Scratch,
    name: &'static str,
}

impl Server {
    /// Ringwell on loopback with so many shards and these further arguments.
    pub fn ringwell(shards: usize, args: &[&str]) -> Server {
        let shards = shards.to_string();
        let mut all = vec!["--shards", &shards, "--bind", "127.0.0.1"];
        all.extend_from_slice(args);
        Server::ringwell_bare(&all)
    }

    /// Ringwell with nothing but a port and these arguments.
    pub fn ringwell_bare(args: &[&str]) -> Server {
        Server::start("ringwell", Command::new(ringwell()), args)
    }

    /// A stock redis-server that writes nothing to disk.
    pub fn redis(args: &[&str]) -> Server {
        let mut all = vec!["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        all.extend_from_slice(args);
        Server::start("redis-server", Command::new("redis-server"), &all)
    }

    /// Starts `command --port FREE args` and waits until it listens.
    pub fn start(name: &'static str, command: Command, args: &[&str]) -> Server {
        let mut command = command;
        let port = free_port();
        command.args(["--port", &port.to_string()]).args(args);
        let mut server = Server::spawn(name, command, port);
        server.wait_until_listening();
        server
    }

    /// Starts `command` as it is, in a directory of its own, and waits for nothing.
    pub fn spawn(name: &'static str, mut command: Command, port: u16) -> Server {
        let dir = Scratch::new(name);
        let log = fs::File::create(dir.path().join("log")).expect("a log file");
        let child = command
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        Server { child, ip: Ipv4Addr::LOCALHOST.into(), port, dir, name }
    }

    fn wait_until_listening(&mut self) {
        let start = Instant::now();
        loop {
            if let Ok(mut client) = Client::try_connect(self.address()) {
                // One answer, whatever it is, means that the server runs and not only listens.
                client.send(b"PING\r\n");
                if client.try_read_value().is_ok() {
                    return;
                }
            }
            if let Some(status) = self.child.try_wait().expect("waiting") {
                panic!("{} ended at once, {status}:\n{}", self.name, self.log());
            }
            if start.elapsed() > PATIENCE {
                panic!("{} does not listen:\n{}", self.name, self.log());
            }
            sleep(Duration::from_millis(10));
        }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill takes no pointers, and the child is not reaped while `self` owns it.
        let status = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(status, 0, "signalling {}", self.name);
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waiting") {
                return status;
            }
            if start.elapsed() > limit {
                panic!("{} has not ended within {limit:?}:\n{}", self.name, self.log());
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Processor time used so far, user and system, in clock ticks.
    pub fn cpu_ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(path).expect("reading the process's stat");
        // The name in parentheses may hold blanks; utime and stime are fields 14 and 15.
        let after_name = stat.rsplit_once(')').expect("a name").1;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let ticks = |field: usize| fields[field - 3].parse::<u64>().expect("a number");
        ticks(14) + ticks(15)
    }

    /// One section of INFO as `name`, `value` pairs, over a fresh connection.
    pub fn info(&self, section: &str) -> Vec<(String, String)> {
        info(&mut self.connect(), section)
    }

    pub fn info_number(&self, section: &str, field: &str) -> u64 {
        let fields = self.info(section);
        let (_, value) = fields
            .iter()
            .find(|(name, _)| name == field)
            .unwrap_or_else(|| panic!("INFO {section} has no {field}: {fields:?}"));
        value.parse().unwrap_or_else(|_| panic!("{field} is {value}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        if ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            const LINES: usize = 30;
            let state = ended.map_or("still running".to_string(), |s| s.to_string());
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
            eprintln!("--- {} ({state}), end of the log in {:?}\n{last}", self.name, self.dir.0);
        }
    }
}

pub fn info(client: &mut Client, section: &str) -> Vec<(String, String)> {
    let text = client.command(&["INFO", section]).text();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

/// A directory of this test alone.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{name}-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique);
        fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path inside, as text.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A port below the ephemeral range that nobody listens on. The start depends on the process, so
/// that test runs beside each other rarely meet.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    loop {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let port = FIRST + offset;
        let free = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        if free {
            return port;
        }
    }
}
