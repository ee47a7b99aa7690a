//! Sockets and the process at their limits: descriptors that run out, clients that close half of a
//! connection, kernels that refuse, a second signal.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::support::control_group::ControlGroup;
use crate::support::need::PerShards;
use crate::support::server::{free_port, ringwell};
use crate::support::{
    Client, Scratch, Server, Value, encode, on_one_and_four_shards, test, test_where, wait_for,
};

const ENDS_WITHIN: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    let per_shards: [PerShards; 4] = [
        ("half_closed_clients_are_answered", half_closed_clients_are_answered),
        ("out_of_descriptors", out_of_descriptors),
        ("slow_readers_do_not_hold_up_the_end", slow_readers_do_not_hold_up_the_end),
        ("large_replies_to_slow_readers", large_replies_to_slow_readers),
    ];
    let mut trials = on_one_and_four_shards("runtime", &[], &per_shards);
    let others: [(&str, fn()); 7] = [
        ("a_second_signal_ends_at_once", a_second_signal_ends_at_once),
        ("io_uring_blocked_by_seccomp", io_uring_blocked_by_seccomp),
        ("too_little_locked_memory", too_little_locked_memory),
        ("unix_socket", unix_socket),
        ("several_addresses", several_addresses),
        ("loglevel_at_run_time", loglevel_at_run_time),
        ("few_descriptors_lower_maxclients", few_descriptors_lower_maxclients),
    ];
    trials.extend(others.map(|(name, run)| test(format!("runtime::{name}"), run)));
    trials.push(test_where(
        ControlGroup::usable(),
        "runtime::a_control_group_decides_how_many_shards",
        a_control_group_decides_how_many_shards,
    ));
    trials
}

/// As `printf ... | nc -N` does: the requests, the end of the stream, then reading.
fn half_closed_clients_are_answered(shards: usize) {
    let server = Server::ringwell(shards, &[]);
    for round in 0..20 {
        let mut stream = TcpStream::connect(server.address()).expect("connecting");
        stream.set_read_timeout(Some(ENDS_WITHIN)).expect("a timeout");
        let keys = (0..50).map(|key| format!("{round}:{key}"));
        let requests: Vec<u8> = keys.flat_map(|key| encode(&["INCR", &key])).collect();
        stream.write_all(&requests).expect("writing");
        stream.shutdown(Shutdown::Write).expect("closing half");
        let mut replies = Vec::new();
        stream.read_to_end(&mut replies).expect("an orderly end");
        assert_eq!(String::from_utf8_lossy(&replies), ":1\r\n".repeat(50), "round {round}");
    }
}

/// Accepting stops when descriptors run out, and goes on when there are some again.
fn out_of_descriptors(shards: usize) {
    let open = |server: &Server| {
        fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("descriptors").count() as u64
    };
    let needed = open(&Server::ringwell(shards, &[]));
    let mut command = Command::new(ringwell());
    // SAFETY: system calls only.
    unsafe { command.pre_exec(move || limit_open_files(needed + 5)) };
    let shards = shards.to_string();
    let server = Server::start("ringwell", command, &["--bind", "127.0.0.1", "--shards", &shards]);
    // The kernel completes these connections; the server cannot accept all of them.
    let clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    wait_for("descriptors to run out", || server.log().contains("cannot accept"));
    std::thread::scope(|scope| {
        for mut client in clients {
            scope.spawn(move || assert_eq!(client.run("PING").text(), "PONG"));
        }
    });
    assert_eq!(server.connect().run("PING").text(), "PONG");
}

/// Limits this process for good.
fn limit_open_files(files: u64) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
    // SAFETY: the limits live during the call. A privileged process could raise them again.
    let refused = unsafe {
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0
            || libc::getuid() == 0 && libc::setuid(NOBODY) != 0
    };
    if refused { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// An unprivileged user.
const NOBODY: libc::uid_t = 65_534;

/// Clients that never read cannot be flushed: the server waits for a moment, not for ever.
fn slow_readers_do_not_hold_up_the_end(shards: usize) {
    let mut server = Server::ringwell(shards, &["--shutdown-timeout", "1"]);
    let stuck = stuck_client(&server);
    server.signal(libc::SIGTERM);
    let asked = Instant::now();
    assert_eq!(server.wait(ENDS_WITHIN).code(), Some(0), "{}", server.log());
    assert!(asked.elapsed() < Duration::from_secs(5), "took {:?}", asked.elapsed());
    drop(stuck);
}

fn a_second_signal_ends_at_once() {
    let mut server = Server::ringwell(2, &["--shutdown-timeout", "60"]);
    let stuck = stuck_client(&server);
    let asked = Instant::now();
    server.signal(libc::SIGTERM);
    wait_for("the first signal to be seen", || server.log().contains("SIGTERM"));
    server.signal(libc::SIGINT);
    assert_eq!(server.wait(ENDS_WITHIN).code(), Some(1), "{}", server.log());
    assert!(asked.elapsed() < Duration::from_secs(2), "took {:?}", asked.elapsed());
    drop(stuck);
}

/// A client with megabytes of replies that it does not read.
fn stuck_client(server: &Server) -> TcpStream {
    let value = "v".repeat(8 << 20);
    assert_eq!(server.connect().command(&["SET", "big", &value]), Value::ok());
    let mut stream = TcpStream::connect(server.address()).expect("connecting");
    stream.set_read_timeout(Some(ENDS_WITHIN)).expect("a timeout");
    stream.write_all(&encode(&["GET", "big"]).repeat(4)).expect("writing");
    // A byte of it shows that the rest is on its way, and stuck.
    stream.peek(&mut [0]).expect("the beginning of a reply");
    stream
}

/// Sends that block: the socket is full many times over before the client has read everything.
fn large_replies_to_slow_readers(shards: usize) {
    let server = Server::ringwell(shards, &[]);
    let value = "v".repeat(3_000_000);
    let mut other = server.connect();
    for key in ["a", "b", "c"] {
        assert_eq!(other.command(&["SET", key, &value]), Value::ok());
    }
    let mut client = server.connect();
    client.send(&[encode(&["GET", "a"]), encode(&["GET", "b"]), encode(&["GET", "c"])].concat());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(other.run("PING").text(), "PONG");
    for _ in 0..3 {
        assert!(client.read_value() == Value::bulk(&value));
        assert_eq!(other.run("PING").text(), "PONG");
    }
    assert_eq!(client.run("PING").text(), "PONG");
}

/// Starts a server that must refuse, set up by `prepare` in its process before it runs.
fn refusal(prepare: fn() -> std::io::Result<()>) -> String {
    let port = free_port();
    let mut command = Command::new(ringwell());
    command.args(["--port", &port.to_string(), "--shards", "1"]);
    // SAFETY: the functions given make system calls only.
    unsafe { command.pre_exec(prepare) };
    let mut server = Server::spawn("ringwell", command, port);
    assert_eq!(server.wait(ENDS_WITHIN).code(), Some(1), "{}", server.log());
    let said = server.log();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

fn io_uring_blocked_by_seccomp() {
    let said = refusal(|| block_io_uring(libc::EPERM));
    assert!(said.contains("seccomp") && said.contains("--security-opt"), "{said}");
    let said = refusal(|| block_io_uring(libc::ENOSYS));
    assert!(said.contains("no io_uring") && said.contains("seccomp"), "{said}");
}

/// What a container's profile does: `io_uring_setup` fails with this error.
fn block_io_uring(error: i32) -> std::io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let filter = [
        // The number of the system call is the first field of `struct seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SYS_io_uring_setup as u32,
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | error as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which lives during the call.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
        {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

fn too_little_locked_memory() {
    let said = refusal(|| {
        let limit = libc::rlimit { rlim_cur: 65_536, rlim_max: 65_536 };
        // SAFETY: the limits live during the call.
        match unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    });
    assert!(said.contains("65536") && said.contains("ulimit -l"), "{said}");
}

fn unix_socket() {
    let scratch = Scratch::new("unix");
    let path = scratch.file("socket");
    let mut server = Server::ringwell(2, &["--unixsocket", &path, "--unixsocketperm", "700"]);
    assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o700);
    // More than one, so that the second core gets some.
    for _ in 0..6 {
        let mut stream = UnixStream::connect(&path).expect("connecting");
        stream.set_read_timeout(Some(ENDS_WITHIN)).expect("a timeout");
        stream.write_all(b"PING\r\n").expect("writing");
        let mut reply = [0; 7];
        stream.read_exact(&mut reply).expect("an answer");
        assert_eq!(&reply, b"+PONG\r\n");
    }
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait(ENDS_WITHIN).code(), Some(0));
    assert!(!fs::exists(&path).expect("looking"), "the file is still there");
}

fn several_addresses() {
    let server =
        Server::ringwell_bare(&["--shards", "2", "--bind", "127.0.0.1", "127.0.0.3", "-::1"]);
    for host in ["127.0.0.1", "127.0.0.3"] {
        assert_eq!(Client::connect((host, server.port)).run("PING").text(), "PONG");
    }
    assert!(TcpStream::connect(("127.0.0.2", server.port)).is_err());
    // IPv6 may be off where the tests run; the server did not mind.
    if let Ok(address) = format!("[::1]:{}", server.port).parse::<std::net::SocketAddr>()
        && TcpStream::connect(address).is_ok()
    {
        let list = Client::connect(address).run("CLIENT LIST").text();
        assert!(list.contains("addr=[::1]:"), "{list}");
    }
}

fn loglevel_at_run_time() {
    let server = Server::ringwell(1, &["--loglevel", "nothing"]);
    assert_eq!(server.log(), "");
    let mut client = server.connect();
    assert_eq!(client.run("CONFIG SET loglevel debug"), Value::ok());
    let mut wrong = server.connect();
    wrong.send(b"*1\r\n+\r\n");
    assert!(wrong.read_value().is_error());
    wait_for("the protocol error to be logged", || server.log().contains("protocol error"));
}

fn few_descriptors_lower_maxclients() {
    let mut command = Command::new(ringwell());
    // SAFETY: system calls only.
    unsafe { command.pre_exec(|| limit_open_files(200)) };
    let args = ["--bind", "127.0.0.1", "--shards", "1", "--maxclients", "5000"];
    let server = Server::start("ringwell", command, &args);
    assert!(server.log().contains("maxclients is now 136"), "{}", server.log());
    let answer = server.connect().command(&["CONFIG", "GET", "maxclients"]);
    assert!(format!("{answer:?}").contains("136"), "{answer:?}");
}

/// Started with no word about shards, in groups that may use a part of the processors.
fn a_control_group_decides_how_many_shards() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    for (millicpus, expected) in [(1000, 1), (1999, 1), (64_000, processors)] {
        let group = ControlGroup::with_millicpus("ringwell-shards", millicpus).expect("a group");
        let members = group.members();
        let mut command = Command::new(ringwell());
        let own = move || fs::write(&members, std::process::id().to_string());
        // SAFETY: between fork and exec the child has one thread, which writes to a file.
        unsafe { command.pre_exec(own) };
        let server = Server::start("ringwell", command, &["--bind", "127.0.0.1"]);
        let lines = server.info("shards");
        let shards = lines.iter().filter(|(name, _)| name.starts_with("shard")).count() as u64;
        assert_eq!(shards, expected, "{millicpus} thousandths of a processor: {lines:?}");
        assert_eq!(server.connect().run("SET k v"), Value::ok());
    }
}
