#!/usr/bin/env python3
"""Memory per item of Ringwell, redis-server and memcached; prints a table in Markdown.

    cargo build --release && benches/memory.py

A fresh server for each case: its resident memory before and after items with keys of 16 bytes were
set, per item, minus key and value. Servers that are not installed are left out.
"""

import argparse
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEY_BYTES = 16
VALUES = [8, 64, 512]
TTL_SECONDS = 3600
BATCH = 1000
# Of Ringwell, and how much more an item with a TTL may take.
TARGET_BYTES = 40
TARGET_TTL_BYTES = 12


def main():
    args = arguments()
    servers = {"ringwell": ringwell, "redis-server": redis_server, "memcached": memcached}
    names = [name for name in servers if name == "ringwell" or shutil.which(name)]
    print(f"{args.items} items, keys of {KEY_BYTES} bytes: bytes of RSS per item beyond key and "
          "value, without and with a TTL\n")
    print("| value | " + " | ".join(f"{name} | with TTL" for name in names) + " | |")
    print("|---" * (2 * len(names) + 2) + "|")
    for value_bytes in VALUES:
        cells = []
        for name in names:
            cells += [overhead(args, servers[name], value_bytes, ttl) for ttl in (False, True)]
        reached = cells[0] <= TARGET_BYTES and cells[1] - cells[0] <= TARGET_TTL_BYTES
        numbers = " | ".join(f"{cell:.1f}" for cell in cells)
        print(f"| {value_bytes} | {numbers} | {'reached' if reached else 'missed'} |", flush=True)
    print(f"\nTargets: at most {TARGET_BYTES} bytes, at most {TARGET_TTL_BYTES} more with a TTL.")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000, help="default 1000000")
    parser.add_argument("--ringwell", default=str(ROOT / "target/release/ringwell"),
                        help="the program (default target/release/ringwell)")
    args = parser.parse_args()
    if not os.path.exists(args.ringwell):
        sys.exit(f"{args.ringwell} does not exist: run cargo build --release first")
    return args


def ringwell(args, port):
    return [args.ringwell, "--port", str(port), "--bind", "127.0.0.1", "--shards", "1"]


def redis_server(_, port):
    return ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "no"]


def memcached(_, port):
    command = ["memcached", "-p", str(port), "-l", "127.0.0.1", "-m", "4096", "-t", "1"]
    return command + (["-u", "root"] if os.geteuid() == 0 else [])


def overhead(args, command_of, value_bytes, ttl):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = command_of(args, port)
    request_of, reply = ((memcached_set, b"STORED\r\n") if command_of is memcached
                         else (redis_set, b"+OK\r\n"))
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with connection(server, port) as client:
                # What a first batch brings is the connection's, not the items'.
                fill(client, request_of, reply, 0, BATCH, value_bytes, ttl)
                before = resident_bytes(server)
                fill(client, request_of, reply, BATCH, args.items, value_bytes, ttl)
                time.sleep(1)
                grown = resident_bytes(server) - before
        finally:
            server.kill()
            server.wait()
    return grown / args.items - KEY_BYTES - value_bytes


def connection(server, port):
    for _ in range(500):
        try:
            return socket.create_connection(("127.0.0.1", port), 60)
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.02)
    sys.exit(f"{server.args[0]} does not start")


def redis_set(key, value, ttl):
    option = b"$2\r\nEX\r\n$4\r\n%d\r\n" % TTL_SECONDS if ttl else b""
    return b"*%d\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n%s" % (
        5 if ttl else 3, len(key), key, len(value), value, option)


def memcached_set(key, value, ttl):
    seconds = TTL_SECONDS if ttl else 0
    return b"set %s 0 %d %d\r\n%s\r\n" % (key, seconds, len(value), value)


def fill(client, request_of, reply, first, items, value_bytes, ttl):
    """Sets items `first` to `items + first`, a batch of them per round trip."""
    # No number, which would be kept as one.
    value = b"v" * value_bytes
    for start in range(first, first + items, BATCH):
        keys = (b"key:%012d" % number for number in range(start, start + BATCH))
        client.sendall(b"".join(request_of(key, value, ttl) for key in keys))
        expected = reply * BATCH
        while expected:
            received = client.recv(65536)
            if not received or not expected.startswith(received):
                sys.exit(f"the server answered {received[:100]!r}")
            expected = expected[len(received):]


def resident_bytes(server):
    for line in pathlib.Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    sys.exit(f"{server.args[0]} has ended")


if __name__ == "__main__":
    main()
