//! Backtraces of green threads. The frames are unwound from a copy of the stack.
//!
//! | file | owns |
//! |---|---|
//! | `frames.rs` | [`Backtrace`] and [`Frame`], the names of functions, the choice of the frames that are left out |
//! | `tracer.rs` | [`Tracer`]: copies stacks and unwinds them |
//! | `running.rs` | threads that are running, whose workers copy their own stacks |
//! | `modules.rs` | finds the unwind tables of the loaded files |

mod frames;
mod modules;
mod running;
#[cfg(test)]
mod tests;
mod tracer;

pub use self::frames::{Backtrace, Frame};
pub(super) use self::running::{running_frames, trace_running};
pub(super) use self::tracer::Tracer;
