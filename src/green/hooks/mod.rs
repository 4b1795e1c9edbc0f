//! Suspend hooks: each takes state of the OS thread that belongs to a green thread off the OS
//! thread while the green thread is suspended.
//!
//! | file | owns |
//! |---|---|
//! | `list.rs` | [`SuspendHook`], the hooks of the process, and the calls of them |
//! | `spans.rs` | the hook for spans of the crate `tracing`, with the feature of that name |

mod list;
#[cfg(feature = "tracing")]
pub(crate) mod spans;

use std::sync::Once;

pub(crate) use self::list::around;
pub(in crate::green) use self::list::end;
pub use self::list::{SuspendHook, add_suspend_hook};

/// Adds the hooks that the library's features ask for, once.
pub(crate) fn add_built_in() {
    static ADDED: Once = Once::new();
    ADDED.call_once(|| {
        #[cfg(feature = "tracing")]
        add_suspend_hook(spans::Spans);
    });
}
