//! The sockets that connections arrive on.
//!
//! All of them listen before any core accepts. Every core has one of its own for every address,
//! bound with `SO_REUSEPORT`; the unix socket belongs to the first core.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use super::startup::StartupError;
use crate::config::{BindAddress, Config};

/// A listening socket of one core.
#[derive(Debug)]
pub struct Listener {
    pub socket: OwnedFd,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    Unix { path: PathBuf },
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Every listening socket of the process, by core.
#[derive(Debug)]
pub struct Listeners {
    pub by_core: Vec<Vec<Listener>>,
    /// Duplicates through which the control executor changes options that connections inherit.
    pub tcp: Vec<OwnedFd>,
    pub unix_file: Option<UnixFile>,
    /// What is listened on, for the log.
    pub addresses: Vec<String>,
}

/// The listening sockets of all cores, numbered as every ring knows them: a core's stand together.
#[derive(Debug)]
pub struct Sockets {
    all: Vec<Listener>,
    /// Where each core's end.
    ends: Vec<u32>,
}

impl Sockets {
    pub fn new(by_core: Vec<Vec<Listener>>) -> Sockets {
        let (mut all, mut ends) = (Vec::new(), Vec::new());
        for listeners in by_core {
            all.extend(listeners);
            ends.push(all.len() as u32);
        }
        Sockets { all, ends }
    }

    pub fn all(&self) -> &[Listener] {
        &self.all
    }

    pub fn kind(&self, number: u32) -> &Kind {
        &self.all[number as usize].kind
    }

    /// The numbers of a core's sockets.
    pub fn of_core(&self, core: usize) -> Range<u32> {
        let start = core.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[core]
    }
}

/// The file of a unix socket, removed when the server ends.
#[derive(Debug)]
pub struct UnixFile(PathBuf);

impl Drop for UnixFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Listens on everything that is configured.
///
/// # Errors
/// The first address that cannot be listened on and is not optional, with the remedy.
pub fn listen(config: &Config, cores: usize) -> Result<Listeners, StartupError> {
    let mut listeners = Listeners {
        by_core: (0..cores).map(|_| Vec::new()).collect(),
        tcp: Vec::new(),
        unix_file: None,
        addresses: Vec::new(),
    };
    if config.port != 0 {
        for address in &config.bind {
            listen_tcp(config, address, &mut listeners)?;
        }
    }
    if let Some(path) = &config.unixsocket {
        listen_unix(config, path, &mut listeners)?;
    }
    if listeners.addresses.is_empty() {
        return Err(StartupError::new(
            "there is nothing to listen on: set 'port' and an address of this host in 'bind', \
             or 'unixsocket'",
        ));
    }
    Ok(listeners)
}

fn listen_tcp(
    config: &Config,
    bind: &BindAddress,
    listeners: &mut Listeners,
) -> Result<(), StartupError> {
    let address = SocketAddr::new(bind.ip, config.port);
    // Sockets with SO_REUSEPORT would silently share the port with another server of this user.
    let probed = tcp_socket(address, false).and_then(|probe| probe.bind(&address.into()));
    let opened: io::Result<Vec<Socket>> = probed
        .and_then(|()| (0..listeners.by_core.len()).map(|_| open_tcp(config, address)).collect());
    match opened {
        Ok(sockets) => {
            for (core, socket) in listeners.by_core.iter_mut().zip(sockets) {
                let duplicate = socket.try_clone().map_err(|e| cannot_listen(address, &e))?;
                listeners.tcp.push(duplicate.into());
                core.push(Listener { socket: socket.into(), kind: Kind::Tcp });
            }
            listeners.addresses.push(address.to_string());
            Ok(())
        }
        Err(error) if bind.optional && is_missing(&error) => {
            tracing::debug!("not listening on {address}: {error}");
            Ok(())
        }
        Err(error) => Err(cannot_listen(address, &error)),
    }
}

/// What an address that this host lacks answers; the errors that Redis skips, too.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EADDRNOTAVAIL
                | libc::EAFNOSUPPORT
                | libc::EPROTONOSUPPORT
                | libc::ESOCKTNOSUPPORT
                | libc::EPFNOSUPPORT
                | libc::ENOPROTOOPT
        )
    )
}

fn tcp_socket(address: SocketAddr, share_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier run may still be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if share_port {
        socket.set_reuse_port(true)?;
    }
    Ok(socket)
}

fn open_tcp(config: &Config, address: SocketAddr) -> io::Result<Socket> {
    let socket = tcp_socket(address, true)?;
    // Accepted sockets inherit both.
    socket.set_tcp_nodelay(true)?;
    set_keepalive(socket.as_fd(), config.tcp_keepalive)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(config.tcp_backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

/// Asks a peer that has been silent for `seconds` whether it is there, three times at intervals
/// of a third of that, as Redis does. 0 asks never.
///
/// # Errors
/// The kernel refuses the values.
pub fn set_keepalive(socket: BorrowedFd<'_>, seconds: u32) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    if seconds == 0 {
        return socket.set_keepalive(false);
    }
    // Limits of TCP_KEEPIDLE and TCP_KEEPINTVL: MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL of Linux.
    let seconds = u64::from(seconds.min(32_767));
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(seconds))
        .with_interval(Duration::from_secs((seconds / 3).max(1)))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> StartupError {
    let port = address.port();
    let reason = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            "the port is in use: stop the server that uses it (ss -ltnp shows which), or choose \
             another port with --port"
                .to_owned()
        }
        Some(libc::EADDRNOTAVAIL) => {
            "this host has no such address: correct 'bind' (ip addr shows the addresses), or \
             write '-' before the address to skip it where it is missing"
                .to_owned()
        }
        Some(libc::EACCES) if port < 1024 => format!(
            "ports below 1024 need a privilege: choose another with --port, or allow this one \
             with: sysctl -w net.ipv4.ip_unprivileged_port_start={port}"
        ),
        _ if is_missing(error) => format!(
            "the kernel does not support such addresses ({error}): correct 'bind', or write '-' \
             before the address to skip it"
        ),
        Some(libc::EMFILE) => "too many open files: raise the limit with ulimit -n".to_owned(),
        _ => error.to_string(),
    };
    StartupError::new(format!("cannot listen on {address}: {reason}"))
}

fn listen_unix(
    config: &Config,
    path: &Path,
    listeners: &mut Listeners,
) -> Result<(), StartupError> {
    let fail = |reason: String| {
        StartupError::new(format!("cannot listen on unix socket '{}': {reason}", path.display()))
    };
    remove_stale(path).map_err(fail)?;
    let open = || -> io::Result<(Socket, UnixFile)> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = UnixFile(path.to_owned());
        // Before listening, or a client could slip in with the permissions of the umask.
        if config.unixsocketperm != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(config.unixsocketperm))?;
        }
        socket.listen(i32::try_from(config.tcp_backlog).unwrap_or(i32::MAX))?;
        Ok((socket, file))
    };
    let (socket, file) = open().map_err(|error| {
        fail(format!("{error}: set 'unixsocket' to a path in a directory you may write to"))
    })?;
    listeners.addresses.push(path.display().to_string());
    listeners.unix_file = Some(file);
    if let Some(first) = listeners.by_core.first_mut() {
        let kind = Kind::Unix { path: path.to_owned() };
        first.push(Listener { socket: socket.into(), kind });
    }
    Ok(())
}

/// Removes what a server that was killed has left behind, and nothing else.
fn remove_stale(path: &Path) -> Result<(), String> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err("there is another file: choose another path, or remove it".into());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err("another server listens there: stop it, or choose another path".into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("cannot remove the old one: {error}"))
        }
        Err(error) => Err(format!("cannot tell whether another server listens there: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn config(pairs: &[(&[u8], &[u8])]) -> Config {
        let words: Vec<std::ffi::OsString> = pairs
            .iter()
            .flat_map(|(name, value)| {
                let name = format!("--{}", String::from_utf8_lossy(name));
                let values = String::from_utf8_lossy(value);
                std::iter::once(name)
                    .chain(values.split(' ').map(str::to_owned))
                    .collect::<Vec<_>>()
            })
            .map(Into::into)
            .collect();
        Config::load(&words, &crate::config::Disk).expect("a good configuration").0
    }

    fn free_port() -> String {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        probe.local_addr().unwrap().port().to_string()
    }

    #[test]
    fn every_core_listens_on_every_address() {
        let port = free_port();
        let config = config(&[(b"bind", b"127.0.0.1 127.0.0.2"), (b"port", port.as_bytes())]);
        let listeners = listen(&config, 3).unwrap();
        assert!(listeners.by_core.iter().all(|core| core.len() == 2));
        TcpStream::connect(format!("127.0.0.2:{port}")).unwrap();
        let socket = SockRef::from(&listeners.by_core[2][0].socket);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(300));
        // A second server of the same user must not share the port in silence.
        let error = listen(&config, 1).unwrap_err().to_string();
        let expected = format!("cannot listen on 127.0.0.1:{port}: the port is in use");
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn optional_addresses_may_be_missing_and_others_may_not() {
        let port = free_port();
        // 192.0.2.0/24 is for documentation (RFC 5737): no host has it.
        let optional = config(&[(b"bind", b"127.0.0.1 -192.0.2.7"), (b"port", port.as_bytes())]);
        let listeners = listen(&optional, 1).unwrap();
        assert_eq!(listeners.addresses, [format!("127.0.0.1:{port}")]);
        drop(listeners);
        let required = config(&[(b"bind", b"192.0.2.7"), (b"port", port.as_bytes())]);
        let error = listen(&required, 1).unwrap_err().to_string();
        assert!(error.contains("192.0.2.7") && error.contains("no such address"), "{error}");
        let nothing = config(&[(b"bind", b"-192.0.2.7"), (b"port", port.as_bytes())]);
        let error = listen(&nothing, 1).unwrap_err().to_string();
        assert!(error.contains("nothing to listen on"), "{error}");
    }

    #[test]
    fn unix_sockets_replace_stale_files_only() {
        let path = std::env::temp_dir().join(format!("ringwell-unix-{}", std::process::id()));
        let text = path.to_str().unwrap().as_bytes();
        let config = config(&[(b"port", b"0"), (b"unixsocket", text), (b"unixsocketperm", b"700")]);
        let first = listen(&config, 2).unwrap();
        assert_eq!((first.by_core[0].len(), first.by_core[1].len()), (1, 0));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let error = listen(&config, 1).unwrap_err().to_string();
        assert!(error.contains("another server listens"), "{error}");

        // A server that was killed leaves the file behind.
        let Listeners { unix_file, by_core, .. } = first;
        std::mem::forget(unix_file);
        drop(by_core);
        assert!(path.exists());
        let second = listen(&config, 1).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(second);
        assert!(!path.exists(), "removed at the end");

        fs::write(&path, "precious").unwrap();
        let error = listen(&config, 1).unwrap_err().to_string();
        assert!(error.contains("another file"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
    }
}
