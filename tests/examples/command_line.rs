//! The command lines of all examples: `--help`, mistakes, and errors that name the address.

use super::program::{Server, run};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::process::Output;

/// Every example of the package: a file, or a folder with a `main.rs`.
fn names() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let programs = paths.filter(|path| path.is_file() || path.join("main.rs").exists());
    let names = programs.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let names: BTreeSet<String> = names.collect();
    assert!(names.contains("echo") && names.contains("httpd") && !names.contains("support"));
    names
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs an example with a wrong command line, and returns its message.
#[track_caller]
fn misused(name: &str, args: &[&str]) -> Option<String> {
    let output = run(name, args)?;
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{name} {args:?}\n{out}{err}");
    assert_eq!(out, "", "{name} {args:?}");
    let hint = format!("\n`{name} --help` lists the arguments\n");
    let message = err
        .strip_suffix(&hint)
        .and_then(|err| err.strip_prefix(name));
    let message = message.and_then(|rest| rest.strip_prefix(": "));
    Some(message.unwrap_or_else(|| panic!("{err}")).to_owned())
}

#[test]
fn help_is_an_answer() {
    for name in names() {
        // Also after other arguments, right or wrong.
        for args in [&["--help"][..], &["-h"], &["--wrong", "--help"]] {
            let Some(output) = run(&name, args) else {
                continue;
            };
            let (out, err) = texts(&output);
            assert!(output.status.success(), "{name} {args:?}\n{err}");
            assert_eq!(err, "", "{name} {args:?}");
            assert!(
                out.starts_with(&format!("usage: {name} [")) || name == "sleepy",
                "{out}"
            );
            assert!(
                out.contains("\n\n") && out.lines().count() >= 3,
                "{name}:\n{out}"
            );
        }
    }
}

#[test]
fn an_unknown_option_is_an_error() {
    for name in names() {
        for args in [&["--wrong"][..], &["-x", "1"], &["1", "--wrong=1"]] {
            if let Some(message) = misused(&name, args) {
                assert!(
                    message.starts_with("unknown option '-"),
                    "{name}: {message}"
                );
            }
        }
    }
}

#[test]
fn an_argument_too_many_is_an_error() {
    for name in names() {
        let args: &[&str] = match &*name {
            // These take any number of arguments.
            "crawler" | "sleepy" => continue,
            "httpd" | "proxy" => &["1", "1", "extra"],
            "delegation" | "ipc" | "wait_for_anything" | "worker_epoll" | "worker_loop" => {
                &["extra"]
            }
            _ => &["1", "extra"],
        };
        if let Some(message) = misused(&name, args) {
            assert_eq!(message, "unexpected argument 'extra'", "{name}");
        }
    }
}

#[test]
fn a_wrong_value_is_an_error() {
    for (name, args, expected) in [
        (
            "echo",
            &["--stats", "0"][..],
            "--stats is a number of at least 1, not '0'",
        ),
        (
            "httpd",
            &["--workers=x"],
            "--workers is a number of at least 1, not 'x'",
        ),
        ("chat", &["--people"], "--people needs a value"),
        (
            "resp",
            &["--connections", "-1"],
            "--connections is a number of at least 1, not '-1'",
        ),
        ("proxy", &[], "TARGET is missing"),
        ("sleepy", &[], "nothing to sort"),
        (
            "sleepy",
            &["10", "soon"],
            "MILLISECONDS is a number of at least 0, not 'soon'",
        ),
        (
            "million",
            &["0"],
            "COUNT is a number of at least 1, not '0'",
        ),
        ("crawler", &["walking"], "there is no way 'walking'"),
        (
            "pulse",
            &["--", "-1"],
            "MILLISECONDS is a number of at least 0, not '-1'",
        ),
    ] {
        if let Some(message) = misused(name, args) {
            assert_eq!(message, expected);
        }
    }
}

#[test]
fn an_error_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let servers = ["chat", "echo", "echo_threads", "resp"].map(|name| (name, vec![&*address]));
    let more = [
        ("httpd", vec![".", &*address]),
        ("proxy", vec!["127.0.0.1:1", &*address]),
    ];
    for (name, args) in servers.into_iter().chain(more) {
        failed(
            name,
            &args,
            &format!("cannot listen on {address}: address in use"),
        );
    }
    failed(
        "echo",
        &["nowhere"],
        "cannot listen on nowhere: invalid socket address",
    );
    failed(
        "httpd",
        &["/no/folder"],
        "cannot serve /no/folder: entity not found",
    );
    drop(taken);
    let refused = format!("cannot connect to {address}: connection refused");
    failed("ipc", &["--answer", &address], &refused);
}

#[track_caller]
fn failed(name: &str, args: &[&str], message: &str) {
    let Some(output) = run(name, args) else {
        return;
    };
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{name}\n{out}{err}");
    assert_eq!((&*out, err), ("", format!("{name}: {message}\n")));
}

#[test]
fn the_echo_servers_echo() {
    for name in ["echo", "echo_threads"] {
        let Some(server) = Server::start(name, &["--stats", "1", "127.0.0.1:0"]) else {
            return;
        };
        let mut client = server.connect();
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut echoed = String::new();
        client.read_to_string(&mut echoed).unwrap();
        assert_eq!(echoed, "hello", "{name}");
        // The statistics show it within a line or two.
        let mut server = server;
        while server.line() != "accepted 1 connections, echoed 5 bytes" {}
    }
}
