//! What a handler works on: one shard, one database, one moment, one reply.

use super::CommandError;
use crate::config::Config;
use crate::protocol::reply::Reply;
use crate::store::{Db, EntryRef, Shard, UnixMs};

/// Lent to a handler for one call. Handlers are plain functions on it: they never wait, never see a
/// socket, a session or another shard.
pub struct Context<'a> {
    pub shard: &'a mut Shard,
    /// The database that the connection selected.
    pub db_index: usize,
    /// The time, the same for the whole command.
    pub now: UnixMs,
    pub config: &'a Config,
    pub reply: Reply<'a>,
    /// Which shard this is, of how many.
    pub shard_index: usize,
    pub shard_count: usize,
}

impl Context<'_> {
    #[inline]
    pub fn db(&self) -> &Db {
        self.shard.db(self.db_index)
    }

    #[inline]
    pub fn db_mut(&mut self) -> &mut Db {
        self.shard.db_mut(self.db_index)
    }

    /// The entry at a key that a client reads: counted as a hit or a miss.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.shard.read(self.db_index, key, self.now)
    }

    /// As [`Context::read`], for commands that only ask about an entry: it does not count as used.
    pub fn glance(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.shard.glance(self.db_index, key, self.now)
    }

    /// The entry at a key, not counted.
    pub fn peek(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.db().get(key, self.now)
    }

    /// Refuses databases that `databases` leaves out: SELECT could never reach them.
    pub fn check_database(&self, index: usize) -> Result<(), CommandError> {
        check_database(self.config, index)
    }

    /// Refuses to go on with a reply that repeats what a short request names again and again: it may
    /// hold as much as one request may, and no more.
    ///
    /// # Errors
    /// The reply has become longer than that.
    #[inline]
    pub fn check_reply(&self) -> Result<(), CommandError> {
        if self.reply.position() > reply_bytes_max(self.config) {
            return Err(CommandError::ReplyTooLong);
        }
        Ok(())
    }

    /// The longest string that may be stored, bytes.
    pub fn string_bytes_max(&self) -> usize {
        usize::try_from(self.config.proto_max_bulk_len).unwrap_or(usize::MAX)
    }
}

/// See [`Context::check_database`].
pub(super) fn check_database(config: &Config, index: usize) -> Result<(), CommandError> {
    if index as u64 >= u64::from(config.databases) {
        return Err(CommandError::text("ERR DB index is out of range"));
    }
    Ok(())
}

/// The longest reply to a command whose request may be far shorter, bytes.
pub fn reply_bytes_max(config: &Config) -> usize {
    let bytes = config.client_query_buffer_limit.max(config.proto_max_bulk_len);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
