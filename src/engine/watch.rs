//! WATCH at the core of the connection. [`crate::shard`] has the side of the keys.

use super::event::{Outbox, ShardId};
use super::state::Core;
use crate::session::Watching;
use crate::store::Watcher;
use crate::txn::Message;

/// Ends what a connection watches, at all shards.
pub(super) fn forget_watching(
    core: &mut Core,
    watching: Option<Box<Watching>>,
    outbox: &mut Outbox,
) {
    let Some(watching) = watching else { return };
    for shard in watching.shards() {
        forget_watcher(core, shard, watching.watcher, outbox);
    }
}

pub(super) fn forget_watcher(
    core: &mut Core,
    shard: ShardId,
    watcher: Watcher,
    outbox: &mut Outbox,
) {
    if core.shards.is_own(shard) {
        core.shards.home_mut().end_watch(watcher);
    } else {
        outbox.messages.push((shard, Message::Unwatch(watcher)));
    }
}
