//! What only Unix has.

pub mod process;
