//! All commands together: replies in the order of checks that Redis has, and the forms.

use crate::commands::test_support::Server;
use crate::protocol::reply::Encoding;

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_POSITIVE: &str = "-ERR value is out of range, must be positive";
const NOT_SYMMETRIC: &str = "-ERR value is out of range, value must between \
                             -9223372036854775807 and 9223372036854775807";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn push_and_pop() {
    Server::new().check(&[
        ("lpushx l a", ":0"),
        ("rpushx l a", ":0"),
        ("exists l", ":0"),
        ("lpush l a b c", ":3"),
        ("rpush l 1 -2", ":5"),
        ("lpushx l x", ":6"),
        ("rpushx l y z", ":8"),
        ("lrange l 0 -1", "*8 $1 x $1 c $1 b $1 a $1 1 $2 -2 $1 y $1 z"),
        ("llen l", ":8"),
        ("type l", "+list"),
        ("lpop l", "$1 x"),
        ("rpop l", "$1 z"),
        ("lpop l 0", "*0"),
        ("lpop l 2", "*2 $1 c $1 b"),
        ("rpop l 3", "*3 $1 y $2 -2 $1 1"),
        ("rpop l 9223372036854775807", "*1 $1 a"),
        ("exists l", ":0"),
        ("lpop l", "$-1"),
        ("lpop l 0", "*-1"),
        ("rpop l 2", "*-1"),
        ("lpop l abc", NOT_POSITIVE),
        ("lpop l -1", NOT_POSITIVE),
        ("lpop l 9223372036854775808", NOT_POSITIVE),
        ("lpop l 1 2", "-ERR wrong number of arguments for 'lpop' command"),
        ("rpop l 1 2", "-ERR wrong number of arguments for 'rpop' command"),
        ("set s x", "+OK"),
        ("lpop s -1", NOT_POSITIVE),
        ("lpop s 0", WRONG),
        ("lpop s", WRONG),
        ("lpush s a", WRONG),
        ("lpushx s a", WRONG),
        ("llen s", WRONG),
        ("llen none", ":0"),
    ]);
    let mut server = Server { encoding: Encoding::Resp3, ..Server::new() };
    server.check(&[("lpop l", "_"), ("lpop l 1", "_"), ("lmpop 1 l left", "_")]);
}

#[test]
fn read_by_index() {
    Server::new().check(&[
        ("rpush l a b c", ":3"),
        ("set s x", "+OK"),
        ("lindex l 0", "$1 a"),
        ("lindex l -3", "$1 a"),
        ("lindex l 3", "$-1"),
        ("lindex l -4", "$-1"),
        ("lindex l 9223372036854775807", "$-1"),
        ("lindex l -9223372036854775808", "$-1"),
        ("lindex l x", NOT_INTEGER),
        ("lindex none x", "$-1"),
        ("lindex s x", WRONG),
        ("lrange l 1 1", "*1 $1 b"),
        ("lrange l -2 -1", "*2 $1 b $1 c"),
        ("lrange l -9223372036854775808 9223372036854775807", "*3 $1 a $1 b $1 c"),
        ("lrange l 9223372036854775807 9223372036854775807", "*0"),
        ("lrange l -9223372036854775808 -9223372036854775808", "*0"),
        ("lrange l 2 1", "*0"),
        ("lrange l 3 5", "*0"),
        ("lrange none 0 1", "*0"),
        ("lrange none x 1", NOT_INTEGER),
        ("lrange s 0 x", NOT_INTEGER),
        ("lrange s 0 1", WRONG),
    ]);
}

#[test]
fn positions() {
    let zero = "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second \
                ... or use negative to start from the end of the list";
    Server::new().check(&[
        ("rpush l a b c a 1 2 a", ":7"),
        ("set s x", "+OK"),
        ("lpos l a", ":0"),
        ("lpos l 2", ":5"),
        ("lpos l x", "$-1"),
        ("lpos l a rank 2", ":3"),
        ("lpos l a rank -1", ":6"),
        ("lpos l a rank 4", "$-1"),
        ("lpos l a rank -1 count 2", "*2 :6 :3"),
        ("lpos l a COUNT 0", "*3 :0 :3 :6"),
        ("lpos l a rank 2 count 0 maxlen 4", "*1 :3"),
        ("lpos l a count 0 maxlen 9223372036854775807", "*3 :0 :3 :6"),
        ("lpos l a rank 2 rank 1", ":0"),
        ("lpos l a rank 9223372036854775807", "$-1"),
        ("lpos l a rank -9223372036854775807", "$-1"),
        ("lpos l a rank -9223372036854775808", NOT_SYMMETRIC),
        ("lpos l a rank 9223372036854775808", NOT_INTEGER),
        ("lpos l a rank 0", zero),
        ("lpos l a rank x", NOT_INTEGER),
        ("lpos l a count -1", "-ERR COUNT can't be negative"),
        ("lpos l a count x", "-ERR COUNT can't be negative"),
        ("lpos l a maxlen -1", "-ERR MAXLEN can't be negative"),
        ("lpos l a maxlen x", "-ERR MAXLEN can't be negative"),
        ("lpos l a foo", SYNTAX),
        ("lpos l a rank", SYNTAX),
        ("lpos none a", "$-1"),
        ("lpos none a count 2", "*0"),
        ("lpos none a rank 0", zero),
        ("lpos s a", WRONG),
    ]);
}

#[test]
fn edits() {
    Server::new().check(&[
        ("rpush l a b c a", ":4"),
        ("set s x", "+OK"),
        ("lset none x v", "-ERR no such key"),
        ("lset s x v", WRONG),
        ("lset l x v", NOT_INTEGER),
        ("lset l 4 v", "-ERR index out of range"),
        ("lset l -5 v", "-ERR index out of range"),
        ("lset l -1 d", "+OK"),
        ("lset l 0 100", "+OK"),
        ("linsert l foo a b", SYNTAX),
        ("linsert none foo a b", SYNTAX),
        ("linsert none before a b", ":0"),
        ("linsert s before a b", WRONG),
        ("linsert l before zz b", ":-1"),
        ("linsert l BEFORE 100 x", ":5"),
        ("linsert l after d y", ":6"),
        ("linsert l after b b", ":7"),
        ("lrange l 0 -1", "*7 $1 x $3 100 $1 b $1 b $1 c $1 d $1 y"),
        ("lrem l -1 b", ":1"),
        ("lrem l 5 b", ":1"),
        ("lrem l 0 b", ":0"),
        ("lrem l -9223372036854775808 b", NOT_SYMMETRIC),
        ("lrem none x b", NOT_INTEGER),
        ("lrem none 1 b", ":0"),
        ("lrem s 1 b", WRONG),
        ("ltrim l x 1", NOT_INTEGER),
        ("ltrim s 0 1", WRONG),
        ("ltrim none 0 1", "+OK"),
        ("ltrim l 1 -2", "+OK"),
        ("lrange l 0 -1", "*3 $3 100 $1 c $1 d"),
        ("ltrim l 5 9", "+OK"),
        ("exists l", ":0"),
        ("rpush l b b", ":2"),
        ("lrem l 0 b", ":2"),
        ("exists l", ":0"),
    ]);
}

#[test]
fn moves() {
    Server::new().check(&[
        ("set s x", "+OK"),
        ("lmove none s left foo", SYNTAX),
        ("lmove none s left right", "$-1"),
        ("rpush l a b c", ":3"),
        ("lmove l s left right", WRONG),
        ("lmove s l left right", WRONG),
        ("rpoplpush s none", WRONG),
        ("lmove l m left right", "$1 a"),
        ("lmove l m RIGHT LEFT", "$1 c"),
        ("lrange m 0 -1", "*2 $1 c $1 a"),
        ("rpoplpush l m", "$1 b"),
        ("exists l", ":0"),
        ("lmove m m left right", "$1 b"),
        ("lmove m m left left", "$1 c"),
        ("rpoplpush m m", "$1 b"),
        ("lrange m 0 -1", "*3 $1 b $1 c $1 a"),
        ("blmove m none2 up left 0", SYNTAX),
        ("blmove m none2 left left x", "-ERR timeout is not a float or out of range"),
        ("blmove none none left left 0", "$-1"),
        ("brpoplpush none none -1", "-ERR timeout is negative"),
        ("brpoplpush m l 0", "$1 a"),
        ("blmove m s left left 0", WRONG),
        ("blmove m l left left 0", "$1 b"),
        ("lrange l 0 -1", "*2 $1 b $1 a"),
    ]);
}

#[test]
fn pops_of_several_keys() {
    let numkeys = "-ERR numkeys should be greater than 0";
    let count = "-ERR count should be greater than 0";
    let timeout = "-ERR timeout is not a float or out of range";
    Server::new().check(&[
        ("set s x", "+OK"),
        ("rpush l a b c d e f", ":6"),
        ("lmpop 0 l left", numkeys),
        ("lmpop -1 l left", numkeys),
        ("lmpop x l left", numkeys),
        ("lmpop 99999999999999999999 l left", numkeys),
        ("lmpop 9223372036854775807 l left", SYNTAX),
        ("lmpop 2 l left", SYNTAX),
        ("lmpop 1 l up", SYNTAX),
        ("lmpop 1 l left count", SYNTAX),
        ("lmpop 1 l left count 0", count),
        ("lmpop 1 l left count x", count),
        ("lmpop 1 l left count 1 count 2", SYNTAX),
        ("lmpop 1 l left foo 1", SYNTAX),
        ("lmpop 1 none left", "*-1"),
        ("lmpop 2 none s left", WRONG),
        ("lmpop 2 s l left", WRONG),
        ("lmpop 2 none l LEFT COUNT 2", "*2 $1 l *2 $1 a $1 b"),
        ("lmpop 1 l right", "*2 $1 l *1 $1 f"),
        ("blmpop x 0 none left", numkeys),
        ("blmpop x 1 none up", SYNTAX),
        ("blmpop x 1 none left", timeout),
        ("blmpop 0 1 none left", "*-1"),
        ("blmpop 0 2 none l right count 9", "*2 $1 l *3 $1 e $1 d $1 c"),
        ("blpop none x", timeout),
        ("blpop none -1", "-ERR timeout is negative"),
        ("blpop s x", timeout),
        ("blpop none s 0", WRONG),
        ("blpop none l 0", "*-1"),
        ("rpush l 1 2", ":2"),
        ("blpop none l 0", "*2 $1 l $1 1"),
        ("brpop l l 0.1", "*2 $1 l $1 2"),
        ("exists l", ":0"),
    ]);
}
