//! A server process for one test: started on a free loopback port, killed when dropped.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::program::{PATIENCE, program};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Ringwell,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Redis => "redis",
            Kind::Ringwell => "ringwell",
        }
    }

    /// A command line that starts it on this port.
    pub fn command_line(self, port: u16) -> Vec<String> {
        let words = match self {
            Kind::Redis => format!("redis-server --port {port} --bind 127.0.0.1 --appendonly no"),
            Kind::Ringwell => {
                format!("{} --port {port} --bind 127.0.0.1 --shards 1", ringwell().display())
            }
        };
        let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        if self == Kind::Redis {
            words.extend(["--save".to_owned(), String::new()]);
        }
        words
    }
}

pub struct Server {
    child: Child,
    pub port: u16,
    /// The server's own directory, removed with it unless the test fails.
    pub dir: Scratch,
    name: &'static str,
}

impl Server {
    pub fn start(kind: Kind) -> Server {
        Server::start_with(kind, &[])
    }

    pub fn start_with(kind: Kind, args: &[&str]) -> Server {
        let port = free_port();
        let words = kind.command_line(port);
        let dir = Scratch::new(kind.name());
        let log = fs::File::create(dir.path().join("log")).expect("a log file");
        let child = Command::new(&words[0])
            .args(&words[1..])
            .args(args)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {}: {error}", words[0]));
        let mut server = Server { child, port, dir, name: kind.name() };
        server.wait_until_listening();
        server
    }

    /// `127.0.0.1:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sends a line and returns what is answered first.
    pub fn call(&self, line: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{line}\r\n").as_bytes())?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait_until_listening(&mut self) {
        let start = Instant::now();
        // Any answer means that the server runs and not only listens.
        while !self.call("PING").is_ok_and(|answer| !answer.is_empty()) {
            if let Some(status) = self.child.try_wait().expect("waiting") {
                panic!("{} ended at once, {status}:\n{}", self.name, self.log());
            }
            assert!(start.elapsed() < PATIENCE, "{} does not listen:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {}'s log:\n{}", self.name, self.log());
        }
    }
}

/// The server of this workspace, which stands beside the program under test; built if it is not
/// there, as when only the tests of this package are run.
fn ringwell() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let profile_dir = program().parent().expect("a directory").to_owned();
        let path = profile_dir.join("ringwell");
        if !path.exists() {
            let target_dir = profile_dir.parent().expect("the target directory");
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "-p", "ringwell", "--bin", "ringwell", "--target-dir"]);
            build.arg(target_dir).current_dir(env!("CARGO_MANIFEST_DIR"));
            if profile_dir.ends_with("release") {
                build.arg("--release");
            }
            let status = build.status().expect("running cargo");
            assert!(status.success(), "building ringwell: {status}");
        }
        path
    })
}

/// Polls until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
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
        self.0.join(name).to_str().expect("a path in UTF-8").to_owned()
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
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + step) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on loopback");
}
