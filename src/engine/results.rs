//! What comes of the results of a command's parts: the next step, or the reply.

use super::hopping::Given;
use super::merge::Merging;
use super::state::Core;
use super::transaction::{Kind, Transaction};
use crate::commands::{Merge, Row, reply_bytes_max};
use crate::protocol::reply::{Reply, Values};
use crate::txn::{PartResult, Work, planted};

/// What parts are to do next, their results being here and their locks held. Each by the number
/// of its part.
pub(super) fn next_works(core: &mut Core, transaction: &mut Transaction) -> Vec<(usize, Work)> {
    match &mut transaction.kind {
        Kind::Exec { .. } => works_of_exec(core, transaction),
        Kind::Hops(hopping) => {
            let config = &core.site.settings.config;
            let random = core.shards.home_mut().store_mut().next_random();
            let commands = &mut core.stats.commands;
            hopping.next(&mut transaction.results, Given { config, random }, commands)
        }
        _ => Vec::new(),
    }
}

/// All locks of an EXEC with watches are held. If nothing has changed, its commands are what its
/// parts are to do next; otherwise it has ended.
fn works_of_exec(core: &Core, transaction: &mut Transaction) -> Vec<(usize, Work)> {
    let Kind::Exec { then, .. } = &mut transaction.kind else { return Vec::new() };
    let some_whole = planted!(core.site, WatchesNotAgreed)
        && transaction.results.iter().any(|r| matches!(r, Some(PartResult::Held(true))));
    if then.is_empty() || !(watches_are_whole(&transaction.results) || some_whole) {
        return Vec::new();
    }
    let run_as = transaction.run_as;
    let mut works = Vec::with_capacity(then.len());
    for (part, commands) in std::mem::take(then).into_iter().enumerate() {
        if commands.is_empty() {
            let none = PartResult::Replies { bytes: Vec::new(), lens: Vec::new() };
            transaction.results[part] = Some(none);
        } else {
            works.push((part, Work::Exec { commands, run_as }));
        }
    }
    works
}

/// Whether all parts of an EXEC found what they watch as it was.
pub(super) fn watches_are_whole(results: &[Option<PartResult>]) -> bool {
    results.iter().all(|result| matches!(result, Some(PartResult::Held(true))))
}

/// Merges what the parts of a command answered.
pub(super) fn merge_parts(core: &mut Core, transaction: &mut Transaction) -> Vec<u8> {
    let mut out = Vec::new();
    let Kind::Merge { merge, owners } = &transaction.kind else { return out };
    let mut parts = Vec::with_capacity(transaction.results.len());
    for result in transaction.results.iter().flatten() {
        let PartResult::Reply(bytes) = result else { continue };
        parts.push(Values::new(bytes));
    }
    let mut reply = Reply::new(&mut out, transaction.run_as.encoding);
    merge_values(core, transaction.row, *merge, &parts, owners, &mut reply);
    out
}

/// Merges what all shards answered that had keys of a command.
pub(super) fn merge_values(
    core: &mut Core,
    row: &'static Row,
    how: Merge,
    parts: &[Values<'_>],
    owners: &[usize],
    reply: &mut Reply<'_>,
) {
    let further_parts = parts.len().saturating_sub(1) as u64;
    core.stats.commands.of(row).further_parts += further_parts;
    let random = core.shards.home_mut().store_mut().next_random();
    let bytes_max = reply_bytes_max(&core.site.settings.config);
    write_merged(core, &Merging { how, owners, random, bytes_max }, parts, reply);
}

/// Merges what the two units answered that an EXEC was taken apart into, each of them within the
/// bound of a reply.
pub(super) fn merge_unit_values(
    core: &mut Core,
    parts: &[Values<'_>],
    owners: &[usize],
    reply: &mut Reply<'_>,
) {
    let merging = Merging { how: Merge::ByKey, owners, random: 0, bytes_max: usize::MAX };
    write_merged(core, &merging, parts, reply);
}

fn write_merged(core: &mut Core, how: &Merging<'_>, parts: &[Values<'_>], reply: &mut Reply<'_>) {
    let start = reply.position();
    if let Err(error) = how.write(parts, reply) {
        core.stats.commands.count_error(&error);
        reply.truncate(start);
        reply.error_bytes(&error.message());
    }
}

/// The reply of an EXEC whose commands ran in parts; `owners[i]` is the part of command `i`.
pub(super) fn merge_replies(
    results: &mut [Option<PartResult>],
    owners: &[usize],
    reply: &mut Reply<'_>,
) {
    let taken = results.iter_mut().map(Option::take);
    let parts: Option<Vec<(Vec<u8>, Vec<usize>)>> = taken
        .map(|result| match result {
            Some(PartResult::Replies { bytes, lens }) => Some((bytes, lens)),
            _ => None,
        })
        .collect();
    // A watch that is broken.
    let Some(parts) = parts else { return reply.null_array() };
    reply.array(owners.len());
    let mut next: Vec<(usize, usize)> = vec![(0, 0); parts.len()];
    for &owner in owners {
        let ((bytes, lens), (index, start)) = (&parts[owner], &mut next[owner]);
        let len = lens.get(*index).copied().unwrap_or(0);
        debug_assert!(len > 0, "a command without a reply");
        reply.raw(&bytes[*start..*start + len]);
        (*index, *start) = (*index + 1, *start + len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::resp::Version;

    #[test]
    fn replies_come_in_the_order_of_the_commands() {
        let part = |replies: &[&str]| {
            let bytes = replies.concat().into_bytes();
            let lens = replies.iter().map(|reply| reply.len()).collect();
            Some(PartResult::Replies { bytes, lens })
        };
        let merged = |results: &mut [Option<PartResult>], owners: &[usize]| {
            let mut out = Vec::new();
            merge_replies(results, owners, &mut Reply::new(&mut out, Version::Resp2));
            String::from_utf8(out).unwrap()
        };
        let mut results = [part(&["+OK\r\n", ":1\r\n"]), part(&[]), part(&["$-1\r\n"])];
        assert_eq!(merged(&mut results, &[0, 2, 0]), "*3\r\n+OK\r\n$-1\r\n:1\r\n");
        assert_eq!(merged(&mut [part(&[]), part(&[])], &[]), "*0\r\n");
        let broken = &mut [Some(PartResult::Held(true)), Some(PartResult::Held(false))];
        assert_eq!(merged(broken, &[0]), "*-1\r\n");
    }
}
