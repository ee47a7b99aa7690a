//! Redis's own rows, those included that we do not have yet, with what COMMAND GETKEYSANDFLAGS of
//! redis-server 7.0.15 says of command lines.

use super::*;
use crate::commands::{Command, Docs, Flags, Group, Handler, table};
use crate::protocol::args::OwnedArgs;

const READ: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const OVERWRITE: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
const TAKE: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
const WORST: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);

const NONE: Flags = Flags::empty();

fn row(flags: Flags, keys: &'static [KeySpec]) -> Command {
    Command {
        name: "",
        arity: -1,
        flags,
        categories: crate::commands::Categories::empty(),
        keys,
        handler: Handler::Container,
        docs: Docs { summary: "", since: "", group: Group::Generic, complexity: "", arguments: "" },
        tips: &[],
        subcommands: &[],
    }
}

const BLPOP: &[KeySpec] = &[KeySpec::range(1, -2, 1, TAKE)];
const LMPOP: &[KeySpec] = &[KeySpec::counted(1, TAKE)];
const BLMPOP: &[KeySpec] = &[KeySpec::counted(2, TAKE)];
const ZUNIONSTORE: &[KeySpec] = &[KeySpec::one(1, OVERWRITE), KeySpec::counted(2, READ)];
const EVAL: &[KeySpec] = &[KeySpec::counted(2, WORST)];
const XREAD: &[KeySpec] = &[KeySpec::behind("STREAMS", 1, READ).to(-1, 2)];
const XREADGROUP: &[KeySpec] = &[KeySpec::behind("STREAMS", 4, READ).to(-1, 2)];
const GEORADIUS: &[KeySpec] = &[
    KeySpec::one(1, READ).or_by(keys_of_georadius),
    KeySpec::behind("STORE", 6, OVERWRITE),
    KeySpec::behind("STOREDIST", 6, OVERWRITE),
];
const MIGRATE: &[KeySpec] = &[
    KeySpec::one(3, TAKE).or_by(keys_of_migrate),
    KeySpec::behind("KEYS", -2, TAKE.union(KeyFlags::INCOMPLETE)).to(-1, 0),
];
const MSET: &[KeySpec] = &[KeySpec::to_end(1, 2, OVERWRITE)];
const SSUBSCRIBE: &[KeySpec] = &[KeySpec::to_end(1, 1, KeyFlags::NOT_KEY)];

fn keys_of_georadius(args: Args<'_>) -> Option<KeyRanges> {
    let is_word = |word: &[u8]| {
        word.eq_ignore_ascii_case(b"STORE") || word.eq_ignore_ascii_case(b"STOREDIST")
    };
    let stored = (6..args.len()).find(|&at| is_word(args.at(at - 1)));
    Some(source_and(stored))
}

/// Those of our own row.
fn sort() -> &'static [KeySpec] {
    table().get(b"sort").expect("it is in the table").keys
}

fn source_and(stored: Option<usize>) -> KeyRanges {
    let source = KeyRanges::NONE.with(KeyRange::new(1, 2, READ));
    stored.map_or(source, |at| source.with(KeyRange::new(at, at + 1, OVERWRITE)))
}

fn keys_of_migrate(args: Args<'_>) -> Option<KeyRanges> {
    let word = (6..args.len()).find(|&at| args[at].eq_ignore_ascii_case(b"KEYS"));
    let range = match word {
        Some(at) if args[3].is_empty() => KeyRange::new(at + 1, args.len(), TAKE),
        Some(_) => return None,
        None => KeyRange::new(3, 4, TAKE),
    };
    Some(KeyRanges::NONE.with(range))
}

/// The keys with their flags as GETKEYSANDFLAGS shows them; `None` where it refuses the arguments.
fn found(row: &Command, line: &str) -> Option<String> {
    let word = |word| if word == "''" { "" } else { word };
    let args: OwnedArgs = line.split(' ').map(|arg| word(arg).as_bytes()).collect();
    let args = args.as_args();
    let mut shown = Vec::new();
    for range in row.key_ranges_with_flags(args)?.iter() {
        let flags: Vec<&str> = range.flags.iter_names().map(|(name, _)| name).collect();
        for at in range.positions() {
            let key = String::from_utf8_lossy(&args[at]).into_owned();
            shown.push(format!("{key}:{}", flags.join("+")));
        }
    }
    let positions: Vec<usize> = row.key_positions(args).collect();
    assert_eq!(positions.len(), shown.len(), "{line}");
    Some(shown.join(" "))
}

fn check(flags: Flags, keys: &'static [KeySpec], lines: &[(&str, Option<&str>)]) {
    let row = row(flags, keys);
    for (line, expected) in lines {
        assert_eq!(found(&row, line).as_deref(), *expected, "{line}");
    }
}

#[test]
fn a_range_ends_before_the_last_argument() {
    let one = "a:RW+ACCESS+DELETE";
    let two = "a:RW+ACCESS+DELETE b:RW+ACCESS+DELETE";
    check(NONE, BLPOP, &[("blpop a 0", Some(one)), ("blpop a b 0", Some(two))]);
    let pairs = "a:OW+UPDATE b:OW+UPDATE";
    check(NONE, MSET, &[("mset a 1 b 2", Some(pairs)), ("mset a 1 b", Some(pairs))]);
}

#[test]
fn an_argument_counts_the_keys() {
    let two = "a:RW+ACCESS+DELETE b:RW+ACCESS+DELETE";
    check(
        NONE,
        LMPOP,
        &[
            ("lmpop 2 a b left", Some(two)),
            ("lmpop 1 a left count 2", Some("a:RW+ACCESS+DELETE")),
            ("lmpop 2 a left", Some("a:RW+ACCESS+DELETE left:RW+ACCESS+DELETE")),
            ("lmpop 3 a left", None),
            ("lmpop 0 a left", None),
            ("lmpop -1 a left", None),
            ("lmpop x a left", None),
            ("lmpop 9223372036854775807 a left", None),
            ("lmpop 18446744073709551617 a left", None),
            ("lmpop", None),
        ],
    );
    check(
        NONE,
        BLMPOP,
        &[
            ("blmpop 0 2 a b left count 3", Some(two)),
            ("blmpop 0 9 a b left", None),
            ("blmpop 2", None),
        ],
    );
    let union = "d:OW+UPDATE a:RO+ACCESS b:RO+ACCESS";
    check(
        NONE,
        ZUNIONSTORE,
        &[
            ("zunionstore d 2 a b", Some(union)),
            ("zunionstore d 2 a b weights 1 2", Some(union)),
            ("zunionstore d 3 a b", None),
            ("zunionstore d 0 a b", None),
            ("zunionstore d -1 a b", None),
            ("zunionstore d x a b", None),
        ],
    );
}

#[test]
fn no_key_at_all_is_all_right_for_some() {
    check(
        Flags::NO_MANDATORY_KEYS,
        EVAL,
        &[
            ("eval s 0", Some("")),
            ("eval s 0 x", Some("")),
            ("eval s 2 a b c", Some("a:RW+ACCESS+UPDATE b:RW+ACCESS+UPDATE")),
            ("eval s 3 a b", None),
            ("eval s x", None),
            ("eval s -1 a", None),
            ("eval s 9223372036854775807 a", None),
        ],
    );
}

#[test]
fn a_word_stands_before_the_keys() {
    check(
        NONE,
        XREAD,
        &[
            ("xread streams a b 0 0", Some("a:RO+ACCESS b:RO+ACCESS")),
            ("xread count 2 block 0 STREAMS a 0", Some("a:RO+ACCESS")),
            ("xread streams a b 0", Some("a:RO+ACCESS")),
            ("xread block streams a 0", Some("a:RO+ACCESS")),
            ("xread count 2 foo bar", None),
            ("xread streams a", None),
            ("xread count 2 streams", None),
        ],
    );
    check(
        NONE,
        XREADGROUP,
        &[
            ("xreadgroup group g c streams a b 1 2", Some("a:RO+ACCESS b:RO+ACCESS")),
            ("xreadgroup group streams c foo a b 1 2", None),
        ],
    );
    let all = [KeySpec::behind("KEYS", -2, READ).to(-1, 0)];
    let args = |line: &str| line.split(' ').map(str::as_bytes).collect::<OwnedArgs>();
    let positions = |line| {
        let range = all[0].keys(args(line).as_args());
        range.map(|range| range.positions().collect::<Vec<_>>())
    };
    assert_eq!(positions("x keys keys a b"), Some(vec![3, 4]), "the search goes backwards");
    assert_eq!(positions("x a b keys"), None, "nothing stands behind it");
    assert_eq!(positions("keys"), None);
}

#[test]
fn a_function_finds_what_has_no_rule() {
    check(
        NONE,
        GEORADIUS,
        &[
            ("georadius a 1 2 3 m", Some("a:RO+ACCESS")),
            ("georadius a 1 2 3 m store d", Some("a:RO+ACCESS d:OW+UPDATE")),
            ("georadius a 1 2 3 m storedist d", Some("a:RO+ACCESS d:OW+UPDATE")),
            (
                "georadius a 1 2 3 m store d storedist e",
                Some("a:RO+ACCESS d:OW+UPDATE e:OW+UPDATE"),
            ),
            ("georadius a 1 2 3 m store d store e", Some("a:RO+ACCESS d:OW+UPDATE")),
            ("georadius a 1 2 3 m store", Some("a:RO+ACCESS")),
        ],
    );
    check(
        NONE,
        sort(),
        &[
            ("sort a", Some("a:RO+ACCESS")),
            ("sort a by w store d", Some("a:RO+ACCESS d:OW+UPDATE")),
            ("sort a store d store e", Some("a:RO+ACCESS e:OW+UPDATE")),
            ("sort a store d limit 0 store e", Some("a:RO+ACCESS d:OW+UPDATE")),
            ("sort a limit store d e", Some("a:RO+ACCESS")),
            ("sort a store", Some("a:RO+ACCESS")),
        ],
    );
    check(
        NONE,
        MIGRATE,
        &[
            ("migrate h 1 k 0 5", Some("k:RW+ACCESS+DELETE")),
            ("migrate h 1 k 0 5 copy replace", Some("k:RW+ACCESS+DELETE")),
            ("migrate h 1 '' 0 5 keys a b", Some("a:RW+ACCESS+DELETE b:RW+ACCESS+DELETE")),
            ("migrate h 1 k 0 5 keys a b", None),
        ],
    );
}

#[test]
fn channels_are_no_keys() {
    let row = row(NONE, SSUBSCRIBE);
    assert!(!row.has_keys());
    assert_eq!(found(&row, "ssubscribe a b").as_deref(), Some(""));
}

/// What COMMAND INFO of redis-server 7.0.15 says.
#[test]
fn keys_may_move_unless_they_are_one_range() {
    for (keys, moves) in [
        (&[][..], false),
        (BLPOP, false),
        (MSET, false),
        (LMPOP, true),
        (ZUNIONSTORE, true),
        (XREAD, true),
        (GEORADIUS, true),
        (sort(), true),
        (MIGRATE, true),
    ] {
        assert_eq!(row(NONE, keys).has_movable_keys(), moves, "{keys:?}");
    }
}
