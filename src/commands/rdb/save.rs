//! From a value to its payload.

use super::types::{PACKED_NODE, Type};
use super::writer;
use crate::store::value::hash::{Fields, Layout};
use crate::store::{CollectionRef, Encoding, EntryRef, Hash, Kind, List, Set, SortedSet, UnixMs};
use crate::text::number::Digits;

/// The type and the value, and the version that they take.
pub fn value(entry: EntryRef<'_>, now: UnixMs) -> (Vec<u8>, u16) {
    // The place of the type, which depends on the form.
    let mut out = vec![0];
    let saved = match entry.kind() {
        Kind::String => string(&mut out, entry),
        Kind::List => list(&mut out, entry),
        Kind::Set => set(&mut out, entry),
        Kind::SortedSet => sorted_set(&mut out, entry),
        Kind::Hash => hash(&mut out, entry, now),
    };
    out[0] = saved.number();
    (out, saved.version())
}

fn string(out: &mut Vec<u8>, entry: EntryRef<'_>) -> Type {
    match (entry.integer(), entry.as_string()) {
        (Some(integer), _) => writer::integer(out, integer),
        (None, Ok(text)) => writer::string(out, &text),
        (None, Err(_)) => return unfit(entry, Type::String),
    }
    Type::String
}

/// Every chunk is a node, whose bytes are Redis's.
fn list(out: &mut Vec<u8>, entry: EntryRef<'_>) -> Type {
    match entry.collection::<List>() {
        Ok(CollectionRef::Packed(run)) => {
            writer::length(out, 1);
            packed_node(out, run);
        }
        Ok(CollectionRef::Object(list)) => {
            let runs = || list.runs().filter(|run| !run.is_empty());
            writer::length(out, runs().count());
            runs().for_each(|run| packed_node(out, run.bytes()));
        }
        Err(_) => return unfit(entry, Type::Quicklist),
    }
    Type::Quicklist
}

/// [`value`] has looked at the kind.
fn unfit(entry: EntryRef<'_>, kind: Type) -> Type {
    debug_assert!(false, "{kind:?} is not how {entry:?} is saved");
    kind
}

fn packed_node(out: &mut Vec<u8>, run: &[u8]) {
    writer::length(out, PACKED_NODE);
    writer::string(out, run);
}

fn set(out: &mut Vec<u8>, entry: EntryRef<'_>) -> Type {
    match entry.collection::<Set>() {
        Ok(CollectionRef::Packed(run)) => {
            writer::string(out, run);
            match entry.encoding() {
                Encoding::IntSet => Type::IntSet,
                _ => Type::SetListpack,
            }
        }
        Ok(CollectionRef::Object(set)) => {
            writer::length(out, set.len());
            set.iter().for_each(|member| writer::string(out, member));
            Type::Set
        }
        Err(_) => unfit(entry, Type::Set),
    }
}

fn sorted_set(out: &mut Vec<u8>, entry: EntryRef<'_>) -> Type {
    match entry.collection::<SortedSet>() {
        Ok(CollectionRef::Packed(run)) => {
            writer::string(out, run);
            Type::SortedSetListpack
        }
        Ok(CollectionRef::Object(set)) => {
            writer::length(out, set.len());
            for entry in set.iter() {
                writer::string(out, entry.member);
                out.extend_from_slice(&entry.score.to_le_bytes());
            }
            Type::SortedSet
        }
        Err(_) => unfit(entry, Type::SortedSet),
    }
}

fn hash(out: &mut Vec<u8>, entry: EntryRef<'_>, now: UnixMs) -> Type {
    match entry.collection::<Hash>() {
        Ok(CollectionRef::Packed(run)) => match Layout::of(entry.encoding()) {
            Layout::Pairs => {
                writer::string(out, run);
                Type::HashListpack
            }
            Layout::Triples => {
                let earliest = Fields::new(run, Layout::Triples).earliest().unwrap_or(0);
                out.extend_from_slice(&earliest.to_le_bytes());
                writer::string(out, run);
                Type::HashListpackEx
            }
        },
        Ok(CollectionRef::Object(hash)) => hash_table(out, hash, now),
        Err(_) => unfit(entry, Type::Hash),
    }
}

/// Without the fields that have expired.
fn hash_table(out: &mut Vec<u8>, hash: &Hash, now: UnixMs) -> Type {
    let earliest = hash.iter(now).filter_map(|field| field.expiry).min();
    if let Some(earliest) = earliest {
        out.extend_from_slice(&earliest.to_le_bytes());
    }
    writer::length(out, hash.iter(now).count());
    for field in hash.iter(now) {
        if let Some(earliest) = earliest {
            // 0 stands for none.
            let behind = field.expiry.map_or(0, |at| at - earliest + 1);
            writer::length(out, behind as usize);
        }
        writer::string(out, field.name.text(&mut Digits::default()));
        writer::string(out, field.value.text(&mut Digits::default()));
    }
    if earliest.is_some() { Type::HashWithExpiries } else { Type::Hash }
}
