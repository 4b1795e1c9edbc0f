//! Traces: starts and ends a recording, and writes its file. The public interface is in
//! `src/trace.rs`; the recording itself is in `src/timeline/`.

mod chrome;
mod links;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};

use signal_hook::consts::{SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::inspect::report::eprintln_lossy;
use super::scheduler::shared::runtimes;
use crate::green::block::slab;
use crate::shim::lock;
use crate::sys::exit::at_exit;
#[cfg(target_os = "linux")]
use crate::sys::signal::ending::act_before;
use crate::timeline::{self, Session};

/// The default number of records for each worker.
pub(crate) const DEFAULT_RECORDS: usize = 1 << 18;

/// A recording and its file.
pub(crate) struct Recording {
    session: Arc<Session>,
    path: PathBuf,
    file: Mutex<File>,
}

/// Counts of the records of a trace: how many are in the file, and how many were lost.
///
/// # Examples
///
/// ```
/// # let path = std::env::temp_dir().join(format!("rustlet-doc-s-{}.json", std::process::id()));
/// let trace = rustlet::trace::Options::new().records(1 << 10).start(&path)?;
/// rustlet::run(rustlet::yield_now);
/// let summary: rustlet::trace::Summary = trace.finish()?;
/// assert!(summary.written > 0);
/// # std::fs::remove_file(path)?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Number of records in the file.
    pub written: u64,
    /// Number of records that are not in the file. Newer records have overwritten them, or their OS
    /// thread had no buffer: a trace has 64 for OS threads that are not workers.
    pub lost: u64,
}

/// The recording to write when the process exits.
static AT_EXIT: Mutex<Option<Arc<Recording>>> = Mutex::new(None);

impl Recording {
    /// Creates the file and starts to record, with rings prepared for the existing workers and
    /// `new_workers` more.
    ///
    /// # Errors
    ///
    /// The file cannot be created, or another recording is in progress (`ResourceBusy`).
    pub(crate) fn start(
        path: &Path,
        records: usize,
        new_workers: usize,
    ) -> io::Result<Arc<Recording>> {
        static REGISTERED: Once = Once::new();
        let busy = || {
            io::Error::new(
                io::ErrorKind::ResourceBusy,
                "a trace is being recorded already",
            )
        };
        if timeline::is_on() {
            return Err(busy());
        }
        let mut file = File::create(path)?;
        // If the process is killed, the file can be opened all the same.
        file.write_all(b"{\"traceEvents\":[]}\n")?;
        let runtimes = runtimes();
        let workers: usize = runtimes.iter().map(|runtime| runtime.workers.len()).sum();
        let session = Session::start(records, workers + new_workers).ok_or_else(busy)?;
        // A sleeping worker would not record the wake-up of the first thread that it runs, so it is
        // woken.
        for worker in runtimes.iter().flat_map(|runtime| &runtime.workers) {
            worker.remote.notifier.wake();
        }
        let recording = Arc::new(Recording {
            session,
            path: path.to_owned(),
            file: Mutex::new(file),
        });
        *lock(&AT_EXIT) = Some(Arc::clone(&recording));
        REGISTERED.call_once(|| {
            at_exit(write_at_exit);
            // Without it, the file of a process that a signal ends is an empty trace.
            #[cfg(target_os = "linux")]
            let _no_thread = act_before(&ENDING_SIGNALS, write_at_exit);
        });
        Ok(recording)
    }

    /// Stops recording, and writes the file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn finish(&self) -> io::Result<Summary> {
        // Read first, because threads that end before the records are read are not listed
        // afterwards.
        let names = names();
        self.session.stop();
        let written = self.write(names);
        // Afterwards: an exit during the write waits for it.
        let mut at_exit = lock(&AT_EXIT);
        if at_exit
            .as_ref()
            .is_some_and(|kept| std::ptr::eq(Arc::as_ptr(kept), self))
        {
            *at_exit = None;
        }
        written
    }

    /// Writes what was recorded so far; the recording continues.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn flush(&self) -> io::Result<Summary> {
        self.write(names())
    }

    fn write(&self, mut names: HashMap<u64, String>) -> io::Result<Summary> {
        let mut file = lock(&self.file);
        let data = self.session.read();
        names.extend(self::names());
        let lost = data.lost;
        file.rewind()?;
        file.set_len(0)?;
        let mut out = BufWriter::with_capacity(1 << 16, &mut *file);
        let written = chrome::write(&mut out, data, names)?;
        out.flush()?;
        Ok(Summary {
            written: written as u64,
            lost,
        })
    }

    /// Stops recording; [`Recording::finish`] writes the file.
    pub(crate) fn stop(&self) {
        self.session.stop();
    }

    /// Reports that the file could not be written.
    pub(crate) fn report(&self, error: &io::Error) {
        let path = self.path.display();
        eprintln_lossy(&format!(
            "rustlet: the trace {path} was not written: {error}"
        ));
    }
}

/// Returns the names of the green threads that are alive.
fn names() -> HashMap<u64, String> {
    let named =
        |green: &crate::green::ThreadRef| Some((green.id().get(), green.name()?.to_owned()));
    slab::all().iter().filter_map(named).collect()
}

/// The signals whose default effect is written for: what users and service managers send, and what
/// an abort raises.
const ENDING_SIGNALS: [i32; 5] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT];

/// Writes the recording that was not finished, if `signal` is about to end the process.
pub(crate) fn write_before(signal: i32) {
    if ENDING_SIGNALS.contains(&signal) {
        write_at_exit();
    }
}

/// Writes the recording that was not finished, when the process is about to end.
fn write_at_exit() {
    // A thread that holds the lock has written the file, or creates it.
    let Ok(recording) = AT_EXIT.try_lock().map(|kept| kept.clone()) else {
        return;
    };
    if let Some(recording) = recording
        && let Err(error) = recording.flush()
    {
        recording.report(&error);
    }
}

/// Starts the recording that the environment variable `RUSTLET_TRACE` requests, once in the
/// process. `workers` is the number of workers of the runtime that is being created.
///
/// # Errors
///
/// The file cannot be created.
pub(crate) fn start_from_environment(workers: usize) -> io::Result<()> {
    const NAME: &str = "RUSTLET_TRACE";
    static STARTED: Mutex<bool> = Mutex::new(false);
    let Some(value) = std::env::var_os(NAME).filter(|value| !value.is_empty()) else {
        return Ok(());
    };
    let mut started = lock(&STARTED);
    if *started || timeline::is_on() {
        return Ok(());
    }
    let pid = std::process::id().to_string();
    let path = match value.to_str() {
        Some(text) => PathBuf::from(text.replace("%p", &pid)),
        None => PathBuf::from(&value),
    };
    Recording::start(&path, DEFAULT_RECORDS, workers).map_err(|error| {
        let path = path.display();
        io::Error::new(
            error.kind(),
            format!("the trace {path} that the environment variable {NAME} asks for cannot be created: {error}"),
        )
    })?;
    *started = true;
    Ok(())
}
