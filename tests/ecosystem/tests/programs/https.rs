//! The example `https` with curl and OpenSSL: its server with their clients, its client with their
//! servers.

use std::io::Write;
use std::process::Stdio;

use rustlet_ecosystem::works;

use rustlet_ecosystem::process::{
    Folder, Process, bounded, certificate, curl, example, installed, lossy, output, serve, text,
};

#[test]
fn https_with_curl_and_openssl() {
    let (Some(_), Some(openssl)) = (installed("curl"), installed("openssl")) else {
        return;
    };
    let folder = Folder::temporary();
    let (cert, key) = certificate(&folder);
    let (server, address) = serve("https", &["serve", &cert, &key, "127.0.0.1:0"]);
    let port = address.rsplit(':').next().unwrap();
    let url = |path: &str| format!("https://localhost:{port}{path}");
    let trusting = [
        "--resolve".to_owned(),
        format!("localhost:{port}:127.0.0.1"),
    ];
    let trusting = trusting
        .into_iter()
        .chain(["--cacert".to_owned(), cert.clone()]);
    let ask = |args: &[&str]| {
        curl(
            trusting
                .clone()
                .chain(args.iter().map(|&arg| arg.to_owned())),
        )
    };

    for (option, version) in [("--tls-max=1.2", "TLS 1.2"), ("--tlsv1.3", "TLS 1.3")] {
        let option: Vec<&str> = option.split('=').collect();
        let said = ask(&[&option[..], &[&url("/some"), "-d", "abc"]].concat());
        assert_eq!(
            said,
            format!("you asked for /some with 3 bytes over {version}\n")
        );
    }
    // Several requests on a connection.
    let count = ["-o", "/dev/null", "-w", "%{num_connects} "];
    let (first, second) = (url("/1"), url("/2"));
    let connects = ask(&[&count[..], &[&first], &count[..2], &[&second]].concat());
    assert_eq!(connects, "1 0 ");
    // A body over many TLS records, and many connections.
    let long = folder.write("long", vec![b'x'; 1_000_000]);
    let said = ask(&[&url("/long"), "--data-binary", &format!("@{long}")]);
    assert_eq!(
        said,
        "you asked for /long with 1000000 bytes over TLS 1.3\n"
    );
    let parallel = ["--parallel", "--parallel-immediate", "--parallel-max", "50"];
    let many = ask(&[&parallel[..], &[&url("/?n=[1-100]")]].concat());
    assert_eq!(many.lines().count(), 100, "{many}");

    // What is not TLS ends only itself, and so does a client that does not trust the server.
    let plain = output(bounded("curl").args(["-sS", &format!("http://{address}/")]));
    assert!(!plain.status.success());
    let untrusting = output(bounded("curl").args(["-sS", &url("/")]));
    assert_eq!(untrusting.status.code(), Some(60));

    let mut command = bounded(&openssl);
    command.args([
        "s_client",
        "-connect",
        &address,
        "-servername",
        "localhost",
        "-CAfile",
        &cert,
    ]);
    command
        .args(["-verify_return_error", "-quiet"])
        .stdin(Stdio::piped());
    let mut client = Process::start(&mut command);
    let mut stdin = client.stdin();
    for path in ["/one", "/two"] {
        write!(stdin, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let answer = client.line_after("you asked for ");
        assert_eq!(answer, format!("{path} with 0 bytes over TLS 1.3"));
    }
    drop(client);
    server.end();

    for tls in ["-tls1_2", "-tls1_3"] {
        get_from_openssl(&openssl, &folder, tls);
    }
    let program = "tests/ecosystem/examples/https.rs";
    works("httparse", program, "", "curl and `openssl s_client`");
    works(
        "rustls",
        program,
        "",
        "curl and `openssl s_client` with its server, `openssl s_server` with its client: TLS 1.2 \
         and 1.3, 50 connections at once, peers that are not trusted",
    );
}

fn get_from_openssl(openssl: &std::path::Path, folder: &Folder, tls: &str) {
    let (cert, key) = certificate(folder);
    let mut command = bounded(openssl);
    command.args([
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-WWW",
        "-cert",
        &cert,
        "-key",
        &key,
        tls,
    ]);
    let server = Process::start(command.current_dir(folder.path()));
    let address = server.line_after("ACCEPT ");
    let port = address.rsplit(':').next().unwrap();
    folder.write("page.txt", "a page\n".repeat(10_000));
    let page =
        text(example("https").args(["get", &format!("https://localhost:{port}/page.txt"), &cert]));
    assert_eq!(page, "a page\n".repeat(10_000));

    // Not the host of the certificate, and a certificate that is not trusted.
    let wrong_host = format!("https://127.0.0.1:{port}/page.txt");
    let other = Folder::temporary();
    let (other, _) = certificate(&other);
    let right_host = format!("https://localhost:{port}/page.txt");
    for (url, trusted) in [(&wrong_host, &cert), (&right_host, &other)] {
        let refused = output(example("https").args(["get", url, trusted]));
        assert_eq!(refused.status.code(), Some(1));
        let reason = lossy(&refused.stderr);
        assert!(reason.contains("certificate"), "{reason}");
    }
}
