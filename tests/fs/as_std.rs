//! The promises of std's documentation about files and directories.

use super::fs::{self, DirBuilder, File, OpenOptions};
use super::{enter, thread};
use crate::place::Place;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, DirEntryExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, SystemTime};

/// The number of the system's error.
#[track_caller]
fn number<T>(result: std::io::Result<T>) -> i32 {
    result.err().expect("an error").raw_os_error().expect("one of the system's")
}

const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const ESPIPE: i32 = 29;
const EBADF: i32 = 9;
const ENOSPC: i32 = 28;

#[test]
fn the_types_have_the_auto_traits() {
    fn has_them<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}
    has_them::<File>();
    has_them::<OpenOptions>();
    has_them::<fs::Metadata>();
    has_them::<fs::ReadDir>();
    has_them::<fs::DirEntry>();
    has_them::<DirBuilder>();
}

#[test]
fn a_file_is_written_and_read() {
    enter(|| {
        let place = Place::new();
        let path = place.at("file");
        let mut file = File::create(&path).unwrap();
        assert_eq!(file.write(b"hello ").unwrap(), 6);
        file.write_all(b"world").unwrap();
        file.flush().unwrap();
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        drop(file);
        let mut file = File::open(&path).unwrap();
        let mut buf = [0; 20];
        assert_eq!(file.read(&mut buf).unwrap(), 11);
        assert_eq!(&buf[..11], b"hello world");
        assert_eq!(file.read(&mut buf).unwrap(), 0);
        assert_eq!(file.read(&mut []).unwrap(), 0);
        assert_eq!(number(file.write(b"x")), EBADF);
        assert_eq!(number(File::create(&path).unwrap().read(&mut buf)), EBADF);
    });
}

#[test]
fn references_share_the_position() {
    enter(|| {
        let place = Place::new();
        let path = place.at("file");
        fs::write(&path, "0123456789").unwrap();
        let file = File::open(&path).unwrap();
        let mut one = [0; 3];
        (&file).read_exact(&mut one).unwrap();
        assert_eq!(&one, b"012");
        let mut clone = file.try_clone().unwrap();
        clone.read_exact(&mut one).unwrap();
        assert_eq!(&one, b"345");
        assert_eq!((&file).stream_position().unwrap(), 6);
        drop(file);
        let mut rest = String::new();
        clone.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "6789");
    });
}

#[test]
fn seeking() {
    enter(|| {
        let place = Place::new();
        let mut file = File::create_new(place.at("file")).unwrap();
        file.write_all(b"0123456789").unwrap();
        assert_eq!(file.seek(SeekFrom::Start(2)).unwrap(), 2);
        assert_eq!(file.seek(SeekFrom::Current(3)).unwrap(), 5);
        assert_eq!(file.seek(SeekFrom::End(-1)).unwrap(), 9);
        let mut byte = [0];
        file.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"9");
        file.rewind().unwrap();
        file.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"0");
        assert_eq!(file.stream_position().unwrap(), 1);
        assert_eq!(number(file.seek(SeekFrom::Current(-2))), EINVAL);
        assert_eq!(number(file.seek(SeekFrom::Start(u64::MAX))), EINVAL);
        // Past the end is fine; the gap is zeros.
        assert_eq!(file.seek(SeekFrom::End(5)).unwrap(), 15);
        file.write_all(b"x").unwrap();
        file.rewind().unwrap();
        let mut all = Vec::new();
        assert_eq!(file.read_to_end(&mut all).unwrap(), 16);
        assert_eq!(all, b"0123456789\0\0\0\0\0x");
    });
}

#[test]
fn transfers_of_several_buffers() {
    enter(|| {
        let place = Place::new();
        let mut file = File::create_new(place.at("file")).unwrap();
        let out = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")];
        assert_eq!(file.write_vectored(&out).unwrap(), 6);
        assert_eq!(file.write_vectored(&[]).unwrap(), 0);
        assert_eq!(file.write_vectored(&[IoSlice::new(b"")]).unwrap(), 0);
        file.rewind().unwrap();
        let (mut one, mut two) = ([0; 1], [0; 10]);
        let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(file.read_vectored(&mut bufs).unwrap(), 6);
        assert_eq!(&one, b"a");
        assert_eq!(&two[..5], b"bcdef");
        assert_eq!(file.read_vectored(&mut []).unwrap(), 0);
    });
}

#[test]
fn transfers_at_a_position_leave_the_files_own() {
    enter(|| {
        let place = Place::new();
        let mut file = File::create_new(place.at("file")).unwrap();
        file.write_all(b"0123456789").unwrap();
        file.write_all_at(b"ab", 3).unwrap();
        let mut buf = [0; 4];
        file.read_exact_at(&mut buf, 2).unwrap();
        assert_eq!(&buf, b"2ab5");
        assert_eq!(file.read_at(&mut buf, 8).unwrap(), 2);
        assert_eq!(file.read_at(&mut buf, 10).unwrap(), 0);
        assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
        assert_eq!(file.read_exact_at(&mut buf, 8).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(file.stream_position().unwrap(), 10);
        file.write_at(b"z", 12).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 13);
        assert_eq!(number(file.read_at(&mut buf, u64::MAX)), EINVAL);
        assert_eq!(number(file.write_at(&buf, u64::MAX)), EINVAL);
        assert_eq!(number(file.read_at(&mut buf, i64::MAX as u64 + 1)), EINVAL);
    });
}

/// Longer than any buffer on the way.
#[test]
fn long_files() {
    enter(|| {
        let place = Place::new();
        let path = place.at("file");
        let data: Vec<u8> = (0..5_000_011u32).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &data).unwrap();
        assert!(fs::read(&path).unwrap() == data);
        let mut file = File::create(place.at("again")).unwrap();
        file.write_all(&data).unwrap();
        drop(file);
        let mut file = File::open(place.at("again")).unwrap();
        let mut all = vec![0; data.len()];
        file.read_exact(&mut all).unwrap();
        assert!(all == data);
        file.seek(SeekFrom::Start(1)).unwrap();
        let mut all = b"0".to_vec();
        assert_eq!(file.read_to_end(&mut all).unwrap(), data.len() - 1);
        assert!(all[1..] == data[1..]);
        let big = [&data[..3_000_000], &data[3_000_000..]].map(IoSlice::new);
        let mut file = File::create(place.at("vectored")).unwrap();
        let mut count = file.write_vectored(&big).unwrap();
        assert!(count > 0);
        while count < data.len() {
            count += file.write(&data[count..]).unwrap();
        }
        assert!(fs::read(place.at("vectored")).unwrap() == data);
        assert_eq!(fs::copy(&path, place.at("copy")).unwrap(), data.len() as u64);
        assert!(fs::read(place.at("copy")).unwrap() == data);
    });
}

#[test]
fn buffered_readers_and_writers() {
    enter(|| {
        let place = Place::new();
        let path = place.at("file");
        let mut writer = BufWriter::new(File::create(&path).unwrap());
        for line in 0..5000 {
            writeln!(writer, "line {line}").unwrap();
        }
        drop(writer);
        let reader = BufReader::new(File::open(&path).unwrap());
        let mut count = 0;
        for (number, line) in reader.lines().enumerate() {
            assert_eq!(line.unwrap(), format!("line {number}"));
            count += 1;
        }
        assert_eq!(count, 5000);
    });
}

#[test]
fn reading_text() {
    enter(|| {
        let place = Place::new();
        let path = place.at("file");
        fs::write(&path, "grüße").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "grüße");
        let mut text = String::from("viele ");
        assert_eq!(File::open(&path).unwrap().read_to_string(&mut text).unwrap(), 7);
        assert_eq!(text, "viele grüße");
        fs::write(&path, b"bad \xff").unwrap();
        let error = fs::read_to_string(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(error.to_string(), "stream did not contain valid UTF-8");
        let error = File::open(&path).unwrap().read_to_string(&mut text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(text, "viele grüße");
    });
}

#[test]
fn options() {
    enter(|| {
        let place = Place::new();
        let path = place.at("file");
        let kind = |options: &mut OpenOptions| options.open(&path).unwrap_err().kind();
        assert_eq!(kind(OpenOptions::new().read(true)), ErrorKind::NotFound);
        assert_eq!(kind(OpenOptions::new().write(true)), ErrorKind::NotFound);
        assert_eq!(kind(&mut OpenOptions::new()), ErrorKind::InvalidInput);
        assert_eq!(kind(OpenOptions::new().read(true).create(true)), ErrorKind::InvalidInput);
        assert_eq!(kind(OpenOptions::new().read(true).truncate(true)), ErrorKind::InvalidInput);
        assert_eq!(kind(OpenOptions::new().append(true).truncate(true)), ErrorKind::InvalidInput);
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o640);
        options.open(&path).unwrap().write_all(b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(kind(&mut options.clone()), ErrorKind::AlreadyExists);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"onetwo");
        OpenOptions::new().write(true).open(&path).unwrap().write_all(b"X").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"Xnetwo");
        OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        // O_NOFOLLOW: a link is an error.
        std::os::unix::fs::symlink(&path, place.at("link")).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(0o400_000);
        assert!(options.open(&path).is_ok());
        #[cfg(target_arch = "x86_64")]
        assert!(options.open(place.at("link")).is_err());
    });
}

#[test]
fn appending_from_several_threads() {
    enter(|| {
        let place = Place::new();
        let path = place.at("log");
        let threads: Vec<_> = (0..4u8)
            .map(|number| {
                let path = path.clone();
                thread::spawn(move || {
                    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
                    for _ in 0..50 {
                        file.write_all(&[number; 10]).unwrap();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let all = fs::read(&path).unwrap();
        assert_eq!(all.len(), 2000);
        assert!(all.chunks(10).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0])));
    });
}

#[test]
fn several_threads_read_one_file() {
    enter(|| {
        let place = Place::new();
        let path = place.at("file");
        // One call for each, which is slow in an emulator.
        let count = if crate::support::is_emulated() { 10_000 } else { 100_000 };
        let data: Vec<u8> = (0..count).flat_map(u32::to_le_bytes).collect();
        fs::write(&path, &data).unwrap();
        let file = File::open(&path).unwrap();
        let mut seen: Vec<u32> = thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut seen = Vec::new();
                        let mut buf = [0; 4];
                        while (&file).read(&mut buf).unwrap() == 4 {
                            seen.push(u32::from_le_bytes(buf));
                        }
                        seen
                    })
                })
                .collect();
            readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
        });
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..count));
    });
}

#[test]
fn metadata_and_what_changes_it() {
    enter(|| {
        let place = Place::new();
        let path = place.at("file");
        fs::write(&path, "12345").unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let metadata = file.metadata().unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.len(), 5);
        file.set_len(3).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"123");
        file.set_len(5).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"123\0\0");
        assert_eq!(number(File::open(&path).unwrap().set_len(1)), EINVAL);
        let mut permissions = metadata.permissions();
        permissions.set_readonly(true);
        file.set_permissions(permissions).unwrap();
        assert!(fs::metadata(&path).unwrap().permissions().readonly());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_modified(then).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), then);
        let times = fs::FileTimes::new().set_accessed(then).set_modified(then);
        file.set_times(times).unwrap();
        assert_eq!(file.metadata().unwrap().accessed().unwrap(), then);
    });
}

#[test]
fn paths() {
    enter(|| {
        let place = Place::new();
        let (one, two) = (place.at("one"), place.at("two"));
        fs::write(&one, "1").unwrap();
        fs::rename(&one, &two).unwrap();
        assert!(!fs::exists(&one).unwrap());
        assert!(fs::exists(&two).unwrap());
        fs::hard_link(&two, &one).unwrap();
        assert_eq!(fs::metadata(&one).unwrap().nlink(), 2);
        fs::remove_file(&two).unwrap();
        std::os::unix::fs::symlink(&one, &two).unwrap();
        assert_eq!(fs::read_link(&two).unwrap(), one);
        assert!(fs::symlink_metadata(&two).unwrap().is_symlink());
        assert!(fs::metadata(&two).unwrap().is_file());
        assert_eq!(fs::canonicalize(&two).unwrap(), fs::canonicalize(&one).unwrap());
        fs::remove_file(&one).unwrap();
        assert_eq!(fs::metadata(&two).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!fs::exists(&two).unwrap());
        assert_eq!(fs::read_link(place.path()).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(fs::rename(&one, place.at("x")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::copy(&one, place.at("x")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::copy(place.path(), place.at("x")).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn directories() {
    enter(|| {
        let place = Place::new();
        fs::create_dir(place.at("a")).unwrap();
        assert_eq!(fs::create_dir(place.at("a")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::create_dir(place.at("b/c")).unwrap_err().kind(), ErrorKind::NotFound);
        fs::create_dir_all(place.at("b/c/d")).unwrap();
        fs::create_dir_all(place.at("b/c/d")).unwrap();
        fs::write(place.at("b/c/file"), "").unwrap();
        assert_eq!(fs::create_dir_all(place.at("b/c/file")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(number(fs::create_dir_all(place.at("b/c/file/d"))), ENOTDIR);
        assert_eq!(fs::remove_dir(place.at("b")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        fs::remove_dir(place.at("b/c/d")).unwrap();
        fs::remove_dir_all(place.at("b")).unwrap();
        assert!(!fs::exists(place.at("b")).unwrap());
        DirBuilder::new().recursive(true).mode(0o700).create(place.at("x/y")).unwrap();
        assert_eq!(fs::metadata(place.at("x/y")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(DirBuilder::new().create(place.at("x")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn listing_a_directory() {
    enter(|| {
        let place = Place::new();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        // More entries than one read returns.
        for number in 0..300 {
            std::fs::write(place.at(number.to_string()), "x").unwrap();
        }
        std::fs::create_dir(place.at("sub")).unwrap();
        std::os::unix::fs::symlink("nowhere", place.at("link")).unwrap();
        let mut names: Vec<_> = fs::read_dir(place.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.path(), place.at(entry.file_name()));
                let metadata = entry.metadata().unwrap();
                assert_eq!(metadata.ino(), entry.ino());
                assert_eq!(metadata.file_type(), entry.file_type().unwrap());
                entry.file_name().into_string().unwrap()
            })
            .collect();
        names.sort();
        assert_eq!(names.len(), 302);
        assert!(names.contains(&"sub".into()) && names.contains(&"299".into()));
        let mut listing = fs::read_dir(place.path()).unwrap();
        assert_eq!(format!("{listing:?}"), format!("ReadDir({:?})", place.path()));
        let entry = listing.next().unwrap().unwrap();
        assert_eq!(format!("{entry:?}"), format!("DirEntry({:?})", entry.path()));
        while listing.next().is_some() {}
        assert!(listing.next().is_none());
        assert_eq!(fs::read_dir(place.at("no")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::read_dir(place.at("1")).unwrap_err().kind(), ErrorKind::NotADirectory);
    });
}

#[test]
fn a_directory_is_no_file() {
    enter(|| {
        let place = Place::new();
        let mut dir = File::open(place.path()).unwrap();
        assert_eq!(number(dir.read(&mut [0])), EISDIR);
        assert_eq!(number(fs::read(place.path())), EISDIR);
        assert_eq!(number(fs::write(place.path(), "")), EISDIR);
        assert_eq!(number(File::create(place.path())), EISDIR);
    });
}

#[test]
fn the_systems_errors() {
    enter(|| {
        let place = Place::new();
        assert_eq!(File::open(place.at("no")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(File::open("nul\0").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(fs::remove_file(place.at("no")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::remove_dir_all(place.at("no")).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(place.at("file"), "").unwrap();
        assert_eq!(number(File::open(place.at("file/below"))), ENOTDIR);
        let long = "x".repeat(5000);
        assert_eq!(File::open(place.at(long)).unwrap_err().kind(), ErrorKind::InvalidFilename);
        if cfg!(target_os = "linux") {
            let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            let error = full.write(b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert_eq!(error.raw_os_error(), Some(ENOSPC));
            let mut zero = File::open("/dev/zero").unwrap();
            let mut buf = [1; 100];
            zero.read_exact(&mut buf).unwrap();
            assert_eq!(buf, [0; 100]);
        }
        let mut null = OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
        assert_eq!(null.write(&[0; 1000]).unwrap(), 1000);
        assert_eq!(null.read(&mut [0]).unwrap(), 0);
        assert_eq!(fs::read("/dev/null").unwrap(), b"");
        fs::write("/dev/null", "x").unwrap();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn files_that_the_system_makes_up() {
    enter(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.starts_with("Name:"));
        let mut text = String::new();
        BufReader::new(File::open("/proc/self/stat").unwrap()).read_line(&mut text).unwrap();
        assert!(text.contains(&std::process::id().to_string()));
    });
}

/// A file that was closed without its knowledge returns an error.
#[test]
fn a_closed_descriptor() {
    // A number that no other code in the process gets.
    const FAR: i32 = 900;
    enter(|| {
        // SAFETY: nothing has this number, and nothing gets it while the file has it.
        let mut file = unsafe { File::from_raw_fd(FAR) };
        assert_eq!(number(file.read(&mut [0])), EBADF);
        assert_eq!(number(file.write(&[0])), EBADF);
        assert_eq!(number(file.seek(SeekFrom::Start(0))), EBADF);
        assert_eq!(number(file.metadata()), EBADF);
        assert_eq!(number(file.sync_all()), EBADF);
        let _not_ours = file.into_raw_fd();
    });
}

#[test]
fn conversions() {
    enter(|| {
        let place = Place::new();
        let path = place.at("file");
        let file = File::create_new(&path).unwrap();
        let number = file.as_raw_fd();
        assert_eq!(file.as_fd().as_raw_fd(), number);
        let owned = OwnedFd::from(file);
        assert_eq!(owned.as_raw_fd(), number);
        let mut file = File::from(owned);
        file.write_all(b"still").unwrap();
        let raw = file.into_raw_fd();
        assert_eq!(raw, number);
        // SAFETY: it was given up in the line above.
        let mut file = unsafe { File::from_raw_fd(raw) };
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "still");
        let text = format!("{file:?}");
        assert!(text.starts_with(&format!("File {{ fd: {number}, path: ")), "{text}");
    });
}

/// Both ends wait in `open`, and then the reader for the writer.
#[test]
fn a_fifo() {
    enter(|| {
        let place = Place::new();
        let path = place.at("fifo");
        crate::ours::make_fifo(&path);
        let writer = thread::spawn({
            let path = path.clone();
            move || {
                let mut file = OpenOptions::new().write(true).open(path).unwrap();
                assert_eq!(number(file.seek(SeekFrom::Start(0))), ESPIPE);
                assert_eq!(number(file.write_at(b"x", 5)), ESPIPE);
                for line in 0..100 {
                    writeln!(file, "{line}").unwrap();
                    thread::yield_now();
                }
                // Much more than fits: waits for the reader.
                file.write_all(&vec![b'x'; 1 << 20]).unwrap();
            }
        });
        let mut reader = BufReader::new(File::open(&path).unwrap());
        assert_eq!(number(reader.get_ref().read_at(&mut [0], 0)), ESPIPE);
        for line in 0..100 {
            let mut text = String::new();
            reader.read_line(&mut text).unwrap();
            assert_eq!(text, format!("{line}\n"));
        }
        let mut rest = Vec::new();
        assert_eq!(reader.read_to_end(&mut rest).unwrap(), 1 << 20);
        writer.join().unwrap();
    });
}

#[test]
fn a_fifo_read_whole_and_written_whole() {
    enter(|| {
        let place = Place::new();
        let path = place.at("fifo");
        crate::ours::make_fifo(&path);
        let text = "y".repeat(200_000);
        let writer = thread::spawn({
            let (path, text) = (path.clone(), text.clone());
            move || fs::write(path, text).unwrap()
        });
        assert!(fs::read_to_string(&path).unwrap() == text);
        writer.join().unwrap();
    });
}

#[test]
fn a_fifo_without_readers() {
    enter(|| {
        let place = Place::new();
        let path = place.at("fifo");
        crate::ours::make_fifo(&path);
        // Opened for both, so that no end waits.
        let both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(b"z").unwrap();
        (&both).read_exact(&mut [0]).unwrap();
        drop(both);
        // A child that another test has just forked may have that end, too, for a moment.
        let error = loop {
            if let Err(error) = writer.write(b"z") {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

/// An open file with `O_NONBLOCK` does not wait.
#[test]
fn a_fifo_that_does_not_block() {
    enter(|| {
        let place = Place::new();
        let path = place.at("fifo");
        crate::ours::make_fifo(&path);
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut reader = OpenOptions::new().read(true).custom_flags(flags).open(&path).unwrap();
        // No writer yet: end of file.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        let mut writer = OpenOptions::new().write(true).custom_flags(flags).open(&path).unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut written = 0;
        let error = loop {
            match writer.write(&[0; 100_000]) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(written > 0);
        // Does not read to the end: a child that another test has just forked may have the other
        // end, too.
        reader.read_exact(&mut vec![0; written]).unwrap();
    });
}
