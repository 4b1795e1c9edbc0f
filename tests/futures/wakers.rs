//! Wakers that do more than wake.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use rustlet::os::unix::net::UnixStream;

use super::{assert_pending, block_on_os_thread, tell, woken};

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
    assert_pending(
        |context| std::pin::Pin::new(&mut end).poll(context),
        &panics,
    );
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

/// The last waker goes with the source.
#[test]
fn a_waker_whose_drop_panics_keeps_no_socket_open() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Panics>) {}
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("the drop of a waker");
        }
    }
    rustlet::run(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let waker = Waker::from(Arc::new(Panics));
        let mut context = Context::from_waker(&waker);
        assert!(here.poll_read(&mut context, &mut [0]).is_pending());
        drop(waker);
        drop(here);
        let error = there.write(b"x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        rustlet::yield_now();
    });
}
