//! Implements `AsyncRead` and `AsyncWrite` of futures-io, which `futures` and smol's crates use.

use std::io::{self, IoSliceMut};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::futures_io::{AsyncRead, AsyncWrite};

use super::{ended, for_all};

macro_rules! stream {
    ($name:ty, $inner:ty) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                <$inner>::poll_read(&self, context, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                <$inner>::poll_read_vectored(&self, context, bufs)
            }
        }

        /// `poll_close` shuts the writing direction down.
        impl AsyncWrite for $name {
            write_methods!($inner, vectored);

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(ended(self.shutdown(Shutdown::Write)))
            }
        }
    };
}

macro_rules! reader {
    ($name:ty) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                <$name>::poll_read(&self, context, buf)
            }
        }
    };
}

macro_rules! writer {
    ($name:ty) => {
        /// `poll_close` does nothing: dropping the pipe closes it.
        impl AsyncWrite for $name {
            write_methods!($name);

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
    };
}

for_all!(stream, reader, writer);
