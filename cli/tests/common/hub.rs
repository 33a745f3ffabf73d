//! A hub on the loopback address, which can be told to fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// The model that it has.
pub const MODEL: &str = "tests/bert-tiny";
/// Its only commit.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the hub does wrong, and what it asks for.
#[derive(Clone, Default)]
pub struct Manners {
    /// Closes the connection after so many bytes of this file.
    pub cut: Option<(&'static str, usize)>,
    /// Ends this file after so many bytes, as if that were all.
    pub short: Option<(&'static str, usize)>,
    /// Says nothing when asked for this file.
    pub mute: Option<&'static str>,
    /// Sends whole files, whatever range is asked for, but for the first byte.
    pub no_ranges: bool,
    /// Answers all with this status.
    pub status: Option<u16>,
    /// Wants this token.
    pub token: Option<&'static str>,
}

/// The hub; it stops when it is dropped.
pub struct Hub {
    pub endpoint: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    manners: Mutex<Manners>,
    requests: Mutex<Vec<String>>,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panicked")
}

impl Hub {
    /// A hub that has these files.
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (manners, requests) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { files, manners, requests, stop: AtomicBool::new(false) });
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_thread.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = of_thread.clone();
                // Who is not answered must not keep others waiting.
                std::thread::spawn(move || shared.answer(stream));
            }
        });
        Self { endpoint, shared, thread: Some(thread) }
    }

    /// How it behaves from now on.
    pub fn behave(&self, manners: Manners) {
        *lock(&self.shared.manners) = manners;
    }

    /// The paths and ranges that it was asked for since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.shared.requests))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn answer(&self, stream: TcpStream) {
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
        let Some(path) = lines.next().and_then(|line| Some(line.split(' ').nth(1)?.to_owned())) else { return };
        let headers: BTreeMap<String, String> = lines
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
            .collect();
        let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        let range = header("range").to_owned();
        lock(&self.requests).push(format!("{path} {range}"));
        let manners = lock(&self.manners).clone();
        let denied = manners.token.filter(|token| header("authorization") != format!("Bearer {token}")).map(|_| 401);
        if let Some(status) = manners.status.or(denied) {
            return send(&stream, &format!("{status} No"), "", b"");
        }
        if let Some(revision) = path.strip_prefix(&format!("/api/models/{MODEL}/revision/")) {
            return match revision {
                "main" | "v1" | COMMIT => send(&stream, "200 OK", "", self.listing().as_bytes()),
                _ => send(&stream, "404 Not Found", "X-Error-Code: RevisionNotFound\r\n", b""),
            };
        }
        let file = path.strip_prefix(&format!("/{MODEL}/resolve/")).and_then(|rest| rest.split_once('/'));
        match file.and_then(|(_, file)| self.files.get_key_value(file)) {
            Some((name, bytes)) if manners.mute != Some(name) || range == "bytes=0-0" => {
                self.file(&stream, name, bytes, &range, &manners);
            }
            Some(_) => {
                while !self.stop.load(Ordering::SeqCst) {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            }
            None => send(&stream, "404 Not Found", "", b""),
        }
    }

    fn listing(&self) -> String {
        let siblings: Vec<_> = self.files.keys().map(|file| serde_json::json!({"rfilename": file})).collect();
        serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string()
    }

    fn file(&self, mut stream: &TcpStream, name: &str, bytes: &[u8], range: &str, manners: &Manners) {
        let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap_or_default();
        let (start, end): (usize, usize) =
            (start.parse().unwrap_or(0), end.parse().map_or(bytes.len(), |end: usize| end + 1));
        let whole = range.is_empty() || (manners.no_ranges && range != "bytes=0-0");
        let (start, end) = if whole { (0, bytes.len()) } else { (start, end) };
        let about = format!("ETag: \"etag-{}\"\r\nX-Repo-Commit: {COMMIT}\r\n", name.replace('/', "-"));
        if start >= bytes.len() {
            return send(stream, "416 Range Not Satisfiable", &about, b"");
        }
        let part = format!("{about}Content-Range: bytes {start}-{}/{}\r\n", end - 1, bytes.len());
        let (status, about) = if whole { ("200 OK", about) } else { ("206 Partial Content", part) };
        if range != "bytes=0-0" {
            if let Some((_, most)) = manners.short.filter(|(file, _)| *file == name) {
                return send(stream, status, &about, &bytes[start..end.min(most)]);
            }
            if let Some((_, most)) = manners.cut.filter(|(file, _)| *file == name) {
                let head = format!("HTTP/1.1 {status}\r\n{about}Content-Length: {}\r\n\r\n", end - start);
                let _ = stream.write_all(&[head.as_bytes(), &bytes[start..end.min(most.max(start))]].concat());
                return;
            }
        }
        send(stream, status, &about, &bytes[start..end]);
    }
}

fn send(mut stream: &TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // The client may have gone.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}

/// The files of a folder, by their paths in it.
pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        match path.is_dir() {
            true => all.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes))),
            false => drop(all.insert(name, std::fs::read(&path).expect("a file"))),
        }
    }
    all
}
