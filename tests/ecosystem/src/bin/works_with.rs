//! The table of crates that work with rustlet: compares the one in the guide with what a run has
//! found out, or writes it (`--write`).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HEAD: &str = "| crate | version | glue, lines | program | what is run |";
const RULE: &str = "|---|---|---:|---|---|";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("../../src/guide/works_with.md");
    let folder = rustlet_ecosystem::folder().expect("RUSTLET_WORKS_WITH names a folder");
    let findings = findings(&folder);
    let lock = read(&root.join("Cargo.lock"));
    let mut table = format!("{HEAD}\n{RULE}\n");
    for (name, finding) in &findings {
        let [program, glue, what] = &finding[..] else {
            panic!("{name}: {finding:?}");
        };
        let version = version(&lock, name).unwrap_or_else(|| panic!("{name} is not locked"));
        let glue = match glue.as_str() {
            "" => 0,
            file => lines_of_code(&read(&root.join(file))),
        };
        let row = format!("| {name} | {version} | {glue} | `{program}` | {what} |");
        println!("{row}");
        writeln!(table, "{row}").expect("a string grows");
    }
    let text = read(&page);
    let shown = table_in(&text);
    if std::env::args().any(|argument| argument == "--write") {
        fs::write(&page, text.replace(shown, &table)).expect("the page is written");
        return ExitCode::SUCCESS;
    }
    let differences = differences(shown, &table);
    for difference in &differences {
        eprintln!("{difference}");
    }
    if differences.is_empty() {
        println!("the table in the guide says what was run");
        ExitCode::SUCCESS
    } else {
        eprintln!("CONTRIBUTING.md says how to write the table anew");
        ExitCode::FAILURE
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The program, the file with the glue, and what was run, for each crate.
fn findings(folder: &PathBuf) -> BTreeMap<String, Vec<String>> {
    let entries = fs::read_dir(folder).expect("a folder with findings");
    let findings = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let fields = read(&entry.path());
        let fields = fields.trim_end().split('\t').map(str::to_owned).collect();
        (entry.file_name().to_string_lossy().into_owned(), fields)
    });
    findings.collect()
}

/// The version of a package in a lock file. If there are several, the newest, which is last.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let name = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = lock.rsplit_once(name.as_str())?;
    rest.split('"').next()
}

/// Counts lines that are neither empty nor comments.
fn lines_of_code(source: &str) -> usize {
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
    source.lines().map(str::trim).filter(is_code).count()
}

/// The table in a page, with its head.
fn table_in(page: &str) -> &str {
    let begin = page.find(HEAD).expect("the page has the table");
    let table = &page[begin..];
    let end = table.find("\n\n").map_or(table.len(), |end| end + 1);
    &table[..end]
}

/// The rows that only one of the tables has. Versions that Cargo takes for compatible are equal.
fn differences(shown: &str, ran: &str) -> Vec<String> {
    let rows = |table: &str| table.lines().map(comparable).collect::<Vec<_>>();
    let (shown, ran) = (rows(shown), rows(ran));
    let stale = shown.iter().filter(|row| !ran.contains(row));
    let missing = ran.iter().filter(|row| !shown.contains(row));
    let stale = stale.map(|row| format!("not what was run: {row}"));
    let missing = missing.map(|row| format!("not in the table: {row}"));
    stale.chain(missing).collect()
}

/// A row with only the part of the version that tells incompatible ones apart.
fn comparable(row: &str) -> String {
    let mut cells: Vec<&str> = row.split('|').collect();
    if let Some(version) = cells.get_mut(2) {
        let numbers: Vec<&str> = version.trim().splitn(3, '.').collect();
        *version = match numbers[..] {
            ["0", minor, _] => minor,
            [major, _, _] => major,
            _ => version,
        };
    }
    cells.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| hyper | 1.6.0 | 0 | `a` | curl |\n| rustls | 0.23.1 | 0 | `b` | curl |";

    #[test]
    fn compatible_versions_do_not_differ() {
        let ran = TABLE.replace("1.6.0", "1.7.2").replace("0.23.1", "0.23.40");
        assert_eq!(differences(TABLE, &ran), [""; 0]);
    }

    #[test]
    fn what_was_not_run_is_found_and_what_is_not_shown() {
        for (from, to) in [
            ("0.23.1", "0.24.0"),
            ("1.6.0", "2.0.0"),
            ("| 0 | `b`", "| 9 | `b`"),
        ] {
            let ran = TABLE.replace(from, to);
            assert_eq!(differences(TABLE, &ran).len(), 2, "{ran}");
        }
        let first = TABLE.lines().next().unwrap();
        assert_eq!(differences(TABLE, first).len(), 1);
        assert_eq!(differences(first, TABLE).len(), 1);
    }

    #[test]
    fn a_version_is_that_of_the_package() {
        let lock =
            "name = \"hyper-util\"\nversion = \"0.1\"\n\nname = \"hyper\"\nversion = \"1.6.0\"\n";
        assert_eq!(version(lock, "hyper"), Some("1.6.0"));
        assert_eq!(version(lock, "redis"), None);
    }
}
