//! What the length of a list tells, once the longest read of it is known.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Map;
use crate::history::{History, Op};

/// The history with every [`Op::ReadLength`] replaced by the read of as many elements as it says:
/// the first ones of the longest read. Where they cannot be told, since the key is deleted at times
/// or nobody read as many, it is left out.
pub fn resolve(history: &History) -> Cow<'_, History> {
    let ops = || history.transactions.iter().flat_map(|transaction| &transaction.ops);
    if !ops().any(|op| matches!(op, Op::ReadLength { .. })) {
        return Cow::Borrowed(history);
    }
    let deleted: HashSet<&str> =
        ops().filter(|op| matches!(op, Op::Delete { .. })).map(Op::key).collect();
    let mut longest: Map<&str, &[u64]> = Map::default();
    for op in history.transactions.iter().filter(|t| t.is_ok()).flat_map(|t| &t.ops) {
        if let Op::ReadList { key, elements } = op {
            let known = longest.entry(key).or_default();
            if elements.len() > known.len() {
                *known = elements;
            }
        }
    }
    let resolved = |op: &Op| match op {
        Op::ReadLength { key, length } => {
            let elements = longest.get(key.as_str()).copied().unwrap_or_default().get(..*length)?;
            (!deleted.contains(key.as_str())).then(|| Op::read_list(key, elements))
        }
        other => Some(other.clone()),
    };
    let mut with_lists = history.clone();
    for transaction in &mut with_lists.transactions {
        transaction.ops = transaction.ops.iter().filter_map(resolved).collect();
    }
    Cow::Owned(with_lists)
}
