#!/usr/bin/env python3
"""Who misses less: Ringwell beside redis-server as caches of the same size; a table in Markdown.

    cargo build --release && benches/cacheaside.py TRACE...

Each TRACE is a text file, plain or .gz, with one key per line in the order of the requests. GETs go
in pipelines of 32; what a pipeline has missed is SET before the next one, each value 100 bytes.

Every server may hold the same number of bytes for this: --share of the trace's distinct keys, each
at --bytes-per-key. Its maxmemory is that and what it counts against maxmemory when it is empty
(used_memory less mem_not_counted_for_evict, one connection included), which is about a megabyte for
redis-server and little for ringwell. With --maxmemory all are given that number instead. How many keys fit is part
of the comparison, and printed.

Needs redis-server.
"""

import argparse
import gzip
import os
import pathlib
import socket
import sys

from servers import ROOT, Server, free_port

PIPELINE = 32


def main():
    args = arguments()
    caches = [("ringwell", policy) for policy in args.ringwell_policies]
    caches += [("redis-server", policy) for policy in args.redis_policies]
    names = [f"{server} {policy}" for server, policy in caches]
    print("Miss ratios, and thousands of keys held at the end:\n")
    print(f"| trace | requests | distinct keys | bytes | {' | '.join(names)} | misses least |")
    print(f"|---|---|---|---|{'---|' * (len(names) + 1)}")
    sums = [0.0] * len(caches)
    for path in args.traces:
        keys = read_trace(path, args.requests)
        distinct = len(set(keys))
        budget = int(distinct * args.share * args.bytes_per_key)
        cells, ratios = [], []
        for name, (program, policy) in zip(names, caches):
            print(f"{path}: {name}", file=sys.stderr)
            ratio, held = run(args, program, policy, keys, budget)
            cells.append(f"{ratio:.4f} ({held / 1000:.1f})")
            ratios.append(ratio)
        sums = [total + ratio for total, ratio in zip(sums, ratios)]
        print(f"| {trace_name(path)} | {len(keys)} | {distinct} | {args.maxmemory or budget} | "
              f"{' | '.join(cells)} | {names[ratios.index(min(ratios))]} |", flush=True)
    means = [total / len(args.traces) for total in sums]
    print(f"| mean | | | | {' | '.join(f'{mean:.4f}' for mean in means)} | "
          f"{names[means.index(min(means))]} |")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs="+", metavar="TRACE")
    parser.add_argument("--share", type=float, default=0.1,
                        help="of the distinct keys that is to fit (default 0.1)")
    parser.add_argument("--bytes-per-key", type=int, default=180,
                        help="what an entry is reckoned at (default 180)")
    parser.add_argument("--maxmemory", type=int, help="bytes for every server instead")
    parser.add_argument("--value-bytes", type=int, default=100, help="(default 100)")
    parser.add_argument("--requests", type=int, help="of each trace at most (default all)")
    parser.add_argument("--ringwell-policies", nargs="+", default=["allkeys-s3fifo"])
    parser.add_argument("--redis-policies", nargs="+", default=["allkeys-lru", "allkeys-lfu"])
    parser.add_argument("--shards", type=int, default=1, help="of ringwell (default 1)")
    parser.add_argument("--ringwell", default=str(ROOT / "target/release/ringwell"),
                        help="the program (default target/release/ringwell)")
    args = parser.parse_args()
    if not os.path.exists(args.ringwell):
        sys.exit(f"{args.ringwell} does not exist: run cargo build --release first")
    return args


def trace_name(path):
    return pathlib.Path(path).name.removesuffix(".gz").removesuffix(".txt")


def read_trace(path, requests_max):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as lines:
        keys = [b"obj:" + line.strip() for line, _ in zip(lines, limit(requests_max))]
    if not keys:
        sys.exit(f"{path} has no requests")
    return keys


def limit(requests_max):
    return range(requests_max if requests_max is not None else sys.maxsize)


def run(args, program, policy, keys, budget):
    """The miss ratio, and how many keys are held at the end."""
    port = free_port()
    common = ["--port", str(port), "--bind", "127.0.0.1", "--maxmemory-policy", policy]
    command = {
        "ringwell": [args.ringwell, *common, "--shards", str(args.shards)],
        "redis-server": ["redis-server", *common, "--save", "", "--appendonly", "no"],
    }[program]
    with Server(command, port), Client(port) as client:
        # So that the connection has its buffers; the keys are as long as a SET.
        client.pipeline([(b"GET", b"absent" * (args.value_bytes // 6 + 5))] * PIPELINE)
        memory = client.info("memory")
        base = int(memory["used_memory"]) - int(memory["mem_not_counted_for_evict"])
        client.command(b"CONFIG", b"SET", b"maxmemory", b"%d" % (args.maxmemory or base + budget))
        misses = serve(client, keys, b"v" * args.value_bytes)
        if int(client.info("stats")["evicted_keys"]) == 0:
            sys.exit(f"{program} has evicted nothing: give it less with --share or --maxmemory")
        return misses / len(keys), client.command(b"DBSIZE")


def serve(client, keys, value):
    """Reads through the cache; how many GETs missed."""
    misses = 0
    for first in range(0, len(keys), PIPELINE):
        batch = keys[first:first + PIPELINE]
        found = client.pipeline([(b"GET", key) for key in batch])
        missed = [key for key, reply in zip(batch, found) if reply is None]
        misses += len(missed)
        # Once each, however often the pipeline asked for it.
        client.pipeline([(b"SET", key, value) for key in dict.fromkeys(missed)])
    return misses


class Client:
    """A connection that speaks RESP2; an error in a reply ends the program."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.replies = self.socket.makefile("rb")

    def pipeline(self, commands):
        self.socket.sendall(b"".join(map(encode, commands)))
        return [self.reply() for _ in commands]

    def command(self, *words):
        return self.pipeline([words])[0]

    def info(self, section):
        lines = self.command(b"INFO", section.encode()).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def reply(self):
        line = self.replies.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return self.replies.read(int(rest) + 2)[:-2] if rest != b"-1" else None
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        sys.exit(f"unexpected reply {line!r}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.replies.close()
        self.socket.close()


def encode(words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


if __name__ == "__main__":
    main()
