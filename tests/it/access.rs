//! The access policy with real peers: a second host in a network namespace, IPv4 and IPv6,
//! loopback, and unix sockets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::support::need::{NETWORK_NAMESPACES, PerShards};
use crate::support::netns::{CLIENT_IP4, CLIENT_IP6, SERVER_IP4, SERVER_IP6, TwoHosts};
use crate::support::server::{info, ringwell};
use crate::support::{Client, Scratch, Server, Value, on_one_and_four_shards, test};

/// The server has a host of its own, so every test may use the port that users know.
const PORT: u16 = 6379;

pub fn trials() -> Vec<Trial> {
    let two_hosts: [PerShards; 14] = [
        ("refused_peer_reads_why", refused_peer_reads_why),
        ("refused_peer_runs_nothing", refused_peer_runs_nothing),
        ("remedy_1_config_set_and_rewrite", remedy_1_config_set_and_rewrite),
        ("remedy_2_edit_the_file", remedy_2_edit_the_file),
        ("remedy_3_argument", remedy_3_argument),
        ("remedy_4_bind_address", remedy_4_bind_address),
        ("remedy_4_password", remedy_4_password),
        ("wildcards_are_no_bind_address", wildcards_are_no_bind_address),
        ("allow_from_names_who_may_come", allow_from_names_who_may_come),
        ("allow_from_everything_opens_nothing", allow_from_everything_opens_nothing),
        ("policy_changes_are_whole", policy_changes_are_whole),
        ("mapped_addresses_are_what_they_map", mapped_addresses_are_what_they_map),
        ("refusals_are_counted_and_logged", refusals_are_counted_and_logged),
        ("a_full_server_admits_its_own_host", a_full_server_admits_its_own_host),
    ];
    let mut trials = on_one_and_four_shards("access", &[NETWORK_NAMESPACES], &two_hosts);
    trials.push(test("access::unix_sockets_are_accepted", unix_sockets_are_accepted));
    trials.push(test("access::explains_itself", explains_itself));
    trials
}

/// Ringwell on the server's host, reached from both hosts.
struct Setting {
    hosts: TwoHosts,
    server: Server,
}

impl Setting {
    /// `args` may begin with the name of a file.
    fn new(shards: usize, args: &[&str]) -> Setting {
        let hosts = TwoHosts::new();
        let server = spawn(&hosts, shards, args);
        let setting = Setting { hosts, server };
        setting.wait();
        setting
    }

    fn restart(&mut self, shards: usize, args: &[&str]) {
        self.server.signal(libc::SIGTERM);
        assert!(self.server.wait(Duration::from_secs(10)).success());
        self.server = spawn(&self.hosts, shards, args);
        self.wait();
    }

    /// Waits for the listeners, on an address that is bound in every test.
    fn wait(&self) {
        let mut client = self.hosts.connect_locally(&at("127.0.0.1"));
        client.send(b"PING\r\n");
        client.read_value();
    }

    fn locally(&self) -> Client {
        self.hosts.connect_locally(&at("127.0.0.1"))
    }

    fn remotely(&self, ip: &str) -> Client {
        self.hosts.connect_remotely(&at(ip))
    }

    /// Several connections, so that they reach several cores.
    fn assert_accepted(&self, ip: &str) {
        for _ in 0..12 {
            assert_eq!(self.remotely(ip).run("PING").text(), "PONG", "from {ip}");
        }
    }

    fn assert_refused(&self, ip: &str, why: &str) {
        for _ in 0..12 {
            let line = self.refusal(ip);
            assert!(line.contains(why), "{line}");
        }
    }

    /// What a refused peer reads although it has sent something.
    fn refusal(&self, ip: &str) -> String {
        let mut client = self.remotely(ip);
        // The server may have closed already; it must not have thrown its answer away.
        let _ = client.try_send(&b"*1\r\n$4\r\nPING\r\n".repeat(1000));
        let bytes = client.read_to_end().expect("an end of the stream, not a reset");
        let line = String::from_utf8(bytes).expect("text");
        assert!(line.starts_with("-DENIED "), "{line:?}");
        assert_eq!(line.find("\r\n"), Some(line.len() - 2), "not one line: {line:?}");
        line
    }
}

fn spawn(hosts: &TwoHosts, shards: usize, args: &[&str]) -> Server {
    let mut command = hosts.on_server(&ringwell());
    let (file, args) = match args {
        [file, rest @ ..] if !file.starts_with("--") => (Some(file), rest),
        all => (None, all),
    };
    command.args(file).args(["--port", &PORT.to_string(), "--shards", &shards.to_string()]);
    command.args(args);
    Server::spawn("ringwell", command, PORT)
}

fn at(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{PORT}") } else { format!("{ip}:{PORT}") }
}

fn refused_peer_reads_why(shards: usize) {
    let setting = Setting::new(shards, &[]);
    for ip in [SERVER_IP4, SERVER_IP6] {
        setting.assert_refused(ip, "protected mode");
        let line = setting.refusal(ip);
        // The four remedies, in the words that users search the web for.
        for remedy in [
            "1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' \
             from the loopback interface",
            "Use CONFIG REWRITE to make this change permanent.",
            "2) Alternatively you can just disable the protected mode by editing the",
            "3) If you started the server manually just for testing, restart it with the \
             '--protected-mode no' option.",
            "4) Setup a bind address or an authentication password",
        ] {
            assert!(line.contains(remedy), "{remedy:?} is not in {line:?}");
        }
    }
    assert_eq!(setting.locally().run("PING").text(), "PONG");
    assert_eq!(setting.hosts.connect_locally(&at("::1")).run("PING").text(), "PONG");
    // A host's own other addresses are not loopback.
    let own = setting.hosts.connect_locally(&at(SERVER_IP4)).read_to_end().expect("an end");
    assert!(own.starts_with(b"-DENIED "));
}

fn refused_peer_runs_nothing(shards: usize) {
    let setting = Setting::new(shards, &[]);
    for n in 0..20 {
        let mut client = setting.remotely(SERVER_IP4);
        let _ = client.try_send(format!("SET evil{n} 1\r\nFLUSHALL\r\n").as_bytes());
        client.read_until_closed();
    }
    assert_eq!(setting.locally().run("DBSIZE"), Value::Int(0));
}

fn remedy_1_config_set_and_rewrite(shards: usize) {
    let hosts = TwoHosts::new();
    let scratch = Scratch::new("remedy");
    let file = scratch.file("ringwell.conf");
    fs::write(&file, "# kept\nloglevel notice\n").expect("writing the file");
    let server = spawn(&hosts, shards, &[&file]);
    let mut setting = Setting { hosts, server };
    setting.wait();
    setting.assert_refused(SERVER_IP4, "protected mode");
    let mut local = setting.locally();
    assert_eq!(local.run("CONFIG SET protected-mode no"), Value::ok());
    setting.assert_accepted(SERVER_IP4);
    setting.assert_accepted(SERVER_IP6);
    assert_eq!(local.run("CONFIG REWRITE"), Value::ok());
    setting.restart(shards, &[&file]);
    setting.assert_accepted(SERVER_IP4);
    let written = fs::read_to_string(&file).expect("reading the file");
    assert!(written.starts_with("# kept\nloglevel notice\n"), "{written}");
    assert!(written.lines().any(|line| line == "protected-mode no"), "{written}");
}

fn remedy_2_edit_the_file(shards: usize) {
    let scratch = Scratch::new("remedy");
    let file = scratch.file("ringwell.conf");
    fs::write(&file, "protected-mode no\n").expect("writing the file");
    let setting = Setting::new(shards, &[&file]);
    setting.assert_accepted(SERVER_IP4);
    setting.assert_accepted(SERVER_IP6);
}

fn remedy_3_argument(shards: usize) {
    let setting = Setting::new(shards, &["--protected-mode", "no"]);
    setting.assert_accepted(SERVER_IP4);
    setting.assert_accepted(SERVER_IP6);
}

fn remedy_4_bind_address(shards: usize) {
    let setting = Setting::new(shards, &["--bind", SERVER_IP4, SERVER_IP6, "127.0.0.1"]);
    setting.assert_accepted(SERVER_IP4);
    setting.assert_accepted(SERVER_IP6);
}

fn remedy_4_password(shards: usize) {
    let setting = Setting::new(shards, &["--requirepass", "s3cret"]);
    let mut client = setting.remotely(SERVER_IP4);
    assert_eq!(client.run("PING").text(), "NOAUTH Authentication required.");
    assert_eq!(client.run("AUTH s3cret"), Value::ok());
    assert_eq!(client.run("PING").text(), "PONG");
    // Taking the password away closes the door again, for those who come from then on.
    assert_eq!(client.command(&["CONFIG", "SET", "requirepass", ""]), Value::ok());
    setting.assert_refused(SERVER_IP4, "protected mode");
    assert_eq!(client.run("PING").text(), "PONG");
    assert_eq!(setting.locally().run("CONFIG SET requirepass other"), Value::ok());
    assert!(setting.remotely(SERVER_IP6).run("PING").text().starts_with("NOAUTH"));
}

fn wildcards_are_no_bind_address(shards: usize) {
    for bind in [&["*"][..], &["0.0.0.0"], &["0.0.0.0", "::"], &["*", "-::*"]] {
        let mut args = vec!["--bind"];
        args.extend_from_slice(bind);
        Setting::new(shards, &args).assert_refused(SERVER_IP4, "protected mode");
    }
}

fn allow_from_names_who_may_come(shards: usize) {
    let setting = Setting::new(shards, &["--allow-from", "10.213.7.0/24", "192.0.2.1"]);
    setting.assert_accepted(SERVER_IP4);
    setting.assert_refused(SERVER_IP6, "allow-from");
    assert_eq!(setting.locally().run("PING").text(), "PONG");
    let setting = Setting::new(shards, &["--allow-from", CLIENT_IP6, "--requirepass", "s3cret"]);
    // A password does not help a host that is not meant.
    setting.assert_refused(SERVER_IP4, "allow-from");
    assert_eq!(setting.remotely(SERVER_IP6).run("AUTH s3cret"), Value::ok());
}

fn allow_from_everything_opens_nothing(shards: usize) {
    let setting = Setting::new(shards, &["--allow-from", "0.0.0.0/0", "::/0"]);
    setting.assert_refused(SERVER_IP4, "protected mode");
    setting.assert_refused(SERVER_IP6, "protected mode");
    let everybody = ["--allow-from", "0.0.0.0/0", "--protected-mode", "no"];
    let setting = Setting::new(shards, &everybody);
    setting.assert_accepted(SERVER_IP4);
    setting.assert_refused(SERVER_IP6, "allow-from");
}

/// Once CONFIG SET has answered, no core works by the old policy.
fn policy_changes_are_whole(shards: usize) {
    let setting = Setting::new(shards, &["--protected-mode", "no"]);
    let mut local = setting.locally();
    for _ in 0..5 {
        let set = ["CONFIG", "SET", "allow-from", "192.0.2.0/24"];
        assert_eq!(local.command(&set), Value::ok());
        setting.assert_refused(SERVER_IP4, "allow-from");
        assert_eq!(local.command(&["CONFIG", "SET", "allow-from", CLIENT_IP4]), Value::ok());
        setting.assert_accepted(SERVER_IP4);
    }
    let bad = local.command(&["CONFIG", "SET", "allow-from", "192.0.2.0/33"]);
    assert!(bad.is_error(), "{bad:?}");
    setting.assert_accepted(SERVER_IP4);
    assert_eq!(local.command(&["CONFIG", "SET", "allow-from", ""]), Value::ok());
    setting.assert_accepted(SERVER_IP6);
}

fn mapped_addresses_are_what_they_map(shards: usize) {
    let setting = Setting::new(shards, &["--allow-from", "192.0.2.1"]);
    let mut local = setting.hosts.connect_locally(&at("::ffff:127.0.0.1"));
    assert_eq!(local.run("PING").text(), "PONG");
    setting.assert_refused(&format!("::ffff:{SERVER_IP4}"), "allow-from");
    let set = ["CONFIG", "SET", "allow-from", CLIENT_IP4];
    assert_eq!(local.command(&set), Value::ok());
    setting.assert_accepted(&format!("::ffff:{SERVER_IP4}"));
}

fn refusals_are_counted_and_logged(shards: usize) {
    let setting = Setting::new(shards, &[]);
    let mut local = setting.locally();
    let count = |local: &mut Client, reason: &str| -> u64 {
        let fields = info(local, "everything");
        let matching = |name: &str| name.contains("refused") && name.contains(reason);
        fields.iter().filter(|(n, _)| matching(n)).map(|(_, v)| v.parse::<u64>().unwrap()).sum()
    };
    assert_eq!(count(&mut local, "protected_mode"), 0);
    for _ in 0..5 {
        setting.refusal(SERVER_IP4);
    }
    assert_eq!(count(&mut local, "protected_mode"), 5);
    assert_eq!(local.run("CONFIG SET allow-from 192.0.2.1"), Value::ok());
    for _ in 0..3 {
        setting.refusal(SERVER_IP6);
    }
    assert_eq!(count(&mut local, "allow_from"), 3);
    assert_eq!(count(&mut local, "protected_mode"), 5);

    let log = format!("{:?}", local.run("ACCESS LOG"));
    assert!(log.contains(CLIENT_IP4) && log.contains(CLIENT_IP6), "{log}");
    let newest = local.run("ACCESS LOG 1");
    assert_eq!(newest.items().len(), 1, "{newest:?}");
    assert!(format!("{newest:?}").contains(CLIENT_IP6), "{newest:?}");
    assert_eq!(local.run("ACCESS LOG RESET"), Value::ok());
    assert_eq!(local.run("ACCESS LOG").items().len(), 0);
    // Forgetting the log forgets no counter; RESETSTAT does.
    assert_eq!(count(&mut local, "protected_mode"), 5);
    assert_eq!(local.run("CONFIG RESETSTAT"), Value::ok());
    assert_eq!(count(&mut local, "protected_mode"), 0);
}

/// Strangers cannot lock the operator out.
fn a_full_server_admits_its_own_host(shards: usize) {
    let setting = Setting::new(shards, &["--protected-mode", "no", "--maxclients", "20"]);
    let mut crowd: Vec<Client> = Vec::new();
    let refused = loop {
        let mut client = setting.remotely(SERVER_IP4);
        client.send(b"PING\r\n");
        match client.read_value() {
            Value::Simple(_) => crowd.push(client),
            refusal => break refusal,
        }
        assert!(crowd.len() <= 20, "maxclients is 20");
    };
    assert_eq!(refused.text(), "ERR max number of clients reached");
    // Those that the start left behind may still have counted.
    assert!(crowd.len() >= 18, "{} were served", crowd.len());
    let mut local = setting.locally();
    assert_eq!(local.run("PING").text(), "PONG");
    assert_eq!(local.run("CONFIG SET maxclients 30"), Value::ok());
    assert_eq!(setting.remotely(SERVER_IP4).run("PING").text(), "PONG");
}

fn unix_sockets_are_accepted() {
    let scratch = Scratch::new("unix");
    let path = scratch.file("ringwell.sock");
    let args = ["--unixsocket", &path, "--unixsocketperm", "700", "--allow-from", "192.0.2.1"];
    for shards in [1, 4] {
        let mut server = Server::ringwell(shards, &args);
        let mode = fs::metadata(&path).expect("the socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{mode:o}");
        for n in 0..8 {
            let mut client = Client::connect_unix(scratch.path().join("ringwell.sock").as_path());
            assert_eq!(client.run(&format!("SET key{n} v")), Value::ok());
            let list = client.run("CLIENT INFO").text();
            assert!(list.contains(&format!("addr={path}:0")), "{list}");
        }
        server.signal(libc::SIGTERM);
        assert!(server.wait(Duration::from_secs(10)).success());
        assert!(!scratch.path().join("ringwell.sock").exists(), "the socket is left behind");
    }
}

fn explains_itself() {
    let server = Server::ringwell(1, &["--allow-from", "192.0.2.0/24"]);
    let mut client = server.connect();
    let mut explain =
        |ip: &str| format!("{:?}", client.command(&["ACCESS", "EXPLAIN", ip])).to_lowercase();
    for (ip, decision, rule) in [
        ("127.0.0.1", "accepted", "the host itself"),
        ("::1", "accepted", "the host itself"),
        ("::ffff:127.0.0.1", "accepted", "the host itself"),
        ("192.0.2.7", "accepted", "allow-from"),
        ("::ffff:192.0.2.7", "accepted", "allow-from"),
        ("198.51.100.1", "refused", "allow-from"),
        ("2001:db8::1", "refused", "allow-from"),
    ] {
        let answer = explain(ip);
        assert!(answer.contains(decision) && answer.contains(rule), "{ip}: {answer}");
    }
    assert!(explain("example.org").starts_with("-err"));
    assert!(explain("192.0.2.0/24").starts_with("-err"));
}
