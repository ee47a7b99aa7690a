//! `loadgen compare` on real servers.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::support::server::free_port;
use crate::support::{
    Kind, Need, Server, beside_others, loadgen, on_both_servers, program, spawn, test_with,
};

pub fn trials() -> Vec<Trial> {
    let mut trials =
        on_both_servers("compare", &[("a_server_that_it_starts", a_server_that_it_starts)]);
    trials.push(test_with(&[Need::RedisServer], "compare::two_that_run", two_that_run));
    trials.push(test_with(
        &[Need::RedisServer],
        "compare::an_interrupt_leaves_no_server_behind",
        an_interrupt_leaves_no_server_behind,
    ));
    trials
}

const SHORT: [&str; 10] =
    ["--rounds", "3", "--duration", "60ms", "--warmup", "10ms", "-c", "2", "--quiet", "--preload"];

/// A command line as `--start-b` takes it.
fn quoted(kind: Kind, port: u16) -> String {
    let words = kind.command_line(port);
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}

fn a_server_that_it_starts(kind: Kind) {
    let _turn = beside_others();
    let (server, port) = (Server::start(kind), free_port());
    let start = quoted(kind, port);
    let address = server.address();
    let args = ["compare", &address, &format!("127.0.0.1:{port}"), "--start-b", &start];
    let output = loadgen(&[&args[..], &SHORT].concat()).expect_status(0);
    let out = &output.out;
    for part in [kind.name(), "throughput", "p50", "server CPU per request", "finding"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(out.contains("over 6 pairs of rounds"), "{out}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "B still runs");
    assert!(TcpStream::connect(("127.0.0.1", server.port)).is_ok(), "A was not started here");
}

fn two_that_run() {
    let _turn = beside_others();
    let (a, b) = (Server::start(Kind::Redis), Server::start(Kind::Ringwell));
    let (a, b) = (a.address(), b.address());
    let output = loadgen(&[&["compare", &a, &b][..], &SHORT].concat()).expect_status(0);
    let lines: Vec<&str> = output.out.lines().collect();
    assert!(lines[0].starts_with("A  redis ") && lines[0].ends_with(&a), "{}", output.out);
    assert!(lines[1].starts_with("B  ringwell ") && lines[1].ends_with(&b), "{}", output.out);
}

fn an_interrupt_leaves_no_server_behind() {
    let _turn = beside_others();
    let (server, port) = (Server::start(Kind::Redis), free_port());
    let mut command = Command::new(program());
    command.args(["compare", &server.address(), "--start-b", &quoted(Kind::Redis, port)]);
    command.args(["--quiet", "--duration", "10s"]);
    let mut child = spawn(command);
    let listening = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    crate::support::server::wait_for("B to be started", || {
        assert_eq!(child.try_wait().expect("waiting"), None, "compare has ended");
        listening()
    });
    std::thread::sleep(Duration::from_millis(200));
    crate::support::program::interrupt(&child);
    let output = crate::support::program::finish(child).expect_status(1);
    assert!(output.err.contains("interrupted"), "{}", output.err);
    assert!(!listening(), "B still runs");
}
