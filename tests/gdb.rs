//! What gdb shows of green threads, in a live process and in its core file, by the script that it
//! finds in the program.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, abort};

use rustlet::thread::Builder;
use support::child;

mod support;

#[inline(never)]
fn outer(depth: u32) -> u32 {
    black_box(middle(depth + 1)) + 1
}

#[inline(never)]
fn middle(depth: u32) -> u32 {
    black_box(inner(depth + 1)) + 1
}

#[inline(never)]
fn inner(depth: u32) -> u32 {
    rustlet::park();
    black_box(depth)
}

const CHILD: &str = "a_debugger_sees_green_threads";

/// Aborts with one thread that waits, one that runs, and one that has not started.
fn debugged() {
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let deep = Builder::new().name("deep".into());
        let _deep = deep.spawn(|| outer(1)).unwrap();
        support::until_one_waits_in("park");
        let late = Builder::new().name("late".into());
        let _late = late.spawn(|| ()).unwrap();
        abort();
    });
}

/// Runs gdb with commands and what else it needs; returns all of its output.
fn gdb(commands: &[String], more: &[&str]) -> Option<String> {
    let mut gdb = Command::new("timeout");
    gdb.args(["--kill-after=10", "240", "gdb", "-nx", "-batch"]);
    gdb.args(["-iex", "add-auto-load-safe-path /"]);
    gdb.args(["-iex", "set debuginfod enabled off"]);
    gdb.args(["-iex", "set startup-with-shell off"]);
    gdb.args(["-iex", "set disable-randomization off"]);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.args(more).env("RUSTLET_TEST_CHILD", CHILD).output();
    let output = output.expect("timeout, of the core utilities");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    // What `timeout` answers if there is no such program.
    (output.status.code() != Some(127)).then_some(said)
}

/// Returns the lines that follow the description of the thread `name`, up to the next one.
#[track_caller]
fn section<'a>(said: &'a str, name: &str) -> &'a str {
    let start = said
        .find(&format!(" '{name}', "))
        .unwrap_or_else(|| panic!("{said}"));
    let rest = &said[start..];
    &rest[..rest.find("\ngreen thread ").unwrap_or(rest.len())]
}

#[track_caller]
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => panic!("{part} is not where it should be:\n{text}"),
        }
    }
}

/// Asserts that a backtrace has all frames of the waiting thread, and no others.
#[track_caller]
fn assert_deep(frames: &str) {
    assert_in_order(
        frames,
        &["\n#1 ", "inner", "middle", "outer", "block::body"],
    );
    for frame in ["#0 ", "WorkerLoop", "start_thread", "abort"] {
        assert!(!frames.contains(frame), "{frame}:\n{frames}");
    }
}

#[test]
fn a_debugger_sees_green_threads() {
    if support::is_emulated() {
        println!("skipped: a debugger cannot trace what an emulator runs");
        return;
    }
    if std::env::var_os("RUSTLET_TEST_CHILD").is_some() {
        child(CHILD, debugged);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gdb-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let _removed = Removed(&folder);
    let core = folder.join("core");
    let program = std::env::current_exe().unwrap();
    let program = program.to_str().unwrap();
    let live = ["run", "info green", "green all bt", "green 77 bt"].map(String::from);
    let live = [&live[..], &[format!("green core {}", core.display())]].concat();
    let arguments = [
        "--args",
        program,
        CHILD,
        "--exact",
        "--nocapture",
        "--test-threads=1",
    ];
    let Some(said) = gdb(&live, &arguments) else {
        println!("skipped: there is no gdb");
        return;
    };
    if said.contains("ptrace: Operation not permitted") {
        println!("skipped: this process may trace no other:\n{said}");
        return;
    }
    let (list, frames) = said
        .split_once("\n3 green threads\n")
        .unwrap_or_else(|| panic!("{said}"));
    let file = file!();
    assert_in_order(list, &[" 'main', running, spawned at tests/gdb.rs:"]);
    assert_in_order(
        list,
        &[&format!(
            " 'deep', waits in park at {file}:27:5, spawned at {file}:"
        )],
    );
    assert_in_order(
        list,
        &[&format!(" 'late', not started, spawned at {file}:")],
    );
    assert_in_order(
        section(frames, "main"),
        &["runs on thread", "abort", "debugged"],
    );
    assert!(!section(frames, "main").contains("WorkerLoop"), "{frames}");
    assert_deep(section(frames, "deep"));
    assert!(!frames.contains("'late'"), "{frames}");
    assert!(said.contains("no green thread 77"), "{said}");

    let (before, _) = list.split_once(" 'deep'").unwrap();
    let deep = before.rsplit(' ').next().unwrap();
    let commands = [
        "info green",
        &format!("green {deep} bt"),
        &format!("green {deep} info frame"),
    ];
    let said = gdb(
        &commands.map(String::from),
        &[program, core.to_str().unwrap()],
    )
    .unwrap();
    let (list, frames) = said
        .split_once("\n3 green threads\n")
        .unwrap_or_else(|| panic!("{said}"));
    assert_in_order(
        list,
        &[
            "'main', running",
            "'deep', waits in park",
            "'late', not started",
        ],
    );
    let (frames, selected) = frames.rsplit_once("'deep'").unwrap();
    assert_deep(section(frames, "deep"));
    assert_in_order(selected, &["Stack level 1"]);
}

/// Removes a folder with what is in it, also if the test fails.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        std::fs::remove_dir_all(self.0).unwrap();
    }
}
