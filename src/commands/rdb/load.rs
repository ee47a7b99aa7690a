//! From a payload to a value, in the form that it has here.

use std::borrow::Cow;

use super::Refused;
use super::reader::{Malformed, Read, Reader};
use super::types::{Origin, PACKED_NODE, PLAIN_NODE, Type};
use crate::commands::hashes::form::{self as hashes, NewHash};
use crate::commands::sets::form::{self as sets, OwnedSet};
use crate::commands::sorted_sets::form::{self as sorted_sets, NewSortedSet};
use crate::commands::{Context, reply_bytes_max};
use crate::store::value::hash::{Fields, Layout};
use crate::store::value::intset::{self, IntSet};
use crate::store::value::list;
use crate::store::value::packed::{self, Element, Packed};
use crate::store::{Encoding, Item, SortedSet, UnixMs};
use crate::text::number::{Digits, parse_f64};

/// What values are made with, and how much a payload may come to.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    /// The sum of all strings that are compressed in the payload, bytes.
    pub inflated_bytes_max: usize,
    pub list: list::Limit,
    pub set: sets::Making,
    pub sorted_set: sorted_sets::Making,
    pub hash: hashes::Limits,
}

impl Making {
    pub fn new(context: &mut Context<'_>) -> Making {
        Making {
            inflated_bytes_max: reply_bytes_max(context.config),
            list: list::Limit::from_directive(context.config.list_max_listpack_size),
            set: sets::Making::new(context),
            sorted_set: sorted_sets::Making::new(context),
            hash: hashes::Limits::new(context),
        }
    }
}

pub fn value(
    key: &[u8],
    reader: &mut Reader<'_>,
    origin: Origin,
    making: &Making,
) -> Result<Item, Refused> {
    let kind = Type::from_number(reader.byte()?, origin).ok_or(Refused::Content)?;
    let item = match kind {
        Type::String => string(key, reader),
        Type::List => list_of_elements(key, reader, making),
        Type::Quicklist => quicklist(key, reader, making),
        Type::Set => set_of_members(key, reader, making),
        Type::IntSet => intset(key, reader, making),
        Type::SetListpack => packed_set(key, reader, making),
        Type::SortedSet => sorted_set(key, reader, making, |reader| reader.f64()),
        Type::SortedSetOfText => sorted_set(key, reader, making, |reader| reader.f64_text()),
        Type::SortedSetListpack => packed_sorted_set(key, reader, making),
        Type::Hash => hash(key, reader, making),
        Type::HashListpack => packed_hash(key, reader, making, Layout::Pairs),
        Type::HashListpackEx => {
            // When the first field expires, as the run says too.
            reader.u64()?;
            packed_hash(key, reader, making, Layout::Triples)
        }
        Type::HashWithExpiries => hash_with_expiries(key, reader, making),
        Type::HashOfValkey => hash_of_valkey(key, reader, making),
    };
    Ok(item?)
}

/// A string that is a sound packed run, and how many elements it has.
fn packed_run<'a>(reader: &mut Reader<'a>) -> Read<(Cow<'a, [u8]>, usize)> {
    let run = reader.string()?;
    let elements = packed::check(&run).map_err(|_| Malformed)?;
    Ok((run, elements))
}

fn string(key: &[u8], reader: &mut Reader<'_>) -> Read<Item> {
    let value = reader.string()?;
    Ok(Item::string(key, &value, Encoding::of_value(&value), None))
}

fn list_of_elements(key: &[u8], reader: &mut Reader<'_>, making: &Making) -> Read<Item> {
    let mut list = list::Builder::new(making.list);
    for _ in 0..reader.count()? {
        list.push(&reader.string()?).map_err(|_| Malformed)?;
    }
    list.into_item(key).ok_or(Malformed)
}

fn quicklist(key: &[u8], reader: &mut Reader<'_>, making: &Making) -> Read<Item> {
    let mut list = list::Builder::new(making.list);
    for _ in 0..reader.count()? {
        let container = reader.length()?;
        let node = reader.string()?;
        match container {
            PLAIN_NODE => list.push(&node).map_err(|_| Malformed)?,
            PACKED_NODE => {
                packed::check(&node).map_err(|_| Malformed)?;
                for element in Packed::new(&node).iter() {
                    list.push(element.text(&mut Digits::default())).map_err(|_| Malformed)?;
                }
            }
            _ => return Err(Malformed),
        }
    }
    // Nodes need not have elements.
    list.into_item(key).ok_or(Malformed)
}

fn set_of_members(key: &[u8], reader: &mut Reader<'_>, making: &Making) -> Read<Item> {
    let mut set = OwnedSet::new(making.set);
    for _ in 0..reader.count()? {
        add(&mut set, &reader.string()?)?;
    }
    Ok(set.into_item(key))
}

fn intset(key: &[u8], reader: &mut Reader<'_>, making: &Making) -> Read<Item> {
    let bytes = reader.string()?;
    intset::check(&bytes).map_err(|_| Malformed)?;
    set_of(key, IntSet::new(&bytes).iter().map(Element::Integer), making)
}

fn packed_set(key: &[u8], reader: &mut Reader<'_>, making: &Making) -> Read<Item> {
    let (run, _) = packed_run(reader)?;
    set_of(key, Packed::new(&run).iter(), making)
}

fn set_of<'m>(
    key: &[u8],
    members: impl Iterator<Item = Element<'m>>,
    making: &Making,
) -> Read<Item> {
    let mut set = OwnedSet::new(making.set);
    for member in members {
        add(&mut set, member.text(&mut Digits::default()))?;
    }
    if set.as_ref().len() == 0 { Err(Malformed) } else { Ok(set.into_item(key)) }
}

/// A member that is there twice is an error.
fn add(set: &mut OwnedSet, member: &[u8]) -> Read<()> {
    if set.add(member) { Ok(()) } else { Err(Malformed) }
}

fn sorted_set(
    key: &[u8],
    reader: &mut Reader<'_>,
    making: &Making,
    score: fn(&mut Reader<'_>) -> Read<f64>,
) -> Read<Item> {
    let mut set = making.sorted_set.tree();
    for _ in 0..reader.count()? {
        let member = reader.string()?;
        add_scored(&mut set, &member, score(reader)?)?;
    }
    Ok(NewSortedSet::of_tree(set, making.sorted_set).into_item(key))
}

fn packed_sorted_set(key: &[u8], reader: &mut Reader<'_>, making: &Making) -> Read<Item> {
    let (run, elements) = packed_run(reader)?;
    if elements == 0 || !elements.is_multiple_of(2) {
        return Err(Malformed);
    }
    let mut set = making.sorted_set.tree();
    let mut elements = Packed::new(&run).iter();
    while let (Some(member), Some(score)) = (elements.next(), elements.next()) {
        let score = parse_f64(score.text(&mut Digits::default())).ok_or(Malformed)?;
        add_scored(&mut set, member.text(&mut Digits::default()), score)?;
    }
    Ok(NewSortedSet::of_tree(set, making.sorted_set).into_item(key))
}

fn add_scored(set: &mut SortedSet, member: &[u8], score: f64) -> Read<()> {
    let is_sound = !score.is_nan() && set.insert(member, score).is_none();
    if is_sound { Ok(()) } else { Err(Malformed) }
}

fn hash(key: &[u8], reader: &mut Reader<'_>, making: &Making) -> Read<Item> {
    let mut hash = NewHash::new(making.hash);
    for _ in 0..reader.count()? {
        let (name, value) = (reader.string()?, reader.string()?);
        add_field(&mut hash, &name, &value, None)?;
    }
    hash.into_item(key).ok_or(Malformed)
}

fn packed_hash(key: &[u8], reader: &mut Reader<'_>, making: &Making, layout: Layout) -> Read<Item> {
    let (run, elements) = packed_run(reader)?;
    let fields = Fields::new(&run, layout);
    let mut hash = NewHash::new(making.hash);
    for field in fields.iter() {
        let (mut name, mut value) = (Digits::default(), Digits::default());
        let (name, value) = (field.name.text(&mut name), field.value.text(&mut value));
        add_field(&mut hash, name, value, field.expiry)?;
    }
    // Nothing may be left over of the last one.
    if fields.len() * layout.width() != elements {
        return Err(Malformed);
    }
    hash.into_item(key).ok_or(Malformed)
}

fn hash_with_expiries(key: &[u8], reader: &mut Reader<'_>, making: &Making) -> Read<Item> {
    let earliest = reader.u64()?;
    let mut hash = NewHash::new(making.hash);
    for _ in 0..reader.count()? {
        let expiry = match reader.length()? as u64 {
            0 => None,
            behind => Some(earliest.checked_add(behind - 1).ok_or(Malformed)?),
        };
        let (name, value) = (reader.string()?, reader.string()?);
        add_field(&mut hash, &name, &value, expiry)?;
    }
    hash.into_item(key).ok_or(Malformed)
}

fn hash_of_valkey(key: &[u8], reader: &mut Reader<'_>, making: &Making) -> Read<Item> {
    let mut hash = NewHash::new(making.hash);
    for _ in 0..reader.count()? {
        let (name, value) = (reader.string()?, reader.string()?);
        // -1: none.
        let expiry = UnixMs::try_from(reader.i64()?).ok();
        add_field(&mut hash, &name, &value, expiry)?;
    }
    hash.into_item(key).ok_or(Malformed)
}

/// No server gives a field a later expiry.
const EXPIRY_MAX: UnixMs = 1 << 46;

fn add_field(hash: &mut NewHash, name: &[u8], value: &[u8], expiry: Option<UnixMs>) -> Read<()> {
    if expiry.is_some_and(|at| at == 0 || at >= EXPIRY_MAX) {
        return Err(Malformed);
    }
    match hash.add(name, value, expiry) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Malformed),
    }
}
