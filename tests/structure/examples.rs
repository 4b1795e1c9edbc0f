//! Finds public items whose documentation has no example.
//!
//! The compiler denies `pub` on what cannot be reached from outside (`unreachable_pub`), so every
//! `pub` item of the source is public, except those that are `#[doc(hidden)]`.

/// Public traits that seal others, and have nothing to show.
const SEALS: [&str; 1] = ["Sealed"];

/// Returns the line and the name of each function, type, trait and macro without an example.
pub(crate) fn without_example(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut hidden_types = Vec::new();
    let mut is_in_hidden_impl = false;
    // The indentation of the public trait that is open: its functions have no `pub`.
    let mut open_trait = None;
    let mut docs = Docs::default();
    for (number, line) in text.lines().enumerate() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if docs.read(content) {
            continue;
        }
        let Docs {
            example,
            hidden,
            exported,
            ..
        } = std::mem::take(&mut docs);
        if content.starts_with("impl") {
            is_in_hidden_impl = hidden_types
                .iter()
                .any(|name| names(content).any(|n| n == *name));
        }
        if open_trait == Some(indent) && content.starts_with('}') {
            open_trait = None;
        }
        let is_in_trait = open_trait.is_some_and(|trait_indent| indent == trait_indent + 4);
        let Some((kind, name)) = item(content, is_in_trait, exported) else {
            continue;
        };
        if kind == "trait" && !hidden {
            open_trait = Some(indent);
        }
        if hidden {
            hidden_types.push(name);
        } else if !example && !is_in_hidden_impl && !SEALS.contains(&name) {
            found.push((number + 1, name.to_owned()));
        }
    }
    found
}

/// What the documentation and the attributes before an item say.
#[derive(Default)]
struct Docs {
    example: bool,
    hidden: bool,
    exported: bool,
    /// An attribute has begun and not ended.
    is_in_attribute: bool,
}

impl Docs {
    /// Reads a line, and returns whether it belongs to the documentation of the item that follows.
    fn read(&mut self, content: &str) -> bool {
        if let Some(doc) = content.strip_prefix("///") {
            self.example |= doc.trim_start().starts_with("```");
            return true;
        }
        self.hidden |= content.starts_with("#[doc(hidden)]");
        self.exported |= content.starts_with("#[macro_export]");
        // The documentation of what a macro makes: the macro's caller has written it.
        self.example |= content.starts_with("$(#[");
        if self.is_in_attribute || content.starts_with("#[") {
            self.is_in_attribute = !content.ends_with(']');
            return true;
        }
        content.starts_with("//") || content.starts_with("$(#[")
    }
}

/// Returns the kind and the name of the item that a line declares, if it is public.
fn item(content: &str, is_in_trait: bool, is_exported: bool) -> Option<(&str, &str)> {
    let declaration = match content.strip_prefix("pub ") {
        Some(declaration) => declaration,
        None if is_in_trait || is_exported => content,
        None => return None,
    };
    let mut words = declaration.split_whitespace();
    let kind = words.find(|word| !matches!(*word, "const" | "unsafe" | "extern" | "\"C\""))?;
    let is_macro = kind == "macro_rules!" && is_exported;
    let is_item = matches!(kind, "fn" | "struct" | "enum" | "union" | "trait" | "type") || is_macro;
    // Associated types of a trait have nothing to run.
    let is_associated = is_in_trait && kind == "type";
    let name = names(words.next()?).next()?;
    (is_item && !is_associated).then_some((kind, name))
}

/// Returns the names in a piece of code; that of a macro's variable begins with `$`.
fn names(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
        .filter(|name| !name.is_empty())
}

#[test]
fn sees_items_without_an_example() {
    let names = |text: &str| -> Vec<String> {
        without_example(text)
            .into_iter()
            .map(|(_, name)| name)
            .collect()
    };
    let example = "/// Does it.\n///\n/// ```\n/// f();\n/// ```\n";
    for (item, name) in [
        ("pub fn f() {}", "f"),
        ("    pub const unsafe fn g<T>(&self) {", "g"),
        ("pub struct S<T>(T);", "S"),
        ("        pub struct $into<In> {", "$into"),
        ("pub enum E {", "E"),
        ("pub trait T: Sized {", "T"),
        ("pub type A = u8;", "A"),
        ("#[macro_export]\nmacro_rules! m {", "m"),
    ] {
        assert_eq!(names(item), [name], "not seen: {item}");
        assert_eq!(names(&format!("/// Does it.\n#[must_use]\n{item}")), [name]);
        assert_eq!(
            names(&format!(
                "{example}#[allow(\n    unused,\n    reason = \"so\"\n)]\n{item}"
            )),
            [""; 0]
        );
        // The example of the item before is no example of this one.
        assert_eq!(
            names(&format!("{example}pub fn before() {{}}\n\n{item}")),
            [name]
        );
    }
    let in_trait =
        format!("{example}pub trait T {{\n    type A;\n    fn f();\n}}\nfn private() {{}}");
    assert_eq!(without_example(&in_trait), [(8, "f".to_owned())]);
}

#[test]
fn is_not_misled_about_examples() {
    for text in [
        "fn f() {}",
        "pub(crate) fn f() {}",
        "pub use self::f;",
        "pub mod m;",
        "struct S {\n    pub field: fn(),\n}",
        "// pub fn f() {}",
        "/// pub fn f() {}",
        "macro_rules! m {",
        "$(#[$attribute])+\n#[track_caller]\npub fn $name() {",
        "#[doc(hidden)]\n#[inline]\npub fn f() {}",
        "#[doc(hidden)]\npub struct S;\n\nimpl<T> Clone<T> for S {\n    pub fn f() {}",
        "mod sealed {\n    pub trait Sealed {}",
    ] {
        assert_eq!(without_example(text), [], "misled by: {text}");
    }
}
