//! What the examples share: the command line, and how an error ends the program.
//!
//! This module is no part of the library and shows nothing of it. An example calls [`main`] with
//! the text of its `--help` and a closure that reads the arguments and does the work.
#![allow(dead_code, reason = "each example uses some of these functions")]

use std::env::args_os;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// Why an example ends early: a message for the user, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

/// A failure of the work itself: exit code 1.
pub(crate) fn failure(message: impl Display) -> Failure {
    Failure {
        message: message.to_string(),
        code: 1,
    }
}

/// A mistake in the command line: exit code 2, with a pointer to `--help`.
pub(crate) fn misuse(message: impl Display) -> Failure {
    Failure {
        message: message.to_string(),
        code: 2,
    }
}

/// Adds to an I/O error what could not be done: "cannot listen on 127.0.0.1:7777: address in use".
pub(crate) fn cannot(action: &str, object: impl Display) -> impl FnOnce(io::Error) -> Failure {
    move |error| {
        let kind = error.kind().to_string();
        // The kind says the same as the system's message, without a number. Some errors have no
        // kind.
        let has_kind = error.raw_os_error().is_some() && kind != "uncategorized error";
        let reason = if has_kind { kind } else { error.to_string() };
        failure(format!("cannot {action} {object}: {reason}"))
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        failure(error)
    }
}

/// Runs an example. `--help` prints `help`, which goes on from "usage: NAME ", and exits with 0. An
/// error of `run` goes to stderr; the exit code is 2 if the command line was wrong, otherwise 1.
pub(crate) fn main(help: &str, run: impl FnOnce(&mut Args) -> Result) -> ExitCode {
    let mut words = args_os();
    let program = words.next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let words: std::result::Result<Vec<_>, _> = words.map(|word| word.into_string()).collect();
    let outcome = match words {
        Err(word) => Err(misuse(format!("{word:?} is not valid UTF-8"))),
        Ok(words) => {
            let mut args = Args::new(words);
            if args.flag("--help") | args.flag("-h") {
                // The reader may be gone, as in `--help | head -1`.
                drop(writeln!(io::stdout(), "usage: {name} {help}"));
                return ExitCode::SUCCESS;
            }
            run(&mut args)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, code }) => {
            eprintln!("{name}: {message}");
            if code == 2 {
                eprintln!("`{name} --help` lists the arguments");
            }
            ExitCode::from(code)
        }
    }
}

/// The command line. Each call takes its part out of it: first the options, by name, then the
/// positional arguments, then [`Args::end`] complains about what is left.
pub(crate) struct Args {
    words: Vec<String>,
    /// The arguments after `--`, none of which is an option.
    literal: Vec<String>,
}

impl Args {
    fn new(mut words: Vec<String>) -> Args {
        let end = words.iter().position(|word| word == "--");
        let literal = end.map_or(Vec::new(), |end| words.drain(end..).skip(1).collect());
        Args { words, literal }
    }

    /// Whether the option `name`, which takes no value, is given.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() < before
    }

    /// The value of the option `name`, as `name VALUE` or `name=VALUE`. The last one counts.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        let mut last = None;
        let is_option = |word: &String| {
            let rest = word.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        while let Some(index) = self.words.iter().position(is_option) {
            let word = self.words.remove(index);
            last = match word.split_once('=') {
                Some((_, value)) => Some(value.to_owned()),
                None if index < self.words.len() => Some(self.words.remove(index)),
                None => return Err(misuse(format!("{name} needs a value"))),
            };
        }
        Ok(last)
    }

    /// The value of the option `name`, a number of at least `least`.
    pub(crate) fn number(&mut self, name: &str, least: u32) -> Result<Option<u32>> {
        let value = self.value(name)?;
        value.map(|value| number(name, &value, least)).transpose()
    }

    /// The value of the option `name`, which counts milliseconds.
    pub(crate) fn milliseconds(&mut self, name: &str) -> Result<Option<Duration>> {
        let number = self.number(name, 1)?;
        Ok(number.map(|number| Duration::from_millis(number.into())))
    }

    /// The value of the option `name`, which counts seconds.
    pub(crate) fn seconds(&mut self, name: &str) -> Result<Option<Duration>> {
        let number = self.number(name, 1)?;
        Ok(number.map(|number| Duration::from_secs(number.into())))
    }

    /// A builder of the runtime, with as many workers as `--workers` says.
    pub(crate) fn runtime(&mut self) -> Result<rustlet::Builder> {
        let builder = rustlet::Builder::new();
        Ok(match self.number("--workers", 1)? {
            Some(workers) => builder.workers(workers as usize),
            None => builder,
        })
    }

    /// The next positional argument. All options must have been taken before: another one is an
    /// error.
    pub(crate) fn word(&mut self) -> Result<Option<String>> {
        self.no_options()?;
        let words = if self.words.is_empty() {
            &mut self.literal
        } else {
            &mut self.words
        };
        Ok((!words.is_empty()).then(|| words.remove(0)))
    }

    /// The next positional argument, or `default`.
    pub(crate) fn word_or(&mut self, default: &str) -> Result<String> {
        Ok(self.word()?.unwrap_or_else(|| default.to_owned()))
    }

    /// The next positional argument, a number of at least `least` that the help calls `name`.
    pub(crate) fn number_word(&mut self, name: &str, least: u32) -> Result<Option<u32>> {
        let word = self.word()?;
        word.map(|word| number(name, &word, least)).transpose()
    }

    /// An error if something is left that no call has taken.
    pub(crate) fn end(&self) -> Result {
        self.no_options()?;
        match self.words.iter().chain(&self.literal).next() {
            None => Ok(()),
            Some(word) => Err(misuse(format!("unexpected argument '{word}'"))),
        }
    }

    fn no_options(&self) -> Result {
        let is_option = |word: &&String| word.len() > 1 && word.starts_with('-');
        match self.words.iter().find(is_option) {
            None => Ok(()),
            Some(word) => Err(misuse(format!("unknown option '{word}'"))),
        }
    }
}

/// Reads a number of at least `least`; the error says that `name` needs one.
pub(crate) fn number(name: &str, text: &str, least: u32) -> Result<u32> {
    let number = text.parse::<u32>().ok().filter(|&number| number >= least);
    number.ok_or_else(|| {
        misuse(format!(
            "{name} is a number of at least {least}, not '{text}'"
        ))
    })
}
