//! WATCH at the core of the connection. [`crate::shard`] has the side of the keys.

use super::coordinate::{Kind, Transaction};
use super::event::{ConnId, Outbox, ShardId};
use super::state::Core;
use super::{Engine, exec};
use crate::session::Watching;
use crate::store::Watcher;
use crate::txn::{Fault, Message};

impl Core {
    /// Ends what a connection watches, at all shards.
    pub fn forget_watching(&mut self, watching: Option<Box<Watching>>, outbox: &mut Outbox) {
        let Some(watching) = watching else { return };
        for shard in watching.shards() {
            self.forget_watcher(shard, watching.watcher, outbox);
        }
    }

    pub fn forget_watcher(&mut self, shard: ShardId, watcher: Watcher, outbox: &mut Outbox) {
        if self.shards.is_own(shard) {
            self.shards.home_mut().end_watch(watcher);
        } else {
            outbox.messages.push((shard, Message::Unwatch(watcher)));
        }
    }
}

impl Engine {
    pub(super) fn watch_broken(&mut self, conn: ConnId, watcher: Watcher) {
        if let Some(session) = self.sessions.get_mut(conn)
            && let Some(watching) = &mut session.watching
            && watching.watcher == watcher
        {
            watching.broken = true;
        }
    }

    /// All keys of a WATCH are watched. If the connection has gone, nobody else will forget them.
    pub(super) fn finish_watch(&mut self, transaction: &Transaction, outbox: &mut Outbox) {
        let Kind::Watch { watcher } = transaction.kind else { return };
        if self.sessions.get_mut(transaction.reply.conn).is_none() {
            for &(shard, _) in &transaction.parts {
                self.core.forget_watcher(shard, watcher, outbox);
            }
        }
    }

    /// A connection has ended: what it had queued and watched is forgotten. An EXEC that has begun
    /// goes on to its end.
    pub(super) fn forget_connection(&mut self, conn: ConnId, outbox: &mut Outbox) {
        let session = self.sessions.get_mut(conn).filter(|session| !session.gone);
        let Some(session) = session else { return };
        session.multi = None;
        self.core.forget_wait(session, outbox);
        let watching = session.watching.take();
        if exec::is_running(session) {
            session.gone = true;
            self.sessions.detach(conn);
        } else if let Some(session) = self.sessions.remove(conn) {
            self.core.memory.forget(&session);
        }
        if !self.core.site.planted.is(Fault::WatchesOfVanishedKept) {
            self.core.forget_watching(watching, outbox);
        }
    }
}
