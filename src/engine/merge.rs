//! One reply from the values that several shards answered.

use crate::commands::{CommandError, Merge};
use crate::protocol::reply::{Reply, Value, Values};

/// How the values become one reply.
pub(super) struct Merging<'a> {
    pub how: Merge,
    /// Of [`Merge::ByKey`]: the part that answered for key `i`.
    pub owners: &'a [usize],
    /// Of [`Merge::Weighted`]: what chooses.
    pub random: u64,
    /// Of [`Merge::ByKey`], which can repeat what a short request names: the longest reply, bytes.
    pub bytes_max: usize,
}

impl Merging<'_> {
    /// Merges what the parts answered, a value each.
    ///
    /// # Errors
    /// The reply would be too long, or a part is not of the form that its row promises; what has
    /// been written is to be taken back.
    pub fn write(&self, parts: &[Values<'_>], reply: &mut Reply<'_>) -> Result<(), CommandError> {
        // An error of one part is the error of the whole.
        if let Some(error) = parts.iter().find_map(Values::error) {
            reply.error_bytes(error);
            return Ok(());
        }
        let merged = match self.how {
            Merge::Ok => {
                reply.ok();
                Some(())
            }
            Merge::Sum => sum(parts, reply),
            Merge::ByKey => return self.by_key(parts, reply),
            Merge::Concatenate => concatenate(parts, reply),
            Merge::Weighted => self.weighted(parts, reply),
        };
        merged.ok_or_else(|| self.other_form())
    }

    fn by_key(&self, parts: &[Values<'_>], reply: &mut Reply<'_>) -> Result<(), CommandError> {
        let mut parts = parts.to_vec();
        let start = reply.position();
        reply.reserve(room_for(&parts, self.owners.len()).min(self.bytes_max));
        if !parts.iter_mut().all(|part| matches!(part.next(), Some(Value::Array(_)))) {
            return Err(self.other_form());
        }
        reply.array(self.owners.len());
        for &owner in self.owners {
            let copied = parts.get_mut(owner).and_then(|part| reply.copy_from(part));
            copied.ok_or_else(|| self.other_form())?;
            // Only here are the values of several shards together.
            if reply.position() - start > self.bytes_max {
                return Err(CommandError::ReplyTooLong);
            }
        }
        if !parts.iter().all(Values::is_empty) {
            return Err(self.other_form());
        }
        Ok(())
    }

    fn weighted(&self, parts: &[Values<'_>], reply: &mut Reply<'_>) -> Option<()> {
        let mut choices = Vec::with_capacity(parts.len());
        let mut total = 0u64;
        for mut part in parts.iter().copied() {
            let (Value::Array(2), Value::Integer(weight)) = (part.next()?, part.next()?) else {
                return None;
            };
            if part.clone().next()? != Value::Null {
                // A key that is there can be chosen whatever its shard says of its size.
                total = total.checked_add(u64::try_from(weight).ok()?.max(1))?;
                choices.push((total, part));
            }
        }
        if choices.is_empty() {
            reply.null();
            return Some(());
        }
        let point = self.random % total;
        let (_, chosen) = choices.iter().find(|(up_to, _)| point < *up_to)?;
        reply.values(*chosen);
        Some(())
    }

    /// Better an error than a wrong answer.
    fn other_form(&self) -> CommandError {
        debug_assert!(false, "{:?} got values of another form", self.how);
        CommandError::text("ERR internal error: the shards' replies could not be merged")
    }
}

fn sum(parts: &[Values<'_>], reply: &mut Reply<'_>) -> Option<()> {
    let mut total = 0i64;
    for mut part in parts.iter().copied() {
        let Value::Integer(count) = part.next()? else { return None };
        total = total.checked_add(count)?;
    }
    reply.integer(total);
    Some(())
}

fn concatenate(parts: &[Values<'_>], reply: &mut Reply<'_>) -> Option<()> {
    let mut parts = parts.to_vec();
    let mut elements = 0usize;
    for part in &mut parts {
        let Value::Array(len) = part.next()? else { return None };
        elements = elements.checked_add(len)?;
    }
    reply.reserve(room_for(&parts, elements));
    reply.array(elements);
    parts.into_iter().for_each(|part| reply.values(part));
    Some(())
}

/// What so many strings take at most, one of them alone a little more.
fn room_for(parts: &[Values<'_>], elements: usize) -> usize {
    /// RESP has a longer header than a value, and an end.
    const LONGER_BYTES: usize = 8;
    let bytes: usize = parts.iter().map(|part| part.bytes().len()).sum();
    bytes + elements.saturating_add(2).saturating_mul(LONGER_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::reply::Encoding;

    type Part<'a> = &'a [Value<'a>];

    fn merged_within(bytes_max: usize, how: Merge, parts: &[Part<'_>], owners: &[usize]) -> String {
        let written = |part: &Part<'_>| {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, Encoding::Values);
            part.iter().for_each(|value| reply.value(value));
            out
        };
        let parts: Vec<Vec<u8>> = parts.iter().map(written).collect();
        let parts: Vec<Values<'_>> = parts.iter().map(|part| Values::new(part)).collect();
        let mut out = Vec::new();
        let merging = Merging { how, owners, random: 3, bytes_max };
        match merging.write(&parts, &mut Reply::new(&mut out, Encoding::Resp2)) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(error) => String::from_utf8(error.message().to_vec()).unwrap(),
        }
    }

    fn merged(how: Merge, parts: &[Part<'_>], owners: &[usize]) -> String {
        merged_within(usize::MAX, how, parts, owners)
    }

    const A: Value<'_> = Value::Bulk(b"a");
    const B: Value<'_> = Value::Bulk(b"b");
    const OK: Value<'_> = Value::Simple(b"OK");

    #[test]
    fn values_become_one_reply() {
        assert_eq!(
            merged(Merge::Sum, &[&[Value::Integer(2)], &[Value::Integer(3)]], &[]),
            ":5\r\n"
        );
        assert_eq!(merged(Merge::Ok, &[&[OK], &[OK]], &[]), "+OK\r\n");
        assert_eq!(
            merged(Merge::Concatenate, &[&[Value::Array(0)], &[Value::Array(1), A]], &[]),
            "*1\r\n$1\r\na\r\n"
        );
        let error = Value::Error(b"OOM no");
        assert_eq!(merged(Merge::Sum, &[&[Value::Integer(2)], &[error]], &[]), "-OOM no\r\n");
    }

    #[test]
    fn elements_stand_in_the_order_of_the_keys() {
        let parts: [Part<'_>; 2] = [&[Value::Array(1), B], &[Value::Array(2), A, Value::Null]];
        let expected = "*3\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n";
        assert_eq!(merged(Merge::ByKey, &parts, &[1, 0, 1]), expected);
        assert_eq!(merged_within(expected.len(), Merge::ByKey, &parts, &[1, 0, 1]), expected);
        let refused = merged_within(expected.len() - 1, Merge::ByKey, &parts, &[1, 0, 1]);
        assert_eq!(refused.as_bytes(), &*CommandError::ReplyTooLong.message());
        // Those of an EXEC are of any form.
        let nested: [Part<'_>; 2] = [
            &[Value::Array(2), Value::Array(2), Value::Array(1), A, B, OK],
            &[Value::Array(1), Value::Map(1), A, Value::NullArray],
        ];
        assert_eq!(
            merged(Merge::ByKey, &nested, &[0, 1, 0]),
            "*3\r\n*2\r\n*1\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$1\r\na\r\n*-1\r\n+OK\r\n"
        );
    }

    #[test]
    fn one_of_several_is_chosen_by_weight() {
        let part = |weight, element| [Value::Array(2), Value::Integer(weight), element];
        let (light, heavy, none) = (part(1, A), part(3, B), part(0, Value::Null));
        assert_eq!(merged(Merge::Weighted, &[&heavy, &light, &none], &[]), "$1\r\na\r\n");
        assert_eq!(merged(Merge::Weighted, &[&light, &heavy, &none], &[]), "$1\r\nb\r\n");
        assert_eq!(merged(Merge::Weighted, &[&none, &none], &[]), "$-1\r\n");
    }
}
