//! `OpenOptions` and `DirBuilder`: what is wished for a file or a directory before it is opened or made.

use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::File;
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
pub struct OpenOptions(std::fs::OpenOptions);

/// As std's.
impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
            self.0.$name($name);
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
        OpenOptions(std::fs::OpenOptions::new())
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

    /// Opens the file at `path`. Suspends while the disk is asked. A FIFO is opened when both ends are, and holds a thread of the pool until then.
    ///
    /// # Errors
    ///
    /// As std's: [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied), [`AlreadyExists`](io::ErrorKind::AlreadyExists)
    /// with `create_new`, [`InvalidInput`](io::ErrorKind::InvalidInput) for wishes that contradict each other, and more of the system's.
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
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        blocking::on_file(move || options.open(path)).map(File::new)
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.0.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.0.custom_flags(flags);
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
        blocking::on_file(move || builder.create(path))
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
