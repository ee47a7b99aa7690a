#!/usr/bin/env python3
"""Ringwell beside redis-server on this machine, in one run; prints a table in Markdown.

    cargo build --release && benches/compare.py

The server is pinned to core 0, redis-benchmark to core 1; the servers take turns, round after
round, so that a machine that slows down slows both. The figure that holds on a noisy machine is the
server's processor time per request (utime + stime of /proc/PID/stat); throughput and percentiles
stand beside it. Then two shards on both cores with half of the keys remote, against one shard.
Needs redis-server, redis-benchmark and two cores.
"""

import argparse
import csv
import io
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
KEYS = 100_000
VALUE_BYTES = 64

# test, pipeline, connections
ONE_SHARD = [("get", 1, 50), ("set", 1, 50), ("get", 16, 50), ("set", 16, 50), ("get", 1, 1)]
TWO_SHARDS = [("get", 1, 50), ("set", 1, 50), ("get", 16, 50), ("set", 16, 50)]
# CPU per request relative to redis-server, by pipeline; p50 relative to it for one connection.
TARGET_CPU = {1: 0.88, 16: 0.40}
TARGET_P50_ONE_CONNECTION = 1.0
# CPU per request of two shards relative to one.
TARGET_TWO_SHARDS = {1: 1.5, 16: 1.7}


def main():
    args = arguments()
    configurations = {
        "redis-server": lambda: redis_server(args),
        "ringwell": lambda: ringwell(args, shards=1, cpus=args.server_cpu),
    }
    both_cpus = f"{args.server_cpu},{args.client_cpu}"
    two = {
        "one shard": configurations["ringwell"],
        "two shards": lambda: ringwell(args, shards=2, cpus=both_cpus),
    }
    chosen = {name: start for name, start in configurations.items() if name in args.servers}
    describe(args)
    rows = measure(args, chosen, ONE_SHARD)
    print_table(chosen, rows, "redis-server", "ringwell", ONE_SHARD, one_shard_targets)
    if "ringwell" in args.servers and not args.skip_two_shards:
        print("\nTwo shards on two cores, which they share with the client; half of the keys are "
              "remote:\n")
        rows = measure(args, two, TWO_SHARDS)
        print_table(two, rows, "one shard", "two shards", TWO_SHARDS, two_shard_targets)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns per server (default 5)")
    parser.add_argument("--requests", type=int, default=400_000,
                        help="requests per measurement at P=1; three times as many at P=16, an "
                             "eighth for one connection (default 400000)")
    parser.add_argument("--servers", nargs="+", default=["redis-server", "ringwell"],
                        choices=["redis-server", "ringwell"])
    parser.add_argument("--skip-two-shards", action="store_true")
    parser.add_argument("--ringwell", default=str(ROOT / "target/release/ringwell"),
                        help="the program (default target/release/ringwell)")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    args = parser.parse_args()
    if "ringwell" in args.servers and not os.path.exists(args.ringwell):
        sys.exit(f"{args.ringwell} does not exist: run cargo build --release first")
    if max(args.server_cpu, args.client_cpu) not in os.sched_getaffinity(0):
        sys.exit("two cores are needed; choose them with --server-cpu and --client-cpu")
    return args


def describe(args):
    version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout
    kernel = os.uname().release
    print(f"Linux {kernel}, {version.split()[2].replace('v=', 'redis-server ')}, loopback, server "
          f"on core {args.server_cpu}, redis-benchmark on core {args.client_cpu}, "
          f"{VALUE_BYTES}-byte values, {KEYS} keys, medians of {args.rounds} rounds (spread: "
          "largest minus smallest)\n")


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
        sys.exit(f"{self.process.args[0]} does not start:\n{log}")

    def cpu_seconds(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

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
                        sys.exit(f"preloading failed: {received!r}")
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


def redis_server(args):
    port = free_port()
    return Server(["taskset", "-c", str(args.server_cpu), "redis-server", "--port", str(port),
                   "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], port)


def ringwell(args, shards, cpus):
    port = free_port()
    return Server([args.ringwell, "--port", str(port), "--bind", "127.0.0.1", "--shards",
                   str(shards), "--cpus", str(cpus)], port)


def measure(args, configurations, tests):
    """Results by configuration and test: lists with one (cpu, rps, p50, p99) per round."""
    results = {(name, test): [] for name in configurations for test in tests}
    for round_number in range(args.rounds):
        for name, start in configurations.items():
            print(f"round {round_number + 1} of {args.rounds}: {name}", file=sys.stderr)
            with start() as server:
                server.preload()
                for test in tests:
                    results[name, test].append(benchmark(args, server, test))
    return results


def benchmark(args, server, test):
    command, pipeline, connections = test
    requests = args.requests * (3 if pipeline > 1 else 1) // (8 if connections == 1 else 1)
    before = server.cpu_seconds()
    output = subprocess.run(
        ["taskset", "-c", str(args.client_cpu), "redis-benchmark", "-p", str(server.port), "-t",
         command, "-n", str(requests), "-P", str(pipeline), "-c", str(connections), "-d",
         str(VALUE_BYTES), "-r", str(KEYS), "--csv"],
        capture_output=True, text=True, check=True).stdout
    cpu = (server.cpu_seconds() - before) / requests * 1e6
    lines = [line for line in output.splitlines() if line.startswith('"')]
    row = next(csv.DictReader(io.StringIO("\n".join(lines))))
    return cpu, float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"])


def one_shard_targets(test, ratios):
    _, pipeline, connections = test
    if connections == 1:
        return "p50", ratios["p50"], TARGET_P50_ONE_CONNECTION
    return "CPU", ratios["cpu"], TARGET_CPU[pipeline]


def two_shard_targets(test, ratios):
    return "CPU", ratios["cpu"], TARGET_TWO_SHARDS[test[1]]


def print_table(configurations, rows, base, other, tests, target_of):
    print("| test | server | CPU us/request | requests/s | p50 ms | p99 ms | ratio | target | |")
    print("|---|---|---|---|---|---|---|---|---|")
    for test in tests:
        command, pipeline, connections = test
        title = f"{command.upper()} P={pipeline} c={connections}"
        medians = {name: summary(rows[name, test]) for name in configurations}
        for name in configurations:
            (cpu, spread), rps, p50, p99 = medians[name]
            if name == other and base in configurations:
                ratios = {"cpu": cpu / medians[base][0][0], "p50": p50 / medians[base][2]}
                what, ratio, target = target_of(test, ratios)
                reached = "reached" if ratio <= target else "missed"
                verdict = f"| {what} {ratio:.2f} | {target} | {reached}"
            else:
                verdict = "| | |"
            print(f"| {title} | {name} | {cpu:.2f} (± {spread / 2:.2f}) | {rps:,.0f} | {p50:.3f} "
                  f"| {p99:.3f} {verdict} |")


def summary(rounds):
    cpus = [cpu for cpu, *_ in rounds]
    medians = [statistics.median(column) for column in zip(*rounds)]
    return (medians[0], max(cpus) - min(cpus)), *medians[1:]


if __name__ == "__main__":
    main()
