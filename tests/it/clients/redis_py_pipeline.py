"""A pipeline of half a million commands with redis-py, which sends it before it reads; called with a
port."""

import sys

import redis

COMMANDS = 500_000
KEYS = 8


def value(n):
    return str(n % KEYS).ljust(100, "v").encode()


r = redis.Redis(port=int(sys.argv[1]))
for n in range(KEYS):
    assert r.set(f"key:{n}", value(n)) is True
pipe = r.pipeline(transaction=False)
for n in range(COMMANDS):
    pipe.get(f"key:{n % KEYS}")
replies = pipe.execute()
assert len(replies) == COMMANDS
assert all(reply == value(n) for n, reply in enumerate(replies))
assert r.ping() is True
print("all good")
