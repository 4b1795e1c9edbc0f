//! The abilities of the predecessors, each under the predecessor's name: Spool's channels,
//! Bluelet's threads and sockets, Clockwork's workers, Kiwi's tasklets. Other tests cover the
//! details; this file shows that nothing is missing.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustlet::channel::{Receiver, after, bounded, select, tick, unbounded};
use rustlet::io::{BufRead, BufReader, Read, Watch, Write, wait_readable, wait_writable};
use rustlet::mailbox::Mailbox;
use rustlet::net::{self, Shutdown, TcpListener, TcpStream};
use rustlet::process::{Command, Stdio};
use rustlet::sync::{Callback, broadcast, oneshot};
use rustlet::{Cancelled, Coroutine, Duplex, Worker, coroutine, repeat, run, sleep, spawn};
use rustlet::{wait_idle, yield_now};

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);

mod spool {
    use super::*;

    /// `go(f)`, `@coroutine`, `coroutine.self()`, `chan.get/put/close/alive`, `select(a, b)`.
    #[test]
    fn go_coroutine_channels_and_select() {
        run(|| {
            let (sender, receiver) = unbounded();
            let thread = spawn(move || {
                let me = rustlet::current();
                sender.send(me.id()).unwrap();
            });
            assert_eq!(receiver.recv(), Ok(thread.thread().id()));

            let double: Coroutine<i32, i32> = coroutine(|outside: Duplex<i32, i32>| {
                while let Ok(number) = outside.get() {
                    outside.put(2 * number).unwrap();
                }
            });
            assert!(double.is_alive());
            for number in 0..10 {
                double.put(number).unwrap();
                assert_eq!(double.get(), Ok(2 * number));
            }
            double.close();
            assert!(!double.is_alive());
            double.join().unwrap();

            let count = |to: i32| -> Coroutine<(), i32> {
                coroutine(move |outside: Duplex<(), i32>| {
                    (0..to).for_each(|number| outside.put(number).unwrap());
                })
            };
            assert_eq!(count(5).into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
            // Both, in the order of arrival.
            let (a, b) = (count(3), count(4));
            let (mut from_a, mut from_b) = (a.receiver(), b.receiver());
            let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
            let mut ended = 0;
            while ended < 2 {
                select! {
                    recv(from_a) -> item => match item {
                        Ok(item) => of_a.push(item),
                        Err(_) => { ended += 1; from_a = rustlet::channel::never() }
                    },
                    recv(from_b) -> item => match item {
                        Ok(item) => of_b.push(item),
                        Err(_) => { ended += 1; from_b = rustlet::channel::never() }
                    },
                }
            }
            assert_eq!((of_a, of_b), (vec![0, 1, 2], vec![0, 1, 2, 3]));
        });
    }
}

mod bluelet {
    use super::*;

    /// `run`, `spawn`, `call`, `join`, `kill`, `end(value)`, `sleep`, `null`.
    #[test]
    fn run_spawn_call_join_kill_end_sleep_and_null() {
        fn callee(number: i32) -> i32 {
            sleep(SHORT);
            if number < 0 {
                return -1;
            }
            yield_now();
            number + 1
        }
        let value = run(|| {
            let child = spawn(|| callee(1));
            let forever = spawn(|| sleep(LONG));
            let called = callee(-5);
            forever.cancel();
            assert!(forever.join().unwrap_err().is::<Cancelled>());
            (called, child.join().unwrap())
        });
        assert_eq!(value, (-1, 2));
    }

    /// `connect`, `send`, `sendall`, `recv`, `readline(delim)`, `Listener`, `accept`,
    /// `server(host, port, handler)`.
    #[test]
    fn sockets_as_if_they_blocked_and_a_server() {
        run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let other = spawn(move || {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(&stream);
                let mut until = Vec::new();
                reader.read_until(b';', &mut until).unwrap();
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                (&stream).write_all(&until).unwrap();
                line
            });
            let mut stream = TcpStream::connect(address).unwrap();
            assert!(stream.write(b"a").unwrap() == 1);
            stream.write_all(b"bc;a line\n").unwrap();
            let mut answer = [0; 16];
            let count = stream.read(&mut answer).unwrap();
            assert_eq!(&answer[..count], b"abc;");
            assert_eq!(other.join().unwrap(), "a line\n");

            let server = net::Server::bind("127.0.0.1:0").unwrap();
            let (address, handle) = (server.local_addr().unwrap(), server.handle());
            let serving = spawn(move || {
                server.serve(|mut stream| {
                    let mut all = String::new();
                    stream.read_to_string(&mut all).unwrap();
                    stream.write_all(all.to_uppercase().as_bytes()).unwrap();
                })
            });
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"hello").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "HELLO");
            handle.shutdown();
            serving.join().unwrap().unwrap();
        });
    }
}

mod clockwork {
    use super::*;

    /// `Worker.assign/tick/work`, `doNextTask`: letters and numbers take turns in an exact order.
    #[test]
    fn a_stepped_worker() {
        Worker::scope(|worker| {
            let said = Rc::new(RefCell::new(Vec::new()));
            let says = |words: &'static [&'static str]| {
                let said = Rc::clone(&said);
                move || {
                    for (number, word) in words.iter().enumerate() {
                        if number > 0 {
                            yield_now();
                        }
                        said.borrow_mut().push(*word);
                    }
                }
            };
            worker.assign(says(&["a", "z"]));
            worker.assign(says(&["1", "2", "3", "4"]));
            let mut ticks = 0;
            while worker.tick() {
                ticks += 1;
            }
            assert_eq!(*said.borrow(), ["a", "1", "z", "2", "3", "4"]);
            assert_eq!(ticks, 6);
            let later = Rc::clone(&said);
            worker.assign(move || {
                sleep(SHORT);
                later.borrow_mut().push("later");
            });
            worker.work();
            assert_eq!(said.borrow().last(), Some(&"later"));
        });
    }

    /// `sleep`, `repeat`, `Command`, `wrap`, `Result`.
    #[test]
    fn sleep_repeat_command_wrap_and_result() {
        Worker::scope(|worker| {
            let rounds = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&rounds);
            let output = worker.assign(move || {
                let (enough, has_enough) = bounded(1);
                let repeated = repeat(SHORT, move || {
                    if counted.fetch_add(1, Ordering::Relaxed) == 2 {
                        enough.send(()).unwrap();
                    }
                });
                has_enough.recv().unwrap();
                repeated.cancel();
                // A result that another thread provides.
                let (gives, result) = oneshot::channel();
                spawn(move || gives.send(7).unwrap());
                let output = Command::new("echo").arg("said").output().unwrap();
                (result.recv().unwrap(), output.stdout)
            });
            worker.work();
            assert_eq!(output.join().unwrap(), (7, b"said\n".to_vec()));
            assert!(rounds.load(Ordering::Relaxed) >= 3);
        });
    }
}

mod kiwi {
    use super::*;

    /// `WaitForIO`, `WaitForTimeout`, `WaitForIdle`, `WaitForTasklet`, `WaitForSignal`,
    /// `WaitForProcess`, `WaitForCall`.
    #[test]
    fn each_condition_alone() {
        run(|| {
            let (one, other) = UnixStream::pair().unwrap();
            wait_writable(&one).unwrap();
            let writer = spawn(move || (&other).write_all(b"x").unwrap());
            wait_readable(&one).unwrap();
            writer.join().unwrap();

            assert!(after(SHORT).recv().is_ok());
            assert!(tick(SHORT).recv().is_ok());
            wait_idle();

            let tasklet = spawn(|| sleep(SHORT));
            let done = tasklet.done();
            done.recv().unwrap();
            assert!(tasklet.is_finished());

            // Kiwi's signals belong to its objects: a message of one object reaches all its
            // listeners.
            let (says, mut hears) = broadcast::channel(4);
            let mut hears_too = says.subscribe();
            assert_eq!(says.send("clicked").unwrap(), 2);
            assert_eq!(hears.recv().unwrap(), "clicked");
            assert_eq!(hears_too.recv().unwrap(), "clicked");

            let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
            child.exited().recv().unwrap();
            assert!(child.wait().unwrap().success());

            let callback = Callback::new();
            let called = callback.clone();
            spawn(move || called.call("answer"));
            assert_eq!(callback.wait(), "answer");
        });
    }

    /// `Message`, `WaitForMessages(accept)`: messages that are not accepted wait, in their order.
    #[test]
    fn messages_by_choice() {
        run(|| {
            let mailbox = Mailbox::new();
            let address = mailbox.address();
            for message in ["print 1", "count 1", "print 2", "quit"] {
                address.send(message).unwrap();
            }
            let counts = |message: &&str| message.starts_with("count");
            assert_eq!(mailbox.receive_match(counts), Ok("count 1"));
            assert_eq!(
                mailbox.receive_match(|message| *message == "quit"),
                Ok("quit")
            );
            assert_eq!(mailbox.receive(), Ok("print 1"));
            assert_eq!(mailbox.receive(), Ok("print 2"));
        });
    }

    /// Several conditions at once, and `get_event`: which of them occurred.
    #[test]
    fn several_conditions_at_once() {
        fn event(io: &Receiver<()>, tasklet: &Receiver<()>, limit: Duration) -> &'static str {
            select! {
                recv(io) -> _ => "io",
                recv(tasklet) -> _ => "tasklet",
                recv(after(limit)) -> _ => "timeout",
            }
        }
        run(|| {
            let (one, other) = UnixStream::pair().unwrap();
            let watch = Watch::new(one).unwrap();
            let tasklet = spawn(rustlet::park);
            let done = tasklet.done();
            assert_eq!(event(&watch.readable(), &done, SHORT), "timeout");
            let writer = spawn(move || {
                (&other).write_all(b"x").unwrap();
                other
            });
            assert_eq!(event(&watch.readable(), &done, LONG), "io");
            let _open = writer.join().unwrap();
            watch.get_ref().read_exact(&mut [0]).unwrap();
            tasklet.thread().unpark();
            assert_eq!(event(&watch.readable(), &done, LONG), "tasklet");
        });
    }
}
