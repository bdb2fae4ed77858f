//! Who comes in, what it costs, and that nobody who watches notices.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kit::{Daemon, LONG, Upstream, exchange, judge};

/// Reads one answer whose length is stated.
fn answer(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut bytes = Vec::new();
    let mut one = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut one).unwrap();
        bytes.push(one[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

/// The log, once it says this so many times: lines are written by a thread of their own.
fn logged(daemon: &Daemon, what: &str, times: usize) -> String {
    crate::kit::until(LONG, what, || Some(daemon.log()).filter(|log| log.matches(what).count() >= times))
}

#[test]
fn a_stream_may_be_asked_for_on_a_connection_that_was_kept() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("CORES", "2")]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    daemon.channel("101", &[upstream.url("/good/4000000/b")]);
    for channel in ["100", "101"] {
        let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: tv\r\n\r\n").unwrap();
        let kept = answer(&mut stream);
        assert!(kept.contains("Connection: keep-alive"), "{kept}");
        let request = format!("GET /auto/v{channel} HTTP/1.1\r\nHost: tv\r\n\r\n");
        let mut viewer = crate::kit::Viewer::ask(stream, &request);
        assert_eq!(viewer.status(), 200, "{}", viewer.head);
        let mut recording = Vec::new();
        while recording.len() < 1_000_000 {
            recording.extend_from_slice(&viewer.read(LONG).unwrap());
        }
        assert_eq!(judge(&recording).faults(), 0);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: tv\r\n\r\n").unwrap();
    answer(&mut stream);
    stream.write_all(b"GET /auto/v999 HTTP/1.1\r\nHost: tv\r\n\r\n").unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 404 "));
}

#[test]
fn bodies_that_nobody_asked_for_take_no_memory() {
    let daemon = Daemon::start(&[]);
    let before = daemon.process().resident_kib();
    let body = vec![b'x'; 1 << 20];
    let head = format!("POST /lineup.post HTTP/1.1\r\nHost: tv\r\nContent-Length: {}\r\n\r\n", body.len());
    let clients: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
            stream.set_write_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            // Refused while it is being sent.
            let _cut = stream.write_all(&body[..512 * 1024]);
            stream
        })
        .collect();
    let answer = exchange(daemon.port(), head.as_bytes()).unwrap();
    assert_eq!(answer.status, 413, "{}", answer.head);
    let grown = daemon.process().resident_kib().saturating_sub(before);
    assert!(grown < 64 << 10, "{} connections with bodies have cost {grown} KiB", clients.len());
}

#[test]
fn what_is_asked_too_often_from_behind_a_proxy_is_refused_and_the_proxy_is_not() {
    let daemon = Daemon::start(&[
        ("RATE_LIMIT_TRUSTED_PROXIES", "127.0.0.1"),
        ("RATE_LIMIT_RPS", "0.01"),
        ("RATE_LIMIT_BURST", "4"),
    ]);
    let ask = |client: &str| {
        let request = format!(
            "GET /lineup.json HTTP/1.1\r\nHost: tv\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n"
        );
        exchange(daemon.port(), request.as_bytes()).unwrap().status
    };
    let statuses: Vec<u16> = (0..6).map(|_| ask("192.0.2.7")).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    assert_eq!(ask("192.0.2.8"), 200);
    assert_eq!(daemon.get("/lineup.json").status, 200);
}

#[test]
fn administration_is_open_under_names_that_are_nobody_elses_and_guessing_is_slowed_down() {
    let open = Daemon::start(&[]);
    let ask = |daemon: &Daemon, path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        exchange(daemon.port(), request.as_bytes()).unwrap()
    };
    for (headers, status) in [
        ("Host: localhost\r\n", 200),
        ("Host: [::1]:5004\r\n", 200),
        ("Host: rebound.example:5004\r\n", 403),
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://localhost\r\n", 400),
    ] {
        let answer = ask(&open, "/api/channels", headers);
        assert_eq!(answer.status, status, "{headers}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
        // Players call us whatever they like.
        if !headers.contains("Origin: http://localhost\r\nOrigin") {
            assert_eq!(ask(&open, "/lineup.json", headers).status, 200, "{headers}");
        }
    }
    let locked = Daemon::start(&[("ADMIN_AUTH", "admin:secret-word")]);
    let statuses: Vec<u16> = (0..12)
        .map(|_| ask(&locked, "/api/channels", "Host: x\r\nAuthorization: Basic YTpi\r\n").status)
        .collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 2]].concat());
    let log = logged(&locked, "a wrong password came from 127.0.0.1", 10);
    assert_eq!(log.matches("a wrong password came from 127.0.0.1").count(), 10, "{log}");
    assert!(!log.contains("YTpi") && !log.contains("secret-word"));
}

#[test]
fn a_head_that_is_too_long_by_a_byte_is_answered_and_the_answer_can_be_read() {
    let daemon = Daemon::start(&[]);
    for kept in [false, true] {
        let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        if kept {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: tv\r\n\r\n").unwrap();
            answer(&mut stream);
        }
        let mut head = b"GET /auto/v1 HTTP/1.1\r\nX: ".to_vec();
        head.resize(16 * 1024 + 1, b'x');
        stream.write_all(&head).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
}

#[test]
fn a_second_instance_on_one_database_says_so_and_ends() {
    let daemon = Daemon::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let database = daemon.database();
    let mut command = crate::kit::command(folder.path(), &[("DB_PATH", database.to_str().unwrap())]);
    command.env("HTTP_ADDR", format!("127.0.0.1:{}", crate::kit::free_port()));
    let mut second = command.spawn().unwrap();
    let status = crate::kit::until(LONG, "it ends", || second.try_wait().unwrap());
    assert_eq!(status.code(), Some(1), "it may be started again");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("another tunerd uses ") && log.contains("DB_PATH of its own"), "{log}");
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn a_hangup_signal_has_the_playlist_read_again_and_ends_nothing() {
    let daemon = Daemon::start(&[]);
    let playlist = daemon.database().with_file_name("list.m3u");
    std::fs::write(playlist, "#EXTM3U\n#EXTINF:-1,Later\nhttp://127.0.0.1:9/later\n").unwrap();
    // The reading at the start may go on.
    crate::kit::until(LONG, "the entry is there", || {
        daemon.signal(nix::sys::signal::Signal::SIGHUP);
        let items = daemon.get("/api/items?q=later").json();
        (items["items"].as_array().unwrap().len() == 1).then_some(())
    });
}

/// A server of lists: what stands under each path.
fn serve(answers: Vec<(String, String)>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut one = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut one).is_ok_and(|count| count > 0) {
                head.push(one[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let answer = answers.iter().find(|(known, _)| known == path).map(|(_, answer)| answer.as_str());
            // Whoever has gone needs no answer.
            let _gone = stream.write_all(
                answer.unwrap_or("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").as_bytes(),
            );
        }
    });
    port
}

fn page(kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn nothing_of_this_host_is_opened_for_a_list_that_was_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let canary = folder.path().join("canary.ts");
    nix::unistd::mkfifo(&canary, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (path, was_opened) = (canary.clone(), Arc::new(AtomicBool::new(false)));
    let tell = Arc::clone(&was_opened);
    // Opening it to write waits for somebody who opens it to read.
    let waiting = std::thread::spawn(move || {
        let opened = std::fs::File::options().write(true).open(path);
        tell.store(true, Ordering::Relaxed);
        drop(opened);
    });
    let file = canary.to_str().unwrap();
    let mut entries: Vec<String> = [
        "{}",
        "file:{}",
        "file://{}",
        "FILE://{}",
        "concat:{}|{}",
        "concatf:{}",
        "subfile,,start,0,end,0,,:{}",
        "crypto:{}",
        "crypto+file:{}",
        "cache:file:{}",
        "async:file:{}",
        "hls+file://{}",
        "hls:{}",
        "unix:{}",
        "tee:{}",
        "md5:{}",
        "pipe:0",
        "fd:0",
        "data:video/mp2t;base64,RwAA",
        "lavfi:testsrc",
        "gopher://127.0.0.1:9/x",
        "ftp://127.0.0.1{}",
        "sftp://127.0.0.1{}",
        "smb://127.0.0.1{}",
        "bluray:{}",
        "ipfs:{}",
        "prompeg:{}",
        "ffrtmphttp:file:{}",
        "playlist+file://{}",
        "concat:subfile,,start,0,end,0,,:{}|crypto:{}",
    ]
    .map(|entry| entry.replace("{}", file))
    .to_vec();
    let refused_at_once = entries.len();
    let segments = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{file}\n#EXTINF:2,\n{file}\n#EXT-X-ENDLIST\n"
    );
    let key = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"file://{file}\"\n#EXTINF:2,\nx.ts\n#EXT-X-ENDLIST\n"
    );
    let list = |lines: &str| format!("#EXTM3U\n{}\n", lines.replace("{}", &format!("file://{file}")));
    let map = list("#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"{}\"\n#EXTINF:2,\nx.ts\n#EXT-X-ENDLIST");
    let variant = list("#EXT-X-STREAM-INF:BANDWIDTH=1000000\n{}");
    let sound = list(
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",DEFAULT=YES,URI=\"{}\"\n#EXT-X-STREAM-INF:BANDWIDTH=1000000,AUDIO=\"a\"\n{}",
    );
    let dash = format!(
        "<?xml version=\"1.0\"?><MPD type=\"static\" mediaPresentationDuration=\"PT2S\"><Period><AdaptationSet mimeType=\"video/mp2t\"><Representation id=\"1\" bandwidth=\"1\"><BaseURL>file://{file}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    );
    let to_file = format!(
        "HTTP/1.1 302 Found\r\nLocation: file://{file}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let mut answers = vec![
        ("/segments.m3u8".to_owned(), page("application/vnd.apple.mpegurl", &segments)),
        ("/key.m3u8".to_owned(), page("application/vnd.apple.mpegurl", &key)),
        ("/x.ts".to_owned(), page("video/mp2t", &"x".repeat(1880))),
        ("/manifest.mpd".to_owned(), page("application/dash+xml", &dash)),
        ("/moved.ts".to_owned(), to_file),
        (
            "/moved-twice.ts".to_owned(),
            "HTTP/1.1 302 Found\r\nLocation: /moved.ts\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .to_owned(),
        ),
        ("/map.m3u8".to_owned(), page("application/vnd.apple.mpegurl", &map)),
        ("/variant.m3u8".to_owned(), page("application/vnd.apple.mpegurl", &variant)),
        ("/sound.m3u8".to_owned(), page("application/vnd.apple.mpegurl", &sound)),
        (
            "/stations.pls".to_owned(),
            page("audio/x-scpls", &format!("[playlist]\nNumberOfEntries=1\nFile1=file://{file}\n")),
        ),
        ("/stations.m3u".to_owned(), page("audio/x-mpegurl", &format!("#EXTM3U\nfile://{file}\n{file}\n"))),
        (
            "/concat".to_owned(),
            page("text/plain", &format!("ffconcat version 1.0\nfile 'file:{file}'\nfile '{file}'\n")),
        ),
    ];
    let served: Vec<String> =
        answers.iter().map(|(path, _)| path.clone()).filter(|path| path != "/x.ts").collect();
    let lists = serve(answers.clone());
    entries.extend(served.iter().map(|path| format!("http://127.0.0.1:{lists}{path}")));
    let list: String = entries
        .iter()
        .enumerate()
        .map(|(number, url)| format!("#EXTINF:-1,entry-{number:02}-\n{url}\n"))
        .collect();
    answers = vec![("/list".to_owned(), page("audio/x-mpegurl", &format!("#EXTM3U\n{list}")))];
    let playlist = format!("http://127.0.0.1:{}/list", serve(answers));
    for mode in ["auto", "ffmpeg-copy"] {
        let daemon = Daemon::start(&[
            ("PLAYLIST_URL", &playlist),
            ("STREAM_MODE", mode),
            ("TUNER_COUNT", "60"),
            ("STARTUP_TIMEOUT", "3s"),
            ("FAILOVER_TOTAL_TIMEOUT", "3s"),
        ]);
        let items = crate::kit::until(LONG, "the list is read", || {
            let items = daemon.get("/api/items?limit=100").json()["items"].as_array().unwrap().clone();
            (!items.is_empty()).then_some(items)
        });
        logged(&daemon, "left out of the playlist: 4 entries that name files of this host", 1);
        assert_eq!(items.len(), entries.len() - 4);
        assert!(entries.len() >= 40);
        let numbers: Vec<String> = items
            .iter()
            .map(|item| {
                let body = serde_json::json!({"item_key": item["item_key"]}).to_string();
                let answer = daemon.ask("POST", "/api/channels", &body);
                assert_eq!(answer.status, 200);
                answer.json()["guide_number"].as_str().unwrap().to_owned()
            })
            .collect();
        std::thread::scope(|scope| {
            for number in &numbers {
                let daemon = &daemon;
                scope.spawn(move || {
                    let request = format!("GET /auto/v{number} HTTP/1.1\r\nHost: tv\r\n\r\n");
                    let answer = exchange(daemon.port(), request.as_bytes()).unwrap();
                    assert_eq!(answer.status, 503, "{number}: {}", answer.head);
                });
            }
        });
        let log = logged(&daemon, "a source cannot be ", refused_at_once - 4);
        assert!(!was_opened.load(Ordering::Relaxed), "{mode}: the canary was opened: {log}");
    }
    // Whoever does open it is noticed.
    drop(std::fs::File::open(&canary).unwrap());
    waiting.join().unwrap();
    assert!(was_opened.load(Ordering::Relaxed));
}

#[test]
fn who_may_watch_and_how_many_is_as_the_settings_say() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[
        ("CORES", "2"),
        ("STREAM_ALLOW", "192.0.2.0/24"),
        ("STREAM_TOKEN", "let me/in"),
        ("VIEWERS_MAX", "2"),
        ("TUNER_COUNT", "3"),
    ]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    daemon.channel("101", &[upstream.url("/good/4000000/b")]);
    let ask = |path: &str| {
        let answer =
            exchange(daemon.port(), format!("HEAD {path} HTTP/1.1\r\nHost: tv\r\n\r\n").as_bytes()).unwrap();
        (answer.status, answer.header("X-Tunerd-Reason").map(str::to_owned))
    };
    for path in ["/auto/v100", "/auto/v100?token=let", "/tuner0/v100", "/auto/v999"] {
        assert_eq!(ask(path), (403, Some("not_allowed".to_owned())), "{path}");
    }
    assert_eq!(ask("/auto/v100?token=let%20me%2Fin").0, 200);
    let urls = |path: &str| -> Vec<String> {
        let lineup = daemon.get(path).json();
        lineup.as_array().unwrap().iter().map(|entry| entry["URL"].as_str().unwrap().to_owned()).collect()
    };
    assert!(urls("/lineup.json").iter().all(|url| !url.contains("token")));
    let paths: Vec<String> = urls("/lineup.json?token=let%20me%2Fin")
        .iter()
        .map(|url| url[url.find("/auto").unwrap()..].to_owned())
        .collect();
    let viewers = [daemon.open(&paths[0]), daemon.open(&paths[1])];
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: tv\r\n\r\n");
    for path in &paths {
        let refused = exchange(daemon.port(), request(path).as_bytes()).unwrap();
        assert_eq!((refused.status, refused.header("X-Tunerd-Reason")), (503, Some("viewer_limit")));
    }
    drop(viewers);
    crate::kit::until(LONG, "there is room again", || {
        let stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
        let viewer = crate::kit::Viewer::ask(stream, &request(&paths[0]));
        (viewer.status() == 200).then_some(())
    });
    let log = daemon.log();
    assert!(!log.contains("let me") && !log.contains("let%20me"), "{log}");
}

#[test]
fn the_log_holds_no_secret_at_any_level_and_nothing_of_libraries() {
    const CANARY: &str = "cAnArY77";
    let body = format!(
        "{{\"username\":\"{CANARY}\",\"message\":\"http://h/live/{CANARY}/{CANARY}/1.ts is not yours\"}}"
    );
    let port = serve(vec![
        (format!("/hls/{CANARY}/{CANARY}/1.m3u8"), page("application/json", &body)),
        (format!("/list?password={CANARY}"), String::new()),
    ]);
    let entries: String = [
        format!(
            "http://{CANARY}:{CANARY}@127.0.0.1:{port}/x.ts?token={CANARY}|Cookie={CANARY}&User-Agent=tv"
        ),
        format!("http://127.0.0.1:{port}/hls/{CANARY}/{CANARY}/1.m3u8"),
        format!("http://127.0.0.1:{port}/{CANARY}/{CANARY}/77.ts"),
        format!("rtmp://127.0.0.1:{port}/app/{CANARY}"),
        format!("rtsp://{CANARY}:{CANARY}@127.0.0.1:{port}/x"),
        format!("concat:http://{CANARY}:{CANARY}@127.0.0.1/|x"),
    ]
    .iter()
    .enumerate()
    .map(|(number, url)| format!("#EXTINF:-1,entry-{number}\n{url}\n"))
    .collect();
    let lists = serve(vec![(
        format!("/list?password={CANARY}"),
        page("audio/x-mpegurl", &format!("#EXTM3U\n{entries}")),
    )]);
    let playlist = format!("http://{CANARY}:{CANARY}@127.0.0.1:{lists}/list?password={CANARY}");
    let daemon = Daemon::start(&[
        ("PLAYLIST_URL", &playlist),
        ("LOG_LEVEL", "trace"),
        ("FFMPEG_SOURCE_LOG_LEVEL", "debug"),
        ("FFMPEG_SOURCE_STDERR_LOG_LEVEL", "debug"),
        ("TUNER_COUNT", "8"),
        ("STARTUP_TIMEOUT", "3s"),
        ("FAILOVER_TOTAL_TIMEOUT", "3s"),
        ("ADMIN_AUTH", &format!("admin:{CANARY}")),
    ]);
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode(format!("admin:{CANARY}"));
    let ask = |method: &str, path: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: tv\r\nAuthorization: Basic {key}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        exchange(daemon.port(), request.as_bytes()).unwrap()
    };
    let items = crate::kit::until(LONG, "the list is read", || {
        let items = ask("GET", "/api/items", "").json()["items"].as_array().unwrap().clone();
        (items.len() == 6).then_some(items)
    });
    for item in &items {
        let body = serde_json::json!({"item_key": item["item_key"]}).to_string();
        let number = ask("POST", "/api/channels", &body).json()["guide_number"].as_str().unwrap().to_owned();
        let request = format!("GET /auto/v{number} HTTP/1.1\r\nHost: tv\r\n\r\n");
        assert_ne!(exchange(daemon.port(), request.as_bytes()).unwrap().status, 200);
    }
    let status = String::from_utf8(ask("GET", "/api/admin/tuners", "").body).unwrap();
    let log = daemon.log();
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "{log}");
    for (what, text) in [("log", &log), ("status", &status)] {
        let lines: Vec<_> =
            text.lines().filter(|line| line.contains(CANARY) || line.contains(&key)).collect();
        assert!(lines.is_empty(), "the {what} holds a secret: {lines:#?}");
    }
    for library in [" ureq", " rustls", " tokio", " rusqlite", " mio"] {
        assert!(!log.contains(library), "{library} speaks");
    }
}

#[test]
fn private_hosts_are_left_alone_when_the_settings_say_so() {
    let upstream = Upstream::start();
    let url = upstream.url("/good/4000000/a");
    let by_name = url.replace("127.0.0.1", "localhost");
    let mut daemon = Daemon::start(&[("ALLOW_PRIVATE_SOURCES", "false"), ("FAILOVER_TOTAL_TIMEOUT", "3s")]);
    daemon.channel("100", std::slice::from_ref(&url));
    daemon.channel("101", &[by_name]);
    for number in ["100", "101"] {
        let request = format!("GET /auto/v{number} HTTP/1.1\r\nHost: tv\r\n\r\n");
        assert_eq!(exchange(daemon.port(), request.as_bytes()).unwrap().status, 503);
    }
    logged(&daemon, "which only this network reaches; ALLOW_PRIVATE_SOURCES would allow it", 1);
    let mut open = Daemon::start(&[]);
    open.channel("100", &[url]);
    drop(open.open("/auto/v100"));
}

#[test]
fn what_a_crowd_has_taken_is_given_back_when_it_has_gone() {
    let daemon = Daemon::start(&[]);
    // Heads that do not end.
    let crowd = |count: usize| -> Vec<TcpStream> {
        let head = [b"GET / HTTP/1.1\r\nX: ", &[b'x'; 15 * 1024][..]].concat();
        let one = |_| {
            let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
            stream.write_all(&head).unwrap();
            stream
        };
        (0..count).map(one).collect()
    };
    let resident = || daemon.process().resident_kib();
    // What is done for the first time takes pages that stay.
    drop(crowd(50));
    let before = crate::kit::until(LONG, "an answer", || {
        (exchange(daemon.port(), b"GET /healthz HTTP/1.1\r\nHost: tv\r\n\r\n").ok()?.status == 200)
            .then(resident)
    });
    let held = crowd(600);
    crate::kit::until(LONG, "it costs memory", || (resident() > before + 8 * 1024).then_some(()));
    drop(held);
    crate::kit::until(LONG, "it is given back", || (resident() <= before + 2 * 1024).then_some(()));
}

#[test]
fn a_redirect_or_a_list_leads_to_no_scheme_that_is_not_allowed() {
    let forbidden = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    forbidden.set_nonblocking(true).unwrap();
    let to = format!("https://127.0.0.1:{}/a.ts", forbidden.local_addr().unwrap().port());
    let moved =
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let segments = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{to}\n#EXTINF:2,\n{to}?2\n");
    let port = serve(vec![
        ("/moved.ts".to_owned(), moved),
        ("/segments.m3u8".to_owned(), page("application/vnd.apple.mpegurl", &segments)),
        ("/stations.m3u".to_owned(), page("audio/x-mpegurl", &format!("#EXTM3U\n{to}\n"))),
    ]);
    for mode in ["auto", "ffmpeg-copy"] {
        let mut daemon = Daemon::start(&[
            ("SOURCE_SCHEMES", "http"),
            ("STREAM_MODE", mode),
            ("TUNER_COUNT", "3"),
            ("STARTUP_TIMEOUT", "2s"),
            ("FAILOVER_TOTAL_TIMEOUT", "2s"),
        ]);
        for (number, path) in [("100", "/moved.ts"), ("101", "/segments.m3u8"), ("102", "/stations.m3u")] {
            daemon.channel(number, &[format!("http://127.0.0.1:{port}{path}")]);
            let request = format!("GET /auto/v{number} HTTP/1.1\r\nHost: tv\r\n\r\n");
            let answer = exchange(daemon.port(), request.as_bytes()).unwrap();
            assert_eq!(answer.status, 503, "{mode}, {path}: {}", answer.head);
        }
        logged(&daemon, "allowed (SOURCE_SCHEMES): http", 1);
        let came = forbidden.accept().map(|(_, peer)| peer);
        assert!(came.is_err(), "{mode}: {came:?} has come");
    }
}
