//! What a core tells of itself: for INFO and MEMORY.

use super::event::ShardId;
use super::memory::ExceededTime;
use super::sessions::Sessions;
use super::state::Core;
use crate::session::Session;
use crate::shard::{CommandStats, Latencies};
use crate::store::{Db, ScanCursor, ShardStats, UnixMs};

/// What INFO needs to know of a core.
#[derive(Clone, Debug)]
pub(super) struct CoreReport {
    pub shard: ShardId,
    pub clients: usize,
    /// Clients that wait for data; those of them that don't wait for ever; and the keys of this
    /// shard at which somebody waits, whoever's client it is.
    pub blocked_clients: usize,
    pub waits_with_timeout: usize,
    pub awaited_keys: usize,
    /// Of the system's memory, what the store has taken past the allocator.
    pub mapped_memory: usize,
    /// Bytes that the shard holds, and its entries alone.
    pub used_memory: usize,
    pub entry_memory: usize,
    /// Bytes held for clients; see [`MemoryAccount::of_clients`](super::memory::MemoryAccount::of_clients).
    pub client_memory: isize,
    /// The sessions' part of it.
    pub session_memory: usize,
    /// Buffers kept for the next commands that concern other shards, and the histograms of
    /// latencies; not counted above.
    pub kept_memory: usize,
    pub facts: CoreFacts,
    pub commands: u64,
    pub ops_per_sec: u64,
    pub input_bytes_per_sec: u64,
    pub output_bytes_per_sec: u64,
    pub reads: u64,
    pub writes: u64,
    pub error_replies: u64,
    pub errors: Vec<(Box<str>, u64)>,
    pub by_command: Vec<CommandStats>,
    /// Only if they have been asked for: they are large.
    pub latencies: Latencies,
    pub stats: ShardStats,
    pub keyspace: Vec<DbReport>,
    /// The largest input kept, and the largest output unsent, of any client.
    pub input_bytes_max: usize,
    pub output_bytes_max: usize,
}

/// What a core does about its memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CoreFacts {
    /// Deleted values whose memory is still to be given back, and those whose memory has been.
    pub lazyfree_pending_objects: u64,
    pub lazyfreed_objects: u64,
    /// Clients closed for `maxmemory-clients`, which has no effect yet.
    pub evicted_clients: u64,
    pub exceeded: ExceededTime,
}

/// What INFO needs to know of a database.
#[derive(Clone, Copy, Debug)]
pub(super) struct DbReport {
    pub keys: usize,
    pub expires: usize,
    /// Hashes of which fields expire.
    pub field_expires: usize,
    /// Bytes of the table, without the entries.
    pub table_bytes: usize,
    /// Of a sample of the keys that expire; 0 if there are none.
    pub average_ttl_ms: u128,
}

pub(super) fn of(core: &Core, sessions: &Sessions) -> CoreReport {
    let (stats, rates) = (&core.stats, core.stats.rates());
    let (shard, store) = (core.shards.home(), core.shards.home().store());
    let mut commands = stats.commands.clone();
    commands.add(shard.statistics());
    let largest = |size: fn(&Session) -> usize| sessions.iter().map(size).max();
    let used_memory = store.allocated_bytes();
    debug_assert_eq!(
        core.memory.sessions(),
        sessions.memory(),
        "a session's buffers changed and nobody settled it"
    );
    CoreReport {
        shard: core.site.shard_id,
        clients: sessions.len(),
        blocked_clients: sessions.iter().filter(|s| s.is_blocked()).count(),
        waits_with_timeout: core.agenda.deadlines(),
        awaited_keys: shard.awaited_keys(),
        used_memory,
        mapped_memory: store.mapped_bytes(),
        entry_memory: store.dbs().map(Db::entry_bytes).sum(),
        client_memory: core.memory.of_clients(),
        session_memory: core.memory.sessions(),
        kept_memory: core.kept_memory() + shard.statistics().latencies().memory(),
        facts: CoreFacts {
            lazyfree_pending_objects: store.dead_objects() as u64,
            lazyfreed_objects: store.stats().lazily_freed,
            evicted_clients: 0,
            exceeded: core.memory.exceeded_time(core.site.now.monotonic_us),
        },
        commands: commands.commands,
        ops_per_sec: rates.commands,
        input_bytes_per_sec: rates.input_bytes,
        output_bytes_per_sec: rates.output_bytes,
        reads: stats.reads,
        writes: stats.writes,
        error_replies: commands.error_replies,
        errors: commands.errors.iter().map(|(code, n)| (code.clone(), *n)).collect(),
        by_command: commands.by_command().to_vec(),
        latencies: Latencies::default(),
        stats: store.stats(),
        keyspace: store.dbs().map(|db| report_db(db, core.site.now.unix_ms)).collect(),
        input_bytes_max: largest(|session| session.input.len()).unwrap_or(0),
        output_bytes_max: largest(|session| session.output.unsent_bytes()).unwrap_or(0),
    }
}

/// Keys that the average time to live of a database is taken from. The order of the table has
/// nothing to do with expiries, so the first ones are as good as any.
const TTL_SAMPLE: usize = 256;

fn report_db(db: &Db, now: UnixMs) -> DbReport {
    let (mut sum, mut count) = (0, 0);
    if db.expiring() > 0 {
        db.scan(ScanCursor::default(), TTL_SAMPLE, now, |entry| {
            if let Some(expiry) = entry.expiry() {
                sum += u128::from(expiry.saturating_sub(now));
                count += 1;
            }
        });
    }
    DbReport {
        keys: db.len(),
        expires: db.expiring(),
        field_expires: db.field_expiring(),
        table_bytes: db.allocated_bytes().saturating_sub(db.entry_bytes()),
        average_ttl_ms: sum / count.max(1),
    }
}
