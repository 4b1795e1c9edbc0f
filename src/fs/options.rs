//! `OpenOptions` and `DirBuilder`: what is wished for a file or a directory before it is opened or made.

use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::green::Home;
use crate::green::park::is_limited_os;
use crate::runtime::blocking;

/// How to open a file: [`std::fs::OpenOptions`] for green threads. What is Unix's is there through std's trait,
/// [`OpenOptionsExt`].
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
    // Once more, because std's cannot be asked.
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) append: bool,
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

/// The settings that are a flag each.
macro_rules! flags {
    ($($(#[doc = $text:literal])+ $name:ident;)+) => {$(
        $(#[doc = $text])+
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
    /// Nothing is wished yet: with these alone, opening fails.
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
        /// To read.
        read;
        /// To write, over what is there.
        write;
        /// To write at the end, wherever that is at each write.
        append;
        /// Cut off what is there. Asks for `write`.
        truncate;
        /// Make the file if it is not there. Asks for `write` or `append`.
        create;
        /// Make the file, and fail if it is there; `create` and `truncate` then mean nothing.
        create_new;
    }

    /// Whether it may make or empty a file.
    pub(super) fn changes(&self) -> bool {
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::TMPFILE;
        self.truncate || self.create || self.create_new || self.flags.intersects(flags)
    }

    /// Whether opening may wait for somebody else, if there is something that one waits for.
    pub(super) fn may_wait(&self) -> bool {
        // An error at once, by std's rules: nothing is to be written, or the end and the beginning; it is there already.
        let fails = self.changes()
            && (!self.write && !self.append || self.truncate && self.append || self.create_new);
        // A green thread, or a limit around the call of an OS thread.
        let can_end = Home::get().is_some() || is_limited_os();
        !fails && can_end && !self.flags.intersects(OFlags::NONBLOCK | OFlags::PATH)
    }

    /// Std's, without the wish to make or to empty the file, and with `more`.
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

/// How to make a directory: [`std::fs::DirBuilder`] for green threads. The mode is set through std's trait, [`DirBuilderExt`].
///
/// # Examples
///
/// ```
/// use rustlet::fs::DirBuilder;
///
/// // It is there, and that is what was wanted.
/// rustlet::run(|| DirBuilder::new().recursive(true).create("/"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
// std's own cannot be cloned, and so not be taken along to the pool.
pub struct DirBuilder {
    mode: Option<u32>,
    recursive: bool,
}

impl DirBuilder {
    /// A single directory, in one that is there.
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

    /// Whether to make the directories above it too, as far as they are missing, and to be content if all are there.
    ///
    /// ```
    /// rustlet::fs::DirBuilder::new().recursive(true);
    /// ```
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.recursive = recursive;
        self
    }

    /// Makes the directory. Suspends while the disk is asked.
    ///
    /// # Errors
    ///
    /// As std's: [`AlreadyExists`](io::ErrorKind::AlreadyExists) unless recursive, [`NotFound`](io::ErrorKind::NotFound) if the one above is missing, and
    /// more of the system's.
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
