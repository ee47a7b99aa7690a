//! What a command asks of the engine that its connection belongs to, with checked arguments.
//!
//! The row's function parses; `engine::operations` carries out. Filters are owned because they
//! travel to other shards.

use crate::protocol::Args;
use crate::protocol::resp::Version;

#[derive(Clone, Debug)]
pub enum Operation<'a> {
    Auth {
        user: Option<&'a [u8]>,
        password: &'a [u8],
    },
    Hello(Hello<'a>),
    Quit,
    Reset,
    Select(usize),
    Multi,
    Exec,
    Discard,
    /// The keys.
    Watch(Args<'a>),
    Unwatch,
    ClientId,
    ClientGetName,
    ClientSetName(&'a [u8]),
    ClientSetInfo {
        attribute: ClientAttribute,
        value: &'a [u8],
    },
    ClientInfo,
    ClientList(ClientFilter),
    ClientKill(ClientKill),
    ClientNoEvict(bool),
    ClientNoTouch(bool),
    ClientReply(ReplyMode),
    ClientPause {
        millis: u64,
        writes_only: bool,
    },
    ClientUnpause,
    ClientUnblock {
        id: u64,
        with_error: bool,
    },
    ClientTrackingInfo,
    ClientGetRedir,
    /// The patterns.
    ConfigGet(Args<'a>),
    /// Names and values in turn; an even number.
    ConfigSet(Args<'a>),
    ConfigRewrite,
    ConfigResetStat,
    DebugSleep {
        micros: u64,
    },
    DebugSetActiveExpire(bool),
    /// The sections asked for.
    Info(Args<'a>),
    MemoryDoctor,
    MemoryMallocStats,
    MemoryPurge,
    MemoryStats,
    Shutdown(Shutdown),
    AccessExplain(core::net::IpAddr),
    AccessLog {
        count: usize,
    },
    AccessLogReset,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Hello<'a> {
    pub version: Option<Version>,
    /// User and password.
    pub auth: Option<(&'a [u8], &'a [u8])>,
    pub name: Option<&'a [u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAttribute {
    LibName,
    LibVer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    On,
    Off,
    /// No reply to the next command.
    Skip,
}

/// The kinds of clients that CLIENT LIST and CLIENT KILL can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientType {
    Normal,
    Master,
    Replica,
    PubSub,
}

/// Which clients; all conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    pub kind: Option<ClientType>,
    /// Any of these, sorted once the engine has it; empty for all.
    pub ids: Vec<u64>,
    pub addr: Option<Vec<u8>>,
    pub laddr: Option<Vec<u8>>,
    pub user: Option<Vec<u8>>,
    /// Never this client (SKIPME).
    pub except: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct ClientKill {
    pub filter: ClientFilter,
    /// SKIPME: the engine adds its own client to `filter.except`.
    pub skip_me: bool,
    /// The old form `CLIENT KILL addr:port` answers `+OK` or an error, the new one a count.
    pub old_form: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Shutdown {
    /// NOW: don't wait for replies to be read.
    pub now: bool,
    /// ABORT: take a SHUTDOWN back.
    pub abort: bool,
}
