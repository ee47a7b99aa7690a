//! HSCAN: all fields of a hash, a few at a time.

use super::form::{Form, HashRef};
use super::{DOCS, ROW};
use crate::commands::scanning::{Names, ScanOptions, parse_cursor};
use crate::commands::{
    Command, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread, reply_bytes_max,
};
use crate::protocol::Args;
use crate::store::value::hash::Field;
use crate::text::number::Digits;

pub const HSCAN: Command = Command {
    name: "hscan",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(hscan, Spread::OneKey),
    docs: Docs {
        summary: "Returns some fields of a hash with their values and the cursor to go on with; 0 \
                  begins and ends.",
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) until the cursor is 0 again, where N is the number \
                     of fields.",
        arguments: "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        ..DOCS
    },
    tips: &["nondeterministic_output"],
    ..ROW
};

fn hscan(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let cursor = parse_cursor(args.at(2))?;
    let bytes_max = reply_bytes_max(context.config);
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let hash = found.map(|entry| HashRef::new(entry, context.now)).transpose()?;
    let mut page = Page::default();
    let next = match hash {
        None => 0,
        Some(hash) => {
            page.fill(hash, cursor, &ScanOptions::parse_of_hash(args.from(3))?, bytes_max)
        }
    };
    context.reply.array(2);
    context.reply.bulk_integer(next as i64);
    page.names.write(&mut context.reply);
    Ok(())
}

/// What one call shows.
#[derive(Default)]
struct Page {
    /// Names and, unless they are not wanted, values.
    names: Names,
    /// Fields that have been looked at, and at least one for each look at a table.
    seen: usize,
}

impl Page {
    /// Shows fields from the cursor on, and says where to go on: of a packed run all, of a table
    /// about as many as asked for.
    fn fill(
        &mut self,
        hash: HashRef<'_>,
        mut cursor: u64,
        options: &ScanOptions<'_>,
        bytes_max: usize,
    ) -> u64 {
        let Form::Table(table) = hash.form() else {
            hash.visit(|field| self.show(field, options));
            return 0;
        };
        loop {
            cursor = table.scan(cursor, hash.now(), |field| self.show(field, options));
            self.seen += 1;
            if cursor == 0 || self.seen >= options.count || self.names.bytes() > bytes_max {
                return cursor;
            }
        }
    }

    fn show(&mut self, field: Field<'_>, options: &ScanOptions<'_>) {
        self.seen += 1;
        let mut digits = Digits::default();
        let name = field.name.text(&mut digits);
        if options.pattern.matches(name) {
            self.names.push(name);
            if options.with_values {
                self.names.push(field.value.text(&mut digits));
            }
        }
    }
}
