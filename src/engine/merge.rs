//! One reply from the replies of several shards.

use crate::commands::Merge;
use crate::protocol::resp::{Elements, Reply, array_elements, integer, is_null};

/// Merges the parts' replies. `owners[i]` is the part that answered for key `i` (only for
/// [`Merge::ByKey`]). Every part is a reply that this server wrote; one that is not of the form
/// its row promises makes an error reply instead of a wrong answer.
pub(super) fn merge(
    merge: Merge,
    parts: &[&[u8]],
    owners: &[usize],
    random: u64,
    reply: &mut Reply<'_>,
) {
    // An error of one part is the error of the whole.
    if let Some(error) = parts.iter().find(|part| part.starts_with(b"-")) {
        return reply.raw(error);
    }
    let start = reply.position();
    let merged = match merge {
        Merge::Ok => {
            reply.ok();
            Some(())
        }
        Merge::Sum => sum(parts, reply),
        Merge::ByKey => by_key(parts, owners, reply),
        Merge::Concatenate => concatenate(parts, reply),
        Merge::Weighted => weighted(parts, random, reply),
    };
    if merged.is_none() {
        debug_assert!(false, "{merge:?} got a reply of another form");
        reply.truncate(start);
        reply.error("ERR internal error: the shards' replies could not be merged");
    }
}

fn sum(parts: &[&[u8]], reply: &mut Reply<'_>) -> Option<()> {
    let mut total = 0i64;
    for part in parts {
        total = total.checked_add(integer(part)?)?;
    }
    reply.integer(total);
    Some(())
}

fn by_key(parts: &[&[u8]], owners: &[usize], reply: &mut Reply<'_>) -> Option<()> {
    let elements: Option<Vec<_>> = parts.iter().map(|part| Elements::of(part)).collect();
    let mut elements = elements?;
    reply.array(owners.len());
    for &owner in owners {
        reply.raw(elements.get_mut(owner)?.next()?);
    }
    elements.iter().all(Elements::is_at_end).then_some(())
}

fn concatenate(parts: &[&[u8]], reply: &mut Reply<'_>) -> Option<()> {
    let elements: Option<Vec<_>> = parts.iter().map(|part| array_elements(part)).collect();
    let elements = elements?;
    reply.array(elements.iter().map(Vec::len).sum());
    for element in elements.into_iter().flatten() {
        reply.raw(element);
    }
    Some(())
}

fn weighted(parts: &[&[u8]], random: u64, reply: &mut Reply<'_>) -> Option<()> {
    let mut choices = Vec::with_capacity(parts.len());
    let mut total = 0u64;
    for part in parts {
        let elements = array_elements(part)?;
        let [weight, element] = elements.as_slice() else { return None };
        let weight = u64::try_from(integer(weight)?).ok()?;
        if !is_null(element) {
            // A key that is there can be chosen whatever its shard says of its size.
            total = total.checked_add(weight.max(1))?;
            choices.push((total, *element));
        }
    }
    if choices.is_empty() {
        reply.null();
        return Some(());
    }
    let point = random % total;
    let (_, chosen) = choices.iter().find(|(up_to, _)| point < *up_to)?;
    reply.raw(chosen);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::resp::Version;

    fn merged(how: Merge, parts: &[&str], owners: &[usize], random: u64) -> String {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        let mut out = Vec::new();
        merge(how, &parts, owners, random, &mut Reply::new(&mut out, Version::Resp2));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn replies_become_one() {
        assert_eq!(merged(Merge::Sum, &[":2\r\n", ":3\r\n"], &[], 0), ":5\r\n");
        assert_eq!(merged(Merge::Ok, &["+OK\r\n", "+OK\r\n"], &[], 0), "+OK\r\n");
        assert_eq!(
            merged(Merge::ByKey, &["*1\r\n$1\r\nb\r\n", "*2\r\n$1\r\na\r\n$-1\r\n"], &[1, 0, 1], 0),
            "*3\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n"
        );
        assert_eq!(
            merged(Merge::Concatenate, &["*0\r\n", "*1\r\n$1\r\na\r\n"], &[], 0),
            "*1\r\n$1\r\na\r\n"
        );
        let parts = ["*2\r\n:1\r\n$1\r\na\r\n", "*2\r\n:3\r\n$1\r\nb\r\n", "*2\r\n:0\r\n$-1\r\n"];
        assert_eq!(merged(Merge::Weighted, &parts, &[], 0), "$1\r\na\r\n");
        assert_eq!(merged(Merge::Weighted, &parts, &[], 3), "$1\r\nb\r\n");
        assert_eq!(merged(Merge::Weighted, &parts[2..], &[], 3), "$-1\r\n");
        assert_eq!(merged(Merge::Sum, &[":2\r\n", "-OOM no\r\n"], &[], 0), "-OOM no\r\n");
    }
}
