//! What the program can be asked to do.

pub mod check;
pub mod compare;
pub mod compat;
mod figures;
pub mod knee;
pub mod run;
pub mod selftest;
