//! redis-benchmark's tests: their names, titles and commands, in its order.

use crate::plan::CommandSpec;

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    pub title: &'static str,
    /// What `-t` may call it.
    names: &'static [&'static str],
    /// Blanks separate words; `DATA` is a value.
    words: &'static str,
    pub inline: bool,
}

/// Placeholders as in redis-benchmark. `{tag}` behind the key's name is there in a cluster only.
const TESTS: &[Test] = &[
    Test { inline: true, ..test("PING_INLINE", &["ping", "ping_inline"], "PING") },
    test("PING_MBULK", &["ping", "ping_mbulk"], "PING"),
    test("SET", &["set"], "SET key:{tag}:__rand_int__ DATA"),
    test("GET", &["get"], "GET key:{tag}:__rand_int__"),
    test("INCR", &["incr"], "INCR counter:{tag}:__rand_int__"),
    test("LPUSH", &["lpush"], "LPUSH mylist:{tag} DATA"),
    test("RPUSH", &["rpush"], "RPUSH mylist:{tag} DATA"),
    test("LPOP", &["lpop"], "LPOP mylist:{tag}"),
    test("RPOP", &["rpop"], "RPOP mylist:{tag}"),
    test("SADD", &["sadd"], "SADD myset:{tag} element:__rand_int__"),
    test("HSET", &["hset"], "HSET myhash:{tag} element:__rand_int__ DATA"),
    test("SPOP", &["spop"], "SPOP myset:{tag}"),
    test("ZADD", &["zadd"], "ZADD myzset:{tag} SCORE element:__rand_int__"),
    test("ZPOPMIN", &["zpopmin"], "ZPOPMIN myzset:{tag}"),
    test(
        "LPUSH (needed to benchmark LRANGE)",
        &["lrange", "lrange_100", "lrange_300", "lrange_500", "lrange_600"],
        "LPUSH mylist:{tag} DATA",
    ),
    test("LRANGE_100 (first 100 elements)", &["lrange", "lrange_100"], "LRANGE mylist:{tag} 0 99"),
    test("LRANGE_300 (first 300 elements)", &["lrange", "lrange_300"], "LRANGE mylist:{tag} 0 299"),
    test("LRANGE_500 (first 500 elements)", &["lrange", "lrange_500"], "LRANGE mylist:{tag} 0 499"),
    test("LRANGE_600 (first 600 elements)", &["lrange", "lrange_600"], "LRANGE mylist:{tag} 0 599"),
    test(
        "MSET (10 keys)",
        &["mset"],
        "MSET key:{tag}:__rand_int__ DATA key:{tag}:__rand_int__ DATA \
         key:{tag}:__rand_int__ DATA key:{tag}:__rand_int__ DATA \
         key:{tag}:__rand_int__ DATA key:{tag}:__rand_int__ DATA \
         key:{tag}:__rand_int__ DATA key:{tag}:__rand_int__ DATA \
         key:{tag}:__rand_int__ DATA key:{tag}:__rand_int__ DATA",
    ),
    test("XADD", &["xadd"], "XADD mystream:{tag} * myfield DATA"),
];

const fn test(title: &'static str, names: &'static [&'static str], words: &'static str) -> Test {
    Test { title, names, words, inline: false }
}

/// All tests, or those that the names select.
///
/// # Errors
/// The names that are of no test: redis-benchmark ignores them and does nothing.
pub fn select(names: Option<&[String]>) -> Result<Vec<&'static Test>, Vec<String>> {
    let Some(names) = names else { return Ok(TESTS.iter().collect()) };
    let known = |name: &String| TESTS.iter().any(|test| test.names.contains(&name.as_str()));
    let unknown: Vec<String> = names.iter().filter(|name| !known(name)).cloned().collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let selected = |test: &&Test| names.iter().any(|name| test.names.contains(&name.as_str()));
    Ok(TESTS.iter().filter(selected).collect())
}

impl Test {
    /// The commands that the test sends: one, or with a cluster one for each tag, all with the
    /// same weight.
    pub fn commands(&self, data: &str, randomized: bool, tags: &[String]) -> Vec<CommandSpec> {
        let words = self.words.split_ascii_whitespace().map(|word| match word {
            "DATA" => data.to_owned(),
            // Without -r every member has the score 0.
            "SCORE" if randomized => "__rand_int__".to_owned(),
            "SCORE" => "0".to_owned(),
            word if tags.is_empty() => word.replace(":{tag}", ""),
            word => word.to_owned(),
        });
        commands(self.title, &words.collect::<Vec<_>>(), self.inline, tags)
    }
}

/// A command of the user's, with `{tag}` as in redis-benchmark.
pub fn commands(title: &str, words: &[String], inline: bool, tags: &[String]) -> Vec<CommandSpec> {
    let spec = |template: Vec<String>| CommandSpec {
        title: title.to_owned(),
        template,
        weight: 1.0,
        inline,
    };
    if tags.is_empty() {
        return vec![spec(words.to_vec())];
    }
    tags.iter()
        .map(|tag| spec(words.iter().map(|word| word.replace("{tag}", tag)).collect()))
        .collect()
}

/// The value that redis-benchmark sends: the same in every run, so that servers that compress or
/// compare have the same work. From the linear congruential generator in the C standard's example
/// of `rand`, started at 1234; six bits of it make a character from `0` on.
pub fn data(size: usize) -> String {
    let mut state: u32 = 1234;
    let character = |_| {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        char::from(b'0' + (state >> 16 & 63) as u8)
    };
    (0..size).map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(names: &str) -> Vec<&'static str> {
        let names: Vec<String> = names.split(',').map(str::to_owned).collect();
        select(Some(&names)).expect("known").iter().map(|test| test.title).collect()
    }

    #[test]
    fn names_select_as_in_redis_benchmark() {
        assert_eq!(select(None).expect("all").len(), 21);
        assert_eq!(titles("ping"), ["PING_INLINE", "PING_MBULK"]);
        assert_eq!(titles("ping_mbulk"), ["PING_MBULK"]);
        assert_eq!(titles("mset,set"), ["SET", "MSET (10 keys)"]);
        assert_eq!(
            titles("lrange_300,lpush"),
            ["LPUSH", "LPUSH (needed to benchmark LRANGE)", "LRANGE_300 (first 300 elements)"]
        );
        assert_eq!(titles("lrange").len(), 5);
        let unknown = ["get".to_owned(), "inc".to_owned()];
        assert_eq!(select(Some(&unknown)), Err(vec!["inc".to_owned()]));
    }

    #[test]
    fn commands_are_those_of_redis_benchmark() {
        let words = |title: &str, randomized, tags: &[String]| {
            let test = TESTS.iter().find(|test| test.title == title).expect("known");
            let commands = test.commands("VXK", randomized, tags);
            commands.iter().map(|c| c.template.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(words("SET", true, &[]), ["SET key:__rand_int__ VXK"]);
        assert_eq!(words("ZADD", false, &[]), ["ZADD myzset 0 element:__rand_int__"]);
        assert_eq!(words("ZADD", true, &[]), ["ZADD myzset __rand_int__ element:__rand_int__"]);
        let tags = ["{06S}".to_owned(), "{8M}".to_owned()];
        assert_eq!(words("LPOP", true, &tags), ["LPOP mylist:{06S}", "LPOP mylist:{8M}"]);
        assert_eq!(words("GET", true, &tags)[1], "GET key:{8M}:__rand_int__");
        assert_eq!(words("MSET (10 keys)", true, &[])[0].split(' ').count(), 21);
    }

    #[test]
    fn data_is_that_of_redis_benchmark() {
        assert_eq!(data(40), "VXKeHogKgJ=[5V9_X^b?48OKF2jGA<f:iR@50o7d");
        assert_eq!(data(100).len(), 100);
    }
}
