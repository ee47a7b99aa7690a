//! CLIENT.

use std::fmt::Write;

use super::super::closing::{close_after_output, close_now};
use super::super::event::ConnId;
use super::super::every_core::EveryCore;
use super::super::reply::{reply_now, suppress_reply};
use super::super::state::{Core, Here, Pause};
use super::super::{blocked, connections};
use super::asked::Asked;
use crate::access::Peer;
use crate::commands::{
    ClientAttribute, ClientFilter, ClientKill, ClientType, CommandError, Outcome, ReplyMode,
    reply_bytes_max,
};
use crate::protocol::reply::{Encoding, Reply};
use crate::session::Session;

pub(super) fn id(asked: &mut Asked<'_>) -> Outcome {
    let id = asked.session.client.id as i64;
    reply_now(asked.session, |reply| reply.integer(id));
    Ok(())
}

pub(super) fn get_name(asked: &mut Asked<'_>) -> Outcome {
    let name = asked.session.client.name.clone();
    reply_now(asked.session, |reply| match name.as_slice() {
        [] => reply.null(),
        name => reply.bulk(name),
    });
    Ok(())
}

pub(super) fn set_name(asked: &mut Asked<'_>, name: &[u8]) -> Outcome {
    asked.session.client.name = name.to_vec();
    reply_now(asked.session, |reply| reply.ok());
    Ok(())
}

pub(super) fn set_info(asked: &mut Asked<'_>, attribute: ClientAttribute, value: &[u8]) -> Outcome {
    let client = &mut asked.session.client;
    match attribute {
        ClientAttribute::LibName => client.lib_name = value.to_vec(),
        ClientAttribute::LibVer => client.lib_ver = value.to_vec(),
    }
    reply_now(asked.session, |reply| reply.ok());
    Ok(())
}

pub(super) fn info(asked: &mut Asked<'_>) -> Outcome {
    asked.core.shards.home_mut().find_broken_watches();
    let line = line(asked.core, asked.session);
    reply_now(asked.session, |reply| reply.verbatim(&line));
    Ok(())
}

pub(super) fn list(asked: &mut Asked<'_>, mut filter: ClientFilter) -> Outcome {
    let ids = filter.ids.clone();
    filter.ids.sort_unstable();
    asked.every_core(List { filter, ids })
}

struct List {
    filter: ClientFilter,
    /// In the order in which they were asked for; none for all.
    ids: Vec<u64>,
}

impl EveryCore for List {
    /// A line for each client, with its id.
    type Answer = Vec<(u64, String)>;

    fn run(&self, here: &mut Here<'_>) -> Self::Answer {
        here.core.shards.home_mut().find_broken_watches();
        let chosen = here.sessions.iter().filter(|session| matches(&self.filter, session));
        chosen.map(|session| (session.client.id, line(here.core, session))).collect()
    }

    /// By age, or in the order in which ids were asked for.
    fn merge(&self, here: &mut Here<'_>, answers: &[&Self::Answer], reply: &mut Reply<'_>) {
        let bytes_max = reply_bytes_max(&here.core.site.settings.config);
        let mut lines: Vec<&(u64, String)> = answers.iter().copied().flatten().collect();
        lines.sort_unstable_by_key(|(id, _)| *id);
        let mut text = String::new();
        if self.ids.is_empty() {
            text.extend(lines.iter().map(|(_, line)| line.as_str()));
        }
        for id in &self.ids {
            if let Ok(at) = lines.binary_search_by_key(id, |(id, _)| *id) {
                text.push_str(&lines[at].1);
            }
            if text.len() > bytes_max {
                return reply.error_bytes(&CommandError::ReplyTooLong.message());
            }
        }
        reply.verbatim(&text);
    }
}

/// The fields of Redis 7.2; those of features that are not here have the values of their absence.
/// Redis's static reply buffer is here what waits for nothing but the client (`rbs`, `obl`; `rbp`:
/// the most that was sent at once lately), its list of replies the slots and what waits behind
/// replies of other shards (`oll`, `omem`).
fn line(core: &Core, session: &Session) -> String {
    let client = &session.client;
    let seconds = |since_us: u64| core.site.now.monotonic_us.saturating_sub(since_us) / 1_000_000;
    let output = &session.output;
    let unsent = output.unsent_bytes();
    let input = session.input.memory();
    let mut line = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        line,
        "id={id} addr={addr} laddr={laddr} fd={fd} name={name} age={age} idle={idle} \
         flags={flags} db={db} sub=0 psub=0 ssub=0 multi={multi} qbuf={qbuf} qbuf-free={qbuf_free} \
         argv-mem={argv_mem} multi-mem={multi_mem} rbs={rbs} rbp={rbp} obl={obl} oll={oll} omem={omem} \
         tot-mem={tot_mem} events={events} cmd={cmd} user=default redir=-1 resp={resp} \
         lib-name={lib_name} lib-ver={lib_ver}",
        id = client.id,
        addr = client.addr,
        laddr = client.laddr,
        fd = client.fd,
        name = String::from_utf8_lossy(&client.name),
        age = seconds(client.created_us),
        idle = seconds(client.active_us),
        flags = flags(core, session),
        db = client.db,
        multi = session.multi_len().map_or(-1, |len| len as i64),
        multi_mem = session.multi_memory(),
        qbuf = session.input.len(),
        qbuf_free = input - session.input.len(),
        argv_mem = session.argument_bytes(),
        rbs = output.buffer_capacity(),
        rbp = output.largest_send(),
        obl = output.sendable_bytes(),
        oll = output.awaited(),
        omem = output.queued_memory(),
        tot_mem = session.memory(),
        events = if unsent > 0 { "rw" } else { "r" },
        cmd = client.last_command.map_or("NULL", |row| row.full_name.as_str()),
        resp = match client.encoding {
            Encoding::Resp2 | Encoding::Values => 2,
            Encoding::Resp3 => 3,
        },
        lib_name = String::from_utf8_lossy(&client.lib_name),
        lib_ver = String::from_utf8_lossy(&client.lib_ver),
    );
    line
}

fn flags(core: &Core, session: &Session) -> String {
    let watching = session.watching.as_ref();
    let dirty = watching.is_some_and(|w| w.broken || core.shards.home().is_watch_broken(w.watcher));
    let all = [
        (session.multi_len().is_some(), 'x'),
        (dirty, 'd'),
        (session.is_closing(), 'c'),
        (session.is_blocked(), 'b'),
        (session.client.peer == Peer::Unix, 'U'),
        (session.client.no_evict, 'e'),
        (session.client.no_touch, 'T'),
    ];
    let set: String = all.iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| *letter).collect();
    if set.is_empty() { "N".to_owned() } else { set }
}

fn matches(filter: &ClientFilter, session: &Session) -> bool {
    let client = &session.client;
    let same = |wanted: &Option<Vec<u8>>, value: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted == value.as_bytes())
    };
    filter.except != Some(client.id)
        && (filter.ids.is_empty() || filter.ids.binary_search(&client.id).is_ok())
        && filter.kind.is_none_or(|kind| kind == ClientType::Normal)
        && same(&filter.addr, &client.addr)
        && same(&filter.laddr, &client.laddr)
        && same(&filter.user, "default")
}

pub(super) fn kill(asked: &mut Asked<'_>, kill: ClientKill) -> Outcome {
    let ClientKill { mut filter, skip_me, old_form } = kill;
    // The asking client must read its answer: it is closed at the end, if at all.
    let kill_self = !skip_me && matches(&filter, asked.session);
    let asking = kill_self.then_some(asked.session.conn);
    filter.except = Some(asked.session.client.id);
    asked.every_core(Kill { filter, old_form, asking })
}

struct Kill {
    filter: ClientFilter,
    /// `CLIENT KILL addr:port`, which is answered with `+OK` or an error instead of a count.
    old_form: bool,
    /// The asking client if it is among those to be closed, after its reply.
    asking: Option<ConnId>,
}

impl EveryCore for Kill {
    /// How many clients have been closed.
    type Answer = usize;

    fn run(&self, here: &mut Here<'_>) -> usize {
        let mut killed = 0;
        for session in here.sessions.iter_mut() {
            if matches(&self.filter, session) && !session.dropped {
                close_now(session, here.outbox);
                killed += 1;
            }
        }
        killed
    }

    fn merge(&self, here: &mut Here<'_>, answers: &[&usize], reply: &mut Reply<'_>) {
        let killed = answers.iter().copied().sum::<usize>() + usize::from(self.asking.is_some());
        match (self.old_form, killed) {
            (false, killed) => reply.integer(killed as i64),
            (true, 0) => reply.error("ERR No such client"),
            (true, _) => reply.ok(),
        }
        if let Some(session) = self.asking.and_then(|conn| here.sessions.get_mut(conn)) {
            close_after_output(session);
        }
    }
}

pub(super) fn set_no_evict(asked: &mut Asked<'_>, on: bool) -> Outcome {
    asked.session.client.no_evict = on;
    reply_now(asked.session, |reply| reply.ok());
    Ok(())
}

pub(super) fn set_no_touch(asked: &mut Asked<'_>, on: bool) -> Outcome {
    asked.session.client.no_touch = on;
    reply_now(asked.session, |reply| reply.ok());
    Ok(())
}

/// Only ON is answered.
pub(super) fn reply(asked: &mut Asked<'_>, mode: ReplyMode) -> Outcome {
    let session = &mut *asked.session;
    if mode == ReplyMode::On {
        session.client.reply_mode = ReplyMode::On;
        session.client.skip_reply = false;
        reply_now(session, |reply| reply.ok());
        return Ok(());
    }
    let was_off = session.client.reply_mode == ReplyMode::Off;
    // A SKIP before this one concerned this one.
    suppress_reply(session);
    match mode {
        ReplyMode::Skip => session.client.skip_reply = !was_off,
        _ => session.client.reply_mode = ReplyMode::Off,
    }
    Ok(())
}

/// A later pause may be of another kind, but never ends an earlier one sooner.
pub(super) fn pause(asked: &mut Asked<'_>, millis: u64, writes_only: bool) -> Outcome {
    let until_us = asked.core.site.now.monotonic_us.saturating_add(millis.saturating_mul(1000));
    let until_us = asked.core.pause.map_or(until_us, |pause| pause.until_us.max(until_us));
    // Nothing may be waited for under the locks of an EXEC.
    let fenced = asked.session.exec.is_none();
    asked.every_core(SetPause { pause: Some(Pause { until_us, writes_only }), fenced })
}

pub(super) fn unpause(asked: &mut Asked<'_>) -> Outcome {
    asked.every_core(SetPause { pause: None, fenced: false })
}

struct SetPause {
    pause: Option<Pause>,
    fenced: bool,
}

impl EveryCore for SetPause {
    type Answer = ();

    fn run(&self, here: &mut Here<'_>) {
        here.core.pause = self.pause;
        if self.pause.is_none() {
            connections::end_pause(here);
        }
    }

    fn merge(&self, _: &mut Here<'_>, _: &[&()], reply: &mut Reply<'_>) {
        reply.ok();
    }

    /// What has been sent from core to core before the pause takes effect before it is answered.
    fn is_fenced(&self) -> bool {
        self.fenced
    }
}

pub(super) fn unblock(asked: &mut Asked<'_>, id: u64, with_error: bool) -> Outcome {
    asked.every_core(Unblock { id, with_error })
}

struct Unblock {
    id: u64,
    with_error: bool,
}

/// Only the core of its connection can tell whether a client waits.
impl EveryCore for Unblock {
    type Answer = bool;

    fn run(&self, here: &mut Here<'_>) -> bool {
        blocked::unblock_client(here, self.id, self.with_error)
    }

    fn merge(&self, _: &mut Here<'_>, answers: &[&bool], reply: &mut Reply<'_>) {
        reply.integer(i64::from(answers.iter().any(|unblocked| **unblocked)));
    }
}

/// There is no tracking: off, redirected to nobody, no prefixes.
pub(super) fn tracking_info(asked: &mut Asked<'_>) -> Outcome {
    reply_now(asked.session, |reply| {
        reply.map(3);
        reply.bulk(b"flags");
        reply.set(1);
        reply.bulk(b"off");
        reply.bulk(b"redirect");
        reply.integer(-1);
        reply.bulk(b"prefixes");
        reply.array(0);
    });
    Ok(())
}

pub(super) fn get_redir(asked: &mut Asked<'_>) -> Outcome {
    reply_now(asked.session, |reply| reply.integer(-1));
    Ok(())
}
