//! Mistakes that the simulation plants, to prove that its checks would find them.
//!
//! Each is one that code like this is prone to, at the place where it would be made. An engine makes
//! it only if `Engine::plant` has told it to. Without `debug_assertions` there is no such function,
//! [`Planted`] has no size, and what depends on [`planted!`](planted) is not compiled in.

/// A way to get transactions wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A command that reads on one shard does not wait for a command that is still acquiring its
    /// locks elsewhere.
    ReadSlipsIn,
    /// A newcomer that is compatible with those who hold a lock overtakes those who wait for it.
    NewcomerOvertakes,
    /// Of those who wait for a lock, the last gets it first.
    GrantedOutOfOrder,
    /// A shared lock is granted beside an exclusive one.
    SharedBesideExclusive,
    /// A part does not wait for those of its locks that somebody holds.
    RunsBeforeLocked,
    /// Who waits for the first of a command's keys is not granted it at the release.
    WakeUpLost,
    /// A shard's locks are released at its result, not at the last one.
    ReleasedEarly,
    /// A shard's own locks are taken as if no other command had come for them first.
    OrderNotSettled,
    /// What every core does its part of comes to one core after the other, and connections may move
    /// in between.
    TasksNotOrdered,
    /// What a connection sends behind a command on several shards does not wait for it.
    OvertakesOwn,
    /// A command on several keys of one shard does not wait for those of its connection that wait
    /// there, nor they for it.
    TurnNotKept,
    /// What RENAME or COPY leaves at a key is not stored.
    StoreLost,
    /// What RENAME or COPY leaves at a key is stored behind what waited for its lock.
    StoredAfterRelease,
    /// A change does not break the watches on its key.
    ChangeUnnoticed,
    /// EXEC does not look whether its watches are whole, so it knows only what it has been told.
    WatchNotLookedAt,
    /// EXEC runs when one of its shards has found its watches whole.
    WatchesNotAgreed,
    /// An EXEC whose commands run in turn lets its locks go before the first of them.
    ExecInterleaved,
    /// The locks of a client that has gone are kept.
    LocksOfVanishedKept,
    /// The watches of a client that has gone are kept.
    WatchesOfVanishedKept,
    /// Two shards serve one client that waits at both.
    ServedTwice,
    /// The last who came to wait at a key is served first.
    ServedOutOfOrder,
    /// An EXEC serves who waits before its last command has run.
    ServedBeforeTheEnd,
    /// A release does not look at who waits for what has been modified.
    ReleaseServesNobody,
    /// Who has to wait begins to after the locks have gone, without looking again.
    WaitsTooLate,
    /// What a client that has gone waited for is taken for it.
    ServedThoughVanished,
    /// The end of a command that had to wait does not look at what was set aside because of it.
    EndNotLookedAt,
    /// A command that had to wait lets its locks go before it runs.
    LetGoBeforeRun,
}

impl Fault {
    pub const ALL: [Fault; 27] = [
        Fault::ReadSlipsIn,
        Fault::NewcomerOvertakes,
        Fault::GrantedOutOfOrder,
        Fault::SharedBesideExclusive,
        Fault::RunsBeforeLocked,
        Fault::WakeUpLost,
        Fault::ReleasedEarly,
        Fault::OrderNotSettled,
        Fault::TasksNotOrdered,
        Fault::OvertakesOwn,
        Fault::TurnNotKept,
        Fault::StoreLost,
        Fault::StoredAfterRelease,
        Fault::ChangeUnnoticed,
        Fault::WatchNotLookedAt,
        Fault::WatchesNotAgreed,
        Fault::ExecInterleaved,
        Fault::LocksOfVanishedKept,
        Fault::WatchesOfVanishedKept,
        Fault::ServedTwice,
        Fault::ServedOutOfOrder,
        Fault::ServedBeforeTheEnd,
        Fault::ReleaseServesNobody,
        Fault::WaitsTooLate,
        Fault::ServedThoughVanished,
        Fault::EndNotLookedAt,
        Fault::LetGoBeforeRun,
    ];
}

/// Whether a fault is planted in this owner of a [`Planted`]: the one way to ask, so that the points
/// are found by the name of the fault.
macro_rules! planted {
    ($owner:expr, $fault:ident) => {
        $owner.planted.is($crate::txn::Fault::$fault)
    };
}
pub(crate) use planted;

/// The fault of one engine, if it has one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Planted(#[cfg(debug_assertions)] Option<Fault>);

#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Planted>() == 0);

impl Planted {
    #[cfg(debug_assertions)]
    pub fn new(fault: Fault) -> Self {
        Planted(Some(fault))
    }

    #[cfg(debug_assertions)]
    #[inline]
    pub fn is(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }

    #[cfg(not(debug_assertions))]
    #[inline(always)]
    pub const fn is(self, _: Fault) -> bool {
        false
    }
}
