//! What the program says when something is wrong: one line, with what to do.

use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::run::json;
use crate::support::fake::{Fake, Say};
use crate::support::program::{finish, interrupt};
use crate::support::server::free_port;
use crate::support::{
    Kind, Output, Scratch, Server, beside_others, loadgen, loadgen_line, on_both_servers, program,
    spawn, test,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        test("bad_input::an_unreachable_server", an_unreachable_server),
        test("bad_input::denied", denied),
        test("bad_input::an_error_reply", an_error_reply),
        test("bad_input::an_error_later_on", an_error_later_on),
        test("bad_input::not_redis_at_all", not_redis_at_all),
        test("bad_input::a_fake_server_that_dies", a_fake_server_that_dies),
        test("bad_input::contradictions", contradictions),
    ];
    trials.extend(on_both_servers(
        "bad_input",
        &[
            ("a_wrong_password", a_wrong_password),
            ("a_server_that_dies_leaves_a_report", a_server_that_dies),
            ("ctrl_c_leaves_a_report", ctrl_c),
        ],
    ));
    trials
}

/// One line on standard error, with all of these parts.
#[track_caller]
fn says(output: &Output, parts: &[&str]) {
    let lines: Vec<&str> = output.err.lines().collect();
    assert_eq!(lines.len(), 1, "{output:#?}");
    for part in parts {
        assert!(lines[0].contains(part), "{part:?} in {:?}", lines[0]);
    }
}

fn run(address: &str, more: &[&str]) -> Output {
    let args = ["run", address, "-c", "2", "--duration", "200ms", "--warmup", "0", "--quiet"];
    loadgen(&[&args[..], more].concat())
}

fn an_unreachable_server() {
    let _turn = beside_others();
    let address = format!("127.0.0.1:{}", free_port());
    says(&run(&address, &[]).expect_status(1), &[&address, "is the server running"]);
    says(&run("unix:/nonexistent/socket", &[]).expect_status(1), &["/nonexistent/socket"]);
    for args in [&["knee", &address, "--slo", "p99=1ms"][..], &["compat", "-u", "redis://x:1"]] {
        let output = loadgen(args).expect_status(1);
        assert!(!output.err.is_empty(), "{output:#?}");
    }
}

fn denied() {
    let _turn = beside_others();
    // As a server in protected mode greets a client from another host.
    let fake = Fake::greeting(
        "-DENIED Redis is running in protected mode because protected mode is enabled, no bind \
         address was specified, no authentication password is requested to clients.\r\n",
    );
    says(&run(&fake.address(), &[]).expect_status(1), &["DENIED", "protected mode", "password"]);
}

fn an_error_reply() {
    let _turn = beside_others();
    let fake = Fake::answering(|_| Say::Reply(b"-ERR unknown command 'FOO'\r\n".to_vec()));
    let output = run(&fake.address(), &["--cmd", "FOO"]).expect_status(1);
    says(&output, &["FOO", "unknown command"]);
}

/// Errors that begin after the first answers do not end the run, but its verdict names them.
fn an_error_later_on() {
    let _turn = beside_others();
    let count = std::sync::atomic::AtomicU64::new(0);
    let fake = Fake::answering(move |_| {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Say::Reply(if count < 50 { b"+OK\r\n".to_vec() } else { b"-OOM no memory\r\n".to_vec() })
    });
    let output = run(&fake.address(), &["--cmd", "FOO"]);
    assert!(output.out.contains("OOM no memory"), "{output:#?}");
    assert!(output.out.contains("NOT VALID"), "{output:#?}");
}

fn not_redis_at_all() {
    let _turn = beside_others();
    let fake = Fake::greeting("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    says(&run(&fake.address(), &[]).expect_status(1), &[&fake.address(), "Redis protocol"]);
}

fn a_fake_server_that_dies() {
    let _turn = beside_others();
    let count = std::sync::atomic::AtomicU64::new(0);
    let fake =
        Fake::answering(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0..100 => Say::Reply(b"+OK\r\n".to_vec()),
            _ => Say::Die,
        });
    let scratch = Scratch::new("dies");
    let report = scratch.file("report");
    let output = loadgen_line(&format!(
        "run {} -c 2 --requests 5000 --warmup 0 --quiet --cmd FOO -o {}",
        fake.address(),
        report
    ))
    .expect_status(1);
    says(&output, &[&fake.address()]);
    let results = &json(&report)["results"];
    assert!(results["received"].as_u64().is_some_and(|n| (1..=100).contains(&n)), "{results}");
    assert!(results["ended_by"].is_string(), "{results}");
}

fn contradictions() {
    for (args, parts) in [
        (&["run", "--verify", "--cmd", "PING"][..], &["--verify", "--cmd", "contradict"][..]),
        (&["run", "--threads", "4", "-c", "2"], &["--threads 4", "--clients 2"]),
        (&["run", "--cluster", "unix:/a"], &["--cluster", "unix socket"]),
        (&["knee", "--slo", "p99=1ms", "--from", "2k", "--to", "1k"], &["--from", "--to"]),
        (&["compare", "h:1", "h:1"], &["the same server"]),
    ] {
        says(&loadgen(args).expect_status(2), parts);
    }
    assert_eq!(loadgen(&["run", "--no-such-option"]).status, 2);
    assert_eq!(loadgen(&[]).status, 2);
}

fn a_wrong_password(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start_with(kind, &["--requirepass", "right"]);
    let address = server.address();
    says(&run(&address, &["-a", "wrong"]).expect_status(1), &["password"]);
    says(&run(&address, &[]).expect_status(1), &["password"]);
    run(&address, &["-a", "right"]).expect_status(0);
    let compat = |password: &str| {
        let port = server.port.to_string();
        loadgen(&["compat", "-p", &port, "-a", password, "-n", "10", "-t", "set", "-q"])
    };
    assert!(compat("wrong").expect_status(1).err.contains("password"));
    assert!(compat("right").expect_status(0).out.contains("SET: "));
}

fn a_server_that_dies(kind: Kind) {
    let _turn = beside_others();
    let mut server = Server::start(kind);
    let scratch = Scratch::new("dies");
    let report = scratch.file("report");
    let child = long_run(&server, &report);
    std::thread::sleep(Duration::from_millis(400));
    server.kill();
    let output = finish(child).expect_status(1);
    says(&output, &[&server.address()]);
    assert!(output.out.contains("NOT VALID"), "{}", output.out);
    let results = &json(&report)["results"];
    assert!(results["received"].as_u64().is_some_and(|n| n > 0), "{results}");
    assert!(results["ended_by"].is_string(), "{results}");
}

fn ctrl_c(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start(kind);
    let scratch = Scratch::new("interrupt");
    let report = scratch.file("report");
    let child = long_run(&server, &report);
    std::thread::sleep(Duration::from_millis(400));
    interrupt(&child);
    let output = finish(child);
    assert!(output.out.contains("interrupted after"), "{output:#?}");
    let results = &json(&report)["results"];
    assert_eq!(results["interrupted"], true);
    assert_eq!(results["sent"], results["received"], "what was in flight was awaited");
}

fn long_run(server: &Server, report: &str) -> std::process::Child {
    let mut command = Command::new(program());
    command.args(["run", &server.address(), "-c", "4", "--duration", "60s", "--warmup", "0"]);
    command.args(["--quiet", "-o", report]);
    spawn(command)
}
