//! Pipes, the pipes of a child, and other descriptors.

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::task::{Context, Poll};

use rustlet::io::{PipeReader, Watch, pipe};
use rustlet::process::Command;

use super::{assert_pending, everywhere, tell, waker_of_an_ended_thread, woken};

#[test]
fn a_pipe_is_filled_and_emptied() {
    everywhere(async || {
        let (reader, writer) = pipe().unwrap();
        let ((read_waker, read_told), (write_waker, write_told)) = (tell(), tell());
        assert_pending(|context| reader.poll_readable(context), &read_waker);
        assert_pending(|context| reader.poll_read(context, &mut [0]), &read_waker);
        poll_fn(|context| writer.poll_writable(context))
            .await
            .unwrap();
        let some = [7; 5000];
        let mut written = 0;
        let full = |context: &mut Context<'_>| {
            while let Poll::Ready(count) = writer.poll_write(context, &some) {
                written += count.unwrap();
            }
            Poll::<()>::Pending
        };
        assert_pending(full, &write_waker);
        woken(&read_told);
        let mut bytes = vec![0; written];
        let mut filled = 0;
        while filled < written {
            let rest = &mut bytes[filled..];
            filled += poll_fn(|context| reader.poll_read(context, rest))
                .await
                .unwrap();
        }
        assert!(bytes.iter().all(|&byte| byte == 7));
        woken(&write_told);
        drop(writer);
        assert_eq!(
            poll_fn(|context| reader.poll_read(context, &mut [0]))
                .await
                .unwrap(),
            0
        );
    });
}

#[test]
fn a_pipe_whose_reader_is_gone() {
    everywhere(async || {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let written = poll_fn(|context| writer.poll_write(context, b"x")).await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_child_is_fed_and_read() {
    everywhere(async || {
        let mut cat = Command::new("cat");
        let mut child = cat
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        for round in 0..10 {
            let sent = [round; 3];
            let count = poll_fn(|context| stdin.poll_write(context, &sent)).await;
            assert_eq!(count.unwrap(), 3);
            let mut bytes = [0; 3];
            let mut filled = 0;
            while filled < 3 {
                let rest = &mut bytes[filled..];
                filled += poll_fn(|context| stdout.poll_read(context, rest))
                    .await
                    .unwrap();
            }
            assert_eq!(bytes, sent);
        }
        drop(stdin);
        assert_eq!(
            poll_fn(|context| stdout.poll_read(context, &mut [0]))
                .await
                .unwrap(),
            0
        );
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn descriptors_of_others_are_watched() {
    everywhere(async || {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = Watch::new(reader).unwrap();
        let (waker, told) = tell();
        assert_pending(|context| reader.poll_readable(context), &waker);
        // Another waker takes its place; its thread has ended.
        assert_pending(
            |context| reader.poll_readable(context),
            &waker_of_an_ended_thread(),
        );
        assert_pending(|context| reader.poll_readable(context), &waker);
        writer.write_all(b"xy").unwrap();
        woken(&told);
        for _ in 0..2 {
            // It is asked anew each time, and takes nothing.
            poll_fn(|context| reader.poll_readable(context))
                .await
                .unwrap();
            poll_fn(|context| reader.poll_readable(context))
                .await
                .unwrap();
            reader.get_ref().read_exact(&mut [0]).unwrap();
        }
        assert_pending(|context| reader.poll_readable(context), &waker);
        drop(writer);
        woken(&told);
        poll_fn(|context| reader.poll_readable(context))
            .await
            .unwrap();
    });
}

#[test]
fn what_cannot_be_watched_is_an_error() {
    everywhere(async || {
        // `io::stdin` may be anything: it is only lent.
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let watch = Watch::new(file).unwrap();
        // A file is always ready.
        poll_fn(|context| watch.poll_readable(context))
            .await
            .unwrap();
        let directory = std::fs::File::open("/").unwrap();
        let reader = PipeReader::from(OwnedFd::from(directory));
        let read = poll_fn(|context| reader.poll_read(context, &mut [0])).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::IsADirectory);
        assert!(reader.as_fd().try_clone_to_owned().is_ok());
    });
}
