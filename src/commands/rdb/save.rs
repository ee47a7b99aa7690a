//! From a value to its payload.

use super::types::{PACKED_NODE, Type};
use super::writer;
use crate::store::{CollectionRef, Encoding, EntryRef, Kind, List, Set};

/// The type and the value, and the version that they take.
pub fn value(entry: EntryRef<'_>) -> (Vec<u8>, u16) {
    // The place of the type, which depends on the form.
    let mut out = vec![0];
    let saved = match entry.kind() {
        Kind::String => string(&mut out, entry),
        Kind::List => list(&mut out, entry),
        Kind::Set => set(&mut out, entry),
        other => todo!("{other:?}"),
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
