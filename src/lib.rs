//! Ringwell: a Redis-compatible cache server for dedicated Linux hosts.
//!
//! Every pinned core owns one shard of the keyspace, its own io_uring and its own `SO_REUSEPORT`
//! listener. Nothing on the request path is shared between cores; what must cross cores crosses as
//! a message.
//!
//! # The map
//!
//! Imports point downwards only; `tests/layers.rs` holds them to it.
//!
//! | module | what it is | may import |
//! |---|---|---|
//! | [`runtime`] | glommio, io_uring, sockets, channels, clocks, signals: the only place that does I/O | everything |
//! | [`engine`] | one core: sessions + the shards it owns + coordinator; a pure state machine | everything below |
//! | [`shard`] | one shard: its store, locks, waiting clients, watches; runs commands for whoever holds it | txn, commands, store, protocol, config, text |
//! | [`session`] | one connection: decoder, AUTH/HELLO/SELECT state, ordered reply slots | txn, protocol, commands, store, access, text |
//! | [`txn`] | which shards a command needs; locks; the messages between shards | commands, store, protocol, text |
//! | [`commands`] | one table of rows (name, arity, flags, key spec, handler); one file per family | store, protocol, config, access, text |
//! | [`store`] | one shard's data: table, entries, expiry, memory accounting; single-threaded | text |
//! | [`protocol`] | RESP: sans-io decode and encode; knows no store and no sockets | text |
//! | [`access`] | `AccessPolicy`: one immutable value, one decision function | config, text |
//! | [`config`] | one table of directives: file + arguments to a validated `Config`; GET, SET, REWRITE | text |
//! | [`text`] | numbers, globs and quoting as Redis reads and writes them | nothing |
//!
//! # The life of a request
//!
//! The ring completes a receive; the driver ([`runtime`]) hands the bytes to the [`engine`]; the
//! session's decoder yields borrowed arguments; the command table gives the row; the key spec names
//! the shard. A key of this shard runs at once, its reply written straight into the connection's
//! output. A key of another shard travels in that peer's batch, and its reply fills the slot that
//! the session reserved, so replies leave in the order of the requests. At the end of the pass every
//! connection with output gets one send.

pub mod access;
pub mod commands;
pub mod config;
pub mod engine;
pub mod protocol;
pub mod runtime;
pub mod session;
pub mod shard;
pub mod store;
pub mod text;
pub mod txn;

/// The allocator whose size classes `store::memory` accounts for.
#[cfg(not(miri))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
