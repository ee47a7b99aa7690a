//! Real servers for tests: started on free loopback ports, killed when dropped.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ringwell_test_support::{PATIENCE, ServerProcess};
pub use ringwell_test_support::{Scratch, free_port, wait_for};

use super::program::program;

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

/// A server's process, and how it is spoken to.
pub struct Server(ServerProcess);

impl Server {
    pub fn start(kind: Kind) -> Server {
        Server::start_with(kind, &[])
    }

    pub fn start_with(kind: Kind, args: &[&str]) -> Server {
        let port = free_port();
        let words = kind.command_line(port);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(args);
        Server(ServerProcess::start(kind.name(), command, port))
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
}

impl Deref for Server {
    type Target = ServerProcess;

    fn deref(&self) -> &ServerProcess {
        &self.0
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut ServerProcess {
        &mut self.0
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
