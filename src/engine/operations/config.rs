//! CONFIG.

use std::sync::Arc;

use super::super::event::Effect;
use super::super::every_core::EveryCore;
use super::super::reply::reply_now;
use super::super::room::policy;
use super::super::shared::Settings;
use super::super::state::Here;
use super::asked::Asked;
use crate::commands::{CommandError, Outcome};
use crate::protocol::Args;
use crate::protocol::reply::Reply;

pub(super) fn get(asked: &mut Asked<'_>, patterns: Args<'_>) -> Outcome {
    let patterns: Vec<&[u8]> = patterns.iter().collect();
    let mut found = asked.core.site.settings.config.get(&patterns);
    // A percentage is how it was written; clients expect bytes.
    if let Some((_, value)) =
        found.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(b"maxmemory"))
    {
        *value = asked.core.site.maxmemory_bytes().to_string().into_bytes();
    }
    reply_now(asked.session, |reply| {
        reply.map(found.len());
        for (name, value) in &found {
            reply.bulk(name);
            reply.bulk(value);
        }
    });
    Ok(())
}

/// All of the changes or none; in force on every core before the client is told.
pub(super) fn set(asked: &mut Asked<'_>, pairs: Args<'_>) -> Outcome {
    let words: Vec<&[u8]> = pairs.iter().collect();
    let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let local = asked.session.client.peer.is_local();
    let settings = {
        let shared = Arc::clone(&asked.core.site.shared);
        let mut newest = shared.settings();
        let config = newest.config.with_changes(&pairs, local);
        let config = config.map_err(|error| CommandError::text(format!("ERR {error}")))?;
        *newest = Arc::new(Settings::new(newest.version + 1, Arc::new(config)));
        shared.host.apply(&newest.config);
        Arc::clone(&newest)
    };
    asked.every_core(Apply(settings))
}

struct Apply(Arc<Settings>);

impl EveryCore for Apply {
    type Answer = ();

    fn run(&self, here: &mut Here<'_>) {
        let core = &mut *here.core;
        if self.0.version > core.site.settings.version {
            core.site.settings = Arc::clone(&self.0);
            let shard = core.shards.home_mut();
            shard.set_config(Arc::clone(&core.site.settings.config));
            shard.store_mut().set_policy(policy(&core.site.settings.config));
            core.limit_changed();
        }
        // Without a password there is nothing left that a client could authenticate with.
        if !core.requires_password() {
            here.sessions.iter_mut().for_each(|s| s.client.authenticated = true);
        }
    }

    fn merge(&self, _: &mut Here<'_>, _: &[&()], reply: &mut Reply<'_>) {
        reply.ok();
    }
}

pub(super) fn rewrite(asked: &mut Asked<'_>) -> Outcome {
    if asked.core.site.shared.host.facts().config_file.is_empty() {
        let text = "ERR The server is running without a config file";
        return Err(CommandError::text(text));
    }
    let config = Arc::clone(&asked.core.site.shared.settings().config);
    let effect = |ticket| Effect::RewriteConfig { ticket, config };
    asked.start_effect(effect);
    Ok(())
}

pub(super) fn reset_stat(asked: &mut Asked<'_>) -> Outcome {
    asked.core.site.shared.access.reset();
    asked.every_core(ResetStat)
}

struct ResetStat;

impl EveryCore for ResetStat {
    type Answer = ();

    fn run(&self, here: &mut Here<'_>) {
        here.core.reset_stats();
    }

    fn merge(&self, _: &mut Here<'_>, _: &[&()], reply: &mut Reply<'_>) {
        reply.ok();
    }
}
