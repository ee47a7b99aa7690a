//! Which node owns which hash slot, and what to do when that changes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::client::Client;
use super::value::Value;
use crate::failure::Failure;
use crate::plan::{Endpoint, Target};

/// Redis Cluster specification, "Key distribution model".
const SLOTS: usize = 16384;
const NOBODY: u16 = u16::MAX;

#[derive(Clone, Debug, PartialEq)]
pub struct SlotMap {
    pub nodes: Vec<Endpoint>,
    owners: Box<[u16]>,
}

impl SlotMap {
    /// Asks the first endpoint that can be reached.
    ///
    /// # Errors
    /// Unreachable, not a cluster, or a cluster that does not own all slots.
    pub fn ask(target: &Target) -> Result<SlotMap, Failure> {
        let mut failure = Failure::run("there is no endpoint to ask");
        for endpoint in &target.endpoints {
            match Self::ask_one(endpoint, target) {
                Ok(map) => return Ok(map),
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    fn ask_one(endpoint: &Endpoint, target: &Target) -> Result<SlotMap, Failure> {
        let mut client = Client::set_up(endpoint, target)?;
        let address = super::client::address(endpoint);
        match client.call(&["CLUSTER", "SLOTS"])? {
            Value::Error(text) => Err(Failure::run(format!(
                "{address} does not answer CLUSTER SLOTS ({text:?}); leave --cluster out"
            ))),
            answer => {
                let map = SlotMap::parse(&answer, endpoint).ok_or_else(|| {
                    Failure::run(format!("{address} answers CLUSTER SLOTS in an unknown shape"))
                })?;
                if map.owners.contains(&NOBODY) {
                    return Err(Failure::run(format!(
                        "the cluster of {address} has slots that no node owns; see CLUSTER INFO"
                    )));
                }
                Ok(map)
            }
        }
    }

    /// From ranges of first slot, last slot, master, replicas; a node is host, port and more. An
    /// empty or null host is the one asked.
    fn parse(answer: &Value, asked: &Endpoint) -> Option<SlotMap> {
        let mut map = SlotMap { nodes: Vec::new(), owners: vec![NOBODY; SLOTS].into() };
        for range in answer.list()? {
            let [first, last, master, ..] = range.list()? else { return None };
            let [host, port, ..] = master.list()? else { return None };
            let port = u16::try_from(port.number()?).ok()?;
            let host = match (host.text().filter(|host| !host.is_empty()), asked) {
                (Some(host), _) => host,
                (None, Endpoint::Tcp { host, .. }) => host.clone(),
                (None, Endpoint::Unix(_)) => "127.0.0.1".into(),
            };
            let node = Endpoint::Tcp { host, port };
            let index = map.nodes.iter().position(|known| *known == node).unwrap_or_else(|| {
                map.nodes.push(node);
                map.nodes.len() - 1
            });
            let first = usize::try_from(first.number()?).ok()?;
            let last = usize::try_from(last.number()?).ok()?;
            map.owners.get_mut(first..=last)?.fill(u16::try_from(index).ok()?);
        }
        Some(map)
    }

    pub fn owner(&self, slot: u16) -> usize {
        usize::from(self.owners[usize::from(slot) % SLOTS])
    }

    /// The same nodes with the slots that `newer` says. Slots of nodes that are not connected to
    /// stay where they were, where they are answered with MOVED: the report shows it.
    fn updated(&self, newer: &SlotMap) -> SlotMap {
        let mut map = self.clone();
        for (owner, new) in map.owners.iter_mut().zip(&newer.owners) {
            let node = newer.nodes.get(usize::from(*new));
            let known = self.nodes.iter().position(|known| Some(known) == node);
            if let Some(known) = known {
                *owner = known as u16;
            }
        }
        map
    }
}

/// The map in force, shared by all threads.
#[derive(Debug)]
pub struct Router {
    map: RwLock<Arc<SlotMap>>,
    /// Grows with every new map.
    version: AtomicU64,
    outdated: AtomicBool,
}

impl Router {
    pub fn new(map: SlotMap) -> Router {
        let map = RwLock::new(Arc::new(map));
        Router { map, version: AtomicU64::new(0), outdated: AtomicBool::new(false) }
    }

    pub fn map(&self) -> (Arc<SlotMap>, u64) {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        (map.clone(), self.version.load(Ordering::Acquire))
    }

    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// A node has answered MOVED.
    pub fn note_moved(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }

    /// Asks for a new map if one is needed; many MOVED answers ask once. Failing to get it changes
    /// nothing: requests go where they went.
    pub fn refresh(&self, target: &Target) {
        if !self.outdated.swap(false, Ordering::Relaxed) {
            return;
        }
        if let Ok(newer) = SlotMap::ask(target) {
            let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
            *map = Arc::new(map.updated(&newer));
            self.version.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint::Tcp { host: "10.0.0.1".into(), port }
    }

    fn slots(ranges: &[(i64, i64, &str, i64)]) -> Value {
        let range = |(first, last, host, port): &(i64, i64, &str, i64)| {
            let node = |port| {
                Value::List(vec![
                    Value::Text((*host).into()),
                    Value::Number(port),
                    Value::Text(b"id".to_vec()),
                ])
            };
            Value::List(vec![
                Value::Number(*first),
                Value::Number(*last),
                node(*port),
                node(port + 100),
            ])
        };
        Value::List(ranges.iter().map(range).collect())
    }

    #[test]
    fn masters_own_their_ranges() {
        let answer =
            slots(&[(0, 5000, "", 1), (5001, 10_000, "10.0.0.2", 2), (10_001, 16_383, "", 1)]);
        let map = SlotMap::parse(&answer, &endpoint(1)).unwrap();
        assert_eq!(map.nodes.len(), 2);
        assert_eq!(map.nodes[0], endpoint(1));
        let owners = [0, 5000, 5001, 10_000, 10_001, 16_383].map(|slot| map.owner(slot));
        assert_eq!(owners, [0, 0, 1, 1, 0, 0]);
    }

    #[test]
    fn odd_answers_are_refused() {
        for answer in [
            Value::Null,
            slots(&[(0, 16_384, "", 1)]),
            slots(&[(-1, 5, "", 1)]),
            slots(&[(0, 5, "", 70_000)]),
            Value::List(vec![Value::Number(1)]),
        ] {
            assert_eq!(SlotMap::parse(&answer, &endpoint(1)), None, "{answer:?}");
        }
    }

    #[test]
    fn an_update_moves_slots_between_known_nodes_only() {
        let old = slots(&[(0, 99, "", 1), (100, 16_383, "", 2)]);
        let old = SlotMap::parse(&old, &endpoint(1)).unwrap();
        let new = slots(&[(0, 49, "", 3), (50, 16_383, "", 1)]);
        let new = SlotMap::parse(&new, &endpoint(1)).unwrap();
        let map = old.updated(&new);
        assert_eq!(map.nodes, old.nodes);
        assert_eq!([0, 49, 50, 100, 16_383].map(|slot| map.owner(slot)), [0, 0, 0, 0, 0]);
        let back = map.updated(&old);
        assert_eq!(back, old);
    }
}
