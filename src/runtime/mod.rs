//! The only place that knows glommio, io_uring, sockets, threads and clocks.
//!
//! | file | what it does |
//! |---|---|
//! | `server` | starts everything in order, and ends it |
//! | `startup` | what can keep the server from starting, with remedies |
//! | `cpus`, `limits`, `cgroups`, `host` | processors, limits, facts about the machine |
//! | `listener`, `accepted` | listening sockets; who has connected |
//! | [`ring`] | the network ring of a thread: connections, buffers, operations; knows no engine |
//! | `driver` | a thread's loop between its ring and the engines of the cores that it runs |
//! | `hosted` | a core, and what belongs to it whichever thread runs it |
//! | `plan` | which thread is to run which core |
//! | `post` | inboxes and doorbells: how cores reach each other, asleep or not; model-checked |
//! | `inbox` | what crosses threads, and what the post of the server is made of |
//! | `linger` | closing so that the peer can read the last words |
//! | `control` | signals, shutdown, and work that blocks: the executor that owns no shard |
//! | `rewrite` | CONFIG REWRITE's file |
//! | `notify`, `pidfile` | the service manager; the file with the process id |
//! | `logging`, `clock` | the log; the time |
//!
//! # Threads
//!
//! glommio runs each core: one executor per shard, pinned, with the driver as its only task, plus
//! the control executor on the main thread. The sockets go through a ring of our own per core,
//! because glommio's streams cost a receive call, a send call and a poll per request.
//!
//! glommio is `glommio-ng` 0.12, the community line with the fixes since 0.9.0. Nothing outside
//! this module names it.

mod accepted;
mod cgroups;
mod clock;
mod control;
mod cpus;
mod driver;
mod host;
mod hosted;
mod inbox;
mod limits;
mod linger;
mod listener;
mod logging;
mod notify;
mod pidfile;
mod plan;
mod post;
mod rewrite;
pub mod ring;
mod server;
mod startup;

pub use server::run;
pub use startup::StartupError;
