//! The example `rest`, and pools of connections, against a server of PostgreSQL and with curl.

use std::io::Write;
use std::process::Stdio;

use postgres::NoTls;
use r2d2_postgres::PostgresConnectionManager;
use rustlet::pool::{Pool, R2d2};
use rustlet::time::Duration;
use rustlet_ecosystem::postgres::Postgres;
use rustlet_ecosystem::process::{Process, bounded, curl, installed, serve};
use rustlet_ecosystem::works;
use serde_json::{Value, json};

#[path = "../../examples/rest/database.rs"]
mod database;

#[test]
fn rest_and_pools_with_postgresql() {
    let (Some((postgres, _server, _folder)), Some(_)) = (Postgres::start(), installed("curl"))
    else {
        return;
    };
    notes(&postgres);
    many_requests_and_lost_connections(&postgres);
    a_request_that_takes_too_long(&postgres);
    works(
        "tokio-postgres",
        "tests/ecosystem/examples/rest/main.rs",
        "examples/rest/database.rs",
        "PostgreSQL and curl: a REST service, 20 clients on a pool of 5, connections that the \
         server ends, a time limit while a table is locked",
    );
    pool_of_tokio_postgres(&postgres);
    pool_of_r2d2(&postgres);
    works(
        "r2d2_postgres",
        "tests/ecosystem/tests/programs/rest.rs",
        "",
        "PostgreSQL: 20 threads on a `pool::Pool` of 5 over `pool::R2d2`, connections that the \
         server ends, a call that outlives a timeout",
    );
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&curl(args)).unwrap()
}

fn notes(postgres: &Postgres) {
    let (server, address) = serve("rest", &[&postgres.database, "127.0.0.1:0"]);
    let notes = format!("http://{address}/notes");
    let milk = json(&[&notes, "-d", r#"{"text": "buy milk"}"#]);
    assert_eq!(milk, json!({"id": 1, "text": "buy milk"}));
    // What SQL would take for its own.
    let quote = json!({"text": "'; DROP TABLE notes; -- ü"});
    let quoted = json(&[&notes, "-d", &quote.to_string()]);
    assert_eq!(quoted["text"], quote["text"]);
    assert_eq!(json(&[&notes]), json!([milk, quoted]));
    assert_eq!(
        postgres.query("SELECT text FROM notes WHERE id = 1"),
        "buy milk"
    );
    let first = format!("{notes}/1");
    assert_eq!(json(&[&first]), milk);
    assert_eq!(json(&["-X", "DELETE", &first]), milk);
    assert_eq!(postgres.query("SELECT count(*) FROM notes"), "1");

    let status = |args: &[&str]| {
        curl(
            args.iter()
                .chain(&["-o", "/dev/null", "-w", "%{http_code}"]),
        )
    };
    assert_eq!(status(&[&first]), "404");
    assert_eq!(status(&[&format!("{notes}/many")]), "404");
    assert_eq!(status(&[&notes, "-d", "no JSON"]), "400");
    assert_eq!(status(&[&notes, "-d", &"x".repeat(70_000)]), "400");
    assert_eq!(status(&["-X", "PUT", &notes]), "405");
    server.end();
}

fn many_requests_and_lost_connections(postgres: &Postgres) {
    let (_server, address) = serve("rest", &[&postgres.database, "127.0.0.1:0"]);
    let ask = || {
        let url = format!("http://{address}/notes?n=[1-200]");
        let parallel = ["--parallel", "--parallel-immediate", "--parallel-max", "20"];
        let print = ["-o", "/dev/null", "-w", "%{http_code}\n", &url];
        let statuses = curl(parallel.iter().chain(&print));
        assert_eq!(statuses, "200\n".repeat(200));
    };
    ask();
    let connections = postgres.connections();
    assert!((1..=5).contains(&connections), "{connections} connections");
    postgres.end_connections();
    ask();
}

fn a_request_that_takes_too_long(postgres: &Postgres) {
    let options = [
        "--limit",
        "200",
        "--connections",
        "1",
        &postgres.database,
        "127.0.0.1:0",
    ];
    let (_server, address) = serve("rest", &options);
    let url = format!("http://{address}/notes");
    let status = || curl([&url, "-o", "/dev/null", "-w", "%{http_code}"]);

    let mut psql = bounded(&postgres.psql);
    psql.args(["--no-psqlrc", "-At", &postgres.database])
        .stdin(Stdio::piped());
    let mut locking = Process::start(&mut psql);
    let mut stdin = locking.stdin();
    writeln!(
        stdin,
        "BEGIN; LOCK TABLE notes; SELECT 'the table is locked';"
    )
    .unwrap();
    locking.line_after("the table is locked");
    // The second finds the pool's only place free: the first has given it back.
    for _ in 0..2 {
        assert_eq!(status(), "504");
    }
    drop(stdin);
    // On a busy machine a request may take longer than the limit without a lock.
    assert!((0..50).any(|_| status() == "200"));
}

/// As the service does it: one connection is never used by two at a time, and there are 5.
fn pool_of_tokio_postgres(postgres: &Postgres) {
    let config = postgres.database.parse().unwrap();
    let count = || -> i64 {
        let pool = Pool::new(5, database::Connect(config));
        let counts: Vec<i64> = rustlet::scope(|s| {
            let threads: Vec<_> = (0..20)
                .map(|n| {
                    let pool = &pool;
                    s.spawn(move || {
                        (0..5)
                            .map(|m: i64| {
                                let client = pool.get().unwrap();
                                let query = format!("SELECT pg_sleep(0.001), {n}::bigint + {m}");
                                let row = rustlet::block_on(client.query_one(&query, &[]));
                                row.unwrap().get::<_, i64>(1)
                            })
                            .sum()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(pool.state().idle <= 5);
        counts.iter().sum()
    };
    // 5 times the sum of 0 to 19, and 20 times that of 0 to 4.
    assert_eq!(rustlet::run(count), 5 * 190 + 20 * 10);
}

fn pool_of_r2d2(postgres: &Postgres) {
    let manager = PostgresConnectionManager::new(postgres.database.parse().unwrap(), NoTls);
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    runtime.run(move || {
        let pool = Pool::new(5, R2d2::new(manager));
        let sum = || -> i64 {
            let one = |n: i32| -> i64 {
                let client = pool.get().unwrap();
                let rows = client.with(move |client| {
                    client.query("SELECT pg_sleep(0.001), $1::int * 2::bigint", &[&n])
                });
                rows.unwrap()[0].get(1)
            };
            rustlet::scope(|s| {
                let one = &one;
                let threads: Vec<_> = (0..20).map(|n| s.spawn(move || one(n))).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .sum()
            })
        };
        assert_eq!(sum(), 380);
        let connections = rustlet::thread::unblock_scoped(|| postgres.connections());
        assert!(connections <= 5, "{connections} connections");
        rustlet::thread::unblock_scoped(|| postgres.end_connections());
        assert_eq!(sum(), 380);

        // The caller goes on; the call ends later, and the connection is as good as before.
        let client = pool.get().unwrap();
        let late = rustlet::timeout(Duration::from_millis(10), || {
            client.with(|client| client.execute("SELECT pg_sleep(0.3)", &[]))
        });
        late.unwrap_err();
        let row = client.with(|client| client.query_one("SELECT 1", &[]));
        assert_eq!(row.unwrap().get::<_, i32>(0), 1);
    });
}
