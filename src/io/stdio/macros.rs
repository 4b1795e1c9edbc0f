//! `print!` and its kin, which suspend where std's block the worker.

use std::fmt;
use std::io::{self, Write};

use super::output::{stderr, stdout};
use crate::green::Cancelled;

#[doc(hidden)]
#[track_caller]
pub fn __print(text: fmt::Arguments<'_>) {
    check(stdout().write_fmt(text), "stdout");
}

#[doc(hidden)]
#[track_caller]
pub fn __eprint(text: fmt::Arguments<'_>) {
    check(stderr().write_fmt(text), "stderr");
}

/// Panics on an error, as std does; but not in a thread that unwinds because it was cancelled,
/// where a second panic would abort the process.
#[track_caller]
fn check(result: io::Result<()>, stream: &str) {
    let Err(error) = result else {
        return;
    };
    let is_cancelled = error.get_ref().is_some_and(|inner| inner.is::<Cancelled>());
    if !is_cancelled {
        panic!("failed printing to {stream}: {error}");
    }
}

/// Prints to the standard output, as [`std::print!`], and suspends only the calling green thread
/// while a terminal or a pipe takes no more.
///
/// std's macro blocks the worker then, with all its green threads. This one writes through
/// [`io::stdout`](crate::io::stdout), whose buffer is not that of std's: lines of the two come in
/// any order. A test harness does not capture what it prints.
///
/// # Panics
///
/// Panics if the stream fails, as std's. In a thread that unwinds because it was cancelled, what
/// would have to wait is not printed.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     rustlet::print!("{} and ", 1);
///     rustlet::print!("two\n");
/// });
/// ```
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => {
        $crate::io::__print($crate::io::__format_args!($($arg)*))
    };
}

/// Prints a line to the standard output, as [`std::println!`]; see [`print!`](crate::print).
///
/// # Examples
///
/// ```
/// use rustlet::println;
///
/// rustlet::run(|| {
///     println!();
///     let n = 1;
///     println!("{n} and {}", 2);
/// });
/// ```
#[macro_export]
macro_rules! println {
    () => {
        $crate::io::__print($crate::io::__format_args!("\n"))
    };
    ($($arg:tt)*) => {
        $crate::io::__print($crate::io::__format_args!(
            "{}\n",
            $crate::io::__format_args!($($arg)*)
        ))
    };
}

/// Prints to the standard error, as [`std::eprint!`]; see [`print!`](crate::print).
///
/// # Examples
///
/// ```
/// rustlet::run(|| rustlet::eprint!("oh\n"));
/// ```
#[macro_export]
macro_rules! eprint {
    ($($arg:tt)*) => {
        $crate::io::__eprint($crate::io::__format_args!($($arg)*))
    };
}

/// Prints a line to the standard error, as [`std::eprintln!`]; see [`print!`](crate::print).
///
/// # Examples
///
/// ```
/// rustlet::run(|| rustlet::eprintln!("oh, {}", "no"));
/// ```
#[macro_export]
macro_rules! eprintln {
    () => {
        $crate::io::__eprint($crate::io::__format_args!("\n"))
    };
    ($($arg:tt)*) => {
        $crate::io::__eprint($crate::io::__format_args!(
            "{}\n",
            $crate::io::__format_args!($($arg)*)
        ))
    };
}
