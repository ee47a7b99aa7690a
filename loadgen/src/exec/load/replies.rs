//! What replies mean: which request each answers, how that ended, what is to be verified.

use super::super::pending::Pending;
use super::{Connection, Load, Source, Tally, WRONG_EXAMPLES_MAX};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::reply::{Kind, Reply};
use crate::stats::{Ending, Recording, Times};
use crate::workload::verify::Check;
use crate::workload::{Generator, Request, Verify};

impl Load<'_> {
    /// Bytes that the connection received, read at `now_ns`.
    ///
    /// # Errors
    /// What ends the run: bytes that are not RESP, an error as the very first reply, or while
    /// preloading.
    pub fn received(&mut self, index: usize, bytes: &[u8], now_ns: i64) -> Result<(), Failure> {
        let Load {
            plan,
            connections,
            recording,
            generator,
            tally,
            fills,
            source,
            routing,
            any_reply,
            ..
        } = self;
        let connection = &mut connections[index];
        let mut rest = bytes;
        let mut answered = 0;
        let mut alike = Alike::default();
        while !rest.is_empty() {
            let (used, reply) = connection.decoder.decode(rest).map_err(|malformed| {
                Failure::run(format!("the server answers what is no reply: {}", malformed.0))
            })?;
            rest = &rest[used..];
            let Some(reply) = reply else { break };
            if reply.kind == Kind::Push {
                continue;
            }
            if connection.in_flight.len() == connection.unsent {
                return Err(unasked());
            }
            let Some(pending) = connection.in_flight.pop_front() else { return Err(unasked()) };
            answered += 1;
            let ending = if reply.kind == Kind::Error {
                if reply.text.starts_with(b"MOVED ") {
                    tally.moved += u64::from(pending.is_measured());
                    routing.iter().for_each(|routing| routing.router.note_moved());
                } else if !*any_reply || matches!(source, Source::Preload(_)) {
                    let preloading = matches!(source, Source::Preload(_));
                    return Err(refused(plan, preloading, pending.command(), &reply));
                }
                if pending.is_measured() {
                    // Slot and address would make each of these an error of its own.
                    let is_moved = reply.text.starts_with(b"MOVED ");
                    let text = if is_moved { b"MOVED" } else { reply.text };
                    recording.note_error(&String::from_utf8_lossy(text));
                }
                Ending::Error
            } else if !pending.can_miss() {
                Ending::Done
            } else if reply.is_miss() {
                if let Some(key) = pending.fill_on_miss() {
                    fills.missed(key, now_ns);
                }
                Ending::Miss
            } else {
                Ending::Hit
            };
            *any_reply = true;
            if pending.is_verified() {
                verify(generator, tally, &pending.request(), &reply);
            }
            if pending.is_measured() {
                alike.add(&pending, ending, now_ns, recording);
            }
        }
        if alike.count > 0 {
            alike.record(now_ns, recording);
            tally.last_done_ns = now_ns;
        }
        self.answered(index, answered);
        Ok(())
    }

    fn answered(&mut self, index: usize, count: usize) {
        self.in_flight -= count;
        let Connection { group, member, .. } = self.connections[index];
        if matches!(self.source, Source::Closed) && self.routing.is_none() {
            if self.plan.keep_alive {
                self.become_hungry(index);
            } else if count > 0 && self.connections[index].in_flight.is_empty() {
                self.spent.push(index);
            }
            return;
        }
        for _ in 0..count {
            self.groups[group].loads.remove(member);
        }
    }
}

/// Replies of one piece of input with everything in common, recorded together.
struct Alike {
    command: usize,
    intended_ns: i64,
    sent_ns: i64,
    ending: Ending,
    count: u64,
}

impl Default for Alike {
    fn default() -> Self {
        Alike { command: 0, intended_ns: 0, sent_ns: 0, ending: Ending::Done, count: 0 }
    }
}

impl Alike {
    #[inline]
    fn add(&mut self, pending: &Pending, ending: Ending, now_ns: i64, recording: &mut Recording) {
        let Pending { intended_ns, sent_ns, .. } = *pending;
        let command = pending.command();
        let same = self.intended_ns == intended_ns
            && self.sent_ns == sent_ns
            && self.command == command
            && self.ending == ending;
        if !same {
            self.record(now_ns, recording);
            *self = Alike { command, intended_ns, sent_ns, ending, count: 0 };
        }
        self.count += 1;
    }

    #[inline]
    fn record(&self, done_ns: i64, recording: &mut Recording) {
        if self.count > 0 {
            let Alike { command, intended_ns, sent_ns, ending, count } = *self;
            let times = Times { intended_ns, sent_ns, done_ns };
            recording.record_together(command, times, ending, count);
        }
    }
}

#[cold]
fn unasked() -> Failure {
    Failure::run(
        "the server sends more replies than it got requests; commands that subscribe or monitor \
         cannot be measured",
    )
}

#[cold]
fn refused(plan: &Plan, preloading: bool, command: usize, reply: &Reply<'_>) -> Failure {
    let text = String::from_utf8_lossy(reply.text);
    let title = plan.workload.commands.get(command);
    let title = title.map_or("SET", |command| &command.title);
    let doing = if preloading { "while preloading, " } else { "" };
    let advice = match text.split(' ').next().unwrap_or_default() {
        "NOAUTH" => "give the password with -a",
        "NOPERM" => "choose another user, or change its rules",
        "OOM" => "raise the server's maxmemory, let it evict, or use fewer or smaller values",
        "WRONGTYPE" => "the key holds another type: use another prefix, or empty the database",
        "MISCONF" | "READONLY" => "the server takes no writes: see its log",
        "LOADING" => "try again when it has loaded its data",
        _ => "nothing can be measured with this command here",
    };
    Failure::run(format!("{doing}the server answers {title} with the error {text:?}; {advice}"))
}

fn verify(generator: &mut Generator, tally: &mut Tally, request: &Request, reply: &Reply<'_>) {
    match request.verify {
        Verify::Write { .. } => generator.wrote(request, reply.kind != Kind::Error),
        Verify::Read { .. } if reply.kind == Kind::Scalar => {
            let check = generator.read(request, reply.text);
            if check != Check::Ok {
                tally.wrong += 1;
                if tally.wrong_examples.len() < WRONG_EXAMPLES_MAX {
                    let key = request.key.unwrap_or_default();
                    let value = crate::reply::excerpt(reply.text);
                    let length = reply.length;
                    let what = format!("{check:?}").to_lowercase();
                    tally
                        .wrong_examples
                        .push(format!("key number {key}: {what} value of {length} bytes, {value}"));
                }
            }
        }
        _ => {}
    }
}
