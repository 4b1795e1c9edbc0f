//! The structure of the source: which folder imports from which, that no files import each other in
//! a cycle, which file alone may use a name, the length of a file, the number of files in a folder,
//! the width of a line of prose, and that each public item has an example.
//!
//! The sources are read as text, without their comments and literals. Each rule is also applied to
//! a small source that breaks it, so that a checker that no longer detects anything is noticed.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

#[path = "structure/examples.rs"]
mod examples;
#[path = "structure/imports.rs"]
mod imports;
#[path = "structure/unwrapped.rs"]
mod unwrapped;
#[path = "structure/width.rs"]
mod width;

use examples::without_example;
use imports::Modules;
use unwrapped::UNWRAPPED;
use width::{WIDEST, too_wide};

/// The modules of `src`, and the layer of each; a module imports from its own layer and from lower
/// ones.
const LAYERS: [(&str, u32); 36] = [
    ("shim", 0),
    // Runs a test again in a child process; depends on nothing.
    ("test_child", 0),
    ("stack", 1),
    ("sys", 1),
    ("timeline", 1),
    ("green", 2),
    ("runtime", 3),
    ("channel", 4),
    ("mailbox", 4),
    ("ready_source", 4),
    ("retry", 4),
    // Macros, which are at the root of the crate.
    ("__rustlet_select", 4),
    ("select", 4),
    ("select_biased", 4),
    ("sync", 4),
    ("fs", 5),
    // Texts.
    ("guide", 6),
    ("io", 5),
    ("net", 5),
    ("os", 5),
    ("process", 5),
    ("signal", 5),
    ("thread", 5),
    // The macro: it is at the root of the crate, as std's is.
    ("thread_local", 5),
    ("async_io", 6),
    ("hyper", 6),
    ("time", 5),
    ("service_threads", 4),
    ("tokio", 6),
    ("coroutine", 6),
    ("dump", 6),
    ("future", 6),
    ("pool", 6),
    ("testing", 6),
    ("trace", 6),
    ("worker", 6),
];

/// Names that only one place may use, and that place: a file or a folder.
const OWNERS: [(&str, &str); 5] = [
    ("corosensei", "src/green/fiber/mod.rs"),
    ("polling", "src/runtime/io/reactor.rs"),
    ("libc", "src/sys/"),
    ("Instant::now", "src/sys/clock.rs"),
    ("SystemTime::now", "src/sys/clock.rs"),
];

/// Lines of `///` are not counted, because each public item has its sections and an example there.
const MAX_LINES: usize = 600;

/// Files of Rust in one folder.
const FULLEST: usize = 12;

/// Folders whose files are one package each.
const PACKAGES: [&str; 2] = ["src/", "benches/peers/src/"];

/// Files whose prose is checked for its width.
const PROSE: [&str; 8] = [
    "src",
    "tests",
    "benches",
    "examples",
    "arch-notes",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
];

#[test]
fn the_source_keeps_its_shape() {
    let sources = sources();
    for file in [
        "src/lib.rs",
        "src/green/fiber/mod.rs",
        "src/runtime/io/reactor.rs",
    ] {
        assert!(
            sources.iter().any(|source| source.path == file),
            "{file} is gone; has `src` moved?"
        );
    }
    let broken: Vec<String> = sources.iter().flat_map(violations).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn no_files_import_each_other() {
    for package in PACKAGES {
        let sources = below(package, "rs");
        assert!(sources.len() > 10, "{package} is gone; has it moved?");
        let rings = Modules::of(package, &sources).rings();
        assert!(rings.is_empty(), "\n{}", rings.join("\n"));
    }
}

#[test]
fn no_folder_is_too_full() {
    for package in PACKAGES {
        let full = full_folders(&below(package, "rs"));
        assert!(full.is_empty(), "\n{}", full.join("\n"));
    }
}

#[test]
fn lines_of_prose_are_wrapped() {
    let texts = PROSE.iter().flat_map(|place| {
        [below(place, "rs"), below(place, "md")]
            .into_iter()
            .flatten()
    });
    let mut broken = Vec::new();
    for source in texts {
        let wide = too_wide(&source.path, &source.text);
        let is_listed = UNWRAPPED.contains(&&*source.path);
        match wide.first() {
            Some(line) if !is_listed => broken.push(format!(
                "{}:{line}: a line of prose of more than {WIDEST} characters",
                source.path
            )),
            None if is_listed => broken.push(format!(
                "{} is wrapped: take it out of tests/structure/unwrapped.rs",
                source.path
            )),
            _ => {}
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn public_items_have_examples() {
    let mut missing = Vec::new();
    for source in sources() {
        let path = &source.path;
        let found = without_example(&source.text).into_iter();
        missing.extend(found.map(|(line, name)| {
            format!("{path}:{line}: `{name}` is public and has no example that runs")
        }));
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn each_restricted_name_is_used_by_its_owner() {
    let sources = sources();
    for (name, owner) in OWNERS {
        let lives =
            |source: &Source| source.path.starts_with(owner) && source.names(name).next().is_some();
        // The library needs no time of day; the rule keeps it so.
        if name != "SystemTime::now" {
            assert!(
                sources.iter().any(lives),
                "nothing in {owner} names {name}; the rule looks at nothing"
            );
        }
    }
}

/// A file, and its text with comments and literals blanked out.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            code: blank(text),
        }
    }

    /// Returns the positions of a path such as `libc` or `Instant::now` in the code, as whole
    /// names.
    fn names<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let in_a_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.code
            .match_indices(name)
            .map(|(at, _)| at)
            .filter(move |&at| {
                let (before, after) = (&self.code[..at], &self.code[at + name.len()..]);
                !in_a_name(before.chars().next_back()) && !in_a_name(after.chars().next())
            })
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Returns the names that are directly under the crate's root wherever one is used, with their
    /// positions.
    fn root_names(&self) -> Vec<(usize, &str)> {
        let under_crate = self
            .names("crate")
            .flat_map(|at| leading_names(&self.code, at + "crate".len()));
        let under_super = self.names("super").filter_map(|at| {
            let code = &self.code;
            let continues = code[..at]
                .trim_end()
                .strip_suffix("::")
                .is_some_and(|c| c.trim_end().ends_with("super"));
            let mut end = at + "super".len();
            let mut steps = 1;
            while let Some(rest) = code[end..]
                .trim_start()
                .strip_prefix("::")
                .and_then(|rest| rest.trim_start().strip_prefix("super"))
            {
                end = code.len() - rest.len();
                steps += 1;
            }
            (!continues && steps >= self.depth() + inline_modules(code, at)).then_some(end)
        });
        let under_super = under_super.flat_map(|end| leading_names(&self.code, end));
        under_crate.chain(under_super).collect()
    }

    /// Returns how many `super` lead from this file to the root of the crate.
    fn depth(&self) -> usize {
        let parts = self.path.trim_start_matches("src/").split('/').count();
        if self.path.ends_with("/mod.rs") {
            parts - 1
        } else {
            parts
        }
    }

    fn module(&self) -> &str {
        let path = self.path.trim_start_matches("src/");
        path.split(['/', '.']).next().unwrap_or_default()
    }
}

/// Returns the violations of a file, one sentence each.
fn violations(source: &Source) -> Vec<String> {
    let Source { path, text, .. } = source;
    let mut broken = Vec::new();
    let is_public_doc = |line: &&str| line.trim_start().starts_with("///");
    let lines = text.lines().filter(|line| !is_public_doc(line)).count();
    if lines > MAX_LINES {
        broken.push(format!("{path} has {lines} lines; {MAX_LINES} are enough"));
    }
    if !opens_with_its_purpose(text) {
        broken.push(format!(
            "{path} does not open with `//!` and what it is for"
        ));
    }
    for (name, owner) in OWNERS {
        if !path.starts_with(owner) {
            broken.extend(source.names(name).map(|at| {
                format!(
                    "{path}:{}: `{name}` belongs in {owner} only",
                    source.line(at)
                )
            }));
        }
    }
    // The root declares the modules, and so names them all.
    if path == "src/lib.rs" {
        return broken;
    }
    let layer = |module: &str| {
        LAYERS
            .iter()
            .find(|(name, _)| *name == module)
            .map(|&(_, layer)| layer)
    };
    let Some(own) = layer(source.module()) else {
        broken.push(format!(
            "{path}: the module `{}` has no layer in tests/structure.rs",
            source.module()
        ));
        return broken;
    };
    for (at, module) in source.root_names() {
        let line = source.line(at);
        match layer(module) {
            None => broken.push(format!("{path}:{line}: `crate::{module}` is not a module of the crate; name it by its own module")),
            Some(other) if other > own => broken.push(format!(
                "{path}:{line}: `{}` is in layer {own} and imports from `{module}`, which is in layer {other}",
                source.module()
            )),
            Some(_) => {}
        }
    }
    broken
}

/// Returns whether the file begins, after attributes for the whole of it, with its purpose.
fn opens_with_its_purpose(text: &str) -> bool {
    let mut rest = text.trim_start();
    while rest.starts_with("#![") {
        let Some((_, after)) = rest.split_once("]\n") else {
            return false;
        };
        rest = after.trim_start();
    }
    rest.strip_prefix("//!").is_some_and(|rest| {
        rest.lines()
            .next()
            .is_some_and(|line| !line.trim().is_empty())
    })
}

/// Returns the names that follow a `crate` or `super` which ends at `at`: one after `::`, or
/// several in braces.
fn leading_names<'a>(code: &'a str, at: usize) -> Vec<(usize, &'a str)> {
    let Some(rest) = code[at..].trim_start().strip_prefix("::") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut keep = |part: &'a str| {
        let start = part.trim_start();
        let end = |c: char| !c.is_alphanumeric() && c != '_';
        let name = &start[..start.find(end).unwrap_or(start.len())];
        if !name.is_empty() && name != "self" {
            found.push((name.as_ptr() as usize - code.as_ptr() as usize, name));
        }
    };
    match rest.trim_start().strip_prefix('{') {
        None => keep(rest),
        Some(group) => {
            let (mut depth, mut from) = (0, 0);
            for (end, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => {
                        keep(&group[from..end]);
                        break;
                    }
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        keep(&group[from..end]);
                        from = end + 1;
                    }
                    _ => {}
                }
            }
        }
    }
    found
}

/// Returns how many `mod name { … }` are open at `at`.
fn inline_modules(code: &str, at: usize) -> usize {
    inline_modules_at(code, at).len()
}

/// Returns the names of the `mod name { … }` that are open at `at`.
fn inline_modules_at(code: &str, at: usize) -> Vec<String> {
    let (mut open, mut words): (Vec<Option<&str>>, [&str; 2]) = (Vec::new(), ["", ""]);
    let mut start = None;
    for (place, c) in code[..at].char_indices() {
        if c.is_alphanumeric() || c == '_' {
            start.get_or_insert(place);
            continue;
        }
        if let Some(start) = start.take() {
            words = [words[1], &code[start..place]];
        }
        match c {
            '{' => open.push((words[0] == "mod").then_some(words[1])),
            '}' => drop(open.pop()),
            _ => {}
        }
        if !c.is_whitespace() {
            words = ["", ""];
        }
    }
    open.into_iter().flatten().map(str::to_owned).collect()
}

/// Returns the text with comments, strings and characters turned into blanks; lines and positions
/// do not change.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut blanked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        for byte in &mut blanked[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(blanked).expect("only whole literals were blanked")
}

/// Returns the end of the comment or literal that begins at `at`; else `at`.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let until = |found: Option<usize>| found.map_or(bytes.len(), |length| at + length);
    if rest.starts_with(b"//") {
        return until(rest.iter().position(|&byte| byte == b'\n'));
    }
    if rest.starts_with(b"/*") {
        let (mut depth, mut place) = (0, 0);
        while place < rest.len() {
            match &rest[place..] {
                [b'/', b'*', ..] => (depth, place) = (depth + 1, place + 2),
                [b'*', b'/', ..] => (depth, place) = (depth - 1, place + 2),
                _ => place += 1,
            }
            if depth == 0 {
                break;
            }
        }
        return at + place;
    }
    let in_a_name = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let hashes = rest
        .iter()
        .skip(1)
        .take_while(|&&byte| byte == b'#')
        .count();
    let raw = rest[0] == b'r' && rest.get(1 + hashes) == Some(&b'"');
    // The letter may belong to a prefix: br"…", cr"…".
    if raw && (!in_a_name || matches!(bytes[at - 1], b'b' | b'c')) {
        let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
        let body = 2 + hashes;
        let found = rest[body..]
            .windows(close.len())
            .position(|window| window == close);
        return until(found.map(|length| body + length + close.len()));
    }
    let quoted = |quote: u8| {
        let mut place = 1;
        while place < rest.len() && rest[place] != quote {
            place += if rest[place] == b'\\' { 2 } else { 1 };
        }
        (at + place + 1).min(bytes.len())
    };
    match rest {
        [b'"', ..] => quoted(b'"'),
        [b'\'', b'\\', ..] => quoted(b'\''),
        // A lifetime has no second quote after its first letter, which may be several bytes long.
        [b'\'', first, ..] => {
            let letter = 1 + first.leading_ones().saturating_sub(1) as usize;
            if rest.get(1 + letter) == Some(&b'\'') {
                at + 2 + letter
            } else {
                at
            }
        }
        _ => at,
    }
}

/// Returns a sentence for each folder with too many files.
fn full_folders(sources: &[Source]) -> Vec<String> {
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources {
        let folder = source
            .path
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        *files.entry(folder).or_default() += 1;
    }
    let full = files.into_iter().filter(|&(_, count)| count > FULLEST);
    full.map(|(folder, count)| format!("{folder} has {count} files; {FULLEST} are enough"))
        .collect()
}

fn sources() -> Vec<Source> {
    below("src", "rs")
}

/// Returns the files with this extension at or below a path of the repository.
fn below(place: &str, extension: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(root, &root.join(place), extension, &mut found).expect("the sources can be read");
    found
}

fn collect(root: &Path, path: &Path, extension: &str, found: &mut Vec<Source>) -> io::Result<()> {
    let folder = if path.is_dir() {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?
    } else {
        vec![path.to_owned()]
    };
    for path in folder {
        if path.is_dir() {
            // Skips the output of builds.
            if !path.ends_with("target") {
                collect(root, &path, extension, found)?;
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            let name = path
                .strip_prefix(root)
                .map_err(io::Error::other)?
                .to_string_lossy()
                .into_owned();
            found.push(Source::new(&name, &fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// Returns the checker's result for a file with this path and, after a line of purpose, this text.
fn said(path: &str, text: &str) -> String {
    violations(&Source::new(path, &format!("//! Purpose.\n{text}"))).join("\n")
}

#[test]
fn sees_imports_from_above() {
    assert_eq!(
        said(
            "src/green/park.rs",
            "use crate::sys::clock;\nuse crate::green::Reason;"
        ),
        ""
    );
    let above = "`green` is in layer 2 and imports from `runtime`, which is in layer 3";
    for text in [
        "use crate::runtime::Worker;",
        "fn f() { crate::runtime::now() }",
        "use crate::{sys, runtime::Worker};",
        "use crate::{\n    sys::{self, epoll},\n    runtime,\n};",
        "pub(in crate::runtime) fn f() {}",
        "fn f<'a>(c: &'a char) { g('\"', c); crate :: runtime::now(); h('\"') }",
        "use super::super::runtime::Worker;",
        "mod tests { use super::super::super::runtime; }",
    ] {
        assert!(
            said("src/green/park.rs", text).contains(above),
            "not seen: {text}"
        );
    }
    assert!(said("src/green/mod.rs", "use super::runtime::Worker;").contains(above));
    assert!(said("src/green/park.rs", "\nuse crate::runtime;").starts_with("src/green/park.rs:3:"));
}

#[test]
fn is_not_misled() {
    for text in [
        "// use crate::runtime::Worker;",
        "/* crate::runtime /* nested */ crate::runtime */",
        "const TEXT: &str = \"crate::runtime \\\" libc\";",
        "const TEXT: &str = r#\"crate::runtime \" polling\"#;",
        "const TEXT: &[u8] = br\"Instant::now\";",
        "use super::runtime;",
        "mod tests { use super::super::runtime; }",
        "fn my_crate() {} use my_crate::runtime;",
        "use crate::sys::{runtime, epoll};",
        "fn spolling() {} struct Mylibc; fn f() { later_Instant::nowadays() }",
    ] {
        assert_eq!(said("src/green/park.rs", text), "", "misled by: {text}");
    }
}

#[test]
fn sees_modules_without_a_layer() {
    assert!(said("src/attic/mod.rs", "").contains("the module `attic` has no layer"));
    assert!(
        said("src/net/serve.rs", "use crate::spawn;").contains("`crate::spawn` is not a module")
    );
}

#[test]
fn sees_names_outside_of_their_owner() {
    let said_of = |text| said("src/net/socket.rs", text);
    assert!(said_of("use corosensei::Coroutine;").contains("src/green/fiber/mod.rs"));
    assert!(said_of("use polling::Poller;").contains("src/runtime/io/reactor.rs"));
    assert!(said_of("fn f() { unsafe { libc::read(0, p, 1) }; }").contains("src/sys/"));
    assert!(
        said_of("use std::time; fn f() { time::Instant::now(); }").contains("src/sys/clock.rs")
    );
    assert_eq!(said("src/sys/mem.rs", "use libc::mmap;"), "");
    assert_eq!(said("src/sys/clock.rs", "fn f() { Instant::now() }"), "");
}

#[test]
fn sees_long_files_and_files_without_a_purpose() {
    assert_eq!(said("src/net/socket.rs", &"\n".repeat(MAX_LINES - 1)), "");
    assert!(said("src/net/socket.rs", &"\n".repeat(MAX_LINES)).contains("601 lines"));
    assert_eq!(
        said("src/net/socket.rs", &"/// Docs.\n".repeat(MAX_LINES)),
        ""
    );
    let without = |text| violations(&Source::new("src/net/socket.rs", text));
    for text in [
        "",
        "use std::io;\n//! late",
        "// a plain comment",
        "//!\n//! the first line is empty",
        "#![allow(x)]\nfn f() {}",
    ] {
        assert_eq!(without(text).len(), 1, "not seen: {text}");
    }
    assert!(
        without("#![allow(\n    unsafe_code,\n    reason = \"so\"\n)]\n//! Purpose.").is_empty()
    );
}

/// Returns the cycles among files with these texts.
fn rings(files: &[(&str, &str)]) -> Vec<String> {
    let root = ("src/lib.rs", "");
    let sources: Vec<Source> = files
        .iter()
        .chain([&root])
        .map(|(path, text)| Source::new(path, text))
        .collect();
    Modules::of("src/", &sources).rings()
}

#[test]
fn sees_rings_of_imports() {
    let one = |first: &str, second: &str| {
        rings(&[
            (
                "src/pond/mod.rs",
                "mod duck; mod frog; pub(crate) use self::frog::Frog as Jumper;",
            ),
            ("src/pond/duck.rs", first),
            ("src/pond/frog.rs", second),
        ])
    };
    let duck = "use super::frog::Frog; pub(crate) struct Duck(Frog);";
    for frog in [
        "use super::duck::Duck; pub(crate) struct Frog;",
        "use crate::pond::{duck::{Duck as Bird}}; pub(crate) struct Frog;",
        "use super::duck; pub(crate) struct Frog(Option<duck::Duck>);",
        "use super::duck::*; pub(crate) struct Frog;",
        "pub(crate) struct Frog(Option<crate::pond::duck::Duck>);",
        "pub(crate) struct Frog; mod tests { use super::super::duck::Duck; }",
    ] {
        let found = one(duck, frog);
        assert_eq!(found.len(), 1, "not seen: {frog}");
        let ring = "src/pond/duck.rs -> src/pond/frog.rs (Frog) -> src/pond/duck.rs";
        assert!(found[0].contains(ring), "{found:?}");
    }
    // Through a re-exported name.
    let frog = "use super::duck::Duck; pub(crate) struct Frog;";
    assert_eq!(
        one("use super::Jumper; pub(crate) struct Duck;", frog).len(),
        1
    );
    assert_eq!(one("pub(crate) struct Duck;", frog), Vec::<String>::new());
    let three = [
        ("src/one.rs", "use crate::two::Two;"),
        ("src/two.rs", "use crate::three::Three;"),
        ("src/three.rs", "fn f() { crate::one::f() }"),
    ];
    assert_eq!(rings(&three).len(), 1);
}

#[test]
fn is_not_misled_about_rings() {
    for second in [
        "// use crate::one::One;",
        "fn f() { g(\"crate::one::One\") }",
        "pub(in crate::one) fn f() {}",
        "use other::one::One;",
        "mod tests { use super::*; }",
        "fn f() { value.one::<Two>() }",
    ] {
        let found = rings(&[
            ("src/one.rs", "use crate::two::Two;"),
            ("src/two.rs", second),
        ]);
        assert_eq!(found, Vec::<String>::new(), "misled by: {second}");
    }
    // A parent that has a child, whose code uses it.
    let family = [
        ("src/one.rs", "mod child; struct One;"),
        ("src/one/child.rs", "use super::One;"),
    ];
    assert_eq!(rings(&family), Vec::<String>::new());
}

#[test]
fn sees_full_folders() {
    let files = |count: usize| -> Vec<Source> {
        let names = (0..count).map(|number| format!("src/pond/duck{number}.rs"));
        let below = ["src/pond/reed/frog.rs".to_owned()];
        names
            .chain(below)
            .map(|path| Source::new(&path, ""))
            .collect()
    };
    assert_eq!(full_folders(&files(FULLEST)), Vec::<String>::new());
    assert_eq!(
        full_folders(&files(FULLEST + 1)),
        ["src/pond has 13 files; 12 are enough"]
    );
}

#[test]
fn sees_wide_lines() {
    let words = |count: usize| "word ".repeat(count / 5);
    for (path, start) in [
        ("src/a.rs", "// "),
        ("src/a.rs", "    /// "),
        ("src/a.rs", "//! - "),
        ("a.md", ""),
        ("a.md", "- "),
    ] {
        let line = |count: usize| format!("{start}{}", words(count));
        assert_eq!(
            too_wide(path, &format!("\n{}", line(110))),
            [2],
            "not seen: {start}"
        );
        assert!(too_wide(path, &line(90)).is_empty());
    }
    for (path, line) in [
        ("src/a.rs", words(110)),
        ("a.md", format!("| {} |", words(110))),
        ("a.md", format!("```\n{}\n```", words(110))),
        ("src/a.rs", format!("/// see {}", "x".repeat(110))),
    ] {
        assert!(too_wide(path, &line).is_empty(), "misled by: {line}");
    }
}
