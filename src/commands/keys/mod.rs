//! (being written)

use super::Command;
use crate::protocol::Args;

pub const COMMANDS: &[Command] = &[];

/// The database that COPY's DB option names, if there is one.
pub fn destination_database(command: &str, args: Args<'_>) -> Option<usize> {
    if command != "copy" {
        return None;
    }
    let options = args.from(3);
    let at = options.iter().position(|option| option.eq_ignore_ascii_case(b"db"))?;
    let index = crate::text::number::parse_u64(options.get(at + 1)?)?;
    usize::try_from(index).ok().filter(|&index| index < crate::store::DATABASES)
}
