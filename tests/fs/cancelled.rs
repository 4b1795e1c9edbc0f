//! The effect of a cancelled call: either it has had no effect, or it has completed and its caller
//! knows.

use crate::ours::make_fifo;
use crate::place::Place;
use rustlet::fs::{self, File, OpenOptions};
use rustlet::{Builder, Cancelled, Runtime, spawn_local, timeout, unblock, yield_now};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// One worker, and one thread in the pool.
fn small() -> Runtime {
    let builder = Builder::new().workers(1).blocking_threads(1);
    builder.build().unwrap()
}

/// Calls `f` while the pool is busy, until a time limit has elapsed in its queue; then frees the
/// pool.
fn given_up_in_the_queue<T: std::fmt::Debug>(runtime: &Runtime, f: impl FnOnce() -> T) {
    let (open, gate) = mpsc::channel::<()>();
    let (tell, told) = rustlet::channel::bounded(1);
    let blocked = spawn_local(move || {
        unblock(move || {
            tell.send(()).unwrap();
            gate.recv().is_err()
        })
    });
    told.recv().unwrap();
    timeout(Duration::from_millis(1), f).unwrap_err();
    assert_eq!(runtime.metrics().blocking_queued, 0);
    drop(open);
    assert!(blocked.join().unwrap());
}

/// A limit that elapses before, in or after a call on the pool.
fn limit(round: u64) -> Duration {
    Duration::from_micros(round * 7919 % 90)
}

#[test]
fn reads_skip_nothing() {
    let place = Place::new();
    let path = place.at("file");
    let numbers: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &numbers).unwrap();
    let cached = std::fs::File::open(&path).unwrap();
    cached.sync_all().unwrap();
    small().run(|| {
        let mut file = File::open(&path).unwrap();
        let mut all = Vec::new();
        for round in 0.. {
            // Data outside the page cache is read on the pool.
            let _hint = rustix::fs::fadvise(&cached, 0, None, rustix::fs::Advice::DontNeed);
            let mut piece = [0; 4096];
            match timeout(limit(round), || file.read(&mut piece)) {
                Err(_) => {}
                Ok(Ok(0)) => break,
                Ok(count) => all.extend_from_slice(&piece[..count.unwrap()]),
            }
        }
        assert!(all == numbers, "something was skipped");
    });
}

#[test]
fn all_that_was_read_is_in_the_vector() {
    let place = Place::new();
    let path = place.at("file");
    let runtime = small();
    runtime.run(|| {
        fs::write(&path, "12345").unwrap();
        let mut file = File::open(&path).unwrap();
        let mut bytes = b"head".to_vec();
        given_up_in_the_queue(&runtime, || file.read_to_end(&mut bytes));
        assert_eq!(bytes, b"head");
        let mut text = "text".to_owned();
        given_up_in_the_queue(&runtime, || file.read_to_string(&mut text));
        assert_eq!(text, "text");
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"head12345");
    });
}

/// Limits that elapse between, or in, the calls that a long file takes.
#[test]
fn a_long_file_is_read_on_where_it_was_left() {
    let place = Place::new();
    let path = place.at("file");
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &content).unwrap();
    small().run(|| {
        let mut file = File::open(&path).unwrap();
        let mut all = Vec::new();
        for round in 1.. {
            if let Ok(result) = timeout(limit(round) * 10, || file.read_to_end(&mut all)) {
                result.unwrap();
                break;
            }
        }
        assert!(all == content, "something was skipped or came twice");
        let text = "é".repeat(3_000_000);
        std::fs::write(&path, &text).unwrap();
        let mut file = File::open(&path).unwrap();
        let mut all = String::new();
        for round in 1.. {
            // It restarts each time, so each time it gets longer.
            if let Ok(result) = timeout(limit(round) * round as u32, || {
                file.read_to_string(&mut all)
            }) {
                result.unwrap();
                break;
            }
            assert_eq!((all.len(), file.stream_position().unwrap()), (0, 0));
        }
        assert!(all == text);
    });
}

#[test]
fn a_directory_is_listed_whole() {
    let place = Place::new();
    let runtime = small();
    runtime.run(|| {
        for number in 0..100 {
            std::fs::write(place.at(number.to_string()), "").unwrap();
        }
        let mut entries = fs::read_dir(place.path()).unwrap();
        let mut names: Vec<_> = entries.by_ref().take(32).map(Result::unwrap).collect();
        given_up_in_the_queue(&runtime, || entries.next());
        names.extend(entries.map(Result::unwrap));
        assert_eq!(names.len(), 100);
    });
}

/// A call that changes something completes or has no effect, and the caller knows which: a limit
/// that has elapsed means that it had no effect.
#[test]
fn calls_that_timed_out_have_had_no_effect() {
    type Call = fn(&Path) -> std::io::Result<()>;
    type Look = fn(&Path) -> bool;
    let there = |path: &Path| path.exists();
    let content = |path: &Path| std::fs::read(path).unwrap() == b"content";
    let calls: &[(&str, Call, Look)] = &[
        ("create", |path| File::create(path).map(drop), content),
        (
            "O_TRUNC",
            |path| {
                let flags = rustix::fs::OFlags::TRUNC.bits() as i32;
                let mut options = OpenOptions::new();
                options.write(true).custom_flags(flags).open(path).map(drop)
            },
            content,
        ),
        ("write", |path| fs::write(path, "new"), content),
        ("remove_file", |path| fs::remove_file(path), there),
        (
            "rename",
            |path| fs::rename(path, path.with_extension("new")),
            there,
        ),
        (
            "create_dir",
            |path| fs::create_dir(path.with_extension("new")),
            |path| !path.with_extension("new").exists(),
        ),
        (
            "hard_link",
            |path| fs::hard_link(path, path.with_extension("new")),
            |path| !path.with_extension("new").exists(),
        ),
        (
            "copy",
            |path| fs::copy(path, path.with_extension("new")).map(drop),
            |path| !path.with_extension("new").exists(),
        ),
        (
            "set_permissions",
            |path| fs::set_permissions(path, PermissionsExt::from_mode(0o600)),
            |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o644,
        ),
    ];
    let place = Place::new();
    small().run(|| {
        for &(what, call, is_untouched) in calls {
            for round in 0..60 {
                let path = place.at("file");
                std::fs::remove_dir(path.with_extension("new")).ok();
                std::fs::remove_file(path.with_extension("new")).ok();
                std::fs::write(&path, "content").unwrap();
                std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
                let result = timeout(limit(round), || call(&path));
                // The pool has one thread: it has completed its started call.
                unblock(|| ());
                match result {
                    Ok(result) => assert!(result.is_ok() && !is_untouched(&path), "{what}"),
                    Err(_) => assert!(is_untouched(&path), "{what} after its limit"),
                }
            }
        }
    });
}

#[test]
fn calls_that_timed_out_have_not_changed_the_open_file() {
    let place = Place::new();
    let path = place.at("file");
    small().run(|| {
        for round in 0..100 {
            std::fs::write(&path, "0123456789").unwrap();
            let mut file = File::options().read(true).write(true).open(&path).unwrap();
            let cut = timeout(limit(round), || file.set_len(5)).is_ok();
            unblock(|| ());
            assert_eq!(std::fs::metadata(&path).unwrap().len() == 5, cut, "set_len");
            let sought = timeout(limit(round), || file.seek(SeekFrom::End(-1))).is_ok();
            unblock(|| ());
            assert_eq!(file.stream_position().unwrap() != 0, sought, "seek");
            file.rewind().unwrap();
            let written = timeout(limit(round), || file.write(b"x")).is_ok();
            unblock(|| ());
            assert_eq!(file.stream_position().unwrap() == 1, written, "write");
            let placed = timeout(limit(round), || file.write_at(b"y", 3)).is_ok();
            unblock(|| ());
            assert_eq!(std::fs::read(&path).unwrap()[3] == b'y', placed, "write_at");
        }
    });
}

/// A handle keeps its lock when it gives up a request for a stronger one.
#[test]
fn a_lock_stays_what_it_was() {
    let place = Place::new();
    let path = place.at("file");
    small().run(|| {
        let mine = File::create(&path).unwrap();
        let other = std::fs::File::open(&path).unwrap();
        for round in 0..100 {
            let locked = timeout(limit(round), || mine.try_lock()).is_ok();
            unblock(|| ());
            let taken =
                rustix::fs::flock(&other, rustix::fs::FlockOperation::NonBlockingLockShared);
            assert_eq!(taken.is_err(), locked);
            rustix::fs::flock(&other, rustix::fs::FlockOperation::Unlock).unwrap();
            mine.unlock().unwrap();
        }
    });
}

/// Opens of FIFOs are given up: no open end remains that a writer could take for a reader, and no
/// thread of the pool is held.
#[test]
fn a_cancelled_open_of_a_fifo_leaves_no_reader_behind() {
    let place = Place::new();
    let path = place.at("fifo");
    make_fifo(&path);
    small().run(|| {
        type Open = fn(&Path) -> std::io::Result<()>;
        let opens: [(&str, Open); 6] = [
            ("open", |path| File::open(path).map(drop)),
            ("create", |path| File::create(path).map(drop)),
            ("append", |path| {
                File::options()
                    .append(true)
                    .create(true)
                    .open(path)
                    .map(drop)
            }),
            ("read", |path| fs::read(path).map(drop)),
            ("write", |path| fs::write(path, "x")),
            ("copy", |path| fs::copy(file!(), path).map(drop)),
        ];
        for (what, open) in opens {
            timeout(Duration::from_millis(2), || open(&path)).expect_err(what);
            fs::metadata(&path).unwrap();
            let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
            let writer = std::fs::File::options()
                .write(true)
                .custom_flags(nonblocking)
                .open(&path);
            let refused = writer.expect_err(what).raw_os_error();
            assert_eq!(
                refused,
                Some(rustix::io::Errno::NXIO.raw_os_error()),
                "{what}"
            );
        }
        assert!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777 == 0o600);
    });
}

/// Green threads open both ends, in either order, and the data that the writer wrote before closing
/// is read.
#[test]
fn the_ends_of_a_fifo_meet() {
    let place = Place::new();
    let path = place.at("fifo");
    make_fifo(&path);
    small().run(|| {
        for reader_first in [true, false] {
            let reader = || {
                let path = path.clone();
                spawn_local(move || fs::read_to_string(path).unwrap())
            };
            let first = reader_first.then(reader);
            yield_now();
            let theirs = path.clone();
            let writer = spawn_local(move || {
                let mut file = OpenOptions::new().write(true).open(theirs).unwrap();
                let flags = rustix::fs::fcntl_getfl(&file).unwrap();
                assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
                file.write_all(b"through").unwrap();
            });
            yield_now();
            let reader = first.unwrap_or_else(reader);
            assert_eq!(reader.join().unwrap(), "through");
            writer.join().unwrap();
        }
        // A writer that sends nothing is enough for opening a reader.
        let theirs = path.clone();
        let reader = spawn_local(move || File::open(theirs).unwrap());
        let writer = File::create(&path).unwrap();
        let mut reader = reader.join().unwrap();
        drop(writer);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    });
}

/// A pipe that takes a part of a write: its caller is cancelled, and knows how many bytes were
/// written.
#[test]
fn a_cancelled_write_tells_what_was_written() {
    small().run(|| {
        let (mut reader, writer) = rustlet::io::pipe().unwrap();
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let buffered = std::io::BufWriter::with_capacity(content.len() + 1, writer);
        let shared = std::rc::Rc::new(std::cell::RefCell::new(buffered));
        shared.borrow_mut().write_all(&content).unwrap();
        for _ in 0..2 {
            let theirs = shared.clone();
            let thread = spawn_local(move || theirs.borrow_mut().flush());
            while !rustlet::runtime::threads()
                .iter()
                .any(|info| info.waits_in == "write")
            {
                yield_now();
            }
            thread.cancel();
            assert!(thread.join().unwrap_err().is::<Cancelled>());
        }
        let theirs = shared.clone();
        let thread = spawn_local(move || {
            theirs.borrow_mut().flush().unwrap();
            drop(theirs);
        });
        drop(shared);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        thread.join().unwrap();
        assert!(all == content, "something was lost or came twice");
    });
}

#[test]
fn errors_of_copies_are_stds() {
    let place = Place::new();
    let (fifo, file) = (place.at("fifo"), place.at("file"));
    make_fifo(&fifo);
    std::fs::write(&file, "text").unwrap();
    small().run(|| {
        // std opens the FIFO first, and would wait.
        for (from, to) in [(&fifo, &file), (&fifo, &fifo)] {
            let error = fs::copy(from, to).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(fs::copy(&file, "/dev/null").unwrap(), 4);
        let error = fs::copy(place.path(), "/dev/null").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let theirs = fifo.clone();
        let reader = spawn_local(move || fs::read(theirs).unwrap());
        assert_eq!(fs::copy(&file, &fifo).unwrap(), 4);
        assert_eq!(reader.join().unwrap(), b"text");
    });
}
