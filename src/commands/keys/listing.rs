//! Names of keys: all that match a pattern, or any one.

use crate::commands::scanning::{Names, Pattern};
use crate::commands::{Categories, Command, Context, Docs, Flags, Group, Handler, Merge, Outcome};
use crate::protocol::Args;

pub const KEYS: Command = Command {
    name: "keys",
    arity: 2,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    keys: &[],
    handler: Handler::EveryShard(keys, Merge::Concatenate),
    docs: Docs {
        summary: "Returns the names of all keys that match a pattern.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(N) where N is the number of keys in the database.",
        arguments: "pattern",
    },
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    subcommands: &[],
};

fn keys(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let pattern = Pattern::new(args.at(1));
    let mut names = Names::default();
    for entry in context.db().iter(context.now) {
        if pattern.matches(entry.key()) {
            names.push(entry.key());
        }
    }
    names.write(&mut context.reply);
    Ok(())
}

/// A key that was there at some moment between the request and the reply, of those that DBSIZE would
/// count. Null says that each shard was empty at such a moment.
pub const RANDOMKEY: Command = Command {
    name: "randomkey",
    arity: 1,
    flags: Flags::READONLY.union(Flags::UNSYNCHRONIZED),
    categories: Categories::KEYSPACE,
    keys: &[],
    handler: Handler::EveryShard(randomkey, Merge::Weighted),
    docs: Docs {
        summary: "Returns the name of a key chosen at random.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(1)",
        arguments: "",
    },
    tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
    subcommands: &[],
};

/// Replies with the weight of this shard in the choice, and its candidate.
fn randomkey(context: &mut Context<'_>, _args: Args<'_>) -> Outcome {
    let len = context.db().len();
    context.reply.array(2);
    match context.shard.random_entry(context.db_index, context.now) {
        Some(entry) => {
            context.reply.integer(len as i64);
            context.reply.bulk(entry.key());
        }
        None => {
            context.reply.integer(0);
            context.reply.null();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    #[test]
    fn keys() {
        let mut server = Server::new();
        server.check(&[
            ("keys *", "*0"),
            ("set hello 1", "+OK"),
            ("keys *", "*1 $5 hello"),
            ("keys h?llo", "*1 $5 hello"),
            ("keys h[^e]llo", "*0"),
            ("keys HELLO", "*0"),
            ("mset '' 1 hallo 2", "+OK"),
            ("keys ''", "*1 $0 "),
            ("keys ha*", "*1 $5 hallo"),
            ("expire hallo -1", ":1"),
            ("keys ha*", "*0"),
        ]);
        assert_eq!(server.run("keys h*"), "*1 $5 hello");
        assert!(server.run("keys *").starts_with("*2 "));
    }

    #[test]
    fn randomkey() {
        let mut server = Server::new();
        server.check(&[
            ("randomkey", "*2 :0 $-1"),
            ("set a 1", "+OK"),
            ("randomkey", "*2 :1 $1 a"),
            ("set b 1 px 1", "+OK"),
        ]);
        let mut seen = [false; 2];
        for _ in 0..1_000 {
            let reply = server.run("randomkey");
            seen[usize::from(reply == "*2 :2 $1 b")] = true;
            assert!(["*2 :2 $1 a", "*2 :2 $1 b"].contains(&&*reply), "{reply}");
        }
        assert_eq!(seen, [true; 2]);
        server.advance_ms(1);
        for _ in 0..100 {
            server.check(&[("randomkey", "*2 :2 $1 a")]);
        }
        server.check(&[("del a", ":1"), ("randomkey", "*2 :0 $-1")]);
    }
}
