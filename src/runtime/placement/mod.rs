//! Decides on which worker a new thread starts: the policy and its inputs.

pub(super) mod load;
pub(super) mod policy;
pub(super) mod sites;
