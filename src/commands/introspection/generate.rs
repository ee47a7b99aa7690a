//! Argument lists for tests, made from the notation of a row's arguments.

use super::syntax::{Argument, Kind, parse};
use crate::commands::Row;

/// A command with arguments, each random number drawn from `next`.
pub fn generated_arguments(row: &Row, next: &mut dyn FnMut() -> u64) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = row.full_name.split('|').map(|name| name.into()).collect();
    let arguments = parse(row.docs.arguments).expect("the notation of every row is right");
    arguments.iter().for_each(|argument| push(argument, next, &mut words));
    words
}

fn push(argument: &Argument, next: &mut dyn FnMut() -> u64, words: &mut Vec<Vec<u8>>) {
    if argument.optional && next().is_multiple_of(2) {
        return;
    }
    let times = if argument.multiple { 1 + next() % 4 } else { 1 };
    for time in 0..times {
        if let Some(token) = &argument.token
            && (time == 0 || argument.multiple_token)
        {
            words.push(token.as_bytes().to_vec());
        }
        push_once(argument, next, words);
    }
}

fn push_once(argument: &Argument, next: &mut dyn FnMut() -> u64, words: &mut Vec<Vec<u8>>) {
    let mut one_of =
        |choices: &[&str]| choices[next() as usize % choices.len()].as_bytes().to_vec();
    let word = match argument.kind {
        Kind::PureToken => return,
        Kind::Block => {
            return argument.arguments.iter().for_each(|part| push(part, next, words));
        }
        Kind::OneOf => {
            let chosen = next() as usize % argument.arguments.len();
            return push(&argument.arguments[chosen], next, words);
        }
        Kind::Key => one_of(&["a", "b", "c", "d", "e", "f"]),
        Kind::Pattern => one_of(&["*", "[a-c]", "?", "max*"]),
        Kind::Integer => one_of(&["0", "1", "2", "3", "-1", "10", "100"]),
        Kind::Double => one_of(&["0.5", "-1.25", "3"]),
        Kind::UnixTime => one_of(&["1700000001", "1700000900000", "99999999999"]),
        Kind::String => one_of(&["a", "5", "hello world", "", "line\r\nbreak", "get", "hz"]),
    };
    words.push(word);
}
