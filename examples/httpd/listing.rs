//! The page that lists a directory.

use crate::files::{is_hidden, since_1970};

use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::time::UNIX_EPOCH;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}\
    table{border-collapse:collapse;width:100%}td,th{padding:.2em .8em .2em 0;text-align:left}\
    tr:hover td{background:#eef}.n{text-align:right;font-variant-numeric:tabular-nums}";

/// Lists a directory: directories first, then by name, without hidden entries.
pub(crate) fn listing(path: &[u8], directory: &File) -> io::Result<String> {
    let mut entries = Vec::new();
    // The directory that was opened, even if its name means another one by now.
    for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
        let entry = entry?;
        if is_hidden(entry.file_name().as_bytes()) {
            continue;
        }
        // The metadata of a symbolic link itself: its target may be outside of the folder.
        if let Ok(metadata) = entry.metadata() {
            entries.push((!metadata.is_dir(), entry.file_name(), metadata));
        }
    }
    entries.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));

    let title = format!("Index of /{}", escaped_html(path));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title><style>{STYLE}</style>\n<h1>{title}</h1>\n\
         <table><tr><th>Name<th class=\"n\">Size<th>Modified\n"
    );
    if !path.is_empty() {
        page += "<tr><td><a href=\"../\">../</a><td><td>\n";
    }
    for (_, name, metadata) in &entries {
        let slash = if metadata.is_dir() { "/" } else { "" };
        let (link, text) = (escaped_path(name.as_bytes()), escaped_html(name.as_bytes()));
        let size = if metadata.is_file() {
            human_size(metadata.len())
        } else {
            String::new()
        };
        let modified = httpdate::fmt_http_date(UNIX_EPOCH + since_1970(metadata));
        page += &format!(
            "<tr><td><a href=\"{link}{slash}\">{text}{slash}</a><td class=\"n\">{size}<td>{modified}\n"
        );
    }
    page += "</table></html>\n";
    Ok(page)
}

/// A size for people: three digits and a unit, such as `1.46 MiB`.
fn human_size(bytes: u64) -> String {
    let (mut size, mut units) = (
        bytes as f64,
        ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].iter(),
    );
    let mut unit = "B";
    // 999.5 would be shown as 1000.
    while size >= 999.5
        && let Some(next) = units.next()
    {
        (size, unit) = (size / 1024.0, next);
    }
    match size {
        _ if unit == "B" => format!("{bytes} B"),
        ..9.995 => format!("{size:.2} {unit}"),
        ..99.95 => format!("{size:.1} {unit}"),
        _ => format!("{size:.0} {unit}"),
    }
}

/// A name as HTML text.
fn escaped_html(name: &[u8]) -> String {
    let mut escaped = String::new();
    for character in String::from_utf8_lossy(name).chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A path as part of an address. Colons are escaped too, so that no name looks like a scheme.
pub(crate) fn escaped_path(path: &[u8]) -> String {
    let mut escaped = String::new();
    for &byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                escaped.push(byte.into());
            }
            // Writing to a String cannot fail.
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    escaped
}
