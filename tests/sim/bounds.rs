//! What clients can make the server hold.

use crate::history::command;
use crate::world::World;

const VALUE_BYTES: usize = 100_000;
/// What a client may leave unread before it is not read from, and one reply more.
const UNSENT_BYTES_MAX: usize = (1 << 20) + VALUE_BYTES + 100;

/// A world with a large value at each of these keys.
fn world_with_values(shards: usize, keys: &[&str]) -> World {
    let mut world = World::new(shards, 1);
    world.preload(keys, &"v".repeat(VALUE_BYTES));
    world
}

/// A field of the last client in CLIENT LIST, as a client of another core sees it.
fn field_of(world: &mut World, client: usize, field: &str) -> usize {
    let observer = world.connect(0);
    let id = (client + 1).to_string();
    world.send(observer, &command(&["CLIENT", "LIST", "ID", &id]));
    world.run_until_idle();
    let line = String::from_utf8(world.received(observer)).expect("a line of text");
    let mut fields = line.split(' ').filter_map(|pair| pair.split_once('='));
    let (_, value) = fields.find(|(name, _)| *name == field).expect("a field of CLIENT LIST");
    value.parse().expect("a number")
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let inline = b"GET a\r\n".to_vec();
    for (shards, request) in
        [(1, command(&["GET", "a"])), (1, inline.clone()), (4, command(&["GET", "a"])), (4, inline)]
    {
        let mut world = world_with_values(shards, &["a"]);
        for core in 0..shards {
            let client = world.connect(core);
            world.stop_reading(client);
            let pipeline = request.repeat(2_000);
            world.send(client, &pipeline);
            world.run_until_idle();
            let unsent = field_of(&mut world, client, "obl");
            let at_once = if shards == 1 { 0 } else { 40 * VALUE_BYTES };
            assert!(unsent <= UNSENT_BYTES_MAX + at_once, "{unsent} bytes for {shards} shards");
        }
    }
}

/// However many small replies came before, only so many large ones are asked for.
#[test]
fn a_client_that_does_not_read_is_not_trusted_for_its_past() {
    let keys = ["a", "b", "c", "d"];
    let mut world = world_with_values(4, &keys);
    for key in keys {
        let client = world.connect(0);
        world.send(client, &command(&["GET", "nosuch"]).repeat(5_000));
        world.run_until_idle();
        world.stop_reading(client);
        world.send(client, &command(&["GET", key]).repeat(5_000));
        world.run_until_idle();
        let unsent = field_of(&mut world, client, "obl");
        assert!(unsent <= UNSENT_BYTES_MAX + 256 * VALUE_BYTES, "{unsent} bytes");
    }
}
