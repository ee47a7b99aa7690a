//! Histories.
mod history;
pub mod transactions;
pub use history::{History, Op, Outcome, Transaction};
pub use transactions::ProcessOrder;
