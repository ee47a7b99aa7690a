//! All commands together: replies in the order of checks that Redis has, the forms, and expiry.

use std::collections::BTreeMap;

use crate::commands::test_support::Server;
use crate::protocol::reply::Encoding;
use crate::store::{Change, Class, Classes, Watcher};

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const SYNTAX: &str = "-ERR syntax error";
const NO_FIELDS: &str = "-ERR Mandatory argument FIELDS is missing or not at the right position";
const NOT_POSITIVE: &str = "-ERR Number of fields must be a positive integer";
const NO_MATCH: &str = "-ERR The `numfields` parameter must match the number of arguments";
const NEGATIVE_TIME: &str = "-ERR invalid expire time, must be >= 0";

#[test]
fn set_and_read() {
    let arity = |command: &str| format!("-ERR wrong number of arguments for '{command}' command");
    Server::new().check(&[
        ("hset h a 1 b", &arity("hset")),
        ("hmset h a 1 b", &arity("hmset")),
        ("hset h a 1 b 2", ":2"),
        ("hmset h a 1 c 3", "+OK"),
        ("hset h a 5 z text", ":1"),
        ("hset h d 1 d 2 d 3", ":1"),
        ("hsetnx h a 1", ":0"),
        ("hsetnx h y 1", ":1"),
        ("hsetnx new y 1", ":1"),
        ("hget h a", "$1 5"),
        ("hget h d", "$1 3"),
        ("hget h nope", "$-1"),
        ("hget none a", "$-1"),
        ("hmget h a nope z", "*3 $1 5 $-1 $4 text"),
        ("hmget none a b", "*2 $-1 $-1"),
        ("hexists h a", ":1"),
        ("hexists h nope", ":0"),
        ("hexists none a", ":0"),
        ("hlen h", ":6"),
        ("hlen none", ":0"),
        ("hstrlen h z", ":4"),
        ("hstrlen h nope", ":0"),
        ("hstrlen none a", ":0"),
        ("hgetall h", "*12 $1 a $1 5 $1 b $1 2 $1 c $1 3 $1 z $4 text $1 d $1 3 $1 y $1 1"),
        ("hkeys h", "*6 $1 a $1 b $1 c $1 z $1 d $1 y"),
        ("hvals h", "*6 $1 5 $1 2 $1 3 $4 text $1 3 $1 1"),
        ("hgetall none", "*0"),
        ("hkeys none", "*0"),
        ("hvals none", "*0"),
        ("hdel h nope a nope a", ":1"),
        ("hdel none a", ":0"),
        ("hdel h b c z d y", ":5"),
        ("exists h", ":0"),
        ("type new", "+hash"),
        ("hset '' '' ''", ":1"),
        ("hgetall ''", "*2 $0  $0 "),
    ]);
    let mut server = Server { encoding: Encoding::Resp3, ..Server::new() };
    server.check(&[
        ("hset h a 1", ":1"),
        ("hgetall h", "%1 $1 a $1 1"),
        ("hgetall none", "%0"),
        ("hkeys h", "*1 $1 a"),
        ("hvals none", "*0"),
        ("hget h b", "_"),
        ("hmget h a b", "*2 $1 1 _"),
        ("hrandfield h 1 withvalues", "*1 *2 $1 a $1 1"),
        ("hrandfield h -2 withvalues", "*2 *2 $1 a $1 1 *2 $1 a $1 1"),
        ("hrandfield none 1 withvalues", "*0"),
        ("hrandfield none", "_"),
        ("hgetex h fields 2 a b", "*2 $1 1 _"),
        ("hincrbyfloat h a 0.5", "$3 1.5"),
    ]);
}

#[test]
fn other_types_are_refused() {
    let mut server = Server::new();
    server.check(&[("set s x", "+OK")]);
    for line in [
        "hset s a 1",
        "hmset s a 1",
        "hsetnx s a 1",
        "hget s a",
        "hmget s a",
        "hdel s a",
        "hexists s a",
        "hgetall s",
        "hkeys s",
        "hvals s",
        "hlen s",
        "hstrlen s a",
        "hincrby s a 1",
        "hincrbyfloat s a 1",
        "hrandfield s",
        "hrandfield s 1",
        "hscan s 0",
        "hscan s 0 foo bar",
        "hexpire s x bar 2 a",
        "hpexpire s x fields 2 a",
        "hexpireat s x fields 2 a",
        "hpexpireat s x fields 2 a",
        "hpersist s foo 2 a",
        "httl s foo 1 a",
        "hpttl s fields 2 a",
        "hexpiretime s fields 2 a",
        "hpexpiretime s fields 2 a",
        "hgetex s ex x foo",
        "hgetdel s foo 1 a",
        "hsetex s fields 1 a 1",
    ] {
        server.check(&[(line, WRONG)]);
    }
    server.check(&[
        ("hincrby s a x", NOT_INTEGER),
        ("hincrbyfloat s a x", "-ERR value is not a valid float"),
        ("hrandfield s x", NOT_INTEGER),
        ("hscan s x", "-ERR invalid cursor"),
        ("hsetex s ex x fields 1 a 1", NOT_INTEGER),
        ("hset h a 1", ":1"),
        ("get h", WRONG),
        ("lpush h a", WRONG),
        ("incr h", WRONG),
    ]);
}

#[test]
fn numbers() {
    const OVERFLOW: &str = "-ERR increment or decrement would overflow";
    const INFINITE: &str = "-ERR value is NaN or Infinity";
    Server::new().check(&[
        ("hincrby h a x", NOT_INTEGER),
        ("hincrby h a 5", ":5"),
        ("hincrby h a -7", ":-2"),
        ("hset h s str", ":1"),
        ("hincrby h s 1", "-ERR hash value is not an integer"),
        ("hincrby h s x", NOT_INTEGER),
        ("hset h m 9223372036854775807", ":1"),
        ("hincrby h m 1", OVERFLOW),
        ("hincrby h m -9223372036854775808", ":-1"),
        ("hset h m -9223372036854775808", ":0"),
        ("hincrby h m -1", OVERFLOW),
        ("hset h m 1.0", ":0"),
        ("hincrby h m 1", "-ERR hash value is not an integer"),
        ("hincrbyfloat h a 3.5", "$3 1.5"),
        ("hincrbyfloat h s 1.5", "-ERR hash value is not a float"),
        ("hincrbyfloat h s x", "-ERR value is not a valid float"),
        ("hincrbyfloat h a inf", INFINITE),
        ("hincrbyfloat h a -inf", INFINITE),
        ("hincrbyfloat none x inf", INFINITE),
        ("exists none", ":0"),
        ("hincrbyfloat h a nan", "-ERR value is not a valid float"),
        ("hset h sp ' 1'", ":1"),
        ("hincrbyfloat h sp 1", "-ERR hash value is not a float"),
        ("hset h inf inf", ":1"),
        ("hincrbyfloat h inf 1", "-ERR increment would produce NaN or Infinity"),
        ("hincrbyfloat new f 5.0e3", "$4 5000"),
        ("hincrby new f 1", ":5001"),
    ]);
}

#[test]
fn forms() {
    let long = "x".repeat(65);
    let mut server = Server::new();
    server.config.hash_max_listpack_entries = 4;
    server.check(&[
        ("hset h a 1 b 2 c 3 d 4", ":4"),
        ("object encoding h", "$8 listpack"),
        ("hset h a 1", ":0"),
        ("object encoding h", "$8 listpack"),
        ("hset h e 5", ":1"),
        ("object encoding h", "$9 hashtable"),
        ("hdel h e d c", ":3"),
        ("object encoding h", "$9 hashtable"),
        ("hmget h a b c", "*3 $1 1 $1 2 $-1"),
        ("hset five a 1 a 2 a 3 a 4 a 5", ":1"),
        ("object encoding five", "$9 hashtable"),
        ("hset g a 1", ":1"),
        ("hset g a 1 a 2 a 3 a 4 a 5", ":0"),
        ("object encoding g", "$9 hashtable"),
        ("hexpire g 100 fields 1 a", "*1 :1"),
        ("object encoding g", "$9 hashtable"),
        ("hset x a 1 b 2", ":2"),
        ("hexpire x 100 fields 1 b", "*1 :1"),
        ("object encoding x", "$10 listpackex"),
        ("hgetall x", "*4 $1 b $1 2 $1 a $1 1"),
        ("hpersist x fields 1 b", "*1 :1"),
        ("object encoding x", "$10 listpackex"),
        ("hpexpire x 100 fields 1 a", "*1 :1"),
        ("hset x c 3 d 4 e 5", ":3"),
        ("object encoding x", "$9 hashtable"),
        ("hpttl x fields 2 a b", "*2 :100 :-1"),
        ("hsetex y px 50 fields 1 a 1", ":1"),
        ("object encoding y", "$10 listpackex"),
        ("del h g x y five", ":5"),
    ]);
    for line in [
        format!("hset h a {long}"),
        format!("hset h {long} 1"),
        format!("hsetnx h a {long}"),
        format!("hincrby h {long} 1"),
        format!("hsetex h ex 5 fields 1 a {long}"),
    ] {
        for before in ["del h", "hset h b 1", "hsetex h ex 7 fields 1 b 1"] {
            server.run("del h");
            server.run(before);
            assert!(!server.run(&line).starts_with('-'), "{line}");
            server.check(&[("object encoding h", "$9 hashtable")]);
        }
    }
}

/// As observed with redis-server 8.2.3: DUMP tells the order.
#[test]
fn order_of_a_packed_hash_whose_fields_expire() {
    let mut server = Server::new();
    server.check(&[
        ("hset h a 1 b 2 c 3 d 4", ":4"),
        ("hpexpireat h 3000000000000 fields 1 c", "*1 :1"),
        ("hkeys h", "*4 $1 c $1 a $1 b $1 d"),
        ("hpexpireat h 3000000000000 fields 1 a", "*1 :1"),
        ("hkeys h", "*4 $1 a $1 c $1 b $1 d"),
        ("hpexpireat h 2900000000000 fields 1 d", "*1 :1"),
        ("hkeys h", "*4 $1 d $1 a $1 c $1 b"),
        ("hpexpireat h 3000000000000 fields 1 b", "*1 :1"),
        ("hkeys h", "*4 $1 d $1 b $1 a $1 c"),
        ("hset h d 5", ":0"),
        ("hkeys h", "*4 $1 b $1 a $1 c $1 d"),
        ("hset h e 6", ":1"),
        ("hincrby h c 5", ":8"),
        ("hkeys h", "*5 $1 b $1 a $1 c $1 d $1 e"),
        ("hpersist h fields 1 c", "*1 :1"),
        ("hkeys h", "*5 $1 b $1 a $1 d $1 e $1 c"),
        ("hpersist h fields 3 a b c", "*3 :1 :1 :-1"),
        ("hkeys h", "*5 $1 d $1 e $1 c $1 a $1 b"),
        ("hset h a 1", ":0"),
        ("hkeys h", "*5 $1 d $1 e $1 c $1 a $1 b"),
        ("del h", ":1"),
        ("hset h a 1 b 2 c 3", ":3"),
        ("hsetex h ex 100 fields 1 b 2", ":1"),
        ("hsetex h ex 50 fields 1 q 2", ":1"),
        ("hsetex h keepttl fields 2 r 2 b 7", ":1"),
        ("hgetall h", "*10 $1 q $1 2 $1 b $1 7 $1 a $1 1 $1 c $1 3 $1 r $1 2"),
        ("hsetex h fields 2 q 2 t 7", ":1"),
        ("hkeys h", "*6 $1 b $1 a $1 c $1 r $1 q $1 t"),
        ("hgetex h ex 30 fields 2 t c", "*2 $1 7 $1 3"),
        ("hkeys h", "*6 $1 c $1 t $1 b $1 a $1 r $1 q"),
        ("hgetex h persist fields 2 t c", "*2 $1 7 $1 3"),
        ("hkeys h", "*6 $1 b $1 a $1 r $1 q $1 t $1 c"),
    ]);
}

#[test]
fn expire_options() {
    let invalid = |command: &str| format!("-ERR invalid expire time in '{command}' command");
    const COUNT: &str = "-ERR Parameter `numFields` should be greater than 0";
    Server::new().check(&[
        ("hset h a 1 b 2", ":2"),
        ("hexpire h 100 fields 0 a", COUNT),
        ("hexpire h 100 fields -1 a", COUNT),
        ("hexpire h 100 fields x a", COUNT),
        ("hexpire h 100 fields 9223372036854775808 a", COUNT),
        ("hexpire h 100 fields 9223372036854775807 a", NO_MATCH),
        ("hexpire h 100 fields 1 a b", NO_MATCH),
        ("hexpire h 100 fields 1 a nx", NO_MATCH),
        ("hexpire h 100 nx fields 1", NO_MATCH),
        ("hexpire h 100 foo fields 1 a", NO_FIELDS),
        ("hexpire h 100 nx xx fields 1 a", NO_FIELDS),
        ("hexpire h x foo 1 a", NOT_INTEGER),
        ("hexpire none x fields 2 a", NOT_INTEGER),
        ("hexpire h -1 fields 2 a", NEGATIVE_TIME),
        ("hexpire h 9223372036854775807 fields 2 a", &invalid("hexpire")),
        ("hexpire h 9223372036854775 fields 1 a", &invalid("hexpire")),
        ("hpexpire h 9223372036854775807 fields 1 a", &invalid("hpexpire")),
        ("hpexpireat h 70368744177664 fields 1 a", &invalid("hpexpireat")),
        ("hexpireat h 70368744178 fields 1 a", &invalid("hexpireat")),
        ("hpexpireat h 70368744177663 fields 1 a", "*1 :1"),
        ("hpersist h fields 2 a zz", "*2 :1 :-2"),
        ("hpersist h fields 1 a", "*1 :-1"),
        ("hpersist none fields 1 a", "*1 :-2"),
        ("hpersist none foo 1 a", NO_FIELDS),
        ("hpersist none fields 2 a", NO_MATCH),
        ("hpersist h fields 0 a", NOT_POSITIVE),
        ("httl none foo 1 a", NO_FIELDS),
        ("httl h fields x a", NOT_POSITIVE),
        ("httl h fields 9223372036854775808 a", NOT_POSITIVE),
        ("httl h fields 4294967296 a", NO_MATCH),
        ("httl none fields 2 a b", "*2 :-2 :-2"),
        ("hexpire none 100 fields 2 a b", "*2 :-2 :-2"),
        ("hexpire h 100 nx fields 1 a", "*1 :1"),
        ("hexpire h 200 nx fields 1 a", "*1 :0"),
        ("hexpire h 200 xx fields 2 a b", "*2 :1 :0"),
        ("hexpire h 100 gt fields 2 a b", "*2 :0 :0"),
        ("hexpire h 300 gt fields 2 a b", "*2 :1 :0"),
        ("hexpire h 300 lt fields 2 a b", "*2 :0 :1"),
        ("hexpire h 200 lt fields 3 a b zz", "*3 :1 :1 :-2"),
        ("hexpire h 0 gt fields 1 a", "*1 :0"),
        ("hexpire h 0 nx fields 1 a", "*1 :0"),
        ("hexpire h 0 lt fields 1 a", "*1 :2"),
        ("hexpireat h 1 fields 3 b b zz", "*3 :2 :-2 :-2"),
        ("exists h", ":0"),
    ]);
}

#[test]
fn expiry_times() {
    let mut server = Server::new();
    server.check(&[
        ("hset h a 1", ":1"),
        ("hpexpire h 1499 fields 1 a", "*1 :1"),
        ("httl h fields 2 a zz", "*2 :2 :-2"),
        ("hpttl h fields 1 a", "*1 :1499"),
        ("hpexpiretime h fields 1 a", "*1 :1700000001499"),
        ("hexpiretime h fields 1 a", "*1 :1700000002"),
        ("hexpireat h 1999999999 fields 1 a", "*1 :1"),
        ("hexpiretime h fields 1 a", "*1 :1999999999"),
        ("hset h a 2", ":0"),
        ("hpexpiretime h fields 1 a", "*1 :-1"),
        ("hpexpire h 5 fields 1 a", "*1 :1"),
        ("hincrby h a 1", ":3"),
        ("hincrbyfloat h a 1", "$1 4"),
        ("hpttl h fields 1 a", "*1 :5"),
    ]);
    server.advance_ms(4);
    server.check(&[("hget h a", "$1 4"), ("hpttl h fields 1 a", "*1 :1")]);
    server.advance_ms(1);
    server.check(&[
        ("hget h a", "$-1"),
        ("hpttl h fields 1 a", "*1 :-2"),
        ("hpersist h fields 1 a", "*1 :-2"),
        ("exists h", ":0"),
    ]);
}

#[test]
fn get_and_expire() {
    let arity = "-ERR wrong number of arguments for 'hgetex' command";
    let invalid = "-ERR invalid expire time in 'hgetex' command";
    Server::new().check(&[
        ("hset h a 1 b 2 c 3", ":3"),
        ("hgetex h fields 2 a zz", "*2 $1 1 $-1"),
        ("hgetex h ex 100 fields 1 a", "*1 $1 1"),
        ("httl h fields 1 a", "*1 :100"),
        ("hgetex h fields 1 a", "*1 $1 1"),
        ("httl h fields 1 a", "*1 :100"),
        ("hgetex h persist fields 2 a zz", "*2 $1 1 $-1"),
        ("httl h fields 1 a", "*1 :-1"),
        ("hgetex h pxat 1700000000100 fields 1 a", "*1 $1 1"),
        ("hpttl h fields 1 a", "*1 :100"),
        ("hgetex h ex 0 fields 2 a a", "*2 $1 1 $-1"),
        ("hgetex h exat 1 fields 1 c", "*1 $1 3"),
        ("hgetall h", "*2 $1 b $1 2"),
        ("hgetex h ex -1 fields 2 a", NEGATIVE_TIME),
        ("hgetex h ex x foo 1 a", NOT_INTEGER),
        ("hgetex h ex fields 1 a", NOT_INTEGER),
        ("hgetex h ex 9223372036854775807 fields 1 a", invalid),
        ("hgetex h pxat 70368744177664 fields 1 a", invalid),
        ("hgetex h keepttl fields 1 a", NO_FIELDS),
        ("hgetex h ex 10 px 10 fields 1 a", NO_FIELDS),
        ("hgetex h ex 10 persist fields 1 a", NO_FIELDS),
        ("hgetex h fields 1 a ex 10", NO_MATCH),
        ("hgetex h persist fields 1", NO_MATCH),
        ("hgetex h fields 0 a", NOT_POSITIVE),
        ("hgetex h ex 10 foo", arity),
        ("hgetex none fields 2 a b", "*2 $-1 $-1"),
        ("hgetex none ex x fields 1 a", NOT_INTEGER),
        ("hgetdel h fields 2 b b", "*2 $1 2 $-1"),
        ("exists h", ":0"),
        ("hgetdel none fields 2 a b", "*2 $-1 $-1"),
        ("hgetdel none foo 1 a", NO_FIELDS),
        ("hgetdel none fields 2 a", NO_MATCH),
        ("hgetdel none fields 0 a", NOT_POSITIVE),
    ]);
}

#[test]
fn set_and_expire() {
    const ARITY: &str = "-ERR wrong number of arguments for 'hsetex' command";
    const COUNT: &str = "-ERR invalid number of fields";
    const ONE_TIME: &str =
        "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
    const ONE_CONDITION: &str = "-ERR Only one of FXX or FNX arguments can be specified";
    const INVALID: &str = "-ERR invalid expire time in 'hsetex' command";
    Server::new().check(&[
        ("hsetex h fields 1 a 1", ":1"),
        ("hsetex h ex 10 fields 2 a 1 c 3", ":1"),
        ("httl h fields 2 a c", "*2 :10 :10"),
        ("hsetex h keepttl fields 1 c 4", ":1"),
        ("httl h fields 1 c", "*1 :10"),
        ("hsetex h fields 1 c 4", ":1"),
        ("httl h fields 1 c", "*1 :-1"),
        ("hsetex h fnx fields 2 c 4 new 5", ":0"),
        ("hsetex h fxx fields 2 c 4 new 5", ":0"),
        ("hsetex h fxx px 5 fields 1 c 5", ":1"),
        ("hpttl h fields 1 c", "*1 :5"),
        ("hsetex h fnx fields 2 n1 1 n1 2", ":1"),
        ("hget h n1", "$1 2"),
        ("hsetex none ex 10 fxx fields 1 a 1", ":0"),
        ("hsetex none pxat 1 fields 1 a 1", ":1"),
        ("exists none", ":0"),
        ("hsetex h ex 0 fxx fields 1 zz 1", ":0"),
        ("hsetex h ex 0 fields 3 c 1 n1 1 x 1", ":1"),
        ("hkeys h", "*1 $1 a"),
        ("hsetex h fields 2 a 1 b", ARITY),
        ("hsetex h fields 1 a 1 b 2", ARITY),
        ("hsetex h fields 1 a 1 ex 10", ARITY),
        ("hsetex h keepttl fields x a", ARITY),
        ("hsetex h fields 0 a 1", COUNT),
        ("hsetex h fields x a 1", COUNT),
        ("hsetex h fields 2147483648 a 1", COUNT),
        ("hsetex h fields 2147483647 a 1", ARITY),
        ("hsetex h foo 1 a 1", "-ERR unknown argument: foo"),
        ("hsetex h persist fields 1 c 3", "-ERR unknown argument: persist"),
        ("hsetex h fnx fxx fields 1 c 4", ONE_CONDITION),
        ("hsetex h fnx fnx fields 1 c 4", ONE_CONDITION),
        ("hsetex h ex 10 keepttl fields 1 c 3", ONE_TIME),
        ("hsetex h keepttl keepttl fields 1 a 1", ONE_TIME),
        ("hsetex h fnx ex 10 px", ONE_TIME),
        ("hsetex h ex x fnx fxx fields 1 a 1", NOT_INTEGER),
        ("hsetex h ex -1 foo 1 a 1", NEGATIVE_TIME),
        ("hsetex h ex 9223372036854775807 foo 1 a 1", INVALID),
    ]);
}

#[test]
fn random_fields() {
    let symmetric = "-ERR value is out of range, value must between -9223372036854775807 and \
                     9223372036854775807";
    let mut server = Server::new();
    server.check(&[
        ("hset h a 1", ":1"),
        ("hrandfield h", "$1 a"),
        ("hrandfield none", "$-1"),
        ("hrandfield none 1", "*0"),
        ("hrandfield none -1", "*0"),
        ("hrandfield h 0", "*0"),
        ("hrandfield h 5", "*1 $1 a"),
        ("hrandfield h 9223372036854775807", "*1 $1 a"),
        ("hrandfield h 5 withvalues", "*2 $1 a $1 1"),
        ("hrandfield h -3", "*3 $1 a $1 a $1 a"),
        ("hrandfield h -2 WITHVALUES", "*4 $1 a $1 1 $1 a $1 1"),
        ("hrandfield h x", NOT_INTEGER),
        ("hrandfield h withvalues", NOT_INTEGER),
        ("hrandfield none 1 foo", SYNTAX),
        ("hrandfield h 1 withvalues x", SYNTAX),
        ("hrandfield h -9223372036854775808", symmetric),
        ("hrandfield h -4611686018427387904 withvalues", "-ERR value is out of range"),
        ("hrandfield h 4611686018427387904 withvalues", "-ERR value is out of range"),
        ("hrandfield h -9223372036854775807", TOO_LONG),
    ]);
}

const TOO_LONG: &str = "-ERR reply exceeds maximum allowed size (client-query-buffer-limit)";

#[test]
fn replies_are_bounded() {
    let mut server = Server::new();
    server.config.client_query_buffer_limit = 1024 * 1024;
    server.config.proto_max_bulk_len = 1024 * 1024;
    let value = "x".repeat(10_000);
    (0..100).for_each(|n| assert_eq!(server.run(&format!("hset h f{n} {value}")), ":1"));
    let many = "f0 ".repeat(110);
    server.check(&[
        ("hrandfield h -110 withvalues", TOO_LONG),
        (&format!("hmget h {many}"), TOO_LONG),
    ]);
    (100..200).for_each(|n| assert_eq!(server.run(&format!("hset h f{n} {value}")), ":1"));
    server.check(&[("hgetall h", TOO_LONG), ("hvals h", TOO_LONG), ("hlen h", ":200")]);
    assert!(server.run("hkeys h").starts_with("*200 "));
    assert!(!server.run("hscan h 0 count 1000").starts_with("*2 $1 0 "));
}

/// The forms, each with what makes a hash of `len` fields take it. Fields are `f0` and so on; those
/// of a form with expiries have a deleted one and one that has expired among them.
const FORMS: [(&str, i64, bool); 4] = [
    ("listpack", 512, false),
    ("listpackex", 512, true),
    ("hashtable", 2, false),
    ("hashtable", 2, true),
];

fn hash_of(len: usize, entries: i64, expires: bool) -> Server {
    let mut server = Server::new();
    server.config.hash_max_listpack_entries = entries;
    (0..len).for_each(|n| drop(server.run(&format!("hset h f{n} {n}"))));
    server.check(&[("hset h gone 1 late 1", ":2")]);
    if expires {
        server.check(&[("hpexpire h 5 fields 2 late gone", "*2 :1 :1")]);
        for n in (0..len).step_by(2) {
            server.check(&[(&format!("hpexpire h 100000 fields 1 f{n}"), "*1 :1")]);
        }
        server.advance_ms(5);
    } else {
        server.check(&[("hdel h gone late", ":2")]);
    }
    server
}

#[test]
fn random_fields_are_fair() {
    const FIELDS: usize = 24;
    const DRAWS: usize = 6_000;
    // The 0.1 % point of chi-squared with 23 degrees of freedom is 49.7.
    const CHI_SQUARED_MAX: f64 = 49.7;
    for (encoding, entries, expires) in FORMS {
        let mut server = hash_of(FIELDS, entries, expires);
        server.check(&[("object encoding h", &format!("${} {encoding}", encoding.len()))]);
        for command in ["hrandfield h", "hrandfield h -6", "hrandfield h 3", "hrandfield h 12"] {
            let mut drawn: BTreeMap<String, usize> = BTreeMap::new();
            let mut draws = 0;
            while draws < DRAWS {
                let reply = server.run(command);
                for name in reply.split(' ').filter(|word| word.starts_with('f')) {
                    *drawn.entry(name.to_owned()).or_default() += 1;
                    draws += 1;
                }
            }
            assert_eq!(drawn.len(), FIELDS, "{encoding} {command}: {drawn:?}");
            let expected = draws as f64 / FIELDS as f64;
            let square = |count: &usize| (*count as f64 - expected).powi(2) / expected;
            let chi_squared: f64 = drawn.values().map(square).sum();
            assert!(chi_squared < CHI_SQUARED_MAX, "{encoding} {command}: {chi_squared}");
        }
        for count in [1, 5, 23, 24, 25] {
            let reply = server.run(&format!("hrandfield h {count}"));
            let mut names: Vec<&str> =
                reply.split(' ').filter(|word| word.starts_with('f')).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count.min(FIELDS), "{encoding} {reply}");
        }
    }
}

fn scan_page(server: &mut Server, line: &str) -> (String, Vec<String>) {
    let reply = server.run(line);
    let words: Vec<&str> = reply.split(' ').collect();
    (words[2].to_owned(), words[4..].iter().skip(1).step_by(2).map(|&word| word.into()).collect())
}

#[test]
fn scan() {
    Server::new().check(&[
        ("hset h a 1 bb 2", ":2"),
        ("hscan h 0", "*2 $1 0 *4 $1 a $1 1 $2 bb $1 2"),
        ("hscan h 77 count 1", "*2 $1 0 *4 $1 a $1 1 $2 bb $1 2"),
        ("hscan h 0 match b* count 1", "*2 $1 0 *2 $2 bb $1 2"),
        ("hscan h 0 novalues", "*2 $1 0 *2 $1 a $2 bb"),
        ("hscan h 0 novalues match a novalues", "*2 $1 0 *1 $1 a"),
        ("hscan h 0 match", SYNTAX),
        ("hscan h 0 count 0", SYNTAX),
        ("hscan h 0 count x", NOT_INTEGER),
        ("hscan h 0 type hash", SYNTAX),
        ("hscan h 0 foo bar", SYNTAX),
        ("hscan h x", "-ERR invalid cursor"),
        ("hscan none x", "-ERR invalid cursor"),
        ("hscan none 5 foo bar", "*2 $1 0 *0"),
    ]);
}

/// What is there all the time is seen, whatever comes and goes meanwhile.
#[test]
fn a_scan_sees_what_stays() {
    for (_, entries, expires) in FORMS {
        const STAY: usize = 300;
        let mut server = hash_of(STAY, entries, expires);
        let mut seen = std::collections::BTreeSet::new();
        let mut cursor = "0".to_owned();
        for call in 0.. {
            assert!(call < 1_000, "the scan does not come to an end");
            let (next, names) =
                scan_page(&mut server, &format!("hscan h {cursor} novalues count 7"));
            let (_, all) = (0, names.len());
            assert!(entries > 2 || all < 100, "{all} at once");
            let reply = server.run(&format!("hscan h {cursor} count 7"));
            seen.extend(reply.split(' ').filter(|word| word.starts_with('f')).map(str::to_owned));
            for n in 0..40 {
                match call % 40 {
                    0..20 => server.run(&format!("hset h t{call}.{n} 1")),
                    _ => server.run(&format!("hdel h t{}.{n}", call - 20)),
                };
            }
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        assert!(!seen.contains("gone"));
        assert_eq!(seen.len(), STAY);
    }
}

fn events(server: &mut Server) -> Vec<String> {
    let shown = |change| match change {
        Change::Key { key, event, .. } => {
            format!("{}:{}", event.name(), String::from_utf8_lossy(&key))
        }
        other => format!("{other:?}"),
    };
    server.shard.take_changes().into_iter().map(shown).collect()
}

/// As observed with redis-server 8.2.3.
#[test]
fn keyspace_events() {
    let mut server = Server::new();
    server.shard.record_changes(Classes::NONE.with(Class::Hash).with(Class::Generic));
    for (line, expected) in [
        ("hset h a 1 b 2 c 3 d 4", "hset:h"),
        ("hexpire h 100 fields 2 a b", "hexpire:h"),
        ("hexpire h 0 fields 1 a", "hdel:h"),
        ("hset h a 1", "hset:h"),
        ("hexpireat h 1 fields 2 a b", "hdel:h"),
        ("hset h a 1", "hset:h"),
        ("hexpire h 100 nx fields 2 a zz", "hexpire:h"),
        ("hexpire h 200 nx fields 2 a zz", ""),
        ("hpersist h fields 2 a zz", "hpersist:h"),
        ("hpersist h fields 2 a zz", ""),
        ("hgetex h ex 100 fields 2 a c", "hexpire:h"),
        ("hgetex h ex 0 fields 1 a", "hdel:h"),
        ("hgetex h persist fields 1 c", "hpersist:h"),
        ("hgetex h persist fields 1 c", ""),
        ("hgetex h fields 1 c", ""),
        ("hsetex h ex 100 fields 1 a 1", "hset:h hexpire:h"),
        ("hsetex h fields 1 a 1", "hset:h"),
        ("hsetex h keepttl fields 1 a 1", "hset:h"),
        ("hsetex h ex 0 fields 1 a 1", "hset:h hdel:h"),
        ("hsetex new ex 0 fields 1 a 1", "hset:new hdel:new del:new"),
        ("hsetex new fields 1 a 1", "hset:new"),
        ("hsetex new fxx fields 1 zz 1", ""),
        ("hgetdel new fields 1 zz", ""),
        ("hgetdel new fields 1 a", "hdel:new del:new"),
        ("hdel h c", "hdel:h"),
        ("hdel h d", "hdel:h del:h"),
        ("hset h a 1", "hset:h"),
        ("hset h a 1", "hset:h"),
        ("hsetnx h a 1", ""),
        ("hsetnx h b 1", "hset:h"),
        ("hincrby h a 1", "hincrby:h"),
        ("hincrbyfloat h a 1", "hincrbyfloat:h"),
        ("hgetex h exat 1 fields 2 a b", "hdel:h del:h"),
        ("hsetex h px 5 fields 1 a 1", "hset:h hexpire:h"),
    ] {
        server.run(line);
        assert_eq!(events(&mut server).join(" "), expected, "{line}");
    }
    server.advance_ms(5);
    server.check(&[("hset h b 1", ":1")]);
    assert_eq!(events(&mut server), ["hexpired:h", "del:h", "hset:h"]);
    server.check(&[("hpexpire h 5 fields 1 b", "*1 :1"), ("hset h c 1", ":1")]);
    events(&mut server);
    server.advance_ms(5);
    server.check(&[("hdel h b", ":0")]);
    assert_eq!(events(&mut server), ["hexpired:h"]);
    assert_eq!(server.stats().expired_fields, 2);
}

/// The sweep gives back what no command comes upon, in either form, and the key with the last field.
#[test]
fn sweep() {
    for entries in [512, 0] {
        let mut server = Server::new();
        server.config.hash_max_listpack_entries = entries;
        server.shard.record_changes(Classes::NONE.with(Class::Hash).with(Class::Generic));
        for hash in 0..200 {
            server.check(&[
                (&format!("hset h{hash} a 1 b 2 c 3"), ":3"),
                (&format!("hpexpire h{hash} {} fields 2 a b", 1 + hash), "*2 :1 :1"),
            ]);
            if hash % 2 == 0 {
                server.check(&[(&format!("hpexpire h{hash} 60000 fields 1 c"), "*1 :1")]);
            }
        }
        let db = server.shard.db(0);
        assert_eq!((db.expiring(), db.field_expiring()), (0, 200));
        db.check();
        events(&mut server);
        server.advance_ms(2_000);
        while server.shard.sweep_expired(7, server.now) {}
        server.shard.db(0).check();
        assert_eq!(server.stats().expired_fields, 400);
        assert_eq!(server.stats().expired_keys, 0);
        assert_eq!((server.shard.db(0).len(), server.shard.db(0).field_expiring()), (200, 100));
        assert!(events(&mut server).iter().all(|event| event.starts_with("hexpired:")));
        server.advance_ms(60_000);
        while server.shard.sweep_expired(7, server.now) {}
        server.shard.db(0).check();
        assert_eq!((server.shard.db(0).len(), server.shard.db(0).field_expiring()), (100, 0));
        let events = events(&mut server);
        assert_eq!(events.iter().filter(|event| event.starts_with("del:")).count(), 100);
        assert_eq!(server.stats().expired_fields, 500);
    }
}

/// One hash with more expired fields than a step of the sweep drops.
#[test]
fn the_sweep_takes_a_large_hash_in_steps() {
    let mut server = Server::new();
    for n in 0..3_000 {
        server.run(&format!("hset h f{n} 1"));
        server.run(&format!("hpexpire h {} fields 1 f{n}", 1 + n % 900));
    }
    server.check(&[("hset h stays 1", ":1"), ("object encoding h", "$9 hashtable")]);
    server.advance_ms(2_000);
    server.check(&[("hlen h", ":1"), ("hgetall h", "*2 $5 stays $1 1")]);
    let mut steps = 0;
    while server.shard.sweep_expired(100, server.now) {
        steps += 1;
        server.shard.db(0).check();
    }
    assert!((29..60).contains(&steps), "{steps}");
    assert_eq!(server.stats().expired_fields, 3_000);
    assert_eq!(server.shard.db(0).field_expiring(), 0);
}

/// Expiring fields go with their hash wherever it goes, and the sweep finds them there.
#[test]
fn expiring_fields_survive_what_happens_to_their_key() {
    for entries in [512, 0] {
        for (line, key, db_index) in [
            ("rename h g", "g", 0),
            ("copy h g", "g", 0),
            ("move h 3", "h", 3),
            ("copy h h db 3", "h", 3),
            ("expire h 1000", "h", 0),
            ("persist h", "h", 0),
            (
                "hset h long xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "h",
                0,
            ),
            ("hset h b 3", "h", 0),
        ] {
            for with_expiry in [false, true] {
                let mut server = Server::new();
                server.config.hash_max_listpack_entries = entries;
                server.check(&[("hset h a 1 b 2", ":2"), ("hpexpire h 500 fields 1 a", "*1 :1")]);
                if with_expiry {
                    server.check(&[("pexpire h 50000", ":1")]);
                }
                assert!(!server.run(line).starts_with('-'), "{line}");
                (0..16).for_each(|index| server.shard.db(index).check());
                server.db_index = db_index;
                server.check(&[(&format!("hpttl {key} fields 2 a b"), "*2 :500 :-1")]);
                assert_eq!(
                    server.shard.db(db_index).field_expiring(),
                    if key == "g" && line.starts_with("copy") { 2 } else { 1 }
                );
                server.advance_ms(1_500);
                while server.shard.sweep_expired(100, server.now) {}
                (0..16).for_each(|index| server.shard.db(index).check());
                let copies = if line.starts_with("copy") { 2 } else { 1 };
                assert_eq!(server.stats().expired_fields, copies, "{line} {entries}");
                server.check(&[(&format!("hexists {key} b"), ":1")]);
            }
        }
        for line in ["del h", "set h x", "flushall", "getdel x", "hdel h a", "hset h a 5"] {
            let mut server = Server::new();
            server.config.hash_max_listpack_entries = entries;
            server.check(&[("hset h a 1 b 2", ":2"), ("hpexpire h 500 fields 1 a", "*1 :1")]);
            server.run(line);
            server.shard.db(0).check();
            let left = usize::from(line.starts_with("getdel"));
            assert_eq!(server.shard.db(0).field_expiring(), left, "{line}");
        }
    }
}

/// Volatile policies are for keys that expire, not for hashes of which fields do.
#[test]
fn eviction() {
    use crate::store::{Order, Policy};
    for order in [Order::Random, Order::Lru, Order::Ttl] {
        let mut server = Server::new();
        for n in 0..50 {
            server.check(&[(&format!("hsetex h{n} ex 100 fields 1 a 1"), ":1")]);
        }
        server.shard.set_policy(Policy { order, only_expiring: true, ..Policy::default() });
        assert!(!server.shard.can_evict() && !server.shard.evict(server.now));
        server.check(&[("expire h7 1000", ":1")]);
        assert!(server.shard.can_evict() && server.shard.evict(server.now));
        server.check(&[("exists h7", ":0"), ("dbsize", ":49")]);
        server.shard.set_policy(Policy { order, only_expiring: false, ..Policy::default() });
        (0..49).for_each(|_| assert!(server.shard.evict(server.now)));
        server.shard.db(0).check();
        assert_eq!(server.shard.db(0).field_expiring(), 0);
    }
}

#[test]
fn keys_commands() {
    for (encoding, entries, expires) in FORMS {
        let mut server = hash_of(20, entries, expires);
        server.check(&[
            ("type h", "+hash"),
            ("scan 0 type hash", "*2 $1 0 *1 $1 h"),
            ("scan 0 type list", "*2 $1 0 *0"),
            ("copy h g", ":1"),
            ("hlen g", ":20"),
            ("object encoding g", &format!("${} {encoding}", encoding.len())),
            ("hdel g f0 f1", ":2"),
            ("hlen h", ":20"),
            ("rename g i", "+OK"),
            ("hlen i", ":18"),
            ("move i 1", ":1"),
            ("pexpire h 10", ":1"),
        ]);
        let bytes: usize = server.run("memory usage h")[1..].parse().expect("a number");
        assert!((100..4_000).contains(&bytes), "{encoding} {bytes}");
        server.advance_ms(10);
        server.check(&[("hlen h", ":0"), ("dbsize", ":0")]);
        server.db_index = 1;
        server.check(&[("hlen i", ":18")]);
    }
}

#[test]
fn watched_keys() {
    const WATCHER: Watcher = Watcher { core: 0, number: 1 };
    for (_, entries, expires) in FORMS {
        for (line, breaks) in [
            ("hset h f1 1", true),
            ("hsetnx h f1 1", false),
            ("hdel h nope", false),
            ("hdel h f1", true),
            ("hincrby h f1 1", true),
            ("hexpire h 10 fields 1 f1", true),
            ("hexpire h 10 xx fields 1 f1", false),
            ("hpersist h fields 1 f1", false),
            ("hgetex h fields 1 f1", false),
            ("hgetall h", false),
        ] {
            let mut server = hash_of(20, entries, expires);
            // What has expired is dropped by the first change, which does break the watch.
            while server.shard.sweep_expired(100, server.now + 2_000) {}
            server.shard.db_mut(0).changes.watch(b"h", WATCHER);
            server.run(line);
            let broken = !server.shard.db_mut(0).changes.take_broken().is_empty();
            assert_eq!(broken, breaks, "{line} {entries} {expires}");
        }
    }
}

/// A naive hash: the values of its fields and when they expire.
#[derive(Default)]
struct Model {
    fields: BTreeMap<String, (String, Option<u64>)>,
}

fn random_below(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % bound
}

impl Model {
    fn drop_expired(&mut self, now: u64) {
        self.fields.retain(|_, (_, expiry)| expiry.is_none_or(|at| at > now));
    }

    fn line(seed: &mut u64) -> String {
        let field = |seed: &mut u64| match random_below(seed, 12) {
            0 => format!("{}", random_below(seed, 3)),
            _ => format!("f{}", random_below(seed, 9)),
        };
        let value = |seed: &mut u64| match random_below(seed, 40) {
            0 => "v".repeat(65 + random_below(seed, 300) as usize),
            1..20 => (random_below(seed, 100_000) as i64 - 50_000).to_string(),
            _ => format!("v{}", random_below(seed, 9)),
        };
        let (f, g, v, w) = (field(seed), field(seed), value(seed), value(seed));
        let ms = random_below(seed, 30);
        match random_below(seed, 14) {
            0 | 1 => format!("hset h {f} {v}"),
            2 => format!("hset h {f} {v} {g} {w}"),
            3 => format!("hsetnx h {f} {v}"),
            4 => format!("hdel h {f} {g}"),
            5 => format!("hincrby h {f} {ms}"),
            6..9 => format!("hpexpire h {ms} fields 2 {f} {g}"),
            9 => format!("hpersist h fields 2 {f} {g}"),
            10 => format!("hgetex h px {ms} fields 1 {f}"),
            11 => format!("hsetex h px {ms} fields 2 {f} {v} {g} {w}"),
            12 => format!("hsetex h keepttl fields 1 {f} {v}"),
            _ => format!("hgetdel h fields 1 {f}"),
        }
    }

    fn set(&mut self, field: &str, value: &str, expiry: Option<u64>) -> bool {
        self.fields.insert(field.to_owned(), (value.to_owned(), expiry)).is_none()
    }

    fn value(&self, field: &str) -> String {
        match self.fields.get(field) {
            Some((value, _)) => format!("${} {value}", value.len()),
            None => "$-1".to_owned(),
        }
    }

    /// Gives the reply.
    fn run(&mut self, words: &[&str], now: u64) -> String {
        let until = |ms: &str| now + ms.parse::<u64>().expect("milliseconds");
        let fields_at = words.iter().position(|&word| word == "fields").map_or(2, |at| at + 2);
        let named = &words[fields_at..];
        match words[0] {
            "hset" => {
                let new = named.chunks(2).filter(|pair| self.set(pair[0], pair[1], None));
                format!(":{}", new.count())
            }
            "hsetnx" => {
                let is_new = !self.fields.contains_key(words[2]);
                if is_new {
                    self.set(words[2], words[3], None);
                }
                format!(":{}", i32::from(is_new))
            }
            "hdel" => {
                let removed = named.iter().filter(|name| self.fields.remove(**name).is_some());
                format!(":{}", removed.count())
            }
            "hincrby" => {
                let (value, expiry) = match self.fields.get(words[2]) {
                    Some((value, expiry)) => (value.parse::<i64>(), *expiry),
                    None => (Ok(0), None),
                };
                let Ok(value) = value else { return "-ERR hash value is not an integer".into() };
                let sum = value + words[3].parse::<i64>().expect("an increment");
                self.set(words[2], &sum.to_string(), expiry);
                format!(":{sum}")
            }
            "hpexpire" | "hpersist" => {
                let expiry = (words[0] == "hpexpire").then(|| until(words[2]));
                let replies: Vec<&str> = named
                    .iter()
                    .map(|name| match (self.fields.get_mut(*name), expiry) {
                        (None, _) => ":-2",
                        (Some((_, None)), None) => ":-1",
                        (Some((_, old)), Some(at)) if at > now => {
                            *old = Some(at);
                            ":1"
                        }
                        (Some((_, old)), None) => {
                            *old = None;
                            ":1"
                        }
                        (Some(_), Some(_)) => {
                            self.fields.remove(*name);
                            ":2"
                        }
                    })
                    .collect();
                format!("*{} {}", replies.len(), replies.join(" "))
            }
            "hgetex" | "hgetdel" => {
                let reply = format!("*1 {}", self.value(named[0]));
                if words[0] == "hgetdel" {
                    self.fields.remove(named[0]);
                } else if let Some((_, expiry)) = self.fields.get_mut(named[0]) {
                    *expiry = Some(until(words[3]));
                }
                reply
            }
            "hsetex" => {
                for pair in named.chunks(2) {
                    let kept = self.fields.get(pair[0]).and_then(|(_, expiry)| *expiry);
                    let expiry = if words[2] == "px" { Some(until(words[3])) } else { kept };
                    self.set(pair[0], pair[1], expiry);
                }
                ":1".to_owned()
            }
            other => panic!("{other}"),
        }
    }

    /// As HGETALL shows it, in the order of the names.
    fn shown(&self) -> Vec<String> {
        self.fields.iter().map(|(name, (value, _))| format!("{name} {value}")).collect()
    }
}

#[test]
fn commands_agree_with_a_model() {
    const ROUNDS: u64 = if cfg!(miri) { 1 } else { 12 };
    const COMMANDS: usize = if cfg!(miri) { 200 } else { 1_500 };
    for round in 0..ROUNDS {
        let mut server = Server::new();
        server.config.hash_max_listpack_entries = [512, 4, 0][round as usize % 3];
        let (mut seed, mut model) = (round, Model::default());
        for _ in 0..COMMANDS {
            if random_below(&mut seed, 4) == 0 {
                server.advance_ms(random_below(&mut seed, 12));
            }
            if random_below(&mut seed, 30) == 0 {
                server.advance_ms(1_000);
                while server.shard.sweep_expired(3, server.now) {}
            }
            let now = server.now;
            model.drop_expired(now);
            let line = Model::line(&mut seed);
            let words: Vec<&str> = line.split(' ').collect();
            let expected = model.run(&words, now);
            model.drop_expired(now);
            assert_eq!(server.run(&line), expected, "{line} in round {round}");
            let all = server.run("hgetall h");
            let words: Vec<&str> = all.split(' ').skip(1).collect();
            let mut pairs: Vec<String> =
                words.chunks(4).map(|field| format!("{} {}", field[1], field[3])).collect();
            pairs.sort_unstable();
            assert_eq!(pairs, model.shown(), "after {line} in round {round}");
            assert_eq!(server.run("hlen h"), format!(":{}", model.fields.len()), "after {line}");
            for (name, (value, expiry)) in &model.fields {
                let at = expiry.map_or(-1, |at| at as i64);
                let reply = server.run(&format!("hpexpiretime h fields 1 {name}"));
                assert_eq!(reply, format!("*1 :{at}"), "{name} after {line}");
                assert_eq!(server.run(&format!("hstrlen h {name}")), format!(":{}", value.len()));
            }
            server.shard.db(0).check();
        }
    }
}
