//! Tests of `load`, and the files in memory that other tests of this folder use.

use std::collections::BTreeMap;
use std::io;

use super::super::{CpuList, EvictionPolicy, MemoryLimit, ShardCount};
use super::*;

/// Files by their paths; directories are what the paths say.
pub(in crate::config) struct Memory(BTreeMap<PathBuf, String>);

impl Memory {
    pub(in crate::config) fn new(files: &[(&str, &str)]) -> Self {
        Memory(files.iter().map(|(path, text)| (path.into(), text.to_string())).collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).map(|text| text.clone().into_bytes());
        text.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let directory = directory.strip_prefix(".").unwrap_or(directory);
        let first = |path: &PathBuf| {
            let rest = path.strip_prefix(directory).ok()?;
            Some(rest.components().next()?.as_os_str().to_string_lossy().into_owned())
        };
        Ok(self.0.keys().filter_map(first).collect())
    }

    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(Path::new("/work-dir").join(path))
    }
}

fn load(files: &[(&str, &str)], arguments: &[&str]) -> Result<(Config, Source), String> {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    Config::load(&arguments, &Memory::new(files)).map_err(|error| error.to_string())
}

fn with_file(text: &str, arguments: &[&str]) -> Result<Config, String> {
    let arguments = [&["ringwell.conf"], arguments].concat();
    load(&[("ringwell.conf", text)], &arguments).map(|(config, _)| config)
}

fn with_arguments(arguments: &[&str]) -> Result<Config, String> {
    load(&[], arguments).map(|(config, _)| config)
}

#[test]
fn nothing_given_is_the_defaults() {
    let (config, source) = load(&[], &[]).expect("defaults");
    assert_eq!(config, Config::default());
    assert_eq!(source, Source::default());
    assert_eq!(config.port, 6379);
    assert_eq!(config.shards, ShardCount::Auto);
    assert!(config.protected_mode && config.bind.iter().all(|address| address.is_wildcard()));
}

#[test]
fn reads_the_syntax_of_redis_conf() {
    let config = with_file(
        "\u{feff}# a comment\r\n\
         \n\
         \t PORT 7000  \r\n\
         requirepass \"a \\x41\\\"b\"\n\
         unixsocket '/tmp/it''s'\n",
        &[],
    );
    assert!(config.is_err_and(|error| error.starts_with("ringwell.conf:5: unbalanced quotes")));
    let config = with_file(
        "\u{feff}# a comment\r\n\n\t PORT 7000  \r\nrequirepass \"a \\x41\\\"b\"\n\
         maxmemory 2gb\nmaxmemory-policy ALLKEYS-S3FIFO\nbind 10.0.0.5 -::1\n\
         client-output-buffer-limit pubsub 1mb 2kb 3\nclient-output-buffer-limit normal 4 5 6\n\
         allow-from 10.0.0.0/8\nallow-from fd00::/8 10.0.0.0/8\n\
         cpus 0-3,8\nshards 4\nunixsocket /run/r.sock\nunixsocketperm 770\nport 7001\n\
         hash-max-ziplist-entries 5\n",
        &[],
    )
    .expect("a good file");
    assert_eq!(config.port, 7001, "the last one wins");
    assert_eq!(config.requirepass.expose(), b"a A\"b");
    assert_eq!(config.maxmemory, MemoryLimit::Bytes(2 << 30));
    assert_eq!(config.maxmemory_policy, EvictionPolicy::AllkeysS3fifo);
    assert_eq!(config.bind.len(), 2);
    assert!(config.bind[1].optional && !config.bind[0].optional);
    assert_eq!(config.client_output_buffer_limit.pubsub.hard, 1 << 20);
    assert_eq!(config.client_output_buffer_limit.normal.soft, 5);
    assert_eq!(config.client_output_buffer_limit.replica.hard, 256 << 20);
    assert_eq!(config.allow_from.len(), 2);
    assert_eq!(config.cpus, CpuList(vec![0, 1, 2, 3, 8]));
    assert_eq!(config.shards, ShardCount::Fixed(4));
    assert_eq!(config.unixsocketperm, 0o770);
    assert_eq!(config.hash_max_listpack_entries, 5);
}

#[test]
fn arguments_override_the_file() {
    let file = "port 7000\nallow-from 10.0.0.0/8\nmaxmemory 1gb\n";
    let config = with_file(
        file,
        &[
            "--port",
            "7001",
            "--bind",
            "10.0.0.5",
            "127.0.0.1",
            "--maxmemory=70%",
            "--requirepass",
            "s3 cret",
            "--allow-from",
            "fd00::/8",
            "--allow-from",
            "fd00::1",
            "--tcp-backlog 128",
        ],
    )
    .expect("good arguments");
    assert_eq!(config.port, 7001);
    assert_eq!(config.bind.len(), 2);
    assert_eq!(config.maxmemory.bytes(1000), 700);
    assert_eq!(config.requirepass.expose(), b"s3 cret");
    let shown: Vec<_> = config.allow_from.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["fd00::/8", "fd00::1"], "the arguments' list takes the place of the file's");
    assert_eq!(config.tcp_backlog, 128);
    let dashes = with_arguments(&["--requirepass", "--1"]).expect("not a name");
    assert_eq!(dashes.requirepass.expose(), b"--1");
    let bytes = [OsString::from("--requirepass"), OsStr::from_bytes(b"\xff\xfe").to_owned()];
    let (config, _) = Config::load(&bytes, &Memory::new(&[])).expect("any bytes will do");
    assert_eq!(config.requirepass.expose(), b"\xff\xfe");
}

#[test]
fn the_source_is_the_absolute_path() {
    let (_, source) = load(&[("etc/r.conf", "port 1")], &["etc/r.conf"]).expect("a file");
    assert_eq!(source.file, Some(PathBuf::from("/work-dir/etc/r.conf")));
}

#[test]
fn errors_are_one_line_with_place_and_remedy() {
    for (text, expected) in [
        (
            "\nmaxmemry 1",
            "ringwell.conf:2: unknown directive 'maxmemry': did you mean 'maxmemory'?",
        ),
        (
            "frobnicate-everything 1",
            "ringwell.conf:1: unknown directive 'frobnicate-everything': see ringwell --help for \
             all of them",
        ),
        (
            "port 70000",
            "ringwell.conf:1: bad value '70000' for 'port': argument must be between 0 and 65535 \
             inclusive: write port <number> (0 to 65535)",
        ),
        (
            "port abc",
            "ringwell.conf:1: bad value 'abc' for 'port': argument couldn't be parsed into an \
             integer: write port <number> (0 to 65535)",
        ),
        (
            "port",
            "ringwell.conf:1: bad value for 'port': wrong number of arguments: write port <number> \
             (0 to 65535)",
        ),
        (
            "port 6379 # the usual",
            "ringwell.conf:1: bad value '6379 # the usual' for 'port': wrong number of arguments: \
             a comment needs a line of its own",
        ),
        (
            "daemonize maybe",
            "ringwell.conf:1: bad value 'maybe' for 'daemonize': argument must be 'yes' or 'no': \
             write daemonize <yes|no>",
        ),
        (
            "proto-max-bulk-len 1kb",
            "ringwell.conf:1: bad value '1kb' for 'proto-max-bulk-len': argument must be between \
             1048576 and 4294967295 inclusive: write proto-max-bulk-len <bytes> (1mb to 4294967295)",
        ),
        (
            "bind 10.0.0.300",
            "ringwell.conf:1: bad value '10.0.0.300' for 'bind': '10.0.0.300' is not an IP address: \
             give IPv4 or IPv6 addresses, '*' or '::*'",
        ),
        (
            "bind * 0.0.0.0",
            "ringwell.conf:1: bad value '* 0.0.0.0' for 'bind': '0.0.0.0' is listed twice: list \
             each address once",
        ),
        (
            "allow-from 10.0.0.5/8",
            "ringwell.conf:1: bad value '10.0.0.5/8' for 'allow-from': '10.0.0.5/8' has bits set \
             below its prefix: write 10.0.0.0/8 for the block or 10.0.0.5 for the one address",
        ),
        (
            "cpus 0-3,2",
            "ringwell.conf:1: bad value '0-3,2' for 'cpus': core 2 is listed twice: list each core \
             once",
        ),
        (
            "cpus 0;1",
            "ringwell.conf:1: bad value '0;1' for 'cpus': '0;1' is not a core or a range: write a \
             list such as 0-3,8",
        ),
        (
            "shards 0",
            "ringwell.conf:1: bad value '0' for 'shards': argument must be 'auto' or between 1 and \
             1024 inclusive: write shards <auto|N>",
        ),
        (
            "maxmemory 150%",
            "ringwell.conf:1: bad value '150%' for 'maxmemory': a percentage of the machine's \
             memory must be 1% to 100%: write maxmemory <bytes|N%>",
        ),
        (
            "appendonly yes",
            "ringwell.conf:1: bad value 'yes' for 'appendonly': Ringwell is a cache and keeps \
             nothing on disk: only 'appendonly no' is possible",
        ),
        (
            "replicaof 10.0.0.1 6379",
            "ringwell.conf:1: 'replicaof' is not available: Ringwell has no replication: remove it",
        ),
        (
            "tls-cert-file x",
            "ringwell.conf:1: 'tls-cert-file' is not available: Ringwell has no TLS: put a TLS \
             proxy in front",
        ),
        (
            "port 0",
            "ringwell.conf:1: nothing to listen on: port 0 needs a unixsocket: set one, or change \
             port",
        ),
        (
            "\n\nbind \"\"",
            "ringwell.conf:3: nothing to listen on: an empty bind needs a unixsocket: set one, or \
             change bind",
        ),
        (
            "unixsocketperm 700",
            "ringwell.conf:1: unixsocketperm without a unixsocket: set unixsocket to a path, or \
             remove it",
        ),
        (
            "unixsocket /x\nunixsocketperm 900",
            "ringwell.conf:2: bad value '900' for 'unixsocketperm': argument must be file \
             permissions in octal, such as 700: write unixsocketperm <number> (octal, such as 700)",
        ),
        (
            "requirepass one two",
            "ringwell.conf:1: bad value for 'requirepass': wrong number of arguments: write \
             requirepass <password>",
        ),
        (
            "bind \"\\xff\"",
            "ringwell.conf:1: bad value '\u{fffd}' for 'bind': the value must be valid UTF-8: write \
             bind <address ...>",
        ),
        (
            "client-output-buffer-limit normal 1 2",
            "ringwell.conf:1: bad value 'normal 1 2' for 'client-output-buffer-limit': Wrong number \
             of arguments in buffer limit configuration: write client-output-buffer-limit <class \
             hard soft seconds>",
        ),
    ] {
        assert_eq!(with_file(text, &[]).err().as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn errors_in_arguments_name_the_argument() {
    for (arguments, expected) in [
        (&["--prt", "1"][..], "argument '--prt': unknown directive 'prt': did you mean 'port'?"),
        (&["--prot", "1"], "argument '--prot': unknown directive 'prot': did you mean 'port'?"),
        (
            &["--port", "1", "2"],
            "argument '--port': bad value '1 2' for 'port': wrong number of arguments: write port \
             <number> (0 to 65535)",
        ),
        (
            &["--port", "--bind", "::1"],
            "argument '--port': bad value for 'port': wrong number of arguments: write port \
             <number> (0 to 65535)",
        ),
        (
            &["--port", "0"],
            "argument '--port': nothing to listen on: port 0 needs a unixsocket: set one, or \
             change port",
        ),
        (&["--"], "argument '--': unknown directive '': did you mean 'hz'?"),
        (
            &["nofile.conf"],
            "cannot read the configuration file 'nofile.conf': entity not found: give the path of \
             a file, and directives as --name value",
        ),
    ] {
        let error = with_arguments(arguments).expect_err("wrong");
        let expected =
            expected.replace("did you mean 'hz'?", "see ringwell --help for all of them");
        assert_eq!(error, expected, "{arguments:?}");
    }
}

#[test]
fn includes_take_patterns_and_end() {
    let files = [
        ("etc/main.conf", "include conf.d/*.conf\ninclude \"extra file.conf\"\ntimeout 9"),
        ("etc/conf.d/a.conf", "timeout 1\nmaxclients 7"),
        ("etc/conf.d/b.conf", "timeout 2\ntcp-backlog 3"),
        ("etc/conf.d/.hidden.conf", "port x"),
        ("etc/conf.d/note.txt", "port x"),
        ("etc/extra file.conf", "hz 20\ninclude none*.conf"),
    ];
    let (config, _) = load(&files, &["etc/main.conf"]).expect("good files");
    assert_eq!((config.timeout, config.maxclients, config.tcp_backlog), (9, 7, 3));
    assert_eq!(config.hz, 20);

    let error = load(&[("r.conf", "\ninclude gone.conf")], &["r.conf"]).expect_err("missing");
    assert_eq!(error, "r.conf:2: cannot include 'gone.conf': entity not found");
    let error = load(&[("r.conf", "include r.conf")], &["r.conf"]).expect_err("endless");
    assert!(error.starts_with("r.conf:1: files include each other more than 16 deep"), "{error}");
    let twice = ("b.conf", "include ?.conf\ninclude ?.conf");
    let error = load(&[("a.conf", "include ?.conf"), twice], &["a.conf"]).expect_err("endless");
    assert!(error.contains("deep") || error.contains("more than 1000 files"), "{error}");
    let error = load(&[("r.conf", "include x"), ("x", "\nprt 1")], &["r.conf"]).expect_err("bad");
    assert!(error.starts_with("x:2: unknown directive"), "{error}");
}

/// The lines of the redis.conf that Debian installs.
#[test]
fn a_stock_redis_conf_starts_with_warnings() {
    let text = include_str!("stock_redis.conf");
    let config = with_file(text, &[]).expect("a stock file");
    assert_eq!(config.save.0, []);
    let expected = [
        "ringwell.conf:8: 'daemonize yes' is ignored: Ringwell stays in the foreground; run it \
         under systemd",
        "ringwell.conf:14: 'save' is ignored: Ringwell is a cache and writes no snapshots; remove \
         the line",
    ];
    assert_eq!(config.warnings, expected);
}

/// Whatever a file says, the answer is a configuration or one line.
#[test]
fn random_bytes_are_answered_in_one_line() {
    let words: Vec<&str> = DIRECTIVES.iter().map(|d| d.name).collect();
    let values = [
        "",
        "-1",
        "0",
        "1",
        "yes",
        "18446744073709551616",
        "9gb",
        "99999999999gb",
        "101%",
        "\"",
        "'",
        "\\",
        "\"\\xff\"",
        "10.0.0.0/8",
        "::/0",
        "0-9999",
        "5-",
        "#",
        "a,b",
        "normal",
        "900",
        "\u{0}",
        "é",
        "*",
        "::*",
        "-",
        "KEA",
        "auto",
        "1025",
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let (mut good, mut bad) = (0, 0);
    for _ in 0..4000 {
        let mut line = words[random(words.len())].to_string();
        for _ in 0..random(3) {
            line.push_str([" ", "\t", "  ", ""][random(4)]);
            line.push_str(values[random(values.len())]);
        }
        match with_file(&line, &[]) {
            Ok(_) => good += 1,
            Err(error) => {
                bad += 1;
                assert!(
                    error.starts_with("ringwell.conf:1: ") || error.contains("listen"),
                    "{error}"
                );
                assert!(!error.contains(['\n', '\r', '\0']), "{error:?}");
            }
        }
    }
    assert!(good > 200 && bad > 200, "{good} {bad}");
}

#[test]
fn help_and_version_are_asked_for_first() {
    let ask = |argument: &str| start(&[argument.into()], &Memory::new(&[]));
    for (argument, expected) in [("--help", "Usage:"), ("-h", "Usage:"), ("-v", "ringwell 0.")] {
        match ask(argument) {
            Ok(Start::Print(text)) => assert!(text.contains(expected), "{text}"),
            other => panic!("{argument}: {other:?}"),
        }
    }
    assert!(matches!(ask("--save"), Ok(Start::Run(..))));
}
