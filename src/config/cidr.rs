//! Blocks of addresses, as `allow-from` names them.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

/// All addresses that share a prefix. One that lies within the IPv4-mapped part of IPv6
/// (`::ffff:0:0/96`) is kept as the IPv4 block it means, because peers are compared in that form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// Has no bits below the prefix.
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether the block holds the address. An IPv4-mapped address is the IPv4 address it maps.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.network, ip.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let differs = network.to_bits() ^ ip.to_bits();
                differs.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let differs = network.to_bits() ^ ip.to_bits();
                differs.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }

    /// Whether this is every address of its family.
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }

    fn new(ip: IpAddr, prefix: u8) -> Self {
        match (ip, ip.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(mapped)) if prefix >= 96 => {
                Cidr { network: masked(IpAddr::V4(mapped), prefix - 96), prefix: prefix - 96 }
            }
            _ => Cidr { network: masked(ip, prefix), prefix },
        }
    }
}

/// The address with everything below the prefix cleared.
fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}

fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Cidr {
    type Err = String;

    /// Reads `10.0.0.0/8`, `10.0.0.5`, `fd00::/8`. Bits below the prefix are refused, because
    /// `10.0.0.5/8` may mean either of two things.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| {
            format!("'{text}' is not an address or a block: write it like 10.0.0.5, 10.0.0.0/8 or fd00::/8")
        })?;
        let Some(prefix) = prefix else { return Ok(Cidr::new(ip, width(ip))) };
        let prefix = crate::text::number::parse_u64(prefix.as_bytes())
            .filter(|prefix| *prefix <= u64::from(width(ip)))
            .ok_or_else(|| {
                format!("'{text}' has a bad prefix length: it must be 0 to {}", width(ip))
            })? as u8;
        let network = masked(ip, prefix);
        if network != ip {
            return Err(format!(
                "'{text}' has bits set below its prefix: write {network}/{prefix} for the block or \
                 {ip} for the one address"
            ));
        }
        Ok(Cidr::new(ip, prefix))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == width(self.network) {
            return self.network.fmt(f);
        }
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(block: &str, ip: &str) -> bool {
        let block: Cidr = block.parse().expect("a block");
        block.contains(ip.parse().expect("an address"))
    }

    #[test]
    fn blocks_hold_their_addresses() {
        for (block, ip, expected) in [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.5", "10.0.0.5", true),
            ("10.0.0.5/32", "10.0.0.4", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("::1", "::1", true),
            ("2001:db8::4/126", "2001:db8::7", true),
            ("2001:db8::4/126", "2001:db8::8", false),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
        ] {
            assert_eq!(holds(block, ip), expected, "{ip} in {block}");
        }
    }

    #[test]
    fn everything_is_recognised_in_both_spellings() {
        for (block, expected) in [
            ("0.0.0.0/0", true),
            ("::/0", true),
            ("::ffff:0.0.0.0/96", true),
            ("0.0.0.0/1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(block.parse::<Cidr>().map(|b| b.is_everything()), Ok(expected), "{block}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["10.0.0.0/8", "10.0.0.5", "fd00::/8", "::1", "0.0.0.0/0", "::/0"] {
            assert_eq!(text.parse::<Cidr>().map(|b| b.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, expected) in [
            ("10.0.0.5/8", "write 10.0.0.0/8 for the block or 10.0.0.5 for the one address"),
            ("fd00::1/8", "write fd00::/8 for the block"),
            ("10.0.0.0/33", "must be 0 to 32"),
            ("::/129", "must be 0 to 128"),
            ("10.0.0.0/", "must be 0 to 32"),
            ("10.0.0.0/+8", "must be 0 to 32"),
            ("10.0.0/8", "not an address or a block"),
            ("example.org", "not an address or a block"),
            ("", "not an address or a block"),
            ("fe80::1%eth0", "not an address or a block"),
        ] {
            let error = text.parse::<Cidr>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
