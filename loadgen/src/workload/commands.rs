//! What is known of commands by their names.

/// A command that `--mix` offers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixCommand {
    pub name: &'static str,
    pub template: &'static [&'static str],
}

/// Types other than strings get prefixes of their own, so that any mix works on one database.
pub const MIX: &[MixCommand] = &[
    of("get", &["GET", "__key__"]),
    of("set", &["SET", "__key__", "__value__"]),
    of("setnx", &["SET", "__key__", "__value__", "NX"]),
    of("getset", &["SET", "__key__", "__value__", "GET"]),
    of("getdel", &["GETDEL", "__key__"]),
    of("del", &["DEL", "__key__"]),
    of("unlink", &["UNLINK", "__key__"]),
    of("exists", &["EXISTS", "__key__"]),
    of("ttl", &["TTL", "__key__"]),
    of("strlen", &["STRLEN", "__key__"]),
    of("mget", &["MGET", "__key__", "__key__", "__key__", "__key__", "__key__"]),
    of("mset", &["MSET", "__key__", "__value__", "__key__", "__value__", "__key__", "__value__"]),
    of("incr", &["INCR", "counter:__key__"]),
    of("append", &["APPEND", "append:__key__", "__value__"]),
    of("hset", &["HSET", "hash:__key__", "field:__rand__", "__value__"]),
    of("hget", &["HGET", "hash:__key__", "field:__rand__"]),
    of("lpush", &["LPUSH", "list:__key__", "__value__"]),
    of("rpush", &["RPUSH", "list:__key__", "__value__"]),
    of("lpop", &["LPOP", "list:__key__"]),
    of("rpop", &["RPOP", "list:__key__"]),
    of("sadd", &["SADD", "set:__key__", "member:__rand__"]),
    of("spop", &["SPOP", "set:__key__"]),
    of("zadd", &["ZADD", "zset:__key__", "__rand__", "member:__rand__"]),
    of("zpopmin", &["ZPOPMIN", "zset:__key__"]),
    of("ping", &["PING"]),
];

const fn of(name: &'static str, template: &'static [&'static str]) -> MixCommand {
    MixCommand { name, template }
}

/// The command that `--mix` calls `name`, in any case.
pub fn mix_command(name: &str) -> Option<&'static MixCommand> {
    MIX.iter().find(|c| c.name.eq_ignore_ascii_case(name))
}

/// Commands that look something up and answer nil where it is not there.
const ANSWER_NIL: &[&str] = &[
    "GET",
    "GETEX",
    "GETDEL",
    "MGET",
    "HGET",
    "HMGET",
    "HRANDFIELD",
    "LINDEX",
    "LPOP",
    "LMPOP",
    "RPOP",
    "RPOPLPUSH",
    "LMOVE",
    "SPOP",
    "SRANDMEMBER",
    "ZSCORE",
    "ZMSCORE",
    "ZRANK",
    "ZREVRANK",
    "GEODIST",
    "GEOPOS",
];

/// Commands that leave the keys of others alone and remove none, as far as a string at their key
/// is concerned. A mix of them cannot empty a preloaded key space.
const KEEP_KEYS: &[&str] = &[
    "GET",
    "MGET",
    "GETRANGE",
    "SUBSTR",
    "STRLEN",
    "EXISTS",
    "TTL",
    "PTTL",
    "TYPE",
    "TOUCH",
    "PING",
    "ECHO",
    "SET",
    "SETNX",
    "MSET",
    "APPEND",
    "SETRANGE",
    "GETSET",
    "INCR",
    "DECR",
    "INCRBY",
    "DECRBY",
    "HSET",
    "HGET",
    "HMGET",
    "LPUSH",
    "RPUSH",
    "LRANGE",
    "LLEN",
    "SADD",
    "SISMEMBER",
    "SCARD",
    "ZADD",
    "ZSCORE",
    "ZRANK",
    "ZRANGE",
    "ZCARD",
];

/// Options that give a key an end.
const EXPIRY: &[&str] = &["EX", "PX", "EXAT", "PXAT"];

/// Tells whether a nil in the reply to this command says that something was not there.
pub fn nil_is_a_miss(template: &[String]) -> bool {
    // SET ... GET answers the former value, whose absence is no miss.
    template.first().is_some_and(|name| contains(ANSWER_NIL, name))
}

/// Tells whether the command is known to leave every key in its place.
pub fn keeps_keys(template: &[String]) -> bool {
    template.first().is_some_and(|name| contains(KEEP_KEYS, name))
        && !template.iter().skip(3).any(|word| contains(EXPIRY, word))
}

/// Tells whether the command reads the string of the request's own key, so that a SET of that key
/// turns its miss into a hit.
pub fn reads_own_string(template: &[String]) -> bool {
    is(template, 0, "GET") && template.len() == 2 && is(template, 1, "__key__")
        || is(template, 0, "GETEX") && is(template, 1, "__key__")
}

/// Tells whether all that the command looks up are strings that preloading has written.
pub fn looks_up_strings(template: &[String]) -> bool {
    (is(template, 0, "GET") || is(template, 0, "MGET"))
        && template.len() > 1
        && template.iter().skip(1).all(|word| word == "__key__")
}

/// Tells whether the command is a SET that leaves room for a TTL.
pub fn takes_ttl(template: &[String]) -> bool {
    is(template, 0, "SET")
        && template.len() >= 3
        && !template[3..].iter().any(|word| contains(&["KEEPTTL"], word) || contains(EXPIRY, word))
}

/// Tells whether the command stores a value that another command may read and verify.
pub fn sets_own_string(template: &[String]) -> bool {
    is(template, 0, "SET")
        && template.len() == 3
        && is(template, 1, "__key__")
        && is(template, 2, "__value__")
}

/// Tells whether the command cannot change the string of any `__key__`, or only removes it.
pub fn spares_strings(template: &[String]) -> bool {
    let names = ["PING", "EXISTS", "TTL", "PTTL", "STRLEN", "TYPE", "TOUCH", "DEL", "UNLINK"];
    let own_prefix =
        template.get(1).is_some_and(|key| key.len() > "__key__".len() && key.ends_with("__key__"));
    template.first().is_some_and(|name| contains(&names, name)) || own_prefix
}

fn is(template: &[String], index: usize, word: &str) -> bool {
    template.get(index).is_some_and(|w| w.eq_ignore_ascii_case(word))
}

fn contains(words: &[&str], word: &str) -> bool {
    words.iter().any(|w| w.eq_ignore_ascii_case(word))
}
