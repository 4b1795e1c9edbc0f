//! The three standard streams.

mod input;
pub(super) mod macros;
pub(super) mod output;
mod printer;
mod reentrant;
pub(super) mod stdin;
mod stream;
pub(super) mod terminal;
