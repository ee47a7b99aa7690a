//! From a payload to a value, in the form that it has here.

use super::Refused;
use super::reader::{Malformed, Read, Reader};
use super::types::{Origin, PACKED_NODE, PLAIN_NODE, Type};
use crate::commands::sets::form::{self as sets, OwnedSet};
use crate::commands::{Context, reply_bytes_max};
use crate::store::value::intset::{self, IntSet};
use crate::store::value::list;
use crate::store::value::packed::{self, Element, Packed};
use crate::store::{Encoding, Item};
use crate::text::number::Digits;

/// What values are made with, and how much a payload may come to.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    /// The sum of all strings that are compressed in the payload, bytes.
    pub inflated_bytes_max: usize,
    pub list: list::Limit,
    pub set: sets::Making,
}

impl Making {
    pub fn new(context: &mut Context<'_>) -> Making {
        Making {
            inflated_bytes_max: reply_bytes_max(context.config),
            list: list::Limit::from_directive(context.config.list_max_listpack_size),
            set: sets::Making::new(context),
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
        _ => todo!(),
    };
    Ok(item?)
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
    let run = reader.string()?;
    packed::check(&run).map_err(|_| Malformed)?;
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
