//! The table of directives: the one source for the parser, CONFIG, `--help` and the sample file.
//!
//! Defaults and limits are Redis 7.2's where the directive is Redis's. To add a directive, add a
//! row; the tests check it, and `RINGWELL_BLESS=1 cargo test sample` writes it into the sample file.

use std::path::PathBuf;

use super::cidr::Cidr;
use super::directive::{Change, Directive, Effect, Rule, directives};
use super::types::*;
use super::value::{Secret, Value, Words};

/// The largest C `int`, `unsigned int` and `long` in Redis's ranges.
const INT_MAX: i64 = i32::MAX as i64;
const UINT_MAX: i64 = u32::MAX as i64;
const LONG_MAX: u64 = i64::MAX as u64;

const MB: u64 = 1 << 20;
/// What most counts may be.
const COUNT: Rule = Rule::Within(0, i64::MAX);
/// What most sizes may be.
const SIZE: Rule = Rule::Memory(0, LONG_MAX);
/// What most C integers may be.
const INT: Rule = Rule::Within(0, INT_MAX);

directives! {
    "Network" {
        /// Addresses to listen on, IPv4 or IPv6. `*` is every IPv4 address and `::*` every IPv6
        /// address; with `-` in front, an address that this host lacks is skipped instead of being
        /// an error. Every core listens on every address.
        "bind" bind: Vec<BindAddress> = "* -::*", Rule::Any, AtStart, Here;
        /// TCP port. 0 turns TCP off, which needs a unixsocket.
        "port" port: u16 = "6379", Rule::Within(0, 65535), AtStart, Here;
        /// Connections that the kernel keeps waiting per core until they are accepted. The kernel
        /// cuts it to net.core.somaxconn.
        "tcp-backlog" tcp_backlog: u32 = "511", INT, AtStart, Here;
        /// Seconds after which the kernel asks a silent peer whether it is still there. 0: never.
        "tcp-keepalive" tcp_keepalive: u32 = "300", INT, Anytime, Here;
        /// Seconds after which an idle client is disconnected. 0: never.
        "timeout" timeout: u64 = "0", INT, Anytime, Here;
        /// Path of a unix socket to listen on, besides TCP. Empty: none.
        "unixsocket" unixsocket: Option<PathBuf> = "", Rule::Any, AtStart, Here;
        /// Permissions of the unix socket, in octal; set before anyone can connect. 0: whatever
        /// the umask leaves.
        "unixsocketperm" unixsocketperm: u32 = "0", Rule::Permissions, AtStart, Here;
        /// TLS is not available: put a TLS proxy in front. Only 0 is accepted.
        "tls-port" tls_port: u16 = "0", Rule::Within(0, 65535), AtStart, None;
        /// Source address of outgoing connections.
        "bind-source-addr" bind_source_addr: String = "", Rule::Any, AtStart, None;
        /// Mark of the sockets, for the packet filter.
        "socket-mark-id" socket_mark_id: u32 = "0", Rule::Within(0, UINT_MAX), AtStart, None;
    }
    "Access" {
        /// Refuse clients of other hosts as long as nobody has decided who may connect: as long as
        /// there is no password, no `bind` to addresses other than wildcards, and no `allow-from`.
        "protected-mode" protected_mode: bool = "yes", Rule::Any, Anytime, Here;
        /// Clients must AUTH with this password. Empty: no password.
        "requirepass" requirepass: Secret = "", Rule::Any, Anytime, Here;
        /// The security group of the host: addresses and CIDR blocks, IPv4 and IPv6, that may
        /// connect; may be repeated. The host itself always may. Empty: everyone may, as far as
        /// `protected-mode` lets them.
        "allow-from" allow_from: Vec<Cidr> = "", Rule::Any, Anytime, Here;
        /// Who may use the DEBUG command: no, local (loopback and unix socket) or yes.
        "enable-debug-command" enable_debug_command: Permission = "no", Rule::Any, AtStart, Here;
        /// Who may CONFIG SET protected directives, such as `dir`: no, local or yes.
        "enable-protected-configs" enable_protected_configs: Permission = "no", Rule::Any,
        AtStart, Here;
        /// Who may load modules; there are none.
        "enable-module-command" enable_module_command: Permission = "no", Rule::Any, AtStart, None;
        /// What a new ACL user may do with Pub/Sub channels.
        "acl-pubsub-default" acl_pubsub_default: String = "resetchannels", Rule::Any, Anytime, None;
        /// Entries of the ACL log. See ACCESS LOG for refused connections.
        "acllog-max-len" acllog_max_len: i64 = "128", COUNT, Anytime, None;
    }
    "Shards and cores" {
        /// Number of shards, each with a core of its own: 1 to 1024, or auto for one per core, or for as
        /// many as the control groups' quota of processor time covers.
        "shards" shards: ShardCount = "auto", Rule::Any, AtStart, Here;
        /// The cores to run on, such as 0-3,8; shards are pinned to them in this order. Empty: the
        /// cores that the process may use.
        "cpus" cpus: CpuList = "", Rule::Any, AtStart, Here;
        /// On how many of these cores the shards and their connections are spread: auto for as many
        /// as the load needs, the first ones (a light load is served faster and for less by one core
        /// than by many that wake each other), or all.
        "spread" spread: ThreadSpread = "auto", Rule::Any, Anytime, Here;
        /// Microseconds for which a core that has nothing to do looks for work before it sleeps: more
        /// spare clients the cost of waking it, and cost that processor time. auto: a few, and only
        /// while sleeps have lately been as short; an idle server sleeps. 0: none.
        "busy-poll" busy_poll: BusyPoll = "auto", Rule::Any, Anytime, Here;
    }
    "Clients and protocol" {
        /// Most clients at one time; more are told so and closed.
        "maxclients" maxclients: u32 = "10000", Rule::Within(1, UINT_MAX), Anytime, Here;
        /// Number of databases that SELECT can choose from, 16 at most.
        "databases" databases: u32 = "16", Rule::Within(1, 16), AtStart, Here;
        /// Longest key or value.
        "proto-max-bulk-len" proto_max_bulk_len: u64 = "512mb", Rule::Memory(MB, u32::MAX as u64),
        Anytime, Here;
        /// Most bytes of commands that a client may have waiting; beyond that it is closed.
        "client-query-buffer-limit" client_query_buffer_limit: u64 = "1gb",
        Rule::Memory(MB, LONG_MAX), Anytime, Here;
        /// Most bytes of unsent replies, by class of client (normal, replica, pubsub): closed at
        /// once above the first amount, and after so many seconds above the second. 0: no limit.
        /// This server also executes no more commands of a client that does not read its replies.
        "client-output-buffer-limit" client_output_buffer_limit: OutputLimits =
            "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60", Rule::Any, Anytime, Here;
        /// Most memory of all clients together.
        "maxmemory-clients" maxmemory_clients: String = "0", Rule::Any, Anytime, None;
        /// Most keys remembered for clients that cache.
        "tracking-table-max-keys" tracking_table_max_keys: i64 = "1000000", COUNT, Anytime, None;
        /// Milliseconds after which a running script is reported as busy.
        "busy-reply-threshold" ["lua-time-limit"] busy_reply_threshold: i64 = "5000", COUNT,
        Anytime, None;
        /// Classes of keyspace events to publish, as letters of `Ag$lshzxeKEtmdn`. Empty: none.
        "notify-keyspace-events" notify_keyspace_events: KeyspaceEvents = "", Rule::Any, Anytime,
        None;
    }
    "Memory" {
        /// Most memory for data and clients: bytes with a unit (100mb, 4gb), or a part of what the
        /// machine has or the control groups allow, whichever is less (70%). 0: no limit.
        "maxmemory" maxmemory: MemoryLimit = "0", Rule::Any, Anytime, Here;
        /// What is evicted when `maxmemory` is reached: allkeys-s3fifo (not a policy of Redis: what is
        /// used once never pushes out what is used often), allkeys-lru, allkeys-lfu, allkeys-random;
        /// volatile-lru, -lfu, -random, -ttl for keys with an expiry only; or noeviction: commands
        /// that need memory get an error.
        "maxmemory-policy" maxmemory_policy: EvictionPolicy = "allkeys-s3fifo", Rule::Any, Anytime,
        Here;
        /// Keys that sampling policies look at.
        "maxmemory-samples" maxmemory_samples: u32 = "5", Rule::Within(1, 64), Anytime, Here;
        /// Effort to reach `maxmemory` at once.
        "maxmemory-eviction-tenacity" maxmemory_eviction_tenacity: u32 = "10",
        Rule::Within(0, 100), Anytime, None;
        /// How fast the counters of LFU policies rise.
        "lfu-log-factor" lfu_log_factor: u32 = "10", INT, Anytime, Here;
        /// Minutes after which the counters of LFU policies fall.
        "lfu-decay-time" lfu_decay_time: u32 = "1", INT, Anytime, Here;
        /// Effort of the background sweep for expired keys; this server's adapts itself.
        "active-expire-effort" active_expire_effort: u32 = "1", Rule::Within(1, 10), Anytime, None;
        /// Free evicted values in the background; this server has no background to free in.
        "lazyfree-lazy-eviction" lazyfree_lazy_eviction: bool = "no", Rule::Any, Anytime, None;
        /// Free expired values in the background.
        "lazyfree-lazy-expire" lazyfree_lazy_expire: bool = "no", Rule::Any, Anytime, None;
        /// Free overwritten values in the background.
        "lazyfree-lazy-server-del" lazyfree_lazy_server_del: bool = "no", Rule::Any, Anytime, None;
        /// Let DEL work as UNLINK.
        "lazyfree-lazy-user-del" lazyfree_lazy_user_del: bool = "no", Rule::Any, Anytime, None;
        /// Let FLUSHALL and FLUSHDB work in the background.
        "lazyfree-lazy-user-flush" lazyfree_lazy_user_flush: bool = "no", Rule::Any, Anytime, None;
        /// Defragment memory in the background.
        "activedefrag" activedefrag: bool = "no", Rule::Any, Anytime, None;
        /// Waste below which nothing is defragmented.
        "active-defrag-ignore-bytes" active_defrag_ignore_bytes: u64 = "100mb", SIZE, Anytime, None;
        /// Percentage of waste from which to defragment.
        "active-defrag-threshold-lower" active_defrag_threshold_lower: u32 = "10",
        Rule::Within(0, 1000), Anytime, None;
        /// Percentage of waste from which to defragment with most effort.
        "active-defrag-threshold-upper" active_defrag_threshold_upper: u32 = "100",
        Rule::Within(0, 1000), Anytime, None;
        /// Least effort of defragmentation, in percent of the processor.
        "active-defrag-cycle-min" active_defrag_cycle_min: u32 = "1", Rule::Within(1, 99),
        Anytime, None;
        /// Most effort of defragmentation, in percent of the processor.
        "active-defrag-cycle-max" active_defrag_cycle_max: u32 = "25", Rule::Within(1, 99),
        Anytime, None;
        /// Most members of one value that defragmentation looks at in one step.
        "active-defrag-max-scan-fields" active_defrag_max_scan_fields: i64 = "1000",
        Rule::Within(1, i64::MAX), Anytime, None;
        /// Rehash in the background; this server's tables grow in small steps by themselves.
        "activerehashing" activerehashing: bool = "yes", Rule::Any, Anytime, None;
        /// Let jemalloc purge in the background; this server does not use jemalloc.
        "jemalloc-bg-thread" jemalloc_bg_thread: bool = "yes", Rule::Any, Anytime, None;
        /// Turn transparent huge pages off.
        "disable-thp" disable_thp: bool = "yes", Rule::Any, AtStart, None;
    }
    "Logging and process" {
        /// How much is logged: debug, verbose, notice, warning or nothing.
        "loglevel" loglevel: LogLevel = "notice", Rule::Any, Anytime, Here;
        /// File to log to. Empty: standard output.
        "logfile" logfile: Option<PathBuf> = "", Rule::Any, AtStart, Here;
        /// Log to syslog. The journal reads what is written to standard output.
        "syslog-enabled" syslog_enabled: bool = "no", Rule::Any, AtStart, None;
        /// Name in syslog.
        "syslog-ident" syslog_ident: String = "redis", Rule::Any, AtStart, None;
        /// Facility in syslog.
        "syslog-facility" syslog_facility: String = "local0", Rule::Any, AtStart, None;
        /// Go to the background. This server stays in the foreground: use systemd or `&`.
        "daemonize" daemonize: bool = "no", Rule::Any, AtStart, None;
        /// Service manager. Readiness is told to systemd wherever it asks for it (NOTIFY_SOCKET).
        "supervised" supervised: Supervised = "no", Rule::Any, AtStart, None;
        /// File for the process id, removed at the end. Empty: none.
        "pidfile" pidfile: Option<PathBuf> = "", Rule::Any, AtStart, Here;
        /// Seconds to wait at shutdown for clients to take what they are owed.
        "shutdown-timeout" shutdown_timeout: u32 = "10", INT, Anytime, Here;
        /// How to shut down on SIGINT.
        "shutdown-on-sigint" shutdown_on_sigint: Words = "default", Rule::Any, Anytime, None;
        /// How to shut down on SIGTERM.
        "shutdown-on-sigterm" shutdown_on_sigterm: Words = "default", Rule::Any, Anytime, None;
        /// Show the logo when logging to a file.
        "always-show-logo" always_show_logo: bool = "no", Rule::Any, AtStart, None;
        /// Change the process title.
        "set-proc-title" set_proc_title: bool = "yes", Rule::Any, AtStart, None;
        /// What the process title looks like.
        "proc-title-template" proc_title_template: String =
            "\"{title} {listen-addr} {server-mode}\"", Rule::Any, Anytime, None;
        /// Passes of background work per second, 1 to 500.
        "hz" hz: u32 = "10", Rule::Clamped(1, 500), Anytime, None;
        /// Raise `hz` with the number of clients.
        "dynamic-hz" dynamic_hz: bool = "yes", Rule::Any, Anytime, None;
        /// Threads for sockets. This server has one thread per shard.
        "io-threads" io_threads: u32 = "1", Rule::Within(1, 128), AtStart, None;
        /// Let the threads for sockets read as well.
        "io-threads-do-reads" io_threads_do_reads: bool = "no", Rule::Any, AtStart, None;
        /// Cores of the server; see `cpus`.
        "server_cpulist" server_cpulist: String = "", Rule::Any, AtStart, None;
        /// Cores of background threads.
        "bio_cpulist" bio_cpulist: String = "", Rule::Any, AtStart, None;
        /// Cores of the process that rewrites the append-only file.
        "aof_rewrite_cpulist" aof_rewrite_cpulist: String = "", Rule::Any, AtStart, None;
        /// Cores of the process that saves.
        "bgsave_cpulist" bgsave_cpulist: String = "", Rule::Any, AtStart, None;
        /// Tell the kernel whom to kill first when memory runs out.
        "oom-score-adj" oom_score_adj: String = "no", Rule::Any, Anytime, None;
        /// The scores of master, replica and background processes.
        "oom-score-adj-values" oom_score_adj_values: Words = "0 200 800", Rule::Any, Anytime, None;
        /// Log a report when the server crashes.
        "crash-log-enabled" crash_log_enabled: bool = "yes", Rule::Any, Anytime, None;
        /// Test the memory when the server crashes.
        "crash-memcheck-enabled" crash_memcheck_enabled: bool = "yes", Rule::Any, Anytime, None;
        /// Locale of SORT ALPHA.
        "locale-collate" locale_collate: String = "", Rule::Any, Anytime, None;
        /// Warnings of the start to be left out.
        "ignore-warnings" ignore_warnings: String = "", Rule::Any, Anytime, None;
    }
    "Slow log and latency" {
        /// Microseconds from which a command is put in the slow log. 0: every one, -1: none.
        "slowlog-log-slower-than" slowlog_log_slower_than: i64 = "10000",
        Rule::Within(-1, i64::MAX), Anytime, None;
        /// Entries of the slow log.
        "slowlog-max-len" slowlog_max_len: i64 = "128", COUNT, Anytime, None;
        /// Milliseconds from which an event is put in the latency history. 0: none.
        "latency-monitor-threshold" latency_monitor_threshold: i64 = "0", COUNT, Anytime, None;
        /// Keep a histogram of the latencies of each command, for INFO latencystats.
        "latency-tracking" latency_tracking: bool = "yes", Rule::Any, Anytime, Here;
        /// Percentiles of it that INFO shows.
        "latency-tracking-info-percentiles" latency_tracking_info_percentiles: Percentiles =
            "50 99 99.9", Rule::Any, Anytime, Here;
    }
    "Data types" {
        /// Largest list in one piece (OBJECT ENCODING listpack), and largest piece of a longer one:
        /// so many elements, or with -1 to -5, 4 to 64 kB.
        "list-max-listpack-size" ["list-max-ziplist-size"] list_max_listpack_size: i64 = "-2",
        Rule::Within(i32::MIN as i64, INT_MAX), Anytime, Here;
        /// Compress the inner nodes of lists; this server compresses none.
        "list-compress-depth" list_compress_depth: i64 = "0", INT, Anytime, None;
        /// Most fields of a hash that is a listpack.
        "hash-max-listpack-entries" ["hash-max-ziplist-entries"] hash_max_listpack_entries: i64 =
            "512", COUNT, Anytime, Here;
        /// Longest field or value of a hash that is a listpack.
        "hash-max-listpack-value" ["hash-max-ziplist-value"] hash_max_listpack_value: u64 = "64",
        SIZE, Anytime, Here;
        /// Most members of a set of integers that is an intset.
        "set-max-intset-entries" set_max_intset_entries: i64 = "512", COUNT, Anytime, Here;
        /// Most members of a set that is a listpack.
        "set-max-listpack-entries" set_max_listpack_entries: i64 = "128", COUNT, Anytime, Here;
        /// Longest member of a set that is a listpack.
        "set-max-listpack-value" set_max_listpack_value: u64 = "64", SIZE, Anytime, Here;
        /// Most members of a sorted set that is a listpack.
        "zset-max-listpack-entries" ["zset-max-ziplist-entries"] zset_max_listpack_entries: i64 =
            "128", COUNT, Anytime, Here;
        /// Longest member of a sorted set that is a listpack.
        "zset-max-listpack-value" ["zset-max-ziplist-value"] zset_max_listpack_value: u64 = "64",
        SIZE, Anytime, Here;
        /// Most bytes of a HyperLogLog in its sparse form.
        "hll-sparse-max-bytes" hll_sparse_max_bytes: u64 = "3000", SIZE, Anytime, None;
        /// Most bytes of a node of a stream. 0: no limit.
        "stream-node-max-bytes" stream_node_max_bytes: u64 = "4kb", SIZE, Anytime, None;
        /// Most entries of a node of a stream. 0: no limit.
        "stream-node-max-entries" stream_node_max_entries: i64 = "100", COUNT, Anytime, None;
    }
    "Persistence (a cache has none)" {
        /// When to write snapshots. Nothing is written: lines in a file are ignored with a warning,
        /// so that a stock redis.conf starts.
        "save" save: SavePoints = "", Rule::Any, Anytime, None;
        /// Keep an append-only file. Only no is accepted.
        "appendonly" appendonly: bool = "no", Rule::Any, Anytime, None;
        /// When to sync the append-only file.
        "appendfsync" appendfsync: AppendFsync = "everysec", Rule::Any, Anytime, None;
        /// Directory for files.
        "dir" dir: String = "./", Rule::Any, Protected, None;
        /// Name of the snapshot.
        "dbfilename" dbfilename: String = "dump.rdb", Rule::Any, Protected, None;
        /// Name of the append-only file.
        "appendfilename" appendfilename: String = "appendonly.aof", Rule::Any, AtStart, None;
        /// Directory of the append-only file.
        "appenddirname" appenddirname: String = "appendonlydir", Rule::Any, AtStart, None;
        /// Refuse writes after a snapshot has failed.
        "stop-writes-on-bgsave-error" stop_writes_on_bgsave_error: bool = "yes", Rule::Any,
        Anytime, None;
        /// Compress snapshots.
        "rdbcompression" rdbcompression: bool = "yes", Rule::Any, Anytime, None;
        /// Put a checksum in snapshots.
        "rdbchecksum" rdbchecksum: bool = "yes", Rule::Any, AtStart, None;
        /// Remove snapshots that replication made.
        "rdb-del-sync-files" rdb_del_sync_files: bool = "no", Rule::Any, Anytime, None;
        /// Sync snapshots as they are written.
        "rdb-save-incremental-fsync" rdb_save_incremental_fsync: bool = "yes", Rule::Any, Anytime,
        None;
        /// Check what RESTORE is given.
        "sanitize-dump-payload" sanitize_dump_payload: String = "no", Rule::Any, Anytime, None;
        /// Do not sync the append-only file while it is rewritten.
        "no-appendfsync-on-rewrite" no_appendfsync_on_rewrite: bool = "no", Rule::Any, Anytime, None;
        /// Growth in percent at which the append-only file is rewritten.
        "auto-aof-rewrite-percentage" auto_aof_rewrite_percentage: u32 = "100", INT, Anytime, None;
        /// Least size at which the append-only file is rewritten.
        "auto-aof-rewrite-min-size" auto_aof_rewrite_min_size: u64 = "64mb", SIZE, Anytime, None;
        /// Load an append-only file that is cut off.
        "aof-load-truncated" aof_load_truncated: bool = "yes", Rule::Any, Anytime, None;
        /// Begin the append-only file with a snapshot.
        "aof-use-rdb-preamble" aof_use_rdb_preamble: bool = "yes", Rule::Any, Anytime, None;
        /// Put times in the append-only file.
        "aof-timestamp-enabled" aof_timestamp_enabled: bool = "no", Rule::Any, Anytime, None;
        /// Sync the append-only file as it is rewritten.
        "aof-rewrite-incremental-fsync" aof_rewrite_incremental_fsync: bool = "yes", Rule::Any,
        Anytime, None;
    }
    "Replication and cluster (not available)" {
        /// Run as a node of a Redis Cluster. Only no is accepted.
        "cluster-enabled" cluster_enabled: bool = "no", Rule::Any, AtStart, None;
        /// Milliseconds after which a node of a cluster counts as failed.
        "cluster-node-timeout" cluster_node_timeout: i64 = "15000", COUNT, Anytime, None;
        /// Refuse queries where slots are not served.
        "cluster-require-full-coverage" cluster_require_full_coverage: bool = "yes", Rule::Any,
        Anytime, None;
        /// Serve stale data while the master is away.
        "replica-serve-stale-data" ["slave-serve-stale-data"] replica_serve_stale_data: bool =
            "yes", Rule::Any, Anytime, None;
        /// Refuse writes on a replica.
        "replica-read-only" ["slave-read-only"] replica_read_only: bool = "yes", Rule::Any,
        Anytime, None;
        /// Rank among replicas for failover.
        "replica-priority" ["slave-priority"] replica_priority: i64 = "100", INT, Anytime, None;
        /// Leave eviction on a replica to its master.
        "replica-ignore-maxmemory" ["slave-ignore-maxmemory"] replica_ignore_maxmemory: bool =
            "yes", Rule::Any, Anytime, None;
        /// Empty a replica in the background before it loads.
        "replica-lazy-flush" ["slave-lazy-flush"] replica_lazy_flush: bool = "no", Rule::Any,
        Anytime, None;
        /// Replicas that must be there for writes.
        "min-replicas-to-write" ["min-slaves-to-write"] min_replicas_to_write: i64 = "0", INT,
        Anytime, None;
        /// Seconds that such a replica may lag.
        "min-replicas-max-lag" ["min-slaves-max-lag"] min_replicas_max_lag: i64 = "10", INT,
        Anytime, None;
        /// Send snapshots to replicas without a file.
        "repl-diskless-sync" repl_diskless_sync: bool = "yes", Rule::Any, Anytime, None;
        /// Seconds to wait for more replicas before that.
        "repl-diskless-sync-delay" repl_diskless_sync_delay: i64 = "5", INT, Anytime, None;
        /// Replicas to wait for before that.
        "repl-diskless-sync-max-replicas" repl_diskless_sync_max_replicas: i64 = "0", INT, Anytime,
        None;
        /// Load snapshots without a file.
        "repl-diskless-load" repl_diskless_load: String = "disabled", Rule::Any, Anytime, None;
        /// Let the kernel gather what is sent to replicas.
        "repl-disable-tcp-nodelay" repl_disable_tcp_nodelay: bool = "no", Rule::Any, Anytime, None;
        /// Seconds between pings to replicas.
        "repl-ping-replica-period" ["repl-ping-slave-period"] repl_ping_replica_period: i64 = "10",
        Rule::Within(1, INT_MAX), Anytime, None;
        /// Seconds after which replication counts as broken.
        "repl-timeout" repl_timeout: i64 = "60", Rule::Within(1, INT_MAX), Anytime, None;
        /// Bytes of changes kept for replicas that come back.
        "repl-backlog-size" repl_backlog_size: u64 = "1mb", Rule::Memory(1, LONG_MAX), Anytime, None;
        /// Seconds for which they are kept.
        "repl-backlog-ttl" repl_backlog_ttl: i64 = "3600", COUNT, Anytime, None;
    }
}
