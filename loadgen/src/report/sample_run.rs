//! A run made up for tests: known latencies, no I/O.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use super::environment::ServerIdentity;
use super::{Environment, Knee, KneePoint};
use crate::exec::Outcome;
use crate::plan::{
    Arrivals, CommandSpec, Distribution, Endpoint, KeySpace, Pacing, Plan, Stop, Target, Threads,
    ValueSizes, Workload,
};
use crate::stats::{Ending, Recording, Times};

/// 12,000 requests a second for ten seconds, nine of ten are GETs.
pub fn open_plan() -> Plan {
    let pacing = Pacing::Open { rate_per_second: 12_000.0, arrivals: Arrivals::Constant };
    Plan { pacing, ..closed_plan() }
}

pub fn closed_plan() -> Plan {
    let command = |title: &str, template: &[&str], weight| CommandSpec {
        title: title.into(),
        template: template.iter().map(|&word| word.into()).collect(),
        weight,
        inline: false,
    };
    Plan {
        target: Target {
            endpoints: vec![
                Endpoint::Tcp { host: "127.0.0.1".into(), port: 7000 },
                Endpoint::Unix(PathBuf::from("/run/cache.sock")),
            ],
            user: Some("bench".into()),
            password: Some("hunter2".into()),
            database: 0,
            resp3: false,
            cluster: false,
        },
        threads: Threads { count: 2, cpus: vec![2, 3] },
        clients: 50,
        pipeline: 16,
        keep_alive: true,
        pacing: Pacing::Closed,
        stop: Stop { requests: None, duration: Some(Duration::from_secs(10)) },
        warmup: Duration::from_secs(1),
        workload: Workload {
            commands: vec![
                command("GET", &["GET", "__key__"], 90.0),
                command("SET", &["SET", "__key__", "__value__"], 10.0),
            ],
            keys: KeySpace {
                prefix: "key:".into(),
                count: 100_000,
                distribution: Distribution::Zipf { exponent: 0.99 },
            },
            values: ValueSizes::Fixed(100),
            ttl: None,
            on_miss: None,
            preload: true,
        },
        verify: false,
        seed: 42,
    }
}

/// What the plans above come to on a server that takes 60 to 900 µs, and 20 ms for one request in
/// 2,000; in an open loop the third one after each of those is sent 400 µs late.
pub fn outcome(plan: &Plan) -> Outcome {
    let is_open = plan.pacing != Pacing::Closed;
    let titles: Vec<&str> = plan.workload.commands.iter().map(|c| c.title.as_str()).collect();
    let mut recording = Recording::new(&titles, is_open);
    let requests = 120_000_i64;
    let gap_ns = 10_000_000_000 / requests;
    // Every tenth of a second's ten parts is answered in a time of its own.
    let steps_ns = [60_000, 75_000, 80_000, 82_000, 90_000, 110_000, 130_000, 180_000, 260_000];
    for i in 0..requests {
        let intended_ns = i * gap_ns;
        let sent_ns = intended_ns + if is_open && i % 2_000 == 3 { 400_000 } else { 0 };
        let wave_ns = (i / 12_000) * 4_000;
        let took_ns = match i {
            _ if i % 2_000 == 0 => 20_000_000,
            _ if i % 100 == 1 => 900_000,
            _ => steps_ns[(i * 7 % 9) as usize] + i * 31 % 9_000 + wave_ns,
        };
        let done_ns = (sent_ns + took_ns).min(9_999_999_999);
        let (command, ending) = if i % 10 == 9 { (1, Ending::Done) } else { (0, Ending::Hit) };
        recording.note_sent(intended_ns, sent_ns);
        let command = command.min(titles.len() - 1);
        recording.record(command, Times { intended_ns, sent_ns, done_ns }, ending);
    }
    recording.finish();
    Outcome {
        server_commands: Some(recording.sent),
        recording,
        started: UNIX_EPOCH + Duration::from_millis(1_767_225_600_250),
        elapsed: Duration::from_secs(10),
        busy: vec![0.41, 0.38],
        spinning: vec![0.22, 0.2],
        cpu: Duration::from_millis(480),
        unanswered: 0,
        unsent: 0,
        moved: 0,
        fills_dropped: 0,
        wrong: 0,
        wrong_examples: Vec::new(),
        interrupted: false,
        ended_by: None,
    }
}

pub fn environment() -> Environment {
    Environment {
        host: "client-1".into(),
        cpu_model: "Example 9000".into(),
        cpus: 8,
        kernel: "6.1.0".into(),
        loadgen_version: "0.1.0".into(),
        server: Some(ServerIdentity { name: "redis".into(), version: "7.2.0".into() }),
    }
}

pub fn knee() -> Knee {
    let point = |offered: f64, objective_ns, met| KneePoint {
        offered,
        rate: offered * if met { 1.0 } else { 0.97 },
        p50_ns: Some(80_000 + (offered / 10.0) as u64),
        p99_ns: Some(objective_ns / 3),
        objective_ns: Some(objective_ns),
        met,
        valid: met,
    };
    Knee {
        percentile: "p99.9".into(),
        limit_ns: 1_000_000,
        points: vec![
            point(25_000.0, 240_000, true),
            point(50_000.0, 280_000, true),
            point(100_000.0, 420_000, true),
            point(200_000.0, 31_000_000, false),
            point(150_000.0, 1_900_000, false),
            point(125_000.0, 760_000, true),
            point(137_500.0, 960_000, true),
        ],
        rate: Some(137_500.0),
    }
}
