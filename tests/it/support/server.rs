//! A server for one test, Ringwell or redis-server, and connections to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::process::Command;

use ringwell_test_support::ServerProcess;
pub use ringwell_test_support::{Scratch, free_port};

use super::client::Client;

/// The program under test: the one that cargo built, or another build of it.
pub fn ringwell() -> String {
    let built = env!("CARGO_BIN_EXE_ringwell").to_string();
    std::env::var("RINGWELL_TESTS_SERVER").unwrap_or(built)
}

/// A server's process, and how it is spoken to.
pub struct Server(ServerProcess);

impl Server {
    /// Ringwell on loopback with so many shards and these further arguments. Every shard has a
    /// thread unless they say otherwise: a test's light load would leave all of them to one.
    pub fn ringwell(shards: usize, args: &[&str]) -> Server {
        let shards = shards.to_string();
        let mut all = vec!["--shards", &shards, "--bind", "127.0.0.1"];
        if !args.contains(&"--spread") {
            all.extend(["--spread", "all"]);
        }
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
    pub fn start(name: &'static str, mut command: Command, args: &[&str]) -> Server {
        let port = free_port();
        command.args(["--port", &port.to_string()]).args(args);
        Server(ServerProcess::start(name, command, port))
    }

    /// Starts `command` as it is, in a directory of its own, and waits for nothing.
    pub fn spawn(name: &'static str, command: Command, port: u16) -> Server {
        Server(ServerProcess::spawn(name, command, port))
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
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

pub fn info(client: &mut Client, section: &str) -> Vec<(String, String)> {
    let text = client.command(&["INFO", section]).text();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}
