//! The complete programs of the guide's page on HTTP and TLS: each module is server and client on
//! loopback. And recursive crates on the default stack, and what rustlet says of itself as JSON.

mod http;
mod json;
mod stacks;
mod tls;
mod websocket;

fn main() {
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
    json::describe().expect("JSON");
    println!("dumps, metrics and reports as JSON: ok");
}
