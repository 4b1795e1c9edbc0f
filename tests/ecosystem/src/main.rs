//! The complete programs of the guide's page on HTTP and TLS: each module is server and client on
//! loopback. And recursive crates on the default stack, and what rustlet says of itself as JSON.

mod async_streams;
mod http;
mod hyper_http;
mod json;
mod spans;
mod stacks;
mod tls;
mod tokio_tasks;
mod websocket;

use rustlet_ecosystem::works;

fn main() {
    // First: it counts the threads and workers of the process.
    json::describe().expect("JSON");
    println!("dumps, metrics and reports as JSON: ok");
    spans::interleave();
    println!("spans of tracing: ok");
    tokio_tasks::exchange();
    println!("tokio's sockets and timers: ok");
    works(
        "tokio",
        "tests/ecosystem/src/tokio_tasks.rs",
        "",
        "tokio's own sockets, timers and tasks on 100 green threads (feature `tokio`); rustlet's \
         streams in tasks of tokio (feature `tokio-io`)",
    );
    async_streams::exchange();
    println!("AsyncRead and AsyncWrite of futures-io and tokio: ok");
    works(
        "futures-lite",
        "tests/ecosystem/src/async_streams.rs",
        "",
        "a server of std: rustlet's streams and pipes (feature `futures-io`)",
    );
    hyper_http::exchange();
    println!("HTTP/1.1 and HTTP/2 with hyper: ok");
    rustlet::run(|| {
        http::exchange().expect("HTTP");
        println!("HTTP with httparse: ok");
        tls::exchange().expect("TLS");
        println!("TLS with rustls: ok");
        websocket::exchange().expect("WebSocket");
        println!("WebSocket with tungstenite: ok");
        stacks::recurse();
        println!("serde_json and regex, nested deeply: ok");
        let program = "tests/ecosystem/src/stacks.rs";
        works(
            "regex",
            program,
            "",
            "200 nested groups on a stack of the default size",
        );
        works(
            "serde_json",
            program,
            "",
            "120 nested arrays on a stack of the default size",
        );
    });
}
