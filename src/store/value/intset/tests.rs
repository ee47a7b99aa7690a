use std::collections::BTreeSet;

use super::*;
use crate::store::split_mix;

#[test]
fn behaves_as_a_set() {
    for start in 0..20 {
        let (mut seed, mut model) = (start, BTreeSet::new());
        let mut bytes = new().to_vec();
        // The wider they may be, the later they are.
        for step in 0..800_u64 {
            let bits = if step < 300 { 8 } else { 8 + step % 57 };
            let integer = split_mix(&mut seed) as i64 >> (64 - bits);
            if split_mix(&mut seed).is_multiple_of(3) {
                assert_eq!(remove(&mut bytes, integer), model.remove(&integer));
            } else {
                assert_eq!(insert(&mut bytes, integer), model.insert(integer));
            }
            let set = IntSet::new(&bytes);
            assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty()));
            assert_eq!((set.min(), set.max()), (model.first().copied(), model.last().copied()));
            assert!(set.contains(integer) == model.contains(&integer));
        }
        assert!(IntSet::new(&bytes).iter().eq(model.iter().copied()));
        assert_eq!(check(&bytes), Ok(model.len()));
    }
}

/// As a server of Redis 7.0 holds them.
#[test]
fn bytes_are_redis_s() {
    let mut bytes = new().to_vec();
    for integer in [3, -1] {
        insert(&mut bytes, integer);
    }
    assert_eq!(bytes, b"\x02\0\0\0\x02\0\0\0\xff\xff\x03\0");
    insert(&mut bytes, 70_000);
    assert_eq!(bytes, b"\x04\0\0\0\x03\0\0\0\xff\xff\xff\xff\x03\0\0\0\x70\x11\x01\0");
    remove(&mut bytes, 70_000);
    assert_eq!(
        bytes, b"\x04\0\0\0\x02\0\0\0\xff\xff\xff\xff\x03\0\0\0",
        "it does not get narrower"
    );
}

#[test]
fn what_is_no_intset_is_refused() {
    let mut bytes = new().to_vec();
    for integer in [i64::MIN, 5, i64::MAX] {
        insert(&mut bytes, integer);
    }
    assert_eq!(check(&bytes), Ok(3));
    assert_eq!(check(&new()), Ok(0));
    for len in 0..bytes.len() {
        assert_eq!(check(&bytes[..len]), Err(Corrupt));
    }
    for bad in [
        &b"\x03\0\0\0\0\0\0\0"[..],
        b"\x02\0\0\0\x01\0\0\0",
        b"\x02\0\0\0\xff\xff\xff\xff\x01\0",
        b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0",
        b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0",
    ] {
        assert_eq!(check(bad), Err(Corrupt), "{bad:?}");
        // It is still read with care.
        IntSet::new(bad).iter().for_each(drop);
    }
}
