//! `OpenOptions` and `DirBuilder`: settings for a file or a directory before it is opened or
//! created.

use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::green::WorkerContext;
use crate::green::park::is_limited_os;
use crate::runtime::blocking;

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
    pub(super) theirs: std::fs::OpenOptions,
    // Stored again, because std's cannot be read.
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    flags: OFlags,
}

/// Formats the options as std does.
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

    /// Returns whether it may create or truncate a file.
    pub(super) fn changes(&self) -> bool {
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::TMPFILE;
        self.truncate || self.create || self.create_new || self.flags.intersects(flags)
    }

    /// Returns whether opening may wait for another program, if the file is of such a kind.
    pub(super) fn may_wait(&self) -> bool {
        // An error at once, by std's rules: no writing, or truncating and appending; or the file
        // exists.
        let fails = self.changes()
            && (!self.write && !self.append || self.truncate && self.append || self.create_new);
        // A green thread, or a limit around the call of an OS thread.
        let can_end = WorkerContext::get().is_some() || is_limited_os();
        !fails && can_end && !self.flags.intersects(OFlags::NONBLOCK | OFlags::PATH)
    }

    /// Returns std's options, without creating or truncating, and with `more`.
    pub(super) fn unchanging(&self, more: OFlags) -> std::fs::OpenOptions {
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

    /// Creates the directory.
    ///
    /// # Errors
    ///
    /// As in std: [`AlreadyExists`](io::ErrorKind::AlreadyExists) unless recursive,
    /// [`NotFound`](io::ErrorKind::NotFound) if the parent is missing, and others of the system.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
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

/// Formats the options as std does.
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
