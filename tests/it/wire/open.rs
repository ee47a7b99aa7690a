//! What a server without a password answers; `proto-max-bulk-len` is 1 MB.

use super::{Row, row};

pub fn rows() -> Vec<Row> {
    let mut rows = inline();
    rows.extend(multibulk());
    rows.extend(skipped());
    rows.extend(protocol_errors());
    rows.extend(closing());
    rows.extend(errors());
    rows.extend(connection());
    rows.extend(resp3());
    rows.extend(strings());
    rows.extend(keys());
    rows.extend(lists());
    rows.extend(hashes());
    rows.extend(sets());
    rows.extend(sorted_sets());
    rows
}

fn inline() -> Vec<Row> {
    let unbalanced = "-ERR Protocol error: unbalanced quotes in request\r\n";
    vec![
        row("PING\r\n", "+PONG\r\n"),
        row("ping\n", "+PONG\r\n"),
        row("  PiNg \t hello  \r\n", "$5\r\nhello\r\n"),
        row("PING\r\nPING a\nPING b\r\n", "+PONG\r\n$1\r\na\r\n$1\r\nb\r\n"),
        row("ECHO \"a b\"\r\n", "$3\r\na b\r\n"),
        row("ECHO \"\\x41\\n\\r\\t\\a\\b\\\"\\q\"\r\n", "$8\r\nA\n\r\t\x07\x08\"q\r\n"),
        row("ECHO 'a\\'b\\n'\r\n", "$5\r\na'b\\n\r\n"),
        row("ECHO \"\"\r\nECHO ''\r\n", "$0\r\n\r\n$0\r\n\r\n"),
        row("ECHO a\"b c\"\r\n", "$4\r\nab c\r\n"),
        row("SET <key> v\r\nGET <key>\r\n", "+OK\r\n$1\r\nv\r\n"),
        row("ECHO \"a\r\n", unbalanced).closes(),
        row("ECHO 'a\r\n", unbalanced).closes(),
        row("ECHO \"a\"b\r\n", unbalanced).closes(),
        row("PING\r\nECHO 'a'b\r\nPING\r\n", format!("+PONG\r\n{unbalanced}")).closes(),
        row(
            "nosuch a b\r\n",
            "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b' \r\n",
        ),
    ]
}

fn multibulk() -> Vec<Row> {
    let long = "x".repeat(40_000);
    vec![
        row("*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
        row("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "$0\r\n\r\n"),
        row("*2\r\n$4\r\nECHO\r\n$6\r\n\r\n$3\r\n\r\n", "$6\r\n\r\n$3\r\n\r\n"),
        row(b"*2\r\n$4\r\nECHO\r\n$3\r\n\0\xff\n\r\n", b"$3\r\n\0\xff\n\r\n"),
        row(
            "*3\r\n$3\r\nSET\r\n$5\r\n<key>\r\n$2\r\nab\r\n*2\r\n$3\r\nGET\r\n$5\r\n<key>\r\n",
            "+OK\r\n$2\r\nab\r\n",
        ),
        row(
            format!("*2\r\n$4\r\nECHO\r\n$40000\r\n{long}\r\nPING\r\n"),
            format!("$40000\r\n{long}\r\n+PONG\r\n"),
        ),
        // The two bytes behind a bulk string are skipped, whatever they are.
        row("*1\r\n$4\r\nPINGxy*1\r\n$4\r\nPING\r\n", "+PONG\r\n+PONG\r\n"),
        row(
            "*1\r\n$5\r\nPING\r\n\r\n",
            "-ERR unknown command 'PING ', with args beginning with: \r\n",
        ),
        row(
            "*1\r\n$0\r\n\r\nPING\r\n",
            "-ERR unknown command '', with args beginning with: \r\n+PONG\r\n",
        ),
        // Several kinds in one go.
        row(
            "PING\r\n*1\r\n$4\r\nPING\r\n\r\n*0\r\nPING\n*-1\r\n*1\r\n$4\r\nping\r\n",
            "+PONG\r\n".repeat(4),
        ),
        row("*1\r\n$4\r\nPING\r\n".repeat(40), "+PONG\r\n".repeat(40)),
    ]
}

/// Requests that are no requests; the parser's state must be clean behind them.
fn skipped() -> Vec<Row> {
    let ping = "*1\r\n$4\r\nPING\r\n";
    vec![
        row("\r\n", ""),
        row("\n", ""),
        row("   \r\n", ""),
        row("*0\r\n", ""),
        row("*-1\r\n", ""),
        row("*-10\r\n", ""),
        row(format!("\r\n{ping}"), "+PONG\r\n"),
        row(format!("\n\r\n\n{ping}"), "+PONG\r\n"),
        row(format!("*0\r\n{ping}"), "+PONG\r\n"),
        row(format!("*-1\r\n{ping}"), "+PONG\r\n"),
        row("*0\r\nPING\r\n", "+PONG\r\n"),
        row("*-1\r\nPING\n", "+PONG\r\n"),
        row(format!("*0\r\n*-1\r\n\r\n*0\r\n\n{ping}*0\r\nECHO a\r\n"), "+PONG\r\n$1\r\na\r\n"),
    ]
}

fn protocol_errors() -> Vec<Row> {
    let mut rows = Vec::new();
    let multibulk = "-ERR Protocol error: invalid multibulk length\r\n";
    for count in ["+1", "01", " 1", "1 ", "", "a", "-", "1a", "2147483648", "9223372036854775808"] {
        rows.push(row(format!("*{count}\r\n"), multibulk).closes());
    }
    rows.push(row("*1048577\r\n", multibulk).closes().ours("Redis allows INT_MAX"));
    let bulk = "-ERR Protocol error: invalid bulk length\r\n";
    let lengths =
        ["+4", "04", " 4", "4 ", "", "a", "-", "-1", "-2", "4a", "1048577", "9223372036854775808"];
    for length in lengths {
        rows.push(row(format!("*1\r\n${length}\r\nPING\r\n"), bulk).closes());
    }
    for (first, shown) in [(":", ":"), ("+", "+"), ("P", "P"), ("*", "*"), ("\r", " ")] {
        rows.push(
            row(
                format!("*1\r\n{first}4\r\nPING\r\n"),
                format!("-ERR Protocol error: expected '$', got '{shown}'\r\n"),
            )
            .closes(),
        );
    }
    let much = "1".repeat(66_000);
    let too_big = |what: &str| format!("-ERR Protocol error: too big {what}\r\n");
    rows.push(row(&much, too_big("inline request")).closes());
    rows.push(row(format!("*{much}"), too_big("mbulk count string")).closes());
    rows.push(row(format!("*1\r\n${much}"), too_big("bulk count string")).closes());
    // A line feed alone does not end a header line.
    rows.push(row(format!("*1\n{much}"), too_big("mbulk count string")).closes());
    rows.push(row("*1\n$4\r\nPING\r\n", multibulk).closes());
    rows.push(row("*1\r\n$4\nPING\r\n", bulk).closes());
    // What came before is answered, what comes after is not run.
    rows.push(row("PING\r\n*x\r\nPING\r\n", format!("+PONG\r\n{multibulk}")).closes());
    rows.push(row("PING\r\n*1\r\n$x\r\nPING\r\n", format!("+PONG\r\n{bulk}")).closes());
    rows
}

fn closing() -> Vec<Row> {
    let mut rows = vec![
        row("QUIT\r\n", "+OK\r\n").closes(),
        row("*1\r\n$4\r\nquit\r\nPING\r\n", "+OK\r\n").closes(),
    ];
    for word in ["POST", "post", "PoSt", "Host:", "host:", "HOST:"] {
        rows.push(row(format!("{word} / x\r\nPING\r\n"), "").closes());
        let length = word.len();
        rows.push(row(format!("*1\r\n${length}\r\n{word}\r\n"), "").closes());
    }
    rows
}

fn errors() -> Vec<Row> {
    let long = "z".repeat(200);
    let cut = "z".repeat(128);
    let arity = |name: &str| format!("-ERR wrong number of arguments for '{name}' command\r\n");
    vec![
        row(
            "*3\r\n$3\r\nfoo\r\n$4\r\na\r\nb\r\n$1\r\nc\r\n",
            "-ERR unknown command 'foo', with args beginning with: 'a  b' 'c' \r\n",
        ),
        row(
            format!("{long} x\r\n"),
            format!("-ERR unknown command '{cut}', with args beginning with: 'x' \r\n"),
        ),
        row(
            format!("foo {long} x\r\n"),
            format!("-ERR unknown command 'foo', with args beginning with: '{cut}' \r\n"),
        ),
        row("GET\r\n", arity("get")),
        row("get a b\r\n", arity("get")),
        row("MSET a\r\n", arity("mset")),
        row("MSET a b c\r\n", arity("mset")),
        row("CLIENT\r\n", arity("client")),
        row("CLIENT GETNAME x\r\n", arity("client|getname")),
        row("CONFIG GET\r\n", arity("config|get")),
        row("OBJECT ENCODING\r\n", arity("object|encoding")),
        row("CLIENT nosuch\r\n", "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.\r\n"),
        row("CONFIG nosuch a\r\n", "-ERR unknown subcommand 'nosuch'. Try CONFIG HELP.\r\n"),
        row("SET k v EX\r\n", "-ERR syntax error\r\n"),
        row("SET k v EX 0\r\n", "-ERR invalid expire time in 'set' command\r\n"),
        row("SET k v EX x\r\n", "-ERR value is not an integer or out of range\r\n"),
        row("SELECT 16\r\nSELECT -1\r\n", "-ERR DB index is out of range\r\n".repeat(2)),
        row("SELECT x\r\n", "-ERR value is not an integer or out of range\r\n"),
        row("SHUTDOWN nosuch\r\n", "-ERR syntax error\r\n"),
        row("SHUTDOWN ABORT\r\n", "-ERR No shutdown in progress.\r\n"),
        row("SWAPDB 0 x\r\n", "-ERR invalid second DB index\r\n"),
        row("COPY a b DB 16\r\n", "-ERR DB index is out of range\r\n"),
        row(
            "EXPIRE k 1 NX GT\r\n",
            "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n",
        ),
        row("EXPIRE k 9223372036854775807\r\n", "-ERR invalid expire time in 'expire' command\r\n"),
        row("OBJECT FREQ nosuch\r\n", "$-1\r\n"),
        row("MEMORY\r\n", arity("memory")),
        row("MEMORY USAGE\r\n", arity("memory|usage")),
        row("MEMORY STATS x\r\n", arity("memory|stats")),
        row("MEMORY PURGE x\r\n", arity("memory|purge")),
        row("MEMORY nosuch\r\n", "-ERR unknown subcommand 'nosuch'. Try MEMORY HELP.\r\n"),
        row("MEMORY USAGE nosuch\r\n", "$-1\r\n"),
        row("MEMORY USAGE nosuch SAMPLES 0\r\nMEMORY PURGE\r\n", "$-1\r\n+OK\r\n"),
        row("MEMORY USAGE nosuch SAMPLES\r\n", "-ERR syntax error\r\n"),
        row("MEMORY USAGE nosuch SAMPLES -1\r\n", "-ERR syntax error\r\n"),
        row("MEMORY USAGE nosuch 3 SAMPLES\r\n", "-ERR syntax error\r\n"),
        row("MEMORY USAGE nosuch SAMPLES 3 4\r\n", "-ERR syntax error\r\n"),
        row(
            "MEMORY USAGE nosuch SAMPLES x\r\n",
            "-ERR value is not an integer or out of range\r\n",
        ),
        row("SET <key> v\r\nMEMORY USAGE <key>\r\n", "+OK\r\n:<id>\r\n"),
        row(
            "DEBUG SLEEP 0\r\n",
            "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.\r\n",
        ),
        row("COMMAND GETKEYS nosuch x\r\n", "-ERR Invalid command specified\r\n"),
        row("COMMAND GETKEYS PING x\r\n", "-ERR The command has no key arguments\r\n"),
        row(
            "COMMAND GETKEYS GET a b\r\n",
            "-ERR Invalid number of arguments specified for command\r\n",
        ),
    ]
}

fn connection() -> Vec<Row> {
    vec![
        row("CLIENT GETNAME\r\n", "$-1\r\n"),
        row("CLIENT SETNAME me\r\nCLIENT GETNAME\r\n", "+OK\r\n$2\r\nme\r\n"),
        row("CLIENT ID\r\n", ":<id>\r\n"),
        row("CLIENT REPLY ON\r\n", "+OK\r\n"),
        row("CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\nPING a\r\n", "+OK\r\n$1\r\na\r\n"),
        row("CLIENT REPLY SKIP\r\nPING\r\nPING a\r\n", "$1\r\na\r\n"),
        row("CLIENT NO-EVICT ON\r\n", "+OK\r\n"),
        row("CLIENT NO-TOUCH ON\r\n", "+OK\r\n").ours("new in 7.2"),
        row("CLIENT SETINFO LIB-NAME x\r\n", "+OK\r\n").ours("new in 7.2"),
        row("CLIENT UNBLOCK 999999999\r\n", ":0\r\n"),
        row("CLIENT KILL ID 999999999\r\n", ":0\r\n"),
        row("CLIENT KILL 1.2.3.4:5\r\n", "-ERR No such client\r\n"),
        row("SELECT 15\r\nSELECT 0\r\n", "+OK\r\n+OK\r\n"),
        row("RESET\r\n", "+RESET\r\n"),
        row(
            "AUTH x\r\n",
            "-ERR AUTH <password> called without any password configured for the \
                           default user. Are you sure your configuration is correct?\r\n",
        ),
        row("AUTH default x\r\n", "+OK\r\n"),
        row(
            "HELLO\r\n",
            "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n\
             :2\r\n$2\r\nid\r\n:<id>\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\n\
             master\r\n$7\r\nmodules\r\n*0\r\n",
        )
        .ours("names another version"),
        row("HELLO 1\r\nHELLO 4\r\n", "-NOPROTO unsupported protocol version\r\n".repeat(2)),
        row("HELLO x\r\n", "-ERR Protocol version is not an integer or out of range\r\n"),
        row("HELLO 3 nosuch\r\n", "-ERR Syntax error in HELLO option 'nosuch'\r\n"),
        row("HELLO 3 SETNAME\r\n", "-ERR Syntax error in HELLO option 'SETNAME'\r\n"),
    ]
}

fn resp3() -> Vec<Row> {
    let hello = "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\
                 \r\n:3\r\n$2\r\nid\r\n:<id>\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n\
                 $6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
    let after_hello = |sent: &str, expected: &str| {
        row(format!("HELLO 3\r\n{sent}"), format!("{hello}{expected}"))
            .ours("HELLO names another version")
    };
    vec![
        after_hello("", ""),
        after_hello("GET <key>\r\n", "_\r\n"),
        after_hello("MGET <key> <key>\r\n", "*2\r\n_\r\n_\r\n"),
        after_hello(
            "ZADD <key> 0.5 a 7 b\r\nZRANGE <key> 0 0 WITHSCORES\r\nZSCORE <key> a\r\n\
             ZPOPMIN <key>\r\nZPOPMIN <key> 1\r\nZSCORE <key> a\r\n",
            ":2\r\n*1\r\n*2\r\n$1\r\na\r\n,0.5\r\n,0.5\r\n*2\r\n$1\r\na\r\n,0.5\r\n*1\r\n*2\r\n$1\r\nb\r\n\
             ,7\r\n_\r\n",
        ),
        after_hello("CLIENT GETNAME\r\n", "_\r\n"),
        after_hello("CONFIG GET appendonly\r\n", "%1\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"),
        after_hello("CONFIG GET nosuch\r\n", "%0\r\n"),
        after_hello(
            "CLIENT TRACKINGINFO\r\n",
            "%3\r\n$5\r\nflags\r\n~1\r\n$3\r\noff\r\n$8\r\n\
                     redirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n",
        ),
        after_hello("SET <key> 10\r\nINCRBYFLOAT <key> 0.5\r\n", "+OK\r\n$4\r\n10.5\r\n"),
        after_hello("OBJECT ENCODING <key>\r\n", "_\r\n"),
        after_hello(
            "HSET <key> a 1\r\nHGETALL <key>\r\nHRANDFIELD <key> -1 WITHVALUES\r\n",
            ":1\r\n%1\r\n$1\r\na\r\n$1\r\n1\r\n*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n",
        ),
        after_hello("RESET\r\nGET <key>\r\n", "+RESET\r\n$-1\r\n"),
        after_hello("nosuch\r\n", "-ERR unknown command 'nosuch', with args beginning with: \r\n"),
    ]
}

fn strings() -> Vec<Row> {
    vec![
        row("GET <key>\r\n", "$-1\r\n"),
        row("SET <key> v NX\r\nSET <key> w NX\r\n", "+OK\r\n$-1\r\n"),
        row("SET <key> v\r\nSET <key> w XX GET\r\n", "+OK\r\n$1\r\nv\r\n"),
        row("SET <key> v EX 1000\r\nTTL <key>\r\n", "+OK\r\n:1000\r\n"),
        row("DEL <key>\r\nINCR <key>\r\nDECRBY <key> 3\r\n", ":0\r\n:1\r\n:-2\r\n"),
        row(
            "SET <key> a\r\nINCR <key>\r\n",
            "+OK\r\n-ERR value is not an integer or out of range\r\n",
        ),
        row("SET <key> ab\r\nAPPEND <key> cd\r\nSTRLEN <key>\r\n", "+OK\r\n:4\r\n:4\r\n"),
        row("SET <key> abcdef\r\nGETRANGE <key> 1 -2\r\n", "+OK\r\n$4\r\nbcde\r\n"),
        row(
            "MSET <key> 1 x<key> 2\r\nMGET <key> no x<key>\r\n",
            "+OK\r\n*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n",
        ),
        row("MSETNX <key> 1 <key> 2\r\n", ":1\r\n"),
        row(
            "MSET <key> ohmytext x<key> mynewtext\r\nLCS <key> x<key>\r\n",
            "+OK\r\n$6\r\nmytext\r\n",
        ),
        row(
            "SETRANGE <key> 1048576 x\r\n",
            "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
        ),
    ]
}

fn keys() -> Vec<Row> {
    vec![
        row("TYPE <key>\r\nTTL <key>\r\nEXISTS <key>\r\n", "+none\r\n:-2\r\n:0\r\n"),
        row("SET <key> v\r\nTYPE <key>\r\nTTL <key>\r\n", "+OK\r\n+string\r\n:-1\r\n"),
        row("SET <key> v\r\nEXPIRE <key> 100\r\nPERSIST <key>\r\n", "+OK\r\n:1\r\n:1\r\n"),
        row("SET <key> v\r\nRENAME <key> x<key>\r\nGET x<key>\r\n", "+OK\r\n+OK\r\n$1\r\nv\r\n"),
        row("DEL <key>\r\nRENAME <key> x\r\n", ":0\r\n-ERR no such key\r\n"),
        row("OBJECT ENCODING <key>\r\n", "$-1\r\n"),
        row("SET <key> 12\r\nOBJECT ENCODING <key>\r\n", "+OK\r\n$3\r\nint\r\n"),
        row("SCAN x\r\n", "-ERR invalid cursor\r\n"),
        row("SCAN 0 COUNT 0\r\n", "-ERR syntax error\r\n"),
    ]
}

fn lists() -> Vec<Row> {
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    vec![
        row(
            "RPUSH <key> a 12 \"\"\r\nLRANGE <key> 0 -1\r\nLLEN <key>\r\n",
            ":3\r\n*3\r\n$1\r\na\r\n$2\r\n12\r\n$0\r\n\r\n:3\r\n",
        ),
        row("LPOP <key>\r\nLPOP <key> 1\r\nLPOP <key> 0\r\n", "$-1\r\n*-1\r\n*-1\r\n"),
        row("LRANGE <key> 0 -1\r\nLINDEX <key> 0\r\n", "*0\r\n$-1\r\n"),
        row("LMPOP 1 <key> LEFT\r\nBLPOP <key> 0.01\r\n", "*-1\r\n*-1\r\n"),
        row("BLMOVE <key> <key> LEFT RIGHT 0.01\r\n", "*-1\r\n"),
        row(
            "LPUSH <key> a b\r\nLMPOP 1 <key> LEFT COUNT 9\r\n",
            ":2\r\n*2\r\n$5\r\n<key>\r\n*2\r\n$1\r\nb\r\n$1\r\na\r\n",
        ),
        row("RPUSH <key> a\r\nBRPOP <key> 0\r\n", ":1\r\n*2\r\n$5\r\n<key>\r\n$1\r\na\r\n"),
        row("SET <key> v\r\nRPUSH <key> a\r\nBLPOP <key> 0\r\n", format!("+OK\r\n{wrong}{wrong}")),
    ]
}

fn hashes() -> Vec<Row> {
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    vec![
        row(
            "HSET <key> a 1 b x a 2\r\nHGETALL <key>\r\nHLEN <key>\r\n",
            ":2\r\n*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\nx\r\n:2\r\n",
        ),
        row(
            "HGETALL <key>\r\nHGET <key> a\r\nHMGET <key> a b\r\n",
            "*0\r\n$-1\r\n*2\r\n$-1\r\n$-1\r\n",
        ),
        row("HSET <key> a\r\n", "-ERR wrong number of arguments for 'hset' command\r\n"),
        row("HSET <key> a 1 b\r\n", "-ERR wrong number of arguments for 'hset' command\r\n"),
        row(
            "HINCRBY <key> a 5\r\nHINCRBYFLOAT <key> a 0.5\r\nHINCRBY <key> a 1\r\n",
            ":5\r\n$3\r\n5.5\r\n-ERR hash value is not an integer\r\n",
        ),
        row("HSET <key> a 1 b 2\r\nHDEL <key> a b c\r\nEXISTS <key>\r\n", ":2\r\n:2\r\n:0\r\n"),
        row(
            "HSET <key> a 1\r\nHSCAN <key> 0\r\n",
            ":1\r\n*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n",
        ),
        row(
            "HSET <key> a 1\r\nHSCAN <key> 0 NOVALUES\r\n",
            ":1\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n",
        )
        .ours("new in Redis 7.4"),
        row("HSCAN <key> x\r\n", "-ERR invalid cursor\r\n"),
        row(
            "HSET <key> a 1 b 2\r\nHPEXPIREAT <key> 3000000000000 FIELDS 2 b c\r\n\
             HEXPIRETIME <key> FIELDS 3 a b c\r\nHKEYS <key>\r\nOBJECT ENCODING <key>\r\n",
            ":2\r\n*2\r\n:1\r\n:-2\r\n*3\r\n:-1\r\n:3000000000\r\n:-2\r\n\
             *2\r\n$1\r\nb\r\n$1\r\na\r\n$10\r\nlistpackex\r\n",
        )
        .ours("new in Redis 7.4"),
        row(
            "HSETEX <key> PXAT 3000000000000 FIELDS 1 a 1\r\nHPEXPIRETIME <key> FIELDS 1 a\r\n\
             HGETEX <key> PERSIST FIELDS 2 a b\r\nHTTL <key> FIELDS 1 a\r\n\
             HGETDEL <key> FIELDS 1 a\r\nEXISTS <key>\r\n",
            ":1\r\n*1\r\n:3000000000000\r\n*2\r\n$1\r\n1\r\n$-1\r\n*1\r\n:-1\r\n*1\r\n$1\r\n1\r\n\
             :0\r\n",
        )
        .ours("new in Redis 8.0"),
        row(
            "HSET <key> a 1\r\nHEXPIRE <key> 0 FIELDS 1 a\r\nEXISTS <key>\r\n",
            ":1\r\n*1\r\n:2\r\n:0\r\n",
        )
        .ours("new in Redis 7.4"),
        row(
            "HEXPIRE <key> 10 FIELDS 2 a\r\n",
            "-ERR The `numfields` parameter must match the number of arguments\r\n",
        )
        .ours("new in Redis 7.4"),
        row("SET <key> v\r\nHSET <key> a 1\r\nHGET <key> a\r\n", format!("+OK\r\n{wrong}{wrong}")),
        row("SET <key> v\r\nHTTL <key> x 0 a\r\n", format!("+OK\r\n{wrong}"))
            .ours("new in Redis 7.4"),
    ]
}

fn sets() -> Vec<Row> {
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    vec![
        row(
            "SADD <key> 12 -3 12\r\nSMEMBERS <key>\r\nSCARD <key>\r\n",
            ":2\r\n*2\r\n$2\r\n-3\r\n$2\r\n12\r\n:2\r\n",
        ),
        row("SMEMBERS <key>\r\nSPOP <key>\r\nSPOP <key> 1\r\n", "*0\r\n$-1\r\n*0\r\n"),
        row("SRANDMEMBER <key>\r\nSRANDMEMBER <key> -5\r\n", "$-1\r\n*0\r\n"),
        row(
            "SADD <key> a\r\nSRANDMEMBER <key> -2\r\nSPOP <key> 5\r\nEXISTS <key>\r\n",
            ":1\r\n*2\r\n$1\r\na\r\n$1\r\na\r\n*1\r\n$1\r\na\r\n:0\r\n",
        ),
        row(
            "SADD <key> \"\" x\r\nSMISMEMBER <key> x y \"\"\r\nSREM <key> x y\r\n",
            ":2\r\n*3\r\n:1\r\n:0\r\n:1\r\n:1\r\n",
        ),
        row(
            "SADD <key> 1 2 3\r\nSADD x<key> 2 3 4\r\nSINTER <key> x<key>\r\n\
             SINTERCARD 2 <key> x<key> LIMIT 1\r\nSDIFF <key> x<key>\r\n\
             SUNIONSTORE y<key> <key> x<key>\r\n",
            ":3\r\n:3\r\n*2\r\n$1\r\n2\r\n$1\r\n3\r\n:1\r\n*1\r\n$1\r\n1\r\n:4\r\n",
        ),
        row("SADD <key> a\r\nSMOVE <key> x<key> a\r\nSCARD x<key>\r\n", ":1\r\n:1\r\n:1\r\n"),
        row("SADD <key> 5\r\nSSCAN <key> 0\r\n", ":1\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\n5\r\n"),
        row("SSCAN <key> x\r\n", "-ERR invalid cursor\r\n"),
        row("SINTERCARD 0 <key>\r\n", "-ERR numkeys should be greater than 0\r\n"),
        row(
            "SINTERCARD 2 <key>\r\n",
            "-ERR Number of keys can't be greater than number of args\r\n",
        ),
        row("SPOP <key> -1\r\n", "-ERR value is out of range, must be positive\r\n"),
        row("SET <key> v\r\nSADD <key> a\r\nSUNION <key>\r\n", format!("+OK\r\n{wrong}{wrong}")),
    ]
}

fn sorted_sets() -> Vec<Row> {
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    vec![
        row(
            "ZADD <key> 1 a 2.5 b -inf c\r\nZRANGE <key> 0 -1 WITHSCORES\r\n",
            ":3\r\n*6\r\n$1\r\nc\r\n$4\r\n-inf\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$3\r\n2.5\r\n",
        ),
        row("ZSCORE <key> a\r\nZRANK <key> a\r\n", "$-1\r\n$-1\r\n"),
        row("ZRANK <key> a WITHSCORE\r\n", "*-1\r\n").ours("WITHSCORE is new in 7.2"),
        row("ZMPOP 1 <key> MIN\r\n", "*-1\r\n"),
        row("BZPOPMAX <key> 0.01\r\nZPOPMAX <key>\r\n", "*-1\r\n*0\r\n"),
        row(
            "ZADD <key> 1 a\r\nZMPOP 1 <key> MAX COUNT 5\r\nEXISTS <key>\r\n",
            ":1\r\n*2\r\n$5\r\n<key>\r\n*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n:0\r\n",
        ),
        row(
            "ZADD <key> 1 a 2 b\r\nZADD x<key> 3 b 4 c\r\nZUNIONSTORE y<key> 2 <key> x<key>\r\n\
             ZINTER 2 <key> x<key> WITHSCORES\r\nZDIFF 2 y<key> x<key>\r\n",
            ":2\r\n:2\r\n:3\r\n*2\r\n$1\r\nb\r\n$1\r\n5\r\n*1\r\n$1\r\na\r\n",
        ),
        row(
            "ZADD <key> 5 a\r\nZSCAN <key> 0\r\n",
            ":1\r\n*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n5\r\n",
        ),
        row("ZADD <key> nan a\r\n", "-ERR value is not a valid float\r\n"),
        row("ZCOUNT <key> x 1\r\n", "-ERR min or max is not a float\r\n"),
        row("ZUNION 0 <key>\r\n", "-ERR at least 1 input key is needed for 'zunion' command\r\n"),
        row(
            "SET <key> v\r\nZADD <key> 1 a\r\nZUNION 1 <key>\r\n",
            format!("+OK\r\n{wrong}{wrong}"),
        ),
    ]
}
