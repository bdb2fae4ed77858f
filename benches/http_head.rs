//! What a core spends on a viewer's request before the first packet, and on an upstream's framing.
//!
//! Run with `cargo bench --bench http_head`.

use divan::{Bencher, black_box, counter::BytesCount};
use tunerd::base::redact;
use tunerd::http::{Dechunker, parse, parse_response, stream_head, stream_route};

const REQUEST: &str = "GET /auto/v101?transcode=none HTTP/1.1\r\nHost: tuner.example:5004\r\n\
     User-Agent: VLC/3.0.20 LibVLC/3.0.20\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\
     Range: bytes=0-\r\nConnection: close\r\nIcy-MetaData: 1\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 01 Jan 2023 00:00:00 GMT\r\n\
     Content-Type: video/mp2t\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\
     Access-Control-Allow-Origin: *\r\n\r\n";

fn main() {
    divan::main();
}

#[divan::bench]
fn request_parsed_and_routed() -> tunerd::http::Route {
    match parse(black_box(REQUEST.as_bytes())) {
        Ok(tunerd::http::Parsed::Complete { request, .. }) => stream_route(&request),
        other => panic!("{other:?}"),
    }
}

#[divan::bench]
fn stream_head_written() -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    stream_head(&mut out, black_box(3));
    out
}

#[divan::bench]
fn upstream_response_parsed() -> tunerd::http::ResponseStatus {
    parse_response(black_box(RESPONSE.as_bytes())).expect("the response is well-formed")
}

/// 128 KiB in chunks of the given size: the cost of moving the body together.
#[divan::bench(args = [1316, 8 * 1024, 64 * 1024])]
fn body_dechunked(bencher: Bencher<'_, '_>, chunk_bytes: usize) {
    let mut encoded = Vec::new();
    while encoded.len() < 128 * 1024 {
        encoded.extend_from_slice(format!("{chunk_bytes:x}\r\n").as_bytes());
        encoded.resize(encoded.len() + chunk_bytes, 0x47);
        encoded.extend_from_slice(b"\r\n");
    }
    bencher
        .counter(BytesCount::new(encoded.len()))
        .with_inputs(|| encoded.clone())
        .bench_refs(|bytes| Dechunker::new().decode(bytes).expect("the body is well-formed"));
}

#[divan::bench]
fn url_redacted() -> String {
    redact::url(black_box("http://user:secret@provider.example:8080/live/user/secret/12345.ts?token=abc"))
}
