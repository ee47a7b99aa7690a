//! ACCESS.

use core::net::IpAddr;

use super::super::reply::reply_now;
use super::asked::Asked;
use crate::access::Peer;
use crate::commands::Outcome;

/// What the policy in force would do with a peer.
pub(super) fn explain(asked: &mut Asked<'_>, address: IpAddr) -> Outcome {
    let explanation = asked.core.site.settings.access.explain(&Peer::Ip(address));
    reply_now(asked.session, |reply| {
        reply.map(4);
        for (name, value) in [
            ("peer", explanation.peer.to_string().as_str()),
            ("verdict", explanation.verdict),
            ("rule", &explanation.rule),
            ("change", &explanation.change),
        ] {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
    });
    Ok(())
}

/// Recent refusals, the newest first.
pub(super) fn log(asked: &mut Asked<'_>, count: usize) -> Outcome {
    let refusals = asked.core.site.shared.access.log();
    let now = asked.core.site.now.unix_ms;
    reply_now(asked.session, |reply| {
        reply.array(refusals.len().min(count));
        for refusal in refusals.iter().take(count) {
            reply.map(5);
            for (name, value) in
                [("peer", refusal.peer.to_string()), ("reason", refusal.reason.to_string())]
            {
                reply.bulk(name.as_bytes());
                reply.bulk(value.as_bytes());
            }
            for (name, value) in [
                ("count", refusal.count),
                ("age-seconds", now.saturating_sub(refusal.unix_ms) / 1000),
                ("timestamp-last", refusal.unix_ms),
            ] {
                reply.bulk(name.as_bytes());
                reply.integer(value as i64);
            }
        }
    });
    Ok(())
}

pub(super) fn reset_log(asked: &mut Asked<'_>) -> Outcome {
    asked.core.site.shared.access.reset_log();
    reply_now(asked.session, |reply| reply.ok());
    Ok(())
}
