#!/usr/bin/env python3
"""What writing over `maxmemory` costs and delays; prints a table in Markdown.

    cargo build --release --workspace && benches/pressure.py

GETs and SETs, half and half, of values of 64 bytes to 4 KiB, over keys that need about eight times
`maxmemory`: so nearly every SET has something evicted. First as many as the server can serve, for
its processor time per request, then at a fixed rate, for the latencies of GETs from the intended
moments on. The same load with room for everything stands beside it, and redis-server with the same
limit. The servers take turns, round after round, each pinned to one core and loadgen to another.
Needs redis-server and two cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from cacheaside import Client
from servers import ROOT, Server, free_port

KEYS = 400_000
PERCENTILES = ["p50", "p99", "p99.9"]


def main():
    args = arguments()
    servers = {
        "ringwell, room for all": lambda: ringwell(args, "0"),
        "ringwell, at its limit": lambda: ringwell(args, args.maxmemory),
        "redis-server, at its limit": lambda: redis_server(args),
    }
    print(f"{args.rounds} rounds, maxmemory {args.maxmemory}, {args.rate} requests a second for "
          f"the latencies\n")
    results = {name: [] for name in servers}
    for round_number in range(args.rounds):
        for name, start in servers.items():
            print(f"round {round_number + 1} of {args.rounds}: {name}", file=sys.stderr)
            with start() as server:
                results[name].append(measure(args, server, name))
    print_table(results)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns per server (default 5)")
    parser.add_argument("--maxmemory", default="100mb", help="(default 100mb)")
    parser.add_argument("--rate", default="15k", help="for the latencies (default 15k)")
    parser.add_argument("--seconds", type=int, default=8, help="per measurement (default 8)")
    parser.add_argument("--policy", default="allkeys-s3fifo", help="of ringwell")
    parser.add_argument("--ringwell", default=str(ROOT / "target/release/ringwell"),
                        help="the program (default target/release/ringwell)")
    parser.add_argument("--loadgen", default=str(ROOT / "target/release/loadgen"),
                        help="the program (default target/release/loadgen)")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    args = parser.parse_args()
    for program in [args.ringwell, args.loadgen]:
        if not os.path.exists(program):
            sys.exit(f"{program} does not exist: run cargo build --release --workspace first")
    return args


def ringwell(args, maxmemory):
    port = free_port()
    return Server([args.ringwell, "--port", str(port), "--bind", "127.0.0.1", "--shards", "1",
                   "--cpus", str(args.server_cpu), "--maxmemory", maxmemory,
                   "--maxmemory-policy", args.policy], port)


def redis_server(args):
    port = free_port()
    return Server(["taskset", "-c", str(args.server_cpu), "redis-server", "--port", str(port),
                   "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxmemory",
                   args.maxmemory, "--maxmemory-policy", "allkeys-lru"], port)


def measure(args, server, name):
    """CPU microseconds per request, and the latencies of GETs in microseconds."""
    # Twice the limit and more, so that what is measured has been at it all the time.
    load(args, server, "--requests", "400k", "--warmup", "0")
    before = server.cpu_seconds()
    fast = load(args, server, "--duration", f"{args.seconds}s", "--warmup", "0")
    cpu = (server.cpu_seconds() - before) / fast["received"] * 1e6
    steady = load(args, server, "--duration", f"{args.seconds}s", "--rate", args.rate,
                  "--arrivals", "poisson")
    with Client(server.port) as client:
        evicted = int(client.info("stats")["evicted_keys"])
    if (evicted > 0) != ("limit" in name) or fast["errors"] + steady["errors"] > 0:
        sys.exit(f"{name}: {evicted} keys evicted, {fast['errors'] + steady['errors']} errors")
    response = next(c for c in steady["commands"] if c["title"] == "GET")["response"]
    micros = [(response["percentiles_ns"][p] or response["max_ns"]) / 1e3 for p in PERCENTILES]
    return cpu, *micros, response["max_ns"] / 1e3


def load(args, server, *options):
    command = [args.loadgen, "run", f"127.0.0.1:{server.port}", "--mix", "get=1,set=1", "--keys",
               str(KEYS), "--value-size", "64-4k", "--cpus", str(args.client_cpu), "--json", "-q",
               *options]
    output = subprocess.run(command, capture_output=True, text=True)
    if output.returncode != 0:
        sys.exit(f"{' '.join(command)}:\n{output.stderr}")
    return json.loads(output.stdout)["results"]


def print_table(results):
    print("| server | CPU us/request | GET p50 us | p99 | p99.9 | max |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, rounds in results.items():
        medians = [statistics.median(column) for column in zip(*rounds)]
        spread = max(row[0] for row in rounds) - min(row[0] for row in rounds)
        latencies = " | ".join(f"{micros:,.0f}" for micros in medians[1:])
        print(f"| {name} | {medians[0]:.2f} (± {spread / 2:.2f}) | {latencies} |")


if __name__ == "__main__":
    main()
