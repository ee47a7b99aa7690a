//! Real clients: redis-cli, redis-benchmark, redis-py, ioredis and the `redis` crate.

use std::io::Write;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use redis::{Commands, ConnectionLike, TypedCommands};

use crate::support::{Need, Server, encode, test, test_with};

/// A client's way to use a server.
type Use = fn(&Server);

pub fn trials() -> Vec<Trial> {
    let uses: [(&str, &[Need], Use); 10] = [
        ("redis_cli_commands", &[Need::RedisCli], redis_cli_commands),
        ("redis_cli_pipe", &[Need::RedisCli], redis_cli_pipe),
        ("redis_cli_scans", &[Need::RedisCli], redis_cli_scans),
        ("redis_benchmark_default_tests", &[Need::RedisBenchmark], redis_benchmark_default_tests),
        ("redis_benchmark_csv", &[Need::RedisBenchmark], redis_benchmark_csv),
        ("redis_py", &[Need::RedisPy], |server| python(server, "redis_py.py")),
        ("redis_py_pipeline", &[Need::RedisPy], |server| python(server, "redis_py_pipeline.py")),
        ("ioredis_pipeline", &[IOREDIS], ioredis_pipeline),
        ("redis_crate_resp2", &[], |server| redis_crate(server, "")),
        ("redis_crate_resp3", &[], |server| redis_crate(server, "?protocol=resp3")),
    ];
    let mut trials = Vec::new();
    for (name, needs, used) in uses {
        for shards in [1, 4] {
            let run = move || used(&Server::ringwell(shards, &[]));
            let name = format!("clients::{name}_on_{shards}_shards");
            trials.push(match needs {
                [] => test(name, run),
                needs => test_with(needs, name, run),
            });
        }
    }
    trials.push(test_with(&[Need::RedisCli], "clients::redis_cli_with_password", || {
        let server = Server::ringwell(2, &["--requirepass", "s3cret"]);
        assert!(redis_cli(&server, &["PING"]).contains("NOAUTH"));
        assert_eq!(redis_cli(&server, &["--no-auth-warning", "-a", "s3cret", "PING"]), "PONG\n");
        let user = ["--no-auth-warning", "--user", "default", "--pass", "s3cret", "-3", "PING"];
        assert_eq!(redis_cli(&server, &user), "PONG\n");
    }));
    trials
}

/// What redis-cli prints on either stream.
fn redis_cli(server: &Server, args: &[&str]) -> String {
    output(Command::new("redis-cli").args(["-p", &server.port.to_string()]).args(args), b"")
}

fn output(command: &mut Command, input: &[u8]) -> String {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("starting the client");
    child.stdin.take().expect("its input").write_all(input).expect("writing its input");
    let output = child.wait_with_output().expect("its output");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn redis_cli_commands(server: &Server) {
    assert_eq!(redis_cli(server, &["SET", "k", "v w"]), "OK\n");
    assert_eq!(redis_cli(server, &["GET", "k"]), "v w\n");
    assert_eq!(redis_cli(server, &["-n", "3", "GET", "k"]), "\n");
    assert_eq!(redis_cli(server, &["-3", "--json", "MGET", "k", "no"]), "[\"v w\",null]\n");
    assert_eq!(redis_cli(server, &["-r", "5", "INCR", "n"]), "1\n2\n3\n4\n5\n");
    assert_eq!(redis_cli(server, &["--csv", "MGET", "k", "n"]), "\"v w\",\"5\"\n");
    assert!(redis_cli(server, &["INFO"]).contains("redis_version:7.2.4"));
    assert!(redis_cli(server, &["nosuch"]).contains("ERR unknown command"));
    // The interactive mode reads the table of commands first.
    let typed = output(
        Command::new("redis-cli").args(["-p", &server.port.to_string()]),
        b"SET a 1\nGET a\nHELLO 3\nGET nosuch\n",
    );
    assert!(typed.contains("OK\n") && typed.contains("1\n"), "{typed}");
}

fn redis_cli_pipe(server: &Server) {
    let commands: Vec<u8> = (0..20_000)
        .flat_map(|n| encode(&["SET", &format!("key:{n}"), &format!("value {n}")]))
        .collect();
    let said = output(
        Command::new("redis-cli").args(["-p", &server.port.to_string(), "--pipe"]),
        &commands,
    );
    assert!(said.contains("errors: 0, replies: 20000"), "{said}");
    assert_eq!(redis_cli(server, &["DBSIZE"]), "20000\n");
    assert_eq!(redis_cli(server, &["GET", "key:12345"]), "value 12345\n");
}

fn redis_cli_scans(server: &Server) {
    for n in 0..500 {
        server.connect().run(&format!("SET key:{n} {}", "x".repeat(n)));
    }
    let scanned = redis_cli(server, &["--scan", "--pattern", "key:*"]);
    let mut keys: Vec<&str> = scanned.lines().collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 500, "{scanned}");
    let big = redis_cli(server, &["--bigkeys"]);
    assert!(big.contains("Biggest string found '\"key:499\"' has 499 bytes"), "{big}");
}

/// The names of redis-benchmark's default tests that Ringwell has commands for.
const BENCHMARKS: &str = "ping_inline,ping_mbulk,set,get,incr,mset";

fn redis_benchmark(server: &Server, args: &[&str]) -> String {
    let port = server.port.to_string();
    let said = output(
        Command::new("redis-benchmark").args(["-p", &port, "-t", BENCHMARKS]).args(args),
        b"",
    );
    assert!(!said.to_lowercase().contains("error"), "{said}");
    assert!(!said.contains("WARNING"), "{said}");
    said
}

fn redis_benchmark_default_tests(server: &Server) {
    for args in [&["-n", "3000"][..], &["-n", "20000", "-P", "16", "--threads", "2"]] {
        let said = redis_benchmark(server, &[args, &["-q", "-r", "1000", "-d", "64"]].concat());
        for name in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"] {
            let line = said.split(['\r', '\n']).rfind(|line| line.starts_with(name));
            assert!(line.is_some_and(|l| l.contains("requests per second")), "{name}: {said}");
        }
    }
}

fn redis_benchmark_csv(server: &Server) {
    let said = redis_benchmark(server, &["-n", "2000", "--csv"]);
    let rows: Vec<&str> = said.lines().filter(|line| line.starts_with('"')).collect();
    assert!(rows[0].starts_with("\"test\",\"rps\""), "{said}");
    assert_eq!(rows.len(), 7, "{said}");
}

/// The folder of the clients' programs.
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients");

fn python(server: &Server, program: &str) {
    let program = format!("{PROGRAMS}/{program}");
    let said = output(Command::new("python3").arg(program).arg(server.port.to_string()), b"");
    assert!(said.ends_with("all good\n"), "{said}");
}

const IOREDIS: Need = Need::Other {
    name: "ioredis",
    is_met: || node().args(["-e", "require('ioredis')"]).output().is_ok_and(|o| o.status.success()),
};

/// Node.js, with the modules that `npm install --prefix target/npm` has put there.
fn node() -> Command {
    const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/npm/node_modules");
    let mut node = Command::new("node");
    node.env("NODE_PATH", MODULES);
    node
}

fn ioredis_pipeline(server: &Server) {
    let program = format!("{PROGRAMS}/ioredis_pipeline.js");
    let said = output(node().arg(program).arg(server.port.to_string()), b"");
    assert!(said.ends_with("all good\n"), "{said}");
}

fn redis_crate(server: &Server, options: &str) {
    let url = format!("redis://127.0.0.1:{}/{options}", server.port);
    let client = redis::Client::open(url).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    let () = Commands::set(&mut connection, "k", "v").expect("SET");
    assert_eq!(TypedCommands::get(&mut connection, "k").expect("GET").as_deref(), Some("v"));
    assert_eq!(TypedCommands::get(&mut connection, "nosuch").expect("GET"), None);
    let counts: (i64, i64, Option<String>) = redis::pipe()
        .cmd("INCR")
        .arg("n")
        .cmd("INCRBY")
        .arg("n")
        .arg(41)
        .cmd("GET")
        .arg("nosuch")
        .query(&mut connection)
        .expect("a pipeline");
    assert_eq!(counts, (1, 42, None));
    for n in 0..300 {
        let () = Commands::set_ex(&mut connection, format!("key:{n}"), n, 1000).expect("SET EX");
    }
    let scanned: Vec<String> = Commands::scan_match(&mut connection, "key:*")
        .expect("SCAN")
        .collect::<Result<_, _>>()
        .expect("keys");
    let mut unique = scanned.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 300);
    let wrong: redis::RedisResult<i64> = redis::cmd("INCR").arg("k").query(&mut connection);
    let error = wrong.expect_err("not a number");
    assert!(error.to_string().contains("not an integer"), "{error}");
    let config: std::collections::HashMap<String, String> =
        redis::cmd("CONFIG").arg("GET").arg("maxclients").query(&mut connection).expect("a map");
    assert_eq!(config["maxclients"], "10000");
    assert!(connection.check_connection());
}
