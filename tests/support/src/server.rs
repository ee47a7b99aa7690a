//! A server's process for one test, and a port for it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{PATIENCE, Scratch};

/// Killed when dropped; the end of its log is shown when the test fails.
pub struct ServerProcess {
    child: Child,
    pub port: u16,
    /// Its working directory, with its log.
    dir: Scratch,
    name: &'static str,
}

impl ServerProcess {
    /// Starts `command`, which is to listen on this port of loopback, and waits until it does.
    pub fn start(name: &'static str, command: Command, port: u16) -> ServerProcess {
        let mut server = ServerProcess::spawn(name, command, port);
        server.wait_until_listening();
        server
    }

    /// Starts `command` in a directory of its own and waits for nothing.
    pub fn spawn(name: &'static str, mut command: Command, port: u16) -> ServerProcess {
        let dir = Scratch::new(name);
        let log = fs::File::create(dir.path().join("log")).expect("a log file");
        let child = command
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        ServerProcess { child, port, dir, name }
    }

    fn wait_until_listening(&mut self) {
        let start = Instant::now();
        while !answers(self.port) {
            if let Some(status) = self.child.try_wait().expect("waiting") {
                panic!("{} ended at once, {status}:\n{}", self.name, self.log());
            }
            assert!(start.elapsed() < PATIENCE, "{} does not listen:\n{}", self.name, self.log());
            sleep(Duration::from_millis(10));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn signal(&self, number: i32) {
        signal(&self.child, number);
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        if ended.is_none() {
            self.kill();
        }
        if std::thread::panicking() {
            const LINES: usize = 30;
            let state = ended.map_or("still running".to_string(), |s| s.to_string());
            let (dir, log) = (self.dir.path(), self.log());
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
            eprintln!("--- {} ({state}), end of the log in {dir:?}\n{last}", self.name);
        }
    }
}

/// Any answer means that a server runs and not only listens.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<usize> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        stream.read(&mut [0; 4096])
    };
    ask().is_ok_and(|length| length > 0)
}

/// Sends a signal to a process that has not been waited for.
pub fn signal(child: &Child, number: i32) {
    let pid = i32::try_from(child.id()).expect("process ids are positive");
    // SAFETY: kill takes no pointers.
    let status = unsafe { libc::kill(pid, number) };
    assert_eq!(status, 0, "signalling process {pid}");
}

/// A port below the ephemeral range that nobody listens on. The start depends on the process, so
/// that test runs beside each other rarely meet.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let port = FIRST + offset;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on loopback");
}
