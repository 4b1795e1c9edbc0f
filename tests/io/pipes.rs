//! Pipes, and copies through them.

use super::io::{self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, IsTerminal, PipeReader, Read, Write, copy, pipe};
use super::{enter, thread};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

#[test]
fn bytes_written_are_read() {
    enter(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        assert_eq!(writer.write(b"hello").unwrap(), 5);
        writer.flush().unwrap();
        let mut buf = [0; 10];
        assert_eq!(reader.read(&mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"hello");
        assert_eq!(reader.read(&mut []).unwrap(), 0);
        (&writer).write_all(b"again").unwrap();
        drop(writer);
        let mut text = String::new();
        (&reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "again");
        assert_eq!(reader.read(&mut buf).unwrap(), 0);
    });
}

#[test]
fn a_reader_waits_and_a_writer_waits() {
    enter(|| {
        let (reader, mut writer) = pipe().unwrap();
        let (back, mut answer) = pipe().unwrap();
        let other = thread::spawn(move || {
            for line in BufReader::new(reader).lines() {
                answer.write_all(line.unwrap().as_bytes()).unwrap();
                answer.write_all(b"!\n").unwrap();
            }
        });
        let mut back = BufReader::new(back);
        for number in 0..200 {
            writeln!(writer, "{number}").unwrap();
            let mut line = String::new();
            back.read_line(&mut line).unwrap();
            assert_eq!(line, format!("{number}!\n"));
        }
        drop(writer);
        other.join().unwrap();
    });
}

#[test]
fn more_than_fits() {
    enter(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let data: Vec<u8> = (0..3_000_000u32).map(|n| (n % 253) as u8).collect();
        let expected = data.clone();
        let other = thread::spawn(move || {
            // One call takes everything, as in std.
            assert_eq!(writer.write(&data[..1_000_000]).unwrap(), 1_000_000);
            let halves = [&data[1_000_000..1_000_001], &data[1_000_001..]].map(IoSlice::new);
            assert_eq!(writer.write_vectored(&halves).unwrap(), 2_000_000);
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        other.join().unwrap();
        assert!(all == expected);
    });
}

#[test]
fn several_buffers() {
    enter(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let out = [IoSlice::new(b""), IoSlice::new(b"abc"), IoSlice::new(b"de")];
        assert_eq!(writer.write_vectored(&out).unwrap(), 5);
        let (mut one, mut two) = ([0; 2], [0; 9]);
        let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(reader.read_vectored(&mut bufs).unwrap(), 5);
        assert_eq!((&one, &two[..3]), (b"ab", &b"cde"[..]));
    });
}

/// Returns the error that writing ends with: a child that another test has just forked may have the
/// other end, for a moment.
fn until_error(writer: &mut impl Write) -> ErrorKind {
    loop {
        if let Err(error) = writer.write(b"x") {
            return error.kind();
        }
    }
}

#[test]
fn ends_that_are_gone() {
    enter(|| {
        let (reader, mut writer) = pipe().unwrap();
        let clone = reader.try_clone().unwrap();
        drop(reader);
        writer.write_all(b"x").unwrap();
        drop(clone);
        assert_eq!(until_error(&mut writer), ErrorKind::BrokenPipe);
        let (mut reader, writer) = pipe().unwrap();
        let clone = writer.try_clone().unwrap();
        drop(writer);
        drop(clone);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    });
}

/// A waiting writer is woken when the last reader is dropped, and a reader when the last writer is.
#[test]
fn ends_that_go_while_the_other_waits() {
    enter(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let other = thread::spawn(move || writer.write_all(&[0; 1 << 20]).unwrap_err().kind());
        reader.read_exact(&mut [0]).unwrap();
        drop(reader);
        assert_eq!(other.join().unwrap(), ErrorKind::BrokenPipe);
        let (mut reader, writer) = pipe().unwrap();
        let other = thread::spawn(move || reader.read(&mut [0]).unwrap());
        drop(writer);
        assert_eq!(other.join().unwrap(), 0);
    });
}

#[test]
fn several_threads_on_one_pipe() {
    enter(|| {
        let (reader, writer) = pipe().unwrap();
        let mut total = 0;
        thread::scope(|scope| {
            for _ in 0..3 {
                let mut writer = writer.try_clone().unwrap();
                scope.spawn(move || {
                    for _ in 0..200 {
                        writer.write_all(&[1; 100]).unwrap();
                    }
                });
            }
            drop(writer);
            let readers = [(); 3].map(|()| {
                let mut reader = &reader;
                scope.spawn(move || {
                    let mut count = 0;
                    let mut buf = [0; 64];
                    loop {
                        match reader.read(&mut buf).unwrap() {
                            0 => return count,
                            some => count += some,
                        }
                    }
                })
            });
            total = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        });
        assert_eq!(total, 60_000);
    });
}

#[test]
fn conversions() {
    enter(|| {
        let (reader, writer) = pipe().unwrap();
        let number = reader.as_raw_fd();
        assert_eq!(reader.as_fd().as_raw_fd(), number);
        let owned = OwnedFd::from(reader);
        assert_eq!(owned.as_raw_fd(), number);
        let mut reader = PipeReader::from(owned);
        assert!(!reader.as_fd().is_terminal());
        let mut child = Command::new("echo").arg("hi").stdout(Stdio::from(writer)).spawn().unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hi\n");
        child.wait().unwrap();
    });
}

#[test]
fn copying() {
    enter(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let data: Vec<u8> = (0..1_000_000u32).map(|n| (n % 249) as u8).collect();
        let expected = data.clone();
        let other = thread::spawn(move || {
            assert_eq!(copy(&mut &data[..], &mut writer).unwrap(), 1_000_000);
        });
        let mut all = Vec::new();
        assert_eq!(copy(&mut reader, &mut all).unwrap(), 1_000_000);
        other.join().unwrap();
        assert!(all == expected);
        assert_eq!(copy(&mut io::empty(), &mut io::sink()).unwrap(), 0);
        assert_eq!(copy(&mut io::repeat(1).take(70_000), &mut io::sink()).unwrap(), 70_000);
    });
}

/// std's `copy` needs no buffer of its own where an end has one.
#[test]
fn copying_uses_the_memory_of_an_end() {
    /// Records the largest piece.
    struct Largest(usize);
    impl Write for Largest {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0 = self.0.max(buf.len());
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    enter(|| {
        let data = vec![5; 90_000];
        let mut largest = Largest(0);
        assert_eq!(copy(&mut &data[..], &mut largest).unwrap(), 90_000);
        assert_eq!(largest.0, 90_000);
        let mut largest = Largest(0);
        let mut reader = BufReader::with_capacity(70_000, io::Cursor::new(&data));
        assert_eq!(copy(&mut reader, &mut largest).unwrap(), 90_000);
        assert_eq!(largest.0, 70_000);
    });
}

#[test]
fn copying_meets_errors() {
    struct Odd(u8);
    impl Read for Odd {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 | 3 => Err(ErrorKind::Interrupted.into()),
                2 => {
                    buf[0] = 7;
                    Ok(1)
                }
                _ => Err(ErrorKind::PermissionDenied.into()),
            }
        }
    }
    enter(|| {
        let mut got = Vec::new();
        let error = copy(&mut Odd(0), &mut got).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(got, [7]);
        let mut full = [0; 3];
        let error = copy(&mut &b"long"[..], &mut &mut full[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
        // Unsized ends.
        let reader: &mut dyn Read = &mut &b"abc"[..];
        let writer: &mut dyn Write = &mut Vec::new();
        assert_eq!(copy(reader, writer).unwrap(), 3);
    });
}
