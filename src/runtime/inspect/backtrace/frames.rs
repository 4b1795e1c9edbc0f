//! [`Backtrace`]: the call stack of a suspended green thread.

use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr;

/// Call stack of a suspended green thread: the frames of the program and of the libraries that it
/// calls, innermost first.
///
/// It has neither rustlet's own frames nor those below the closure of the thread, and ends after
/// 256 frames, not counting inlined ones. Returned by
/// [`ThreadInfo::backtrace`](crate::runtime::ThreadInfo::backtrace).
///
/// `Display` writes one line for each frame.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let waiter = rustlet::spawn(rustlet::park);
///     rustlet::yield_now();
///     let threads = rustlet::runtime::threads();
///     for backtrace in threads.iter().filter_map(|thread| thread.backtrace()) {
///         println!("{backtrace}");
///     }
///     waiter.thread().unpark();
///     waiter.join().unwrap();
/// });
/// ```
#[derive(Clone, Debug)]
pub struct Backtrace {
    frames: Vec<Frame>,
}

/// One call, part of a [`Backtrace`].
///
/// # Examples
///
/// ```
/// use rustlet::runtime::{Backtrace, Frame};
///
/// fn innermost(backtrace: &Backtrace) -> Option<&Frame> {
///     backtrace.frames().first()
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Frame {
    /// Name of the function, or its address if no symbol is known.
    pub function: String,
    /// File and line of the call in progress; `None` if the program has no debug information for
    /// it.
    pub place: Option<(PathBuf, u32)>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        match &self.place {
            Some((file, line)) => write!(f, " at {}:{line}", file.display()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, frame) in self.frames.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{frame}")?;
        }
        Ok(())
    }
}

impl Backtrace {
    /// Creates a backtrace without the frames that do not belong to the program.
    pub(super) fn of(mut frames: Vec<Frame>) -> Backtrace {
        let is_end = |frame: &Frame| frame.function.contains("__rust_begin_short_backtrace");
        if let Some(end) = frames.iter().position(is_end) {
            frames.truncate(end);
        }
        // The innermost frames of std are calls by which rustlet reaches its own functions.
        let glue = frames
            .iter()
            .take_while(|frame| frame.is_own() || frame.is_of_std());
        let glue: Vec<bool> = glue.map(Frame::is_own).collect();
        let own = glue.iter().rposition(|is_own| *is_own);
        frames.drain(..own.map_or(0, |last| last + 1));
        frames.retain(|frame| !frame.is_own());
        Backtrace { frames }
    }

    /// Returns the frames, innermost first.
    ///
    /// # Examples
    ///
    /// ```
    /// fn wait() {
    ///     rustlet::park();
    ///     std::hint::black_box(());
    /// }
    ///
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(wait);
    ///     rustlet::yield_now();
    ///     for info in rustlet::runtime::threads() {
    ///         // Of a thread that waits in `wait`, this is the first one.
    ///         for frame in info.backtrace().iter().flat_map(|backtrace| backtrace.frames()) {
    ///             println!("{}", frame.function);
    ///         }
    ///     }
    ///     thread.thread().unpark();
    ///     thread.join().unwrap();
    /// });
    /// ```
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }
}

/// The folder of this library's source, as the debug information has it.
const OWN_SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

impl Frame {
    /// Returns whether the function belongs to rustlet, or to the crate that switches stacks. Only
    /// the last part of the name of an inlined function may be known; then its file decides.
    fn is_own(&self) -> bool {
        let of_file = |file: &Path| {
            let mut folders = file.iter().filter_map(|folder| folder.to_str());
            file.starts_with(OWN_SOURCE) || folders.any(|folder| folder.starts_with("corosensei-"))
        };
        is_of(&self.function, &["rustlet", "corosensei"])
            || self.place.as_ref().is_some_and(|(file, _)| of_file(file))
    }

    fn is_of_std(&self) -> bool {
        const SOURCES: [&str; 3] = ["library/core/src", "library/alloc/src", "library/std/src"];
        let of_file = |file: &Path| {
            let file = file.to_string_lossy();
            SOURCES.iter().any(|source| file.contains(source))
        };
        is_of(&self.function, &["core", "alloc", "std"])
            || self.place.as_ref().is_some_and(|(file, _)| of_file(file))
    }
}

/// Returns whether the path of a function begins with one of these crates: `a::b`, `<a::B>::c`,
/// `<&a::B as d::E>::f`.
fn is_of(function: &str, crates: &[&str]) -> bool {
    let path = function.trim_start_matches(['<', '&', '(', '*', '[']);
    let path = path.strip_prefix("mut ").unwrap_or(path);
    let path = path.strip_prefix("dyn ").unwrap_or(path);
    let first = path.split_once("::").map(|(first, _)| first);
    first.is_some_and(|first| crates.contains(&first))
}

/// Returns the functions at the call that returns to `address`, inlined ones first.
pub(super) fn frames_at(address: usize) -> Vec<Frame> {
    let mut found = Vec::new();
    ::backtrace::resolve(ptr::without_provenance_mut(address), |symbol| {
        let name = symbol.name().map(|name| format!("{name:#}"));
        found.push(Frame {
            function: name.unwrap_or_else(|| format!("{address:#x}")),
            place: symbol
                .filename()
                .map(Path::to_path_buf)
                .zip(symbol.lineno()),
        });
    });
    if found.is_empty() {
        found.push(Frame {
            function: format!("{address:#x}"),
            place: None,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str) -> Frame {
        Frame {
            function: function.into(),
            place: None,
        }
    }

    #[test]
    fn frames_of_std_and_rustlet_are_left_out() {
        let all = [
            "<rustlet::sync::Mutex<T>>::lock",
            "core::ops::function::FnOnce::call_once",
            "<&rustlet::net::TcpStream as std::io::Read>::read",
            "std::io::Read::read_exact",
            "my::rustlet::helper",
            "<T as rustlet::Trait>::method",
            "rustlet::scope",
            "my::outer",
            "rustlet::x::__rust_begin_short_backtrace",
            "my::never",
        ];
        let backtrace = Backtrace::of(all.iter().copied().map(frame).collect());
        let left = "std::io::Read::read_exact\nmy::rustlet::helper\n<T as rustlet::Trait>::method\nmy::outer";
        assert_eq!(backtrace.to_string(), left);
        assert_eq!(Backtrace::of(Vec::new()).to_string(), "");
    }

    #[test]
    fn functions_are_attributed_by_their_source_file() {
        let mut inlined = frame("suspend");
        inlined.place = Some((Path::new(OWN_SOURCE).join("green/park.rs"), 1));
        assert!(inlined.is_own());
        inlined.place = Some(("/home/x/corosensei-0.3.4/src/coroutine.rs".into(), 1));
        assert!(inlined.is_own());
        inlined.place = Some(("/home/x/app/src/main.rs".into(), 1));
        assert!(!inlined.is_own());
    }
}
