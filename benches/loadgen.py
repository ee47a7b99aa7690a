#!/usr/bin/env python3
"""loadgen beside redis-benchmark on this machine; prints tables in Markdown.

    cargo build --release -p loadgen && benches/loadgen.py

First what a request costs the client: user and system time of the whole process (from wait4), over
the requests, at P=1 and P=16 against the same redis-server. The server is pinned to one core and
the client to another; the clients take turns, round after round, and medians count, so that a
machine that slows down slows all of them. Then whether `loadgen compat` and redis-benchmark agree
on throughput where the server is what is slow and neither client is.
Needs redis-server, redis-benchmark and two cores.
"""

import argparse
import csv
import io
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEYS = 100_000
VALUE_BYTES = 64
CLIENTS = 50
# Client CPU per request relative to redis-benchmark.
TARGET_RATIO = 0.6
# Takes a server more than 100 us, beside which it does not matter how many requests a client hands
# over at once, and its answer is a number.
SLOW_COMMAND = ["BITCOUNT", "bits"]
SLOW_BYTES = 512 * 1024


def main():
    args = arguments()
    print(f"{args.rounds} rounds, {args.requests:,} requests at P=1 and {4 * args.requests:,} at "
          f"P=16, {CLIENTS} connections, {KEYS:,} keys, values of {VALUE_BYTES} bytes; "
          f"{version('redis-server')}, {version('redis-benchmark')}\n")
    with Server(args) as server:
        fill(server)
        costs = client_costs(args, server)
        agreement(args, server)
    if not costs:
        sys.exit(1)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns per client (default 7)")
    parser.add_argument("--requests", type=int, default=300_000,
                        help="requests per measurement at P=1; four times as many at P=16")
    parser.add_argument("--loadgen", default=str(ROOT / "target/release/loadgen"),
                        help="the program (default target/release/loadgen)")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    args = parser.parse_args()
    if not os.path.exists(args.loadgen):
        sys.exit(f"{args.loadgen} does not exist: run cargo build --release -p loadgen first")
    for program in ["redis-server", "redis-benchmark"]:
        if not shutil.which(program):
            sys.exit(f"{program} is needed")
    if not {args.server_cpu, args.client_cpu} <= os.sched_getaffinity(0):
        sys.exit("two cores are needed; choose them with --server-cpu and --client-cpu")
    return args


def client_costs(args, server):
    """Prints the table; whether every ratio is within the target."""
    print("Client CPU per request, µs (medians), and relative to redis-benchmark:\n")
    print("| load | redis-benchmark | loadgen compat | ratio | loadgen run | ratio | "
          f"target <= {TARGET_RATIO} |")
    print("|---|--:|--:|--:|--:|--:|---|")
    met = True
    for test in ["get", "set"]:
        for pipeline in [1, 16]:
            requests = args.requests * (4 if pipeline > 1 else 1)
            clients = {
                "redis-benchmark": ["redis-benchmark", *compat_args(server, test, pipeline, requests)],
                "compat": [args.loadgen, "compat", *compat_args(server, test, pipeline, requests)],
                "run": [args.loadgen, *run_args(server, test, pipeline, requests)],
            }
            costs = {name: [] for name in clients}
            for round_number in range(args.rounds):
                for name in turn(clients, round_number):
                    cpu, _ = run_client(args, clients[name])
                    costs[name].append(cpu / requests * 1e6)
            medians = {name: statistics.median(values) for name, values in costs.items()}
            ratios = {name: statistics.median(b / a for a, b in zip(costs["redis-benchmark"], values))
                      for name, values in costs.items()}
            is_met = max(ratios["compat"], ratios["run"]) <= TARGET_RATIO
            met = met and is_met
            print(f"| {test.upper()}, P={pipeline} | {medians['redis-benchmark']:.2f} "
                  f"| {medians['compat']:.2f} | {ratios['compat']:.2f} "
                  f"| {medians['run']:.2f} | {ratios['run']:.2f} | {'met' if is_met else 'MISSED'} |",
                  flush=True)
    return met


def agreement(args, server):
    """Throughput where the server is the bottleneck: pairs of turns, against its own noise."""
    requests = max(args.requests // 20, 5_000)
    command = ["-p", str(server.port), "-c", "10", "-n", str(requests), "--csv", *SLOW_COMMAND]
    clients = {
        "redis-benchmark": ["redis-benchmark", *command],
        "redis-benchmark again": ["redis-benchmark", *command],
        "loadgen compat": [args.loadgen, "compat", *command],
    }
    rates = {name: [] for name in clients}
    busy = {name: [] for name in clients}
    for round_number in range(args.rounds):
        for name in turn(clients, round_number):
            started = time.monotonic()
            cpu, out = run_client(args, clients[name])
            rates[name].append(float(list(csv.reader(io.StringIO(out)))[-1][1]))
            busy[name].append(cpu / (time.monotonic() - started))
    print(f"\nThroughput of `{' '.join(SLOW_COMMAND)}` ({SLOW_BYTES // 1024} KiB), 10 connections, "
          "where the server is what is slow:\n")
    print("| client | requests per second | its core busy | ratio to redis-benchmark, pair by pair: "
          "median (quartiles) |")
    print("|---|--:|--:|---|")
    quartiles = {}
    for name, values in rates.items():
        ratios = [b / a for a, b in zip(rates["redis-benchmark"], values)]
        low, middle, high = quartiles[name] = statistics.quantiles(ratios, n=4, method="inclusive")
        print(f"| {name} | {statistics.median(values):,.0f} | {statistics.median(busy[name]):.0%} "
              f"| {middle:.3f} ({low:.3f} to {high:.3f}) |")
    noise = max(abs(ratio - 1) for ratio in quartiles["redis-benchmark again"])
    low, middle, high = quartiles["loadgen compat"]
    agree = low <= 1 <= high or abs(middle - 1) <= noise
    print(f"\nThey differ by {abs(middle - 1):.1%}, {'within' if agree else 'BEYOND'} noise "
          f"(redis-benchmark differs from itself by up to {noise:.1%} in half of the pairs).")


def turn(clients, round_number):
    """Back and forth, so that no client always comes first."""
    names = list(clients)
    return names if round_number % 2 == 0 else names[::-1]


def compat_args(server, test, pipeline, requests):
    return ["-p", str(server.port), "-c", str(CLIENTS), "-P", str(pipeline), "-n", str(requests),
            "-r", str(KEYS), "-d", str(VALUE_BYTES), "-t", test, "--csv"]


def run_args(server, test, pipeline, requests):
    values = ["-d", str(VALUE_BYTES)] if test == "set" else []
    return ["run", f"127.0.0.1:{server.port}", "-c", str(CLIENTS), "-P", str(pipeline),
            "--requests", str(requests), "--warmup", "0", "--keys", str(KEYS),
            "--mix", f"{test}=1", "--quiet", "--seed", "1", *values]


def run_client(args, command):
    """Runs it on its core; processor time in seconds, and what it printed."""
    pin = lambda: os.sched_setaffinity(0, {args.client_cpu})
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                 preexec_fn=pin)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0)
        if child.returncode != 0:
            sys.exit(f"{' '.join(command)} failed: {err.read().decode()}")
        return usage.ru_utime + usage.ru_stime, out.read().decode()


class Server:
    """redis-server on its core, without persistence."""

    def __init__(self, args):
        self.args = args

    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.directory = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", self.directory.name],
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.args.server_cpu}))
        for _ in range(500):
            try:
                self.call("PING")
                return self
            except OSError:
                time.sleep(0.01)
        self.__exit__()
        sys.exit("redis-server does not answer")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()

    def call(self, *words):
        request = b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(w), w) for w in (w.encode() for w in words))
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            answer = connection.recv(4096)
        if answer.startswith(b"-"):
            sys.exit(f"{words[0]}: {answer.decode()}")
        return answer


def fill(server):
    """Every key that the tests read."""
    value = b"x" * VALUE_BYTES
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        replies = connection.makefile("rb")
        for first in range(0, KEYS, 1000):
            batch = (b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n" % (key, len(value), value)
                     for key in range(first, min(first + 1000, KEYS)))
            connection.sendall(b"".join(batch))
            for _ in range(first, min(first + 1000, KEYS)):
                if replies.readline() != b"+OK\r\n":
                    sys.exit("filling the database failed")
    server.call("SETRANGE", "bits", str(SLOW_BYTES - 1), "x")


def version(program):
    out = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+\.\d+", out)
    return f"{program} {found.group() if found else out.strip()}"


if __name__ == "__main__":
    main()
