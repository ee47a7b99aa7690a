//! A small hash in one packed run, in the two layouts that Redis has for it.
//!
//! | encoding | elements | order |
//! |---|---|---|
//! | `listpack` | field, value | as they were added |
//! | `listpackex` | field, value, expiry (Unix ms; 0: none) | those that expire first, the earliest ahead; then the others, as they were added |
//!
//! So a hash some of whose fields expire tells when by its first field, and all that has expired
//! is at the front. DUMP copies either run as it is.

use std::iter::FusedIterator;

use super::Field;
use crate::store::value::packed::{self, Cursor, Element, Needle, Packed};
use crate::store::{Encoding, UnixMs};

/// What a field consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Field and value.
    Pairs,
    /// Field, value and expiry.
    Triples,
}

impl Layout {
    /// That of a packed hash of this encoding.
    #[inline]
    pub fn of(encoding: Encoding) -> Layout {
        match encoding {
            Encoding::ListpackEx => Layout::Triples,
            _ => Layout::Pairs,
        }
    }

    /// Elements of a field.
    #[inline]
    pub fn width(self) -> usize {
        match self {
            Layout::Pairs => 2,
            Layout::Triples => 3,
        }
    }
}

/// Where a field is in its run. Good until the run is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(Cursor);

/// A packed hash that is read.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    run: Packed<'a>,
    layout: Layout,
}

impl<'a> Fields<'a> {
    #[inline]
    pub fn new(run: &'a [u8], layout: Layout) -> Fields<'a> {
        Fields { run: Packed::new(run), layout }
    }

    pub fn len(self) -> usize {
        self.run.len() / self.layout.width()
    }

    pub fn is_empty(self) -> bool {
        self.run.is_empty()
    }

    pub fn layout(self) -> Layout {
        self.layout
    }

    #[inline]
    pub fn find(self, name: &Needle<'_>) -> Option<Place> {
        self.run.find(self.run.first()?, name, self.layout.width() - 1).map(Place)
    }

    /// The field there.
    #[inline]
    pub fn at(self, place: Place) -> Option<Field<'a>> {
        self.iter_from(place.0).next()
    }

    /// The field of that index.
    pub fn nth(self, index: usize) -> Option<Field<'a>> {
        let index = i64::try_from(index * self.layout.width()).ok()?;
        self.at(Place(self.run.seek(index)?))
    }

    pub fn iter(self) -> Iter<'a> {
        Iter { elements: self.run.iter(), layout: self.layout }
    }

    fn iter_from(self, from: Cursor) -> Iter<'a> {
        Iter { elements: self.run.iter_from(from), layout: self.layout }
    }

    /// When the first field is due, if any expires.
    pub fn earliest(self) -> Option<UnixMs> {
        match self.layout {
            Layout::Pairs => None,
            Layout::Triples => self.iter().next()?.expiry,
        }
    }

    /// How many fields have expired. They are the first ones.
    pub fn expired(self, now: UnixMs) -> usize {
        match self.layout {
            Layout::Pairs => 0,
            Layout::Triples => self.iter().take_while(|field| field.is_expired(now)).count(),
        }
    }
}

/// The fields of a run, from front to back.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    elements: packed::Iter<'a>,
    layout: Layout,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        let (name, value) = (self.elements.next()?, self.elements.next()?);
        let expiry = match self.layout {
            Layout::Pairs => None,
            Layout::Triples => expiry_of(self.elements.next()?),
        };
        Some(Field { name, value, expiry })
    }
}

impl FusedIterator for Iter<'_> {}

fn expiry_of(element: Element<'_>) -> Option<UnixMs> {
    match element {
        Element::Integer(at) => UnixMs::try_from(at).ok().filter(|&at| at > 0),
        Element::Bytes(_) => None,
    }
}

/// Changing packed hashes, wherever their bytes are kept.
pub mod edit {
    use super::{Element, Fields, Layout, Place, UnixMs};
    use crate::store::value::packed::{self, Buffer, End, Full, Packed};

    /// Adds a field, of which there is none of that name.
    #[inline]
    pub fn add(
        run: &mut impl Buffer,
        layout: Layout,
        name: Element<'_>,
        value: Element<'_>,
        expiry: Option<UnixMs>,
    ) -> Result<(), Full> {
        let at = Element::Integer(expiry.map_or(0, |at| at as i64));
        let elements = [name, value, at];
        let before = match expiry {
            None => None,
            Some(at) => first_not_before(Fields::new(run.bytes(), layout), at),
        };
        match before {
            None => {
                let elements = elements[..layout.width()].iter().copied();
                packed::push_many(run, End::Back, elements)
            }
            // The later ones stand behind what is put in front of them.
            Some(Place(cursor)) => elements
                .into_iter()
                .rev()
                .try_for_each(|element| packed::insert(run, cursor, element)),
        }
    }

    /// As in Redis, a field comes ahead of those that expire at the same time.
    fn first_not_before(fields: Fields<'_>, at: UnixMs) -> Option<Place> {
        let mut iter = fields.iter();
        loop {
            let place = Place(iter.elements.cursor());
            if iter.next()?.expiry.is_none_or(|other| other >= at) {
                return Some(place);
            }
        }
    }

    /// Gives the field there another value.
    #[inline]
    pub fn set_value(run: &mut impl Buffer, place: Place, value: Element<'_>) -> Result<(), Full> {
        match Packed::new(run.bytes()).next(place.0) {
            Some(cursor) => packed::replace(run, cursor, value),
            None => Ok(()),
        }
    }

    /// Gives the field there this expiry or none, and the place that goes with it. The layout is
    /// [`Layout::Triples`].
    pub fn set_expiry(
        run: &mut impl Buffer,
        place: Place,
        expiry: Option<UnixMs>,
    ) -> Result<(), Full> {
        let Some(field) = Fields::new(run.bytes(), Layout::Triples).at(place) else {
            return Ok(());
        };
        let (name, value) = (field.name.to_vec(), field.value.to_vec());
        remove(run, Layout::Triples, place);
        add(run, Layout::Triples, (&name[..]).into(), (&value[..]).into(), expiry)
    }

    /// Removes the field there.
    pub fn remove(run: &mut impl Buffer, layout: Layout, place: Place) {
        packed::delete_range(run, place.0, layout.width());
    }

    /// Removes the first `count` fields.
    pub fn remove_first(run: &mut impl Buffer, layout: Layout, count: usize) {
        if let Some(first) = Packed::new(run.bytes()).first() {
            packed::delete_range(run, first, count * layout.width());
        }
    }

    /// The same fields with room for expiries.
    pub fn with_expiries(fields: Fields<'_>) -> Result<Vec<u8>, Full> {
        let mut run = packed::new().to_vec();
        let elements = fields.iter().flat_map(|field| {
            let at = field.expiry.map_or(0, |at| at as i64);
            [field.name, field.value, Element::Integer(at)]
        });
        packed::push_many(&mut run, End::Back, elements)?;
        Ok(run)
    }
}
