//! A shard's side of commands that are carried out in hops; see [`crate::commands::hops`].

use super::Shard;
use super::way::{Way, way_of};
use crate::commands::hops::{Finding, Name};
use crate::commands::{Context, Flags, Handler, Readiness, Spread};
use crate::protocol::Args;
use crate::store::Item;
use crate::txn::{Changes, PartResult, SharedCommand};

impl Shard {
    /// What there is at these keys; the locks on them are held.
    pub(super) fn look(&mut self, command: &SharedCommand, positions: &[usize]) -> PartResult {
        let found = self.at_shard(command, |way, context, args| {
            let look = |&position: &usize| {
                let looked = match way {
                    Way::Hops(hops) => (hops.look)(context, args, position),
                    Way::FirstReady(wait) => {
                        let ready = (wait.ready)(context, args.at(position));
                        Ok(Finding::of_existence(ready != Readiness::Nothing))
                    }
                };
                (position, looked)
            };
            positions.iter().map(look).collect()
        });
        PartResult::Found(found.unwrap_or_default())
    }

    /// Takes what the command needs at this key.
    pub(super) fn take(
        &mut self,
        command: &SharedCommand,
        position: usize,
        with: Option<Item>,
    ) -> PartResult {
        let taken = self.at_shard(command, |way, context, args| match way {
            Way::Hops(hops) => (hops.take)(context, args, position, with),
            Way::FirstReady(_) => Ok(Finding::Nothing),
        });
        PartResult::Found(taken.map(|taken| (position, taken)).into_iter().collect())
    }

    /// Reads the keys that the command has named.
    pub(super) fn read(&mut self, command: &SharedCommand, names: Vec<Name>) -> PartResult {
        let Handler::Keyed(_, Spread::Reaching(reaching)) = command.row.handler else {
            debug_assert!(false, "{} names no keys", command.row.full_name);
            return PartResult::Read(names.into_iter().map(|name| (name, None)).collect());
        };
        let read = self.at_shard(command, |_, context, _| {
            let read = |name: Name| {
                let value = (reaching.read)(context, &name);
                (name, value)
            };
            names.into_iter().map(read).collect()
        });
        PartResult::Read(read.unwrap_or_default())
    }

    /// Serves a command from the one of its keys that is the argument of this index.
    pub(super) fn serve_from(&mut self, command: &SharedCommand, position: usize) -> PartResult {
        match way_of(command.row) {
            Some(Way::FirstReady(wait)) => {
                let SharedCommand { row, args, run_as } = command;
                let reply = self.serve_command(wait, row, args.as_args(), *run_as, position);
                PartResult::Reply(reply)
            }
            _ => PartResult::Reply(Vec::new()),
        }
    }

    /// Changes keys of this shard as has been decided.
    pub fn apply(&mut self, changes: Changes) {
        let Changes { command, list } = changes;
        self.at_shard(&command, |way, context, args| {
            let Way::Hops(hops) = way else { return };
            for (position, change) in list {
                (hops.apply)(context, args, position, change);
            }
        });
    }

    fn at_shard<R>(
        &mut self,
        command: &SharedCommand,
        work: impl FnOnce(&Way, &mut Context<'_>, Args<'_>) -> R,
    ) -> Option<R> {
        let SharedCommand { row, args, run_as } = command;
        let way = way_of(row);
        debug_assert!(way.is_some(), "{} does not run in hops", row.full_name);
        let no_touch = run_as.no_touch && !row.flags.contains(Flags::TOUCHES);
        if no_touch {
            self.store.set_touching(false);
        }
        let mut out = Vec::new();
        let result = work(&way?, &mut self.context(*run_as, &mut out), args.as_args());
        debug_assert!(out.is_empty(), "only the coordinator replies");
        if no_touch {
            self.store.set_touching(true);
        }
        Some(result)
    }
}
