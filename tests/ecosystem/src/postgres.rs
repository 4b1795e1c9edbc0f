//! A server of PostgreSQL of its own for a test.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::process::{Folder, Process, bounded, installed, on_free_port, text, unprivileged};

/// A server of PostgreSQL with a user `me`, who has a password.
pub struct Postgres {
    /// The program psql.
    pub psql: PathBuf,
    /// How to connect.
    pub database: String,
}

impl Postgres {
    /// Returns what it needs to run, too.
    pub fn start() -> Option<(Postgres, Process, Folder)> {
        let (initdb, postgres) = (installed("initdb")?, installed("postgres")?);
        let psql = installed("psql")?;
        let folder = Folder::temporary();
        let (data, password) = (
            folder.path().join("data"),
            folder.write("password", "secret"),
        );
        text(
            unprivileged(&mut bounded(initdb))
                .args([
                    "--no-sync",
                    "--username=me",
                    "--auth=scram-sha-256",
                    "--no-locale",
                ])
                .arg(format!("--pwfile={password}"))
                .arg("--pgdata")
                .arg(&data)
                .current_dir(folder.path()),
        );
        let ready = "database system is ready to accept connections";
        let (server, port) = on_free_port(ready, Signal::INT, |port| {
            let mut command = bounded(&postgres);
            unprivileged(&mut command)
                .current_dir(folder.path())
                .arg("-D")
                .arg(&data);
            command.args([
                "-p",
                port,
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
            ]);
            command.args(["-c", "unix_socket_directories="]);
            command
        });
        let database =
            format!("host=127.0.0.1 port={port} user=me password=secret dbname=postgres");
        Some((Postgres { psql, database }, server, folder))
    }

    /// Runs a query with psql, and returns its rows.
    pub fn query(&self, query: &str) -> String {
        let mut psql = bounded(&self.psql);
        psql.args(["--no-psqlrc", "--quiet", "-At", "-c", query, &self.database]);
        text(&mut psql).trim_end().to_owned()
    }

    /// How many connections there are but that of `query`.
    pub fn connections(&self) -> usize {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'me' \
                     AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        self.query(count).parse().unwrap()
    }

    pub fn end_connections(&self) {
        self.query(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'me' \
             AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        );
    }
}
