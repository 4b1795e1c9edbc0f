//! Features beyond std's files: workers that continue, cancellation, locks with the oldest
//! supported Rust.

use crate::place::Place;
use rustlet::fs::{self, File, OpenOptions, TryLockError};
use rustlet::{Builder, Cancelled, park, run, spawn, spawn_local, yield_now};
use std::io::{BufWriter, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// std has no stable call for it.
pub(crate) fn make_fifo(path: &Path) {
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    }
    #[cfg(target_vendor = "apple")]
    assert!(
        Command::new("mkfifo")
            .arg(path)
            .status()
            .expect("mkfifo")
            .success()
    );
}

/// Runs `f` on the only worker, with a second green thread that counts steps: it must be able to
/// count to `steps` before `f` has ended, and `release` then lets `f` end; the result of `release`
/// lives until then.
fn while_others_step<R: Send>(
    f: impl FnOnce() + Send + 'static,
    release: impl FnOnce() -> R + Send,
) {
    Builder::new().workers(1).build().unwrap().run(|| {
        let waiter = spawn_local(f);
        for _ in 0..1000 {
            yield_now();
        }
        assert!(!waiter.is_finished());
        let _kept = release();
        waiter.join().unwrap();
    });
}

#[test]
fn a_reader_of_a_fifo_does_not_block_its_worker() {
    let place = Place::new();
    let path = place.at("fifo");
    make_fifo(&path);
    // Neither end waits in `open`, because this handle is both.
    let mut end = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    while_others_step(
        move || {
            let mut byte = [0];
            File::open(path).unwrap().read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"!");
        },
        move || {
            end.write_all(b"!").unwrap();
            end
        },
    );
}

#[test]
fn a_writer_of_a_full_fifo_does_not_block_its_worker() {
    let place = Place::new();
    let path = place.at("fifo");
    make_fifo(&path);
    let mut end = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    const SIZE: usize = 300_000;
    while_others_step(
        move || {
            OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .write_all(&[7; SIZE])
                .unwrap()
        },
        move || {
            // From an OS thread, because it blocks until all has been written.
            drop(std::thread::spawn(move || {
                end.read_exact(&mut [0; SIZE]).unwrap()
            }));
        },
    );
}

#[test]
fn opening_a_fifo_does_not_block_the_worker() {
    let place = Place::new();
    let path = place.at("fifo");
    make_fifo(&path);
    let theirs = path.clone();
    while_others_step(
        move || assert_eq!(fs::read(path).unwrap(), b"late"),
        move || std::fs::write(theirs, "late").unwrap(),
    );
}

/// Readers of FIFOs hold no thread of the pool: with one thread there can be many.
#[test]
fn many_fifos_wait_with_a_pool_of_one() {
    let place = Place::new();
    let runtime = Builder::new()
        .workers(1)
        .blocking_threads(1)
        .build()
        .unwrap();
    runtime.run(|| {
        let mut ends = Vec::new();
        let readers: Vec<_> = (0..20)
            .map(|number: u8| {
                let path = place.at(number.to_string());
                make_fifo(&path);
                ends.push(
                    std::fs::File::options()
                        .read(true)
                        .write(true)
                        .open(&path)
                        .unwrap(),
                );
                spawn(move || {
                    let mut byte = [0];
                    File::open(path).unwrap().read_exact(&mut byte).unwrap();
                    byte[0]
                })
            })
            .collect();
        while runtime.metrics().blocking_queued > 0 {
            yield_now();
        }
        // Meanwhile the pool serves other calls.
        fs::write(place.at("file"), "x").unwrap();
        for (number, end) in ends.iter_mut().enumerate() {
            end.write_all(&[number as u8]).unwrap();
        }
        for (number, reader) in readers.into_iter().enumerate() {
            assert_eq!(usize::from(reader.join().unwrap()), number);
        }
    });
}

#[test]
fn a_cancelled_reader_of_a_fifo_unwinds() {
    let place = Place::new();
    let path = place.at("fifo");
    make_fifo(&path);
    let _end = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    Builder::new().workers(1).build().unwrap().run(move || {
        let file = File::open(path).unwrap();
        let reader = spawn_local(move || (&file).read(&mut [0]).map(drop));
        for _ in 0..10 {
            yield_now();
        }
        reader.cancel();
        assert!(reader.join().unwrap_err().is::<Cancelled>());
    });
}

/// A buffered writer that is dropped because its thread is cancelled still writes its data to the
/// disk.
#[test]
fn a_cancelled_threads_buffer_is_flushed() {
    let place = Place::new();
    let path = place.at("file");
    run(|| {
        let path = path.clone();
        let thread = spawn_local(move || {
            let mut writer = BufWriter::new(File::create(path).unwrap());
            writer.write_all(b"saved").unwrap();
            park();
        });
        while !rustlet::runtime::threads()
            .iter()
            .any(|info| info.waits_in == "park" && info.id == thread.thread().id())
        {
            yield_now();
        }
        thread.cancel();
        assert!(thread.join().unwrap_err().is::<Cancelled>());
    });
    assert_eq!(std::fs::read(path).unwrap(), b"saved");
}

/// A file that several threads use at once, some of which are cancelled.
#[test]
fn cancelled_operations_leave_files_whole() {
    let place = Place::new();
    let path = place.at("file");
    fs::write(&path, vec![b'x'; 100_000]).unwrap();
    Builder::new().workers(1).build().unwrap().run(|| {
        for round in 0..50 {
            let file = File::options().read(true).append(true).open(&path).unwrap();
            let second = file.try_clone().unwrap();
            let threads = [0, 1, 2].map(|what| {
                let mut file = file.try_clone().unwrap();
                spawn_local(move || match what {
                    0 => drop(file.read_to_end(&mut Vec::new())),
                    1 => drop(file.write_all(&[b'x'; 10])),
                    _ => drop(file.sync_all()),
                })
            });
            drop(file);
            for _ in 0..round % 5 {
                yield_now();
            }
            threads.iter().for_each(rustlet::JoinHandle::cancel);
            threads.into_iter().for_each(|thread| drop(thread.join()));
            // The position is unknown: one of them may still be using it.
            let mut all = vec![0; 100_000];
            second.read_exact_at(&mut all, 0).unwrap();
            assert!(all.len() >= 100_000 && all.iter().all(|byte| *byte == b'x'));
        }
    });
}

/// The conversion does not wait for an operation whose caller is gone.
#[test]
fn a_file_in_use_by_a_cancelled_thread_is_converted_as_a_duplicate() {
    let place = Place::new();
    let path = place.at("file");
    std::fs::write(&path, "text").unwrap();
    Builder::new().workers(1).build().unwrap().run(|| {
        let file = std::sync::Arc::new(File::open(&path).unwrap());
        let theirs = file.clone();
        let thread = spawn_local(move || theirs.metadata().map(drop));
        yield_now();
        thread.cancel();
        drop(thread.join());
        let file = std::sync::Arc::into_inner(file).unwrap();
        let mut text = String::new();
        std::fs::File::from(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    });
}

fn locks(enter: impl FnOnce(fn())) {
    enter(|| {
        let place = Place::new();
        let path = place.at("file");
        let (one, two) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        one.lock().unwrap();
        assert!(matches!(two.try_lock(), Err(TryLockError::WouldBlock)));
        assert!(matches!(
            two.try_lock_shared(),
            Err(TryLockError::WouldBlock)
        ));
        one.try_clone().unwrap().lock().unwrap();
        one.unlock().unwrap();
        two.try_lock_shared().unwrap();
        one.lock_shared().unwrap();
        assert!(matches!(one.try_lock(), Err(TryLockError::WouldBlock)));
        drop(two);
        // A child that another test has just forked may keep it open, for a moment.
        while one.try_lock().is_err() {}
        let two = File::open(&path).unwrap();
        assert!(two.try_lock().is_err());
        drop(one);
        while two.try_lock().is_err() {}
    });
}

#[test]
fn files_are_locked() {
    locks(|case| run(case));
    locks(|case| case());
}

#[test]
fn the_error_of_a_lock() {
    let busy = TryLockError::WouldBlock;
    assert_eq!(format!("{busy:?}"), "\"WouldBlock\"");
    assert_eq!(
        busy.to_string(),
        "lock acquisition failed because the operation would block"
    );
    assert_eq!(std::io::Error::from(busy).kind(), ErrorKind::WouldBlock);
    let other = TryLockError::Error(ErrorKind::Unsupported.into());
    assert_eq!(
        other.to_string(),
        "lock acquisition failed due to I/O error"
    );
    assert!(std::error::Error::source(&other).is_none());
    assert_eq!(std::io::Error::from(other).kind(), ErrorKind::Unsupported);
}

#[test]
fn they_describe_themselves_as_std_does() {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let mut options = (OpenOptions::new(), std::fs::OpenOptions::new());
    options.0.read(true).mode(0o600);
    options.1.read(true).mode(0o600);
    assert_eq!(format!("{:?}", options.0), format!("{:?}", options.1));
    let mut builders = (fs::DirBuilder::new(), std::fs::DirBuilder::new());
    builders.0.recursive(true).mode(0o700);
    builders.1.recursive(true).mode(0o700);
    assert_eq!(format!("{:?}", builders.0), format!("{:?}", builders.1));
    let file = File::open("/dev/null").unwrap();
    let text = format!("{file:?}");
    assert_eq!(text, format!("{:?}", std::fs::File::from(file)));
    let (reader, _writer) = rustlet::io::pipe().unwrap();
    let text = format!("{reader:#?} {reader:?}");
    let reader = std::io::PipeReader::from(reader);
    assert!(text.ends_with(&format!("{reader:?}")), "{text}");
}

/// The pool has one thread, which the owner of the lock needs: a waiter must not occupy it.
#[test]
fn waiting_for_a_lock_leaves_the_pool_to_its_owner() {
    let place = Place::new();
    let path = place.at("file");
    let runtime = Builder::new()
        .workers(1)
        .blocking_threads(1)
        .build()
        .unwrap();
    runtime.run(|| {
        let mut owner = File::create(&path).unwrap();
        owner.lock().unwrap();
        let waiters = [(); 3].map(|()| {
            let path = path.clone();
            spawn(move || {
                let mut file = OpenOptions::new().append(true).open(path).unwrap();
                file.lock().unwrap();
                file.write_all(b"+").unwrap();
            })
        });
        for _ in 0..100 {
            owner.write_all(b".").unwrap();
        }
        owner.unlock().unwrap();
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
    });
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        ".".repeat(100) + "+++"
    );
}

#[test]
fn a_cancelled_wait_for_a_file_lock_does_not_take_it() {
    let place = Place::new();
    let path = place.at("file");
    Builder::new().workers(1).build().unwrap().run(|| {
        let (owner, other) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        for round in 0..20 {
            owner.lock().unwrap();
            let theirs = other.try_clone().unwrap();
            let waiter = spawn_local(move || theirs.lock());
            for _ in 0..round {
                yield_now();
            }
            waiter.cancel();
            owner.unlock().unwrap();
            if waiter.join().is_ok() {
                other.unlock().unwrap();
            }
            // Finally the lock that was acquired for the cancelled waiter is released, on the pool.
            owner.lock().unwrap();
            owner.unlock().unwrap();
        }
    });
}

#[test]
fn a_full_disk() {
    let place = Place::new();
    let mount = |arguments: &[&str]| {
        let done = Command::new("mount")
            .args(arguments)
            .arg(place.path())
            .output();
        done.is_ok_and(|output| output.status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs"]) {
        println!("not tested: no file system can be mounted here");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        run(|| {
            let error = fs::write(place.at("big"), vec![1; 1 << 20]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            let mut file = File::create(place.at("big")).unwrap();
            let error = file.write_all(&vec![1; 10 << 20]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert_eq!(fs::metadata(place.at("big")).unwrap().len(), 64 << 10);
        });
    });
    Command::new("umount").arg(place.path()).status().unwrap();
    outcome.unwrap();
}

#[test]
fn a_terminal() {
    // `script` gives the child a terminal; its output there comes back to this test.
    let name = "ours::a_terminal";
    if std::env::var_os("RUSTLET_TEST_CHILD").is_some_and(|test| test == name) {
        Builder::new().workers(1).build().unwrap().run(|| {
            let reader = spawn_local(|| {
                let mut line = [0; 100];
                let count = File::open("/dev/tty").unwrap().read(&mut line).unwrap();
                String::from_utf8(line[..count].to_vec()).unwrap()
            });
            // On Linux 6.18 a terminal cannot be read without waiting, so this is the long way.
            while rustlet::runtime::threads()
                .iter()
                .all(|info| info.waits_in != "read")
            {
                yield_now();
            }
            let mut tty = OpenOptions::new().write(true).open("/dev/tty").unwrap();
            writeln!(tty, "ask").unwrap();
            assert_eq!(reader.join().unwrap(), "answer\n");
            writeln!(tty, "thanks").unwrap();
        });
        return;
    }
    let mut command = crate::support::this_program();
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    // `script` takes a line for the shell, of words without spaces.
    let command = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ");
    let child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("RUSTLET_TEST_CHILD", name)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("not tested: there is no program `script`");
        return;
    };
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut until = |what: &str| {
        lines
            .find(|line| line.as_ref().unwrap().contains(what))
            .is_some()
    };
    assert!(until("ask"));
    stdin.write_all(b"answer\n").unwrap();
    assert!(until("thanks"));
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// Threads that use all operations on files, and are cancelled at any point.
#[test]
fn random_operations_and_cancellations() {
    let place = Place::new();
    let (file, fifo) = (place.at("file"), place.at("fifo"));
    std::fs::write(&file, vec![b'x'; 10_000]).unwrap();
    make_fifo(&fifo);
    // The FIFO has both ends open throughout, so opening it does not wait.
    let _ends = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    for seed in 1..=crate::support::stress(4) {
        let builder = Builder::new()
            .workers(1 + seed % 2)
            .blocking_threads(1 + seed % 3);
        let runtime = builder.build().unwrap();
        runtime.run(|| {
            let shared =
                std::sync::Arc::new(File::options().read(true).append(true).open(&file).unwrap());
            let mut random = seed as u64;
            let mut next = move |below: u64| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (random >> 33) % below
            };
            let mut threads = Vec::new();
            for _ in 0..200 {
                let (what, path, fifo, shared) = (
                    next(9),
                    place.path().to_owned(),
                    fifo.clone(),
                    shared.clone(),
                );
                threads.push(spawn(move || {
                    let mut buf = [0; 3000];
                    match what {
                        0 => drop((&*shared).read(&mut buf).unwrap()),
                        1 => drop(shared.read_at(&mut buf, 5000).unwrap()),
                        2 => (&*shared).write_all(b"x").unwrap(),
                        3 => drop(fs::read(path.join("file")).unwrap()),
                        4 => drop(fs::read_dir(path).unwrap().map(Result::unwrap).count()),
                        5 => drop(File::open(fifo).unwrap().read(&mut buf).unwrap()),
                        6 => OpenOptions::new()
                            .write(true)
                            .open(fifo)
                            .unwrap()
                            .write_all(&buf[..100])
                            .unwrap(),
                        7 => drop((&*shared).rewind()),
                        _ => {
                            shared.try_clone().unwrap().lock_shared().unwrap();
                            shared.unlock().unwrap();
                        }
                    }
                }));
                if next(2) == 0 {
                    let index = next(threads.len() as u64) as usize;
                    threads.swap_remove(index).cancel();
                }
                if next(4) == 0 {
                    yield_now();
                }
            }
            // Readers of the FIFO may wait forever. The others end with the runtime.
            let half = threads.len() / 2;
            for thread in threads.drain(..half) {
                thread.cancel();
            }
        });
        runtime
            .shutdown(std::time::Duration::from_secs(60))
            .unwrap();
    }
    assert!(
        std::fs::read(file)
            .unwrap()
            .iter()
            .all(|byte| *byte == b'x')
    );
}
