//! Hash slots, as Redis Cluster defines them, and the shards that own them.
//!
//! Source: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

use super::ShardId;

pub const SLOTS: usize = 16_384;

/// The shard of a key: every shard owns an even range of slots.
#[inline]
pub fn shard_of_key(key: &[u8], shards: usize) -> ShardId {
    if shards == 1 { 0 } else { usize::from(slot_of_key(key)) * shards / SLOTS }
}

/// CRC16 of the key modulo 16384; of its hash tag only, if it has one (`{tag}`, not empty).
#[inline]
pub fn slot_of_key(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOTS as u16
}

#[inline]
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let tagged = &key[open + 1..];
    let close = tagged.iter().position(|&byte| byte == b'}')?;
    (close > 0).then(|| &tagged[..close])
}

/// `TABLES[n][b]`: what byte `b` with `n` bytes behind it contributes (slicing by eight:
/// M. Kounavis and F. Berry, "A systematic approach to building high performance software-based CRC
/// generators", 2005).
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[n - 1][byte];
            tables[n][byte] = (before << 8) ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
}

/// CRC-16/XMODEM: polynomial 0x1021, initial value 0, nothing reflected.
#[inline]
fn crc16(bytes: &[u8]) -> u16 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut crc = 0u16;
    for chunk in chunks {
        crc = TABLES[7][usize::from(chunk[0] ^ (crc >> 8) as u8)]
            ^ TABLES[6][usize::from(chunk[1] ^ crc as u8)]
            ^ TABLES[5][usize::from(chunk[2])]
            ^ TABLES[4][usize::from(chunk[3])]
            ^ TABLES[3][usize::from(chunk[4])]
            ^ TABLES[2][usize::from(chunk[5])]
            ^ TABLES[1][usize::from(chunk[6])]
            ^ TABLES[0][usize::from(chunk[7])];
    }
    for &byte in rest {
        crc = (crc << 8) ^ TABLES[0][usize::from((crc >> 8) as u8 ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from `CLUSTER KEYSLOT` and the cluster specification.
    #[test]
    fn slots_are_redis_clusters() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        for (key, slot) in [("foo", 12182), ("bar", 5061), ("hello", 866), ("", 0)] {
            assert_eq!(slot_of_key(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(slot_of_key(b"{user1000}.following"), slot_of_key(b"user1000"));
        assert_eq!(slot_of_key(b"foo{{bar}}zap"), slot_of_key(b"{bar"));
        assert_eq!(slot_of_key(b"foo{bar}{zap}"), slot_of_key(b"bar"));
        assert_ne!(slot_of_key(b"foo{}{bar}"), slot_of_key(b"bar"));
    }

    #[test]
    fn slicing_equals_the_definition() {
        for len in 0..64usize {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 37 + 11) as u8).collect();
            let expected = bytes.iter().fold(0u16, |crc, &byte| {
                (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
                    if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 }
                })
            });
            assert_eq!(crc16(&bytes), expected, "{len}");
        }
    }

    #[test]
    fn shards_own_even_ranges() {
        for shards in [1, 2, 3, 4, 7, 64] {
            let mut owned = vec![0usize; shards];
            for slot in 0..SLOTS {
                owned[slot * shards / SLOTS] += 1;
            }
            assert!(owned.iter().max().unwrap() - owned.iter().min().unwrap() <= 1);
        }
    }
}
