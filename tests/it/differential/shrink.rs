//! Makes a failing history small: replays it without parts of it, as long as it still fails.

use super::step::{Cmd, Step};
use super::{Arena, Sent, explained};

/// Replays at most; a failure is worth some seconds.
const REPLAYS_MAX: usize = 300;

/// The commands of a history one by one, without those that silence replies, up to the first
/// occurrence of the failing command in the last step.
pub fn flatten(history: &[(usize, Step)], failing: &Cmd, length_max: usize) -> Vec<Sent> {
    let mut flat: Vec<Sent> = Vec::new();
    for (n, (connection, step)) in history.iter().enumerate() {
        let mut cmds: Vec<Cmd> = match step {
            Step::Pipeline(cmds) => cmds.clone(),
            Step::Scan { .. } | Step::Choice(_) | Step::RandomKey | Step::DbSize => Vec::new(),
        };
        if n + 1 == history.len() {
            let last = cmds.iter().position(|cmd| cmd.args() == failing.args());
            cmds.truncate(last.map_or(0, |at| at + 1));
        }
        cmds.retain(|cmd| cmd.answered || !cmd.is("CLIENT"));
        flat.extend(cmds.into_iter().map(|cmd| (*connection, cmd.answered())));
    }
    let excess = flat.len().saturating_sub(length_max);
    flat.split_off(excess)
}

/// The shortest history found whose last command is answered differently; `None` if the whole
/// one, replayed command by command, isn't.
pub fn minimal(arena: &mut Arena, flat: Vec<Sent>) -> Option<Vec<Sent>> {
    let mut kept = flat;
    if kept.is_empty() || !fails(arena, &kept) {
        return None;
    }
    let mut replays = 0;
    let mut chunk = kept.len() / 2;
    while chunk > 0 && replays < REPLAYS_MAX {
        let mut at = 0;
        // The last command is the one that fails; it stays.
        while at + 1 < kept.len() && replays < REPLAYS_MAX {
            let end = (at + chunk).min(kept.len() - 1);
            let mut fewer = kept.clone();
            fewer.drain(at..end);
            replays += 1;
            if fails(arena, &fewer) { kept = fewer } else { at = end }
        }
        chunk /= 2;
    }
    Some(kept)
}

/// Whether the last command, and no earlier one, is answered differently.
fn fails(arena: &mut Arena, sent: &[Sent]) -> bool {
    arena.reset();
    let mut ignored = explained::Tally::default();
    for (n, (connection, cmd)) in sent.iter().enumerate() {
        let difference = arena.pipeline(*connection, std::slice::from_ref(cmd), &mut ignored);
        if difference.is_some() {
            return n + 1 == sent.len();
        }
    }
    false
}
