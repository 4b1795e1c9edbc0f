//! A JSON API for notes in PostgreSQL: hyper in front, tokio-postgres behind, a pool between.
//!
//! What it shows: `async` crates at both ends, and blocking code in the middle. hyper's connection
//! is a future that a green thread runs. A request is handled by [`Notes::respond`], an ordinary
//! function: it takes a client out of the pool, which suspends the green thread while all are in
//! use, and waits for its queries. One time limit bounds it all. When that has passed, the thread
//! unwinds, and the client whose query was interrupted is dropped, not returned to the pool.
//!
//! - [`database`] connects tokio-postgres to rustlet's sockets;
//! - this file serves the API.
//!
//! ```sh
//! cargo run --example rest -- 'host=127.0.0.1 user=me dbname=notes'
//! curl http://127.0.0.1:8080/notes -d '{"text": "buy milk"}'
//! curl http://127.0.0.1:8080/notes
//! ```

mod database;
#[path = "../serving/mod.rs"]
mod serving;
#[path = "../../../../examples/support/mod.rs"]
mod support;

use database::Connect;
use support::{Args, failure};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use rustlet::net::TcpStream;
use rustlet::pool::{GetError, Pool};
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
[OPTIONS] DATABASE [ADDRESS]

Serves notes in a PostgreSQL database as JSON over HTTP, until Ctrl-C.

  GET /notes, POST /notes, GET /notes/ID, DELETE /notes/ID

DATABASE             how to connect, as in 'host=127.0.0.1 user=me dbname=notes'
ADDRESS              where to listen (default 127.0.0.1:8080; port 0: the system chooses)
--connections N      how many connections to the database (default 5)
--limit MS           how long a request may take (default 10000)
--workers N          run on N workers (OS threads; default one per core)
--help               print this text";

/// The length of the longest note, in bytes.
const MAX_BODY: usize = 64 * 1024;

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS notes (id BIGSERIAL PRIMARY KEY, text TEXT NOT NULL)";

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let runtime = args.runtime()?;
        let (notes, address) = Notes::from_args(args)?;
        runtime.build()?.run(|| {
            let create = |pool: &Pool<Connect>| -> Result<(), Problem> {
                Ok(rustlet::block_on(pool.get()?.batch_execute(TABLE))?)
            };
            create(&notes.pool).map_err(|problem| failure(problem.text))?;
            serving::serve(&address, move |stream| converse(&notes, stream))
        })
    })
}

/// Serves one connection.
fn converse(notes: &Notes, stream: TcpStream) {
    let service = service_fn(|request| handle(notes, request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(rustlet::hyper::Timer)
        .header_read_timeout(Duration::from_secs(30))
        .serve_connection(stream, service);
    if let Err(error) = rustlet::block_on(connection) {
        eprintln!("{error}");
    }
}

async fn handle(
    notes: &Notes,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let answer = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => notes.respond(&head.method, head.uri.path(), &body.to_bytes()),
        Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, error)),
    };
    let (status, value) = answer.unwrap_or_else(|problem| {
        let text = json!({ "error": problem.text });
        (problem.status, text)
    });
    let mut response = Response::new(Full::from(format!("{value}\n")));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// Why a request has no other answer.
struct Problem {
    status: StatusCode,
    text: String,
}

impl Problem {
    fn new(status: StatusCode, text: impl ToString) -> Problem {
        let text = text.to_string();
        Problem { status, text }
    }
}

impl From<GetError<Box<dyn std::error::Error + Send + Sync>>> for Problem {
    fn from(error: GetError<Box<dyn std::error::Error + Send + Sync>>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

struct Notes {
    pool: Pool<Connect>,
    limit: Duration,
}

impl Notes {
    /// Returns the notes and the address of the server.
    fn from_args(args: &mut Args) -> support::Result<(Notes, String)> {
        let connections = args.number("--connections", 1)?.unwrap_or(5);
        let limit = args.milliseconds("--limit")?;
        let database = args.word()?;
        let database = database.ok_or_else(|| support::misuse("a DATABASE is needed"))?;
        let address = args.word_or("127.0.0.1:8080")?;
        args.end()?;
        let notes = Notes {
            pool: Pool::new(connections as usize, Connect(database.parse()?)),
            limit: limit.unwrap_or(Duration::from_secs(10)),
        };
        Ok((notes, address))
    }

    /// Answers a request within the time limit.
    fn respond(
        &self,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<(StatusCode, Value), Problem> {
        let answer = rustlet::timeout(self.limit, || match path.strip_prefix("/notes") {
            Some("") => match *method {
                Method::GET => self.list(),
                Method::POST => self.add(body),
                _ => Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "GET or POST")),
            },
            Some(rest) => match rest.strip_prefix('/').map(str::parse) {
                Some(Ok(id)) => match *method {
                    Method::GET => self.one("SELECT id, text FROM notes WHERE id = $1", id),
                    Method::DELETE => {
                        self.one("DELETE FROM notes WHERE id = $1 RETURNING id, text", id)
                    }
                    _ => Err(Problem::new(
                        StatusCode::METHOD_NOT_ALLOWED,
                        "GET or DELETE",
                    )),
                },
                _ => Err(Problem::new(StatusCode::NOT_FOUND, "no such note")),
            },
            None => Err(Problem::new(StatusCode::NOT_FOUND, "only /notes is here")),
        });
        answer.unwrap_or_else(|elapsed| Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, elapsed)))
    }

    fn list(&self) -> Result<(StatusCode, Value), Problem> {
        let client = self.pool.get()?;
        let query = "SELECT id, text FROM notes ORDER BY id LIMIT 1000";
        let rows = rustlet::block_on(client.query_typed(query, &[]))?;
        Ok((StatusCode::OK, rows.iter().map(note).collect()))
    }

    fn add(&self, body: &[u8]) -> Result<(StatusCode, Value), Problem> {
        let text = serde_json::from_slice::<Value>(body).ok();
        let text = text.as_ref().and_then(|note| note["text"].as_str());
        let Some(text) = text else {
            let help = r#"send {"text": "…"}"#;
            return Err(Problem::new(StatusCode::BAD_REQUEST, help));
        };
        let client = self.pool.get()?;
        let query = "INSERT INTO notes (text) VALUES ($1) RETURNING id, text";
        let rows = rustlet::block_on(client.query_typed(query, &[(&text, Type::TEXT)]))?;
        Ok((StatusCode::CREATED, rows.first().map_or(Value::Null, note)))
    }

    /// Runs a query that returns the note `id`, if there is one.
    fn one(&self, query: &str, id: i64) -> Result<(StatusCode, Value), Problem> {
        let client = self.pool.get()?;
        let rows = rustlet::block_on(client.query_typed(query, &[(&id, Type::INT8)]))?;
        match rows.first() {
            Some(row) => Ok((StatusCode::OK, note(row))),
            None => Err(Problem::new(StatusCode::NOT_FOUND, "no such note")),
        }
    }
}

fn note(row: &Row) -> Value {
    json!({ "id": row.get::<_, i64>(0), "text": row.get::<_, String>(1) })
}
