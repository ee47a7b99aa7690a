#!/usr/bin/env python3
"""GET and SET of large values beside the newest peers, one at a time per connection.

    cargo build --release && benches/large.py

Server on core 0, client on core 1, servers in turns, medians of the rounds. Figures are the server's
processor time and page faults per request, and what the client sees. `--extra` gives Ringwell other
arguments: `--extra=--shards=2` has half of the values on another core's shard. Needs redis-benchmark
and taskset; peers are those of servers.py.
"""

import argparse
import os
import statistics
import sys

from servers import ROOT, Server, free_port, peers, redis_benchmark

OURS = "ringwell"
KIB = 1024
# Values that are not in the caches, without more memory than a small machine has.
STORED_BYTES = 64 * KIB * KIB
KEYS_MAX = 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="16,64,256,1024", help="KiB")
    parser.add_argument("--tests", default="SET,GET")
    parser.add_argument("--rounds", type=int, default=5, help="turns per server")
    parser.add_argument("--mib", type=int, default=1024, help="what a measurement transfers")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--extra", default="--shards=1", help="arguments for Ringwell")
    parser.add_argument("--ringwell", default=str(ROOT / "target/release/ringwell"))
    args = parser.parse_args()
    commands = {OURS: [os.path.abspath(args.ringwell), *args.extra.split()]} | peers(on_path=False)
    print("| test | server | CPU us/request | faults/request | requests/s | p50 ms | p99 ms | "
          "CPU to best peer | p50 to best peer |\n|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for kib in map(int, args.sizes.split(",")):
        taken = {}
        for number in range(args.rounds):
            # Back and forth, so that no server always comes first.
            for name in list(commands) if number % 2 == 0 else list(commands)[::-1]:
                print(f"{kib} KiB: round {number + 1}, {name}", file=sys.stderr)
                for test, figures in measure(args, commands[name], kib * KIB).items():
                    taken.setdefault(test, {}).setdefault(name, []).append(figures)
        for test, by_name in taken.items():
            report(f"{test} {kib} KiB", by_name)


def measure(args, command, size):
    """One round of one server: CPU, faults, rate, p50 and p99 by test."""
    keys = max(20, min(KEYS_MAX, STORED_BYTES // size))
    requests = max(500, min(40_000, args.mib * KIB * KIB // size))
    options = ["-c", str(args.connections), "-d", str(size), "-r", str(keys)]
    port = free_port()
    server = ["taskset", "-c", "0", *command, "--port", str(port), "--bind", "127.0.0.1"]
    client = ["taskset", "-c", "1"]
    figures = {}
    with Server(server, port) as running:
        redis_benchmark(running, 4 * keys, ["-t", "set", *options], client)
        for test in args.tests.split(","):
            before = running.page_faults()
            taken = redis_benchmark(running, requests, ["-t", test.lower(), *options], client)
            faults = (running.page_faults() - before) / requests
            figures[test] = (taken.cpu, faults, taken.rps, taken.p50, taken.p99)
    return figures


def report(test, by_name):
    medians = {name: [statistics.median(column) for column in zip(*rows)]
               for name, rows in by_name.items()}
    others = [figures for name, figures in medians.items() if name != OURS]
    for name, (cpu, faults, rps, p50, p99) in medians.items():
        ratios = [f"{own / min(figures[column] for figures in others):.2f}" if others else ""
                  for own, column in [(cpu, 0), (p50, 3)]]
        print(f"| {test} | {name} | {cpu:.1f} | {faults:.2f} | {rps:,.0f} | {p50:.3f} | {p99:.3f} | "
              + " | ".join(ratios) + " |", flush=True)


if __name__ == "__main__":
    main()
