//! A plan in words.

use std::time::Duration;

use super::units::{counted, grouped, percent, significant, time};
use crate::plan::{
    Arrivals, Distribution, Endpoint, KeySpace, Pacing, Plan, Target, ValueSizes, Workload,
};

/// What was asked for, as names and texts, in the order in which one reads them.
pub fn describe(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("target", target(&plan.target)),
        ("load", pacing(plan)),
        ("connections", connections(plan)),
        ("threads", threads(plan)),
        ("measured", stop(plan)),
        ("commands", commands(&plan.workload)),
        ("keys", keys(&plan.workload.keys)),
        ("values", values(&plan.workload)),
    ];
    if plan.workload.preload {
        lines.push(("before", "every key was written once (preload)".into()));
    }
    if let Some(on_miss) = plan.workload.on_miss {
        let after = match on_miss.delay {
            Duration::ZERO => String::new(),
            delay => format!(" after {}", of(delay)),
        };
        lines.push(("on a miss", format!("the key is set{after}")));
    }
    if plan.verify {
        lines.push(("verify", "every value read was checked".into()));
    }
    lines.push(("seed", plan.seed.to_string()));
    lines
}

/// `127.0.0.1:6379` or a path.
pub fn endpoint(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        Endpoint::Tcp { host, port } => format!("{host}:{port}"),
        Endpoint::Unix(path) => path.display().to_string(),
    }
}

fn target(target: &Target) -> String {
    let mut text: String = target.endpoints.iter().map(endpoint).collect::<Vec<_>>().join(", ");
    if target.cluster {
        text.push_str(" (cluster)");
    }
    if target.database != 0 {
        text.push_str(&format!(", database {}", target.database));
    }
    if let Some(user) = &target.user {
        text.push_str(&format!(", user {user}"));
    }
    text.push_str(if target.resp3 { ", RESP3" } else { ", RESP2" });
    text
}

fn pacing(plan: &Plan) -> String {
    match plan.pacing {
        Pacing::Closed => "closed loop: the next request follows a reply".into(),
        Pacing::Open { rate_per_second, arrivals } => format!(
            "open loop: {} requests per second, {}",
            significant(rate_per_second),
            match arrivals {
                Arrivals::Constant => "evenly spaced",
                Arrivals::Poisson => "Poisson arrivals",
            },
        ),
    }
}

fn connections(plan: &Plan) -> String {
    let up_to = if plan.pacing == Pacing::Closed { "" } else { "at most " };
    let kept = if plan.keep_alive { "" } else { ", made anew after each reply" };
    let requests = counted(plan.pipeline as u64, "request");
    format!("{}, {up_to}{requests} in flight on each{kept}", grouped(plan.clients as u64))
}

fn threads(plan: &Plan) -> String {
    let cpus: Vec<String> = plan.threads.cpus.iter().map(usize::to_string).collect();
    match cpus.is_empty() {
        true => format!("{}, not pinned", plan.threads.count),
        false => format!("{}, on processors {}", plan.threads.count, cpus.join(", ")),
    }
}

fn stop(plan: &Plan) -> String {
    let mut ends = Vec::new();
    ends.extend(plan.stop.duration.map(of));
    ends.extend(plan.stop.requests.map(|requests| counted(requests, "request")));
    let warmup = match plan.warmup {
        Duration::ZERO => String::new(),
        warmup => format!(", after {} of warm-up", of(warmup)),
    };
    format!("{}{warmup}", ends.join(" or "))
}

fn commands(workload: &Workload) -> String {
    let weights: f64 = workload.commands.iter().map(|command| command.weight).sum();
    let command = |c: &crate::plan::CommandSpec| {
        format!("{} {}", percent(c.weight / weights), c.template.join(" "))
    };
    workload.commands.iter().map(command).collect::<Vec<_>>().join("; ")
}

fn keys(keys: &KeySpace) -> String {
    let chosen = match keys.distribution {
        Distribution::Uniform => "uniform".to_owned(),
        Distribution::Zipf { exponent } => format!("zipf with exponent {exponent}"),
        Distribution::Gaussian { deviation } => {
            format!("gaussian, deviation {} of them", percent(deviation))
        }
        Distribution::Hotspot { keys, accesses } => {
            format!("hotspot: {} of requests to {} of them", percent(accesses), percent(keys))
        }
        Distribution::Sequential => "one after the other".to_owned(),
    };
    format!("{} ({}...), {chosen}", grouped(keys.count), keys.prefix)
}

fn values(workload: &Workload) -> String {
    let sizes = match &workload.values {
        ValueSizes::Fixed(bytes) => counted(*bytes as u64, "byte"),
        ValueSizes::Range { min, max } => {
            format!("{} to {} bytes", grouped(*min as u64), grouped(*max as u64))
        }
        ValueSizes::Weighted(sizes) => {
            let weights: f64 = sizes.iter().map(|(_, weight)| weight).sum();
            let size = |(bytes, weight): &(usize, f64)| {
                format!("{} {}", percent(weight / weights), counted(*bytes as u64, "byte"))
            };
            sizes.iter().map(size).collect::<Vec<_>>().join(", ")
        }
    };
    match workload.ttl {
        None => sizes,
        Some(ttl) if ttl.min == ttl.max => format!("{sizes}, expire after {} s", ttl.min),
        Some(ttl) => format!("{sizes}, expire after {} to {} s", ttl.min, ttl.max),
    }
}

fn of(duration: Duration) -> String {
    time(duration.as_nanos() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{OnMiss, SecondsRange};
    use crate::report::sample_run::{closed_plan, open_plan};

    fn text(plan: &Plan) -> String {
        describe(plan).iter().map(|(name, text)| format!("{name}: {text}\n")).collect()
    }

    #[test]
    fn an_open_loop() {
        let expected = "\
target: 127.0.0.1:7000, /run/cache.sock, user bench, RESP2
load: open loop: 12,000 requests per second, evenly spaced
connections: 50, at most 16 requests in flight on each
threads: 2, on processors 2, 3
measured: 10.0 s, after 1.00 s of warm-up
commands: 90.0 % GET __key__; 10.0 % SET __key__ __value__
keys: 100,000 (key:...), zipf with exponent 0.99
values: 100 bytes
before: every key was written once (preload)
seed: 42
";
        assert_eq!(text(&open_plan()), expected);
    }

    #[test]
    fn a_closed_loop_with_everything() {
        let mut plan = closed_plan();
        plan.target.endpoints = vec![Endpoint::Tcp { host: "::1".into(), port: 7000 }];
        plan.target.database = 3;
        plan.target.cluster = true;
        plan.keep_alive = false;
        plan.verify = true;
        plan.threads.cpus.clear();
        plan.stop.requests = Some(1_000_000);
        plan.workload.values = ValueSizes::Weighted(vec![(1, 3.0), (5_000, 1.0)]);
        plan.workload.ttl = Some(SecondsRange { min: 5, max: 9 });
        plan.workload.on_miss = Some(OnMiss { delay: Duration::from_millis(2) });
        let text = text(&plan);
        for part in [
            "target: [::1]:7000 (cluster), database 3, user bench, RESP2\n",
            "connections: 50, 16 requests in flight on each, made anew after each reply\n",
            "threads: 2, not pinned\n",
            "measured: 10.0 s or 1,000,000 requests, after",
            "values: 75.0 % 1 byte, 25.0 % 5,000 bytes, expire after 5 to 9 s\n",
            "on a miss: the key is set after 2.00 ms\n",
            "verify: every value read was checked\n",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }
}
