//! What a refused client is told, and what ACCESS EXPLAIN answers.

use core::fmt;

use super::policy::{AcceptRule, AccessPolicy, Decision, Peer, RefuseRule};

/// What the policy would do with a peer, why, and what to change for the opposite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub peer: Peer,
    /// `accepted` or `refused`.
    pub verdict: &'static str,
    /// The rule that decided.
    pub rule: String,
    /// The directive to change.
    pub change: String,
}

impl fmt::Display for Explanation {
    /// One line each for the verdict, the rule and the change.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.peer, self.verdict)?;
        writeln!(f, "rule: {}", self.rule)?;
        write!(f, "change: {}", self.change)
    }
}

impl AccessPolicy {
    /// The error that a refused client reads, without the `-` in front and the line end. It begins
    /// with `DENIED`, and what Redis's users know to do about that works here.
    pub fn denied_text(&self, rule: RefuseRule, peer: &Peer) -> String {
        match rule {
            RefuseRule::AllowFrom => format!(
                "DENIED Ringwell accepts connections only from the addresses that allow-from lists, \
                 and {peer} is not one of them. To let this address in, send the command 'CONFIG SET \
                 allow-from' with the whole new list, {peer} included, from the loopback interface \
                 by connecting from the same host the server is running (CONFIG GET allow-from shows \
                 the present list, ACCESS EXPLAIN {peer} the decision), and then CONFIG REWRITE to \
                 make this change permanent; or add {peer} or its network to allow-from in the \
                 configuration file, and restart the server."
            ),
            RefuseRule::ProtectedMode => PROTECTED_MODE.into(),
        }
    }

    /// What [`AccessPolicy::decide`] says about the peer, for people.
    pub fn explain(&self, peer: &Peer) -> Explanation {
        let (verdict, rule, change) = match self.decide(peer) {
            Decision::Accept(rule) => {
                let (rule, change) = self.explain_accept(rule, peer);
                ("accepted", rule, change)
            }
            Decision::Refuse(rule) => {
                let (rule, change) = explain_refuse(rule, peer);
                ("refused", rule, change)
            }
        };
        let rule = match (verdict, self.password()) {
            ("accepted", Some(_)) => format!("{rule}; the client must AUTH before anything else"),
            _ => rule,
        };
        Explanation { peer: *peer, verdict, rule, change }
    }

    fn explain_accept(&self, rule: AcceptRule, peer: &Peer) -> (String, String) {
        let to_refuse =
            "to refuse it, set allow-from to the addresses that may connect".to_string();
        match rule {
            AcceptRule::UnixSocket => (
                "unix sockets are always accepted".into(),
                "to restrict it, set unixsocketperm".into(),
            ),
            AcceptRule::Loopback => (
                "loopback addresses are the host itself, which is always accepted".into(),
                "to restrict it, set requirepass".into(),
            ),
            AcceptRule::AllowFrom(block) => (
                format!("allow-from {block} holds {peer}"),
                format!("to refuse it, take {block} out of allow-from"),
            ),
            AcceptRule::ProtectedModeOff => {
                ("protected-mode is no and allow-from is empty".into(), to_refuse)
            }
            AcceptRule::Password => {
                ("protected mode is satisfied, because requirepass is set".into(), to_refuse)
            }
            AcceptRule::ExplicitBind => (
                "protected mode is satisfied, because bind lists addresses and no wildcard".into(),
                to_refuse,
            ),
        }
    }
}

fn explain_refuse(rule: RefuseRule, peer: &Peer) -> (String, String) {
    match rule {
        RefuseRule::AllowFrom => (
            format!("allow-from is set and no block of it holds {peer}"),
            format!("to accept it, add {peer} or its network to allow-from"),
        ),
        RefuseRule::ProtectedMode => (
            "protected-mode is yes, and neither requirepass, nor a bind without wildcards, nor an \
             allow-from that names whom it means (a block of everything does not) is set"
                .into(),
            format!("to accept it, set allow-from {peer} or its network, or requirepass"),
        ),
    }
}

/// The remedies keep their numbers and key phrases from Redis 3.2 to 6.x, because users search for
/// them.
const PROTECTED_MODE: &str = "DENIED Ringwell is running in protected mode because protected mode \
    is enabled, no bind address was specified (wildcards do not count), no authentication password \
    is requested to clients, and no allow-from names who may connect. In this mode connections are \
    only accepted from the loopback interface. If you want to connect from external computers to \
    Ringwell you may adopt one of the following solutions: 1) Just disable protected mode sending \
    the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to \
    Ringwell from the same host the server is running, however MAKE SURE Ringwell is not publicly \
    accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) \
    Alternatively you can just disable the protected mode by editing the Ringwell configuration \
    file, and setting the protected-mode option to 'no', and then restarting the server. 3) If you \
    started the server manually just for testing, restart it with the '--protected-mode no' option. \
    4) Setup a bind address or an authentication password, or list the addresses that may connect \
    with allow-from. NOTE: You only need to do one of the above things in order for the server to \
    start accepting connections from the outside.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::policy::tests::policy;

    fn peer(text: &str) -> Peer {
        text.parse().expect("a peer")
    }

    #[test]
    fn denied_texts_are_one_line_with_the_remedies() {
        let open = policy(&[]);
        let protected = open.denied_text(RefuseRule::ProtectedMode, &peer("10.0.0.7"));
        for phrase in [
            "DENIED Ringwell is running in protected mode because protected mode is enabled",
            "1) Just disable protected mode sending the command 'CONFIG SET protected-mode no'",
            "CONFIG REWRITE",
            "2) Alternatively you can just disable the protected mode by editing",
            "3) If you started the server manually just for testing, restart it with the \
             '--protected-mode no' option",
            "4) Setup a bind address or an authentication password",
            "allow-from",
        ] {
            assert!(protected.contains(phrase), "{phrase}");
        }
        let listed = open.denied_text(RefuseRule::AllowFrom, &peer("::ffff:10.0.0.7"));
        assert!(listed.starts_with("DENIED Ringwell"));
        assert!(listed.contains("and 10.0.0.7 is not one of them"), "{listed}");
        assert!(listed.contains("'CONFIG SET allow-from'"), "{listed}");
        for text in [protected, listed] {
            assert!(!text.contains(['\r', '\n']) && !text.contains("  "), "{text}");
        }
    }

    #[test]
    fn explains_the_verdict_the_rule_and_the_change() {
        for (lines, text, verdict, rule, change) in [
            (&[][..], "unix", "accepted", "unix sockets", "unixsocketperm"),
            (&[], "127.0.0.1", "accepted", "the host itself", "requirepass"),
            (&[], "10.0.0.7", "refused", "protected-mode is yes", "allow-from 10.0.0.7"),
            (
                &[&["allow-from", "10.0.0.0/8"][..]],
                "10.0.0.7",
                "accepted",
                "allow-from 10.0.0.0/8 holds",
                "take 10.0.0.0/8 out",
            ),
            (
                &[&["allow-from", "10.0.0.0/8"]],
                "2001:db8::1",
                "refused",
                "no block of it holds 2001:db8::1",
                "add 2001:db8::1",
            ),
            (
                &[&["protected-mode", "no"]],
                "10.0.0.7",
                "accepted",
                "protected-mode is no",
                "allow-from",
            ),
            (&[&["requirepass", "x"]], "10.0.0.7", "accepted", "must AUTH", "allow-from"),
            (&[&["bind", "10.0.0.5"]], "10.0.0.7", "accepted", "no wildcard", "allow-from"),
        ] {
            let explanation = policy(lines).explain(&peer(text));
            assert_eq!(explanation.verdict, verdict, "{lines:?} {text}");
            assert!(explanation.rule.contains(rule), "{explanation}");
            assert!(explanation.change.contains(change), "{explanation}");
            assert_eq!(explanation.to_string().lines().count(), 3);
        }
    }
}
