//! The panic hook: names the green thread that panics, and then calls the previous hook.
//!
//! It is installed when the first runtime starts, and costs nothing until a thread panics. std's
//! own hook knows OS threads only, and would name the worker. If the program has set a hook of its
//! own, only that hook prints, because it may be meant to be silent.

use std::io::Write as _;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

use crate::green::cancel::note_panic;
use crate::green::{ThreadInner, WorkerContext};

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send + 'static>;

/// Installs the hook, once for the process.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    // std refuses to exchange hooks in a thread that panics; the next runtime will.
    if INSTALLED.is_completed() || std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let before = take_hook();
        // No hook is set now, so this returns std's own.
        let names = is_same(&before, &take_hook());
        set_hook(Box::new(move |info| {
            note_panic();
            if names && let Some(cx) = WorkerContext::get() {
                name(cx.current());
            }
            before(info);
        }));
    });
}

/// Returns whether both are the same function, without captures.
fn is_same(one: &Hook, other: &Hook) -> bool {
    #[allow(
        ambiguous_wide_pointer_comparisons,
        reason = "functions without captures differ only in their vtables; both come from the same code in std"
    )]
    let same = std::ptr::eq(&raw const **one, &raw const **other);
    size_of_val(&**one) == 0 && size_of_val(&**other) == 0 && same
}

#[cold]
fn name(green: &ThreadInner) {
    let mut text = match green.name() {
        Some(name) => format!("\nthread '{name}' (green"),
        None => format!("\nthread <unnamed> (green, id {}", green.id()),
    };
    if let Some(at) = green.spawned_at() {
        text.push_str(&format!(", spawned at {at}"));
    }
    text.push_str(") panicked, on this worker:\n");
    // A closed stderr is no reason to panic in a panic.
    let _unheard = std::io::stderr().write_all(text.as_bytes());
}
