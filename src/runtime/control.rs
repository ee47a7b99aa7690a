//! The control executor, on the main thread: signals, the end of the process, and work that
//! blocks. It owns no shard, so nothing here can hold up a request.

use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use glommio::io::PollableFd;
use glommio::signal::Signals;
use glommio::timer::Timer;

use super::inbox::{Doorbell, Parcel, Post};
use super::{notify, rewrite};
use crate::config::Config;
use crate::engine::{ShardId, Shared, Ticket};

/// The signals that end the server.
pub const SIGNALS: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// However long `shutdown-timeout` is: there is nothing to save, only replies to flush.
const STOP_MAX: Duration = Duration::from_secs(3);
/// A core that has not ended so long after its deadline is stuck in a command.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// What the control executor is asked to do.
#[derive(Debug)]
pub enum Request {
    RewriteConfig {
        shard: ShardId,
        ticket: Ticket,
        config: Arc<Config>,
    },
    /// End the process; `now` skips waiting for clients that do not read.
    Stop {
        now: bool,
    },
    /// A core has ended: as it was told to, or because it cannot go on.
    CoreEnded {
        shard: ShardId,
        result: Result<(), String>,
    },
    Signal(i32),
    /// The cores should have ended by now.
    Overdue,
}

/// Sends requests to the control executor, from any thread.
#[derive(Clone, Debug)]
pub struct ControlHandle {
    sender: Sender<Request>,
    bell: Arc<Doorbell>,
}

impl ControlHandle {
    pub fn ask(&self, request: Request) {
        // Fails only when the process is about to end.
        let _ = self.sender.send(request);
        self.bell.ring();
    }
}

/// The receiving side.
#[derive(Debug)]
pub struct Control {
    receiver: Receiver<Request>,
    handle: ControlHandle,
}

/// What the control executor needs to know of the process.
#[derive(Debug)]
pub struct Subject {
    pub post: Arc<Post>,
    pub shared: Arc<Shared>,
    pub config_file: Option<PathBuf>,
    /// What the clocks of the cores count from.
    pub started: Instant,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Orderly,
    /// A SIGINT while stopping, or a core that failed.
    AtOnce,
}

impl Control {
    /// # Errors
    /// No descriptors left.
    pub fn new() -> std::io::Result<(Control, ControlHandle)> {
        let (sender, receiver) = unbounded();
        let handle = ControlHandle { sender, bell: Arc::new(Doorbell::new()?) };
        Ok((Control { receiver, handle: handle.clone() }, handle))
    }

    /// Runs on the control executor until the process is to end. Calls `begin` once nothing more
    /// can be missing.
    ///
    /// # Errors
    /// Signals or the doorbell cannot be watched.
    pub async fn run(
        self,
        subject: Subject,
        begin: impl FnOnce(&Subject),
    ) -> glommio::Result<Ending, ()> {
        let signals = Signals::new(&SIGNALS)?;
        let handle = self.handle.clone();
        let watcher = glommio::spawn_local(async move {
            while let Ok(signal) = signals.recv().await {
                handle.ask(Request::Signal(signal));
            }
        });
        let bell = PollableFd::new(BellFd(self.handle.bell.fd().as_raw_fd()))?;
        begin(&subject);
        let mut running = subject.post.cores();
        let mut stopping = false;
        let ending = loop {
            let Ok(request) = self.receiver.try_recv() else {
                self.handle.bell.clear();
                if self.receiver.is_empty() {
                    bell.readable().await?;
                }
                continue;
            };
            match request {
                Request::RewriteConfig { shard, ticket, config } => {
                    let result = subject.rewrite_config(&config);
                    subject.post.deliver(shard, Parcel::EffectDone { ticket, result });
                }
                Request::Signal(libc::SIGINT) if stopping => {
                    tracing::warn!("Received SIGINT while stopping: exiting at once");
                    break Ending::AtOnce;
                }
                // As in Redis, only Ctrl-C insists: some supervisors signal the process and its
                // group, which looks like two signals.
                Request::Signal(_) if stopping => {}
                Request::Signal(signal) => {
                    tracing::warn!("Received {}, stopping", name(signal));
                    stopping = true;
                    self.stop(&subject, false);
                }
                Request::Stop { now } => {
                    tracing::warn!("User requested shutdown, stopping");
                    stopping = true;
                    self.stop(&subject, now);
                }
                Request::CoreEnded { shard, result: Err(reason) } => {
                    tracing::error!("shard {shard} cannot go on: {reason}");
                    break Ending::AtOnce;
                }
                Request::CoreEnded { .. } => {
                    running -= 1;
                    if running == 0 {
                        break Ending::Orderly;
                    }
                }
                Request::Overdue => {
                    tracing::warn!("{running} shards are still busy: exiting without them");
                    break Ending::Orderly;
                }
            }
        };
        watcher.cancel().await;
        Ok(ending)
    }

    /// Tells every core to stop.
    fn stop(&self, subject: &Subject, now: bool) {
        notify::tell(notify::STOPPING);
        let timeout = subject.shared.settings().config.shutdown_timeout;
        let patience = match now {
            true => Duration::ZERO,
            false => Duration::from_secs(u64::from(timeout)).min(STOP_MAX),
        };
        let deadline = subject.started.elapsed() + patience;
        let deadline_us = u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX);
        for thread in 0..subject.post.cores() {
            subject.post.deliver_to_thread(thread, Parcel::Stop { deadline_us });
        }
        let handle = self.handle.clone();
        glommio::spawn_local(async move {
            Timer::new(patience + STUCK_AFTER).await;
            handle.ask(Request::Overdue);
        })
        .detach();
    }
}

impl Subject {
    fn rewrite_config(&self, config: &Config) -> Result<(), String> {
        match &self.config_file {
            Some(path) => rewrite::rewrite(path, config),
            None => Err("The server is running without a config file".into()),
        }
    }
}

/// A descriptor that somebody else keeps open.
#[derive(Debug)]
struct BellFd(RawFd);

impl AsRawFd for BellFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGTERM => "SIGTERM",
        libc::SIGINT => "SIGINT",
        _ => "a signal",
    }
}
