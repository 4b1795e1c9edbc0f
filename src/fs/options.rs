//! `OpenOptions` and `DirBuilder`: settings for a file or a directory before it is opened or
//! created.

use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::File;
use super::fifo::Fifo;
use crate::green::Home;
use crate::green::park::is_limited_os;
use crate::runtime::blocking;
use crate::runtime::source::Way;

/// Options for opening a file: [`std::fs::OpenOptions`] for green threads. std's trait
/// [`OpenOptionsExt`] has the options of Unix.
///
/// # Examples
///
/// ```
/// use rustlet::fs::OpenOptions;
/// use rustlet::io::Write;
///
/// rustlet::run(|| {
///     let mut null = OpenOptions::new().append(true).open("/dev/null")?;
///     null.write_all(b"gone")
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct OpenOptions {
    theirs: std::fs::OpenOptions,
    // Stored again, because std's cannot be read.
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    flags: OFlags,
}

/// As std's.
impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.theirs.fmt(f)
    }
}

/// The settings that are flags.
macro_rules! flags {
    ($($(#[doc = $text:literal])+ $name:ident;)+) => {$(
        $(#[doc = $text])+
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("rustlet::fs::OpenOptions::new().", stringify!($name), "(true);")]
        /// ```
        pub fn $name(&mut self, $name: bool) -> &mut OpenOptions {
            self.theirs.$name($name);
            self.$name = $name;
            self
        }
    )+};
}

impl OpenOptions {
    /// Creates options with every flag `false`: with these alone, opening fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let refused = rustlet::fs::OpenOptions::new().open("/dev/null").unwrap_err();
    /// assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    #[allow(
        clippy::new_without_default,
        reason = "std's type has no `Default` either"
    )]
    #[must_use]
    pub fn new() -> OpenOptions {
        OpenOptions {
            theirs: std::fs::OpenOptions::new(),
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            flags: OFlags::empty(),
        }
    }

    flags! {
        /// Opens for reading. Default: `false`.
        read;
        /// Opens for writing; existing contents are overwritten. Default: `false`.
        write;
        /// Opens for appending: each write goes to the current end. Default: `false`.
        append;
        /// Truncates an existing file. Requires `write`. Default: `false`.
        truncate;
        /// Creates the file if it does not exist. Requires `write` or `append`. Default: `false`.
        create;
        /// Creates the file, and fails if it exists; `create` and `truncate` are ignored then.
        /// Default: `false`.
        create_new;
    }

    /// Opens the file at `path`.
    ///
    /// A FIFO is opened when both ends are: within some milliseconds after the other one. It
    /// occupies no thread of the pool until then.
    ///
    /// # Errors
    ///
    /// As in std: [`NotFound`](io::ErrorKind::NotFound),
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied),
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) with `create_new`,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for contradictory options, and others of the
    /// system.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds at once, unless an open that may create or truncate a file has begun:
    /// that completes, so that no file is created or truncated for a caller that has left. To this
    /// end the call first checks for a FIFO or a device, which may wait forever; these are opened
    /// without being created or truncated, which has no meaning for them.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::fs::OpenOptions;
    ///
    /// let file = rustlet::run(|| OpenOptions::new().read(true).open("/dev/null"))?;
    /// # drop(file);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let path = path.as_ref().to_owned();
        let begin = self.begin(path);
        let begun = if self.changes() {
            blocking::on_file_shielded(begin)?
        } else {
            blocking::on_file(begin)?
        };
        begun.finish()
    }

    /// The part of [`open`](OpenOptions::open) on the pool: all of it, unless it might wait
    /// forever.
    pub(super) fn begin(
        &self,
        path: PathBuf,
    ) -> impl FnOnce() -> io::Result<Begun> + Send + 'static {
        let (options, may_wait) = (self.clone(), self.may_wait());
        move || {
            let file_type = std::fs::metadata(&path).map(|metadata| metadata.file_type());
            match file_type {
                Ok(file_type) if may_wait && file_type.is_fifo() => {
                    let way = if options.read { Way::Read } else { Way::Write };
                    // With both ends there is nothing to wait for.
                    let both = options.read && (options.write || options.append);
                    let more = if both {
                        OFlags::empty()
                    } else {
                        OFlags::NONBLOCK
                    };
                    let options = options.unchanging(more);
                    if both {
                        return options.open(path).map(Begun::File);
                    }
                    // A writer that comes and goes is an end of file for a reader: it is opened by
                    // a call that is waited for.
                    let begun = match way {
                        Way::Read => Fifo::begin(options, path, way)?,
                        Way::Write => Fifo::unopened(options, path, way),
                    };
                    Ok(Begun::Fifo(begun))
                }
                Ok(file_type) if may_wait && file_type.is_char_device() => {
                    Ok(Begun::Device(options.unchanging(OFlags::empty()), path))
                }
                _ => options.theirs.open(path).map(Begun::File),
            }
        }
    }

    /// Returns whether it may create or truncate a file.
    fn changes(&self) -> bool {
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::TMPFILE;
        self.truncate || self.create || self.create_new || self.flags.intersects(flags)
    }

    /// Returns whether opening may wait for another program, if the file is of such a kind.
    fn may_wait(&self) -> bool {
        // An error at once, by std's rules: no writing, or truncating and appending; or the file
        // exists.
        let fails = self.changes()
            && (!self.write && !self.append || self.truncate && self.append || self.create_new);
        // A green thread, or a limit around the call of an OS thread.
        let can_end = Home::get().is_some() || is_limited_os();
        !fails && can_end && !self.flags.intersects(OFlags::NONBLOCK | OFlags::PATH)
    }

    /// Returns std's options, without creating or truncating, and with `more`.
    fn unchanging(&self, more: OFlags) -> std::fs::OpenOptions {
        let flags = self.flags.difference(OFlags::CREATE | OFlags::TRUNC) | more;
        let mut options = std::fs::OpenOptions::new();
        options
            .read(self.read)
            .write(self.write)
            .append(self.append)
            .custom_flags(flags.bits().cast_signed());
        options
    }
}

/// An open that the pool has begun.
pub(super) enum Begun {
    File(std::fs::File),
    Fifo(Fifo),
    Device(std::fs::OpenOptions, PathBuf),
}

impl Begun {
    /// Waits for the other end, or for the device.
    #[track_caller]
    pub(super) fn finish(self) -> io::Result<File> {
        match self {
            Begun::File(file) => Ok(File::new(file)),
            Begun::Fifo(fifo) => fifo.finish(),
            Begun::Device(options, path) => {
                blocking::on_file(move || options.open(path)).map(File::new)
            }
        }
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.theirs.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.theirs.custom_flags(flags);
        self.flags = OFlags::from_bits_retain(flags.cast_unsigned());
        self
    }
}

/// Options for creating a directory: [`std::fs::DirBuilder`] for green threads. std's trait
/// [`DirBuilderExt`] sets the mode.
///
/// # Examples
///
/// ```
/// use rustlet::fs::DirBuilder;
///
/// // It exists, which is fine with `recursive`.
/// rustlet::run(|| DirBuilder::new().recursive(true).create("/"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
// std's own cannot be cloned, so it cannot be sent to the pool.
pub struct DirBuilder {
    mode: Option<u32>,
    recursive: bool,
}

impl DirBuilder {
    /// Creates options for a single directory in an existing one.
    ///
    /// # Examples
    ///
    /// ```
    /// let there = rustlet::fs::DirBuilder::new().create("/").unwrap_err();
    /// assert_eq!(there.kind(), std::io::ErrorKind::AlreadyExists);
    /// ```
    #[allow(
        clippy::new_without_default,
        reason = "std's type has no `Default` either"
    )]
    #[must_use]
    pub fn new() -> DirBuilder {
        DirBuilder {
            mode: None,
            recursive: false,
        }
    }

    /// Sets whether missing parents are created, and whether an existing directory is fine.
    /// Default: `false`.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::fs::DirBuilder::new().recursive(true);
    /// ```
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.recursive = recursive;
        self
    }

    /// Creates the directory. Suspends.
    ///
    /// # Errors
    ///
    /// As in std: [`AlreadyExists`](io::ErrorKind::AlreadyExists) unless recursive,
    /// [`NotFound`](io::ErrorKind::NotFound) if the parent is missing, and others of the system.
    ///
    /// # Examples
    ///
    /// ```
    /// let made = rustlet::run(|| rustlet::fs::DirBuilder::new().create("/proc/here"));
    /// assert!(made.is_err());
    /// ```
    #[track_caller]
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let builder = self.as_std();
        let path = path.as_ref().to_owned();
        blocking::on_file_shielded(move || builder.create(path))
    }
}

impl DirBuilder {
    fn as_std(&self) -> std::fs::DirBuilder {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        if let Some(mode) = self.mode {
            builder.mode(mode);
        }
        builder
    }
}

/// As std's.
impl fmt::Debug for DirBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_std().fmt(f)
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.mode = Some(mode);
        self
    }
}
