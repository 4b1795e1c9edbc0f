//! A temporary folder of one test, and unique names.

use std::os::unix::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

fn unique() -> String {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("rustlet-unix-{}-{number}", std::process::id())
}

/// Removed, with its content, when it is dropped.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Dir {
        let path = std::env::temp_dir().join(unique());
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns a path in it that is this many bytes long.
    pub(crate) fn join_to(&self, length: usize) -> PathBuf {
        let rest = length - self.0.as_os_str().len() - 1;
        self.0.join("a".repeat(rest))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns an abstract name that no other socket has.
pub(crate) fn abstract_name() -> SocketAddr {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(unique()).unwrap()
}
