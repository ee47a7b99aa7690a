//! The order of elements, and what is answered for them.

use std::cmp::Ordering;

use super::request::{By, Get, Request};
use crate::commands::CommandError;
use crate::text::number;

/// What there is at a key that a pattern has named, or in a field there: a string, if any.
pub type LookUp<'l> = dyn FnMut(&[u8], Option<&[u8]>) -> Option<Vec<u8>> + 'l;

/// What an element is sorted by.
#[derive(Debug)]
enum Weight {
    Number(f64),
    /// `None` is less than any.
    Text(Option<Vec<u8>>),
    /// Its own text.
    Element,
}

/// Sorts the elements and keeps those that the request is about.
pub fn sorted(
    elements: Vec<Vec<u8>>,
    request: &Request<'_>,
    look_up: &mut LookUp<'_>,
) -> Result<Vec<Vec<u8>>, CommandError> {
    let mut weighed = Vec::with_capacity(elements.len());
    for element in elements {
        let weight = weight(&element, request, look_up)?;
        weighed.push((weight, element));
    }
    if !matches!(request.by, By::Nothing) {
        weighed.sort_by(|a, b| {
            let order = compare(a, b);
            if request.descending { order.reverse() } else { order }
        });
    }
    let wanted = request.limit.map_or(0..weighed.len(), |limit| limit.range(weighed.len()));
    weighed.truncate(wanted.end);
    Ok(weighed.drain(wanted.start..).map(|(_, element)| element).collect())
}

fn weight(
    element: &[u8],
    request: &Request<'_>,
    look_up: &mut LookUp<'_>,
) -> Result<Weight, CommandError> {
    let alpha = request.alpha;
    let text = match request.by {
        By::Nothing => return Ok(Weight::Element),
        By::Element if alpha => return Ok(Weight::Element),
        By::Element => return number(element).map(Weight::Number),
        By::Pattern(pattern) => look_up(&pattern.key_for(element), pattern.field),
    };
    match text {
        text if alpha => Ok(Weight::Text(text)),
        Some(text) => number(&text).map(Weight::Number),
        None => Ok(Weight::Number(0.0)),
    }
}

/// As `strtod` reads it: nothing at all is 0, and white space may come first.
fn number(text: &[u8]) -> Result<f64, CommandError> {
    let error = "ERR One or more scores can't be converted into double";
    match text.trim_ascii_start() {
        [] => Ok(0.0),
        text => number::parse_f64(text).ok_or(CommandError::text(error)),
    }
}

/// Of equal numbers the elements decide, so that the order is always the same.
fn compare(a: &(Weight, Vec<u8>), b: &(Weight, Vec<u8>)) -> Ordering {
    match (&a.0, &b.0) {
        (Weight::Number(one), Weight::Number(other)) => {
            one.partial_cmp(other).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(&b.1))
        }
        (Weight::Text(one), Weight::Text(other)) => one.cmp(other),
        _ => a.1.cmp(&b.1),
    }
}

/// What is answered for the elements, one after the other: for each, what every GET says.
pub fn results(
    elements: Vec<Vec<u8>>,
    gets: &[Get<'_>],
    look_up: &mut LookUp<'_>,
    mut show: impl FnMut(Option<&[u8]>) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    for element in elements {
        if gets.is_empty() {
            show(Some(&element))?;
        }
        for get in gets {
            match get {
                Get::Element => show(Some(&element))?,
                Get::Nothing => show(None)?,
                Get::Pattern(pattern) => {
                    show(look_up(&pattern.key_for(&element), pattern.field).as_deref())?;
                }
            }
        }
    }
    Ok(())
}
