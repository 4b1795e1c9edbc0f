//! What a request gets: a file or a part of it, a listing, or a word on why not.
//!
//! `Site::respond` blocks, as files do, and is called on the pool of OS threads, once a request: it also reads the
//! first chunk. The rest of a long file is read while it is sent: from a `rustlet::fs::File`, which suspends.

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
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The folder that is served.
pub(crate) struct Site {
    root: File,
}

/// What goes back, but for what depends on the connection.
pub(crate) struct Response {
    pub(crate) status: Status,
    /// Whole lines, with their ends.
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
                // XDEV: the path would lead out of the folder. Nobody needs to know whether something is there.
                Some(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP) => 404,
                Some(Errno::NAMETOOLONG | Errno::NXIO) => 404,
                Some(Errno::ACCESS | Errno::PERM) => 403,
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => 503,
                _ => 500,
            })
        })
    }

    fn find(&self, request: &Request) -> io::Result<Response> {
        // As the path is relative to the folder: no slash at its front.
        let slashes = request
            .path
            .iter()
            .take_while(|&&byte| byte == b'/')
            .count();
        let path = &request.path[slashes..];
        let file = self.open_beneath(if path.is_empty() { b"." } else { path })?;
        let metadata = file.metadata()?;
        if metadata.is_file() {
            return respond_with_file(request, path, file, &metadata);
        }
        if !metadata.is_dir() {
            return Ok(Response::refusal(404));
        }
        if !path.is_empty() && !path.ends_with(b"/") {
            // Made from the path without its slashes: `//host/x` at the front would send the browser to another host.
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

    /// Opens what is at `path` in the folder. It is the system that sees to it that neither `..` nor a symbolic link leads
    /// out, at any step of the way, so nobody can change a directory between a check and its use.
    fn open_beneath(&self, path: &[u8]) -> io::Result<File> {
        // NONBLOCK: opening a named pipe would wait for someone who writes to it.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.root, path, flags, Mode::empty(), resolve)?.into())
    }
}

/// Sends a file, or the part of it that was asked for, unless the client has it already.
fn respond_with_file(
    request: &Request,
    path: &[u8],
    file: File,
    metadata: &Metadata,
) -> io::Result<Response> {
    let size = metadata.len();
    let version = Version::of(metadata);
    let kind = mime_guess::from_path(OsStr::from_bytes(path)).first_raw();
    let charset = match kind {
        Some(kind) if kind.starts_with("text/") => "; charset=utf-8",
        _ => "",
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
    headers += &format!(
        "Content-Type: {}{charset}\r\nX-Content-Type-Options: nosniff\r\n",
        kind.unwrap_or("application/octet-stream")
    );
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

/// Which version of a file this is: what a client may remember of one that it has.
struct Version {
    tag: String,
    /// In whole seconds, as the headers can say it.
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

    /// The order is that of RFC 9110, section 13.2.2.
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
        // A part is of use only to a client whose other parts are of this version.
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

    /// Whether a list such as `"a", W/"b"` names this version.
    fn is_among(&self, tags: &str, weak_too: bool) -> bool {
        tags.split(',').map(str::trim).any(|tag| {
            let strong = tag.strip_prefix("W/").filter(|_| weak_too).unwrap_or(tag);
            tag == "*" || strong == self.tag
        })
    }
}

/// When a file was changed. The headers of HTTP know the years from 1970 to 9999, file systems know more.
pub(crate) fn since_1970(metadata: &Metadata) -> Duration {
    const END_OF_9999: Duration = Duration::from_secs(253_402_300_799);
    let since = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.unwrap_or_default().min(END_OF_9999)
}

/// What a header such as `bytes=0-99` means for a file of `size` bytes. One that asks for several parts, or makes no
/// sense, may be passed over.
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

/// The part of a file that is to be sent.
pub(crate) struct Piece {
    file: rustlet::fs::File,
    /// Read already.
    first: Option<Vec<u8>>,
    rest: Range<u64>,
}

impl Piece {
    /// What comes next; suspends while it is read, if it has not been. None at the end.
    pub(crate) fn next_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let bytes = match self.first.take() {
            Some(first) => first,
            None => read_chunk(&self.file, &self.rest)?,
        };
        if bytes.is_empty() {
            // The file has become shorter, and its length was promised.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest.start += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

/// The first bytes of the range, as many as are read at a time, or as there are. Whether that blocks depends on whose the file is.
fn read_chunk(file: &impl FileExt, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let length = (range.end - range.start).min(CHUNK as u64) as usize;
    let mut bytes = vec![0; length];
    let count = file.read_at(&mut bytes, range.start)?;
    bytes.truncate(count);
    Ok(bytes)
}
