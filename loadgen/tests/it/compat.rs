//! `loadgen compat`: against real servers, and laid beside redis-benchmark.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::support::fake::{Fake, Say};
use crate::support::program::{finish, interrupt};
use crate::support::server::wait_for;
use crate::support::{
    Kind, Need, Output, Scratch, Server, beside_others, loadgen, loadgen_with, on_both_servers,
    program, spawn, test, test_with,
};

pub fn trials() -> Vec<Trial> {
    let both = [Need::RedisServer, Need::RedisBenchmark];
    let mut trials = on_both_servers(
        "compat",
        &[
            ("string_tests_in_every_format", string_tests_in_every_format),
            ("a_command_of_the_user", a_command_of_the_user),
            ("connections_may_be_made_anew", connections_may_be_made_anew),
        ],
    );
    trials.extend([
        test_with(&[Need::RedisBenchmark], "compat::it_sends_the_same_bytes", same_bytes),
        test_with(&both, "compat::it_prints_the_same_formats", same_formats),
        test_with(&[Need::RedisServer], "compat::all_tests_on_redis", all_tests),
        test_with(&[Need::RedisServer], "compat::a_cluster", a_cluster),
        test_with(&[Need::RedisServer], "compat::the_last_argument_from_stdin", from_stdin),
        test_with(&[Need::RedisServer], "compat::idle_and_endless", idle_and_endless),
        test_with(&[Need::RedisServer], "compat::misses_are_not_valid", misses),
        test("compat::a_refused_test_does_not_end_the_others", refused_test),
        test("compat::bad_arguments", bad_arguments),
        test("compat::the_name_redis_benchmark_is_enough", by_name),
    ]);
    trials
}

fn compat(server: &Server, args: &[&str]) -> Output {
    let port = server.port.to_string();
    loadgen(&[&["compat", "-p", &port][..], args].concat())
}

/// The last state of every line that is rewritten, without the blanks that erase.
fn settled(out: &str) -> Vec<&str> {
    out.lines().map(|line| line.rsplit('\r').next().unwrap_or(line)).collect()
}

fn string_tests_in_every_format(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start(kind);
    let args = ["-t", "ping,set,get,incr,mset", "-n", "1000", "-c", "5", "-P", "4", "-r", "50"];

    let quiet = compat(&server, &[&args[..], &["-q"]].concat()).expect_status(0);
    let titles = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"];
    let lines: Vec<&str> = settled(&quiet.out).into_iter().filter(|l| !l.is_empty()).collect();
    assert_eq!(lines.len(), titles.len(), "{}", quiet.out);
    for (line, title) in lines.iter().zip(titles) {
        assert!(line.starts_with(&format!("{title}: ")), "{line}");
        assert!(line.contains(" requests per second, p50=") && line.ends_with(" msec"), "{line}");
    }

    let csv = compat(&server, &[&args[..], &["--csv"]].concat()).expect_status(0);
    let rows: Vec<&str> = csv.out.lines().collect();
    assert_eq!(rows.len(), titles.len() + 1, "{}", csv.out);
    for row in &rows {
        assert_eq!(row.split("\",\"").count(), 8, "{row}");
    }

    let full = compat(&server, &[&args[..], &["--threads", "2"]].concat()).expect_status(0);
    for title in titles {
        assert!(full.out.contains(&format!("====== {title} ======\n")), "{title}: {}", full.out);
    }
    assert_eq!(full.out.matches("\n  1000 requests completed in ").count(), titles.len());
    assert_eq!(full.out.matches("\n  multi-thread: yes\n  threads: 2\n").count(), titles.len());
    assert_eq!(full.out.matches("\n100.000% <= ").count(), 2 * titles.len());
}

fn a_command_of_the_user(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start(kind);
    let args = ["-n", "500", "-r", "10", "-q", "SET", "user:__rand_int__", "__rand_int__"];
    let output = compat(&server, &args).expect_status(0);
    assert!(output.out.contains("SET user:__rand_int__ __rand_int__: "), "{}", output.out);
    let size = server.call("DBSIZE").expect("an answer");
    assert_eq!(size, ":10\r\n", "keys 0 to 9");

    let refused = compat(&server, &["-n", "10", "-q", "NOSUCHCOMMAND", "x"]).expect_status(1);
    assert!(refused.err.contains("Error from server: "), "{}", refused.err);
    assert!(refused.err.contains("NOSUCHCOMMAND"), "{}", refused.err);
}

fn connections_may_be_made_anew(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start(kind);
    let args = ["-n", "200", "-c", "4", "-k", "0", "-t", "ping_mbulk"];
    let output = compat(&server, &args).expect_status(0);
    assert!(output.out.contains("  200 requests completed in "), "{}", output.out);
    assert!(output.out.contains("  keep alive: 0\n"), "{}", output.out);
    let stats = server.call("INFO stats").expect("INFO");
    let connections = stats.lines().find_map(|l| l.strip_prefix("total_connections_received:"));
    let connections: u64 = connections.expect("the field").trim().parse().expect("a number");
    assert!(connections >= 200, "{connections}");
}

fn all_tests() {
    let _turn = beside_others();
    let server = Server::start(Kind::Redis);
    let output = compat(&server, &["-n", "300", "-c", "3", "-q"]).expect_status(0);
    assert_eq!(output.out.matches(" requests per second, ").count(), 21, "{}", output.out);
    assert!(output.out.contains("\rLRANGE_600 (first 600 elements): "), "{}", output.out);
}

/// Runs redis-benchmark, which says nothing on standard error when all is well.
fn redis_benchmark(port: u16, args: &[&str]) -> String {
    let output = Command::new("redis-benchmark")
        .args(["-p", &port.to_string()])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("running redis-benchmark");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What the tests send, without how connections introduce themselves.
fn same_bytes() {
    let _turn = beside_others();
    let tests = "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange,mset";
    for args in [
        &["-t", tests][..],
        // One key only, so that both choose the same at random.
        &["-t", tests, "-r", "1"],
        &["-t", "set,mset,lpush,hset", "-d", "100"],
        &["-r", "1", "EVAL", "return __rand_int__", "0", "key:__rand_int__"],
    ] {
        let bytes = |run: &dyn Fn(u16)| {
            let fake = Fake::answering(|_| Say::Reply(b"+OK\r\n".to_vec()));
            run(fake.port);
            fake.seen(|name| !["CONFIG", "CLIENT", "INFO", "HELLO", "SELECT"].contains(&name))
        };
        let args = [&["-n", "2", "-c", "1", "-q"][..], args].concat();
        let theirs = bytes(&|port| {
            redis_benchmark(port, &args);
        });
        let ours = bytes(&|port| {
            let port = port.to_string();
            loadgen(&[&["compat", "-p", &port][..], &args].concat()).expect_status(0);
        });
        let shown = |all: &[Vec<u8>]| -> Vec<String> {
            all.iter().map(|raw| raw.escape_ascii().to_string()).collect()
        };
        assert!(!theirs.is_empty());
        assert_eq!(shown(&ours), shown(&theirs), "{args:?}");
    }
}

/// Numbers become `#`, so that the shape remains.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit() && c != '.') {
        let trimmed = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if trimmed.len() < part.len() && part.starts_with(|c: char| c.is_ascii_digit()) {
            shape.push('#');
        }
        shape.push_str(trimmed);
    }
    shape
}

fn same_formats() {
    let _turn = beside_others();
    let server = Server::start(Kind::Redis);
    let common = ["-n", "500", "-c", "5", "-t", "set,get,lrange_100"];
    for format in [&["-q"][..], &["--csv"], &["--threads", "2", "-q"]] {
        let args = [&common[..], format].concat();
        let theirs = redis_benchmark(server.port, &args);
        let ours = compat(&server, &args).expect_status(0).out;
        let shapes = |out: &str| settled(out).iter().map(|l| shape(l)).collect::<Vec<_>>();
        assert_eq!(shapes(&ours), shapes(&theirs), "{format:?}");
    }
    // The full format: percentiles that no two runs share are left out.
    let full = |out: &str| -> Vec<String> {
        let lines = settled(out).into_iter().filter(|line| !line.contains("% <= "));
        // Columns are padded to the width of their numbers.
        lines
            .map(|line| shape(&line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
            .collect()
    };
    let theirs = redis_benchmark(server.port, &common);
    let ours = compat(&server, &common).expect_status(0).out;
    assert_eq!(full(&ours), full(&theirs));
    let widths = |out: &str| -> Vec<usize> {
        out.lines().filter(|line| line.ends_with("max")).map(str::len).collect()
    };
    assert_eq!(widths(&ours), widths(&theirs));
    let percentile_lines = |out: &str| -> Vec<String> {
        let lines = out.lines().filter(|line| line.contains("% <= "));
        let mut shapes: Vec<String> = lines.map(shape).collect();
        shapes.dedup();
        shapes
    };
    assert_eq!(percentile_lines(&ours), percentile_lines(&theirs));
}

fn a_cluster() {
    let _turn = beside_others();
    let server = Server::start_with(Kind::Redis, &["--cluster-enabled", "yes"]);
    let answer = server.call("CLUSTER ADDSLOTSRANGE 0 16383").expect("an answer");
    assert_eq!(answer, "+OK\r\n");
    wait_for("the cluster to be whole", || {
        server.call("CLUSTER INFO").is_ok_and(|info| info.contains("cluster_state:ok"))
    });
    let args = ["--cluster", "-n", "500", "-c", "4", "-t", "set,get,mset,lrange_100", "-r", "100"];
    let output = compat(&server, &args).expect_status(0);
    let out = &output.out;
    assert!(out.starts_with("Cluster has 1 master nodes:\n\nMaster 0: "), "{out}");
    assert!(out.contains("  cluster mode: yes (1 masters)\n  node [0] configuration:\n"), "{out}");
    assert!(out.contains("    save: NONE\n    appendonly: no\n"), "{out}");
    assert!(!output.err.contains("CROSSSLOT"), "{}", output.err);

    let alone = Server::start(Kind::Redis);
    let refused = compat(&alone, &["--cluster", "-n", "10", "-t", "get"]).expect_status(1);
    assert!(refused.err.contains("cluster"), "{}", refused.err);
}

fn from_stdin() {
    let _turn = beside_others();
    let server = Server::start(Kind::Redis);
    let mut command = Command::new(program());
    command.args(["compat", "-p", &server.port.to_string(), "-x", "-n", "5", "-q", "SET", "told"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting");
    child.stdin.take().expect("a pipe").write_all(b"by stdin").expect("writing");
    let output = finish(child).expect_status(0);
    assert!(output.out.contains("SET told by stdin: "), "{}", output.out);
    assert_eq!(server.call("GET told").expect("an answer"), "$8\r\nby stdin\r\n");
}

fn idle_and_endless() {
    let _turn = beside_others();
    let server = Server::start(Kind::Redis);
    let start = |args: &[&str]| {
        let mut command = Command::new(program());
        command.args(["compat", "-p", &server.port.to_string()]).args(args);
        spawn(command)
    };
    let clients = || {
        let info = server.call("INFO clients").expect("INFO");
        let count = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        count.expect("the field").trim().parse::<u64>().expect("a number")
    };
    let idle = start(&["-I", "-c", "7"]);
    // Whoever asks is a client too.
    wait_for("seven idle connections", || clients() >= 8);
    interrupt(&idle);
    let output = finish(idle);
    assert!(output.out.starts_with("Creating 7 idle connections"), "{}", output.out);

    let endless = start(&["-l", "-n", "100", "-q", "-t", "incr"]);
    wait_for("a third pass", || counted(&server) > 300);
    interrupt(&endless);
    let output = finish(endless);
    assert!(output.out.matches("INCR: ").count() >= 3, "{}", output.out);

    // With passes this short the interrupt often comes between two of them.
    for _ in 0..10 {
        let before = counted(&server);
        let endless = start(&["-l", "-n", "1", "-c", "1", "-q", "-t", "incr"]);
        wait_for("a second pass", || counted(&server) > before + 1);
        interrupt(&endless);
        assert_ne!(finish(endless).status, 0, "ended before it was interrupted");
    }
}

/// What the test INCR counted up to.
fn counted(server: &Server) -> u64 {
    let value = server.call("GET counter:__rand_int__").expect("an answer");
    value.lines().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn misses() {
    let _turn = beside_others();
    let server = Server::start(Kind::Redis);
    let args = ["-n", "200", "-r", "1000000", "-q", "-t"];
    let empty = compat(&server, &[&args[..], &["get"]].concat()).expect_status(0);
    assert!(empty.err.contains("GET: NOT VALID: 0.0 % hits"), "{}", empty.err);
    assert!(empty.err.contains("verdict: NOT VALID: 1 test"), "{}", empty.err);
}

fn refused_test() {
    let _turn = beside_others();
    let fake = Fake::answering(|words| {
        Say::Reply(match words[0].as_str() {
            "LPUSH" => b"-ERR unknown command 'LPUSH'\r\n".to_vec(),
            _ => b"+OK\r\n".to_vec(),
        })
    });
    let port = fake.port.to_string();
    let output = loadgen(&["compat", "-p", &port, "-n", "20", "-q", "-t", "incr,lpush,rpush"])
        .expect_status(1);
    let lines = settled(&output.out);
    assert!(lines[0].starts_with("INCR: ") && lines[0].contains("per second"), "{lines:?}");
    assert!(output.out.contains("RPUSH: ") && !output.out.contains("LPUSH: 2"), "{lines:?}");
    let refusals = output.err.lines().filter(|l| l.contains("Error from server")).count();
    assert_eq!(refusals, 1, "{}", output.err);
}

fn bad_arguments() {
    for (args, part) in [
        (&["-z"][..], "Invalid option \"-z\" or option argument missing"),
        (&["-n"], "Invalid option \"-n\" or option argument missing"),
        (&["-t", "nosuch"], "there is no test \"nosuch\""),
        (&["-n", "many"], "many is not a number"),
        (&["-u", "http://h"], "Invalid URI scheme"),
        (&["--tls"], "not supported"),
    ] {
        let output = loadgen(&[&["compat"][..], args].concat()).expect_status(1);
        assert!(output.err.contains(part), "{part}: {}", output.err);
    }
    let help = loadgen(&["compat", "--help"]).expect_status(0);
    assert!(help.out.contains("--dbnum") && help.out.contains("-P <"), "{}", help.out);
}

fn by_name() {
    let scratch = Scratch::new("name");
    let path = scratch.path().join("redis-benchmark");
    symlink(program(), &path).expect("a link");
    let mut command = Command::new(&path);
    command.arg("--version");
    let output = loadgen_with(command).expect_status(0);
    assert!(output.out.starts_with("redis-benchmark "), "{}", output.out);
}
