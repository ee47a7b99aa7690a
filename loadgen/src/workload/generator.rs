//! One thread's stream of requests.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use ringwell::txn::slot_of_key;

use super::commands;
use super::distribution::KeyChooser;
use super::template::{Draws, MOST_KEYS, Template};
use super::values::{Values, smallest};
use super::verify::{Check, Ledger, SHORTEST};
use crate::failure::Failure;
use crate::plan::{CommandSpec, SecondsRange, Workload};

/// What a request was, for whoever reads its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Index into [`Workload::commands`]; the filling of a miss and preloading have the index
    /// behind the last.
    pub command: usize,
    /// The number of the key, where the command has one by `__key__`.
    pub key: Option<u64>,
    /// A nil in the reply is a miss, anything else but an error a hit.
    pub can_miss: bool,
    /// After a miss, [`Generator::fill`] this key as an application would.
    pub fill_on_miss: bool,
    /// Only with verification: hand the reply to [`Generator::wrote`] or [`Generator::read`].
    pub verify: Verify,
}

/// What is to be verified of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    Nothing,
    /// Tell [`Generator::wrote`] when it is answered.
    Write {
        version: u32,
    },
    /// Give the value, if there is one, to [`Generator::read`].
    Read {
        floor: u32,
    },
}

/// Makes the requests of one thread. Every choice follows from the seed and the thread's number.
#[derive(Clone, Debug)]
pub struct Generator {
    commands: Vec<Command>,
    /// SET of a key, for preloading and after a miss.
    fill: Template,
    draws: Draws,
    thread: u64,
    threads: u64,
    /// Only with verification.
    ledger: Option<Ledger>,
    run: u32,
}

#[derive(Clone, Debug)]
struct Command {
    template: Template,
    /// The sum of the weights up to this one, as a fraction of all.
    up_to: f64,
    can_miss: bool,
    fill_on_miss: bool,
    reads: bool,
    writes: bool,
}

impl Generator {
    /// For thread `thread` of `threads`.
    ///
    /// # Errors
    /// A usage failure when the workload makes no sense: no commands or no weights, parameters out
    /// of range.
    pub fn new(
        workload: &Workload,
        seed: u64,
        thread: usize,
        threads: usize,
    ) -> Result<Self, Failure> {
        Self::make(workload, seed, thread, threads.max(1)).map_err(Failure::usage)
    }

    fn make(workload: &Workload, seed: u64, thread: usize, threads: usize) -> Result<Self, String> {
        let count = workload.keys.count;
        if count > MOST_KEYS {
            return Err(format!("{count} keys are more than 12 digits can tell apart"));
        }
        if let Some(SecondsRange { min, max }) = workload.ttl
            && (min == 0 || min > max)
        {
            return Err(format!("a TTL of {min}s-{max}s makes no sense; it begins at 1s"));
        }
        let draws = Draws {
            rng: SmallRng::seed_from_u64(seed.wrapping_add((thread as u64) << 32)),
            keys: KeyChooser::new(workload.keys.distribution, count.max(1), thread, threads)?,
            key_count: count,
            values: Values::new(&workload.values, seed)?,
        };
        let total: f64 = workload.commands.iter().map(|c| c.weight).sum();
        if workload.commands.iter().any(|c| c.weight.is_nan() || c.weight < 0.0)
            || !(total > 0.0 && total.is_finite())
        {
            return Err("weights are numbers from 0 on, and one at least is above 0".into());
        }
        let mut up_to = 0.0;
        let mut prepared = Vec::with_capacity(workload.commands.len());
        for command in &workload.commands {
            up_to += command.weight / total;
            prepared.push(Command::new(command, up_to, workload, &draws)?);
        }
        let set = ["SET", "__key__", "__value__"].map(String::from);
        Ok(Generator {
            commands: prepared,
            fill: Template::new(&set, &workload.keys.prefix, workload.ttl, &draws)?,
            draws,
            thread: thread as u64,
            threads: threads as u64,
            ledger: None,
            run: (seed ^ (seed >> 32)) as u32,
        })
    }

    /// The same with values that describe themselves, and only keys that this thread owns.
    ///
    /// # Errors
    /// A usage failure where values are too short for that, keys fewer than threads, or a command
    /// would change values in a way that cannot be followed.
    pub fn verifying(mut self, workload: &Workload) -> Result<Self, Failure> {
        let shortest = smallest(&workload.values);
        if shortest < SHORTEST {
            return Err(Failure::usage(format!(
                "values of {shortest} bytes are too short to be verified; give at least {SHORTEST}"
            )));
        }
        if workload.keys.count < self.threads {
            return Err(Failure::usage(format!(
                "to be verified, each of {} threads needs keys of its own; there are {}",
                self.threads, workload.keys.count
            )));
        }
        for CommandSpec { template, title, .. } in &workload.commands {
            let followed = commands::reads_own_string(template)
                || commands::sets_own_string(template)
                || commands::spares_strings(template);
            if !followed {
                return Err(Failure::usage(format!(
                    "{title} cannot be verified; use get, set, del, exists and the like"
                )));
            }
        }
        let count = workload.keys.count;
        self.ledger =
            Some(Ledger::new(self.run, self.thread as usize, self.threads as usize, count));
        Ok(self)
    }

    /// Appends the next request to `out`.
    #[inline]
    pub fn next(&mut self, out: &mut Vec<u8>) -> Request {
        let index = self.choose();
        let command = &self.commands[index];
        let key = if command.template.keys == 0 {
            None
        } else {
            Some(self.draws.keys.choose(&mut self.draws.rng))
        };
        let mut request = Request {
            command: index,
            key,
            can_miss: command.can_miss,
            fill_on_miss: command.fill_on_miss,
            verify: Verify::Nothing,
        };
        let mut description = None;
        if let (Some(ledger), Some(key)) = (&mut self.ledger, &mut request.key) {
            *key = own(*key, self.thread, self.threads, self.draws.key_count);
            if command.writes {
                let written = ledger.begin_write(*key);
                request.verify = Verify::Write { version: written.version };
                description = Some(written);
            } else if command.reads {
                request.verify = Verify::Read { floor: ledger.floor(*key) };
            }
        }
        command.template.append(request.key.unwrap_or(0), description, &mut self.draws, out);
        request
    }

    #[inline]
    fn choose(&mut self) -> usize {
        if self.commands.len() == 1 {
            return 0;
        }
        let at = self.draws.rng.random::<f64>();
        // Rounding may leave the last sum a little below 1.
        self.commands.iter().position(|c| at < c.up_to).unwrap_or(self.commands.len() - 1)
    }

    /// Appends a SET of `key`: to fill a miss, or to preload.
    pub fn fill(&mut self, key: u64, out: &mut Vec<u8>) -> Request {
        let description = self.ledger.as_mut().map(|ledger| ledger.begin_write(key));
        self.fill.append(key, description, &mut self.draws, out);
        let version = description.map(|d| d.version);
        Request {
            command: self.commands.len(),
            key: Some(key),
            can_miss: false,
            fill_on_miss: false,
            verify: version.map_or(Verify::Nothing, |version| Verify::Write { version }),
        }
    }

    /// The keys that this thread preloads; those of all threads are the whole key space.
    pub fn own_keys(&self) -> impl Iterator<Item = u64> + use<> {
        (self.thread..self.draws.key_count).step_by(self.threads as usize)
    }

    /// The hash slot of the request that `encoded` holds.
    pub fn slot(&self, request: &Request, encoded: &[u8]) -> u16 {
        let word =
            self.commands.get(request.command).map_or(1, |command| command.template.routing_word);
        slot_of_key(nth_word(encoded, word).unwrap_or(b""))
    }

    /// A write has been answered; `succeeded` is false for an error. Only of use with
    /// verification.
    pub fn wrote(&mut self, request: &Request, succeeded: bool) {
        if let (Some(ledger), Some(key), Verify::Write { version }) =
            (&mut self.ledger, request.key, request.verify)
        {
            ledger.end_write(key, version, succeeded);
        }
    }

    /// Judges the value that a read has returned. [`Check::Ok`] without verification.
    pub fn read(&self, request: &Request, value: &[u8]) -> Check {
        match (&self.ledger, request.key, request.verify) {
            (Some(ledger), Some(key), Verify::Read { floor }) => ledger.check(key, floor, value),
            _ => Check::Ok,
        }
    }
}

impl Command {
    fn new(
        spec: &CommandSpec,
        up_to: f64,
        workload: &Workload,
        draws: &Draws,
    ) -> Result<Self, String> {
        let words = &spec.template;
        let ttl = workload.ttl.filter(|_| commands::takes_ttl(words));
        let reads = commands::reads_own_string(words);
        let template = if spec.inline {
            Template::inline(words, &workload.keys.prefix, draws)?
        } else {
            Template::new(words, &workload.keys.prefix, ttl, draws)?
        };
        Ok(Command {
            template,
            up_to,
            can_miss: commands::nil_is_a_miss(words),
            fill_on_miss: reads && workload.on_miss.is_some() && workload.keys.count > 0,
            reads,
            writes: commands::sets_own_string(words),
        })
    }
}

/// The key nearest below (or above, at the end of the key space) that the thread owns.
fn own(key: u64, thread: u64, threads: u64, count: u64) -> u64 {
    let owned = key - key % threads + thread;
    if owned < count { owned } else { owned - threads }
}

/// The `index`th bulk string of a command as [`Template`] encodes it.
fn nth_word(encoded: &[u8], index: usize) -> Option<&[u8]> {
    let (_, mut rest) = line(encoded)?;
    for _ in 0..index {
        let (length, after) = line(rest)?;
        rest = after.get(length + 2..)?;
    }
    let (length, after) = line(rest)?;
    after.get(..length)
}

/// The number in a line such as `$12`, and what follows the line.
fn line(encoded: &[u8]) -> Option<(usize, &[u8])> {
    let end = encoded.iter().position(|byte| *byte == b'\r')?;
    let number = ringwell::text::number::parse_u64(encoded.get(1..end)?)?;
    Some((usize::try_from(number).ok()?, encoded.get(end + 2..)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::{Distribution, KeySpace, OnMiss, ValueSizes};

    fn workload(commands: &[(&str, f64)]) -> Workload {
        Workload {
            commands: commands
                .iter()
                .map(|(words, weight)| CommandSpec {
                    title: (*words).to_string(),
                    template: words.split(' ').map(String::from).collect(),
                    weight: *weight,
                    inline: false,
                })
                .collect(),
            keys: KeySpace {
                prefix: "key:".into(),
                count: 1000,
                distribution: Distribution::Uniform,
            },
            values: ValueSizes::Fixed(40),
            ttl: None,
            on_miss: None,
            preload: false,
        }
    }

    #[test]
    fn weights_are_respected() {
        let workload = workload(&[("GET __key__", 90.0), ("PING", 0.0), ("SET k v", 10.0)]);
        let mut generator = Generator::new(&workload, 1, 0, 1).expect("valid");
        let mut seen = [0_u32; 3];
        let mut out = Vec::new();
        for _ in 0..100_000 {
            out.clear();
            seen[generator.next(&mut out).command] += 1;
        }
        // The deviation is 95.
        assert!(seen[0].abs_diff(90_000) < 400, "{seen:?}");
        assert_eq!(seen[1], 0);
    }

    #[test]
    fn a_seed_decides_everything_and_threads_differ() {
        let workload = workload(&[("GET __key__", 1.0), ("SET __key__ __value__", 1.0)]);
        let stream = |seed, thread| {
            let mut generator = Generator::new(&workload, seed, thread, 2).expect("valid");
            let mut out = Vec::new();
            for _ in 0..100 {
                generator.next(&mut out);
            }
            out
        };
        assert_eq!(stream(1, 0), stream(1, 0));
        assert_ne!(stream(1, 0), stream(1, 1));
        assert_ne!(stream(1, 0), stream(2, 0));
    }

    #[test]
    fn requests_say_what_their_replies_mean() {
        let mut workload = workload(&[("get __key__", 1.0)]);
        workload.on_miss = Some(OnMiss { delay: Duration::ZERO });
        let mut generator = Generator::new(&workload, 1, 0, 1).expect("valid");
        let mut out = Vec::new();
        let request = generator.next(&mut out);
        assert!(request.can_miss && request.fill_on_miss);
        let key = request.key.expect("GET has a key");
        assert!(out.ends_with(format!("key:{key:012}\r\n").as_bytes()));

        out.clear();
        let fill = generator.fill(key, &mut out);
        assert_eq!((fill.command, fill.key, fill.can_miss), (1, Some(key), false));
        assert!(
            out.starts_with(
                format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n$40\r\n").as_bytes()
            )
        );
        assert_eq!(generator.slot(&fill, &out), slot_of_key(format!("key:{key:012}").as_bytes()));
    }

    #[test]
    fn the_slot_is_that_of_the_word_with_the_key() {
        let workload = workload(&[("EVAL script 1 a__key__ b", 1.0)]);
        let mut generator = Generator::new(&workload, 1, 0, 1).expect("valid");
        let mut out = Vec::new();
        let request = generator.next(&mut out);
        let key = format!("akey:{:012}", request.key.expect("a key"));
        assert_eq!(generator.slot(&request, &out), slot_of_key(key.as_bytes()));
    }

    #[test]
    fn with_verification_threads_share_no_key() {
        let mut workload = workload(&[("GET __key__", 1.0), ("SET __key__ __value__", 1.0)]);
        workload.keys.count = 10;
        for thread in 0..3 {
            let mut generator = Generator::new(&workload, 1, thread, 3)
                .and_then(|g| g.verifying(&workload))
                .expect("valid");
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..200 {
                let mut out = Vec::new();
                let request = generator.next(&mut out);
                seen.insert(request.key.expect("both have keys"));
                match request.verify {
                    Verify::Write { .. } => {
                        let value = &out[out.len() - 42..out.len() - 2];
                        generator.wrote(&request, true);
                        let read = Request { verify: Verify::Read { floor: 1 }, ..request };
                        assert_eq!(generator.read(&read, value), Check::Ok);
                    }
                    Verify::Read { .. } => {}
                    Verify::Nothing => panic!("{request:?} is not verified"),
                }
            }
            assert_eq!(seen, generator.own_keys().collect());
        }
    }

    #[test]
    fn senseless_workloads_are_refused() {
        let good = || workload(&[("GET __key__", 1.0), ("APPEND __key__ __value__", 1.0)]);
        let refused = |w: Workload| Generator::new(&w, 1, 0, 1).err().map(|f| f.message);
        assert!(refused(good()).is_none());
        assert!(refused(Workload { commands: Vec::new(), ..good() }).is_some());
        assert!(
            refused(Workload { ttl: Some(SecondsRange { min: 0, max: 1 }), ..good() }).is_some()
        );
        assert!(
            refused(Workload { ttl: Some(SecondsRange { min: 2, max: 1 }), ..good() }).is_some()
        );
        let mut many = good();
        many.keys.count = MOST_KEYS + 1;
        assert!(refused(many).is_some());
        for weight in [-1.0, 0.0, f64::NAN, f64::INFINITY] {
            assert!(refused(workload(&[("PING", weight)])).is_some(), "weight {weight}");
        }
        let generator = Generator::new(&good(), 1, 0, 1).expect("valid");
        let failure = generator.verifying(&good()).expect_err("APPEND cannot be followed");
        assert!(failure.message.starts_with("APPEND"), "{failure}");
    }
}
