//! What is real in a simulated run.

use std::time::Duration;

use rustlet::io::{Read, Write};
use rustlet::net::{TcpListener, TcpStream};
use rustlet::os::unix::net::UnixDatagram;
use rustlet::testing::{Simulation, elapsed};

#[test]
fn time_stands_still_while_a_thread_waits_for_a_socket() {
    let recording = Simulation::new().record(|| {
        let sleeper = rustlet::spawn(|| rustlet::sleep(Duration::from_secs(3600)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = rustlet::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 5];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&request).unwrap();
        });
        let mut stream = TcpStream::connect(address).unwrap();
        // An OS thread answers late, in real time, which the virtual time must not overtake.
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        server.join().unwrap();
        assert!(!sleeper.is_finished());
        sleeper.join().unwrap();
    });
    assert_eq!(recording.failure, None);
    assert_eq!(recording.elapsed, Duration::from_secs(3600));
    assert!(!recording.is_exact);
}

#[test]
fn time_stands_still_while_the_pool_works() {
    let recording = Simulation::new().record(|| {
        let late = rustlet::timeout(Duration::from_secs(1), || {
            rustlet::unblock(|| std::thread::sleep(Duration::from_millis(20)))
        });
        assert!(late.is_ok());
        let text = rustlet::fs::read_to_string("Cargo.toml").unwrap();
        assert!(text.contains("rustlet"));
    });
    assert_eq!(recording.failure, None);
    assert_eq!(recording.elapsed, Duration::ZERO);
    assert!(!recording.is_exact);
}

#[test]
fn wait_for_a_socket_is_no_deadlock() {
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let other = std::thread::spawn(move || {
        let mut there = there;
        std::thread::sleep(Duration::from_millis(50));
        there.write_all(b"x").unwrap();
    });
    let recording = Simulation::new().record(move || {
        let mut here = rustlet::os::unix::net::UnixStream::from(here);
        here.read_exact(&mut [0]).unwrap();
    });
    assert_eq!(recording.failure, None);
    other.join().unwrap();
}

/// A thread that waits for a lock of a file tries it again after pauses of virtual time.
#[test]
fn time_moves_while_a_thread_waits_for_a_lock_of_a_file() {
    let path = std::env::temp_dir().join(format!("rustlet-simulated-{}", std::process::id()));
    let inner = path.clone();
    let recording = Simulation::new().record(move || {
        let held = rustlet::fs::File::create(&inner).unwrap();
        held.lock().unwrap();
        let waiter = rustlet::spawn(move || {
            let file = rustlet::fs::File::open(&inner).unwrap();
            file.lock().unwrap();
            elapsed()
        });
        rustlet::sleep(Duration::from_millis(100));
        held.unlock().unwrap();
        assert!(waiter.join().unwrap() >= Duration::from_millis(100));
    });
    std::fs::remove_file(path).unwrap();
    assert_eq!(recording.failure, None);
}

/// The sender pauses while the receiver waits for it.
#[test]
fn time_moves_while_a_thread_waits_for_one_that_pauses() {
    let path = std::env::temp_dir().join(format!("rustlet-full-{}", std::process::id()));
    let inner = path.clone();
    let recording = Simulation::new().max_steps(100_000).record(move || {
        let receiver = UnixDatagram::bind(&inner).unwrap();
        let sender = rustlet::spawn(move || {
            let sender = UnixDatagram::unbound().unwrap();
            for _ in 0..1000 {
                sender.send_to(&[1], &inner).unwrap();
            }
        });
        rustlet::sleep(Duration::from_millis(1));
        for _ in 0..1000 {
            receiver.recv(&mut [0]).unwrap();
        }
        sender.join().unwrap();
    });
    std::fs::remove_file(path).unwrap();
    assert_eq!(recording.failure, None);
}
