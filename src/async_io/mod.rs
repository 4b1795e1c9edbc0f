//! The traits of other crates for asynchronous streams, on the streams and pipes of this crate:
//! each calls the `poll_` methods that these have. One feature for each crate.
//!
//! Any thread may poll.

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "tokio-io")]
mod tokio;

/// Calls `$streams` with each type that reads and writes and can be shut down, `$readers` and
/// `$writers` with the ends of pipes.
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

/// Interprets the result of a shutdown at the end of a stream: it may have ended already.
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
fn ended(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}
