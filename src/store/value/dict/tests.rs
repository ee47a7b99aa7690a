use std::collections::{HashMap, HashSet};

use super::*;
use crate::store::split_mix;

type Model = HashMap<Vec<u8>, (Vec<u8>, Option<UnixMs>)>;

fn bytes(seed: &mut u64) -> Vec<u8> {
    let len = match split_mix(seed) % 20 {
        0 => 250 + split_mix(seed) % 10,
        1 => split_mix(seed) % 2000,
        2 | 3 => 0,
        _ => split_mix(seed) % 40,
    };
    vec![b'v'; len as usize]
}

fn key(seed: &mut u64, keys: u64) -> Vec<u8> {
    let mut key = (split_mix(seed) % keys).to_string().into_bytes();
    if key.ends_with(b"7") {
        key.resize(240 + key.len() * 20, b'k');
    }
    if key == b"0" { Vec::new() } else { key }
}

fn expiry(seed: &mut u64) -> Option<UnixMs> {
    match split_mix(seed) % 4 {
        0 => Some(split_mix(seed)),
        _ => None,
    }
}

fn item_of<'a>((key, (value, expiry)): (&'a Vec<u8>, &'a (Vec<u8>, Option<UnixMs>))) -> Item<'a> {
    Item { key, value, expiry: *expiry }
}

fn filled(len: u64) -> Dict {
    let mut dict = Dict::new(17);
    for n in 0..len {
        assert!(dict.insert(format!("element:{n:08}").as_bytes()));
    }
    dict
}

#[test]
fn behaves_as_a_map() {
    for start in 0..10 {
        let mut seed = start;
        let (mut dict, mut model) = (Dict::new(split_mix(&mut seed)), Model::new());
        let keys = [4, 40, 400, 9000][(start % 4) as usize];
        for phase in 0..6 {
            let removals = if phase % 2 == 0 { 2 } else { 8 };
            for _ in 0..if keys > 1000 { 6000 } else { 1500 } {
                change_both(&mut dict, &mut model, keys, removals, &mut seed);
            }
            dict.check();
            compare(&dict, &model);
            let copy = dict.clone();
            copy.check();
            compare(&copy, &model);
        }
    }
}

fn change_both(dict: &mut Dict, model: &mut Model, keys: u64, removals: u64, seed: &mut u64) {
    let key = key(seed, keys);
    assert_eq!(dict.get(&key), model.get_key_value(&key).map(item_of));
    match split_mix(seed) % 12 {
        choice if choice < removals => {
            let shown = dict.remove(&key, |item| (item.value.to_vec(), item.expiry));
            assert_eq!(shown, model.remove(&key));
        }
        8 => {
            let expiry = expiry(seed);
            assert_eq!(dict.set_expiry(&key, expiry), model.contains_key(&key));
            if let Some(place) = model.get_mut(&key) {
                place.1 = expiry;
            }
        }
        9 => {
            assert_eq!(dict.insert(&key), !model.contains_key(&key));
            model.entry(key).or_default();
        }
        _ => {
            let (value, expiry) = (bytes(seed), expiry(seed));
            assert_eq!(dict.set(&key, &value, expiry), !model.contains_key(&key));
            model.insert(key, (value, expiry));
        }
    }
    assert_eq!((dict.len(), dict.is_empty()), (model.len(), model.is_empty()));
}

fn compare(dict: &Dict, model: &Model) {
    let mut items: Vec<_> = dict.iter().collect();
    let mut expected: Vec<_> = model.iter().map(item_of).collect();
    items.sort_by_key(|item| item.key);
    expected.sort_by_key(|item| item.key);
    assert_eq!(items, expected);
}

/// What a table costs beyond the elements' own bytes, per element.
fn overhead(dict: &Dict, own_bytes: usize) -> f64 {
    dict.heap_bytes() as f64 / dict.len() as f64 - own_bytes as f64
}

#[test]
fn items_are_cheap() {
    let mut dict = Dict::new(1);
    let mut fields = Dict::new(2);
    let (mut dearest, mut dearest_field) = (0.0_f64, 0.0_f64);
    for n in 0..200_000 {
        let key = format!("element:{n:08}");
        dict.insert(key.as_bytes());
        fields.set(key.as_bytes(), b"value:0123456789", None);
        if n > 1000 {
            dearest = dearest.max(overhead(&dict, 16));
            dearest_field = dearest_field.max(overhead(&fields, 32));
        }
    }
    println!("{dearest:.2} per member, {dearest_field:.2} per field");
    assert!(dearest <= 10.0, "{dearest} bytes per member of a set");
    assert!(dearest_field <= 12.0, "{dearest_field} bytes per field of a hash");
}

#[test]
fn memory_is_given_back() {
    let mut dict = filled(50_000);
    for n in 0..50_000 - 1000 {
        assert!(dict.remove(format!("element:{n:08}").as_bytes(), |_| ()).is_some());
    }
    dict.check();
    println!("{:.2} per member that is left", overhead(&dict, 16));
    assert!(overhead(&dict, 16) <= 15.0, "{}", overhead(&dict, 16));
}

#[test]
fn is_freed_in_slices() {
    let mut dict = filled(20_000);
    dict.set(b"large", &[b'x'; 5000], None);
    let (mut slices, mut left) = (0, dict.heap_bytes());
    while dict.free_slice(100) {
        slices += 1;
        assert!(dict.heap_bytes() < left);
        left = dict.heap_bytes();
    }
    assert!((20..=40).contains(&slices), "{slices}");
    assert_eq!((dict.len(), dict.part_bytes), (0, 0));
}

/// Whoever is there all the time is seen, whatever comes and goes between the calls.
#[test]
fn scan_misses_nothing() {
    for start in 0..40 {
        let mut seed = start;
        let mut dict = Dict::new(split_mix(&mut seed));
        let lasting: Vec<_> = (0..300).map(|n| format!("lasting:{n}").into_bytes()).collect();
        lasting.iter().for_each(|key| assert!(dict.insert(key)));
        let (mut seen, mut cursor, mut calls) = (HashSet::new(), 0, 0);
        let grows = start % 2 == 0;
        let mut passing = if grows { 0 } else { 5000 };
        (0..passing).for_each(|n: u64| assert!(dict.insert(&n.to_le_bytes())));
        loop {
            cursor = dict.scan(cursor, |item| {
                seen.insert(item.key.to_vec());
            });
            calls += 1;
            assert!(calls < 5000);
            if cursor == 0 {
                break;
            }
            for _ in 0..split_mix(&mut seed) % 60 {
                if grows && calls < 100 {
                    dict.insert(&u64::to_le_bytes(passing));
                    passing += 1;
                } else if !grows && passing > 0 {
                    passing -= 1;
                    dict.remove(&u64::to_le_bytes(passing), |_| ());
                }
            }
        }
        assert!(lasting.iter().all(|key| seen.contains(key)), "start {start}");
    }
}

#[test]
fn scan_shows_each_once_while_nothing_changes() {
    let dict = filled(10_000);
    let (mut seen, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = dict.scan(cursor, |item| seen.push(item.key.to_vec()));
        assert!(cursor < 4 * dict.len() as u64, "cursors are small numbers");
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), dict.len());
    assert_eq!(seen.into_iter().collect::<HashSet<_>>().len(), dict.len());
    dict.scan(u64::MAX, |_| ());
}

/// Chi squared of so many choices among the items, in standard deviations from what is expected.
fn unfairness(dict: &Dict, choices_each: usize) -> f64 {
    let mut seed = 99;
    let mut chosen: HashMap<&[u8], usize> = dict.iter().map(|item| (item.key, 0)).collect();
    for _ in 0..choices_each * dict.len() {
        let item = dict.random(|| split_mix(&mut seed)).expect("there are items");
        *chosen.get_mut(item.key).expect("it is there") += 1;
    }
    let expected = choices_each as f64;
    let squares = chosen.values().map(|&n| (n as f64 - expected).powi(2) / expected);
    let freedom = (dict.len() - 1).max(1) as f64;
    (squares.sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn random_choices_are_fair() {
    assert_eq!(Dict::new(1).random(|| 5), None);
    for len in [1, 2, 3, 9, 100, 129, 777, 3000] {
        let deviations = unfairness(&filled(len), 100);
        assert!(deviations.abs() < 5.0, "{len}: {deviations}");
    }
}

#[test]
fn random_choices_are_fair_after_removals() {
    let mut dict = filled(6000);
    for n in 0..5200 {
        dict.remove(format!("element:{:08}", n * 7 % 6000).as_bytes(), |_| ());
    }
    dict.check();
    let deviations = unfairness(&dict, 100);
    assert!(deviations.abs() < 5.0, "{deviations}");
}

#[test]
fn random_choices_need_few_attempts() {
    let attempts = |dict: &Dict| {
        let (mut seed, mut asked) = (3, 0_u32);
        for _ in 0..10_000 {
            dict.random(|| {
                asked += 1;
                split_mix(&mut seed)
            });
        }
        f64::from(asked) / 10_000.0
    };
    let mut dict = filled(100_000);
    assert!(attempts(&dict) < 10.0, "{}", attempts(&dict));
    for n in 0..99_000 {
        dict.remove(format!("element:{n:08}").as_bytes(), |_| ());
    }
    assert!(attempts(&dict) < 14.0, "{}", attempts(&dict));
}

#[test]
#[cfg(not(miri))]
fn holds_a_million() {
    let mut dict = filled(1_000_000);
    dict.check();
    assert!(dict.contains(b"element:00999999") && !dict.contains(b"element:01000000"));
    let first: Vec<_> = dict.iter().take(1000).map(|item| item.key.to_vec()).collect();
    assert!(first.iter().all(|key| dict.remove(key, |_| ()).is_some()));
    assert_eq!(dict.len(), 999_000);
}

#[test]
fn items_go_by_their_hash() {
    for len in [100, 5000] {
        let mut dict = filled(len);
        let hash = dict.hash_of(b"element:00000042");
        assert_eq!(dict.remove_of_hash(hash, |_| false), 0);
        assert_eq!(dict.remove_of_hash(hash, |item| item.key == b"element:00000042"), 1);
        assert_eq!(dict.remove_of_hash(hash, |_| true), 0);
        assert_eq!(dict.len() as u64, len - 1);
        dict.check();
    }
}

#[test]
fn can_be_sent() {
    fn is_send<T: Send>() {}
    is_send::<Dict>();
}
