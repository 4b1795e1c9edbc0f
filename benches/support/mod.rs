//! The code shared by the benchmarks: the machine they run on, and the table they print.

#[allow(dead_code, reason = "not every benchmark needs all of it")]
pub(crate) mod connection;
#[allow(dead_code, reason = "not every benchmark needs all of it")]
pub(crate) mod machine;
#[allow(dead_code, reason = "not every benchmark needs all of it")]
pub(crate) mod table;
