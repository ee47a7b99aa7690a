//! What the tests are made of: servers, connections, replies, seeded randomness, second hosts.

pub mod client;
pub mod control_group;
pub mod lines;
pub mod need;
pub mod netns;
pub mod server;
pub mod value;

pub use client::{Client, encode};
pub use need::{Need, on_one_and_four_shards, test, test_where, test_with};
pub use ringwell_test_support::{ListCommand, ListKeys, ListReply, Rng, seed, wait_for};
pub use server::{Scratch, Server};
pub use value::{Value, lossy, shown};
