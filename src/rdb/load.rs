//! From a payload to a value, in the form that it has here.

use super::Refused;
use super::reader::{Malformed, Read, Reader};
use super::types::{Origin, PACKED_NODE, PLAIN_NODE, Type};
use crate::store::value::list;
use crate::store::value::packed::{self, Packed};
use crate::store::{Encoding, Item};
use crate::text::number::Digits;

/// What the forms of values are chosen by, and how much a payload may come to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The sum of all strings that are compressed in the payload, bytes.
    pub inflated_bytes_max: usize,
    pub list: list::Limit,
}

pub fn value(
    key: &[u8],
    reader: &mut Reader<'_>,
    origin: Origin,
    limits: &Limits,
) -> Result<Item, Refused> {
    let kind = Type::from_number(reader.byte()?, origin).ok_or(Refused::Content)?;
    let item = match kind {
        Type::String => string(key, reader),
        Type::List => list_of_elements(key, reader, limits),
        Type::Quicklist => quicklist(key, reader, limits),
        _ => todo!(),
    };
    Ok(item?)
}

fn string(key: &[u8], reader: &mut Reader<'_>) -> Read<Item> {
    let value = reader.string()?;
    Ok(Item::string(key, &value, Encoding::of_value(&value), None))
}

fn list_of_elements(key: &[u8], reader: &mut Reader<'_>, limits: &Limits) -> Read<Item> {
    let mut list = list::Builder::new(limits.list);
    for _ in 0..reader.count()? {
        list.push(&reader.string()?).map_err(|_| Malformed)?;
    }
    list.into_item(key).ok_or(Malformed)
}

fn quicklist(key: &[u8], reader: &mut Reader<'_>, limits: &Limits) -> Read<Item> {
    let mut list = list::Builder::new(limits.list);
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
