//! What happens in a simulated world, line by line.

use std::fmt::Write;

use ringwell::txn::{Message, PartResult};

/// Where the lines go.
#[derive(Default)]
pub enum Trace {
    #[default]
    Off,
    Print,
    Keep(String),
}

impl Trace {
    pub fn line(&mut self, line: impl FnOnce() -> String) {
        match self {
            Trace::Off => {}
            Trace::Print => println!("{}", line()),
            Trace::Keep(lines) => {
                lines.push_str(&line());
                lines.push('\n');
            }
        }
    }
}

/// Bytes on the wire, readable.
pub fn shown(bytes: &[u8]) -> String {
    const LENGTH_MAX: usize = 400;
    let head = &bytes[..bytes.len().min(LENGTH_MAX)];
    let mut text = head.escape_ascii().to_string();
    if bytes.len() > LENGTH_MAX {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}

/// A message between cores.
pub fn described(message: &Message) -> String {
    match message {
        Message::Requests(batch) => {
            let requests = batch.requests.iter().map(|request| {
                let (client, slot) = (request.conn.index, request.sequence);
                let unit = batch.units.get(request.first_span as usize);
                let work = match unit.filter(|_| request.is_unit()) {
                    Some(unit) => format!("{unit:?}"),
                    None => format!("{:?}", batch.args(request)),
                };
                format!("\n      request {slot} of client {client}: {work}")
            });
            requests.collect()
        }
        Message::Replies(replies) => {
            let mut start = 0;
            let lines = replies.replies.iter().map(|reply| {
                let bytes = &replies.bytes[start..start + reply.len];
                start += reply.len;
                let (client, slot) = (reply.conn.index, reply.sequence);
                format!("\n      reply to request {slot} of client {client}: {}", shown(bytes))
            });
            lines.collect()
        }
        Message::Part(part) => {
            let txn = part.txn;
            let locks = part.locks.iter().map(|lock| format!("{:?} {:016x}", lock.mode, lock.hash));
            let locks: Vec<String> = match part.whole_shard {
                true => vec!["whole shard".to_owned()],
                false => locks.collect(),
            };
            let (core, number) = (txn.coordinator, txn.number);
            format!(" part of transaction {core}.{number}: {:?}, locks {locks:?}", part.work)
        }
        Message::Served { waiter, reply } => format!(" served {waiter:?}: {}", shown(reply)),
        Message::PartDone(done) => {
            let result = match &done.result {
                PartResult::Reply(reply) => shown(reply),
                other => format!("{other:?}"),
            };
            format!(" part of {}.{} done: {result}", done.txn.coordinator, done.txn.number)
        }
        Message::Release(release) => {
            let (core, number) = (release.txn.coordinator, release.txn.number);
            let changes = release.changes.as_ref().map_or(&[][..], |changes| &changes.list);
            format!(" end of transaction {core}.{number}, changes {changes:?}")
        }
        other => format!(" {other:?}"),
    }
}
