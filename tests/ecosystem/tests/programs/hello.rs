//! The example `hello` with curl, h2load, wrk and OpenSSL.

use std::fs;

use rustlet_ecosystem::works;

use rustlet_ecosystem::process::{
    Folder, bounded, certificate, curl, installed, lossy, output, serve, text,
};

#[test]
fn hyper_with_curl_h2load_wrk_and_openssl() {
    let peers = ["curl", "h2load", "wrk", "openssl"];
    if peers.map(installed).iter().any(Option::is_none) {
        return;
    }
    let folder = Folder::temporary();
    let (cert, key) = certificate(&folder);
    let (server, address) = serve("hello", &["127.0.0.1:0"]);
    let url = format!("http://{address}/");
    let (tls_server, tls_address) =
        serve("hello", &["--cert", &cert, "--key", &key, "127.0.0.1:0"]);
    let port = tls_address.rsplit(':').next().unwrap();
    let tls_url = format!("https://localhost:{port}/");
    let resolve = format!("localhost:{port}:127.0.0.1");
    let tls = ["--resolve", &resolve, "--cacert", &cert, &tls_url];

    let long: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (sent, received) = (folder.write("sent", &long), folder.write("received", ""));
    let send = format!("@{sent}");
    for (peer, option, version) in [
        (&[url.as_str()][..], "--http1.1", "1.1"),
        (&[url.as_str()], "--http2-prior-knowledge", "2"),
        (&tls, "--http1.1", "1.1"),
        (&tls, "--http2", "2"),
    ] {
        let ask = |args: &[&str]| curl(peer.iter().chain(&[option]).chain(args));
        assert_eq!(ask(&["-w", "%{http_version}"]), format!("hello\n{version}"));
        ask(&["--data-binary", &send, "-o", &received]);
        assert!(
            fs::read(&received).unwrap() == long,
            "{option}: another body came back"
        );
    }

    for (url, count) in [(&url, "2000"), (&tls_url, "1000")] {
        let said = text(bounded("h2load").args(["-n", count, "-c", "10", "-m", "10", url]));
        assert!(
            said.contains(&format!("{count} succeeded, 0 failed, 0 errored")),
            "{said}"
        );
    }
    for url in [&url, &tls_url] {
        let said = text(bounded("wrk").args(["-t", "1", "-c", "50", "-d", "1", url]));
        assert!(said.contains("Requests/sec"), "{said}");
        for trouble in ["Socket errors", "Non-2xx"] {
            assert!(!said.contains(trouble), "{said}");
        }
    }

    let mut openssl = bounded("openssl");
    openssl.args([
        "s_client",
        "-connect",
        &tls_address,
        "-servername",
        "localhost",
        "-CAfile",
        &cert,
    ]);
    let said = output(openssl.args(["-verify_return_error", "-alpn", "h2"]));
    let said = lossy(&said.stdout);
    assert!(said.contains("ALPN protocol: h2"), "{said}");
    server.end();
    tls_server.end();
    let program = "tests/ecosystem/examples/hello.rs";
    works(
        "hyper",
        program,
        "",
        "curl, wrk and h2load: HTTP/1.1 and HTTP/2 (feature `hyper`), bodies of 3 MB; in \
         `tests/ecosystem/src/hyper_http.rs` its clients with its servers",
    );
    works(
        "hyper-util",
        program,
        "",
        "the same: its server that finds out the version of HTTP",
    );
    works(
        "tokio-rustls",
        program,
        "",
        "curl, wrk, h2load and `openssl s_client`: HTTP/1.1 and HTTP/2 by ALPN, without a runtime \
         of tokio (feature `tokio-io`)",
    );
}
