//! Which connection of a group has the fewest requests in flight, in constant time.
//!
//! Connections with the same load stand in a queue, longest unused first: a low rate is spread over
//! all of them, and so over all the threads of a server, instead of always using the same one.

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub struct Loads {
    /// By load: the first and the last connection that have it.
    queues: Vec<(u32, u32)>,
    members: Vec<Member>,
    /// No connection has fewer.
    least: usize,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    load: u32,
    previous: u32,
    next: u32,
}

impl Loads {
    /// For connections 0 to `connections` without load, which may have `most` each.
    pub fn new(connections: usize, most: usize) -> Loads {
        let member = Member { load: 0, previous: NONE, next: NONE };
        let mut loads = Loads {
            queues: vec![(NONE, NONE); most + 1],
            members: vec![member; connections],
            least: 0,
        };
        (0..connections as u32).for_each(|connection| loads.append(connection));
        loads
    }

    /// The least loaded connection, if any has room.
    #[inline]
    pub fn with_room(&mut self) -> Option<usize> {
        while self.queues[self.least].0 == NONE {
            if self.least + 1 == self.queues.len() {
                return None;
            }
            self.least += 1;
        }
        (self.least + 1 < self.queues.len()).then(|| self.queues[self.least].0 as usize)
    }

    #[inline]
    pub fn add(&mut self, connection: usize) {
        self.change(connection as u32, |load| load + 1);
    }

    #[inline]
    pub fn remove(&mut self, connection: usize) {
        self.change(connection as u32, |load| load - 1);
    }

    fn change(&mut self, connection: u32, to: impl Fn(u32) -> u32) {
        let Member { load, previous, next } = self.members[connection as usize];
        let queue = &mut self.queues[load as usize];
        match previous {
            NONE => queue.0 = next,
            _ => self.members[previous as usize].next = next,
        }
        match next {
            NONE => queue.1 = previous,
            _ => self.members[next as usize].previous = previous,
        }
        self.members[connection as usize].load = to(load);
        self.append(connection);
    }

    fn append(&mut self, connection: u32) {
        let load = self.members[connection as usize].load;
        let queue = &mut self.queues[load as usize];
        let last = queue.1;
        queue.1 = connection;
        match last {
            NONE => queue.0 = connection,
            _ => self.members[last as usize].next = connection,
        }
        let member = &mut self.members[connection as usize];
        (member.previous, member.next) = (last, NONE);
        self.least = self.least.min(load as usize);
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn agrees_with_a_search_over_all() {
        let mut rng = SmallRng::seed_from_u64(5);
        for (connections, most) in [(1, 1), (3, 1), (7, 4), (50, 16)] {
            let mut loads = Loads::new(connections, most);
            let mut model = vec![0; connections];
            for _ in 0..20_000 {
                let least = *model.iter().min().unwrap();
                let chosen = loads.with_room();
                assert_eq!(chosen.is_some(), least < most);
                if let Some(chosen) = chosen {
                    assert_eq!(model[chosen], least);
                }
                // Phases of more arrivals and phases of more replies reach both ends.
                let busy = rng.random_bool(0.5);
                for _ in 0..rng.random_range(0..20) {
                    if rng.random_bool(if busy { 0.8 } else { 0.2 }) {
                        if let Some(chosen) = loads.with_room() {
                            model[chosen] += 1;
                            loads.add(chosen);
                        }
                    } else {
                        let connection = rng.random_range(0..connections);
                        if model[connection] > 0 {
                            model[connection] -= 1;
                            loads.remove(connection);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn idle_connections_take_turns() {
        let mut loads = Loads::new(3, 2);
        let mut order = Vec::new();
        for _ in 0..6 {
            let chosen = loads.with_room().unwrap();
            loads.add(chosen);
            loads.remove(chosen);
            order.push(chosen);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }
}
