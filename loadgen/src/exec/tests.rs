//! Runs against a small server inside the process.

mod responder;

use std::sync::atomic::Ordering;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use responder::{Behaviour, Responder};

use super::*;
use crate::plan::{
    Arrivals, CommandSpec, Distribution, Endpoint, KeySpace, OnMiss, Pacing, Stop, Target, Threads,
    ValueSizes, Workload,
};

/// SIGINT reaches every run of the process: the test that raises it runs alone.
static SIGNALS: RwLock<()> = RwLock::new(());

fn command(words: &str, weight: f64) -> CommandSpec {
    CommandSpec {
        title: words.split(' ').next().unwrap().to_owned(),
        template: words.split(' ').map(String::from).collect(),
        weight,
        inline: false,
    }
}

fn plan(endpoints: Vec<Endpoint>, commands: Vec<CommandSpec>) -> Plan {
    Plan {
        target: Target {
            endpoints,
            user: None,
            password: None,
            database: 0,
            resp3: false,
            cluster: false,
        },
        threads: Threads { count: 2, cpus: Vec::new() },
        clients: 5,
        pipeline: 1,
        keep_alive: true,
        pacing: Pacing::Closed,
        stop: Stop { requests: Some(2_000), duration: None },
        warmup: Duration::ZERO,
        workload: Workload {
            commands,
            keys: KeySpace {
                prefix: "key:".into(),
                count: 500,
                distribution: Distribution::Uniform,
            },
            values: ValueSizes::Fixed(40),
            ttl: None,
            on_miss: None,
            preload: false,
        },
        verify: false,
        seed: 1,
    }
}

fn get() -> Vec<CommandSpec> {
    vec![command("GET __key__", 1.0)]
}

fn get_and_set() -> Vec<CommandSpec> {
    vec![command("GET __key__", 1.0), command("SET __key__ __value__", 1.0)]
}

fn run_it(plan: &Plan) -> Result<Outcome, Failure> {
    let _shared = SIGNALS.read().unwrap_or_else(PoisonError::into_inner);
    run(plan, &mut |_| {})
}

fn measured(plan: &Plan) -> Outcome {
    let outcome = run_it(plan).expect("nothing stands in the way");
    assert_eq!(outcome.ended_by, None);
    assert_eq!((outcome.unanswered, outcome.unsent), (0, 0));
    assert_eq!(outcome.recording.sent, outcome.recording.received);
    assert_eq!(outcome.recording.total().count(), outcome.recording.received);
    assert_eq!(outcome.server_commands, Some(outcome.recording.sent));
    outcome
}

#[test]
fn a_number_of_requests_is_met_exactly() {
    let server = Responder::start(Behaviour::default());
    for (pipeline, clients, threads) in [(1, 5, 2), (16, 3, 3), (7, 1, 4)] {
        let mut plan = plan(vec![server.endpoint()], get_and_set());
        (plan.pipeline, plan.clients, plan.threads.count) = (pipeline, clients, threads);
        let outcome = measured(&plan);
        assert_eq!(outcome.recording.received, 2_000);
        assert_eq!(outcome.busy.len(), threads.min(clients));
        assert!(outcome.elapsed > Duration::ZERO && outcome.cpu > Duration::ZERO);
        let get = &outcome.recording.commands[0];
        assert_eq!(get.hits + get.misses, get.count());
    }
}

#[test]
fn pipelined_replies_are_timed_each_by_itself() {
    let delay = Duration::from_millis(2);
    let server = Responder::start(Behaviour { delay, ..Behaviour::default() });
    let mut plan = plan(vec![server.endpoint()], get());
    (plan.pipeline, plan.clients, plan.stop.requests) = (10, 1, Some(100));
    let outcome = measured(&plan);
    let response = &outcome.recording.commands[0].response;
    // The server takes 2 ms for each and answers one by one: the first of the first ten waits for
    // itself only, each later one in a full pipeline for nine others too.
    assert!(response.min() < 8_000_000, "{}", response.min());
    assert!(response.value_at_quantile(0.5) >= 19_000_000, "{}", response.value_at_quantile(0.5));
}

#[test]
fn a_duration_and_a_warm_up() {
    let server = Responder::start(Behaviour::default());
    let mut plan = plan(vec![server.endpoint()], get());
    plan.stop = Stop { requests: None, duration: Some(Duration::from_millis(1300)) };
    plan.warmup = Duration::from_millis(200);
    let mut told = Vec::new();
    let _shared = SIGNALS.read().unwrap_or_else(PoisonError::into_inner);
    let outcome = run(&plan, &mut |progress| told.push(progress.clone())).unwrap();
    assert_eq!(outcome.server_commands, Some(outcome.recording.sent));
    assert!(server.commands() > outcome.recording.sent, "the warm-up is not counted");
    let elapsed = outcome.elapsed.as_millis();
    assert!((1300..2500).contains(&elapsed), "{elapsed}");
    assert_eq!(told.len(), 1, "{told:?}");
    let first = &told[0];
    assert!(first.sent > 0 && first.rate > 0.0 && first.p50_ns > 0 && !first.warming_up);
    assert_eq!(first.misses, first.answered);
    assert!((0.7..0.9).contains(&first.done), "{}", first.done);
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let server = Responder::start(Behaviour::default());
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let mut plan = plan(vec![server.endpoint()], get());
        plan.pacing = Pacing::Open { rate_per_second: 2_000.0, arrivals };
        plan.pipeline = 50;
        plan.warmup = Duration::from_millis(100);
        plan.stop = Stop { requests: None, duration: Some(Duration::from_secs(1)) };
        let outcome = measured(&plan);
        let sent = outcome.recording.sent;
        // Of 2,000 Poisson arrivals the deviation is 45.
        let tolerance = if arrivals == Arrivals::Constant { 2 } else { 250 };
        assert!(sent.abs_diff(2_000) <= tolerance, "{arrivals:?}: {sent}");
    }
}

#[test]
fn a_stall_shows_in_the_response_times_of_all_that_were_due() {
    let stall = Some((100, Duration::from_millis(400)));
    let server = Responder::start(Behaviour { stall, ..Behaviour::default() });
    let mut plan = plan(vec![server.endpoint()], get());
    (plan.clients, plan.threads.count) = (1, 1);
    plan.pacing = Pacing::Open { rate_per_second: 1_000.0, arrivals: Arrivals::Constant };
    plan.stop = Stop { requests: None, duration: Some(Duration::from_secs(1)) };
    let outcome = measured(&plan);
    let get = &outcome.recording.commands[0];
    // One request in flight: the stall is one service time, and 400 response times from 400 ms
    // down to nothing.
    let beyond = |histogram: &hdrhistogram::Histogram<u64>, ms: u64| {
        histogram.len() - histogram.count_between(0, ms * 1_000_000)
    };
    assert_eq!(get.count(), 1_000);
    assert_eq!(beyond(&get.service, 300), 1);
    let slow = beyond(&get.response, 200);
    assert!((190..400).contains(&slow), "{slow}");
    assert!(outcome.recording.lag_max_ns > 350_000_000);
}

#[test]
fn requests_that_never_found_room_are_counted() {
    let stall = Some((50, Duration::from_secs(30)));
    let server = Responder::start(Behaviour { stall, ..Behaviour::default() });
    let mut plan = plan(vec![server.endpoint()], get());
    (plan.clients, plan.threads.count, plan.pipeline) = (1, 1, 3);
    plan.pacing = Pacing::Open { rate_per_second: 500.0, arrivals: Arrivals::Constant };
    plan.stop = Stop { requests: None, duration: Some(Duration::from_millis(400)) };
    let began = Instant::now();
    let outcome = run_it(&plan).unwrap();
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(outcome.unanswered, 3);
    let accounted = outcome.recording.received + outcome.unanswered + outcome.unsent;
    assert_eq!(accounted, 200);
}

#[test]
fn preloading_writes_each_key_once() {
    let server = Responder::start(Behaviour::default());
    let mut plan = plan(vec![server.endpoint()], get());
    plan.workload.preload = true;
    let outcome = measured(&plan);
    assert_eq!(server.commands(), 500 + 2_000 + server.questions());
    assert_eq!(server.keys(), 500);
    assert_eq!(outcome.recording.commands[0].hits, 2_000);
}

#[test]
fn misses_are_filled_as_an_application_would() {
    let server = Responder::start(Behaviour::default());
    for pacing in
        [Pacing::Closed, Pacing::Open { rate_per_second: 4_000.0, arrivals: Arrivals::Poisson }]
    {
        server.clear();
        let mut plan = plan(vec![server.endpoint()], get());
        plan.pacing = pacing;
        plan.stop = Stop { requests: Some(4_000), duration: None };
        plan.workload.on_miss = Some(OnMiss { delay: Duration::from_millis(1) });
        let outcome = measured(&plan);
        let [get, fill] = &outcome.recording.commands[..] else { panic!("two commands") };
        assert_eq!(get.count(), 4_000);
        assert_eq!(fill.title, "SET (fill)");
        assert!(fill.count() >= server.keys() && fill.count() <= get.misses);
        assert!(get.hits > 3 * get.misses, "{} hits, {} misses", get.hits, get.misses);
    }
}

#[test]
fn verification_accepts_a_true_server_and_finds_out_others() {
    for (corrupts, stale) in [(false, false), (true, false), (false, true)] {
        let server = Responder::start(Behaviour { corrupts, stale, ..Behaviour::default() });
        let mut plan = plan(vec![server.endpoint()], get_and_set());
        (plan.verify, plan.pipeline) = (true, 4);
        plan.workload.values = ValueSizes::Range { min: 32, max: 300 };
        let outcome = measured(&plan);
        assert_eq!(outcome.wrong > 0, corrupts || stale, "{:?}", outcome.wrong_examples);
        assert_eq!(outcome.wrong_examples.is_empty(), outcome.wrong == 0);
        assert!(outcome.wrong_examples.len() <= 10);
    }
}

#[test]
fn connections_made_anew_count_into_the_response() {
    let server = Responder::start(Behaviour::default());
    let mut plan = plan(vec![server.endpoint()], get());
    (plan.keep_alive, plan.pipeline) = (false, 2);
    plan.stop.requests = Some(100);
    let outcome = measured(&plan);
    assert_eq!(outcome.recording.received, 100);
    assert!(server.connections() >= 50, "{}", server.connections());
}

#[test]
fn a_unix_socket_and_several_endpoints() {
    let path = std::env::temp_dir().join(format!("loadgen-exec-{}", std::process::id()));
    let by_path = Responder::start_at(&path, Behaviour::default());
    let by_port = Responder::start(Behaviour::default());
    measured(&plan(vec![by_path.endpoint(), by_port.endpoint()], get()));
    assert!(by_path.commands() > 300 && by_port.commands() > 300);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn connections_introduce_themselves() {
    let server = Responder::start(Behaviour { password: Some("hush"), ..Behaviour::default() });
    let mut plan = plan(vec![server.endpoint()], get());
    plan.target.password = Some("hush".into());
    plan.target.database = 3;
    (plan.clients, plan.threads.count) = (1, 1);
    measured(&plan);
    let introduction = server.introduction();
    assert_eq!(introduction[..3], ["AUTH hush", "SELECT 3", "CLIENT SETNAME loadgen"]);
    plan.target.resp3 = true;
    plan.target.user = Some("ann".into());
    server.clear();
    measured(&plan);
    assert_eq!(server.introduction()[0], "HELLO 3 AUTH ann hush");
}

#[test]
fn a_cluster_gets_each_key_at_its_owner() {
    let first = Responder::start(Behaviour::default());
    let second = Responder::start(Behaviour::default());
    Responder::form_cluster(&first, &second, 6_000);
    let mut plan = plan(vec![first.endpoint()], get_and_set());
    plan.target.cluster = true;
    plan.workload.preload = true;
    for pacing in
        [Pacing::Closed, Pacing::Open { rate_per_second: 5_000.0, arrivals: Arrivals::Constant }]
    {
        plan.pacing = pacing;
        plan.pipeline = 4;
        let outcome = measured(&plan);
        assert_eq!((outcome.moved, outcome.recording.received), (0, 2_000));
        assert_eq!(outcome.recording.commands[0].misses, 0);
        assert_eq!(first.keys() + second.keys(), 500);
        assert!(first.keys() > 100 && second.keys() > 200);
    }
    // The boundary moves during the run: MOVED until the map has been asked for again.
    plan.pacing = Pacing::Open { rate_per_second: 2_000.0, arrivals: Arrivals::Constant };
    plan.workload.preload = false;
    plan.stop = Stop { requests: None, duration: Some(Duration::from_millis(1500)) };
    let moving = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(400));
            Responder::form_cluster(&first, &second, 12_000);
        });
        run_it(&plan).unwrap()
    });
    assert!(moving.moved > 0 && moving.moved < 1_000, "{}", moving.moved);
    assert_eq!(moving.recording.total().errors, moving.moved);
    assert_eq!(moving.recording.sent, moving.recording.received);
}

#[test]
fn a_server_that_dies_leaves_what_was_measured() {
    let server = Responder::start(Behaviour { dies_after: Some(700), ..Behaviour::default() });
    let outcome = run_it(&plan(vec![server.endpoint()], get())).expect("something was measured");
    let message = outcome.ended_by.expect("it died").message;
    assert!(message.contains("ended a connection ("), "{message}");
    assert!((500..=700).contains(&outcome.recording.received), "{}", outcome.recording.received);
    let lost = outcome.recording.sent - outcome.recording.received;
    assert_eq!(lost, outcome.unanswered);
}

#[test]
fn an_error_as_the_first_reply_is_the_end() {
    let server = Responder::start(Behaviour::default());
    let failure = run_it(&plan(vec![server.endpoint()], vec![command("NONSENSE", 1.0)]));
    let message = failure.expect_err("nothing to measure").message;
    assert!(message.contains("answers NONSENSE with the error \"ERR unknown"), "{message}");
    // Later ones are counted.
    let mix = vec![command("GET __key__", 50.0), command("NONSENSE", 1.0)];
    let mut plan = plan(vec![server.endpoint()], mix);
    // One connection: which reply is the first follows from the seed.
    plan.clients = 1;
    let outcome = run_it(&plan).unwrap();
    let errors = outcome.recording.commands[1].errors;
    assert!(errors > 0 && errors == outcome.recording.commands[1].count());
    assert_eq!(outcome.recording.error_texts.values().sum::<u64>(), errors);
}

#[test]
fn what_hinders_a_connection_is_said_in_one_line() {
    let message = |behaviour: Behaviour, password: Option<&str>| {
        let server = Responder::start(behaviour);
        let mut plan = plan(vec![server.endpoint()], get());
        plan.target.password = password.map(String::from);
        let message = run_it(&plan).expect_err("hindered").message;
        assert!(!message.contains('\n'), "{message}");
        message
    };
    let first = |line| Behaviour { greeting: Some(line), ..Behaviour::default() };
    let denied =
        message(first("-DENIED Redis is in protected mode. Long words. NOTE: more.\r\n"), None);
    assert!(denied.contains("protected mode admits only its own host"), "{denied}");
    assert!(denied.contains("protected mode\"") && !denied.contains("Long"), "{denied}");
    let full = message(first("-ERR max number of clients reached\r\n"), None);
    assert!(full.contains("fewer clients"), "{full}");
    let http = message(first("HTTP/1.1 400 Bad Request\r\n\r\n"), None);
    assert!(http.contains("does not speak the Redis protocol"), "{http}");
    let closed = message(first(""), None);
    assert!(closed.contains("closed the connection without an answer"), "{closed}");
    let locked = || Behaviour { password: Some("hush"), ..Behaviour::default() };
    let missing = message(locked(), None);
    assert!(missing.contains("NOAUTH") && missing.contains("-a"), "{missing}");
    let wrong = message(locked(), Some("guess"));
    assert!(wrong.contains("WRONGPASS") && wrong.contains("check both"), "{wrong}");

    let refused = Responder::start(Behaviour::default()).endpoint();
    let refused = run_it(&plan(vec![refused], get())).expect_err("nobody there").message;
    assert!(refused.contains("refuses connections"), "{refused}");
    let nowhere = Endpoint::Tcp { host: "no-such-host.invalid".into(), port: 1 };
    let nowhere = run_it(&plan(vec![nowhere], get())).expect_err("no such host").message;
    assert!(nowhere.contains("cannot resolve"), "{nowhere}");
    let no_socket = Endpoint::Unix("/nonexistent/socket".into());
    let no_socket = run_it(&plan(vec![no_socket], get())).expect_err("no such path").message;
    assert!(no_socket.contains("there is no socket"), "{no_socket}");
}

#[test]
fn an_interrupt_ends_the_run_with_what_was_measured() {
    let server = Responder::start(Behaviour::default());
    let mut plan = plan(vec![server.endpoint()], get());
    plan.stop = Stop { requests: None, duration: Some(Duration::from_secs(60)) };
    let _alone = SIGNALS.write().unwrap_or_else(PoisonError::into_inner);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_secs(30);
            while server.commands() < 500 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            // SAFETY: no memory is passed; `run` handles the signal while it watches.
            unsafe { libc::raise(libc::SIGINT) };
        });
        run(&plan, &mut |_| {}).unwrap()
    });
    assert!(outcome.interrupted && outcome.ended_by.is_none());
    assert!(outcome.elapsed < Duration::from_secs(50));
    assert_eq!(outcome.recording.sent, outcome.recording.received);
    assert!(server.commands.load(Ordering::Relaxed) >= 500);
}
