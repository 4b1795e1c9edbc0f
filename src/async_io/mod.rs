//! Implements the traits of other crates for asynchronous streams for the streams and pipes of this
//! crate. Each method calls a `poll_` method of the type. There is one feature for each crate.
//!
//! Any thread may poll. Nothing here waits.

/// Defines the writing methods that the three traits have in common. `$inner` has the inherent
/// `poll_` methods. A pipe has no `poll_write_vectored`.
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
macro_rules! write_methods {
    ($inner:ty) => {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            <$inner>::poll_write(&self, context, buf)
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    };
    ($inner:ty, vectored) => {
        write_methods!($inner);

        fn poll_write_vectored(
            self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
            bufs: &[std::io::IoSlice<'_>],
        ) -> std::task::Poll<std::io::Result<usize>> {
            <$inner>::poll_write_vectored(&self, context, bufs)
        }
    };
}

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "tokio-io")]
mod tokio;

/// Calls the macro `$streams` with each type that reads, writes and can be shut down, and
/// `$readers` and `$writers` with the ends of pipes.
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
macro_rules! for_all {
    ($streams:ident, $readers:ident, $writers:ident) => {
        $streams!(crate::net::TcpStream, crate::net::TcpStream);
        $streams!(&crate::net::TcpStream, crate::net::TcpStream);
        $streams!(
            crate::os::unix::net::UnixStream,
            crate::os::unix::net::UnixStream
        );
        $streams!(
            &crate::os::unix::net::UnixStream,
            crate::os::unix::net::UnixStream
        );
        $readers!(crate::io::PipeReader);
        $readers!(crate::process::ChildStdout);
        $readers!(crate::process::ChildStderr);
        $writers!(crate::io::PipeWriter);
        $writers!(crate::process::ChildStdin);
    };
}
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
use for_all;

/// Interprets the result of a shutdown of a stream: `NotConnected` is a success, because the
/// connection may have ended already.
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
fn ended(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}
