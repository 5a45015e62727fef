//! How fast the server itself is: raw sockets read a pattern and send to a discarding server, four at a time.
//!
//! `cargo run --release -p fake-s3 --example throughput [-- URL-less HOST:PORT of a running --no-auth server]`

#![expect(clippy::disallowed_macros, reason = "a program of its own: its stdout is its own")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use fake_s3::{Config, FakeS3};

const SIZE: u64 = 2 << 30;
const THREADS: u64 = 4;

fn main() {
    let config = Config { require_auth: false, discard_uploads: true, ..Config::default() };
    let server = FakeS3::start(config).expect("loopback can be listened on");
    let address = std::env::args().nth(1).unwrap_or_else(|| server.address().to_string());
    server.put_pattern("b", "k", SIZE, 1);
    for round in 0..3 {
        report("get", round, || each(&address, get));
        report("put", round, || each(&address, put));
    }
    let started = Instant::now();
    let head = request(&address, "HEAD /b/k HTTP/1.1\r\nHost: x\r\nx-amz-checksum-mode: ENABLED\r\n\r\n");
    println!("head with CRC of 2 GiB: {:?} ({} bytes)", started.elapsed(), head.len());
}

fn report(name: &str, round: u32, run: impl FnOnce()) {
    let started = Instant::now();
    run();
    let rate = SIZE as f64 / started.elapsed().as_secs_f64() / 1e9;
    println!("{name} {round}: {rate:.2} GB/s");
}

fn each(address: &str, run: fn(&str, u64)) {
    thread::scope(|scope| {
        for n in 0..THREADS {
            scope.spawn(move || run(address, n));
        }
    });
}

fn get(address: &str, n: u64) {
    let mut tcp = TcpStream::connect(address).expect("the server listens");
    let (start, len) = (n * SIZE / THREADS, SIZE / THREADS);
    write!(tcp, "GET /b/k HTTP/1.1\r\nHost: x\r\nRange: bytes={start}-{}\r\n\r\n", start + len - 1)
        .expect("a request fits");
    let mut buffer = vec![0; 1 << 20];
    let mut left = len;
    let count = tcp.read(&mut buffer).expect("an answer comes");
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n").expect("the head comes at once") + 4;
    left -= (count - head) as u64;
    while left > 0 {
        let count = tcp.read(&mut buffer).expect("the body comes");
        assert!(count > 0, "the body ends early");
        left -= count as u64;
    }
}

fn put(address: &str, n: u64) {
    let mut tcp = TcpStream::connect(address).expect("the server listens");
    let len = SIZE / THREADS;
    write!(tcp, "PUT /b/up{n} HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n").expect("a request fits");
    let buffer = vec![7; 1 << 20];
    for _ in 0..len / buffer.len() as u64 {
        tcp.write_all(&buffer).expect("the server takes it");
    }
    let mut answer = [0; 4096];
    let count = tcp.read(&mut answer).expect("an answer comes");
    assert!(answer[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..count]));
}

fn request(address: &str, text: &str) -> Vec<u8> {
    let mut tcp = TcpStream::connect(address).expect("the server listens");
    tcp.write_all(text.as_bytes()).expect("a request fits");
    let mut answer = vec![0; 4096];
    let count = tcp.read(&mut answer).expect("an answer comes");
    answer.truncate(count);
    answer
}
