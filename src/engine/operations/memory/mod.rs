//! MEMORY, but for USAGE and HELP, which need no engine.

mod doctor;
mod overview;

pub(super) use overview::Overview;

use super::super::every_core::EveryCore;
use super::super::reply::reply_now;
use super::super::report::{self, CoreReport};
use super::super::state::Here;
use super::asked::Asked;
use super::facts::Facts;
use crate::commands::Outcome;
use crate::protocol::reply::Reply;
use doctor::Patient;

pub(super) fn stats(asked: &mut Asked<'_>) -> Outcome {
    asked.every_core(Stats)
}

pub(super) fn doctor(asked: &mut Asked<'_>) -> Outcome {
    asked.every_core(Doctor)
}

struct Doctor;

impl EveryCore for Doctor {
    type Answer = CoreReport;

    fn run(&self, here: &mut Here<'_>) -> CoreReport {
        report::of(here.core, here.sessions)
    }

    fn merge(&self, here: &mut Here<'_>, reports: &[&CoreReport], reply: &mut Reply<'_>) {
        let facts = Facts::new(here.core, reports);
        reply.verbatim(&doctor::diagnose(&Patient::of(&facts)));
    }
}

pub(super) fn purge(asked: &mut Asked<'_>) -> Outcome {
    asked.every_core(Purge)
}

/// Free memory goes back to the system.
struct Purge;

impl EveryCore for Purge {
    type Answer = ();

    fn run(&self, here: &mut Here<'_>) {
        let core = &mut *here.core;
        core.shards.home_mut().store_mut().trim();
        core.give_buffers_back();
        core.site.shared.host.release_memory();
    }

    fn merge(&self, _: &mut Here<'_>, _: &[&()], reply: &mut Reply<'_>) {
        reply.ok();
    }
}

pub(super) fn malloc_stats(asked: &mut Asked<'_>) -> Outcome {
    let report = asked.core.site.shared.host.allocator_report();
    reply_now(asked.session, |reply| match report.as_str() {
        "" => reply.verbatim("The allocator tells nothing about itself."),
        report => reply.verbatim(report),
    });
    Ok(())
}

/// The value of one field of MEMORY STATS.
enum Value {
    Bytes(u64),
    Signed(i64),
    Real(f64),
    /// Of a database: its tables.
    Database(u64),
}

struct Stats;

impl EveryCore for Stats {
    type Answer = CoreReport;

    fn run(&self, here: &mut Here<'_>) -> CoreReport {
        report::of(here.core, here.sessions)
    }

    fn merge(&self, here: &mut Here<'_>, reports: &[&CoreReport], reply: &mut Reply<'_>) {
        write_stats(&Facts::new(here.core, reports), reply);
    }
}

/// Redis's fields in Redis's order; 0 where there is nothing of that kind here.
fn write_stats(facts: &Facts<'_>, reply: &mut Reply<'_>) {
    use Value::{Bytes, Real, Signed};
    let memory = Overview::of(facts);
    let fields = |fields: &[(&str, Value)], reply: &mut Reply<'_>| {
        for (name, value) in fields {
            write_field(reply, name, value);
        }
    };
    let head = [
        ("peak.allocated", Bytes(memory.peak)),
        ("total.allocated", Bytes(memory.used())),
        ("startup.allocated", Bytes(memory.startup)),
        ("replication.backlog", Bytes(0)),
        ("clients.slaves", Bytes(0)),
        ("clients.normal", Bytes(memory.clients)),
        ("cluster.links", Bytes(0)),
        ("aof.buffer", Bytes(0)),
        ("lua.caches", Bytes(0)),
        ("functions.caches", Bytes(0)),
    ];
    let (allocator, allocator_rss) = (memory.allocator_fragmentation(), memory.allocator_rss());
    let (outside, total) = (memory.rss_overhead(), memory.fragmentation());
    let tail = [
        ("overhead.total", Bytes(memory.overhead())),
        ("keys.count", Bytes(memory.keys)),
        ("keys.bytes-per-key", Bytes(memory.bytes_per_key())),
        ("dataset.bytes", Bytes(memory.entries)),
        ("dataset.percentage", Real(memory.dataset_percent())),
        ("peak.percentage", Real(memory.peak_percent())),
        ("allocator.allocated", Bytes(memory.used())),
        ("allocator.active", Bytes(memory.committed)),
        ("allocator.resident", Bytes(memory.allocator_resident())),
        ("allocator-fragmentation.ratio", Real(allocator.ratio)),
        ("allocator-fragmentation.bytes", Signed(allocator.bytes)),
        ("allocator-rss.ratio", Real(allocator_rss.ratio)),
        ("allocator-rss.bytes", Signed(allocator_rss.bytes)),
        ("rss-overhead.ratio", Real(outside.ratio)),
        ("rss-overhead.bytes", Signed(outside.bytes)),
        ("fragmentation", Real(total.ratio)),
        ("fragmentation.bytes", Signed(total.bytes)),
    ];
    let databases = databases(facts.reports);
    reply.map(head.len() + databases.len() + tail.len());
    fields(&head, reply);
    for (index, bytes) in databases {
        write_field(reply, &format!("db.{index}"), &Value::Database(bytes));
    }
    fields(&tail, reply);
}

/// The databases that hold keys, and the bytes of their tables on all shards.
fn databases(reports: &[&CoreReport]) -> Vec<(usize, u64)> {
    let count = reports.first().map_or(0, |core| core.keyspace.len());
    let database = |index: usize| {
        let of_cores = reports.iter().filter_map(|core| core.keyspace.get(index));
        let (keys, bytes) =
            of_cores.fold((0, 0), |sum, db| (sum.0 + db.keys, sum.1 + db.table_bytes as u64));
        (keys > 0).then_some((index, bytes))
    };
    (0..count).filter_map(database).collect()
}

fn write_field(reply: &mut Reply<'_>, name: &str, value: &Value) {
    reply.bulk(name.as_bytes());
    match *value {
        Value::Bytes(bytes) => reply.integer(i64::try_from(bytes).unwrap_or(i64::MAX)),
        Value::Signed(bytes) => reply.integer(bytes),
        Value::Real(number) => reply.double(number),
        Value::Database(bytes) => {
            reply.map(3);
            write_field(reply, "overhead.hashtable.main", &Value::Bytes(bytes));
            // An expiry is kept in its entry, and slots have no lists of keys.
            write_field(reply, "overhead.hashtable.expires", &Value::Bytes(0));
            write_field(reply, "overhead.hashtable.slot-to-keys", &Value::Bytes(0));
        }
    }
}
