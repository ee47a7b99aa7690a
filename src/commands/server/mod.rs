//! Commands about the server as a whole.

mod config;
mod debug;
mod info;
mod lolwut;
mod memory;
mod module;
mod shutdown;

use super::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, Operation, Outcome,
};
use crate::protocol::Args;

pub const COMMANDS: &[Command] = &[
    config::CONFIG,
    debug::DEBUG,
    info::INFO,
    lolwut::LOLWUT,
    memory::MEMORY,
    module::MODULE,
    shutdown::SHUTDOWN,
    TIME,
];

const TIME: Command = Command {
    name: "time",
    arity: 1,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Anywhere(time),
    docs: Docs {
        summary: "Returns the server time.",
        since: "2.6.0",
        group: Group::Server,
        complexity: "O(1)",
        arguments: "",
    },
    tips: &["nondeterministic_output"],
    subcommands: &[],
};

/// Seconds and microseconds; the clock of a pass has milliseconds.
fn time(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let (seconds, micros) = (context.now / 1000, context.now % 1000 * 1000);
    context.reply.array(2);
    context.reply.bulk(seconds.to_string().as_bytes());
    context.reply.bulk(micros.to_string().as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::reply;
    use crate::protocol::resp::Version;

    #[test]
    fn time_is_seconds_and_microseconds() {
        assert_eq!(reply(&["time"], Version::Resp2), "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n");
    }
}
