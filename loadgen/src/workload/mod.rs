//! What is sent: which command next, on which key, with which value.
//!
//! Pure: no I/O, no clock; every choice follows from the seed and the number of the thread. Commands
//! are encoded once, when a [`Generator`] is made; [`Generator::next`] copies the fragments, writes
//! the digits of keys into them and copies values from a pool of random bytes.
//!
//! | file | what it knows |
//! |---|---|
//! | `generator` | choosing a command by weight, and appending it to an output buffer |
//! | `template` | words with placeholders to RESP fragments |
//! | `distribution`, `zipf`, `permutation` | which key |
//! | `values` | how long a value is, and its bytes |
//! | `commands` | what is known of commands by their names: templates of `--mix`, misses |
//! | `verify` | values that describe themselves, and what may be read when |
//! | `expectation` | the hit ratio that a workload implies |

mod commands;
mod distribution;
mod expectation;
mod generator;
mod permutation;
mod template;
mod values;
pub mod verify;
mod zipf;

pub use commands::{MIX, MixCommand, mix_command};
pub use generator::{Generator, Request, Verify};
pub use template::{MOST_KEYS, PLACEHOLDERS};
pub use values::LONGEST_VALUE;
