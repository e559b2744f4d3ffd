//! Thousands of connections that send or read as slowly as they may, and slower.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::process::{Sidecar, model, shipped};

/// Connections in all, where this process may have as many.
const MOST: usize = 5_000;
/// Of them those that stop or trickle in the body of a request.
const BODIES: usize = 300;
/// Of them those that do not read their answers.
const READERS: usize = 8;
/// What the head, and a body that stands still, may take; what is sent and not read.
const HEAD: Duration = Duration::from_secs(10);
const BODY: Duration = Duration::from_secs(30);
/// What a busy machine adds to a bound.
const SLACK: Duration = Duration::from_secs(8);

/// As many connections as the limit of open files lets this process and the program have.
fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some() {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    }
    let room = limit.maximum.map_or(usize::MAX, |files| files as usize).saturating_sub(500);
    if room < MOST {
        println!("*** {room} connections, for want of file descriptors: ulimit -Hn ***");
    }
    room.min(MOST)
}

async fn connected(sidecar: &Sidecar) -> TcpStream {
    let connecting = timeout(Duration::from_secs(30), TcpStream::connect(sidecar.serving_address()));
    connecting.await.unwrap().unwrap()
}

/// Waits for the other side to close, and gives what it said before. Sends a byte a second meanwhile where it is to.
async fn closed(mut stream: TcpStream, trickle: Option<u8>) -> String {
    let mut heard = Vec::new();
    loop {
        let mut bytes = [0; 1024];
        match timeout(Duration::from_secs(1), stream.read(&mut bytes)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => heard.extend_from_slice(&bytes[..count]),
            // Bytes that came after the end are answered with a reset.
            Ok(Err(error)) => {
                assert!(
                    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                    "{error}"
                );
                break;
            }
            Err(_) => {
                if let Some(byte) = trickle
                    && stream.write_all(&[byte]).await.is_err()
                {
                    break;
                }
            }
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// The head of a request whose body is still to come.
fn head(length: usize) -> String {
    format!(
        "POST /translate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Sends request after request and reads no answer, until nothing more can be sent for a while.
async fn unread(sidecar: &Sidecar) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let (address, port) = sidecar.serving_address();
    let mut stream = socket.connect(format!("{address}:{port}").parse().unwrap()).await.unwrap();
    // What needs no translation is given back as it came.
    let text = "\u{1f333}".repeat(90_000);
    let body = json!({"q": text, "source": "en", "target": "en", "model": "translation"}).to_string();
    let request = [head(body.len()).as_bytes(), body.as_bytes()].concat();
    for _ in 0..60 {
        match timeout(Duration::from_secs(3), stream.write_all(&request)).await {
            Ok(sent) => sent.unwrap(),
            Err(_) => return stream,
        }
    }
    panic!("the program has taken 60 requests whose answers nobody reads");
}

/// Row 39: thousands of connections that stand still or trickle in the head or the body of a request, or do not read,
/// are cut off in time, those beyond the program's places too. Health answers all the while, and whoever asks as one
/// should is answered once it has a place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_39_thousands_of_slow_connections_are_cut_off_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let connections = connections();
    let models = shipped("opus-mt-en-de");
    let uri = format!("file://{}/opus-mt-{{languagePair}}", models.parent().unwrap().display());
    let fields = json!({"languagePairs": ["en-de"], "versions": [{"name": "v1", "storageUri": uri}]});
    let served = vec![model("translation", "translation", &models, fields)];
    let sidecar = Sidecar::start(folder.path(), served, "1Gi").await;
    assert_eq!(sidecar.translate("translation", "stop").await.status(), 200);
    let before = sidecar.open_files();
    let started = Instant::now();

    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(unread(&sidecar));
    }
    let readers = futures::future::join_all(readers).await;
    let stalled = Instant::now();

    let mut bodies = JoinSet::new();
    for number in 0..BODIES {
        let mut stream = connected(&sidecar).await;
        stream.write_all(head(1_000_000).as_bytes()).await.unwrap();
        stream.write_all(b"{\"q\": \"").await.unwrap();
        let begun = Instant::now();
        bodies.spawn(async move {
            let heard = closed(stream, (number % 2 == 0).then_some(b'a')).await;
            (heard, begun.elapsed())
        });
    }
    let mut heads = JoinSet::new();
    for number in 0..connections - BODIES - READERS {
        let mut stream = connected(&sidecar).await;
        let begun = Instant::now();
        heads.spawn(async move {
            if number % 3 > 0 {
                stream.write_all(b"POST /translate HTTP/1.1\r\nx-slow: ").await.unwrap();
            }
            let heard = closed(stream, (number % 3 == 2).then_some(b'a')).await;
            (heard, begun.elapsed())
        });
    }
    let honest = async {
        let asked = Instant::now();
        assert_eq!(sidecar.translate("translation", "stop").await.status(), 200);
        asked.elapsed()
    };
    let slow_heads = async {
        let all = heads.join_all().await;
        // Those that waited for a place have had a turn of their own.
        let most = 2 * HEAD + SLACK;
        for (heard, elapsed) in &all {
            assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 408"), "{heard}");
            assert!(*elapsed > HEAD / 2 && *elapsed < most, "a head was given {elapsed:?}");
        }
        all.len()
    };
    let slow_bodies = async {
        for (heard, elapsed) in bodies.join_all().await {
            assert!(heard.starts_with("HTTP/1.1 408"), "{heard}");
            assert!(elapsed > BODY / 2 && elapsed < BODY + SLACK, "a body was given {elapsed:?}");
        }
    };
    let patient = async {
        let (waited, heads, ()) = tokio::join!(honest, slow_heads, slow_bodies);
        // The kernel closes what is not read, by its own clock.
        while sidecar.open_files() > before + 4 {
            assert!(stalled.elapsed() < BODY + 2 * SLACK, "{} files are open", sidecar.open_files());
            sleep(Duration::from_millis(100)).await;
        }
        (waited, heads)
    };
    let ((waited, heads), longest) =
        tokio::join!(patient, sidecar.health_until(Instant::now() + BODY + Duration::from_secs(2)));
    println!(
        "{heads} heads, {BODIES} bodies and {READERS} readers were cut off within {:?}; an honest request waited \
         {waited:?}; health took {longest:?} at most",
        started.elapsed()
    );
    assert!(longest < Duration::from_secs(1), "health took {longest:?}");
    assert!(waited < 2 * HEAD + SLACK, "an honest request waited {waited:?}");
    assert_eq!(sidecar.translate("translation", "stop").await.status(), 200);
    drop(readers);
}
