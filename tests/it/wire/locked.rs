//! What a server with a password answers before and after AUTH.

use super::{Row, row};

const NOAUTH: &str = "-NOAUTH Authentication required.\r\n";
const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const NOAUTH_HELLO: &str = "-NOAUTH HELLO must be called with the client already authenticated, \
                            otherwise the HELLO <proto> AUTH <user> <pass> option can be used to \
                            authenticate the client and select the RESP protocol version at the \
                            same time\r\n";

pub fn rows() -> Vec<Row> {
    let mut rows = before_auth();
    rows.extend(auth());
    rows.extend(limits());
    rows
}

fn before_auth() -> Vec<Row> {
    let unknown = "-ERR unknown command 'nosuch', with args beginning with: \r\n";
    vec![
        row("PING\r\n", NOAUTH),
        row("GET k\r\nSET k v\r\nECHO x\r\n", NOAUTH.repeat(3)),
        row("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", NOAUTH.repeat(2)),
        row("CLIENT ID\r\nCONFIG GET port\r\nCOMMAND COUNT\r\nINFO\r\n", NOAUTH.repeat(4)),
        row("SELECT 1\r\nCLIENT SETNAME x\r\n", NOAUTH.repeat(2)),
        // Existence and arity are told before authentication is asked for.
        row("nosuch\r\n", unknown),
        row("GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n"),
        row("HELLO\r\n", NOAUTH_HELLO).ours("the text of 7.2"),
        row("HELLO 3\r\n", NOAUTH_HELLO).ours("the text of 7.2"),
        row("HELLO 9\r\n", "-NOPROTO unsupported protocol version\r\n"),
        row("HELLO 3 SETNAME x\r\n", NOAUTH_HELLO).ours("the text of 7.2"),
        row(
            "EXEC\r\nMULTI\r\nWATCH k\r\nUNWATCH\r\n",
            format!(
                "-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n{}",
                NOAUTH.repeat(3)
            ),
        ),
        row("RESET\r\n", "+RESET\r\n"),
        row("QUIT\r\nPING\r\n", "+OK\r\n").closes(),
        row("POST / HTTP/1.1\r\n", "").closes(),
        row("Host: x\r\nPING\r\n", "").closes(),
    ]
}

fn auth() -> Vec<Row> {
    vec![
        row("AUTH s3cret\r\nPING\r\n", "+OK\r\n+PONG\r\n"),
        row("AUTH default s3cret\r\nPING\r\n", "+OK\r\n+PONG\r\n"),
        row(
            "*2\r\n$4\r\nAUTH\r\n$6\r\ns3cret\r\n*2\r\n$3\r\nGET\r\n$5\r\n<key>\r\n",
            "+OK\r\n$-1\r\n",
        ),
        row("AUTH wrong\r\nPING\r\n", format!("{WRONGPASS}{NOAUTH}")),
        row("AUTH s3cre\r\nAUTH s3cret2\r\nAUTH S3CRET\r\n", WRONGPASS.repeat(3)),
        row("AUTH \"\"\r\n", WRONGPASS),
        row("AUTH default wrong\r\nAUTH nobody s3cret\r\n", WRONGPASS.repeat(2)),
        row("*2\r\n$4\r\nAUTH\r\n$7\r\ns3cret\0\r\n", WRONGPASS),
        row("AUTH\r\n", "-ERR wrong number of arguments for 'auth' command\r\n"),
        row("AUTH a b c\r\n", "-ERR syntax error\r\n"),
        // A failed attempt takes nothing away from a client that is already in.
        row("AUTH s3cret\r\nAUTH wrong\r\nPING\r\n", format!("+OK\r\n{WRONGPASS}+PONG\r\n")),
        row("AUTH s3cret\r\nRESET\r\nPING\r\n", format!("+OK\r\n+RESET\r\n{NOAUTH}")),
        row("HELLO 3 AUTH default wrong\r\nPING\r\n", format!("{WRONGPASS}{NOAUTH}")),
        row("HELLO 3 AUTH default\r\n", "-ERR Syntax error in HELLO option 'AUTH'\r\n"),
        row(
            "HELLO 2 AUTH default s3cret SETNAME me\r\nCLIENT GETNAME\r\n",
            "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n\
             :2\r\n$2\r\nid\r\n:<id>\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\n\
             master\r\n$7\r\nmodules\r\n*0\r\n$2\r\nme\r\n",
        )
        .ours("names another version"),
    ]
}

fn limits() -> Vec<Row> {
    let multibulk = "-ERR Protocol error: unauthenticated multibulk length\r\n";
    let bulk = "-ERR Protocol error: unauthenticated bulk length\r\n";
    let ten = format!("*10\r\n$4\r\nMGET\r\n{}", "$1\r\nk\r\n".repeat(9));
    let long = format!("*2\r\n$4\r\nECHO\r\n$16384\r\n{}\r\n", "x".repeat(16384));
    let eleven_inline = format!("MGET{}\r\n", " k".repeat(10));
    vec![
        row(&ten, NOAUTH),
        row("*11\r\n$4\r\nMGET\r\n$1\r\nk\r\n", multibulk).closes(),
        row("*11\r\n", multibulk).closes(),
        row(format!("PING\r\n{ten}*11\r\n"), format!("{NOAUTH}{NOAUTH}{multibulk}")).closes(),
        row(long, NOAUTH),
        row("*2\r\n$4\r\nECHO\r\n$16385\r\n", bulk).closes(),
        // Inline requests are bounded by their line, not by these two.
        row(eleven_inline, NOAUTH),
        row(
            format!("AUTH s3cret\r\n*11\r\n$6\r\nEXISTS\r\n{}", "$1\r\nk\r\n".repeat(10)),
            "+OK\r\n:0\r\n",
        ),
        row(
            format!("AUTH s3cret\r\n*2\r\n$4\r\nECHO\r\n$16385\r\n{}\r\n", "x".repeat(16385)),
            format!("+OK\r\n$16385\r\n{}\r\n", "x".repeat(16385)),
        ),
        // After RESET the client is a stranger again.
        row("AUTH s3cret\r\nRESET\r\n*11\r\n", format!("+OK\r\n+RESET\r\n{multibulk}")).closes(),
    ]
}
