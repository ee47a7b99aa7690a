//! Answers from other shards: each fills its connection's slot, or ends a command of two halves.

use super::finish::complete;
use super::input::settle;
use super::pairs::Pair;
use super::reply::ConnReply;
use super::results;
use super::state::Here;
use crate::protocol::reply::{Reply, Values};
use crate::txn::{Holder, RemoteReply, Replies, ShardId, planted};

/// Answers from another shard: each fills its connection's slot.
pub(super) fn take_replies(here: &mut Here<'_>, from: ShardId, replies: Box<Replies>) {
    here.core.links.answered(from, replies.replies.len());
    let mut start = 0;
    // The replies to a pipeline stand together: its session is settled once.
    for of_one in replies.replies.chunk_by(|a, b| a.conn == b.conn) {
        // A command of two halves is the only one under way of its connection.
        if let [answer] = of_one
            && is_half(here, answer, &replies.bytes[start..start + answer.len])
        {
            start += answer.len;
            continue;
        }
        let mut session = here.sessions.get_mut(of_one[0].conn);
        for reply in of_one {
            let end = start + reply.len;
            if let Some(session) = &mut session {
                session.output.fill(reply.sequence, &replies.bytes[start..end]);
            }
            start = end;
        }
        if let Some(session) = session {
            settle(here.core, session, here.outbox);
        }
    }
    here.core.memory.received(replies.size());
    here.core.links.buffers_mut().keep(replies);
}

/// Ends the command, if it is one, whose other half this is the answer to; otherwise false.
#[inline]
pub(super) fn is_half(here: &mut Here<'_>, answer: &RemoteReply, reply: &[u8]) -> bool {
    if here.core.pairs.under_way.is_empty() {
        return false;
    }
    let to = ConnReply { conn: answer.conn, sequence: answer.sequence };
    let Some(pair) = here.core.pairs.under_way.remove(&to) else { return false };
    finish_pair(here, pair, reply);
    true
}

fn finish_pair(here: &mut Here<'_>, pair: Box<Pair>, other_reply: &[u8]) {
    let core = &mut *here.core;
    let (mut own_reply, mut reply) = core.pairs.take_buffers();
    let (row, owners) = (pair.row, &pair.owners);
    let into = &mut Reply::new(&mut reply, pair.run_as.encoding);
    match &pair.units {
        Some(units) => {
            let holder = Some(Holder::Part(pair.txn));
            core.shards.home_mut().run_unit(&units.own, &mut own_reply, holder);
            let parts = [Values::new(&own_reply), Values::new(other_reply)];
            results::merge_unit_values(core, &parts, owners, into);
        }
        None => {
            let run_as = pair.run_as.for_values();
            let shard = core.shards.home_mut();
            shard.run(row, pair.own_args.as_args(), run_as, &mut own_reply);
            let parts = [Values::new(&own_reply), Values::new(other_reply)];
            results::merge_values(core, row, pair.merge, &parts, owners, into);
        }
    }
    let (to, txn) = (pair.reply, pair.txn);
    core.pairs.keep(pair);
    if !planted!(core.site, LocksOfVanishedKept) || here.sessions.get_mut(to.conn).is_some() {
        let core = &mut *here.core;
        core.shards.home_mut().end(txn, core.links.buffers_mut());
    }
    complete(here, to, &reply);
    here.core.pairs.keep_buffers(own_reply, reply);
}
