//! `pool::R2d2`: a manager of the crate r2d2 whose connections block.

use crate::on_workers;
use rustlet::pool::{GetError, Pool, R2d2};
use rustlet::sync::Arc;
use rustlet::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use rustlet::{CancelToken, spawn, yield_now};
use std::fmt;
use std::sync::mpsc;

#[derive(Default)]
struct Stage {
    made: AtomicUsize,
    alive: AtomicUsize,
    refuses: AtomicBool,
}

struct Database(Arc<Stage>);

struct Connection {
    number: usize,
    broken: bool,
    stage: Arc<Stage>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stage.alive.fetch_sub(1, SeqCst);
    }
}

#[derive(Debug, PartialEq)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

/// The name of a thread of the blocking pool contains this.
fn assert_on_the_pool() {
    let thread = std::thread::current();
    assert!(thread.name().is_some_and(|name| name.contains("-pool-")));
}

impl r2d2::ManageConnection for Database {
    type Connection = Connection;
    type Error = Refused;

    fn connect(&self) -> Result<Connection, Refused> {
        assert_on_the_pool();
        if self.0.refuses.load(SeqCst) {
            return Err(Refused);
        }
        self.0.alive.fetch_add(1, SeqCst);
        Ok(Connection {
            number: self.0.made.fetch_add(1, SeqCst),
            broken: false,
            stage: Arc::clone(&self.0),
        })
    }

    fn is_valid(&self, _: &mut Connection) -> Result<(), Refused> {
        assert_on_the_pool();
        match self.0.refuses.load(SeqCst) {
            true => Err(Refused),
            false => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.broken
    }
}

fn pool(size: usize) -> (Arc<Stage>, Pool<R2d2<Database>>) {
    let stage = Arc::new(Stage::default());
    let manager = R2d2::new(Database(Arc::clone(&stage)));
    (stage, Pool::new(size, manager))
}

#[test]
fn twenty_threads_share_five_connections() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let (stage, pool) = pool(5);
            let threads: Vec<_> = (0..20)
                .map(|_| {
                    let (pool, stage) = (pool.clone(), Arc::clone(&stage));
                    spawn(move || {
                        for _ in 0..5 {
                            let connection = pool.get().unwrap();
                            let number = connection.with(|connection| {
                                assert_on_the_pool();
                                connection.number
                            });
                            assert!(number < 5 && stage.alive.load(SeqCst) <= 5);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(pool.state().in_use, 0);
        });
    }
}

#[test]
fn broken_connections_are_thrown_away() {
    on_workers(1, || {
        let (stage, pool) = pool(1);
        let connection = pool.get().unwrap();
        connection.with(|connection| connection.broken = true);
        drop(connection);
        assert_eq!(pool.state().idle, 0);
        while stage.alive.load(SeqCst) > 0 {
            yield_now();
        }
        assert_eq!(pool.get().unwrap().with(|connection| connection.number), 1);
        assert_eq!(pool.state().idle, 1);
        // It is found invalid, and no other can be made.
        stage.refuses.store(true, SeqCst);
        assert_eq!(pool.get().err(), Some(GetError::Manager(Refused)));
        assert_eq!((pool.state().in_use, pool.state().idle), (0, 0));
    });
}

/// A call that is cut short does not cost the connection, unless it still runs.
#[test]
fn a_call_that_is_cut_short() {
    on_workers(1, || {
        let (_stage, pool) = pool(1);
        for ends_before in [true, false] {
            let connection = pool.get().unwrap();
            let number = connection.with(|connection| connection.number);
            let (go, wait) = mpsc::channel::<()>();
            let (started, starts) = mpsc::channel();
            let token = CancelToken::new();
            let canceller = spawn({
                let token = token.clone();
                move || {
                    while starts.try_recv().is_err() {
                        yield_now();
                    }
                    token.cancel();
                }
            });
            let call = || {
                connection.with(move |_| {
                    started.send(()).unwrap();
                    let _end = wait.recv();
                });
            };
            assert_eq!(token.run_until_cancelled(call), None);
            canceller.join().unwrap();
            if ends_before {
                go.send(()).unwrap();
                // It comes after the call that was left.
                connection.with(|_| ());
            }
            drop(connection);
            assert_eq!(pool.state().idle, usize::from(ends_before));
            drop(go);
            let next = pool.get().unwrap().with(|connection| connection.number);
            assert_eq!(next == number, ends_before);
        }
    });
}
