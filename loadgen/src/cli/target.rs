//! Where the load goes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::contradiction;
use crate::failure::Failure;
use crate::plan::{Endpoint, Target};

const DEFAULT_PORT: u16 = 6379;
/// As redis-cli, so that a password need not stand where everybody on the host can read it.
const PASSWORD_VARIABLE: &str = "REDISCLI_AUTH";

/// How connections introduce themselves; shared by all subcommands that have the modern options.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Password. Better in the environment variable REDISCLI_AUTH, where others cannot read it
    #[arg(short = 'a', long, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// User to authenticate as (AUTH with two arguments)
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Database to SELECT [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub db: Option<u32>,
    /// Version of the protocol: 2, or 3 (by HELLO 3)
    #[arg(long, value_name = "2|3", default_value = "2", value_parser = parse_resp)]
    pub resp: u8,
    /// Ask CLUSTER SLOTS and send each key to the node that owns it
    #[arg(long)]
    pub cluster: bool,
}

/// Endpoints and how to introduce oneself to them.
#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    /// Servers: host:port (IPv6 in brackets), unix:/path or redis://user:password@host:port/db.
    /// Connections are dealt out to several in turn
    #[arg(value_name = "ENDPOINT", default_value = "127.0.0.1:6379")]
    pub endpoints: Vec<EndpointArg>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

impl TargetArgs {
    /// # Errors
    /// See [`ConnectionArgs::target`].
    pub fn target(&self) -> Result<Target, Failure> {
        self.connection.target(&self.endpoints)
    }
}

/// An endpoint as written, with what a URL may say besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointArg {
    pub endpoint: Endpoint,
    pub user: Option<String>,
    pub password: Option<String>,
    pub database: Option<u32>,
}

impl ConnectionArgs {
    /// # Errors
    /// A usage failure where options and URLs contradict each other, or `--cluster` an endpoint.
    pub fn target(&self, endpoints: &[EndpointArg]) -> Result<Target, Failure> {
        if self.cluster && endpoints.iter().any(|e| matches!(e.endpoint, Endpoint::Unix(_))) {
            return Err(contradiction(
                "--cluster",
                "a unix socket",
                "the nodes of a cluster are reached by TCP; name one of them as host:port",
            ));
        }
        let user = agreed("user", self.user.clone(), endpoints.iter().map(|e| e.user.clone()))?;
        let password = agreed(
            "password",
            self.password.clone(),
            endpoints.iter().map(|e| e.password.clone()),
        )?
        .or_else(|| std::env::var(PASSWORD_VARIABLE).ok().filter(|p| !p.is_empty()));
        let database = agreed("database", self.db, endpoints.iter().map(|e| e.database))?;
        if user.is_some() && password.is_none() {
            return Err(Failure::usage(format!(
                "a user needs a password: give -a PASSWORD or set {PASSWORD_VARIABLE}"
            )));
        }
        let database = database.unwrap_or(0);
        if self.cluster && database != 0 {
            return Err(contradiction(
                "--cluster",
                &format!("database {database}"),
                "a cluster has database 0 only",
            ));
        }
        Ok(Target {
            endpoints: endpoints.iter().map(|e| e.endpoint.clone()).collect(),
            user,
            password,
            database,
            resp3: self.resp == 3,
            cluster: self.cluster,
        })
    }
}

/// What the option and all the URLs say, if it is the same.
fn agreed<T: PartialEq>(
    what: &str,
    option: Option<T>,
    urls: impl Iterator<Item = Option<T>>,
) -> Result<Option<T>, Failure> {
    let mut said: Option<T> = option;
    for other in urls.flatten() {
        match &said {
            Some(first) if *first != other => {
                return Err(Failure::usage(format!(
                    "the endpoints and options name two different {what}s; all connections use \
                     the same"
                )));
            }
            _ => said = Some(other),
        }
    }
    Ok(said)
}

impl FromStr for EndpointArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |endpoint| EndpointArg { endpoint, user: None, password: None, database: None };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err("behind unix: comes the path of a socket".into());
            }
            return Ok(plain(Endpoint::Unix(PathBuf::from(path))));
        }
        if text.starts_with('/') {
            return Ok(plain(Endpoint::Unix(PathBuf::from(text))));
        }
        if let Some(url) = text.strip_prefix("redis://") {
            return parse_url(url);
        }
        if text.contains("://") {
            return Err("only redis:// is spoken (there is no TLS here)".into());
        }
        Ok(plain(parse_address(text)?))
    }
}

/// What follows `redis://`: `[[user]:password@]host[:port][/db]`, percent-encoded.
fn parse_url(url: &str) -> Result<EndpointArg, String> {
    let (credentials, rest) = match url.rsplit_once('@') {
        Some((credentials, rest)) => (Some(credentials), rest),
        None => (None, url),
    };
    let (address, database) = match rest.split_once('/') {
        Some((address, "")) => (address, None),
        Some((address, database)) => {
            let number = database.parse().map_err(|_| {
                format!("\"{database}\" behind the address is not the number of a database")
            })?;
            (address, Some(number))
        }
        None => (rest, None),
    };
    let (user, password) = match credentials {
        None => (None, None),
        Some(credentials) => match credentials.split_once(':') {
            // Without a colon it is the password, as for redis-cli.
            None => (None, Some(percent_decode(credentials)?)),
            Some((user, password)) => {
                let user = percent_decode(user)?;
                ((!user.is_empty()).then_some(user), Some(percent_decode(password)?))
            }
        },
    };
    Ok(EndpointArg { endpoint: parse_address(address)?, user, password, database })
}

fn percent_decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        bytes.push(byte.ok_or("a % in a URL is followed by two hexadecimal digits; write %25")?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| "the URL is not UTF-8 when decoded".into())
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, or a bare IPv6 address.
fn parse_address(text: &str) -> Result<Endpoint, String> {
    let bare_v6 = text.parse::<core::net::Ipv6Addr>().is_ok();
    let (host, port) = match text.strip_prefix('[').map(|t| t.split_once(']')) {
        Some(None) => return Err("a bracket is not closed: [::1]:6379".into()),
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, rest))) => {
            (host, Some(rest.strip_prefix(':').ok_or("behind [address] comes :port")?))
        }
        None if bare_v6 => (text, None),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err("it is host:port, unix:/path or redis://host:port".into());
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("\"{port}\" is not a port (1 to 65535)")),
        },
    };
    Ok(Endpoint::Tcp { host: host.to_string(), port })
}

fn parse_resp(text: &str) -> Result<u8, String> {
    match text {
        "2" => Ok(2),
        "3" => Ok(3),
        _ => Err("RESP has the versions 2 and 3".into()),
    }
}

/// As [`EndpointArg`] reads it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp { host, port } => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> String {
        text.parse::<EndpointArg>().expect(text).endpoint.to_string()
    }

    #[test]
    fn endpoints_in_all_their_forms() {
        for (text, expected) in [
            ("cache-1:7000", "cache-1:7000"),
            ("cache-1", "cache-1:6379"),
            ("[::1]:7000", "[::1]:7000"),
            ("::1", "[::1]:6379"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("unix:///run/a.sock", "unix:/run/a.sock"),
            ("/run/a.sock", "unix:/run/a.sock"),
            ("redis://h/", "h:6379"),
        ] {
            assert_eq!(endpoint(text), expected);
        }
        for text in
            ["", ":1", "h:0", "h:99999", "h:x", "[::1", "[::1]7", "unix:", "rediss://h", "a b"]
        {
            assert!(text.parse::<EndpointArg>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn urls_carry_credentials_and_a_database() {
        let parsed: EndpointArg = "redis://me:p%40ss@h:7000/3".parse().expect("a URL");
        let expected = EndpointArg {
            endpoint: Endpoint::Tcp { host: "h".into(), port: 7000 },
            user: Some("me".into()),
            password: Some("p@ss".into()),
            database: Some(3),
        };
        assert_eq!(parsed, expected);
        let bare: EndpointArg = "redis://pass@h".parse().expect("a URL");
        assert_eq!((bare.user, bare.password.as_deref()), (None, Some("pass")));
        let anonymous: EndpointArg = "redis://:pass@h".parse().expect("a URL");
        assert_eq!((anonymous.user, anonymous.password.as_deref()), (None, Some("pass")));
        for text in ["redis://h/x", "redis://a:%zz@h", "redis://a:%f@h", "redis://a:b@"] {
            assert!(text.parse::<EndpointArg>().is_err(), "{text}");
        }
    }

    #[test]
    fn contradictions_are_named() {
        let target = |connection: ConnectionArgs, endpoints: &[&str]| {
            let endpoints: Vec<EndpointArg> =
                endpoints.iter().map(|e| e.parse().expect("valid")).collect();
            connection.target(&endpoints)
        };
        let cluster = ConnectionArgs { cluster: true, ..Default::default() };
        let message = |r: Result<Target, Failure>| r.expect_err("contradictory").message;
        let unix = message(target(cluster.clone(), &["unix:/a"]));
        assert!(unix.contains("--cluster") && unix.contains("unix socket"), "{unix}");
        assert!(message(target(cluster, &["redis://h/2"])).contains("database 2"));
        let two = message(target(ConnectionArgs::default(), &["redis://:a@h", "redis://:b@i"]));
        assert!(two.contains("two different passwords"), "{two}");
        let both = ConnectionArgs { db: Some(1), ..Default::default() };
        assert!(message(target(both, &["redis://h/2"])).contains("databases"));
    }
}
