//! LOLWUT: the ripples of a stone that has just fallen into the well.

use super::{Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, Outcome};
use crate::protocol::Args;
use crate::text::number;

pub(super) const LOLWUT: Command = Command {
    name: "lolwut",
    arity: -1,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Anywhere(lolwut),
    docs: Docs {
        summary: "Displays computer art and the Redis version",
        since: "5.0.0",
        group: Group::Server,
        complexity: "",
        arguments: "[VERSION version]",
    },
    tips: &[],
    subcommands: &[],
};

const ROWS: i32 = 13;
const COLUMNS: i32 = 45;
/// From the trough of a wave to its crest.
const SHADES: &[u8] = b" .-~=~-. ";

/// Versions other than ours have no picture of their own, as in Redis.
fn lolwut(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if let (Some(option), Some(version)) = (args.get(1), args.get(2))
        && option.eq_ignore_ascii_case(b"VERSION")
    {
        number::parse_i64(version).ok_or(CommandError::NotInteger)?;
    }
    let mut text = String::new();
    // Each second the waves have moved on by one shade.
    let phase = (context.now / 1000) as usize;
    for row in 0..ROWS {
        let mut line = String::new();
        for column in 0..COLUMNS {
            line.push(shade(row, column, phase));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str("\nA stone falls into the well. Redis ver. 7.2.4 by ringwell ");
    text.push_str(env!("CARGO_PKG_VERSION"));
    text.push('\n');
    context.reply.verbatim(&text);
    Ok(())
}

/// Letters are about twice as high as wide, hence the 2 with the rows.
fn shade(row: i32, column: i32, phase: usize) -> char {
    let (down, right) = (2 * (row - ROWS / 2), column - COLUMNS / 2);
    let distance = f64::from(down * down + right * right).sqrt();
    if distance > f64::from(COLUMNS / 2) {
        return ' ';
    }
    let steps = SHADES.len() - 1;
    let outward = distance.round() as usize + steps - phase % steps;
    char::from(SHADES[outward % steps])
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::reply;
    use crate::protocol::resp::Version;

    #[test]
    fn ends_with_the_versions() {
        let text = reply(&["lolwut"], Version::Resp2);
        assert!(text.lines().last().is_some_and(|line| line.is_empty()));
        assert!(text.contains("Redis ver. 7.2.4 by ringwell 0."), "{text}");
        assert_eq!(
            reply(&["lolwut", "version", "x"], Version::Resp2),
            "-ERR value is not an integer or out of range\r\n"
        );
    }
}
