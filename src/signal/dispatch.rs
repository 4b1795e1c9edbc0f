//! From the signal handler to the subscribers: flags, a pipe, a thread, and a channel for each
//! subscriber.
//!
//! 1. When a signal arrives, on whatever thread it interrupts, signal-hook's handler sets the flag
//!    of its number and then writes a byte into the pipe (in that order, as they were registered).
//! 2. The dispatcher, an OS thread that blocks in `read`, takes the bytes, and *then* clears the
//!    flags. A signal that arrives in between is seen now; one that arrives after its flag was
//!    cleared has left a byte for the next round.
//! 3. It puts the signal into the channel of each subscriber, unless it is already in there.
//! 4. If there is no subscriber any more, the signal has its former effect. A trace that is being
//!    recorded is written before.
//!
//! - **DI1** A handler, once installed, stays: there is no safe order in which to remove it and
//!   restore the former one.
//! - **DI2** A subscriber's channel has room for one of each of its signals; only the dispatcher
//!   sends, and never a signal that is in it. So it never waits.
//!
//! Any thread may subscribe at any time; nothing here suspends.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use signal_hook::consts::FORBIDDEN;
use signal_hook::low_level::{emulate_default_handler, pipe, unregister};

use super::Signal;
use crate::channel::{self, Receiver, Sender};
use crate::runtime::trace::write_before;
use crate::shim::lock;
use crate::sys;
use crate::sys::poll::standard::beside_standard;

/// A signal that was subscribed to at some time.
struct HandledSignal {
    signal: Signal,
    flag: Arc<AtomicBool>,
    /// Without a subscriber the signal has its default effect; otherwise there was a handler, which
    /// still runs, or it was ignored.
    was_default: bool,
}

struct Subscriber {
    signals: Vec<Signal>,
    sender: Sender<Signal>,
    /// The signals sent, in order; the channel holds the last ones.
    sent: VecDeque<Signal>,
}

struct Dispatcher {
    handled: Vec<HandledSignal>,
    subscribers: Vec<Subscriber>,
    /// The pipe that handlers write to. None: there is no dispatcher yet.
    pipe: Option<PipeWriter>,
}

static DISPATCHER: Mutex<Dispatcher> = Mutex::new(Dispatcher {
    handled: Vec::new(),
    subscribers: Vec::new(),
    pipe: None,
});

/// Subscribes to `signals`, which has no duplicates.
pub(super) fn subscribe(signals: Vec<Signal>) -> io::Result<Receiver<Signal>> {
    if let Some(signal) = signals
        .iter()
        .find(|signal| FORBIDDEN.contains(&signal.as_raw()))
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{signal} cannot be subscribed to: no handler can be installed for it"),
        ));
    }
    let mut dispatcher = lock(&DISPATCHER);
    for &signal in &signals {
        dispatcher.install_handler(signal)?;
    }
    let (sender, receiver) = channel::bounded(signals.len());
    dispatcher.subscribers.push(Subscriber {
        sent: VecDeque::with_capacity(signals.len()),
        signals,
        sender,
    });
    Ok(receiver)
}

impl Dispatcher {
    /// Makes sure that there is a handler.
    fn install_handler(&mut self, signal: Signal) -> io::Result<()> {
        if self.handled.iter().any(|handled| handled.signal == signal) {
            return Ok(());
        }
        let number = signal.as_raw();
        let unknown = |error: io::Error| match error.raw_os_error() {
            Some(_) if error.kind() == io::ErrorKind::InvalidInput => io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{signal} is not a signal of this system"),
            ),
            _ => error,
        };
        let was_default = sys::signal::is_default(number).map_err(unknown)?;
        let pipe = OwnedFd::from(self.pipe()?.try_clone()?);
        let flag = Arc::new(AtomicBool::new(false));
        let raise = signal_hook::flag::register(number, Arc::clone(&flag)).map_err(unknown)?;
        if let Err(error) = pipe::register(number, pipe) {
            unregister(raise);
            return Err(error);
        }
        self.handled.push(HandledSignal {
            signal,
            flag,
            was_default,
        });
        Ok(())
    }

    /// Returns the dispatcher's pipe, and starts the dispatcher if there is none.
    fn pipe(&mut self) -> io::Result<&PipeWriter> {
        let pipe = match self.pipe.take() {
            Some(pipe) => pipe,
            None => {
                let (reader, writer) = beside_standard(io::pipe)?;
                std::thread::Builder::new()
                    .name("rustlet-signals".into())
                    .stack_size(256 * 1024)
                    .spawn(move || dispatch(reader))?;
                writer
            }
        };
        Ok(self.pipe.insert(pipe))
    }

    /// Performs steps 2 and 3. Returns the signals for step 4.
    fn deliver(&mut self) -> Vec<Signal> {
        let mut orphans = Vec::new();
        for handled in &self.handled {
            // Acquire: pairs with the handler's store, if anything was written before the signal
            // was sent.
            if !handled.flag.swap(false, Ordering::AcqRel) {
                continue;
            }
            let mut heard = false;
            self.subscribers.retain_mut(|subscriber| {
                let wants = subscriber.signals.contains(&handled.signal);
                let lives = !wants || subscriber.wake_dispatcher(handled.signal);
                heard |= wants && lives;
                lives
            });
            if !heard && handled.was_default {
                orphans.push(handled.signal);
            }
        }
        orphans
    }
}

impl Subscriber {
    /// Sends the signal. Returns `false` if the subscriber is gone.
    fn wake_dispatcher(&mut self, signal: Signal) -> bool {
        // A message received between this line and the next was there when the signal arrived, and
        // counts for it.
        let left = self.sender.len();
        self.sent.drain(..self.sent.len() - left);
        if self.sent.contains(&signal) {
            // It is in the channel, so its receiver exists: otherwise the messages would have been
            // dropped.
            return true;
        }
        let sent = self.sender.try_send(signal).is_ok();
        if sent {
            self.sent.push_back(signal);
        }
        sent
    }
}

fn dispatch(mut reader: PipeReader) {
    let mut bytes = [0; 256];
    loop {
        match reader.read(&mut bytes) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // The other end is never closed, nor is this one.
            Ok(0) | Err(_) => return,
        }
        let orphans = lock(&DISPATCHER).deliver();
        for signal in orphans {
            write_before(signal.as_raw());
            // An error: signal-hook does not know the default effect of the signal.
            let _unknown = emulate_default_handler(signal.as_raw());
        }
    }
}
