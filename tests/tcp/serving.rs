//! `net::serve` and `net::Server`.

use super::net::{self, Server, SocketAddr, TcpStream};
use super::pair::echo;
use super::{enter, thread};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

fn ask(stream: &mut TcpStream) {
    try_to_ask(stream).unwrap();
}

fn try_to_ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"?")?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"?");
    Ok(())
}

fn bind() -> (Server, SocketAddr) {
    let server = Server::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap();
    (server, addr)
}

#[test]
fn serve_reports_an_address_that_it_cannot_have() {
    enter(|| {
        let (_server, addr) = bind();
        let error = net::serve(addr, |_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    });
}

#[test]
fn each_connection_has_its_own_thread() {
    enter(|| {
        let (server, addr) = bind();
        let handle = server.handle();
        let serving = thread::spawn(move || server.serve(|stream| echo(&stream)));
        // All are open at once, and get requests in turn.
        let mut clients: Vec<_> = (0..50).map(|_| TcpStream::connect(addr).unwrap()).collect();
        for _ in 0..3 {
            clients.iter_mut().for_each(ask);
        }
        assert_eq!(handle.connections(), 50);
        drop(clients);
        handle.shutdown();
        serving.join().unwrap().unwrap();
        assert_eq!(handle.connections(), 0);
    });
}

/// A thread that was unparked before the server was at its limit, and waited for room there, still
/// finds its token after `serve`.
#[test]
fn the_token_of_the_serving_thread_is_its_users() {
    enter(|| {
        let (server, addr) = bind();
        let server = server.max_connections(1);
        let handle = server.handle();
        let serving = thread::spawn(move || {
            let served = server.serve(|stream| echo(&stream));
            let unparked = rustlet::timeout(LONG / 60, rustlet::park).is_ok();
            (served, unparked)
        });
        serving.thread().unpark();
        let mut first = TcpStream::connect(addr).unwrap();
        ask(&mut first);
        let mut second = TcpStream::connect(addr).unwrap();
        drop(first);
        ask(&mut second);
        drop(second);
        handle.shutdown();
        let (served, unparked) = serving.join().unwrap();
        served.unwrap();
        assert!(unparked);
    });
}

/// Connects this many clients at once to a server with two workers, sends each a request, and
/// counts how many each worker has got.
fn spread(count: usize) -> Vec<usize> {
    let runtime = rustlet::Builder::new().workers(2).build().unwrap();
    let (server, addr) = bind();
    let handle = server.handle();
    let seen = Arc::new(Mutex::new(HashMap::new()));
    let theirs = Arc::clone(&seen);
    let serving = runtime.spawn(move || {
        server.serve(move |stream| {
            let worker = std::thread::current().id();
            *theirs.lock().unwrap().entry(worker).or_insert(0) += 1;
            echo(&stream);
        })
    });
    let connect = |_| std::net::TcpStream::connect(addr).unwrap();
    let mut clients: Vec<_> = (0..count).map(connect).collect();
    for client in &mut clients {
        client.write_all(b"?").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    drop(clients);
    handle.shutdown();
    serving.join().unwrap().unwrap();
    seen.lock().unwrap().values().copied().collect()
}

/// Exactly half of them for each worker, unless the system keeps a worker from running for long.
#[test]
fn connections_that_come_at_once_are_spread() {
    let counts = spread(200);
    assert_eq!(counts.iter().sum::<usize>(), 200);
    assert!(
        counts.len() == 2 && counts.iter().all(|count| *count >= 50),
        "{counts:?}"
    );
}

/// The worker that accepts has room for half of the connections, and then computes: the other one
/// takes them.
#[test]
fn connections_behind_a_thread_that_computes_are_taken_by_others() {
    let runtime = rustlet::Builder::new().workers(2).build().unwrap();
    runtime.run(|| {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..10)
            .map(|_| std::net::TcpStream::connect(addr).unwrap())
            .collect();
        for stream in listener.incoming().take(clients.len()) {
            let theirs = Arc::clone(&begun);
            thread::spawn(move || {
                theirs.fetch_add(1, SeqCst);
                echo(&stream.unwrap());
            });
        }
        while begun.load(SeqCst) < clients.len() {
            std::hint::spin_loop();
        }
    });
}

#[test]
fn from_an_os_thread() {
    let (server, addr) = bind();
    let handle = server.handle();
    let serving = std::thread::spawn(move || server.serve(|stream| echo(&stream)));
    ask(&mut TcpStream::connect(addr).unwrap());
    handle.shutdown();
    serving.join().unwrap().unwrap();
}

#[test]
fn a_panic_ends_its_connection_only() {
    enter(|| {
        let (server, addr) = bind();
        let handle = server.handle();
        let serving = thread::spawn(move || {
            server.serve(|mut stream| {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                assert_ne!(&byte, b"!", "asked to panic (this is part of a test)");
                stream.write_all(&byte).unwrap();
            })
        });
        for _ in 0..3 {
            let mut victim = TcpStream::connect(addr).unwrap();
            victim.write_all(b"!").unwrap();
            assert_eq!(victim.read(&mut [0]).unwrap(), 0);
            ask(&mut TcpStream::connect(addr).unwrap());
        }
        while handle.connections() > 0 {
            thread::yield_now();
        }
        handle.shutdown();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn no_more_connections_than_allowed() {
    enter(|| {
        let (server, addr) = bind();
        let server = server.max_connections(3);
        let handle = server.handle();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (Arc::clone(&now), Arc::clone(&most));
        let serving = thread::spawn(move || {
            server.serve(move |stream| {
                let (now, most) = &counters;
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                echo(&stream);
                now.fetch_sub(1, SeqCst);
            })
        });
        let clients: Vec<_> = (0..30)
            .map(|_| {
                thread::spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    ask(&mut stream);
                    thread::yield_now();
                    ask(&mut stream);
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        handle.shutdown();
        serving.join().unwrap().unwrap();
        assert!((1..=3).contains(&most.load(SeqCst)), "{most:?}");
        assert_eq!(now.load(SeqCst), 0);
    });
}

#[test]
fn a_stopped_server_lets_open_connections_end() {
    enter(|| {
        let (server, addr) = bind();
        let handle = server.handle();
        let serving = thread::spawn(move || server.serve(|stream| echo(&stream)));
        let mut open = TcpStream::connect(addr).unwrap();
        ask(&mut open);
        handle.shutdown();
        handle.clone().shutdown();
        ask(&mut open);
        assert!(!serving.is_finished());
        assert!(TcpStream::connect(addr).is_err());
        drop(open);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn stopping_ends_the_wait_for_a_free_slot() {
    enter(|| {
        let (server, addr) = bind();
        let server = server.max_connections(1);
        let handle = server.handle();
        let serving = thread::spawn(move || server.serve(|stream| echo(&stream)));
        let mut only = TcpStream::connect(addr).unwrap();
        ask(&mut only);
        let _queued = TcpStream::connect(addr).unwrap();
        handle.shutdown();
        drop(only);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn serve_goes_on_when_threads_run_out() {
    let runtime = rustlet::Builder::new()
        .workers(1)
        .max_threads(10)
        .build()
        .unwrap();
    runtime.run(|| {
        let (server, addr) = bind();
        let handle = server.handle();
        let serving = thread::spawn(move || server.serve(|stream| echo(&stream)));
        let mut clients = Vec::new();
        loop {
            let mut client = TcpStream::connect(addr).unwrap();
            match try_to_ask(&mut client) {
                Ok(()) => clients.push(client),
                // Closed: there is no thread for it.
                Err(_) => break,
            }
        }
        assert!((1..10).contains(&clients.len()), "{}", clients.len());
        clients.iter_mut().for_each(ask);
        drop(clients);
        while try_to_ask(&mut TcpStream::connect(addr).unwrap()).is_err() {}
        handle.shutdown();
        serving.join().unwrap().unwrap();
    });
}

// --- shutdown_timeout ---

#[test]
fn a_graceful_end_waits_for_the_connections() {
    enter(|| {
        let (server, addr) = bind();
        let handle = server.handle();
        let serving = thread::spawn(move || server.serve(|stream| echo(&stream)));
        let mut open = TcpStream::connect(addr).unwrap();
        ask(&mut open);
        let stopper = handle.clone();
        let stopping = thread::spawn(move || stopper.shutdown_timeout(LONG));
        while !handle.is_shutting_down() {
            thread::yield_now();
        }
        // It accepts no more, and serves open connections.
        ask(&mut open);
        while TcpStream::connect(addr).is_ok() {
            thread::yield_now();
        }
        assert!(!stopping.is_finished());
        drop(open);
        assert_eq!(stopping.join().unwrap(), 0);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn connections_that_do_not_end_in_time_are_cancelled_and_counted() {
    enter(|| {
        let (server, addr) = bind();
        let handle = server.handle();
        let unwound = Arc::new(AtomicUsize::new(0));
        let theirs = Arc::clone(&unwound);
        let serving = thread::spawn(move || {
            server.serve(move |stream| {
                let unwound = Arc::clone(&theirs);
                let _guard = Guard(unwound);
                echo(&stream);
            })
        });
        let mut clients: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
        clients.iter_mut().for_each(ask);
        // Some end in time.
        clients.truncate(7);
        while handle.connections() > 7 {
            thread::yield_now();
        }
        assert_eq!(handle.shutdown_timeout(Duration::from_millis(5)), 7);
        serving.join().unwrap().unwrap();
        assert_eq!(handle.connections(), 0);
        assert_eq!(unwound.load(SeqCst), 10);
        // Their sockets are closed.
        for client in &mut clients {
            assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
        }
        // Again, and too late: no connection is left.
        assert_eq!(handle.shutdown_timeout(LONG), 0);
    });

    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
}

#[test]
fn a_graceful_end_without_connections_or_before_the_beginning() {
    enter(|| {
        let (server, _) = bind();
        let handle = server.handle();
        assert_eq!(handle.shutdown_timeout(LONG), 0);
        server.serve(|_| unreachable!("it was stopped")).unwrap();
        let (server, _) = bind();
        let handle = server.handle();
        let serving = thread::spawn(move || server.serve(|stream| echo(&stream)));
        assert_eq!(handle.shutdown_timeout(LONG), 0);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_graceful_end_from_an_os_thread_and_within_a_limit() {
    let (server, addr) = bind();
    let handle = server.handle();
    let serving = std::thread::spawn(move || server.serve(|stream| echo(&stream)));
    let mut open = TcpStream::connect(addr).unwrap();
    ask(&mut open);
    // The limit ends only the waiting: no thread is cancelled.
    let result = rustlet::timeout(Duration::from_millis(2), || handle.shutdown_timeout(LONG));
    assert!(result.is_err());
    ask(&mut open);
    assert_eq!(handle.shutdown_timeout(Duration::ZERO), 1);
    serving.join().unwrap().unwrap();
}

/// Connections that come and go while the server cancels them: each handler ends, and the server
/// returns.
#[test]
fn cancelling_all_races_with_connections() {
    for _ in 0..20 {
        enter(|| {
            let (server, addr) = bind();
            let handle = server.handle();
            let inside = Arc::new(AtomicUsize::new(0));
            let theirs = Arc::clone(&inside);
            let serving = thread::spawn(move || {
                server.serve(move |stream| {
                    theirs.fetch_add(1, SeqCst);
                    let _leave = leave(&theirs);
                    echo(&stream);
                })
            });
            let clients: Vec<_> = (0..10)
                .map(|_| {
                    thread::spawn(move || {
                        while let Ok(mut stream) = TcpStream::connect(addr) {
                            if try_to_ask(&mut stream).is_err() {
                                return;
                            }
                        }
                    })
                })
                .collect();
            while inside.load(SeqCst) == 0 {
                thread::yield_now();
            }
            let _cut = handle.shutdown_timeout(Duration::ZERO);
            serving.join().unwrap().unwrap();
            assert_eq!((inside.load(SeqCst), handle.connections()), (0, 0));
            for client in clients {
                client.join().unwrap();
            }
        });
    }

    fn leave(count: &AtomicUsize) -> impl Drop + '_ {
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        Leave(count)
    }
}

/// No thread accepts any more, although a handle exists.
#[test]
fn a_server_that_is_ended_refuses() {
    enter(|| {
        let (server, addr) = bind();
        let handle = server.handle();
        let serving = rustlet::spawn(move || server.serve(|stream| echo(&stream)));
        let mut client = TcpStream::connect(addr).unwrap();
        ask(&mut client);
        serving.cancel();
        assert!(serving.join().is_err());
        assert!(TcpStream::connect(addr).is_err());
        // Existing connections are served.
        ask(&mut client);
        assert_eq!(
            (handle.connections(), handle.is_shutting_down()),
            (1, false)
        );
        drop(client);
        assert_eq!(handle.shutdown_timeout(LONG), 0);
    });
}
