//! The streams and pipes of rustlet as `AsyncRead` and `AsyncWrite` of futures-io and of tokio, on
//! green threads and in tasks of tokio; the peer is a std socket.

use std::net::{Shutdown, SocketAddr, TcpListener};

use rustlet::net::TcpStream;

const LINES: usize = 1000;

/// Starts a server of std that sends all bytes back.
fn echo() -> SocketAddr {
    // Here only: beside an `AsyncReadExt`, `read` would be ambiguous.
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let mut bytes = [0; 1 << 16];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                }
                stream.shutdown(Shutdown::Write).ok();
            });
        }
    });
    address
}

async fn with_futures_io(stream: TcpStream) -> std::io::Result<()> {
    use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use futures_lite::{StreamExt, future};
    let (mut writer, reader) = (&stream, BufReader::new(&stream));
    let send = async move {
        for n in 0..LINES {
            writer.write_all(format!("line {n}\n").as_bytes()).await?;
        }
        writer.close().await
    };
    let receive = async move {
        let mut lines = reader.lines();
        let mut count = 0;
        while let Some(line) = lines.next().await {
            assert_eq!(line?, format!("line {count}"));
            count += 1;
        }
        assert_eq!(count, LINES);
        Ok(())
    };
    let (sent, received): (_, std::io::Result<()>) = future::zip(send, receive).await;
    sent?;
    received?;
    let (mut reader, mut writer) = rustlet::io::pipe()?;
    writer.write_all(b"through").await?;
    writer.close().await?;
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).await?;
    assert_eq!(text, "through");
    Ok(())
}

async fn with_tokio(stream: TcpStream) -> std::io::Result<()> {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    // tokio's `split` needs no runtime either.
    let (reader, mut writer) = tokio::io::split(stream);
    let send = async move {
        for n in 0..LINES {
            writer.write_all(format!("line {n}\n").as_bytes()).await?;
        }
        writer.shutdown().await
    };
    let receive = async move {
        let mut lines = BufReader::new(reader).lines();
        let mut count = 0;
        while let Some(line) = lines.next_line().await? {
            assert_eq!(line, format!("line {count}"));
            count += 1;
        }
        assert_eq!(count, LINES);
        Ok(())
    };
    let (sent, received): (_, std::io::Result<()>) = tokio::join!(send, receive);
    sent?;
    received?;
    let (mut reader, mut writer) = rustlet::io::pipe()?;
    writer.write_all(b"through").await?;
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).await?;
    assert_eq!(text, "through");
    Ok(())
}

pub fn exchange() {
    let address = echo();
    let connect = || TcpStream::connect(address).expect("a connection");
    for workers in [1, 2] {
        let runtime = rustlet::Builder::new().workers(workers).build();
        runtime.expect("a runtime").run(|| {
            rustlet::scope(|s| {
                for _ in 0..20 {
                    s.spawn(|| {
                        let both = async {
                            with_futures_io(connect()).await?;
                            with_tokio(connect()).await
                        };
                        rustlet::block_on(both).expect("the exchange");
                    });
                }
            });
        });
    }
    // The same in tasks of tokio, on threads of tokio.
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build();
    let tokio = tokio.expect("a tokio runtime");
    let streams: Vec<_> = (0..20).map(|_| (connect(), connect())).collect();
    tokio.block_on(async {
        let tasks = streams.into_iter().map(|(one, other)| {
            tokio::spawn(async move {
                with_futures_io(one).await?;
                with_tokio(other).await
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await
                .expect("the task does not panic")
                .expect("the exchange");
        }
    });
}
