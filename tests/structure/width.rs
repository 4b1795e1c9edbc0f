//! Checks how wide lines of prose are: comments of Rust files, and Markdown.

/// Maximum number of characters of a line of prose.
pub(crate) const WIDEST: usize = 100;

/// Returns the numbers of the lines that are wider, except those that cannot be broken: tables,
/// code, a single long word.
pub(crate) fn too_wide(path: &str, text: &str) -> Vec<usize> {
    let is_markdown = path.ends_with(".md");
    let mut in_code = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let content = line.trim_start();
        let prose = if is_markdown {
            Some(content)
        } else {
            let comment = content.strip_prefix("//");
            comment.map(|comment| comment.trim_start_matches(['/', '!']).trim_start())
        };
        let Some(prose) = prose else {
            in_code = false;
            continue;
        };
        if prose.starts_with("```") {
            in_code = !in_code;
            continue;
        }
        let can_be_broken =
            !in_code && !prose.starts_with('|') && prose.split_whitespace().count() > 2;
        if line.chars().count() > WIDEST && can_be_broken {
            found.push(number + 1);
        }
    }
    found
}
