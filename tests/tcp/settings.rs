//! Options that std does not have: keepalive, buffer sizes, type of service, the queue of a
//! listener.

use super::enter;
use super::net::{TcpKeepalive, TcpListener, TcpStream, UdpSocket};
use super::pair::pair;
use rustix::net::sockopt;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

#[test]
fn keepalive() {
    enter(|| {
        let (client, _server) = pair();
        assert!(!client.keepalive().unwrap());
        client.set_keepalive(true).unwrap();
        assert!(client.keepalive().unwrap());
        client.set_keepalive(false).unwrap();
        let seconds = Duration::from_secs;
        let keepalive = TcpKeepalive::new()
            .with_time(seconds(60))
            .with_interval(seconds(10));
        client.set_tcp_keepalive(&keepalive).unwrap();
        assert!(client.keepalive().unwrap());
        assert_eq!(sockopt::tcp_keepidle(&client).unwrap(), seconds(60));
        assert_eq!(sockopt::tcp_keepintvl(&client).unwrap(), seconds(10));
        let default = sockopt::tcp_keepcnt(&client).unwrap();
        // What is not set stays.
        client
            .set_tcp_keepalive(&TcpKeepalive::default().with_retries(default + 1))
            .unwrap();
        assert_eq!(sockopt::tcp_keepcnt(&client).unwrap(), default + 1);
        assert_eq!(sockopt::tcp_keepidle(&client).unwrap(), seconds(60));
        let none = TcpKeepalive::new().with_interval(Duration::ZERO);
        let refused = client.set_tcp_keepalive(&none).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn buffer_sizes_and_type_of_service() {
    enter(|| {
        let (client, _server) = pair();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        macro_rules! check {
            ($socket:expr) => {
                let socket = $socket;
                for size in [16 << 10, 64 << 10] {
                    socket.set_recv_buffer_size(size).unwrap();
                    socket.set_send_buffer_size(size).unwrap();
                    // Linux doubles the number.
                    assert!((size..=2 * size).contains(&socket.recv_buffer_size().unwrap()));
                    assert!((size..=2 * size).contains(&socket.send_buffer_size().unwrap()));
                }
                assert_eq!(socket.tos().unwrap(), 0);
                socket.set_tos(0x10).unwrap();
                assert_eq!(socket.tos().unwrap(), 0x10);
                let refused = socket.set_tos(256).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::InvalidInput);
                assert_eq!(socket.tos().unwrap(), 0x10);
            };
        }
        check!(&client);
        check!(&listener);
        check!(&socket);
        // A machine without IPv6 has nothing to check.
        if let Ok(socket) = UdpSocket::bind("[::1]:0") {
            check!(&socket);
        }
        // A connection has the sizes of its listener.
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let size = listener.recv_buffer_size().unwrap();
        assert_eq!(server.recv_buffer_size().unwrap(), size);
        drop(client);
    });
}

/// A full queue keeps clients waiting, and lets them in later.
#[test]
fn the_queue_of_a_listener() {
    enter(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        // Linux takes one more than the number; a client that is kept waiting tries again after a
        // second at the earliest.
        let kept_waiting = loop {
            match TcpStream::connect_timeout(&address, Duration::from_millis(20)) {
                Ok(client) => clients.push(client),
                Err(error) => break error,
            }
            assert!(clients.len() <= 4, "the queue is not limited");
        };
        assert_eq!(kept_waiting.kind(), ErrorKind::TimedOut);
        for mut client in clients {
            let (mut server, _) = listener.accept().unwrap();
            server.write_all(b"x").unwrap();
            client.read_exact(&mut [0]).unwrap();
        }
        listener.listen(u32::MAX).unwrap();
        let clients = [(); 8].map(|()| TcpStream::connect(address).unwrap());
        drop(clients);
    });
}

/// The way for every other option: a socket of another crate, converted through its descriptor.
#[test]
fn a_socket_that_others_have_opened() {
    enter(|| {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
        let fd: OwnedFd = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        bind(&fd, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listen(&fd, 5).unwrap();
        let listener = TcpListener::from(fd);
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    });
}
