#!/usr/bin/env python3
"""Pipelines that are sent whole before the first reply is read; prints a table in Markdown.

    cargo build --release && benches/pipelines.py

Most libraries use a pipeline in that way. Each pipeline is sent twice: read only when all of it is
sent, and read meanwhile by a second thread. The first must not take more than about twice the time
of the second. Times are the fastest of a few rounds, in seconds. redis-server, which keeps all
replies instead, stands beside it. Needs redis-server.
"""

import argparse
import os
import socket
import sys
import threading
import time

from servers import ROOT, Server, free_port


def main():
    args = arguments()
    servers = {f"ringwell, {n} shard{'s' if n > 1 else ''}": lambda n=n: ringwell(args, n)
               for n in args.shards}
    servers["redis-server"] = redis_server
    print("| pipeline | server | read afterwards, s | read meanwhile, s | ratio |")
    print("|---|---|---:|---:|---:|")
    for name, (preload, request, reply_bytes) in pipelines(args.commands).items():
        for server_name, start in servers.items():
            after, meanwhile = [], []
            with start() as server:
                measure(server.port, preload, len(preload) and 5 * 16, False)
                for _ in range(args.rounds):
                    after.append(measure(server.port, request, reply_bytes, False))
                    meanwhile.append(measure(server.port, request, reply_bytes, True))
            after, meanwhile = min(after), min(meanwhile)
            print(f"| {name} | {server_name} | {after:.2f} | {meanwhile:.2f} | "
                  f"{after / meanwhile:.1f} |", flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", type=int, default=1_000_000,
                        help="commands in a pipeline (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="(default 3)")
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--ringwell", default=str(ROOT / "target/release/ringwell"),
                        help="the program (default target/release/ringwell)")
    args = parser.parse_args()
    if not os.path.exists(args.ringwell):
        sys.exit(f"{args.ringwell} does not exist: run cargo build --release first")
    return args


def ringwell(args, shards):
    port = free_port()
    return Server([args.ringwell, "--port", str(port), "--bind", "127.0.0.1", "--shards",
                   str(shards)], port)


def redis_server():
    port = free_port()
    return Server(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                   "--appendonly", "no"], port)


def pipelines(count):
    """By name: what is sent before, the pipeline, and the length of all its replies."""
    keys = [f"key:{n}" for n in range(16)]

    def preload(size):
        return b"".join(encode("SET", key, "v" * size) for key in keys)

    def rounds(commands, replies, each=1):
        """The commands again and again, until they are as many as asked for."""
        times = count // (len(commands) * each)
        return b"".join(commands) * times, len(b"".join(replies)) * times

    def bulk(size):
        return b"$%d\r\n%s\r\n" % (size, b"v" * size)

    mget = [encode("MGET", *(keys[(n + i) % 16] for i in range(3))) for n in range(16)]
    block = [encode("MULTI") + encode("GET", keys[n]) + encode("GET", keys[n - 1]) +
             encode("EXEC") for n in range(16)]
    executed = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n" + 2 * bulk(64)
    gets = [encode("GET", key) for key in keys]
    return {
        "GET, 64 bytes": (preload(64), *rounds(gets, 16 * [bulk(64)])),
        "GET, 100 bytes, half as many": (preload(100), *rounds(gets, 16 * [bulk(100)], 2)),
        "GET, 1,000 bytes, a fifth as many": (preload(1000), *rounds(gets, 16 * [bulk(1000)], 5)),
        "SET, 64 bytes": (b"", *rounds([encode("SET", key, "v" * 64) for key in keys],
                                       16 * [b"+OK\r\n"])),
        "MGET of 3, a fourth as many": (preload(64), *rounds(mget, 16 * [b"*3\r\n" + 3 * bulk(64)],
                                                            4)),
        "MULTI, 2 GETs, EXEC": (preload(64), *rounds(block, 16 * [executed], 4)),
    }


def encode(*args):
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg.encode()))
    return b"".join(parts)


def measure(port, request, reply_bytes, meanwhile):
    """Seconds from the first byte sent to the last one received."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(120)
        start = time.perf_counter()
        if meanwhile:
            sender = threading.Thread(target=client.sendall, args=(request,))
            sender.start()
            receive(client, reply_bytes)
            sender.join()
        else:
            client.sendall(request)
            receive(client, reply_bytes)
        return time.perf_counter() - start


def receive(client, count):
    buffer = bytearray(1 << 20)
    while count > 0:
        received = client.recv_into(buffer)
        if received == 0:
            sys.exit(f"closed, with {count} bytes to come")
        count -= received
    if count < 0:
        sys.exit(f"{-count} bytes too many")


if __name__ == "__main__":
    main()
