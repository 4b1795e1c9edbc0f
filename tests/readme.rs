//! The code in the README and the guide equals the files, and the README is short and fair.

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
            // A place in a file is named with its line.
            let file = word.split(':').next().unwrap_or_default();
            assert!(root.join(file).exists(), "{} names {word}", text.display());
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

#[test]
fn the_readme_is_at_most_120_lines() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 120, "the README has {lines} lines");
}

#[test]
fn the_best_figures_of_each_benchmark_are_bold() {
    let readme = read("README.md");
    let table = readme
        .lines()
        .skip_while(|line| !line.starts_with("| lower is better |"));
    let rows: Vec<&str> = table.take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 5, "the README has a table of benchmarks");
    for row in &rows[2..] {
        let unfair = unfairly_bold(row);
        assert!(unfair.is_empty(), "{unfair:?} in {row}");
    }
}

#[test]
fn figures_that_are_unfairly_bold_are_found() {
    assert_eq!(
        unfairly_bold("| yield | **1,200** | 1,300 | – | fails |"),
        [""; 0]
    );
    assert_eq!(unfairly_bold("| yield | **12** | **12** | 13 |"), [""; 0]);
    assert_eq!(unfairly_bold("| yield | **12** | 12 |"), ["12"]);
    assert_eq!(unfairly_bold("| yield | **14** | 12 |"), ["**14**", "12"]);
}

/// Returns the figures of a row that are bold and not the lowest, or the lowest and not bold.
fn unfairly_bold(row: &str) -> Vec<&str> {
    let cells = row.trim_matches('|').split('|').skip(1).map(str::trim);
    let figures: Vec<(&str, f64)> = cells
        .filter_map(|cell| {
            let figure = cell.trim_matches('*').replace(',', "");
            Some((cell, figure.parse().ok()?))
        })
        .collect();
    let lowest = figures.iter().map(|(_, figure)| *figure);
    let lowest = lowest.fold(f64::INFINITY, f64::min);
    let unfair = figures
        .iter()
        .filter(|(cell, figure)| cell.starts_with("**") != (*figure == lowest));
    unfair.map(|(cell, _)| *cell).collect()
}

#[test]
fn the_guide_shows_programs_that_are_run() {
    let page = read("src/guide/http_and_tls.md");
    let shown: Vec<&str> = page
        .split("```rust,ignore\n")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect();
    let programs = ["http", "hyper_http", "tls", "websocket"].map(|name| {
        let program = read(&format!("tests/ecosystem/src/{name}.rs"));
        without_indents(&program)
    });
    assert!(shown.len() > 3, "the page shows programs");
    for block in shown {
        let block = without_indents(block);
        assert!(
            programs.iter().any(|program| program.contains(&block)),
            "no file in tests/ecosystem/src has\n{block}"
        );
    }
}

fn without_indents(program: &str) -> String {
    program
        .lines()
        .map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

#[test]
fn the_pages_of_the_guide_are_linked_in_their_order() {
    let contents = read("src/guide/mod.rs");
    let mut listed = Vec::new();
    for line in contents.lines().filter(|line| line.starts_with("//!")) {
        listed.extend(line.split("](").skip(1).filter_map(|rest| {
            let (page, _) = rest.split_once(')')?;
            Some(page.to_owned())
        }));
    }
    let calls: Vec<Vec<&str>> = contents
        .split("page!(")
        .skip(1)
        .map(|call| {
            let texts = call.split('"').skip(1).step_by(2).take(8);
            let (links, files): (Vec<_>, Vec<_>) = texts
                .take_while(|text| !text.starts_with('#'))
                .partition(|text| text.is_empty() || text.contains("](crate::guide::"));
            [files[0], links[0], links[1]].into()
        })
        .collect();
    let pages: Vec<&str> = calls
        .iter()
        .map(|call| call[0].trim_end_matches(".md"))
        .collect();
    assert_eq!(listed, pages, "the table of contents and the pages");
    let link = |page: Option<&&str>| page.map(|page| format!("](crate::guide::{page})"));
    for (number, call) in calls.iter().enumerate() {
        let [_, before, after] = call[..] else {
            panic!("page! takes a file and two links: {call:?}");
        };
        for (found, wanted) in [
            (
                before,
                number.checked_sub(1).and_then(|n| link(pages.get(n))),
            ),
            (after, link(pages.get(number + 1))),
        ] {
            match wanted {
                Some(wanted) => assert!(found.contains(&wanted), "{found} is not {wanted}"),
                None => assert_eq!(found, ""),
            }
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide");
    for entry in fs::read_dir(folder).expect("the guide") {
        let path = entry.expect("a page").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(
            name == "mod.rs" || contents.contains(&format!("\"{name}\"")),
            "{name} is part of no page"
        );
    }
}

/// Returns the lines that only one of two texts has, in their order.
fn diff(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // common[i][j]: how many lines the remainders of the texts from i and from j have in common.
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
