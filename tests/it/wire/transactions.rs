//! MULTI, EXEC, DISCARD, WATCH and UNWATCH on one connection.

use super::{Row, row};

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";

pub fn rows() -> Vec<Row> {
    let mut rows = blocks();
    rows.extend(refusals());
    rows.extend(connection());
    rows.extend(watches());
    rows.extend(kept_watches());
    rows
}

/// The replies to MULTI and to so many commands that are queued.
fn queued(count: usize) -> String {
    format!("+OK\r\n{}", "+QUEUED\r\n".repeat(count))
}

fn blocks() -> Vec<Row> {
    vec![
        row("MULTI\r\nEXEC\r\n", "+OK\r\n*0\r\n"),
        row("MULTI\r\nPING\r\nEXEC\r\n", queued(1) + "*1\r\n+PONG\r\n"),
        row(
            "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$5\r\n<key>\r\n$2\r\n\r\n\r\n\
             *2\r\n$3\r\nGET\r\n$5\r\n<key>\r\n*1\r\n$4\r\nEXEC\r\n",
            queued(2) + "*2\r\n+OK\r\n$2\r\n\r\n\r\n",
        ),
        row(
            "MULTI\r\nSET <key> v\r\nINCR <key>\r\nGET <key>\r\nEXEC\r\nGET <key>\r\n",
            queued(3) + "*3\r\n+OK\r\n" + NOT_INTEGER + "$1\r\nv\r\n$1\r\nv\r\n",
        ),
        // On several shards, where there are some.
        row(
            "MULTI\r\nSET {<key>}a 1\r\nSET {<key>}b 2\r\nSET <key>c 3\r\nSET <key>d 4\r\nPING\r\n\
             GET {<key>}b\r\nGET <key>d\r\nEXEC\r\nMGET {<key>}a <key>c\r\n",
            queued(7)
                + "*7\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+PONG\r\n$1\r\n2\r\n$1\r\n4\r\n"
                + "*2\r\n$1\r\n1\r\n$1\r\n3\r\n",
        ),
        // Commands that need several shards each see what came before them.
        row(
            "MULTI\r\nMSET <key>a 1 <key>b 2 <key>c 3\r\nRENAME <key>a <key>d\r\n\
             COPY <key>d <key>e\r\nINCR <key>e\r\nMGET <key>a <key>b <key>c <key>d <key>e\r\n\
             DEL <key>a <key>b <key>c <key>d <key>e\r\nEXEC\r\n",
            queued(6)
                + "*6\r\n+OK\r\n+OK\r\n:1\r\n:2\r\n"
                + "*5\r\n$-1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n1\r\n$1\r\n2\r\n:4\r\n",
        ),
        row(
            "SET <key>x v\r\nMULTI\r\nRENAME <key>nosuch <key>y\r\nMSETNX <key>y 1 <key>x 2\r\n\
             RENAMENX <key>x <key>y\r\nEXISTS <key>x <key>y\r\nEXEC\r\n",
            format!("+OK\r\n{}*4\r\n-ERR no such key\r\n:0\r\n:1\r\n:1\r\n", queued(4)),
        ),
        row("MULTI\r\nSET <key> v\r\nDISCARD\r\nGET <key>\r\n", queued(1) + "+OK\r\n$-1\r\n"),
        row(
            "MULTI\r\nDISCARD\r\nMULTI\r\nINCR <key>\r\nEXEC\r\nINCR <key>\r\n",
            format!("+OK\r\n+OK\r\n{}*1\r\n:1\r\n:2\r\n", queued(1)),
        ),
        row("MULTI\r\nUNWATCH\r\nEXEC\r\n", queued(1) + "*1\r\n+OK\r\n"),
        row(
            "MULTI\r\nSET <key> 1\r\nKEYS <key>*\r\nEXEC\r\n",
            queued(2) + "*2\r\n+OK\r\n*1\r\n$5\r\n<key>\r\n",
        ),
        row(
            "MULTI\r\nCONFIG SET timeout 0\r\nCONFIG GET timeout\r\nSET <key> 1\r\nEXEC\r\n",
            queued(3) + "*3\r\n+OK\r\n*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n+OK\r\n",
        ),
    ]
}

fn refusals() -> Vec<Row> {
    let arity = |name: &str| format!("-ERR wrong number of arguments for '{name}' command\r\n");
    let because = "-EXECABORT Transaction discarded because of: ";
    vec![
        row("EXEC\r\n", "-ERR EXEC without MULTI\r\n"),
        row("DISCARD\r\n", "-ERR DISCARD without MULTI\r\n"),
        row("MULTI x\r\n", arity("multi")),
        row("WATCH\r\n", arity("watch")),
        row("UNWATCH x\r\n", arity("unwatch")),
        row(
            "MULTI\r\nMULTI\r\nPING\r\nEXEC\r\nEXEC\r\n",
            "+OK\r\n-ERR MULTI calls can not be nested\r\n+QUEUED\r\n*1\r\n+PONG\r\n\
             -ERR EXEC without MULTI\r\n",
        ),
        row(
            "MULTI\r\nWATCH <key>\r\nPING\r\nEXEC\r\n",
            "+OK\r\n-ERR WATCH inside MULTI is not allowed\r\n+QUEUED\r\n*1\r\n+PONG\r\n",
        ),
        row(
            "MULTI\r\nnosuch a\r\nSET <key> v\r\nEXEC\r\nGET <key>\r\n",
            format!(
                "+OK\r\n-ERR unknown command 'nosuch', with args beginning with: 'a' \r\n\
                 +QUEUED\r\n{ABORTED}$-1\r\n"
            ),
        ),
        row(
            "MULTI\r\nINCR\r\nEXEC\r\nMULTI\r\nEXEC\r\n",
            format!("+OK\r\n{}{ABORTED}+OK\r\n*0\r\n", arity("incr")),
        ),
        row(
            "MULTI\r\nCLIENT\r\nCLIENT nosuch\r\nDISCARD x\r\nEXEC\r\n",
            format!(
                "+OK\r\n{}-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.\r\n{}{ABORTED}",
                arity("client"),
                arity("discard")
            ),
        ),
        row(
            "MULTI\r\nSHUTDOWN nosave\r\nEXEC\r\n",
            format!("+OK\r\n-ERR Command not allowed inside a transaction\r\n{ABORTED}"),
        ),
        row(
            "MULTI\r\nEXEC x\r\nEXEC\r\n",
            format!(
                "+OK\r\n{because}wrong number of arguments for 'exec' command\r\n\
                 -ERR EXEC without MULTI\r\n"
            ),
        ),
        row("EXEC x\r\n", format!("{because}wrong number of arguments for 'exec' command\r\n")),
        // What is wrong with the arguments shows when the command runs.
        row(
            "MULTI\r\nSELECT abc\r\nSET <key> v ex\r\nMSET <key> 1 <key>\r\nEXEC\r\n",
            queued(3) + "*3\r\n" + NOT_INTEGER + "-ERR syntax error\r\n" + &arity("mset"),
        ),
    ]
}

fn connection() -> Vec<Row> {
    let hello = "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n";
    let rest =
        "$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
    let version = "only the version differs";
    vec![
        row(
            "MULTI\r\nSELECT 3\r\nSET <key> v\r\nSELECT 99\r\nEXEC\r\nGET <key>\r\nSELECT 0\r\nGET <key>\r\n",
            queued(3)
                + "*3\r\n+OK\r\n+OK\r\n-ERR DB index is out of range\r\n$1\r\nv\r\n+OK\r\n$-1\r\n",
        ),
        row(
            "MULTI\r\nPING\r\nCLIENT REPLY SKIP\r\nPING\r\nEXEC\r\nPING\r\nECHO x\r\n",
            queued(3) + "*3\r\n+PONG\r\n+PONG\r\n$1\r\nx\r\n",
        ),
        row(
            "MULTI\r\nPING\r\nCLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\nEXEC\r\nECHO x\r\n",
            queued(4) + "*4\r\n+PONG\r\n+OK\r\n$1\r\nx\r\n",
        ),
        row("CLIENT REPLY SKIP\r\nMULTI\r\nPING\r\nEXEC\r\n", "+QUEUED\r\n*1\r\n+PONG\r\n"),
        row(
            "MULTI\r\nSET <key> v\r\nCLIENT REPLY SKIP\r\nEXEC\r\nPING\r\nGET <key>\r\n",
            queued(2) + "*2\r\n+OK\r\n$1\r\nv\r\n",
        ),
        row(
            "MULTI\r\nGET <key>\r\nHELLO 3\r\nGET <key>\r\nEXEC\r\nGET <key>\r\nHELLO 2\r\n",
            queued(3)
                + "*3\r\n$-1\r\n%7\r\n"
                + hello
                + "$5\r\n7.2.4\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:<id>\r\n"
                + rest
                + "_\r\n_\r\n*14\r\n"
                + hello
                + "$5\r\n7.2.4\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:<id>\r\n"
                + rest,
        )
        .ours(version),
        row("MULTI\r\nPING\r\nQUIT\r\nPING\r\n", queued(1) + "+OK\r\n").closes(),
        row("MULTI\r\nRESET\r\nEXEC\r\n", "+OK\r\n+RESET\r\n-ERR EXEC without MULTI\r\n"),
        row(
            "MULTI\r\nAUTH x\r\nAUTH a b c\r\nCLIENT SETNAME n\r\nCLIENT GETNAME\r\nEXEC\r\n",
            queued(4)
                + "*4\r\n-ERR AUTH <password> called without any password configured for the \
                   default user. Are you sure your configuration is correct?\r\n\
                   -ERR syntax error\r\n+OK\r\n$1\r\nn\r\n",
        ),
    ]
}

/// WATCH, a change, and an EXEC that does nothing.
fn watches() -> Vec<Row> {
    let block = "MULTI\r\nPING\r\nEXEC\r\n";
    let broken = queued(1) + "*-1\r\n";
    let mut rows: Vec<Row> = [
        ("SET <key> v", "+OK\r\n"),
        ("SETNX <key>n v", ":1\r\n"),
        ("DEL <key>", ":1\r\n"),
        ("APPEND <key> \"\"", ":1\r\n"),
        ("INCRBY <key> 0", ":1\r\n"),
        ("EXPIRE <key> 100", ":1\r\n"),
        ("GETEX <key> EX 100", "$1\r\n1\r\n"),
        ("GETDEL <key>", "$1\r\n1\r\n"),
        ("EXPIRE <key> -1", ":1\r\n"),
        ("MOVE <key> 11", ":1\r\n"),
        ("RENAME <key> <key>x", "+OK\r\n"),
        ("COPY <key> <key>n", ":1\r\n"),
        ("MSET <key>x 1 <key>n 1", "+OK\r\n"),
        ("MSETNX <key>x 1 <key>n 1", ":1\r\n"),
        ("SETRANGE <key>n 1 x", ":2\r\n"),
    ]
    .into_iter()
    .map(|(line, reply)| {
        row(
            format!("SET <key> 1\r\nWATCH <key> <key>n\r\n{line}\r\n{block}{block}"),
            format!("+OK\r\n+OK\r\n{reply}{broken}{}*1\r\n+PONG\r\n", queued(1)),
        )
    })
    .collect();
    rows.push(row(
        format!("WATCH <key>\r\nSET <key> 1\r\nMULTI\r\nnosuch\r\nEXEC\r\n{block}"),
        format!(
            "+OK\r\n+OK\r\n+OK\r\n-ERR unknown command 'nosuch', with args beginning with: \r\n\
             {ABORTED}{}*1\r\n+PONG\r\n",
            queued(1)
        ),
    ));
    rows.push(row(
        format!("WATCH <key>\r\nSET <key> 1\r\nDISCARD\r\n{block}"),
        format!("+OK\r\n+OK\r\n-ERR DISCARD without MULTI\r\n{broken}"),
    ));
    for (line, reply) in
        [("UNWATCH", "+OK\r\n"), ("RESET", "+RESET\r\n"), ("MULTI\r\nDISCARD", "+OK\r\n+OK\r\n")]
    {
        rows.push(row(
            format!("WATCH <key> <key>x\r\nSET <key> 1\r\n{line}\r\n{block}"),
            format!("+OK\r\n+OK\r\n{reply}{}*1\r\n+PONG\r\n", queued(1)),
        ));
    }
    rows
}

/// WATCH, something that changes none of the keys, and an EXEC that runs.
fn kept_watches() -> Vec<Row> {
    [
        ("GET <key>", "$1\r\n1\r\n"),
        ("SET <key> 2 NX", "$-1\r\n"),
        ("SETNX <key> 2", ":0\r\n"),
        ("DEL <key>n", ":0\r\n"),
        ("PERSIST <key>", ":0\r\n"),
        ("GETEX <key>", "$1\r\n1\r\n"),
        ("GETEX <key> PERSIST", "$1\r\n1\r\n"),
        ("EXPIRE <key> 100 XX", ":0\r\n"),
        ("SETRANGE <key> 5 \"\"", ":1\r\n"),
        ("INCRBY <key> x", NOT_INTEGER),
        ("RENAME <key> <key>", "+OK\r\n"),
        ("RENAME <key>n <key>", "-ERR no such key\r\n"),
        ("COPY <key> <key>x", ":1\r\n"),
        ("MSETNX <key>n 1 <key> 1", ":0\r\n"),
        ("MSET <key>x 1 <key>y 1", "+OK\r\n"),
        ("SELECT 11\r\nSET <key> 1", "+OK\r\n+OK\r\n"),
    ]
    .into_iter()
    .map(|(line, reply)| {
        row(
            format!(
                "SET <key> 1\r\nWATCH <key> <key>n\r\n{line}\r\nMULTI\r\nINCR <key>\r\nEXEC\r\n"
            ),
            format!("+OK\r\n+OK\r\n{reply}{}*1\r\n:2\r\n", queued(1)),
        )
    })
    .collect()
}
