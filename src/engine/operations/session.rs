//! AUTH, HELLO, QUIT, RESET, SELECT.

use super::super::closing::close_after_output;
use super::super::reply::reply_now;
use super::asked::Asked;
use super::multi;
use crate::commands::{CommandError, Hello, Outcome};
use crate::protocol::reply::Encoding;

/// The version of Redis whose behaviour clients may count on.
pub(super) const REDIS_VERSION: &str = "7.2.4";

pub(super) fn auth(asked: &mut Asked<'_>, user: Option<&[u8]>, password: &[u8]) -> Outcome {
    if user.is_none() && !asked.core.requires_password() {
        return Err(CommandError::text(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        ));
    }
    authenticate(asked, user.unwrap_or(b"default"), password)?;
    reply_now(asked.session, |reply| reply.ok());
    Ok(())
}

/// The only user is `default`; without a password any is right for it, as in Redis.
fn authenticate(asked: &mut Asked<'_>, user: &[u8], password: &[u8]) -> Outcome {
    let (core, session) = (&*asked.core, &mut *asked.session);
    let right = core.password().is_none_or(|expected| expected.matches(password));
    if user != b"default" || !right {
        core.site.shared.access.auth_failed();
        tracing::debug!(addr = session.client.addr, "authentication failed");
        return Err(CommandError::text(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ));
    }
    session.client.authenticated = true;
    Ok(())
}

pub(super) fn hello(asked: &mut Asked<'_>, hello: Hello<'_>) -> Outcome {
    if let Some((user, password)) = hello.auth {
        authenticate(asked, user, password)?;
    }
    let session = &mut *asked.session;
    if !session.client.authenticated {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = hello.name {
        session.client.name = name.to_vec();
    }
    if let Some(version) = hello.version {
        session.client.encoding = version.into();
    }
    let id = session.client.id as i64;
    let protocol = if session.client.encoding == Encoding::Resp3 { 3 } else { 2 };
    reply_now(session, |reply| {
        reply.map(7);
        for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
        reply.bulk(b"proto");
        reply.integer(protocol);
        reply.bulk(b"id");
        reply.integer(id);
        for (name, value) in [("mode", "standalone"), ("role", "master")] {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
        reply.bulk(b"modules");
        reply.array(0);
    });
    Ok(())
}

pub(super) fn quit(asked: &mut Asked<'_>) -> Outcome {
    reply_now(asked.session, |reply| reply.ok());
    close_after_output(asked.session);
    Ok(())
}

pub(super) fn reset(asked: &mut Asked<'_>) -> Outcome {
    multi::forget(asked.core, asked.session, asked.outbox);
    asked.session.client.reset(!asked.core.requires_password());
    reply_now(asked.session, |reply| reply.simple("RESET"));
    Ok(())
}

/// `databases` may allow fewer than there are.
pub(super) fn select(asked: &mut Asked<'_>, index: usize) -> Outcome {
    if index >= asked.core.site.settings.config.databases as usize {
        return Err(CommandError::text("ERR DB index is out of range"));
    }
    asked.session.client.db = index;
    reply_now(asked.session, |reply| reply.ok());
    Ok(())
}
