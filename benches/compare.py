#!/usr/bin/env python3
"""Ringwell beside redis-server on this machine, in one run; prints a table in Markdown.

    cargo build --release && benches/compare.py

The server is pinned to core 0, redis-benchmark to core 1; the servers take turns, round after
round, so that a machine that slows down slows both. The figure that holds on a noisy machine is the
server's processor time per request (utime + stime of /proc/PID/stat); throughput and percentiles
stand beside it. Then two shards on both cores (`spread all`) with half of the keys remote, against
one shard; default_start.py shows the server as it starts.
Needs redis-server, redis-benchmark and two cores.
"""

import argparse
import os
import statistics
import subprocess
import sys

from servers import KEYS, ROOT, VALUE_BYTES, Server, free_port, redis_benchmark

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


def redis_server(args):
    port = free_port()
    return Server(["taskset", "-c", str(args.server_cpu), "redis-server", "--port", str(port),
                   "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], port)


def ringwell(args, shards, cpus):
    port = free_port()
    # A thread for each shard: the crossings between them are what is to be seen.
    return Server([args.ringwell, "--port", str(port), "--bind", "127.0.0.1", "--shards",
                   str(shards), "--cpus", str(cpus), "--spread", "all"], port)


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
    return redis_benchmark(server, requests, ["-t", command, "-P", str(pipeline), "-c",
                                              str(connections), "-d", str(VALUE_BYTES), "-r",
                                              str(KEYS)],
                           ["taskset", "-c", str(args.client_cpu)])


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
