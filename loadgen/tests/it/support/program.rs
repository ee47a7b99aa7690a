//! The program under test, run with a time limit.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringwell_test_support::signal;

/// How long any run may take before the test fails. Generous, because debug builds on busy
/// two-core machines are slow; nothing takes this long when all is well.
const RUN_TIME_MAX: Duration = Duration::from_secs(60);

/// What a run came to.
#[derive(Debug)]
pub struct Output {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Output {
    #[track_caller]
    pub fn expect_status(self, status: i32) -> Output {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }
}

pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_loadgen"))
}

/// Runs the program with these arguments to its end.
pub fn loadgen(args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(args);
    loadgen_with(command)
}

/// Runs the program with the words of this line.
pub fn loadgen_line(line: &str) -> Output {
    loadgen(&line.split_ascii_whitespace().collect::<Vec<_>>())
}

/// Runs a command to its end.
pub fn loadgen_with(command: Command) -> Output {
    finish(spawn(command))
}

/// Starts a command whose output is read by [`finish`].
pub fn spawn(mut command: Command) -> Child {
    command
        // Neither password nor flaw comes from whoever runs the tests.
        .env_remove("REDISCLI_AUTH")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("starting {command:?}: {error}"))
}

/// As Ctrl-C does.
pub fn interrupt(child: &Child) {
    signal(child, libc::SIGINT);
}

/// Waits for the end; kills a program that takes too long.
pub fn finish(mut child: Child) -> Output {
    let out = reader(child.stdout.take().expect("a pipe"));
    let err = reader(child.stderr.take().expect("a pipe"));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("waiting") {
            break status;
        }
        if start.elapsed() > RUN_TIME_MAX {
            let _ = child.kill();
            let _ = child.wait();
            let (out, err) = (out.join().expect("reading"), err.join().expect("reading"));
            panic!("not ended within {RUN_TIME_MAX:?}:\n{out}\n{err}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Output {
        status: status.code().unwrap_or(-1),
        out: out.join().expect("reading"),
        err: err.join().expect("reading"),
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
