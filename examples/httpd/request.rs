//! Parses requests: from bytes to a request, or to the status that rejects it.

/// A status code of HTTP.
pub(crate) type Status = u16;

/// How many header lines a request may have.
const MAX_HEADERS: usize = 64;

/// A GET or a HEAD.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) is_head: bool,
    /// The path, percent-decoded. It begins with a slash; the rest is arbitrary.
    pub(crate) path: Vec<u8>,
    /// The query with its question mark, not decoded.
    pub(crate) query: String,
    pub(crate) keep_alive: bool,
    /// The headers that decide whether a file is sent, and which part of it.
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_modified_since: Option<String>,
    pub(crate) if_unmodified_since: Option<String>,
    pub(crate) if_range: Option<String>,
    pub(crate) range: Option<String>,
}

impl Request {
    /// The request that `bytes` begin with and its length, or `None` if it is incomplete.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Status> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let length = match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(431),
            Err(httparse::Error::Version) => return Err(505),
            Err(_) => return Err(400),
        };
        let is_head = match head.method.unwrap_or_default() {
            "GET" => false,
            "HEAD" => true,
            _ => return Err(405),
        };
        let (path, query) = split(head.path.unwrap_or_default())?;
        let is_1_1 = head.version == Some(1);
        let mut request = Request {
            is_head,
            path: percent_decoded(path)?,
            query: query.to_owned(),
            keep_alive: is_1_1,
            ..Request::default()
        };
        let mut hosts = 0;
        for header in head.headers.iter() {
            // All headers used here are ASCII.
            let value = String::from_utf8_lossy(header.value).into_owned();
            let field = match header.name.to_ascii_lowercase().as_str() {
                "if-match" => &mut request.if_match,
                "if-none-match" => &mut request.if_none_match,
                "if-modified-since" => &mut request.if_modified_since,
                "if-unmodified-since" => &mut request.if_unmodified_since,
                "if-range" => &mut request.if_range,
                "range" => &mut request.range,
                "host" => {
                    hosts += 1;
                    continue;
                }
                "connection" => {
                    request.keep_alive &= !has_token(&value, "close");
                    request.keep_alive |= !is_1_1 && has_token(&value, "keep-alive");
                    continue;
                }
                // This server reads no bodies, so it could not find the next request.
                "content-length" if value == "0" => continue,
                "content-length" | "transfer-encoding" => {
                    return Err(413);
                }
                _ => continue,
            };
            // Several lines with one name mean the same as one line with commas.
            *field = Some(match field.take() {
                Some(before) => format!("{before}, {value}"),
                None => value,
            });
        }
        if hosts > 1 || is_1_1 && hosts == 0 {
            return Err(400);
        }
        Ok(Some((request, length)))
    }
}

/// Splits the target of a request into path and query. It may be a whole address, as for a proxy.
fn split(target: &str) -> Result<(&str, &str), Status> {
    let target = match target.split_once("://") {
        Some(("http" | "https", rest)) => rest.find(['/', '?']).map_or("/", |slash| &rest[slash..]),
        _ => target,
    };
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    match path {
        "" => Ok(("/", query)),
        _ if path.starts_with('/') => Ok((path, query)),
        _ => Err(400),
    }
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, Status> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => match (hex_digit(bytes.next()), hex_digit(bytes.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(400),
            },
            byte => byte,
        };
        if byte == 0 {
            return Err(400);
        }
        decoded.push(byte);
    }
    Ok(decoded)
}

fn hex_digit(byte: Option<u8>) -> Option<u8> {
    char::from(byte?)
        .to_digit(16)
        .and_then(|digit| digit.try_into().ok())
}

fn has_token(list: &str, token: &str) -> bool {
    list.split(',')
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// The code of a status and its name.
pub(crate) fn status_line(status: Status) -> String {
    let name = match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    };
    format!("{status} {name}")
}
