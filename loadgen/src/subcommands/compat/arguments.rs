//! redis-benchmark's command line, which has habits of its own: `-P 16` but never `-P16`, short
//! flags of several letters never combined, and the first word that is no flag starts a command.

use crate::cli::EndpointArg;
use crate::failure::Failure;
use crate::plan::{Endpoint, Target};

/// redis-benchmark's own limit.
pub const THREADS_MAX: usize = 500;
/// What redis-benchmark calls itself in the version that its flags and formats are from.
pub const COMPATIBLE_WITH: &str = "redis-benchmark 7.0.15";

/// A parsed command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    pub target: Target,
    pub clients: usize,
    pub requests: u64,
    /// Bytes of a value.
    pub data_size: usize,
    /// 0: everything on one thread, "multi-thread: no".
    pub threads: usize,
    pub keep_alive: bool,
    /// `None` without `-r`: placeholders are sent as they are written.
    pub key_space: Option<u64>,
    pub pipeline: usize,
    pub output: Output,
    pub endless: bool,
    pub idle: bool,
    pub last_argument_from_stdin: bool,
    /// Names given with `-t`, in lower case.
    pub tests: Option<Vec<String>>,
    pub seed: Option<u64>,
    pub command: Vec<String>,
    /// What redis-benchmark would say on standard error before it starts.
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Full,
    Quiet,
    Csv,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Benchmark(Box<Arguments>),
    Help,
    Version,
}

/// # Errors
/// With redis-benchmark's text where it has one.
pub fn parse(words: &[String]) -> Result<Request, Failure> {
    let mut parser =
        Parser { words, at: 0, parsed: defaults(), host: None, port: None, socket: None };
    while let Some(word) = words.get(parser.at) {
        if !word.starts_with('-') {
            break;
        }
        match word.as_str() {
            "--help" => return Ok(Request::Help),
            "-v" | "--version" => return Ok(Request::Version),
            flag => parser.flag(flag)?,
        }
        parser.at += 1;
    }
    parser.finish().map(|arguments| Request::Benchmark(Box::new(arguments)))
}

fn defaults() -> Arguments {
    Arguments {
        target: Target {
            endpoints: Vec::new(),
            user: None,
            password: None,
            database: 0,
            resp3: false,
            cluster: false,
        },
        clients: 50,
        requests: 100_000,
        data_size: 3,
        threads: 0,
        keep_alive: true,
        key_space: None,
        pipeline: 1,
        output: Output::Full,
        endless: false,
        idle: false,
        last_argument_from_stdin: false,
        tests: None,
        seed: None,
        command: Vec::new(),
        warnings: Vec::new(),
    }
}

struct Parser<'a> {
    words: &'a [String],
    at: usize,
    parsed: Arguments,
    host: Option<String>,
    port: Option<u16>,
    socket: Option<String>,
}

impl Parser<'_> {
    fn flag(&mut self, flag: &str) -> Result<(), Failure> {
        match flag {
            "-h" => self.host = Some(self.value(flag)?),
            "-p" => self.port = Some(self.number(flag, 1, 65_535)?),
            "-s" => self.socket = Some(self.value(flag)?),
            "-a" => self.parsed.target.password = Some(self.value(flag)?),
            "--user" => self.parsed.target.user = Some(self.value(flag)?),
            "-u" => self.uri(flag)?,
            "-c" => self.parsed.clients = self.number(flag, 1, 1_000_000)?,
            "-n" => self.parsed.requests = self.number(flag, 1, u64::MAX)?,
            "-d" => {
                // redis-benchmark keeps sizes from 1 byte to 1 GiB; so do we, but say so.
                self.parsed.data_size = self.number(flag, 1, 1 << 30)?;
            }
            "--dbnum" => self.parsed.target.database = self.number(flag, 0, u32::MAX)?,
            "--threads" => {
                self.parsed.threads = self.number(flag, 0, usize::MAX)?;
                if self.parsed.threads > THREADS_MAX {
                    self.warn(&format!(
                        "WARNING: Too many threads, limiting threads to {THREADS_MAX}."
                    ));
                    self.parsed.threads = THREADS_MAX;
                }
            }
            "-k" => self.parsed.keep_alive = self.number::<i64>(flag, i64::MIN, i64::MAX)? != 0,
            "-r" => self.parsed.key_space = Some(self.number(flag, 0, 1_000_000_000_000)?),
            "-P" => self.parsed.pipeline = self.number(flag, 1, 1_000_000)?,
            "--precision" => {
                // Accepted and without effect, as in redis-benchmark 7: latencies have 3 decimals.
                self.number::<i64>(flag, i64::MIN, i64::MAX)?;
            }
            "--seed" => self.parsed.seed = Some(self.number(flag, 0, u64::MAX)?),
            "-t" => self.parsed.tests = Some(names(&self.value(flag)?)),
            "-q" if self.parsed.output == Output::Full => self.parsed.output = Output::Quiet,
            "-q" => {}
            "--csv" => self.parsed.output = Output::Csv,
            "-l" => self.parsed.endless = true,
            "-I" => self.parsed.idle = true,
            "-x" => self.parsed.last_argument_from_stdin = true,
            "-3" => self.parsed.target.resp3 = true,
            "--cluster" => self.parsed.target.cluster = true,
            "-e" => self.warn(
                "WARNING: -e option has no effect. Errors of the server are always reported.",
            ),
            _ if UNSUPPORTED.contains(&flag) => {
                return Err(refusal(format!(
                    "{flag} is not supported here: connections are plain TCP or unix sockets, \
                     without TLS and without client tracking"
                )));
            }
            _ => return Err(invalid(flag)),
        }
        Ok(())
    }

    fn value(&mut self, flag: &str) -> Result<String, Failure> {
        self.at += 1;
        self.words.get(self.at).cloned().ok_or_else(|| invalid(flag))
    }

    fn number<N>(&mut self, flag: &str, min: N, max: N) -> Result<N, Failure>
    where
        N: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let text = self.value(flag)?;
        text.parse().ok().filter(|n| (min..=max).contains(n)).ok_or_else(|| {
            refusal(format!(
                "Invalid argument of option \"{flag}\": {text} is not a number from {min} to {max}"
            ))
        })
    }

    /// As [`EndpointArg`] reads it; without an address it is the default one.
    fn uri(&mut self, flag: &str) -> Result<(), Failure> {
        let uri = self.value(flag)?;
        if uri.starts_with("rediss://") {
            return Err(refusal("rediss:// is not supported here: connections are without TLS"));
        }
        match uri.strip_prefix("redis://") {
            None => return Err(refusal("Invalid URI scheme")),
            Some("") => return Ok(()),
            Some(_) => {}
        }
        let url: EndpointArg =
            uri.parse().map_err(|why| refusal(format!("Invalid URI {uri}: {why}")))?;
        if let Endpoint::Tcp { host, port } = url.endpoint {
            (self.host, self.port) = (Some(host), Some(port));
        }
        let target = &mut self.parsed.target;
        target.user = url.user.or(target.user.take());
        target.password = url.password.or(target.password.take());
        target.database = url.database.unwrap_or(target.database);
        Ok(())
    }

    fn warn(&mut self, text: &str) {
        self.parsed.warnings.push(text.to_owned());
    }

    fn finish(mut self) -> Result<Arguments, Failure> {
        self.parsed.command = self.words[self.at..].to_vec();
        if !self.parsed.command.is_empty() && self.parsed.tests.is_some() {
            self.warn("WARNING: Option -t is ignored.");
        }
        if self.parsed.last_argument_from_stdin && self.parsed.command.is_empty() {
            return Err(refusal("-x needs a command whose last argument it reads from stdin"));
        }
        if self.parsed.target.user.is_some() && self.parsed.target.password.is_none() {
            return Err(refusal("--user needs -a: a user cannot authenticate without a password"));
        }
        if self.parsed.target.cluster && self.socket.is_some() {
            return Err(refusal("--cluster and -s contradict each other: nodes have TCP ports"));
        }
        if !self.parsed.keep_alive && self.parsed.idle {
            return Err(refusal("-k 0 and -I contradict each other: idle connections are kept"));
        }
        if !self.parsed.keep_alive {
            self.warn(
                "WARNING: Keepalive disabled: every connection leaves a port behind for a \
                 minute. On Linux 'sysctl net.ipv4.tcp_tw_reuse=1' lets many be used again.",
            );
        }
        self.parsed.target.endpoints = vec![match self.socket.take() {
            Some(path) => Endpoint::Unix(path.into()),
            None => Endpoint::Tcp {
                host: self.host.take().unwrap_or_else(|| "127.0.0.1".to_owned()),
                port: self.port.unwrap_or(6379),
            },
        }];
        Ok(self.parsed)
    }
}

const UNSUPPORTED: &[&str] = &[
    "--tls",
    "--sni",
    "--cacert",
    "--cacertdir",
    "--insecure",
    "--cert",
    "--key",
    "--tls-ciphers",
    "--tls-ciphersuites",
    "--enable-tracking",
];

fn names(list: &str) -> Vec<String> {
    list.to_ascii_lowercase().split(',').map(|name| name.trim().to_owned()).collect()
}

fn invalid(flag: &str) -> Failure {
    refusal(format!(
        "Invalid option \"{flag}\" or option argument missing\n\n\
         --help lists the options, which are redis-benchmark's."
    ))
}

/// redis-benchmark exits with 1 whatever is wrong, and scripts may look at that.
fn refusal(message: impl Into<String>) -> Failure {
    Failure::run(message)
}

/// What `--help` prints.
pub const HELP: &str = "\
Usage: redis-benchmark [OPTIONS] [COMMAND ARGS...]
       loadgen compat [OPTIONS] [COMMAND ARGS...]

Runs redis-benchmark's tests and prints its formats. Every reply has its own latency here; with
redis-benchmark all replies of a pipeline share that of its first byte.

Where:
 -h <host>          Server's host name or address (default 127.0.0.1)
 -p <port>          Server's port (default 6379)
 -s <path>          Server's unix socket, instead of host and port
 -a <password>      Authenticate with this password
 --user <name>      ... as this user
 -u <uri>           redis://[[user]:password@]host[:port][/database]
 --dbnum <number>   SELECT this database (default 0)
 -3                 Speak RESP3
 --cluster          Ask the server for the nodes of its cluster and load all of them

What:
 -t <tests>         Only these tests, separated by commas: ping, ping_inline, ping_mbulk, set, get,
                    incr, lpush, rpush, lpop, rpop, sadd, hset, spop, zadd, zpopmin, lrange,
                    lrange_100, lrange_300, lrange_500, lrange_600, mset, xadd
 -r <count>         Put a random number below <count> in place of each __rand_int__, in the tests
                    (keys, members, scores) and in a command given here. Without -r every test
                    works on one single key.
 -d <bytes>         Size of values (default 3)
 -x                 Read the command's last argument from standard input
 --seed <number>    Of the random numbers

How:
 -c <clients>       Connections (default 50)
 -n <requests>      Requests of each test, all connections together (default 100000)
 -P <requests>      Requests in flight on each connection (default 1)
 -k <0|1>           0: a new connection for every request (default 1)
 --threads <count>  Threads that make the load (default: one)
 -l                 Repeat the tests until interrupted
 -I                 Only open the connections, and keep them until interrupted

Output:
 -q                 One line for each test
 --csv              The same as comma-separated values
 --precision <n>    Accepted; latencies have three decimals
 -e                 Accepted; errors of the server are always reported
 --help, --version

Exit status 1 if the server refused a test or could not be reached.

Examples:
 redis-benchmark -q
 redis-benchmark -t set,get -n 1000000 -r 100000 -P 16 --csv
 redis-benchmark -r 10000 -n 10000 ZADD scores __rand_int__ member:__rand_int__
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Arguments {
        match parse(&words(line)) {
            Ok(Request::Benchmark(arguments)) => *arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refused(line: &str) -> String {
        parse(&words(line)).expect_err(line).message
    }

    fn words(line: &str) -> Vec<String> {
        line.split_ascii_whitespace().map(str::to_owned).collect()
    }

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn defaults_are_those_of_redis_benchmark() {
        let arguments = parsed("");
        assert_eq!(arguments.target.endpoints, [tcp("127.0.0.1", 6379)]);
        assert_eq!((arguments.clients, arguments.requests, arguments.pipeline), (50, 100_000, 1));
        assert_eq!((arguments.data_size, arguments.key_space), (3, None));
        assert!(arguments.keep_alive && arguments.command.is_empty());
    }

    #[test]
    fn every_flag() {
        let arguments = parsed(
            "-h example.net -p 7000 -a secret --user joe -c 10 -n 500 -d 64 --dbnum 3 --threads 2 \
             -k 1 -r 1000 -P 16 -q -l -t SET,get -I --precision 2 --seed 9 -3 --cluster -e",
        );
        assert_eq!(arguments.target.endpoints, [tcp("example.net", 7000)]);
        assert_eq!(arguments.target.password.as_deref(), Some("secret"));
        assert_eq!(arguments.target.user.as_deref(), Some("joe"));
        assert_eq!((arguments.clients, arguments.requests, arguments.pipeline), (10, 500, 16));
        assert_eq!((arguments.data_size, arguments.key_space), (64, Some(1000)));
        assert_eq!((arguments.target.database, arguments.threads), (3, 2));
        assert_eq!(arguments.tests, Some(vec!["set".to_owned(), "get".to_owned()]));
        assert_eq!((arguments.seed, arguments.output), (Some(9), Output::Quiet));
        assert!(arguments.endless && arguments.idle);
        assert!(arguments.target.resp3 && arguments.target.cluster);
        assert_eq!(arguments.warnings.len(), 1, "{:?}", arguments.warnings);
    }

    #[test]
    fn csv_wins_over_quiet_in_either_order() {
        assert_eq!(parsed("-q --csv").output, Output::Csv);
        assert_eq!(parsed("--csv -q").output, Output::Csv);
    }

    #[test]
    fn the_first_word_that_is_no_flag_starts_the_command() {
        let arguments = parsed("-n 10 -x -t get set key -n 5");
        assert_eq!(arguments.command, ["set", "key", "-n", "5"]);
        assert_eq!(arguments.requests, 10);
        assert_eq!(arguments.warnings, ["WARNING: Option -t is ignored."]);
    }

    #[test]
    fn uris() {
        let arguments = parsed("-u redis://joe:p%40ss@example.net:7001/2");
        assert_eq!(arguments.target.endpoints, [tcp("example.net", 7001)]);
        assert_eq!(arguments.target.user.as_deref(), Some("joe"));
        assert_eq!(arguments.target.password.as_deref(), Some("p@ss"));
        assert_eq!(arguments.target.database, 2);
        assert_eq!(parsed("-u redis://pw@h").target.password.as_deref(), Some("pw"));
        assert_eq!(parsed("-u redis://pw@h").target.user, None);
        assert_eq!(parsed("-u redis://[::1]:7").target.endpoints, [tcp("::1", 7)]);
        assert_eq!(parsed("-u redis://").target.endpoints, [tcp("127.0.0.1", 6379)]);
        assert_eq!(refused("-u http://h"), "Invalid URI scheme");
        assert!(refused("-u rediss://h").contains("without TLS"));
        assert!(refused("-u redis://h:port").contains("not a port"));
        assert!(refused("-u redis://h/db").contains("database"));
        assert!(refused("-u redis://%zz@h").contains("hexadecimal"));
    }

    #[test]
    fn refusals_name_the_flag() {
        assert!(refused("-z").starts_with("Invalid option \"-z\" or option argument missing"));
        assert!(refused("-n").starts_with("Invalid option \"-n\" or option argument missing"));
        assert!(refused("-P16").starts_with("Invalid option \"-P16\""));
        assert!(refused("-n abc").contains("\"-n\": abc is not a number"));
        assert!(refused("-c 0").contains("from 1"));
        assert!(refused("-p 65536").contains("65535"));
        assert!(refused("--tls").contains("not supported"));
        assert!(refused("-x").contains("stdin"));
        assert!(refused("--user joe").contains("-a"));
        assert!(refused("--cluster -s /tmp/s").contains("contradict"));
        assert!(refused("-k 0 -I").contains("contradict"));
    }

    #[test]
    fn help_and_version() {
        assert_eq!(parse(&words("-q --help")), Ok(Request::Help));
        assert_eq!(parse(&words("--version")), Ok(Request::Version));
        assert_eq!(parse(&words("-v")), Ok(Request::Version));
        for flag in ["-h ", "-P ", "--csv", "--cluster", "--seed", "-I ", "--dbnum"] {
            assert!(HELP.contains(&format!(" {flag}")), "{flag}");
        }
    }

    #[test]
    fn too_many_threads_are_limited_with_a_warning() {
        let arguments = parsed("--threads 1000");
        assert_eq!(arguments.threads, THREADS_MAX);
        assert!(arguments.warnings[0].contains("limiting threads to 500"));
    }
}
