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

fn main() {
    // First: it counts the threads and workers of the process.
    json::describe().expect("JSON");
    println!("dumps, metrics and reports as JSON: ok");
    spans::interleave();
    println!("spans of tracing: ok");
    tokio_tasks::exchange();
    println!("tokio's sockets and timers: ok");
    async_streams::exchange();
    println!("AsyncRead and AsyncWrite of futures-io and tokio: ok");
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
    });
}
