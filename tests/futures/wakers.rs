//! Wakers that do more than wake.

use std::future::{IntoFuture, poll_fn};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use rustlet::channel::bounded;
use rustlet::os::unix::net::UnixStream;

use super::{LONG, assert_pending, block_on_os_thread, tell, woken};

/// A waker that drops sockets which the same worker watches, while it delivers events for them.
#[test]
fn a_waker_drops_sockets_in_the_middle_of_a_delivery() {
    struct DropAll(Mutex<Vec<UnixStream>>, Waker);
    impl Wake for DropAll {
        fn wake(self: Arc<DropAll>) {
            drop(std::mem::take(&mut *self.0.lock().unwrap()));
            self.1.wake_by_ref();
        }
    }
    const SOCKETS: usize = 64;
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    for _ in 0..20 {
        let pairs: Vec<_> = (0..SOCKETS).map(|_| UnixStream::pair().unwrap()).collect();
        let (near, mut far): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let (sender, mut receiver) = UnixStream::pair().unwrap();
        let (waker, told) = tell();
        let bomb = Arc::new(DropAll(Mutex::default(), waker));
        runtime.run(|| {
            let waker = Waker::from(Arc::clone(&bomb));
            for stream in &near {
                assert_pending(|context| stream.poll_read(context, &mut [0]), &waker);
            }
            *bomb.0.lock().unwrap() = near;
            // One batch of events for all of them, when this thread waits.
            far.iter_mut()
                .for_each(|stream| stream.write_all(b"x").unwrap());
            (&sender).write_all(b"x").unwrap();
            receiver.read_exact(&mut [0]).unwrap();
        });
        woken(&told);
        for mut stream in far {
            // The other end is closed, which may show as a reset because its byte was not read.
            assert!(!matches!(stream.read(&mut [0]), Ok(1..)));
        }
    }
}

/// The panic ends neither the worker nor what else waits.
#[test]
fn a_waker_that_panics() {
    struct Panics(Waker);
    impl Wake for Panics {
        fn wake(self: Arc<Panics>) {
            self.0.wake_by_ref();
            panic!("as meant");
        }
    }
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    let (one, mut other) = UnixStream::pair().unwrap();
    let (waker, told) = tell();
    let panics = Waker::from(Arc::new(Panics(waker)));
    runtime.run(|| {
        assert_pending(|context| one.poll_read(context, &mut [0]), &panics);
        other.write_all(b"x").unwrap();
    });
    woken(&told);
    runtime.run(|| assert_eq!((&one).read(&mut [0]).unwrap(), 1));
    let mut nap = Box::pin(rustlet::future::sleep(std::time::Duration::from_millis(5)));
    if nap
        .as_mut()
        .poll(&mut Context::from_waker(&panics))
        .is_pending()
    {
        woken(&told);
    }
    block_on_os_thread(nap);
    let thread = rustlet::spawn(rustlet::park);
    let parked = thread.thread().clone();
    let mut end = IntoFuture::into_future(thread);
    assert_pending(|context| Pin::new(&mut end).poll(context), &panics);
    parked.unpark();
    woken(&told);
    block_on_os_thread(end).unwrap();
}

/// A source that is closed drops the waker of its task.
#[test]
fn closing_a_socket_drops_the_waker() {
    let (one, _other) = StdStream::pair().unwrap();
    let one = UnixStream::from(one);
    let (waker, told) = tell();
    assert_pending(|context| one.poll_read(context, &mut [0]), &waker);
    drop(waker);
    drop(one);
    assert!(told.recv().is_err());
}

/// Returns a waker the last clone of which panics when it is dropped.
fn panics_when_dropped() -> Waker {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Panics>) {}
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("the drop of a waker");
        }
    }
    Waker::from(Arc::new(Panics))
}

/// Polls `future`, and leaves the last waker to it.
fn poll_once<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    let waker = panics_when_dropped();
    let mut context = Context::from_waker(&waker);
    assert!(future.as_mut().poll(&mut context).is_pending());
    future
}

#[test]
fn a_waker_whose_drop_panics_keeps_no_socket_open() {
    rustlet::run(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        drop(poll_once(poll_fn(|context| {
            here.poll_read(context, &mut [0])
        })));
        drop(here);
        let error = there.write(b"x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        rustlet::yield_now();
    });
}

#[test]
fn a_waker_whose_drop_panics_does_not_unwind_out_of_a_future() {
    rustlet::run(|| {
        drop(poll_once(rustlet::future::sleep(LONG)));
        let mut replaced = poll_once(rustlet::future::sleep(LONG));
        let mut context = Context::from_waker(Waker::noop());
        assert!(replaced.as_mut().poll(&mut context).is_pending());
        let (sender, receiver) = bounded(1);
        drop(poll_once(receiver.recv_async()));
        sender.send(()).unwrap();
        drop(poll_once(sender.send_async(())));
        let (_sender, receiver) = rustlet::sync::oneshot::channel::<()>();
        drop(poll_once(receiver.recv_async()));
        let parked = rustlet::spawn(rustlet::park);
        let thread = parked.thread().clone();
        drop(poll_once(parked.into_future()));
        thread.unpark();
    });
}
