//! The three standard streams.

mod input;
pub(super) mod output;
mod printer;
mod reentrant;
mod standard;
pub(super) mod stdin;
pub(super) mod terminal;
