#!/usr/bin/env python3
"""What commands over several shards cost, beside redis-server; prints a table in Markdown.

    cargo build --release && benches/transactions.py

MGET and MSET of 10 keys with 1, 2 and 4 shards, MULTI blocks of 5 commands whose keys are on one
shard or on several, and single keys at P=16 with 2 shards. Every shard is pinned to the one core
that redis-server has too, and the client to another. The servers take turns, round after round,
so that a machine that slows down slows all of them; what counts is the processor time per command
(utime + stime of /proc/PID/stat, all threads), and of it the median over the rounds of the ratio
to redis-server. Needs redis-server, redis-benchmark and two cores.
"""

import argparse
import binascii
import csv
import io
import itertools
import os
import select
import socket
import statistics
import subprocess
import sys
import time

import compare
from servers import KEYS, VALUE_BYTES, Server

SLOTS = 16_384
# Quarters of the slots in the order in which keys go to them: any few keys in a row are spread
# evenly over 2 shards and over 4.
QUARTERS = [0, 2, 1, 3]
KEYS_PER_COMMAND = 10
KEYS_PER_TAG = 1_000
COMMANDS_PER_BLOCK = 5
BLOCKS = 512
CONNECTIONS = 50
SHARD_COUNTS = [1, 2, 4]

# test, numbers of shards
TESTS = [
    ("MGET 10 keys", SHARD_COUNTS),
    ("MSET 10 keys", SHARD_COUNTS),
    ("MULTI 5 commands, one shard", [2]),
    ("MULTI 5 commands, several shards", SHARD_COUNTS[1:]),
    ("GET P=16", [2]),
    ("SET P=16", [2]),
]
# CPU per command relative to redis-server, by test and number of shards.
TARGET_CPU = {("MGET 10 keys", 2): 1.0}


def main():
    args = arguments()
    print(f"{args.rounds} rounds, {args.requests:,} commands or blocks at P=1 and four times as "
          f"many at P=16, {CONNECTIONS} connections, {VALUE_BYTES}-byte values; all shards on core "
          f"{args.server_cpu}, the client on core {args.client_cpu}\n")
    results = {}
    for round_number in range(args.rounds):
        print(f"round {round_number + 1} of {args.rounds}", file=sys.stderr)
        # Who comes first differs, should that matter.
        for shards in [None, *SHARD_COUNTS][::-1 if round_number % 2 else 1]:
            with start(args, shards) as server:
                for test, shard_counts in TESTS:
                    if args.test in test and (shards is None or shards in shard_counts):
                        figures = TEST_RUNNERS[test.split()[0]](args, server, test)
                        results.setdefault((test, shards), []).append(figures)
    reached = print_table(results)
    sys.exit(0 if reached else 1)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns per server (default 5)")
    parser.add_argument("--requests", type=int, default=150_000,
                        help="commands or blocks per measurement (default 150000)")
    parser.add_argument("--test", default="", help="only tests with this in their names")
    parser.add_argument("--ringwell", default=str(compare.ROOT / "target/release/ringwell"),
                        help="the program (default target/release/ringwell)")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    args = parser.parse_args()
    if not os.path.exists(args.ringwell):
        sys.exit(f"{args.ringwell} does not exist: run cargo build --release first")
    if not {args.server_cpu, args.client_cpu} <= os.sched_getaffinity(0):
        sys.exit("two cores are needed; choose them with --server-cpu and --client-cpu")
    return args


def start(args, shards):
    """redis-server, or Ringwell with so many shards, filled."""
    if shards is None:
        server = compare.redis_server(args)
    else:
        server = compare.ringwell(args, shards=shards, cpus=args.server_cpu)
    server.preload()
    preload_tags(server)
    return server


def tags(quarters):
    """Hash tags (without braces), the nth of them in the nth of these quarters of the slots."""
    found = []
    candidates = itertools.count()
    for quarter in quarters:
        tag = next(tag for tag in (f"t{n}" for n in candidates)
                   if binascii.crc_hqx(tag.encode(), 0) % SLOTS * 4 // SLOTS == quarter)
        found.append(tag)
    return found


SPREAD_TAGS = tags(QUARTERS[n % 4] for n in range(KEYS_PER_COMMAND))
ONE_SHARD_TAGS = tags([0] * COMMANDS_PER_BLOCK)


def encode(words):
    words = [word.encode() for word in words]
    bulks = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%s" % (len(words), bulks)


def preload_tags(server):
    """All keys with a tag that the tests can ask for."""
    value = "x" * VALUE_BYTES
    with socket.create_connection(("127.0.0.1", server.port), 30) as s:
        for tag in SPREAD_TAGS + ONE_SHARD_TAGS:
            commands = [encode(["SET", f"{{{tag}}}{n:012}", value]) for n in range(KEYS_PER_TAG)]
            s.sendall(b"".join(commands))
            receive(s, len(b"+OK\r\n") * len(commands))


def receive(connection, count):
    """Reads so many bytes; an error among the replies shows in their number or their start."""
    data = bytearray()
    while len(data) < count:
        received = connection.recv(1 << 20)
        if not received:
            sys.exit(f"the server closed the connection after {bytes(data[-200:])!r}")
        data += received
        if data[:1] == b"-":
            break
    if len(data) != count or data[:1] == b"-":
        sys.exit(f"{count} bytes were expected: {bytes(data[:200])!r}")
    return data


def run_keys(args, server, test):
    """MGET or MSET, by redis-benchmark."""
    name = test.split()[0]
    words = [name]
    for tag in SPREAD_TAGS:
        words.append(f"{{{tag}}}__rand_int__")
        if name == "MSET":
            words.append("x" * VALUE_BYTES)
    return redis_benchmark(args, server, args.requests, 1, ["-r", str(KEYS_PER_TAG), *words])


def run_pipeline(args, server, test):
    command = ["-r", str(KEYS), "-d", str(VALUE_BYTES), "-t", test.split()[0].lower()]
    return redis_benchmark(args, server, args.requests * 4, 16, command)


def redis_benchmark(args, server, requests, pipeline, command):
    before = server.cpu_seconds()
    output = subprocess.run(
        ["taskset", "-c", str(args.client_cpu), "redis-benchmark", "-p", str(server.port), "-n",
         str(requests), "-P", str(pipeline), "-c", str(CONNECTIONS), "--csv", *command],
        capture_output=True, text=True, check=True).stdout
    cpu = (server.cpu_seconds() - before) / requests * 1e6
    lines = [line for line in output.splitlines() if line.startswith('"')]
    if len(lines) != 2:
        sys.exit(f"redis-benchmark printed something else than a table of one test:\n{output}")
    row = next(csv.DictReader(io.StringIO("\n".join(lines))))
    return cpu, float(row["p50_latency_ms"]), float(row["p99_latency_ms"])


def run_blocks(args, server, test):
    """MULTI blocks: redis-benchmark cannot send them. Every connection has one under way."""
    tags = ONE_SHARD_TAGS if "one shard" in test else SPREAD_TAGS[:COMMANDS_PER_BLOCK]
    blocks = [block(tags, n) for n in range(BLOCKS)]
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [args.client_cpu])
    reply_bytes = len(block_reply())
    connections = {}
    epoll = select.epoll()
    for _ in range(CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", server.port), 30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(blocks[0])
        if receive(connection, reply_bytes) != block_reply():
            sys.exit("a block was answered in another way than expected")
        epoll.register(connection, select.EPOLLIN)
        connections[connection.fileno()] = connection
    latencies = []
    before = server.cpu_seconds()
    begun = {}
    for number, (fd, connection) in enumerate(connections.items()):
        begun[fd] = time.perf_counter()
        connection.sendall(blocks[number % BLOCKS])
    number = len(connections)
    while len(latencies) < args.requests:
        for fd, _ in epoll.poll():
            # One block is under way, so its reply is all there is to read.
            receive(connections[fd], reply_bytes)
            now = time.perf_counter()
            latencies.append(now - begun[fd])
            if number < args.requests:
                begun[fd] = now
                connections[fd].sendall(blocks[number % BLOCKS])
                number += 1
    cpu = (server.cpu_seconds() - before) / len(latencies) * 1e6
    for connection in connections.values():
        connection.close()
    os.sched_setaffinity(0, everywhere)
    percentiles = statistics.quantiles(latencies, n=100)
    return cpu, percentiles[49] * 1e3, percentiles[98] * 1e3


def block(tags, number):
    """SET and GET in turn, of one key per tag."""
    commands = [["MULTI"]]
    for index, tag in enumerate(tags):
        key = f"{{{tag}}}{(number * 7919 + index) % KEYS_PER_TAG:012}"
        commands.append(["GET", key] if index % 2 else ["SET", key, "x" * VALUE_BYTES])
    return b"".join(map(encode, [*commands, ["EXEC"]]))


def block_reply():
    value = b"$%d\r\n%s\r\n" % (VALUE_BYTES, b"x" * VALUE_BYTES)
    replies = b"".join(value if index % 2 else b"+OK\r\n" for index in range(COMMANDS_PER_BLOCK))
    queued = b"+QUEUED\r\n" * COMMANDS_PER_BLOCK
    return b"+OK\r\n" + queued + b"*%d\r\n" % COMMANDS_PER_BLOCK + replies


TEST_RUNNERS = {"MGET": run_keys, "MSET": run_keys, "MULTI": run_blocks, "GET": run_pipeline,
                "SET": run_pipeline}


def print_table(results):
    """Whether every target was reached."""
    print("| test | server | CPU us/command | p50 ms | p99 ms | CPU ratio (min-max) | target | |")
    print("|---|---|--:|--:|--:|--:|--:|---|")
    all_reached = True
    for (test, shard_counts), shards in ((t, s) for t in TESTS for s in [None, *t[1]]):
        if (test, shards) not in results:
            continue
        rounds = results[test, shards]
        cpu, p50, p99 = (statistics.median(column) for column in zip(*rounds))
        name, verdict = "redis-server", "| | |"
        if shards is not None:
            name = f"{shards} shard{'s' if shards > 1 else ''}"
            ratios = [own[0] / base[0] for own, base in zip(rounds, results[test, None])]
            ratio = statistics.median(ratios)
            verdict = f"| {ratio:.2f} ({min(ratios):.2f}-{max(ratios):.2f}) | |"
            if target := TARGET_CPU.get((test, shards)):
                reached = ratio <= target
                all_reached = all_reached and reached
                verdict = f"{verdict[:-1]} {target} | {'reached' if reached else 'missed'}"
        print(f"| {test} | {name} | {cpu:.2f} | {p50:.3f} | {p99:.3f} {verdict} |")
    return all_reached


if __name__ == "__main__":
    main()
