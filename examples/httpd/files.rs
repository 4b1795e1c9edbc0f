//! The response to a request: a file or a part of it, a listing, or an error page.
//!
//! `Site::respond` blocks and is called on the pool of OS threads, once for each request: it also
//! reads the first chunk. The rest of a long file is read while it is sent, from a
//! `rustlet::fs::File`, which suspends.

use crate::CHUNK;
use crate::listing::{escaped_path, listing};
use crate::request::{Request, Status, status_line};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The folder that is served.
pub(crate) struct Site {
    root: File,
}

/// A response, without the headers that depend on the connection.
pub(crate) struct Response {
    pub(crate) status: Status,
    /// Complete lines with their ends.
    pub(crate) headers: String,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    None,
    Bytes(Vec<u8>),
    File(Piece),
}

impl Site {
    pub(crate) fn open(folder: &str) -> io::Result<Site> {
        fs::read_dir(folder)?;
        let root = File::open(folder)?;
        Ok(Site { root })
    }

    pub(crate) fn respond(&self, request: &Request) -> Response {
        self.find(request).unwrap_or_else(|error| {
            Response::refusal(match Errno::from_io_error(&error) {
                // XDEV: the path leads out of the folder. The client does not learn whether the
                // file exists.
                Some(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP) => 404,
                Some(Errno::NAMETOOLONG | Errno::NXIO) => 404,
                Some(Errno::ACCESS | Errno::PERM) => 403,
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => 503,
                _ => 500,
            })
        })
    }

    fn find(&self, request: &Request) -> io::Result<Response> {
        // Relative to the folder: without leading slashes.
        let slashes = request
            .path
            .iter()
            .take_while(|&&byte| byte == b'/')
            .count();
        let path = &request.path[slashes..];
        if path.split(|&byte| byte == b'/').any(is_hidden) {
            return Ok(Response::refusal(404));
        }
        let file = self.open_beneath(if path.is_empty() { b"." } else { path })?;
        let metadata = file.metadata()?;
        if metadata.is_file() {
            return respond_with_file(request, path, file, &metadata);
        }
        if !metadata.is_dir() {
            return Ok(Response::refusal(404));
        }
        if !path.is_empty() && !path.ends_with(b"/") {
            // Without the leading slashes: a location of `//host/x` names another host.
            let query = &request.query;
            return Ok(Response::moved(&format!("/{}/{query}", escaped_path(path))));
        }
        let index = [path, b"index.html"].concat();
        match self.open_beneath(&index) {
            Ok(file) if file.metadata()?.is_file() => {
                let metadata = file.metadata()?;
                respond_with_file(request, &index, file, &metadata)
            }
            _ => Ok(Response::page(200, listing(path, &file)?)),
        }
    }

    /// Opens `path` in the folder. The kernel checks at each step that neither `..` nor a symbolic
    /// link leads out, so there is no moment between a check and its use.
    fn open_beneath(&self, path: &[u8]) -> io::Result<File> {
        // NONBLOCK: opening a named pipe would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.root, path, flags, Mode::empty(), resolve)?.into())
    }
}

/// Responds with a file, with a part of it, or with 304 if the client has it already.
fn respond_with_file(
    request: &Request,
    path: &[u8],
    file: File,
    metadata: &Metadata,
) -> io::Result<Response> {
    let size = metadata.len();
    let version = Version::of(metadata);
    let kind = media_type(path);
    let charset = if kind.starts_with("text/") {
        "; charset=utf-8"
    } else {
        ""
    };
    let mut headers = format!(
        "Accept-Ranges: bytes\r\nETag: {}\r\nLast-Modified: {}\r\n",
        version.tag,
        httpdate::fmt_http_date(version.modified)
    );
    let (status, range) = match version.decide(request, size) {
        Decision::Whole => (200, 0..size),
        Decision::Part(range) => (206, range),
        Decision::Nothing(status) => {
            if status == 416 {
                headers += &format!("Content-Range: bytes */{size}\r\n");
            }
            if status != 304 {
                headers += "Content-Length: 0\r\n";
            }
            return Ok(Response {
                status,
                headers,
                body: Body::None,
            });
        }
    };
    let Range { start, end } = range;
    if status == 206 {
        let last = end - 1;
        headers += &format!("Content-Range: bytes {start}-{last}/{size}\r\n");
    }
    headers += &format!("Content-Length: {}\r\n", end - start);
    headers += &format!("Content-Type: {kind}{charset}\r\nX-Content-Type-Options: nosniff\r\n");
    let first = if request.is_head {
        Vec::new()
    } else {
        read_chunk(&file, &range)?
    };
    Ok(Response {
        status,
        headers,
        body: Body::File(Piece {
            file: file.into(),
            first: Some(first),
            rest: range,
        }),
    })
}

/// The version of a file, as a client remembers it.
struct Version {
    tag: String,
    /// In whole seconds, the resolution of the headers.
    modified: SystemTime,
}

enum Decision {
    Whole,
    Part(Range<u64>),
    Nothing(Status),
}

impl Version {
    fn of(metadata: &Metadata) -> Version {
        let since = since_1970(metadata);
        Version {
            tag: format!("\"{:x}-{:x}\"", since.as_nanos(), metadata.len()),
            modified: UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        }
    }

    /// Evaluates the conditions of a request in the order of RFC 9110, section 13.2.2.
    fn decide(&self, request: &Request, size: u64) -> Decision {
        let changed_since = |date: &str| httpdate::parse_http_date(date).map(|d| self.modified > d);
        let still_that_one = match (&request.if_match, &request.if_unmodified_since) {
            (Some(tags), _) => self.is_among(tags, false),
            (None, Some(date)) => !changed_since(date).unwrap_or(false),
            (None, None) => true,
        };
        if !still_that_one {
            return Decision::Nothing(412);
        }
        let client_has_it = match (&request.if_none_match, &request.if_modified_since) {
            (Some(tags), _) => self.is_among(tags, true),
            (None, Some(date)) => !changed_since(date).unwrap_or(true),
            (None, None) => false,
        };
        if client_has_it {
            return Decision::Nothing(304);
        }
        // A part is useful only if the client's other parts are of the same version.
        let fits = match &request.if_range {
            Some(version) if version.contains('"') => *version == self.tag,
            Some(date) => httpdate::parse_http_date(date).is_ok_and(|date| date == self.modified),
            None => true,
        };
        match &request.range {
            Some(range) if fits && !request.is_head => part(range, size),
            _ => Decision::Whole,
        }
    }

    /// Whether a list such as `"a", W/"b"` contains this version.
    fn is_among(&self, tags: &str, weak_too: bool) -> bool {
        tags.split(',').map(str::trim).any(|tag| {
            let strong = tag.strip_prefix("W/").filter(|_| weak_too).unwrap_or(tag);
            tag == "*" || strong == self.tag
        })
    }
}

/// Whether a component of a path is not served: `.git`, but not `.` and `..`.
pub(crate) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") && !matches!(name, b"." | b"..")
}

/// The media type of a file, from the end of its name.
fn media_type(path: &[u8]) -> &'static str {
    let extension = Path::new(OsStr::from_bytes(path)).extension();
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    match extension.to_str().unwrap_or_default() {
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "js" | "mjs" => "text/javascript",
        "md" => "text/markdown",
        "txt" | "log" | "rs" | "toml" | "c" | "h" | "py" | "sh" => "text/plain",
        "xml" => "text/xml",
        "json" | "map" => "application/json",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "gz" => "application/gzip",
        "zip" => "application/zip",
        "avif" => "image/avif",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => "application/octet-stream",
    }
}

/// When a file was changed, limited to what the headers of HTTP can express: the years 1970 to
/// 9999.
pub(crate) fn since_1970(metadata: &Metadata) -> Duration {
    const END_OF_9999: Duration = Duration::from_secs(253_402_300_799);
    let since = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.unwrap_or_default().min(END_OF_9999)
}

/// The meaning of a header such as `bytes=0-99` for a file of `size` bytes. A header that asks for
/// several parts, or is malformed, is ignored.
fn part(range: &str, size: u64) -> Decision {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let bounds = range
        .split_once('=')
        .filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"))
        .and_then(|(_, bounds)| bounds.trim().split_once('-'));
    let range = match bounds.map(|(first, last)| (first, number(first), last, number(last))) {
        Some(("", _, _, Some(length))) => size.saturating_sub(length)..size,
        Some((_, Some(first), "", _)) => first..size,
        Some((_, Some(first), _, Some(last))) if first <= last => {
            first..size.min(last.saturating_add(1))
        }
        _ => return Decision::Whole,
    };
    if range.is_empty() {
        Decision::Nothing(416)
    } else {
        Decision::Part(range)
    }
}

impl Response {
    /// Metrics in the text format of OpenMetrics.
    pub(crate) fn metrics(text: String) -> Response {
        let length = text.len();
        Response {
            status: 200,
            headers: format!(
                "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
                 Content-Length: {length}\r\n"
            ),
            body: Body::Bytes(text.into_bytes()),
        }
    }

    fn page(status: Status, html: String) -> Response {
        let length = html.len();
        Response {
            status,
            headers: format!(
                "Content-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\n"
            ),
            body: Body::Bytes(html.into_bytes()),
        }
    }

    pub(crate) fn refusal(status: Status) -> Response {
        let line = status_line(status);
        let mut response = Response::page(
            status,
            format!("<!DOCTYPE html><title>{line}</title><h1>{line}</h1>\n"),
        );
        if status == 405 {
            response.headers += "Allow: GET, HEAD\r\n";
        }
        response
    }

    fn moved(location: &str) -> Response {
        let mut response = Response::refusal(301);
        response.headers += &format!("Location: {location}\r\n");
        response
    }
}

/// The part of a file to be sent.
pub(crate) struct Piece {
    file: rustlet::fs::File,
    /// The first chunk, which is read already.
    first: Option<Vec<u8>>,
    rest: Range<u64>,
}

impl Piece {
    /// The next chunk, or `None` at the end. Suspends while it is read.
    pub(crate) fn next_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let bytes = match self.first.take() {
            Some(first) => first,
            None => read_chunk(&self.file, &self.rest)?,
        };
        if bytes.is_empty() {
            // The file has become shorter than the length in the header.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest.start += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

/// Reads the first chunk of the range. Blocks for a `std::fs::File`, suspends for a
/// `rustlet::fs::File`.
fn read_chunk(file: &impl FileExt, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let length = (range.end - range.start).min(CHUNK as u64) as usize;
    let mut bytes = vec![0; length];
    let count = file.read_at(&mut bytes, range.start)?;
    bytes.truncate(count);
    Ok(bytes)
}
