//! Two hosts on one machine: a server's and a client's network namespace, joined by a veth pair,
//! so that the peers in access tests are real and nothing of the machine's own network changes.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ringwell_test_support::PATIENCE;

use super::client::Client;

pub const SERVER_IP4: &str = "10.213.7.1";
pub const CLIENT_IP4: &str = "10.213.7.2";
pub const SERVER_IP6: &str = "fd5a:7a11::1";
pub const CLIENT_IP6: &str = "fd5a:7a11::2";

pub struct TwoHosts {
    server: String,
    client: String,
}

impl TwoHosts {
    pub fn new() -> TwoHosts {
        TwoHosts::try_new().unwrap_or_else(|problem| panic!("making namespaces: {problem}"))
    }

    fn try_new() -> Result<TwoHosts, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let hosts = TwoHosts { server: format!("rw-s-{unique}"), client: format!("rw-c-{unique}") };
        let (server, client) = (hosts.server.as_str(), hosts.client.as_str());
        ip(&["netns", "add", server])?;
        ip(&["netns", "add", client])?;
        // Both ends are born inside their namespaces, so their names may repeat between tests.
        ip(&[
            "-n", server, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns",
            client,
        ])?;
        for (host, ip4, ip6) in [(server, SERVER_IP4, SERVER_IP6), (client, CLIENT_IP4, CLIENT_IP6)]
        {
            ip(&["-n", host, "link", "set", "lo", "up"])?;
            ip(&["-n", host, "link", "set", "wire", "up"])?;
            ip(&["-n", host, "addr", "add", &format!("{ip4}/24"), "dev", "wire"])?;
            ip(&["-n", host, "addr", "add", &format!("{ip6}/64"), "dev", "wire", "nodad"])?;
        }
        Ok(hosts)
    }

    /// A command that will run on the server's host.
    pub fn on_server(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.server, program]);
        command
    }

    /// Connects from the server's host itself.
    pub fn connect_locally(&self, to: &str) -> Client {
        Client::over(connect_in(&self.server, to))
    }

    /// Connects from the other host.
    pub fn connect_remotely(&self, to: &str) -> Client {
        Client::over(connect_in(&self.client, to))
    }
}

impl Drop for TwoHosts {
    fn drop(&mut self) {
        for host in [&self.server, &self.client] {
            let _ = ip(&["netns", "del", host]);
        }
    }
}

pub fn usable() -> bool {
    TwoHosts::try_new().is_ok()
}

/// Connects, trying again while nobody listens yet.
fn connect_in(namespace: &str, to: &str) -> TcpStream {
    let to: SocketAddr = to.parse().expect("an address and port");
    let start = Instant::now();
    loop {
        match in_namespace(namespace, move || TcpStream::connect_timeout(&to, PATIENCE)) {
            Ok(stream) => return stream,
            Err(error) if start.elapsed() > PATIENCE => panic!("connecting to {to}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Runs `action` on a thread of its own that has entered the namespace. A socket stays in the
/// namespace in which it was made.
fn in_namespace<T: Send>(namespace: &str, action: impl FnOnce() -> T + Send) -> T {
    let path = format!("/var/run/netns/{namespace}");
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    std::thread::scope(|scope| {
        let entered = scope.spawn(move || {
            // SAFETY: setns takes no pointers; the descriptor is open, and only this thread,
            // which ends below, changes its namespace.
            let status = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(status, 0, "entering {path}: {}", std::io::Error::last_os_error());
            action()
        });
        entered.join().expect("the thread in the namespace")
    })
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("running ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
