//! Commands that concern every core, asked on one of them.

use crate::history::{Value, command};
use crate::world::{Rng, World};

const SHARDS: usize = 4;

/// One client on each core.
fn world(seed: u64) -> (World, Vec<usize>) {
    let mut world = World::new(SHARDS, seed);
    let clients = (0..SHARDS).map(|core| world.connect(core)).collect();
    (world, clients)
}

fn ask(world: &mut World, client: usize, line: &str) -> String {
    world.send(client, &command(&line.split(' ').collect::<Vec<_>>()));
    world.run_until_idle();
    String::from_utf8(world.received(client)).expect("replies are text here")
}

#[test]
fn client_list_shows_the_clients_of_every_core() {
    let (mut world, clients) = world(1);
    for &client in &clients {
        assert_eq!(ask(&mut world, client, &format!("CLIENT SETNAME name{client}")), "+OK\r\n");
    }
    assert_eq!(ask(&mut world, clients[1], "CLIENT SETINFO lib-name redis-py"), "+OK\r\n");
    let list = ask(&mut world, clients[2], "CLIENT LIST");
    let lines: Vec<&str> = list.lines().filter(|line| line.starts_with("id=")).collect();
    assert_eq!(lines.len(), SHARDS, "{list}");
    for (line, client) in lines.iter().zip(clients.iter()) {
        let id = client + 1;
        assert!(line.starts_with(&format!("id={id} addr=/sim:0 laddr=/sim:0 fd=")), "{line}");
        assert!(line.contains(&format!(" name=name{client} ")), "{line}");
        assert!(line.contains(" flags=U db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 "), "{line}");
    }
    assert!(lines[2].contains(" cmd=client|list user=default redir=-1 resp=2 lib-name= lib-ver="));
    assert!(lines[1].contains(" cmd=client|setinfo ") && lines[1].contains(" lib-name=redis-py "));
    // In the order asked for.
    let some = ask(&mut world, clients[0], "CLIENT LIST ID 4 99 2 4");
    let fields = some.lines().filter_map(|line| line.split(' ').next());
    let ids: Vec<&str> = fields.filter(|field| field.starts_with("id=")).collect();
    assert_eq!(ids, ["id=4", "id=2", "id=4"], "{some}");
    assert_eq!(ask(&mut world, clients[0], "CLIENT LIST TYPE pubsub"), "$0\r\n\r\n");
}

#[test]
fn client_kill_reaches_other_cores_and_answers_before_it_ends_its_own() {
    let (mut world, clients) = world(2);
    assert_eq!(ask(&mut world, clients[0], "CLIENT KILL ID 3"), ":1\r\n");
    assert!(!world.is_open(clients[2]));
    world.disconnect(clients[2]);
    assert_eq!(ask(&mut world, clients[0], "CLIENT KILL ID 3"), ":0\r\n");
    assert_eq!(ask(&mut world, clients[0], "CLIENT KILL 127.0.0.1:1"), "-ERR No such client\r\n");
    assert_eq!(ask(&mut world, clients[0], "CLIENT KILL ID 1"), ":0\r\n");
    assert_eq!(ask(&mut world, clients[0], "CLIENT KILL TYPE pubsub"), ":0\r\n");
    // The old form spares nobody.
    assert_eq!(ask(&mut world, clients[0], "CLIENT KILL /sim:0"), "+OK\r\n");
    assert!(clients.iter().all(|&client| !world.is_open(client)));
}

#[test]
fn a_pause_holds_every_core_until_it_is_taken_back() {
    let (mut world, clients) = world(3);
    assert_eq!(ask(&mut world, clients[0], "CLIENT PAUSE 60000 WRITE"), "+OK\r\n");
    for &client in &clients[1..] {
        assert_eq!(ask(&mut world, client, "GET k"), "$-1\r\n");
        assert_eq!(ask(&mut world, client, "SET k v"), "");
    }
    assert_eq!(ask(&mut world, clients[0], "CLIENT PAUSE 1 ALL"), "+OK\r\n");
    assert_eq!(ask(&mut world, clients[0], "CLIENT UNPAUSE"), "+OK\r\n");
    for &client in &clients[1..] {
        assert_eq!(world.received(client), b"+OK\r\n");
    }
    assert_eq!(ask(&mut world, clients[0], "GET k"), "$1\r\nv\r\n");
}

/// What has been sent from core to core before the pause takes effect before it is answered.
#[test]
#[cfg(debug_assertions)]
fn no_write_takes_effect_once_a_pause_of_writes_is_answered() {
    crate::for_each_seed(|seed| {
        let (mut world, clients) = world(seed);
        let writes = [
            command(&["APPEND", "a", "x"]),
            command(&["APPEND", "b", "x"]),
            command(&["INCR", "c"]),
            command(&["MSET", "a", "", "d", "y"]),
            command(&["MSET", "a", "", "b", "", "c", "0", "d", "z"]),
            [command(&["MULTI"]), command(&["APPEND", "d", "q"]), command(&["INCR", "c"])].concat(),
            command(&["EXEC"]),
            command(&["RENAME", "d", "e"]),
        ];
        let mut rng = Rng::new(seed);
        for &client in &clients[1..] {
            for _ in 0..rng.below(30) {
                world.send(client, &writes[rng.below(writes.len())]);
            }
        }
        world.run_some();
        let pause = command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
        assert_eq!(world.ask(clients[0], &pause, 1), [Value::ok()]);
        let stored = world.stored();
        world.run_until_idle();
        assert_eq!(world.stored(), stored);
        assert_eq!(ask(&mut world, clients[0], "CLIENT UNPAUSE"), "+OK\r\n");
    });
}

#[test]
fn settings_are_in_force_on_every_core_when_config_set_is_answered() {
    let (mut world, clients) = world(4);
    let refused = ask(&mut world, clients[0], "CONFIG SET timeout 7 port 1");
    assert!(refused.starts_with("-ERR CONFIG SET failed (possibly related to argument 'port')"));
    for (round, &client) in clients.iter().enumerate() {
        let set = format!("CONFIG SET timeout {} maxclients 100", round + 10);
        assert_eq!(ask(&mut world, client, &set), "+OK\r\n");
        let expected = format!("*2\r\n$7\r\ntimeout\r\n$2\r\n{}\r\n", round + 10);
        for &other in &clients {
            assert_eq!(ask(&mut world, other, "CONFIG GET timeout"), expected);
        }
    }
    // A new password concerns connections that have yet to be made.
    assert_eq!(ask(&mut world, clients[0], "CONFIG SET requirepass s3cret"), "+OK\r\n");
    assert_eq!(ask(&mut world, clients[3], "PING"), "+PONG\r\n");
    let late = world.connect(3);
    assert_eq!(ask(&mut world, late, "PING"), "-NOAUTH Authentication required.\r\n");
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    assert_eq!(ask(&mut world, late, "AUTH guess"), wrong);
    assert_eq!(ask(&mut world, late, "HELLO 3 AUTH default guess"), wrong);
    assert_eq!(ask(&mut world, late, "AUTH default s3cret"), "+OK\r\n");
    let stats = ask(&mut world, late, "INFO stats");
    assert!(stats.contains("\r\nauth_failures:2\r\n"), "{stats}");
    assert_eq!(
        ask(&mut world, late, "CONFIG REWRITE"),
        "-ERR The server is running without a config file\r\n"
    );
}

/// As in Redis: without a password there is nothing that a client could authenticate with.
#[test]
fn clients_that_have_not_authenticated_may_go_on_when_the_password_is_taken_back() {
    let (mut world, clients) = world(8);
    assert_eq!(ask(&mut world, clients[0], "CONFIG SET requirepass s3cret"), "+OK\r\n");
    let late = world.connect(2);
    assert_eq!(ask(&mut world, late, "GET k"), "-NOAUTH Authentication required.\r\n");
    world.send(clients[0], &command(&["CONFIG", "SET", "requirepass", ""]));
    world.run_until_idle();
    assert_eq!(world.received(clients[0]), b"+OK\r\n");
    assert_eq!(ask(&mut world, late, "GET k"), "$-1\r\n");
}

#[test]
fn info_adds_up_the_cores() {
    let (mut world, clients) = world(5);
    for n in 0..20 {
        let set = format!("SET key{n} v EX 100");
        assert_eq!(ask(&mut world, clients[n % SHARDS], &set), "+OK\r\n");
    }
    assert_eq!(ask(&mut world, clients[1], "GET key7"), "$1\r\nv\r\n");
    assert_eq!(ask(&mut world, clients[1], "GET nosuch"), "$-1\r\n");
    assert!(ask(&mut world, clients[1], "INCRBY key7 1").starts_with("-ERR"));
    assert!(ask(&mut world, clients[1], "SET key7").starts_with("-ERR wrong number"));
    let info = ask(&mut world, clients[2], "INFO everything");
    for line in [
        "redis_version:7.2.4",
        "connected_clients:4",
        "total_commands_processed:24",
        "keyspace_hits:1",
        "keyspace_misses:1",
        "errorstat_ERR:count=2",
        "cmdstat_set:calls=20,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0",
        "cmdstat_incrby:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=1",
        "db0:keys=20,expires=20,avg_ttl=100000,subexpiry=0",
    ] {
        assert!(info.contains(&format!("\r\n{line}\r\n")), "{line} is not in:\n{info}");
    }
    let shards = info.lines().filter(|line| line.starts_with("shard") && line.contains("cpu="));
    assert_eq!(shards.count(), SHARDS);
    assert_eq!(ask(&mut world, clients[2], "CONFIG RESETSTAT"), "+OK\r\n");
    let stats = ask(&mut world, clients[2], "INFO stats commandstats errorstats");
    assert!(stats.contains("\r\ntotal_commands_processed:1\r\n"), "{stats}");
    assert!(!stats.contains("cmdstat_set") && !stats.contains("errorstat_"), "{stats}");
}

#[test]
fn a_call_that_fails_is_counted_once() {
    let (mut world, clients) = world(9);
    let client = clients[1];
    // What only the operation finds, and what is wrong with the arguments already.
    for line in ["CONFIG SET nosuch 1", "SELECT 99", "CLIENT LIST TYPE nosuch"] {
        assert!(ask(&mut world, client, line).starts_with("-ERR"), "{line}");
        // Beside a command with a key, the commands of an EXEC run in turn.
        for line in ["MULTI", line, "GET k", "EXEC"] {
            ask(&mut world, client, line);
        }
    }
    let stats = ask(&mut world, clients[2], "INFO commandstats errorstats");
    for command in ["config|set", "select", "client|list"] {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
        let line = line.unwrap_or_else(|| panic!("{command} is not in:\n{stats}"));
        assert!(line.contains(":calls=2,") && line.contains(",failed_calls=2"), "{line}");
    }
    assert!(stats.contains("\r\nerrorstat_ERR:count=6\r\n"), "{stats}");
}

#[test]
fn replies_can_be_turned_off_and_skipped() {
    let (mut world, clients) = world(6);
    let client = clients[0];
    assert_eq!(ask(&mut world, client, "CLIENT REPLY SKIP"), "");
    assert_eq!(ask(&mut world, client, "CLIENT LIST"), "");
    assert_eq!(ask(&mut world, client, "PING"), "+PONG\r\n");
    assert_eq!(ask(&mut world, client, "CLIENT REPLY OFF"), "");
    for line in ["PING", "nosuch", "SET k v", "MGET k a b c", "INFO", "CLIENT REPLY SKIP"] {
        assert_eq!(ask(&mut world, client, line), "", "{line}");
    }
    assert_eq!(ask(&mut world, client, "CLIENT REPLY ON"), "+OK\r\n");
    assert_eq!(ask(&mut world, client, "GET k"), "$1\r\nv\r\n");
}

/// Wherever the keys are, and however the command gets there.
#[test]
fn a_client_that_does_not_touch_leaves_keys_as_idle_as_they_were() {
    const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut world = World::new(SHARDS, 9);
    let (client, other) = (world.connect(0), world.connect(1));
    world.preload(&KEYS, "v");
    let idle_seconds = |world: &mut World| -> Vec<u64> {
        let idle = KEYS.map(|key| ask(world, other, &format!("OBJECT IDLETIME {key}")));
        idle.iter().map(|reply| reply[1..].trim_end().parse().expect("a number")).collect()
    };
    let all = KEYS.join(" ");
    let each: Vec<String> = KEYS.iter().map(|key| format!("GET {key}")).collect();
    let mget = vec![format!("MGET {all}")];
    let parts = [vec!["MULTI".to_owned()], each.clone(), vec!["EXEC".to_owned()]].concat();
    let in_turn = ["MULTI", "SET other w", &mget[0], "EXEC"].map(str::to_owned).to_vec();
    let ways = [&each, &mget, &parts, &in_turn];
    for way in ways {
        world.wait_ms(20_000);
        assert_eq!(ask(&mut world, client, "CLIENT NO-TOUCH ON"), "+OK\r\n");
        way.iter().for_each(|line| drop(ask(&mut world, client, line)));
        let idle = idle_seconds(&mut world);
        assert!(idle.iter().all(|seconds| *seconds >= 19), "after {way:?}: {idle:?}");
        assert_eq!(ask(&mut world, client, "CLIENT NO-TOUCH OFF"), "+OK\r\n");
        way.iter().for_each(|line| drop(ask(&mut world, client, line)));
        let idle = idle_seconds(&mut world);
        assert!(idle.iter().all(|seconds| *seconds <= 1), "after {way:?}: {idle:?}");
    }
    world.wait_ms(20_000);
    assert_eq!(ask(&mut world, client, "CLIENT NO-TOUCH ON"), "+OK\r\n");
    assert_eq!(ask(&mut world, client, &format!("TOUCH {all}")), ":8\r\n");
    let idle = idle_seconds(&mut world);
    assert!(idle.iter().all(|seconds| *seconds <= 1), "TOUCH counts: {idle:?}");
}

#[test]
fn clients_are_told_about_themselves_and_the_policy() {
    let (mut world, clients) = world(7);
    let client = clients[3];
    for (line, reply) in [
        ("CLIENT ID", ":4\r\n"),
        ("CLIENT GETNAME", "$-1\r\n"),
        ("CLIENT SETNAME me", "+OK\r\n"),
        ("CLIENT GETNAME", "$2\r\nme\r\n"),
        ("CLIENT GETREDIR", ":-1\r\n"),
        (
            "CLIENT TRACKINGINFO",
            "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n",
        ),
        ("CLIENT NO-EVICT on", "+OK\r\n"),
        ("CLIENT NO-TOUCH on", "+OK\r\n"),
        ("CLIENT UNBLOCK 1", ":0\r\n"),
        ("SELECT 9", "+OK\r\n"),
        ("ACCESS LOG", "*0\r\n"),
        ("ACCESS LOG RESET", "+OK\r\n"),
        ("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n"),
    ] {
        assert_eq!(ask(&mut world, client, line), reply, "{line}");
    }
    let info = ask(&mut world, client, "CLIENT INFO");
    assert!(info.contains(" name=me ") && info.contains(" flags=UeT db=9 "), "{info}");
    assert_eq!(ask(&mut world, client, "RESET"), "+RESET\r\n");
    let info = ask(&mut world, client, "CLIENT INFO");
    assert!(info.contains(" name= ") && info.contains(" flags=U db=0 "), "{info}");
    let refused = ask(&mut world, client, "ACCESS EXPLAIN 192.0.2.7");
    assert!(refused.contains("refused") && refused.contains("protected-mode"), "{refused}");
}

/// What was asked for before is answered, other shards' replies included, before the end.
#[test]
fn quit_waits_for_the_replies_of_other_shards() {
    for seed in 0..50 {
        let (mut world, clients) = world(seed);
        let client = clients[seed as usize % SHARDS];
        let mut pipeline = Vec::new();
        for key in ["a", "b", "c", "d", "e"] {
            pipeline.extend(command(&["SET", key, "v"]));
        }
        pipeline.extend(command(&["MGET", "a", "b", "c"]));
        pipeline.extend(command(&["GET", "d"]));
        pipeline.extend(command(&["QUIT"]));
        world.send(client, &pipeline);
        world.run_until_idle();
        let expected = format!(
            "{}*3\r\n{}{}+OK\r\n",
            "+OK\r\n".repeat(5),
            "$1\r\nv\r\n".repeat(3),
            "$1\r\nv\r\n"
        );
        assert_eq!(String::from_utf8_lossy(&world.received(client)), expected, "seed {seed}");
        assert!(!world.is_open(client));
    }
}
