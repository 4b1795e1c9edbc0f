//! The example `crawl` against the web server of Python, and that of OpenSSL with TLS.

use rustlet_ecosystem::works;

use rustlet_ecosystem::process::{Folder, Process, bounded, certificate, example, installed, text};

/// Pages per folder.
const PAGES: usize = 20;

/// Writes a site: each page links to the next one, and to one that is not there.
fn site(folder: &Folder) {
    let mut index = String::from("<a href=\"missing.html\">x</a> <a href='#top'>top</a>");
    for part in ["a", "b"] {
        index.push_str(&format!(
            "<a href=\"/{part}/0.html?from=index#top\">{part}</a>\n"
        ));
        for n in 0..PAGES {
            let next = (n + 1) % PAGES;
            let page =
                format!("page {n} <a href=\"{next}.html\">next</a> ü <a href=\"0.html\">0</a>");
            folder.write(&format!("{part}/{n}.html"), page);
        }
    }
    index.push_str(
        "<a href=\"mailto:me@localhost\">me</a> <a href=\"http://localhost:1/\">other</a>",
    );
    folder.write("index.html", index);
}

#[test]
fn crawler_with_python_and_openssl() {
    let (Some(python), Some(openssl)) = (installed("python3"), installed("openssl")) else {
        return;
    };
    let folder = Folder::temporary();
    site(&folder);
    for protocol in ["HTTP/1.0", "HTTP/1.1"] {
        let mut command = bounded(&python);
        command.args([
            "-u",
            "-m",
            "http.server",
            "0",
            "--bind",
            "127.0.0.1",
            "--directory",
        ]);
        let server = Process::start(command.arg(folder.path()).args(["--protocol", protocol]));
        let port = server.line_after(" port ");
        let port = port.split(' ').next().unwrap();
        // A name, so that it is looked up.
        let url = format!("http://localhost:{port}/");
        let pages = text(example("crawl").args(["--connections", "8", &url]));
        assert!(
            pages.ends_with(&format!("{} pages, 0 failed\n", 2 * PAGES + 2)),
            "{pages}"
        );
        let found = pages
            .lines()
            .filter(|line| line.starts_with("200 "))
            .count();
        assert_eq!(found, 2 * PAGES + 1, "{pages}");
        assert!(pages.contains("404 "), "{pages}");
        let refused = text(example("crawl").args(["http://127.0.0.1:1/"]));
        assert!(refused.ends_with("0 pages, 1 failed\n"), "{refused}");
    }

    let (cert, key) = certificate(&folder);
    let mut command = bounded(&openssl);
    command.args([
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-WWW",
        "-cert",
        &cert,
        "-key",
        &key,
    ]);
    let server = Process::start(command.current_dir(folder.path()));
    let address = server.line_after("ACCEPT ");
    let port = address.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}/index.html");
    // This server has one connection at a time, and says 200 also for what is not there.
    let pages = text(example("crawl").args(["--connections", "1", "--ca", &cert, &url]));
    assert!(
        pages.ends_with(&format!("{} pages, 0 failed\n", 2 * PAGES + 2)),
        "{pages}"
    );
    let untrusting = text(example("crawl").args([&url]));
    assert!(untrusting.ends_with("0 pages, 1 failed\n"), "{untrusting}");
    works(
        "ureq",
        "tests/ecosystem/examples/crawl/main.rs",
        "examples/crawl/ureq_transport.rs",
        "Python's http.server (HTTP/1.0 and 1.1) and `openssl s_server`: a crawler with 8 \
         connections",
    );
}
