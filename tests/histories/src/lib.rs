//! Checks recorded histories of a key-value server, from a simulation or from a server under load.
//!
//! # The map
//!
//! | module | what it is |
//! |---|---|
//! | [`History`] | what clients sent, when, and what they got: transactions of several operations |
//! | [`transactions`] | strict serializability over many keys; fast, finds nearly all there is |
//! | [`linearizability`] | single keys, with deletions, counters and compare-and-set; complete |
//!
//! # Transactions
//!
//! [`transactions::check`] works in the manner of Elle (K. Kingsbury and P. Alvaro, "Elle: Inferring
//! Isolation Anomalies from Experimental Observations", VLDB 2020). Every written value is unique,
//! so that a read names the transaction whose write it saw. From that follow dependencies (Adya's):
//!
//! - `wr`: it read what the other wrote;
//! - `ww`: it overwrote what the other wrote;
//! - `rw`: it overwrote what the other read, which must be before it therefore;
//!
//! and, whatever the data says, the order of a process ([`ProcessOrder`]) and of real time. In a
//! strictly serializable history they are all part of one order, so a cycle proves that it is none.
//! A report has the transactions of a shortest cycle of the worst kind with a reason for each step.
//! Some things are wrong without a cycle: see [`transactions::AnomalyKind`].
//!
//! **Lists** ([`Op::Append`], [`Op::ReadList`]) tell the most: a read has the whole past of its key
//! in it, so the longest read is the order of all writes before it, and every other read must be a
//! prefix. Where each list is read once more in the end and none is deleted, the checker finds a
//! proof whenever there is one. A length read ([`Op::ReadLength`]) stands for as much of the longest
//! read. A server without lists has them as strings: append `17,` and read `3,5,17,`.
//!
//! **Queues** ([`Op::Enqueue`], [`Op::Dequeue`], [`Op::ReadQueue`]) are lists whose first element may
//! be taken out. A read is a window on all elements that ever were there: neighbours in it say which
//! came in, and so goes out, after which. An element that moves from one queue to another is taken
//! off one and added to the other in one transaction. Let it come to no queue twice.
//!
//! **Registers** ([`Op::Write`], [`Op::Read`]) name the writer, but not who overwrote it. What can
//! be said without guessing is: a transaction that reads and then writes comes right after what it
//! read; the absence of a key that nobody deletes comes before all its writes; and the order of
//! transactions known so far orders writes, which orders more transactions, until nothing new
//! follows. Cycles that rest on this last step are called `-realtime`, because most of these orders
//! come from real time.
//!
//! # What it cannot infer
//!
//! - Blind writes to registers that overlap in time and that no two reads tell apart have no order;
//!   a proof that needs to try both orders is not found. (Of random tiny histories of registers that
//!   no serial order explains, more than 99 in 100 are found.)
//! - The absence of a key that is deleted in the history says nothing, and the lives of a list from
//!   one deletion to the next have no order. [`linearizability`] knows deletions.
//! - Elements of a queue that nobody saw side by side have no order, and an empty queue says nothing
//!   of elements that are taken sooner or later.
//! - Predicates: there are no scans, so no phantoms.
//! - A shortest cycle may be missed, but not that there is one, in a tangle of very many
//!   transactions. One cycle per tangle is reported.
//! - A wrong read in a transaction without an answer, or one that failed: results of those are not
//!   looked at.
//!
//! Equal times count as concurrent: record invocations before sending and completions after
//! receiving, with a clock that is finer than a request.
//!
//! # Single keys
//!
//! [`linearizability::check`] searches for a linearization of each key: complete, and linear in the
//! length of the history as long as few operations on one key run at once.
//!
//! # Example
//!
//! ```
//! use histories::{History, Op, ProcessOrder, transactions};
//!
//! let mut history = History::default();
//! let write = history.invoke(0, 10, vec![Op::write("x", 1), Op::write("y", 1)]);
//! let read = history.invoke(1, 11, vec![Op::read("x", None), Op::read("y", None)]);
//! history.complete(read, 14, vec![Op::read("x", Some(1)), Op::read("y", None)]);
//! history.complete(write, 15, vec![Op::write("x", 1), Op::write("y", 1)]);
//! let report = transactions::check(&history, ProcessOrder::Total).unwrap();
//! assert_eq!(report.anomalies[0].kind.to_string(), "G-single");
//! println!("{report}");
//! ```

mod history;
pub mod linearizability;
pub mod transactions;

pub use history::{History, Op, Outcome, Transaction};
pub use transactions::ProcessOrder;
