//! `proxy`: both directions, half-close, timeouts, the limit, the statistics.

use super::program::Server;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

fn proxy(target: SocketAddr, options: &[&str]) -> Option<Server> {
    let target = target.to_string();
    let mut args = options.to_vec();
    args.extend([&*target, "127.0.0.1:0"]);
    Server::start("proxy", &args)
}

/// A client, and the server that the proxy has connected it to.
fn pair(proxy: &Server, target: &TcpListener) -> (TcpStream, TcpStream) {
    let client = proxy.connect();
    let (server, _) = target.accept().unwrap();
    server
        .set_read_timeout(client.read_timeout().unwrap())
        .unwrap();
    (client, server)
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, text: &str) {
    from.write_all(text.as_bytes()).unwrap();
    let mut passed = vec![0; text.len()];
    to.read_exact(&mut passed).unwrap();
    assert_eq!(passed, text.as_bytes());
}

fn has_ended(mut stream: &TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0))
}

#[test]
fn passes_both_directions_and_their_ends() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(proxy) = proxy(target.local_addr().unwrap(), &[]) else {
        return;
    };
    let (client, server) = pair(&proxy, &target);
    pass(&client, &server, "there");
    pass(&server, &client, "and back");

    // The end of one direction arrives, and the other direction continues.
    client.shutdown(Shutdown::Write).unwrap();
    assert!(has_ended(&server));
    pass(&server, &client, "still here");
    server.shutdown(Shutdown::Write).unwrap();
    assert!(has_ended(&client));

    let (client, server) = pair(&proxy, &target);
    server.shutdown(Shutdown::Write).unwrap();
    assert!(has_ended(&client));
    pass(&client, &server, "the other way round");
    drop((client, server));

    let said = proxy.interrupt();
    assert!(
        said.starts_with("accepted 2, of them 0 unreachable, 0 idle"),
        "{said}"
    );
    assert!(said.ends_with("; 24 bytes there, 18 back\n"), "{said}");
}

#[test]
fn a_lot_at_once() {
    const SIZE: usize = 5_000_000;
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(proxy) = proxy(target.local_addr().unwrap(), &[]) else {
        return;
    };
    let (client, server) = pair(&proxy, &target);
    let echo = std::thread::spawn(move || std::io::copy(&mut &server, &mut &server).unwrap());
    let mut writer = client.try_clone().unwrap();
    let sent: Vec<u8> = (0..SIZE).map(|n| (n ^ n >> 9) as u8).collect();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        (&client).read_to_end(&mut received).unwrap();
        received
    });
    // The echo ends when it sees the end of its input.
    drop(client);
    assert_eq!(echo.join().unwrap(), SIZE as u64);
    assert!(received == sent);
}

#[test]
fn an_unreachable_target() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = target.local_addr().unwrap();
    drop(target);
    let Some(proxy) = proxy(address, &[]) else {
        return;
    };
    assert!(has_ended(&proxy.connect()));
    let said = proxy.interrupt();
    assert!(
        said.starts_with("accepted 1, of them 1 unreachable"),
        "{said}"
    );
}

#[test]
fn idle_connections_end() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(proxy) = proxy(target.local_addr().unwrap(), &["--idle-timeout", "50"]) else {
        return;
    };
    let (client, server) = pair(&proxy, &target);
    assert!(has_ended(&client));
    assert!(has_ended(&server));
    let said = proxy.interrupt();
    assert!(
        said.starts_with("accepted 1, of them 0 unreachable, 1 idle"),
        "{said}"
    );
}

#[test]
fn more_than_it_may_have_wait() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(proxy) = proxy(target.local_addr().unwrap(), &["--connections", "1"]) else {
        return;
    };
    let first = pair(&proxy, &target);
    let second = proxy.connect();
    pass(&first.0, &first.1, "only one");
    drop(first);
    let (served, _) = target.accept().unwrap();
    pass(&second, &served, "now the next");
}
