//! Backtraces of green threads that are suspended: the frames are unwound from a copy of the stack.
//!
//! | file | owns |
//! |---|---|
//! | `frames.rs` | [`Backtrace`] and [`Frame`], the names of functions, which frames are left out |
//! | `tracer.rs` | [`Tracer`]: copies stacks and unwinds them |
//! | `modules.rs` | where the loaded files keep the tables of the unwinder |

mod frames;
mod modules;
#[cfg(test)]
mod tests;
mod tracer;

pub use self::frames::{Backtrace, Frame};
pub(super) use self::tracer::Tracer;
