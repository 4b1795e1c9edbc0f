//! On which worker a new thread starts: the policy, and what it is decided from.

pub(super) mod load;
pub(super) mod policy;
pub(super) mod sites;
