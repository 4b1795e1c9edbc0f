//! What only some systems have: the modules of [`std::os`] that have something of ours in them.

pub mod unix;
