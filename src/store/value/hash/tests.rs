//! Packed hashes and tables beside a naive model.

use std::collections::BTreeMap;

use super::*;
use crate::store::split_mix as random;
use crate::store::value::packed::{self, Buffer, Element, Needle};

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<UnixMs>)>;

const NOW: UnixMs = 1_000;

fn name(state: &mut u64) -> Vec<u8> {
    match random(state) % 3 {
        0 => (random(state) % 12).to_string().into_bytes(),
        _ => format!("field-{}", random(state) % 12).into_bytes(),
    }
}

fn value(state: &mut u64) -> Vec<u8> {
    match random(state) % 4 {
        0 => (random(state) as i64 >> (random(state) % 64)).to_string().into_bytes(),
        1 => vec![b'x'; (random(state) % 300) as usize],
        _ => format!("value {}", random(state) % 100).into_bytes(),
    }
}

fn expiry(state: &mut u64) -> Option<UnixMs> {
    (!random(state).is_multiple_of(3)).then(|| NOW + 1 + random(state) % 20)
}

fn shown<'a>(fields: impl Iterator<Item = Field<'a>>) -> Model {
    fields.map(|f| (f.name.to_vec(), (f.value.to_vec(), f.expiry))).collect()
}

#[test]
fn packed_fields_agree_with_a_model_and_stay_in_order() {
    for layout in [Layout::Pairs, Layout::Triples] {
        let (mut run, mut model, mut state) = (packed::new().to_vec(), Model::new(), 5);
        for _ in 0..if cfg!(miri) { 200 } else { 4_000 } {
            let (name, value) = (name(&mut state), value(&mut state));
            let expiry = expiry(&mut state).filter(|_| layout == Layout::Triples);
            let place = Fields::new(&run, layout).find(&Needle::new(&name));
            assert_eq!(place.is_some(), model.contains_key(&name));
            match (place, random(&mut state) % 3) {
                (None, _) => {
                    let element = Element::from(&name[..]);
                    edit::add(&mut run, layout, element, (&value[..]).into(), expiry)
                        .expect("it is short");
                    model.insert(name, (value, expiry));
                }
                (Some(place), 0) => {
                    edit::remove(&mut run, layout, place);
                    model.remove(&name);
                }
                (Some(place), 1) if layout == Layout::Triples => {
                    edit::set_expiry(&mut run, place, expiry).expect("it is short");
                    model.get_mut(&name).expect("it is there").1 = expiry;
                }
                (Some(place), _) => {
                    edit::set_value(&mut run, place, (&value[..]).into()).expect("it is short");
                    model.get_mut(&name).expect("it is there").0 = value;
                }
            }
            assert!(packed::check(&run).is_ok());
            let fields = Fields::new(&run, layout);
            assert_eq!(shown(fields.iter()), model);
            assert_eq!(fields.len(), model.len());
            let dues = fields.iter().map(|field| field.expiry.unwrap_or(UnixMs::MAX));
            assert!(dues.is_sorted());
            assert_eq!(fields.earliest(), model.values().filter_map(|(_, at)| *at).min());
        }
        let expired = Fields::new(&run, layout).expired(NOW + 10);
        edit::remove_first(&mut run, layout, expired);
        model.retain(|_, (_, at)| at.is_none_or(|at| at > NOW + 10));
        assert_eq!(shown(Fields::new(&run, layout).iter()), model);
        let with_expiries = edit::with_expiries(Fields::new(&run, layout)).expect("it is short");
        assert_eq!(shown(Fields::new(with_expiries.bytes(), Layout::Triples).iter()), model);
    }
}

#[test]
fn a_table_agrees_with_a_model() {
    let (mut hash, mut model, mut state) = (Hash::new(3), Model::new(), 9);
    let mut now = NOW;
    for step in 0..if cfg!(miri) { 200 } else { 20_000 } {
        let (name, value) = (name(&mut state), value(&mut state));
        let at = expiry(&mut state).map(|at| at - NOW + now);
        let is_live = |(_, at): &(Vec<u8>, Option<UnixMs>)| at.is_none_or(|at| at > now);
        let live = model.get(&name).filter(|stored| is_live(stored)).cloned();
        match random(&mut state) % 6 {
            0 | 1 => {
                let change = match (random(&mut state) % 3, at) {
                    (0, _) => FieldExpiry::Keep,
                    (_, Some(at)) => FieldExpiry::At(at),
                    (_, None) => FieldExpiry::Clear,
                };
                assert_eq!(hash.set(&name, &value, change, now), live.is_none());
                let kept = live.and_then(|(_, at)| at);
                model.insert(name, (value, change.resolve(kept)));
            }
            2 => {
                let removed = hash.remove(&name, now, |field| field.value.to_vec());
                assert_eq!(removed, live.map(|(value, _)| value));
                model.remove(&name);
            }
            3 if live.is_some() => {
                hash.set_expiry(&name, at);
                model.get_mut(&name).expect("it is there").1 = at;
            }
            4 => {
                now += random(&mut state) % 4;
                let expired = hash.expired(now);
                let dropped = hash.drop_expired(now, 2);
                assert_eq!(dropped, expired.min(2));
                while hash.drop_expired(now, 2) > 0 {}
                model.retain(|_, (_, at)| at.is_none_or(|at| at > now));
                assert_eq!(hash.len(), model.len());
            }
            _ => {
                let found = hash.get(&name, now).map(|f| (f.value.to_vec(), f.expiry));
                assert_eq!(found, live);
            }
        }
        if step % 50 == 0 {
            let live = model.iter().filter(|(_, (_, at))| at.is_none_or(|at| at > now));
            let live: Model = live.map(|(name, stored)| (name.clone(), stored.clone())).collect();
            assert_eq!(shown(hash.iter(now)), live);
            assert_eq!(hash.len() - hash.expired(now), live.len());
            assert_eq!(hash.earliest(), model.values().filter_map(|(_, at)| *at).min());
        }
    }
    let bytes = hash.heap_bytes();
    assert!(bytes > 0);
    let copy = hash.clone();
    assert_eq!(shown(copy.iter(now)), shown(hash.iter(now)));
    while hash.free_slice(3) {}
    assert!(hash.earliest().is_none());
}
