//! Starting, stopping, refusing to start, and standing by.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use libtest_mimic::Trial;

use crate::support::need::PerShards;
use crate::support::server::{free_port, info, ringwell};
use crate::support::{
    Client, Scratch, Server, Value, encode, on_one_and_four_shards, test, wait_for,
};

/// "Within seconds", on a loaded machine.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    let per_shards: [PerShards; 6] = [
        ("sigterm_under_load", |shards| stops_under_load(shards, libc::SIGTERM)),
        ("sigint_under_load", |shards| stops_under_load(shards, libc::SIGINT)),
        ("shutdown_forms", shutdown_forms),
        ("what_has_arrived_is_answered", what_has_arrived_is_answered),
        ("idle_uses_no_cpu", idle_uses_no_cpu),
        ("short_lived_connections", short_lived_connections),
    ];
    let mut trials = on_one_and_four_shards("lifecycle", &[], &per_shards);
    let others: [(&str, fn()); 12] = [
        ("port_in_use", port_in_use),
        ("address_not_available", address_not_available),
        ("no_such_core", no_such_core),
        ("bad_directives_name_file_and_line", bad_directives_name_file_and_line),
        ("missing_file", missing_file),
        ("help_and_version", help_and_version),
        ("tells_systemd", tells_systemd),
        ("logs_to_a_file", logs_to_a_file),
        ("writes_a_pidfile", writes_a_pidfile),
        ("a_second_sigterm_changes_nothing", a_second_sigterm_changes_nothing),
        ("connections_spread_evenly", connections_spread_evenly),
        ("a_busy_shard_is_waited_for", a_busy_shard_is_waited_for),
    ];
    trials.extend(others.map(|(name, run)| test(format!("lifecycle::{name}"), run)));
    trials
}

fn stops_under_load(shards: usize, signal: i32) {
    let mut server = Server::ringwell(shards, &[]);
    let (answered, broken) = (AtomicU64::new(0), AtomicBool::new(false));
    let address = server.address();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (answered, broken) = (&answered, &broken);
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let pipeline = encode(&["INCR", &format!("key{n}")]).repeat(50);
                while client.try_send(&pipeline).is_ok() {
                    for _ in 0..50 {
                        match client.try_read_value() {
                            Ok(Value::Int(_)) => answered.fetch_add(1, Ordering::Relaxed),
                            Ok(other) => panic!("{other:?}"),
                            // The end is fine anywhere but in the middle of a reply.
                            Err(problem) => {
                                let torn = problem.contains("malformed");
                                return broken.fetch_or(torn, Ordering::Relaxed);
                            }
                        };
                    }
                }
                false
            });
        }
        wait_for("load", || answered.load(Ordering::Relaxed) > 2000);
        server.signal(signal);
        let status = server.wait(ENDS_WITHIN);
        assert_eq!(status.code(), Some(0), "{status}\n{}", server.log());
    });
    assert!(!broken.load(Ordering::Relaxed), "a reply was torn");
}

fn shutdown_forms(shards: usize) {
    for form in ["SHUTDOWN", "SHUTDOWN NOSAVE", "shutdown save now force"] {
        let mut server = Server::ringwell(shards, &[]);
        let mut bystander = server.connect();
        assert_eq!(bystander.run("PING").text(), "PONG");
        let mut client = server.connect();
        client.send(&encode(&form.split(' ').collect::<Vec<_>>()));
        assert_eq!(client.read_until_closed(), b"");
        assert_eq!(bystander.read_until_closed(), b"");
        assert_eq!(server.wait(ENDS_WITHIN).code(), Some(0), "{}", server.log());
    }
    let server = Server::ringwell(shards, &[]);
    let mut client = server.connect();
    assert_eq!(client.run("SHUTDOWN nosuch").text(), "ERR syntax error");
    assert_eq!(client.run("SHUTDOWN ABORT").text(), "ERR No shutdown in progress.");
    assert_eq!(client.run("PING").text(), "PONG");
}

fn what_has_arrived_is_answered(shards: usize) {
    let mut server = Server::ringwell(shards, &[]);
    let mut client = server.connect();
    let pipeline: Vec<u8> = (0..100).flat_map(|n| encode(&["INCR", &format!("key{n}")])).collect();
    client.send(&pipeline);
    // One small write: the first answer shows that all of it has arrived.
    assert_eq!(client.read_value(), Value::Int(1));
    server.signal(libc::SIGTERM);
    for n in 1..100 {
        assert_eq!(client.try_read_value(), Ok(Value::Int(1)), "reply {n}");
    }
    assert_eq!(client.read_until_closed(), b"");
    assert_eq!(server.wait(ENDS_WITHIN).code(), Some(0));
}

fn idle_uses_no_cpu(shards: usize) {
    let server = Server::ringwell(shards, &[]);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.run(&format!("SET key{n} v")), Value::ok());
    }
    // What the work before left to do may be done first.
    std::thread::sleep(Duration::from_millis(500));
    let before = server.cpu_ticks();
    std::thread::sleep(Duration::from_secs(2));
    let used = server.cpu_ticks() - before;
    assert!(used <= 2, "{used} ticks in 2 s with nothing to do");
}

fn short_lived_connections(shards: usize) {
    let server = Server::ringwell(shards, &[]);
    for round in 0..300 {
        let mut client = server.connect();
        match round % 4 {
            0 => drop(client),
            1 => client.send(b"*3\r\n$3\r\nSET\r\n$1\r\na"),
            2 => client.send(b"PING\r\nGET a\r\n"),
            _ => assert_eq!(client.run("PING").text(), "PONG"),
        }
    }
    let connected = || server.info_number("clients", "connected_clients");
    // The one that asks is itself connected.
    wait_for("all to be forgotten", || connected() == 1);
}

/// At the end, one shard learns late that it needs the other, which had nothing left to do until
/// then, and takes its time. Whichever the client is on: one key of each shard.
fn a_busy_shard_is_waited_for() {
    let mut server = Server::ringwell(2, &["--enable-debug-command", "local"]);
    let mut client = server.connect();
    let text = "ab".repeat(1500);
    for key in ["{a}1", "{a}2", "{b}1", "{b}2"] {
        assert_eq!(client.command(&["SET", key, &text]), Value::ok());
    }
    let slow = |tag: &str| encode(&["LCS", &format!("{tag}1"), &format!("{tag}2"), "LEN"]);
    client.send(&[encode(&["DEBUG", "SLEEP", "0.4"]), slow("{a}"), slow("{b}")].concat());
    // The time in which the shard falls asleep with all of it in its hands.
    std::thread::sleep(Duration::from_millis(100));
    server.signal(libc::SIGTERM);
    assert_eq!(client.try_read_value(), Ok(Value::ok()));
    for tag in ["{a}", "{b}"] {
        assert_eq!(client.try_read_value(), Ok(Value::Int(3000)), "{tag}");
    }
    assert_eq!(client.read_until_closed(), b"");
    assert_eq!(server.wait(ENDS_WITHIN).code(), Some(0), "{}", server.log());
}

/// Starts Ringwell expecting that it won't; returns its exit status and what it said.
fn refusal(args: &[&str]) -> (Option<i32>, String) {
    let scratch = Scratch::new("refusal");
    let mut command = Command::new(ringwell());
    command.args(args).current_dir(scratch.path());
    let port = free_port();
    if !args.contains(&"--port") {
        command.args(["--port", &port.to_string()]);
    }
    let mut server = Server::spawn("ringwell", command, port);
    let code = server.wait(ENDS_WITHIN).code();
    (code, server.log())
}

fn assert_refusal(args: &[&str], words: &[&str]) {
    let (code, said) = refusal(args);
    assert!(code.is_some_and(|code| code != 0), "{args:?}: {code:?}\n{said}");
    // What it had logged before is not about the refusal.
    let is_logged = |line: &&str| line.contains(":M ");
    let lines: Vec<&str> = said.lines().filter(|line| !is_logged(line)).collect();
    assert_eq!(lines.len(), 1, "{args:?} was refused in other than one line:\n{said}");
    assert!(said.ends_with(&format!("{}\n", lines[0])), "something follows:\n{said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: {word:?} is not in {said:?}");
    }
}

fn port_in_use() {
    let first = Server::ringwell(1, &[]);
    let port = first.port.to_string();
    let loopback = ["--port", &port, "--bind", "127.0.0.1", "--shards", "2"];
    assert_refusal(&loopback, &[&port, "in use"]);
    assert_refusal(&["--port", &port, "--shards", "1"], &[&port, "in use"]);
    assert_eq!(first.connect().run("PING").text(), "PONG");
    // A listener of any other program, too.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port().to_string();
    let args = ["--port", &port, "--bind", "127.0.0.1"];
    assert_refusal(&args, &[&port, "in use"]);
}

fn address_not_available() {
    assert_refusal(&["--bind", "203.0.113.7"], &["203.0.113.7"]);
    let server = Server::ringwell_bare(&["--bind", "-203.0.113.7", "127.0.0.1"]);
    assert_eq!(server.connect().run("PING").text(), "PONG");
}

fn no_such_core() {
    assert_refusal(&["--cpus", "4000"], &["4000", "cpus"]);
    assert_refusal(&["--cpus", "0-x"], &["cpus"]);
    assert_refusal(&["--shards", "0"], &["shards"]);
}

fn bad_directives_name_file_and_line() {
    let scratch = Scratch::new("directives");
    let file = scratch.file("bad.conf");
    let with = |text: &str| {
        fs::write(&file, text).expect("writing the file");
        file.as_str()
    };
    assert_refusal(&[with("# one\n\nnosuch 1\n")], &["bad.conf", "3", "nosuch"]);
    assert_refusal(&[with("port 1\nmaxclients many\n")], &["bad.conf", "2", "maxclients"]);
    assert_refusal(&[with("port 1 2\n")], &["bad.conf", "1", "port"]);
    assert_refusal(&[with("requirepass \"open\n")], &["bad.conf", "1"]);
    assert_refusal(&[with("allow-from 10.0.0.0/33\n")], &["bad.conf", "1", "allow-from"]);
    assert_refusal(&[with("include nosuch.conf\n")], &["nosuch.conf"]);
    let inner = scratch.file("inner.conf");
    fs::write(&inner, "\nprotected-mode maybe\n").expect("writing the file");
    let outer = format!("loglevel notice\ninclude {inner}\n");
    assert_refusal(&[with(&outer)], &["inner.conf", "2", "protected-mode"]);
    assert_refusal(&["--nosuch", "1"], &["nosuch"]);
    assert_refusal(&["--timeout", "-1"], &["timeout"]);
    for args in [&["--nosuch", "1"][..], &[with("nosuch 1\n")]] {
        assert_eq!(refusal(args).0, Some(1), "{args:?}");
    }
}

fn missing_file() {
    assert_refusal(&["/nosuch/ringwell.conf"], &["/nosuch/ringwell.conf"]);
}

fn help_and_version() {
    let run = |arg: &str| {
        let output =
            Command::new(ringwell()).arg(arg).stdin(Stdio::null()).output().expect("output");
        assert!(output.status.success(), "{arg}: {:?}", output.status);
        String::from_utf8(output.stdout).expect("text")
    };
    let help = run("--help");
    for directive in ["--port", "--protected-mode", "--allow-from", "--shards", "--maxclients"] {
        assert!(help.contains(directive), "{directive} is not in:\n{help}");
    }
    assert!(run("--version").contains(env!("CARGO_PKG_VERSION")));
}

fn tells_systemd() {
    let scratch = Scratch::new("systemd");
    let path = scratch.file("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(ENDS_WITHIN)).expect("a timeout");
    let mut command = Command::new(ringwell());
    command.env("NOTIFY_SOCKET", &path);
    let mut server = Server::start("ringwell", command, &["--bind", "127.0.0.1", "--shards", "2"]);
    let receive = || {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).expect("a notification");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let ready = receive();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready:?}");
    server.signal(libc::SIGTERM);
    let stopping = receive();
    assert!(stopping.lines().any(|line| line == "STOPPING=1"), "{stopping:?}");
    assert_eq!(server.wait(ENDS_WITHIN).code(), Some(0));
}

fn logs_to_a_file() {
    let scratch = Scratch::new("logfile");
    let file = scratch.file("ringwell.log");
    let server = Server::ringwell(1, &["--logfile", &file, "--loglevel", "notice"]);
    wait_for("a line in the log file", || fs::read_to_string(&file).is_ok_and(|t| !t.is_empty()));
    drop(server);
    let text = fs::read_to_string(&file).expect("the log");
    assert!(!text.contains('\x1b'), "colours in a file: {text:?}");
}

fn writes_a_pidfile() {
    let scratch = Scratch::new("pidfile");
    let file = scratch.file("ringwell.pid");
    let mut server = Server::ringwell(1, &["--pidfile", &file]);
    let pid = fs::read_to_string(&file).expect("the pidfile");
    let served = server.info_number("server", "process_id");
    assert_eq!(pid, format!("{served}\n"));
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait(ENDS_WITHIN).code(), Some(0));
    assert!(!fs::exists(&file).expect("a look"), "the pidfile was left behind");
    // As in Redis one that cannot be written is worth a line in the log and no more.
    let server = Server::ringwell(1, &["--pidfile", "/nosuch/ringwell.pid"]);
    assert_eq!(server.connect().run("PING").text(), "PONG");
    assert!(server.log().contains("/nosuch/ringwell.pid"), "{}", server.log());
}

/// `timeout`, for one, signals its child and then its child's group.
fn a_second_sigterm_changes_nothing() {
    let mut server = Server::ringwell(1, &[]);
    let mut client = server.connect();
    // The connection is owed a reply for as long as the client does not read it.
    let value = "x".repeat(16 << 20);
    client.send(&encode(&["SET", "key", &value]));
    assert_eq!(client.read_value(), Value::ok());
    client.send(&encode(&["GET", "key"]));
    std::thread::sleep(Duration::from_millis(100));
    server.signal(libc::SIGTERM);
    wait_for("the signal", || server.log().contains("Received SIGTERM"));
    server.signal(libc::SIGTERM);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(client.read_value(), Value::bulk(&value));
    assert_eq!(server.wait(ENDS_WITHIN).code(), Some(0), "{}", server.log());
}

/// 100 connections over 4 shards end within 10 % of even, in spite of the kernel's spreading.
fn connections_spread_evenly() {
    const CONNECTIONS: usize = 100;
    let server = Server::ringwell(4, &[]);
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.run("PING").text(), "PONG");
    }
    let counts = connections_per_shard(&mut clients[0]);
    assert_eq!(counts.iter().sum::<usize>(), CONNECTIONS, "{counts:?}");
    let even = CONNECTIONS as f64 / counts.len() as f64;
    let uneven = counts.iter().any(|count| (*count as f64 - even).abs() > even * 0.1 + 0.5);
    assert!(counts.len() == 4 && !uneven, "{counts:?}");
}

/// From the lines of INFO's section on shards: `shard0:connections=25,...`.
fn connections_per_shard(client: &mut Client) -> Vec<usize> {
    let fields = info(client, "shards");
    fields
        .iter()
        .filter(|(name, _)| name.starts_with("shard") && !name.starts_with("shards"))
        .map(|(_, value)| {
            let count = value.split(',').find_map(|part| part.strip_prefix("connections="));
            count.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{fields:?}"))
        })
        .collect()
}
