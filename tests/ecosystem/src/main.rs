//! The complete programs of the guide's page on HTTP and TLS: each module is server and client on
//! loopback.

mod http;
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
    });
}
