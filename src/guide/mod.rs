//! How to write programs with rustlet, task by task.
//!
//! Each page is about one task and has a program for it, which is compiled and run as a test of
//! the crate. Read them in order, or pick one.
//!
//! **Begin**
//!
//! 1. [A first program](first_program): `run`, `spawn`, `join`, a channel.
//! 2. [From std](from_std): what to change in a program, and what changes in its behaviour.
//! 3. [From tokio](from_tokio), [from Go](from_go), [from gevent](from_gevent): the same program
//!    in both, and a table of names.
//!
//! **Build**
//!
//! 4. [Servers](servers): a thread for each connection; limits, time limits, graceful shutdown.
//! 5. [HTTP and TLS](http_and_tls): httparse, rustls and tungstenite, unchanged.
//! 6. [Which crates work](works_with): a table that is checked against real servers.
//! 7. [Structure and cancellation](structure): scopes, timeouts, how threads are ended.
//! 8. [Waiting for several things](select): channels, timers, children, signals and sockets in one
//!    `select!`.
//! 9. [Blocking work](blocking): files, long computations, libraries that block or call back.
//!
//! **Keep it running**
//!
//! 10. [Testing](testing): tests without sleeps and without hangs; virtual time, and schedules that
//!     replay.
//! 11. [When something hangs](hangs): what each thread waits for, and what holds a worker.
//! 12. [Reading a timeline](timeline): what ran when, and what woke it, in Perfetto.
//! 13. [Metrics](metrics): how busy the workers are, how long threads wait for them, memory.
//! 14. [Embedding](embedding): a runtime beside other code, a worker in an event loop, futures.
//! 15. [What to avoid](pitfalls): what green threads cannot hide.
//! 16. [Tools](tools): AddressSanitizer, valgrind, gdb and perf.

/// A page, of one file or of several, and under it links to the page before it, to the contents and
/// to the page after it.
macro_rules! page {
    (
        $name:ident,
        $file:literal $(+ $more:literal)* $(+ if $feature:literal $of_feature:literal)?,
        $before:literal,
        $after:literal
    ) => {
        #[doc = include_str!($file)]
        $(
            #[doc = ""]
            #[doc = include_str!($more)]
        )*
        $(
            #[cfg_attr(feature = $feature, doc = "")]
            #[cfg_attr(feature = $feature, doc = include_str!($of_feature))]
        )?
        #[doc = "\n\n---\n\n"]
        #[doc = concat!($before, "[Contents](crate::guide)", $after)]
        pub mod $name {}
    };
}

page!(
    first_program,
    "first_program.md",
    "",
    " · [From std](crate::guide::from_std) →"
);
page!(
    from_std,
    "from_std.md",
    "← [A first program](crate::guide::first_program) · ",
    " · [From tokio](crate::guide::from_tokio) →"
);
page!(
    from_tokio,
    "from_tokio.md",
    "← [From std](crate::guide::from_std) · ",
    " · [From Go](crate::guide::from_go) →"
);
page!(
    from_go,
    "from_go.md",
    "← [From tokio](crate::guide::from_tokio) · ",
    " · [From gevent](crate::guide::from_gevent) →"
);
page!(
    from_gevent,
    "from_gevent.md",
    "← [From Go](crate::guide::from_go) · ",
    " · [Servers](crate::guide::servers) →"
);
page!(
    servers,
    "servers.md",
    "← [From gevent](crate::guide::from_gevent) · ",
    " · [HTTP and TLS](crate::guide::http_and_tls) →"
);
page!(
    http_and_tls,
    "http_and_tls.md",
    "← [Servers](crate::guide::servers) · ",
    " · [Which crates work](crate::guide::works_with) →"
);
page!(
    works_with,
    "works_with.md",
    "← [HTTP and TLS](crate::guide::http_and_tls) · ",
    " · [Structure and cancellation](crate::guide::structure) →"
);
page!(
    structure,
    "structure.md",
    "← [Which crates work](crate::guide::works_with) · ",
    " · [Waiting for several things](crate::guide::select) →"
);
page!(
    select,
    "select.md",
    "← [Structure and cancellation](crate::guide::structure) · ",
    " · [Blocking work](crate::guide::blocking) →"
);
page!(
    blocking,
    "blocking.md",
    "← [Waiting for several things](crate::guide::select) · ",
    " · [Testing](crate::guide::testing) →"
);
page!(
    testing,
    "testing.md" + if "testing" "testing_simulated.md",
    "← [Blocking work](crate::guide::blocking) · ",
    " · [When something hangs](crate::guide::hangs) →"
);
page!(
    hangs,
    "hangs.md",
    "← [Testing](crate::guide::testing) · ",
    " · [Reading a timeline](crate::guide::timeline) →"
);
page!(
    timeline,
    "timeline.md" + "timeline.svg" + "timeline_2.md",
    "← [When something hangs](crate::guide::hangs) · ",
    " · [Metrics](crate::guide::metrics) →"
);
page!(
    metrics,
    "metrics.md",
    "← [Reading a timeline](crate::guide::timeline) · ",
    " · [Embedding](crate::guide::embedding) →"
);
page!(
    embedding,
    "embedding.md",
    "← [Metrics](crate::guide::metrics) · ",
    " · [What to avoid](crate::guide::pitfalls) →"
);
page!(
    pitfalls,
    "pitfalls.md",
    "← [Embedding](crate::guide::embedding) · ",
    " · [Tools](crate::guide::tools) →"
);
page!(
    tools,
    "tools.md",
    "← [What to avoid](crate::guide::pitfalls) · ",
    ""
);
