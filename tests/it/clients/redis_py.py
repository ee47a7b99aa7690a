"""What an application does with redis-py, over RESP2 and RESP3; called with a port."""

import sys
import threading

import redis


def check(protocol):
    r = redis.Redis(port=int(sys.argv[1]), protocol=protocol, decode_responses=True)
    assert r.flushall() is True
    assert r.ping() is True
    assert r.set("k", "v", ex=1000) is True
    assert r.get("k") == "v"
    assert 990 < r.ttl("k") <= 1000
    assert r.set("k", "w", nx=True) is None
    assert r.set("k", "w", xx=True, get=True) == "v"
    assert r.mset({f"key:{n}": n for n in range(100)}) is True
    assert r.mget("key:1", "nosuch", "key:99") == ["1", None, "99"]
    assert sorted(r.scan_iter("key:*", count=7)) == sorted(f"key:{n}" for n in range(100))
    assert len(r.keys("*")) == 101 and r.dbsize() == 101
    assert r.incrbyfloat("f", 1.5) == 1.5
    assert r.getrange("k", 0, 0) == "w"
    assert r.lcs("k", "k") == "w"
    assert r.rename("k", "{other}k") is True and r.exists("k") == 0
    assert r.copy("{other}k", "k") is True
    assert r.type("k") == "string" and r.object("encoding", "k") == "embstr"
    assert r.delete(*[f"key:{n}" for n in range(100)]) == 100
    assert r.getex("k", px=100000) == "w" and r.persist("k") is True
    assert r.config_get("maxcl*") == {"maxclients": "10000"}
    assert r.config_set("timeout", 0) is True
    assert r.info("server")["redis_version"] == "7.2.4"
    assert r.client_setname("py") is True and r.client_getname() == "py"
    listed = [c for c in r.client_list() if c["name"] == "py"]
    assert listed and listed[0]["lib-name"].startswith("redis-py"), listed
    assert r.command_count() > 50
    assert r.command_getkeys("MSET", "a", "1", "b", "2") == ["a", "b"]
    assert r.command()["get"]["arity"] == 2
    assert r.execute_command("ECHO", "x" * 100000) == "x" * 100000
    try:
        r.incr("k")
        raise AssertionError("INCR of a word")
    except redis.ResponseError as error:
        assert "not an integer" in str(error), error
    try:
        r.execute_command("NOSUCH")
        raise AssertionError("NOSUCH is a command")
    except redis.ResponseError as error:
        assert "unknown command" in str(error), error

    pipe = r.pipeline(transaction=False)
    for n in range(1000):
        pipe.incr(f"counter:{n % 10}")
    assert pipe.execute()[-1] == 100

    pipe = r.pipeline(transaction=True)
    for n in range(100):
        pipe.incr(f"counter:{n % 10}")
    pipe.mget("counter:0", "counter:1")
    pipe.dbsize()
    replies = pipe.execute()
    assert replies[99] == 110 and replies[100] == ["110", "110"] and replies[101] > 10, replies
    pipe = r.pipeline().set("word", "x").incr("word").get("word")
    replies = pipe.execute(raise_on_error=False)
    assert replies[0] is True and replies[2] == "x", replies
    assert isinstance(replies[1], redis.ResponseError), replies
    with r.pipeline() as pipe:
        pipe.watch("counter:0", "counter:5")
        was = int(pipe.get("counter:0"))
        r.incr("counter:5")
        pipe.multi()
        pipe.set("counter:0", was + 1)
        try:
            pipe.execute()
            raise AssertionError("EXEC in spite of a change")
        except redis.WatchError:
            pass
    assert r.get("counter:0") == "110"

    def increment(pipe):
        values = [int(pipe.get(f"counter:{n}")) for n in range(3)]
        pipe.multi()
        for n, value in enumerate(values):
            pipe.set(f"counter:{n}", value + 1)

    def compete():
        mine = redis.Redis(port=int(sys.argv[1]), protocol=protocol)
        for _ in range(10):
            mine.transaction(increment, *[f"counter:{n}" for n in range(3)])

    threads = [threading.Thread(target=compete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert r.mget("counter:0", "counter:1", "counter:2") == ["150"] * 3

    other = redis.Redis(port=int(sys.argv[1]), protocol=protocol, db=5)
    assert other.get("k") is None
    assert other.set(b"\x00\xff", b"\r\n") is True and other.get(b"\x00\xff") == b"\r\n"

    def count():
        mine = redis.Redis(port=int(sys.argv[1]), protocol=protocol)
        for n in range(200):
            mine.incr(f"shared:{n % 5}")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [int(v) for v in r.mget(*[f"shared:{n}" for n in range(5)])] == [320] * 5


for version in (2, 3):
    check(version)
print("all good")
