//! What the README shows of the examples is what they are.

use std::fs;
use std::path::Path;

#[test]
fn the_diff_in_the_readme_is_the_diff() {
    let (threads, green) = (read("examples/echo_threads.rs"), read("examples/echo.rs"));
    let readme = read("README.md");
    let block = readme
        .split_once("```diff\n")
        .and_then(|(_, rest)| rest.split_once("```"));
    let (shown, _) = block.expect("the README has a block with a diff");
    let is_change = |line: &&str| line.starts_with(['-', '+']);
    let shown: Vec<&str> = shown.lines().filter(is_change).collect();
    let real = diff(&threads, &green);
    assert_eq!(shown, real, "the README should show:\n{}", real.join("\n"));
}

/// A program on std's threads becomes one on green threads by three lines.
#[test]
fn the_echo_servers_differ_in_three_lines() {
    let (threads, green) = (read("examples/echo_threads.rs"), read("examples/echo.rs"));
    let changes = diff(&threads, &green);
    let [imports @ .., before, after] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(
        imports,
        [
            "-use std::net::{TcpListener, TcpStream};",
            "-use std::thread;",
            "+use rustlet::net::{TcpListener, TcpStream};",
            "+use rustlet::thread;",
        ]
    );
    let call = before.strip_prefix('-').expect("a removed line").trim();
    assert_eq!(
        after.trim_start_matches(['+', ' ']),
        format!("rustlet::run(|| {call})")
    );
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let lines = green.lines().filter(is_code).count();
    assert!(lines < 60, "examples/echo.rs has {lines} lines of code");
}

#[test]
fn the_diff_finds_what_differs() {
    assert_eq!(diff("a\nb\nc\n", "a\nx\nc\nd\n"), ["-b", "+x", "+d"]);
    assert_eq!(diff("same\n", "same\n"), [""; 0]);
}

#[test]
fn the_files_that_the_texts_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for entry in fs::read_dir(root.join("src/guide")).expect("the guide") {
        texts.push(entry.expect("a page").path());
    }
    for text in texts {
        let words = fs::read_to_string(&text).expect("a text");
        let words = words.split(|c: char| c.is_whitespace() || "`()[]".contains(c));
        let folders = ["examples/", "arch-notes/", "benches/", "tests/", "src/"];
        for word in words.filter(|word| folders.iter().any(|folder| word.starts_with(folder))) {
            assert!(root.join(word).exists(), "{} names {word}", text.display());
        }
    }
}

#[test]
fn each_example_is_in_the_table() {
    let readme = read("README.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in fs::read_dir(folder).expect("the examples") {
        let path = entry.expect("an example").path();
        if path.ends_with("support") {
            // A module of the examples.
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let main = if path.is_dir() { "/main.rs" } else { ".rs" };
        let link = format!("[`{name}`](examples/{name}{main})");
        assert!(
            readme.contains(&link),
            "the table of examples should have {link}"
        );
    }
}

/// The lines that only one of two texts has, in their order.
fn diff(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // common[i][j]: how many lines the rests of the texts from i and from j have in common.
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut changes) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            changes.push(format!("-{}", old[i]));
            i += 1;
        } else {
            changes.push(format!("+{}", new[j]));
            j += 1;
        }
    }
    changes
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
