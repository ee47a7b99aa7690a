//! The fields of each section, in Redis 7.2's order. A constant stands where Redis counts something
//! that does not exist here: persistence, replication, scripts, tracking.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::super::report::{CoreFacts, CoreReport};
use super::super::super::shared::CoreCounters;
use super::super::facts::Facts;
use super::super::memory::Overview;
use super::super::session::REDIS_VERSION;
use super::fields::Fields;
use crate::access::Reason;
use crate::shard::{self, CommandStats};

const SECONDS_PER_DAY: u64 = 86_400;
/// Redis keeps 24 bits of the seconds.
const LRU_CLOCK_MAX: u64 = (1 << 24) - 1;

pub(super) fn server(facts: &Facts<'_>, fields: &mut Fields) {
    let (core, host, config) = (facts.core, &facts.host, &facts.core.site.settings.config);
    let uptime = core.site.now.unix_ms.saturating_sub(core.site.shared.started_unix_ms) / 1000;
    fields.add("redis_version", REDIS_VERSION);
    fields.add("ringwell_version", env!("CARGO_PKG_VERSION"));
    fields.add("redis_git_sha1", "00000000");
    fields.add("redis_git_dirty", 0);
    fields.add("redis_build_id", "0000000000000000");
    fields.add("redis_mode", "standalone");
    fields.add("os", &host.os);
    fields.add("arch_bits", usize::BITS);
    fields.add("monotonic_clock", "POSIX clock_gettime");
    fields.add("multiplexing_api", "io_uring");
    fields.add("atomicvar_api", "rust-std");
    fields.add("gcc_version", "0.0.0");
    fields.add("process_id", host.pid);
    fields.add("process_supervised", "no");
    fields.add("run_id", &core.site.shared.run_id);
    fields.add("tcp_port", config.port);
    fields.add("server_time_usec", core.site.now.unix_ms.saturating_mul(1000));
    fields.add("uptime_in_seconds", uptime);
    fields.add("uptime_in_days", uptime / SECONDS_PER_DAY);
    fields.add("hz", config.hz);
    fields.add("configured_hz", config.hz);
    fields.add("lru_clock", (core.site.now.unix_ms / 1000) & LRU_CLOCK_MAX);
    fields.add("executable", &host.executable);
    fields.add("config_file", &host.config_file);
    fields.add("io_threads_active", 0);
}

pub(super) fn clients(facts: &Facts<'_>, fields: &mut Fields) {
    fields.add("connected_clients", facts.sum(|core| core.clients as u64));
    fields.add("cluster_connections", 0);
    fields.add("maxclients", facts.core.site.settings.config.maxclients);
    fields.add("client_recent_max_input_buffer", facts.max(|core| core.input_bytes_max));
    fields.add("client_recent_max_output_buffer", facts.max(|core| core.output_bytes_max));
    fields.add("blocked_clients", facts.sum(|core| core.blocked_clients as u64));
    fields.add("tracking_clients", 0);
    fields.add("clients_in_timeout_table", facts.sum(|core| core.waits_with_timeout as u64));
    fields.add("total_blocking_keys", facts.sum(|core| core.awaited_keys as u64));
    fields.add("total_blocking_keys_on_nokey", 0);
}

pub(super) fn memory(facts: &Facts<'_>, fields: &mut Fields) {
    let (core, host, config) = (facts.core, &facts.host, &facts.core.site.settings.config);
    let memory = Overview::of(facts);
    let (used, peak) = (memory.used(), memory.peak);

    fields.bytes("used_memory", used);
    fields.bytes("used_memory_rss", memory.rss);
    fields.bytes("used_memory_peak", peak);
    fields.add("used_memory_peak_perc", format_args!("{:.2}%", memory.peak_percent()));
    fields.add("used_memory_overhead", memory.overhead());
    fields.add("used_memory_startup", memory.startup);
    fields.add("used_memory_dataset", memory.entries);
    fields.add("used_memory_dataset_perc", format_args!("{:.2}%", memory.dataset_percent()));
    fields.add("allocator_allocated", used);
    fields.add("allocator_active", memory.committed);
    fields.add("allocator_resident", memory.allocator_resident());
    fields.bytes("total_system_memory", host.total_system_memory_bytes);
    fields.add("used_memory_lua", 0);
    fields.add("used_memory_vm_eval", 0);
    fields.add("used_memory_lua_human", "0B");
    fields.constants(
        &[
            "used_memory_scripts_eval",
            "number_of_cached_scripts",
            "number_of_functions",
            "number_of_libraries",
            "used_memory_vm_functions",
        ],
        0,
    );
    fields.bytes("used_memory_vm_total", 0);
    fields.add("used_memory_functions", 0);
    fields.bytes("used_memory_scripts", 0);
    fields.bytes("maxmemory", core.site.maxmemory_bytes());
    fields.add("maxmemory_policy", config.maxmemory_policy.name());
    for (ratio, bytes, excess) in [
        ("allocator_frag_ratio", "allocator_frag_bytes", memory.allocator_fragmentation()),
        ("allocator_rss_ratio", "allocator_rss_bytes", memory.allocator_rss()),
        ("rss_overhead_ratio", "rss_overhead_bytes", memory.rss_overhead()),
        ("mem_fragmentation_ratio", "mem_fragmentation_bytes", memory.fragmentation()),
    ] {
        fields.add(ratio, format_args!("{:.2}", excess.ratio));
        fields.add(bytes, excess.bytes);
    }
    fields.add("mem_not_counted_for_evict", 0);
    // Not a field of Redis: what the process takes by itself, not counted as used.
    fields.add("used_memory_server", memory.own());
    fields.constants(
        &["mem_replication_backlog", "mem_total_replication_buffers", "mem_clients_slaves"],
        0,
    );
    fields.add("mem_clients_normal", memory.clients);
    fields.constants(&["mem_cluster_links", "mem_aof_buffer"], 0);
    fields.add("mem_allocator", "mimalloc");
    fields.add("active_defrag_running", 0);
    let lazyfree = |of: fn(&CoreFacts) -> u64| facts.sum(|core| of(&core.facts));
    fields.add("lazyfree_pending_objects", lazyfree(|facts| facts.lazyfree_pending_objects));
    fields.add("lazyfreed_objects", lazyfree(|facts| facts.lazyfreed_objects));
}

pub(super) fn persistence(facts: &Facts<'_>, fields: &mut Fields) {
    fields.constants(
        &[
            "loading",
            "async_loading",
            "current_cow_peak",
            "current_cow_size",
            "current_cow_size_age",
        ],
        0,
    );
    fields.add("current_fork_perc", "0.00");
    fields.constants(
        &[
            "current_save_keys_processed",
            "current_save_keys_total",
            "rdb_changes_since_last_save",
            "rdb_bgsave_in_progress",
        ],
        0,
    );
    fields.add("rdb_last_save_time", facts.core.site.shared.started_unix_ms / 1000);
    fields.add("rdb_last_bgsave_status", "ok");
    fields.constants(&["rdb_last_bgsave_time_sec", "rdb_current_bgsave_time_sec"], -1);
    fields.constants(
        &[
            "rdb_saves",
            "rdb_last_cow_size",
            "rdb_last_load_keys_expired",
            "rdb_last_load_keys_loaded",
            "aof_enabled",
            "aof_rewrite_in_progress",
            "aof_rewrite_scheduled",
        ],
        0,
    );
    fields.constants(&["aof_last_rewrite_time_sec", "aof_current_rewrite_time_sec"], -1);
    fields.add("aof_last_bgrewrite_status", "ok");
    fields.constants(&["aof_rewrites", "aof_rewrites_consecutive_failures"], 0);
    fields.add("aof_last_write_status", "ok");
    fields.constants(
        &["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"],
        0,
    );
}

pub(super) fn stats(facts: &Facts<'_>, fields: &mut Fields) {
    let cores = &facts.core.site.shared.cores;
    let all = |counter: fn(&CoreCounters) -> &AtomicU64| -> u64 {
        cores.iter().map(|core| counter(core).load(Ordering::Relaxed)).sum()
    };
    let kbps = |bytes_per_sec: u64| format!("{:.2}", bytes_per_sec as f64 / 1024.0);
    let access = &facts.core.site.shared.access;
    let refused = |reason| access.refusals(reason).load(Ordering::Relaxed);
    let auth_failures = access.auth_failures.load(Ordering::Relaxed);

    fields.add("total_connections_received", all(|core| &core.connections_received));
    fields.add("total_commands_processed", facts.sum(|core| core.commands));
    fields.add("instantaneous_ops_per_sec", facts.sum(|core| core.ops_per_sec));
    fields.add("total_net_input_bytes", all(|core| &core.net_input_bytes));
    fields.add("total_net_output_bytes", all(|core| &core.net_output_bytes));
    fields.constants(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"], 0);
    fields.add("instantaneous_input_kbps", kbps(facts.sum(|core| core.input_bytes_per_sec)));
    fields.add("instantaneous_output_kbps", kbps(facts.sum(|core| core.output_bytes_per_sec)));
    fields.constants(&["instantaneous_input_repl_kbps", "instantaneous_output_repl_kbps"], "0.00");
    fields.add("rejected_connections", refused(Reason::MaxClients));
    fields.add("access_accepted", access.accepted.load(Ordering::Relaxed));
    fields.add("access_refused_protected_mode", refused(Reason::ProtectedMode));
    fields.add("access_refused_allow_from", refused(Reason::AllowFrom));
    fields.add("auth_failures", auth_failures);
    fields.constants(&["sync_full", "sync_partial_ok", "sync_partial_err"], 0);
    fields.add("expired_subkeys", facts.sum(|core| core.stats.expired_fields));
    fields.add("expired_keys", facts.sum(|core| core.stats.expired_keys));
    fields.add("expired_stale_perc", "0.00");
    fields.constants(&["expired_time_cap_reached_count", "expire_cycle_cpu_milliseconds"], 0);
    fields.add("evicted_keys", facts.sum(|core| core.stats.evicted_keys));
    fields.add("evicted_clients", facts.sum(|core| core.facts.evicted_clients));
    // All cores compare the same sum with the limit; the first to notice knows best.
    let longest = |of: fn(&CoreReport) -> u64| {
        facts.reports.iter().map(|core| of(core) / 1000).max().unwrap_or(0)
    };
    let total = longest(|core| core.facts.exceeded.total_us);
    fields.add("total_eviction_exceeded_time", total);
    let current = longest(|core| core.facts.exceeded.current_us);
    fields.add("current_eviction_exceeded_time", current);
    fields.add("keyspace_hits", facts.sum(|core| core.stats.keyspace_hits));
    fields.add("keyspace_misses", facts.sum(|core| core.stats.keyspace_misses));
    fields.constants(
        &[
            "pubsub_channels",
            "pubsub_patterns",
            "pubsubshard_channels",
            "latest_fork_usec",
            "total_forks",
            "migrate_cached_sockets",
            "slave_expires_tracked_keys",
            "active_defrag_hits",
            "active_defrag_misses",
            "active_defrag_key_hits",
            "active_defrag_key_misses",
            "total_active_defrag_time",
            "current_active_defrag_time",
            "tracking_total_keys",
            "tracking_total_items",
            "tracking_total_prefixes",
            "unexpected_error_replies",
        ],
        0,
    );
    fields.add("total_error_replies", facts.sum(|core| core.error_replies));
    fields.add("dump_payload_sanitizations", 0);
    fields.add("total_reads_processed", facts.sum(|core| core.reads));
    fields.add("total_writes_processed", facts.sum(|core| core.writes));
    fields.constants(
        &[
            "io_threaded_reads_processed",
            "io_threaded_writes_processed",
            "reply_buffer_shrinks",
            "reply_buffer_expands",
        ],
        0,
    );
    fields.add("acl_access_denied_auth", auth_failures);
    fields.constants(
        &["acl_access_denied_cmd", "acl_access_denied_key", "acl_access_denied_channel"],
        0,
    );
}

pub(super) fn replication(facts: &Facts<'_>, fields: &mut Fields) {
    fields.add("role", "master");
    fields.add("connected_slaves", 0);
    fields.add("master_failover_state", "no-failover");
    fields.add("master_replid", &facts.core.site.shared.run_id);
    fields.add("master_replid2", "0".repeat(40));
    fields.add("master_repl_offset", 0);
    fields.add("second_repl_offset", -1);
    fields.add("repl_backlog_active", 0);
    fields.add("repl_backlog_size", 0);
    fields.constants(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"], 0);
}

pub(super) fn cpu(facts: &Facts<'_>, fields: &mut Fields) {
    let host = &facts.host;
    for (name, micros) in [
        ("used_cpu_sys", host.cpu_sys_us),
        ("used_cpu_user", host.cpu_user_us),
        ("used_cpu_sys_children", host.cpu_sys_children_us),
        ("used_cpu_user_children", host.cpu_user_children_us),
    ] {
        fields.add(name, format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
    }
}

/// Commands that were called or refused, and the time that their handlers took. Commands that are
/// fast and frequent are timed now and then, so their times are estimates.
pub(super) fn commandstats(facts: &Facts<'_>, fields: &mut Fields) {
    for row in facts.core.table.by_id() {
        let mut total = CommandStats::default();
        for stats in facts.reports.iter().filter_map(|core| core.by_command.get(row.id)) {
            total.add(stats);
        }
        let CommandStats { calls, further_parts, nanos, rejected, failed, .. } = total;
        let calls = calls.saturating_sub(further_parts);
        let usec = nanos / 1000;
        let usec_per_call = nanos as f64 / 1000.0 / calls.max(1) as f64;
        if calls + rejected + failed > 0 {
            fields.add(
                format_args!("cmdstat_{}", row.full_name),
                format_args!(
                    "calls={calls},usec={usec},usec_per_call={usec_per_call:.2},\
                     rejected_calls={rejected},\
                     failed_calls={failed}"
                ),
            );
        }
    }
}

/// A multi-shard command has a latency for each shard's part.
pub(super) fn latencystats(facts: &Facts<'_>, fields: &mut Fields) {
    let config = &facts.core.site.settings.config;
    if !config.latency_tracking {
        return;
    }
    for row in facts.core.table.by_id() {
        let of_cores = facts.reports.iter().filter_map(|core| core.latencies.of(row.id));
        let Some(latencies) = shard::merged(of_cores) else { continue };
        let percentiles = &config.latency_tracking_info_percentiles;
        let percentiles = percentiles.iter().map(|(name, percentile)| {
            let nanos = latencies.value_at_quantile(percentile / 100.0);
            format!("p{name}={:.3}", nanos as f64 / 1000.0)
        });
        let percentiles: Vec<String> = percentiles.collect();
        fields
            .add(format_args!("latency_percentiles_usec_{}", row.full_name), percentiles.join(","));
    }
}

pub(super) fn errorstats(facts: &Facts<'_>, fields: &mut Fields) {
    let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
    for (code, count) in facts.reports.iter().flat_map(|core| &core.errors) {
        *errors.entry(code).or_default() += count;
    }
    for (code, count) in errors {
        fields.add(format_args!("errorstat_{code}"), format_args!("count={count}"));
    }
}

pub(super) fn cluster(_: &Facts<'_>, fields: &mut Fields) {
    fields.add("cluster_enabled", 0);
}

/// One line on the threads that run the shards, and one per shard.
pub(super) fn shards(facts: &Facts<'_>, fields: &mut Fields) {
    let shared = &facts.core.site.shared;
    let (active, why) = (shared.active_threads(), shared.why_active());
    let of = facts.core.site.shared.cores.len();
    fields.add("threads", format_args!("active={active},of={of},why={why}"));
    for core in facts.reports {
        let Some(counters) = facts.core.site.shared.cores.get(core.shard) else { continue };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (keys, expires) =
            core.keyspace.iter().fold((0, 0), |sum, db| (sum.0 + db.keys, sum.1 + db.expires));
        fields.add(
            format_args!("shard{}", core.shard),
            format_args!(
                "cpu={cpu},connections={connections},keys={keys},expires={expires},\
                 used_memory={memory},clients_memory={clients_memory},ops={ops},commands={commands},\
                 thread={thread},passes={passes},parks={parks},polls={polls},vain_polls={vain_polls},\
                 doorbells={doorbells},handed_over={handed_over},moved={moved}",
                cpu = counters.cpu.load(Ordering::Relaxed),
                connections = core.clients,
                memory = core.used_memory,
                clients_memory = core.session_memory,
                ops = core.ops_per_sec,
                commands = core.commands,
                passes = read(&counters.passes),
                thread = counters.thread.load(Ordering::Relaxed),
                parks = read(&counters.parks),
                polls = read(&counters.polls),
                vain_polls = read(&counters.vain_polls),
                moved = read(&counters.connections_moved),
                doorbells = read(&counters.doorbells_rung),
                handed_over = read(&counters.connections_handed_over),
            ),
        );
    }
}

/// Databases that hold keys, and how many of them are hashes of which fields expire; the average of the time left is over those that expire, in
/// milliseconds, from a sample.
pub(super) fn keyspace(facts: &Facts<'_>, fields: &mut Fields) {
    let databases = facts.reports.first().map_or(0, |core| core.keyspace.len());
    for index in 0..databases {
        let (mut keys, mut expires, mut ttl_sum, mut subexpiry) = (0, 0, 0, 0);
        for db in facts.reports.iter().filter_map(|core| core.keyspace.get(index)) {
            keys += db.keys;
            expires += db.expires;
            subexpiry += db.field_expires;
            ttl_sum += db.average_ttl_ms * db.expires as u128;
        }
        if keys > 0 {
            let average = ttl_sum / (expires as u128).max(1);
            fields.add(
                format_args!("db{index}"),
                format_args!(
                    "keys={keys},expires={expires},avg_ttl={average},subexpiry={subexpiry}"
                ),
            );
        }
    }
}
