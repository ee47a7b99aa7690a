//! `--cluster`: load for every master of a cluster alike, as redis-benchmark makes it, by tags in
//! the keys whose slots the masters own.

use std::fmt::Write as _;

use ringwell::txn::slot_of_key;

use crate::exec::cluster::SlotMap;
use crate::failure::Failure;
use crate::plan::{Endpoint, Target};
use crate::report::endpoint;

/// Tags for each master: more of them spread single-key tests a little over its slots.
const TAGS_PER_NODE: usize = 4;

#[derive(Clone, Debug)]
pub struct Cluster {
    pub nodes: Vec<Endpoint>,
    /// Such as `{17}`; equally many for each node.
    pub tags: Vec<String>,
}

impl Cluster {
    /// # Errors
    /// When the server is no cluster, or cannot be reached.
    pub fn ask(target: &Target) -> Result<Cluster, Failure> {
        let map = SlotMap::ask(target)?;
        let tags = tags(map.nodes.len(), |slot| map.owner(slot));
        Ok(Cluster { nodes: map.nodes, tags })
    }

    /// What redis-benchmark prints before the first test.
    pub fn introduction(&self) -> String {
        let mut text = format!("Cluster has {} master nodes:\n\n", self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let _ = writeln!(text, "Master {index}: {}", endpoint(node));
        }
        text + "\n"
    }
}

/// The first numbers whose slots are each node's. Nodes that own too few slots to be found within
/// reasonable time get fewer tags.
fn tags(nodes: usize, owner: impl Fn(u16) -> usize) -> Vec<String> {
    const TRIES: usize = 1 << 20;
    let mut found = vec![0; nodes];
    let mut tags = Vec::new();
    for number in 0..TRIES {
        let node = owner(slot_of_key(number.to_string().as_bytes()));
        if let Some(count @ 0..TAGS_PER_NODE) = found.get_mut(node) {
            *count += 1;
            tags.push(format!("{{{number}}}"));
            if tags.len() == nodes * TAGS_PER_NODE {
                break;
            }
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_gets_equally_many_tags() {
        // One node with a single slot, as after a botched resharding.
        let owner = |slot| match slot {
            0..8_000 => 0,
            8_000 => 1,
            _ => 2,
        };
        let tags = tags(3, owner);
        let mut counts = [0; 3];
        for tag in &tags {
            counts[owner(slot_of_key(tag.as_bytes()))] += 1;
        }
        assert_eq!(counts, [TAGS_PER_NODE; 3]);
    }
}
