//! Implements `AsyncRead` and `AsyncWrite` of tokio. They need no tokio runtime.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ended, for_all};

macro_rules! stream {
    ($name:ty, $inner:ty) => {
        reader!($name, $inner);

        /// `poll_shutdown` shuts the writing direction down.
        impl AsyncWrite for $name {
            write_methods!($inner, vectored);

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(ended(self.shutdown(Shutdown::Write)))
            }
        }
    };
}

macro_rules! reader {
    ($name:ty) => {
        reader!($name, $name);
    };
    ($name:ty, $inner:ty) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let unfilled = buf.initialize_unfilled();
                let count = ready!(<$inner>::poll_read(&self, context, unfilled))?;
                buf.advance(count);
                Poll::Ready(Ok(()))
            }
        }
    };
}

macro_rules! writer {
    ($name:ty) => {
        /// `poll_shutdown` does nothing: dropping the pipe closes it.
        impl AsyncWrite for $name {
            write_methods!($name);

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
    };
}

for_all!(stream, reader, writer);
