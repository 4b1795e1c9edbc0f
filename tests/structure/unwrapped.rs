//! Files whose prose is not wrapped yet. This list only becomes shorter.

pub(crate) const UNWRAPPED: &[&str] = &[];
