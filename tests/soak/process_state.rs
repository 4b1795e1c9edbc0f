//! The resources of the process: descriptors, OS threads, children, memory.

use std::fs;

pub(crate) fn descriptors() -> usize {
    // The descriptor that reads the directory is always one of them.
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

pub(crate) fn descriptor_names() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    names.sort();
    names
}

/// Counts child processes, zombies included.
pub(crate) fn children() -> usize {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .map(|list| list.split_whitespace().count())
        .sum()
}

fn status(field: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

pub(crate) fn os_threads() -> usize {
    status("Threads:")
}

/// Returns the KiB of memory in use.
pub(crate) fn resident() -> usize {
    status("VmRSS:")
}
