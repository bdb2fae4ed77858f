//! `tunerd doctor` names what is wrong with a source, and `tunerd status` shows what a server is doing.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use crate::kit::{Daemon, Upstream, binary};
use crate::tsgen::{Params, TsGen};

fn tunerd(arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } = Command::new(binary())
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("STARTUP_TIMEOUT", "4s"), ("ALLOW_PRIVATE_SOURCES", "true")])
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn the_doctor_describes_a_source_that_is_well() {
    let upstream = Upstream::start();
    let (code, said) = tunerd(&["doctor", &upstream.url("/good/4000000/a?token=hunter2")], &[]);
    assert_eq!(code, Some(0), "{said}");
    for piece in [
        "It plays",
        "MPEG-TS, read by tunerd itself",
        "h264",
        "Mbit/s",
        "entry points:  every ",
        "clock (PCR):   every ",
    ] {
        assert!(said.contains(piece), "{piece}: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

const LENGTH: Duration = Duration::from_secs(30);

/// A stream with a whole picture among so many, with something done to each packet of picture and sound.
fn stream(idr_every: u64, mut change: impl FnMut(&mut [u8])) -> Vec<u8> {
    let mut stream = Vec::new();
    TsGen::new(Params { idr_every, ..Params::new(2_000_000) }).fill(LENGTH, &mut stream);
    let is_media = |packet: &&mut [u8]| packet[1] & 0x1F == 0x01 && packet[2] <= 0x01;
    stream.chunks_exact_mut(188).filter(is_media).for_each(&mut change);
    stream
}

/// The port of a server that answers everything, a TLS handshake too, with plain HTTP.
fn speaks_plainly() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whoever is gone by then needs no answer.
            let _heard = stream.read(&mut [0; 4096]);
            let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    port
}

/// A kind of bad source: its address, what the doctor says of it, and settings.
type Bad<'a> = (String, &'a str, &'a [(&'a str, &'a str)]);

#[test]
fn the_doctor_names_the_fault_of_every_kind_of_bad_source() {
    let upstream = Upstream::start();
    let raw = |name: &str, status: &str, fields: &str| {
        let path = format!("/raw/{name}");
        upstream.offer_raw(
            &path,
            &format!("HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\nConnection: close"),
            b"",
        );
        upstream.url(&path)
    };
    upstream.offer("/file/scrambled", stream(25, |packet| packet[3] |= 0x80), LENGTH);
    upstream.offer_whole("/whole/json", "application/json", br#"{"error":"no such channel"}"#.to_vec());
    let bad: Vec<Bad<'_>> = vec![
        ("http://127.0.0.1:9/1.ts".to_owned(), "connection was refused", &[]),
        (upstream.url("/missing/a"), "(404)", &[]),
        (upstream.url("/page/a"), "web page (HTML)", &[]),
        (upstream.url("/silent/a"), "silent", &[]),
        (upstream.url("/limited/a"), "as many streams open", &[]),
        (upstream.url("/whole/json"), "is no MPEG-TS", &[("STREAM_MODE", "direct")]),
        (raw("401", "401 Unauthorized", ""), "name and password (401)", &[]),
        (raw("403", "403 Forbidden", ""), "refuses us (403)", &[]),
        (raw("451", "451 Unavailable", ""), "legal reasons (451)", &[]),
        (raw("503", "503 Service Unavailable", ""), "fault of its own (5xx)", &[]),
        (raw("loop", "302 Found", "Location: /raw/loop\r\n"), "on and on", &[]),
        (raw("empty", "200 OK", "Content-Type: video/mp2t\r\n"), "hung up", &[]),
        (upstream.url("/file/scrambled"), "scrambled", &[]),
        ("http://nowhere.invalid/1.ts".to_owned(), "DNS knows no address", &[]),
        (format!("https://127.0.0.1:{}/1.ts", speaks_plainly()), "(TLS)", &[]),
        ("http://10.9.8.7/1.ts".to_owned(), "private network", &[("ALLOW_PRIVATE_SOURCES", "false")]),
        ("gopher://host/1".to_owned(), "of this kind are not allowed", &[]),
    ];
    for some in bad.chunks(6) {
        std::thread::scope(|scope| {
            let ask = |bad: &Bad<'_>| tunerd(&["doctor", &bad.0], bad.2);
            let patients: Vec<_> = some.iter().map(|bad| (bad, scope.spawn(move || ask(bad)))).collect();
            for ((url, says, _), patient) in patients {
                let (code, said) = patient.join().unwrap();
                assert_eq!(code, Some(1), "{url}: {said}");
                assert!(
                    said.contains("It cannot be played.") && said.contains(says),
                    "{url}, {says}: {said}"
                );
                assert!(said.contains("  do:     "), "{url}: {said}");
            }
        });
    }
}

#[test]
fn the_doctor_says_what_is_wrong_with_a_source_that_plays_all_the_same() {
    let upstream = Upstream::start();
    upstream.offer("/file/rare", stream(200, |_| {}), LENGTH);
    let silence = |packet: &mut [u8]| {
        if packet[2] == 0x01 {
            (packet[1], packet[2]) = (0x1F, 0xFF);
        }
    };
    upstream.offer("/file/mute", stream(25, silence), LENGTH);
    for (path, says) in [("/file/rare", "Entry points are rare"), ("/file/mute", "It has no sound")] {
        let (code, said) = tunerd(&["doctor", &upstream.url(path)], &[]);
        assert!(said.contains("It plays") && said.contains(says), "{path}: {said}");
        assert_eq!(code, Some(0), "{path}: {said}");
    }
}

#[test]
fn the_status_is_shown_by_the_settings_or_over_an_address_with_a_password() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("SESSION_IDLE_TIMEOUT", "0")]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let mut viewer = daemon.open("/auto/v100");
    viewer.watch(Duration::from_millis(300));
    let url = format!("http://127.0.0.1:{}", daemon.port());
    let (code, said) = tunerd(&["status", "--url", &url], &[]);
    assert_eq!(code, Some(0), "{said}");
    for piece in ["1 of 2 tuners in use, 1 watching", "   100 entry-001-", "playing"] {
        assert!(said.contains(piece), "{piece}: {said}");
    }
    let address = format!("127.0.0.1:{}", daemon.port());
    let (code, said) = tunerd(&["status"], &[("HTTP_ADDR", &address)]);
    assert!(code == Some(0) && said.contains("100 entry-001-"), "{said}");

    let locked = Daemon::start(&[("ADMIN_AUTH", "admin:s3cret")]);
    let at = |who: &str| format!("http://{who}127.0.0.1:{}", locked.port());
    let (code, said) = tunerd(&["status", "--url", &at("")], &[]);
    assert!(code == Some(1) && said.contains("401"), "{said}");
    let (code, said) = tunerd(&["status", "--url", &at("admin:s3cret@")], &[]);
    assert!(code == Some(0) && said.contains("0 of 2 tuners in use"), "{said}");
    for (url, piece) in
        [("https://127.0.0.1:1", "speaks no TLS"), ("http://127.0.0.1:9", "is tunerd running there?")]
    {
        let (code, said) = tunerd(&["status", "--url", url], &[]);
        assert!(code == Some(1) && said.contains(piece), "{said}");
    }
}
