//! Finds which file of a package names an item of which other file, and the cycles among them.
//!
//! A path is followed to the file that defines its last name: through modules, and through `pub
//! use`, which re-exports a name and is no import itself. Paths are read in `use` declarations and
//! in code, from `crate`, `self`, `super`, a child module, or a module that the file has imported.
//! A call of a method names no file, and is not seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Source, inline_modules_at};

type Path = Vec<String>;

/// A name that a file imports with `use`, and whether it re-exports it.
struct Taken {
    /// The `mod` blocks of the file that the declaration is in.
    inside: Path,
    path: Path,
    name: String,
    is_public: bool,
}

/// The files of one package, as modules.
pub(crate) struct Modules<'a> {
    sources: Vec<&'a Source>,
    modules: BTreeMap<Path, usize>,
    paths: Vec<Path>,
    taken: Vec<Vec<Taken>>,
}

impl<'a> Modules<'a> {
    /// Reads the files below `root`, a folder with a slash at its end.
    pub(crate) fn of(root: &str, sources: &'a [Source]) -> Modules<'a> {
        let sources = sources
            .iter()
            .filter(|source| source.path.starts_with(root));
        let sources: Vec<&Source> = sources.collect();
        let paths: Vec<Path> = sources.iter().map(|source| module(root, source)).collect();
        let modules = paths.iter().cloned().zip(0..).collect();
        let taken = sources.iter().map(|source| taken(&source.code)).collect();
        Modules {
            sources,
            modules,
            paths,
            taken,
        }
    }

    /// Returns the imports of each file from others: the number of a file, and the name.
    fn imports(&self, file: usize) -> BTreeSet<(usize, String)> {
        let base = &self.paths[file];
        let mut found = BTreeSet::new();
        // The root declares modules and re-exports names, and so names them all.
        if base.is_empty() {
            return found;
        }
        // Modules that code of this file may name without a path to them.
        let mut near: BTreeMap<&str, Path> = BTreeMap::new();
        let children = self
            .modules
            .keys()
            .filter(|path| path.split_last().is_some_and(|(_, up)| up == base));
        near.extend(children.map(|path| (path[path.len() - 1].as_str(), path.clone())));
        for taken in self.taken[file].iter().filter(|taken| !taken.is_public) {
            let from: Path = base.iter().chain(&taken.inside).cloned().collect();
            let Some(mut path) = self.absolute(&from, &taken.path) else {
                continue;
            };
            if path.last().is_some_and(|last| last == "*") {
                path.pop();
            }
            if self.modules.contains_key(&path) && taken.name != "*" {
                near.insert(&taken.name, path);
            } else {
                found.extend(self.resolve(path, 0));
            }
        }
        let code = without_declarations(&self.sources[file].code);
        let from = |at| -> Path {
            let inside = inline_modules_at(&code, at);
            base.iter().cloned().chain(inside).collect()
        };
        for (at, path) in paths_in(&code) {
            let path = match near.get(path[0].as_str()) {
                Some(start) => start.iter().chain(&path[1..]).cloned().collect(),
                // A child of a `mod` block is not a child of this file.
                None if !matches!(path[0].as_str(), "crate" | "self" | "super") => continue,
                None => match self.absolute(&from(at), &path) {
                    Some(path) => path,
                    None => continue,
                },
            };
            found.extend(self.resolve(path, 0));
        }
        found.retain(|(other, _)| *other != file);
        found
    }

    /// Returns the path from the root. `None`: it leads out of the package, or is no path that is
    /// checked.
    fn absolute(&self, from: &[String], path: &[String]) -> Option<Path> {
        let supers = path.iter().take_while(|name| *name == "super").count();
        let (keep, rest) = match path[0].as_str() {
            "crate" => (0, &path[1..]),
            "self" => (from.len(), &path[1..]),
            "super" => (from.len().checked_sub(supers)?, &path[supers..]),
            name => {
                let child: Path = from.iter().cloned().chain([name.to_owned()]).collect();
                self.modules
                    .contains_key(&child)
                    .then_some((from.len(), path))?
            }
        };
        Some(from[..keep].iter().chain(rest).cloned().collect())
    }

    /// Returns the file that a path leads to, and the name that it has there.
    fn resolve(&self, path: Path, handed_on: u32) -> Option<(usize, String)> {
        let is_module = |length: &usize| self.modules.contains_key(&path[..*length]);
        let length = (0..=path.len()).take_while(is_module).last()?;
        let file = self.modules[&path[..length]];
        let rest = &path[length..];
        // A `pub use` in the file, or in a `mod` block of it.
        for (inside, name) in rest
            .iter()
            .enumerate()
            .map(|(at, name)| (&rest[..at], name))
        {
            let hands_on =
                |taken: &&Taken| taken.is_public && taken.name == *name && taken.inside == inside;
            if let Some(taken) = self.taken[file]
                .iter()
                .find(hands_on)
                .filter(|_| handed_on < 8)
            {
                let from: Path = path[..length + inside.len()].to_vec();
                let mut onward = self.absolute(&from, &taken.path)?;
                onward.extend_from_slice(&rest[inside.len() + 1..]);
                return self.resolve(onward, handed_on + 1);
            }
        }
        Some((
            file,
            rest.first()
                .cloned()
                .unwrap_or_else(|| "the module".to_owned()),
        ))
    }

    /// Returns one sentence for each cycle of files that import each other.
    pub(crate) fn rings(&self) -> Vec<String> {
        let imports: Vec<_> = (0..self.sources.len())
            .map(|file| self.imports(file))
            .collect();
        let mut told = BTreeSet::new();
        let mut rings = Vec::new();
        for start in 0..imports.len() {
            if told.contains(&start) {
                continue;
            }
            if let Some(ring) = ring(&imports, start) {
                told.extend(ring.iter().map(|(file, _)| *file));
                let mut text = self.sources[start].path.clone();
                for (file, name) in ring {
                    text += &format!(" -> {} ({name})", self.sources[file].path);
                }
                rings.push(format!("a ring of imports: {text}"));
            }
        }
        rings
    }
}

/// Returns the shortest way from a file back to itself.
fn ring(imports: &[BTreeSet<(usize, String)>], start: usize) -> Option<Vec<(usize, String)>> {
    let mut ways: Vec<Vec<(usize, String)>> = vec![vec![]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let end = way.last().map_or(start, |(file, _)| *file);
            for (file, name) in &imports[end] {
                let mut way = way.clone();
                way.push((*file, name.clone()));
                if *file == start {
                    return Some(way);
                }
                if seen.insert(*file) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

/// Returns the module path of a file.
fn module(root: &str, source: &Source) -> Path {
    let path = source.path.trim_start_matches(root).trim_end_matches(".rs");
    let mut path: Path = path.split('/').map(str::to_owned).collect();
    if path
        .last()
        .is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main"))
    {
        path.pop();
    }
    path
}

/// Returns the positions of `use` declarations: their start, their end, and the text between `use`
/// and the semicolon.
fn declarations(code: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    let in_a_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices("use ").filter_map(move |(at, word)| {
        let from = at + word.len();
        let end = from + code[from..].find(';')?;
        (!in_a_name(code[..at].chars().next_back())).then(|| (at, end, &code[from..end]))
    })
}

fn taken(code: &str) -> Vec<Taken> {
    let mut found = Vec::new();
    for (at, _, tree) in declarations(code) {
        let before = code[..at].trim_end();
        let statement = before.rfind([';', '{', '}', ']']).map_or(0, |at| at + 1);
        let is_public = before[statement..].trim_start().starts_with("pub");
        let inside: Path = inline_modules_at(code, at);
        leaves(&[], tree, &mut |path, name| {
            found.push(Taken {
                inside: inside.clone(),
                path,
                name,
                is_public,
            });
        });
    }
    found
}

/// Returns each path of a tree such as `a::{b, c::{self, d as e}}`, with the name that it gets.
fn leaves(prefix: &[String], tree: &str, found: &mut impl FnMut(Path, String)) {
    let tree = tree.trim();
    let names = |text: &str| -> Path {
        let names = text
            .split("::")
            .map(str::trim)
            .filter(|name| !name.is_empty());
        prefix
            .iter()
            .cloned()
            .chain(names.map(str::to_owned))
            .collect()
    };
    if let Some((start, rest)) = tree.split_once('{') {
        let prefix = names(start);
        let (mut depth, mut from) = (0, 0);
        for (at, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    leaves(&prefix, &rest[from..at], found);
                    from = at + 1;
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return;
    }
    let (path, name) = match tree.split_once(" as ") {
        Some((path, name)) => (path, Some(name.trim().to_owned())),
        None => (tree, None),
    };
    let mut path = names(path);
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(last) = path.last().cloned() {
        found(path, name.unwrap_or(last));
    }
}

/// Returns the code without `use` declarations and `pub(in path)`, which do not use the items that
/// they name.
fn without_declarations(code: &str) -> String {
    let mut blanked = code.to_owned().into_bytes();
    let restricted = code
        .match_indices("pub(in ")
        .filter_map(|(at, _)| Some((at, at + code[at..].find(')')?)));
    for (from, to) in declarations(code)
        .map(|(from, to, _)| (from, to))
        .chain(restricted)
    {
        blanked[from..to].fill(b' ');
    }
    String::from_utf8(blanked).expect("whole declarations were blanked")
}

/// Returns paths of two or more names, with their positions.
fn paths_in(code: &str) -> Vec<(usize, Path)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = code[rest..].find(is_name).map(|at| rest + at) {
        let mut path = Path::new();
        let mut end = start;
        loop {
            let length = code[end..]
                .find(|c| !is_name(c))
                .unwrap_or(code.len() - end);
            path.push(code[end..end + length].to_owned());
            end += length;
            let after = code[end..].trim_start();
            let Some(next) = after.strip_prefix("::").map(str::trim_start) else {
                break;
            };
            if !next.starts_with(is_name) {
                break;
            }
            end = code.len() - next.len();
        }
        let before = code[..start].trim_end();
        if path.len() > 1 && !before.ends_with("::") && !before.ends_with('.') {
            found.push((start, path));
        }
        rest = end;
    }
    found
}
