// A pipeline of half a million commands with ioredis, which sends it before it reads; called with a
// port.

const assert = require("node:assert");
const Redis = require("ioredis");

const COMMANDS = 500_000;
const KEYS = 8;

const value = (n) => String(n % KEYS).padEnd(100, "v");

async function main() {
  const redis = new Redis({ port: Number(process.argv[2]), maxRetriesPerRequest: 0 });
  for (let n = 0; n < KEYS; n++) {
    assert.strictEqual(await redis.set(`key:${n}`, value(n)), "OK");
  }
  const pipeline = redis.pipeline();
  for (let n = 0; n < COMMANDS; n++) {
    pipeline.get(`key:${n % KEYS}`);
  }
  const replies = await pipeline.exec();
  assert.strictEqual(replies.length, COMMANDS);
  replies.forEach(([error, reply], n) => {
    assert.ifError(error);
    assert.strictEqual(reply, value(n));
  });
  assert.strictEqual(await redis.ping(), "PONG");
  redis.disconnect();
  console.log("all good");
}

main();
