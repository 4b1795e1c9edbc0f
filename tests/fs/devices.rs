//! Files that are on no disk: terminals, and Linux's anonymous inodes.

use crate::place::Place;
use rustlet::fs::{self, File};
use rustlet::{Builder, Cancelled, Runtime, spawn_local, timeout, yield_now};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

fn small() -> Runtime {
    let builder = Builder::new().workers(1).blocking_threads(1);
    builder.build().unwrap()
}

/// Reads are given up without holding anything; later data is read.
#[cfg(target_os = "linux")]
fn given_up_reads_take_nothing(fd: OwnedFd, mut trigger: impl FnMut()) {
    let mut file = File::from(fd);
    let mut buf = [0; 4096];
    for _ in 0..3 {
        for _ in 0..3 {
            timeout(Duration::from_millis(1), || file.read(&mut buf)).unwrap_err();
        }
        // The only thread of the pool is free.
        fs::metadata("/").unwrap();
        trigger();
        assert!(file.read(&mut buf).unwrap() > 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn events_that_are_read_as_files() {
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    small().run(|| {
        let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let mut theirs = File::from(event.try_clone().unwrap());
        given_up_reads_take_nothing(event, || {
            assert_eq!(theirs.write(&1_u64.to_ne_bytes()).unwrap(), 8);
        });

        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap();
        let theirs = timer.try_clone().unwrap();
        given_up_reads_take_nothing(timer, || {
            let once = Itimerspec {
                it_interval: Timespec::default(),
                it_value: Timespec {
                    tv_sec: 0,
                    tv_nsec: 1,
                },
            };
            timerfd_settime(&theirs, TimerfdTimerFlags::empty(), &once).unwrap();
        });
    });
}

/// It has no read that does not wait.
#[cfg(target_os = "linux")]
#[test]
fn changes_of_a_directory() {
    use rustix::fs::inotify;
    let place = Place::new();
    small().run(|| {
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&changes, place.path(), inotify::WatchFlags::CREATE).unwrap();
        let mut number = 0;
        let mut make = || {
            number += 1;
            std::fs::write(place.at(format!("{number}")), "").unwrap();
        };
        given_up_reads_take_nothing(changes.try_clone().unwrap(), &mut make);

        // Two handles wait for one event. The other one continues to wait, and blocks no thread.
        let one = File::from(changes);
        let other = one.try_clone().unwrap();
        let mut threads = [one, other].map(|mut file| {
            Some(spawn_local(move || {
                let count = file.read(&mut [0; 4096]).unwrap();
                (count, file)
            }))
        });
        while rustlet::runtime::threads()
            .iter()
            .filter(|info| info.waits_in == "read")
            .count()
            < 2
        {
            yield_now();
        }
        make();
        let done = loop {
            let is_done = |thread: &Option<rustlet::JoinHandle<_>>| {
                thread.as_ref().is_some_and(|thread| thread.is_finished())
            };
            if let Some(done) = threads.iter().position(is_done) {
                break done;
            }
            yield_now();
        };
        let (count, mut file) = threads[done].take().unwrap().join().unwrap();
        assert!(count > 0);
        let late = threads[1 - done].take().unwrap();
        late.cancel();
        assert!(late.join().unwrap_err().is::<Cancelled>());
        make();
        assert!(file.read(&mut [0; 4096]).unwrap() > 0);
    });
}

/// A file that cannot be read returns the error at once, as with std.
#[cfg(target_os = "linux")]
#[test]
fn descriptors_without_data_wait() {
    use rustix::event::{EventfdFlags, epoll, eventfd};
    small().run(|| {
        let files = [
            rustix::process::pidfd_open(
                rustix::process::getpid(),
                rustix::process::PidfdFlags::empty(),
            )
            .unwrap(),
            epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(),
        ];
        for fd in files {
            let error = File::from(fd).read(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        // Too little room; the next read is not affected.
        let mut event = File::from(eventfd(5, EventfdFlags::CLOEXEC).unwrap());
        let error = event.read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let mut number = [0; 8];
        assert_eq!(event.read(&mut number).unwrap(), 8);
        assert_eq!(u64::from_ne_bytes(number), 5);
        timeout(Duration::from_millis(1), || event.read(&mut number)).unwrap_err();
        // And a file that does not block.
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let mut event = File::from(eventfd(0, flags).unwrap());
        let error = event.read(&mut number).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

/// With a limit around it, a call may wait for its file first: on an OS thread always, on a green
/// thread where the system has no `preadv2` and `pwritev2`. A file that refuses the call is never
/// ready for it.
#[cfg(target_os = "linux")]
#[test]
fn files_that_refuse_every_transfer_fail_at_once_under_a_limit() {
    use rustix::event::epoll;
    use rustix::fs::inotify;
    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

    fn call(file: &mut (impl Read + Write), writes: bool) -> Option<i32> {
        let result = match writes {
            true => file.write(&[1; 8]),
            false => file.read(&mut [0; 8]),
        };
        result.unwrap_err().raw_os_error()
    }

    let (reader, writer) = std::io::pipe().unwrap();
    let clock = TimerfdClockId::Monotonic;
    let files: [(OwnedFd, bool); 6] = [
        (pidfd_open(getpid(), PidfdFlags::empty()).unwrap(), false),
        (epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(), false),
        (timerfd_create(clock, TimerfdFlags::CLOEXEC).unwrap(), true),
        (inotify::init(inotify::CreateFlags::CLOEXEC).unwrap(), true),
        (reader.into(), true),
        (writer.into(), false),
    ];
    for (number, (fd, writes)) in files.into_iter().enumerate() {
        let mut stds = std::fs::File::from(fd);
        let mut ours = File::from(stds.try_clone().unwrap());
        let expected = Ok(call(&mut stds, writes));
        let mut limited = || timeout(Duration::from_secs(10), || call(&mut ours, writes));
        assert_eq!(limited(), expected, "file {number}, on an OS thread");
        let green = small().run(limited);
        assert_eq!(green, expected, "file {number}, on a green thread");
    }
}

/// A terminal without echo, and its typing end.
pub(crate) fn terminal() -> (std::fs::File, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let slave = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    // Not `rustix::termios`, which uses the ioctl `TCGETS2` and does not handle `ENOSYS`: QEMU's
    // user mode (7.2) does not implement it.
    let stdin = slave.try_clone().unwrap();
    let status = Command::new("stty").arg("-echo").stdin(stdin).status();
    assert!(status.unwrap().success());
    (master.into(), slave)
}

#[test]
fn lines_of_a_terminal_come_once() {
    let (mut master, slave) = terminal();
    small().run(|| {
        let typist = std::thread::spawn(move || {
            for number in 0..500 {
                writeln!(master, "{number:04}").unwrap();
            }
            master
        });
        let mut file = File::from(slave);
        let mut number = 0;
        for round in 0_u64.. {
            let mut line = [0; 100];
            let limit = Duration::from_micros(20 + round * 7919 % 150);
            let Ok(count) = timeout(limit, || file.read(&mut line)) else {
                continue;
            };
            assert_eq!(line[..count.unwrap()], *format!("{number:04}\n").as_bytes());
            number += 1;
            if number == 500 {
                break;
            }
            if number == 250 {
                // Bytes that one handle missed are there for its clone.
                file = file.try_clone().unwrap();
            }
        }
        drop(typist.join().unwrap());
    });
}

/// The output of a terminal is not read. A limit holds all the same, and each byte arrives once.
#[test]
fn a_terminal_that_takes_nothing() {
    let (mut master, slave) = terminal();
    small().run(|| {
        let mut file = File::from(slave);
        let mut sent = 0_u64;
        while let Ok(result) = timeout(Duration::from_millis(20), || {
            let bytes = [b'a' + (sent % 26) as u8; 1];
            file.write(&bytes.repeat(1000))
        }) {
            sent += result.unwrap() as u64 / 1000;
        }
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            let mut buf = [0; 4096];
            while !all.ends_with(b"!") {
                let count = master.read(&mut buf).unwrap();
                all.extend_from_slice(&buf[..count]);
            }
            all
        });
        file.write_all(b"!").unwrap();
        let all = reader.join().unwrap();
        let expected: Vec<u8> = (0..sent)
            .flat_map(|number| [b'a' + (number % 26) as u8; 1000])
            .chain(*b"!")
            .collect();
        assert!(
            all == expected,
            "{} bytes for {}",
            all.len(),
            expected.len()
        );
    });
}
