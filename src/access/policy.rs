//! The access policy and its decision.
//!
//! | | peer loopback or unix socket | any other peer |
//! |---|---|---|
//! | `allow-from` set, peer matches none of it | accepted | refused |
//! | protected mode; no password, no explicit bind, no `allow-from` | accepted | refused |
//! | otherwise | accepted | accepted (AUTH still applies) |

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use super::Password;
use crate::config::{Cidr, Config};

/// Who may connect. Built from a configuration, shared by all cores, replaced whole.
#[derive(Clone, Debug)]
pub struct AccessPolicy {
    protected_mode: bool,
    explicit_bind: bool,
    allow_from: Vec<Cidr>,
    password: Option<Password>,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    Ip(IpAddr),
    Unix,
}

/// What the policy does with a peer, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Accept(AcceptRule),
    Refuse(RefuseRule),
}

/// Why a peer is accepted: the first of these that holds, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptRule {
    /// The host itself is never locked out.
    UnixSocket,
    /// 127.0.0.0/8 and ::1, IPv4-mapped or not.
    Loopback,
    /// This block of `allow-from`.
    AllowFrom(Cidr),
    ProtectedModeOff,
    /// Protected mode is satisfied by a password.
    Password,
    /// Protected mode is satisfied by a `bind` without wildcards.
    ExplicitBind,
}

/// Why a peer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseRule {
    /// `allow-from` is set and names other peers.
    AllowFrom,
    ProtectedMode,
}

impl AccessPolicy {
    pub fn new(config: &Config) -> Self {
        let bind = &config.bind;
        AccessPolicy {
            protected_mode: config.protected_mode,
            // One wildcard among the addresses is enough to be reachable from everywhere.
            explicit_bind: !bind.is_empty() && bind.iter().all(|address| !address.is_wildcard()),
            allow_from: config.allow_from.clone(),
            password: Password::new(config.requirepass.expose()),
        }
    }

    /// What clients must give to AUTH; none if they need not.
    pub fn password(&self) -> Option<&Password> {
        self.password.as_ref()
    }

    /// Whether a new connection may stay. AUTH still applies to one that does.
    pub fn decide(&self, peer: &Peer) -> Decision {
        let ip = match peer {
            Peer::Unix => return Decision::Accept(AcceptRule::UnixSocket),
            Peer::Ip(ip) => ip.to_canonical(),
        };
        if ip.is_loopback() {
            return Decision::Accept(AcceptRule::Loopback);
        }
        let allowed = self.allow_from.iter().find(|block| block.contains(ip)).copied();
        if allowed.is_none() && !self.allow_from.is_empty() {
            return Decision::Refuse(RefuseRule::AllowFrom);
        }
        if !self.protected_mode {
            return Decision::Accept(
                allowed.map_or(AcceptRule::ProtectedModeOff, AcceptRule::AllowFrom),
            );
        }
        match allowed {
            Some(block) if self.names_whom_it_means() => {
                Decision::Accept(AcceptRule::AllowFrom(block))
            }
            _ if self.password.is_some() => Decision::Accept(AcceptRule::Password),
            _ if self.explicit_bind => Decision::Accept(AcceptRule::ExplicitBind),
            _ => Decision::Refuse(RefuseRule::ProtectedMode),
        }
    }

    /// Whether `allow-from` says who may connect. With every address of a family among its blocks
    /// it does not, so that it opens nothing by itself.
    pub(super) fn names_whom_it_means(&self) -> bool {
        !self.allow_from.is_empty() && !self.allow_from.iter().any(Cidr::is_everything)
    }
}

impl Peer {
    /// Whether the peer is on this host: it came over loopback or a unix socket.
    pub fn is_local(&self) -> bool {
        match self {
            Peer::Unix => true,
            Peer::Ip(ip) => ip.to_canonical().is_loopback(),
        }
    }
}

impl fmt::Display for Peer {
    /// The address, an IPv4-mapped one as the IPv4 address it is; `unix` for a unix socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Unix => f.write_str("unix"),
            Peer::Ip(ip) => ip.to_canonical().fmt(f),
        }
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("unix") {
            return Ok(Peer::Unix);
        }
        text.parse().map(Peer::Ip).map_err(|_| "give an IPv4 or IPv6 address, or 'unix'".into())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::access) fn policy(lines: &[&[&str]]) -> AccessPolicy {
        let arguments = lines.iter().flat_map(|line| {
            line.iter()
                .enumerate()
                .map(|(i, word)| if i == 0 { format!("--{word}").into() } else { (*word).into() })
        });
        let arguments: Vec<std::ffi::OsString> = arguments.collect();
        let (config, _) =
            Config::load(&arguments, &crate::config::Disk).expect("a good configuration");
        AccessPolicy::new(&config)
    }

    fn peer(text: &str) -> Peer {
        text.parse().expect("a peer")
    }

    const LOCAL: [&str; 7] = [
        "127.0.0.1",
        "127.255.255.254",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:127.9.9.9",
        "unix",
        "UNIX",
    ];
    const REMOTE: [&str; 9] = [
        "10.0.0.7",
        "192.0.2.1",
        "128.0.0.1",
        "126.255.255.255",
        "::ffff:10.0.0.7",
        "2001:db8::1",
        "fe80::1",
        "::2",
        // Deprecated "IPv4-compatible" form, which is not this host.
        "::127.0.0.1",
    ];

    /// Every combination of what the policy depends on, against DESIGN's table written as logic.
    #[test]
    fn every_row_of_the_table() {
        let binds: [(&[&str], bool); 8] = [
            (&["bind", "*", "-::*"], false),
            (&["bind", "0.0.0.0"], false),
            (&["bind", "::"], false),
            (&["bind", "-::*"], false),
            (&["bind", "::ffff:0.0.0.0"], false),
            (&["bind", "10.0.0.5", "*"], false),
            (&["bind", "10.0.0.5", "127.0.0.1"], true),
            (&["bind", "-2001:db8::5"], true),
        ];
        // Blocks, and whether they name whom they mean.
        let lists: [(&[&str], bool); 8] = [
            (&["allow-from", ""], false),
            (&["allow-from", "10.0.0.0/8"], true),
            (&["allow-from", "2001:db8::/32", "192.0.2.1"], true),
            (&["allow-from", "203.0.113.9"], true),
            (&["allow-from", "0.0.0.0/0"], false),
            (&["allow-from", "::/0"], false),
            (&["allow-from", "::ffff:0.0.0.0/96"], false),
            (&["allow-from", "10.0.0.0/8", "0.0.0.0/0"], false),
        ];
        let (mut refused_by_list, mut refused_by_mode, mut accepted) = (0, 0, 0);
        for (bind, explicit) in binds {
            for (list, named) in lists {
                for protected in ["yes", "no"] {
                    for password in ["", "s3cret"] {
                        let mode: &[&str] = &["protected-mode", protected];
                        let secret: &[&str] = &["requirepass", password];
                        let policy = policy(&[bind, list, mode, secret]);
                        for text in LOCAL {
                            let decision = policy.decide(&peer(text));
                            assert!(matches!(decision, Decision::Accept(_)), "{text} {policy:?}");
                        }
                        for text in REMOTE {
                            let Peer::Ip(ip) = peer(text) else { unreachable!() };
                            let blocks: Vec<Cidr> =
                                list[1..].iter().filter_map(|b| b.parse().ok()).collect();
                            let matched = blocks.iter().any(|block| block.contains(ip));
                            let expected = if !blocks.is_empty() && !matched {
                                refused_by_list += 1;
                                Some(RefuseRule::AllowFrom)
                            } else if protected == "yes"
                                && password.is_empty()
                                && !explicit
                                && !named
                            {
                                refused_by_mode += 1;
                                Some(RefuseRule::ProtectedMode)
                            } else {
                                accepted += 1;
                                None
                            };
                            let decision = policy.decide(&Peer::Ip(ip));
                            let refused = match decision {
                                Decision::Refuse(rule) => Some(rule),
                                Decision::Accept(_) => None,
                            };
                            assert_eq!(refused, expected, "{text} {policy:?}");
                        }
                    }
                }
            }
        }
        assert!(refused_by_list > 500 && refused_by_mode > 100 && accepted > 500);
    }

    #[test]
    fn names_the_rule_that_decided() {
        use AcceptRule::*;
        let block: Cidr = "10.0.0.0/8".parse().expect("a block");
        for (lines, text, expected) in [
            (&[][..], "unix", Decision::Accept(UnixSocket)),
            (&[], "::ffff:127.0.0.1", Decision::Accept(Loopback)),
            (&[], "10.0.0.7", Decision::Refuse(RefuseRule::ProtectedMode)),
            (&[&["protected-mode", "no"][..]], "10.0.0.7", Decision::Accept(ProtectedModeOff)),
            (&[&["requirepass", "x"]], "10.0.0.7", Decision::Accept(Password)),
            (&[&["bind", "10.0.0.5"]], "10.0.0.7", Decision::Accept(ExplicitBind)),
            (&[&["allow-from", "10.0.0.0/8"]], "10.0.0.7", Decision::Accept(AllowFrom(block))),
            (
                &[&["allow-from", "10.0.0.0/8"]],
                "::ffff:10.0.0.7",
                Decision::Accept(AllowFrom(block)),
            ),
            (
                &[&["allow-from", "10.0.0.0/8"]],
                "192.0.2.1",
                Decision::Refuse(RefuseRule::AllowFrom),
            ),
            (&[&["allow-from", "10.0.0.0/8"]], "127.0.0.1", Decision::Accept(Loopback)),
            (
                &[&["allow-from", "0.0.0.0/0"], &["requirepass", "x"]],
                "10.0.0.7",
                Decision::Accept(Password),
            ),
        ] {
            assert_eq!(policy(lines).decide(&peer(text)), expected, "{lines:?} {text}");
        }
    }

    #[test]
    fn peers_are_read_and_written() {
        for (text, expected) in [
            ("10.0.0.7", "10.0.0.7"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("2001:DB8::1", "2001:db8::1"),
            ("unix", "unix"),
        ] {
            assert_eq!(peer(text).to_string(), expected);
        }
        assert!("10.0.0.7/8".parse::<Peer>().is_err());
        assert!(peer("::ffff:127.0.0.1").is_local() && !peer("::127.0.0.1").is_local());
    }
}
