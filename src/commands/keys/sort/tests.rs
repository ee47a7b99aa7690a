use crate::commands::test_support::Server;

#[test]
fn numbers_and_texts() {
    let mut server = Server::new();
    server.check(&[
        ("sort none", "*0"),
        ("rpush l 3 1 2 10 -1", ":5"),
        ("sort l", "*5 $2 -1 $1 1 $1 2 $1 3 $2 10"),
        ("sort l desc", "*5 $2 10 $1 3 $1 2 $1 1 $2 -1"),
        ("sort l alpha", "*5 $2 -1 $1 1 $2 10 $1 2 $1 3"),
        ("sort l alpha desc", "*5 $1 3 $1 2 $2 10 $1 1 $2 -1"),
        ("sort l limit 1 2", "*2 $1 1 $1 2"),
        ("sort l limit -1 2", "*2 $2 -1 $1 1"),
        ("sort l limit 2 -1", "*3 $1 2 $1 3 $2 10"),
        ("sort l limit 9 2", "*0"),
        ("sort l limit 1 0", "*0"),
        ("sort l by nosort", "*5 $1 3 $1 1 $1 2 $2 10 $2 -1"),
        ("sort l by nosort limit 1 2", "*2 $1 1 $1 2"),
        ("rpush l x", ":6"),
        ("sort l", "-ERR One or more scores can't be converted into double"),
        ("sort l by nosort limit 5 1", "*1 $1 x"),
        ("rpush spaces ' 2' '' 1", ":3"),
        ("sort spaces", "*3 $0  $1 1 $2  2"),
        ("sort l foo", "-ERR syntax error"),
        ("sort l limit 1", "-ERR syntax error"),
        ("sort l limit a b", "-ERR value is not an integer or out of range"),
        ("sort_ro l by nosort store d", "-ERR syntax error"),
        ("set s v", "+OK"),
        ("sort s", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}

#[test]
fn patterns_name_other_keys() {
    let mut server = Server::new();
    server.check(&[
        ("rpush l 1 2 3", ":3"),
        ("mset w1 30 w2 20 w3 10 n1 one n3 three", "+OK"),
        ("sort l by w*", "*3 $1 3 $1 2 $1 1"),
        ("sort l by w* get n*", "*3 $5 three $-1 $3 one"),
        ("sort l by w* get # get n*", "*6 $1 3 $5 three $1 2 $-1 $1 1 $3 one"),
        ("sort l by w* get plain", "*3 $-1 $-1 $-1"),
        ("sort l by n* alpha", "*3 $1 2 $1 1 $1 3"),
        ("sort l by n*", "-ERR One or more scores can't be converted into double"),
        ("sort l by none*", "*3 $1 1 $1 2 $1 3"),
        ("sort l by none* desc", "*3 $1 3 $1 2 $1 1"),
        ("sort l get w*->", "*3 $-1 $-1 $-1"),
        ("set w1-> arrow", "+OK"),
        ("sort l get w*->", "*3 $5 arrow $-1 $-1"),
    ]);
}

#[test]
fn results_are_stored_as_a_list() {
    let mut server = Server::new();
    server.check(&[
        ("rpush l 3 1 2", ":3"),
        ("sort l store d", ":3"),
        ("lrange d 0 -1", "*3 $1 1 $1 2 $1 3"),
        ("set n1 one", "+OK"),
        ("sort l get n* get # store d", ":6"),
        ("lrange d 0 -1", "*6 $3 one $1 1 $0  $1 2 $0  $1 3"),
        ("object encoding d", "$8 listpack"),
        ("sort l desc store l", ":3"),
        ("lrange l 0 -1", "*3 $1 3 $1 2 $1 1"),
        ("sort none store d", ":0"),
        ("exists d", ":0"),
    ]);
}
