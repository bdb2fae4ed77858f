//! The programme guide that players read.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tunerd::base::Clock;

use crate::kit::{Answer, Daemon, LONG, Upstream, judge, until};

/// A time as guides write it, so many hours from now.
fn time(hours: i64) -> String {
    let clock = Clock::start();
    let now = clock.wall_at(clock.now()).unix_seconds();
    let at = i64::try_from(now).unwrap() / 3600 * 3600 + hours * 3600;
    utc(at)
}

/// Seconds since 1970 in UTC, without help from what is tested.
fn utc(at: i64) -> String {
    let (days, seconds) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    let (mut year, mut day) = (1970, days);
    let length = |year: i64| 365 + i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    while day >= length(year) {
        day -= length(year);
        year += 1;
    }
    let months = [31, length(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= months[month] {
        day -= months[month];
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{:02}{:02}{hour:02}{minute:02}{second:02}", month + 1, day + 1)
}

/// A programme of this channel in the current hour and one in the next.
fn guide(id: &str, title: &str) -> String {
    let programme = |from: i64, title: &str| {
        let (start, stop) = (time(from), time(from + 1));
        format!(
            "<programme start=\"{start} +0000\" stop=\"{stop} +0000\" channel=\"{id}\"><title>{title}</title></programme>\n"
        )
    };
    format!(
        "<?xml version=\"1.0\"?><tv><channel id=\"{id}\"><display-name>The {id}</display-name><icon src=\"http://logos/{id}.png\"/></channel>\n{}{}</tv>",
        programme(0, title),
        programme(1, "Later & more")
    )
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn list(daemon: &Daemon) -> std::path::PathBuf {
    daemon.database().with_file_name("list.m3u")
}

/// The guide, as soon as there is one with this in it.
fn guide_with(daemon: &Daemon, piece: &str) -> Answer {
    until(LONG, "the guide is there", || {
        let answer = daemon.get("/guide.xml");
        (answer.status == 200 && text(&answer).contains(piece)).then_some(answer)
    })
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

#[test]
fn the_guide_of_the_playlist_is_served_for_the_lineup_and_follows_its_changes() {
    let (mut daemon, upstream) = (Daemon::start(&[]), Upstream::start());
    let first = daemon.get("/guide.xml");
    assert_eq!((first.status, first.header("retry-after")), (503, Some("15")), "{}", text(&first));
    let whole = guide("entry-001-", "News &amp; Weather") + &guide("stranger", "of nobody's channel");
    upstream.offer_whole("/whole/guide", "application/octet-stream", gzip(whole.as_bytes()));
    let header = format!("#EXTM3U x-tvg-url=\"{}\"\n", upstream.url("/whole/guide"));
    fs::write(list(&daemon), header).unwrap();
    let channel = daemon.channel("100", &["tvg-logo=\"http://l/own.png\"\thttp://h/a".to_owned()]);
    let answer = guide_with(&daemon, "News &amp; Weather");
    let xml = text(&answer);
    let start = time(0);
    assert!(xml.contains(&format!("<programme start=\"{start} +0000\"")), "{xml}");
    assert!(
        xml.contains("<icon src=\"http://logos/entry-001-.png\"/>") && !xml.contains("stranger"),
        "{xml}"
    );
    assert_eq!(answer.header("content-type"), Some("text/xml; charset=\"utf-8\""));

    let head = daemon.ask("HEAD", "/guide.xml", "");
    let length = answer.body.len().to_string();
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, Some(length.as_str()), 0)
    );
    let packed = daemon.get("/guide.xml.gz");
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut unpacked).unwrap();
    assert_eq!((unpacked, packed.header("content-type")), (xml, Some("application/gzip")));

    let m3u = text(&daemon.get("/lineup.m3u"));
    let own = format!("#EXTM3U x-tvg-url=\"http://127.0.0.1:{}/guide.xml\"\n", daemon.port());
    assert!(m3u.starts_with(&own) && m3u.contains(" tvg-id=\"100\" "), "{m3u}");

    let change = json!({"guide_number": "7.1", "guide_name": "Renamed"}).to_string();
    assert_eq!(daemon.ask("PATCH", &format!("/api/channels/{channel}"), &change).status, 200);
    let xml = text(&guide_with(&daemon, "<channel id=\"7.1\"><display-name>Renamed</display-name>"));
    assert!(xml.contains("channel=\"7.1\"><title>News &amp; Weather</title>"), "{xml}");
    assert_eq!(upstream.requests("/whole/guide").len(), 1, "a changed lineup needs no server");
    let status = daemon.get("/api/guide").json();
    assert_eq!((&status["channels_with_programmes"], &status["programmes"]), (&json!(1), &json!(2)));
    assert_eq!(status["guides"][0]["named_by"], "playlist");
}

#[test]
fn guides_of_the_settings_come_first_packed_or_not_each_with_its_shift() {
    let upstream = Upstream::start();
    upstream.offer_whole("/whole/xz", "application/x-xz", xz(guide("entry-001-", "from xz").as_bytes()));
    upstream.offer_whole(
        "/whole/plain",
        "text/xml",
        guide("x", "by its name").replace("The x", "ENTRY-002- HD").into_bytes(),
    );
    upstream.offer_whole("/whole/of-list", "text/xml", guide("entry-001-", "of the list").into_bytes());
    let missing = upstream.url("/nothing/here?password=hunter2");
    let urls =
        format!("url={missing};url={},shift=-1h;{}", upstream.url("/whole/xz"), upstream.url("/whole/plain"));
    let mut daemon = Daemon::start(&[("GUIDE_URLS", &urls), ("GUIDE_PLACEHOLDERS", "true")]);
    fs::write(list(&daemon), format!("#EXTM3U url-tvg=\"{}\"\n", upstream.url("/whole/of-list"))).unwrap();
    for number in ["100", "101", "102"] {
        daemon.channel(number, &["http://h/a".to_owned()]);
    }
    let xml = text(&guide_with(&daemon, "from xz"));
    assert!(
        xml.contains(&format!(
            "<programme start=\"{} +0000\" stop=\"{} +0000\" channel=\"100\"><title>from xz",
            time(-1),
            time(0)
        )),
        "{xml}"
    );
    let xml = text(&guide_with(&daemon, "channel=\"102\"><title>entry-003-</title>"));
    assert!(xml.contains("channel=\"101\"><title>by its name") && !xml.contains("of the list"), "{xml}");
    let status = until(LONG, "all were tried", || {
        let status = daemon.get("/api/guide").json();
        let guides = status["guides"].as_array()?;
        (guides.len() == 4 && guides.iter().all(|guide| guide["last_tried_at"].is_string())).then_some(status)
    });
    let errors: Vec<_> =
        status["guides"].as_array().unwrap().iter().map(|guide| guide["last_error"].clone()).collect();
    assert_eq!(errors[0], "its server answered with status 404");
    assert_eq!(errors[1..], [Value::Null, Value::Null, Value::Null]);
    assert!(!daemon.log().contains("hunter2") && !status.to_string().contains("hunter2"));
}

#[test]
fn the_guide_of_an_account_is_the_guide() {
    let upstream = Upstream::start();
    let (login, of) = ("username=u&password=hunter2", |path: &str| format!("/whole/{path}"));
    let offer =
        |path: String, body: &str| upstream.offer_whole(&path, "application/json", body.as_bytes().to_vec());
    offer(of(&format!("player_api.php?{login}")), r#"{"user_info":{"auth":1,"status":"Active"}}"#);
    offer(of(&format!("player_api.php?{login}&action=get_live_categories")), "[]");
    let streams = r#"[{"stream_id":7,"name":"Seven","epg_channel_id":"seven.tv"}]"#;
    offer(of(&format!("player_api.php?{login}&action=get_live_streams")), streams);
    offer(of(&format!("xmltv.php?{login}")), &guide("Seven.tv", "of the account"));
    let url = format!("xtream://u:hunter2@127.0.0.1:{}/whole", upstream.port());
    let daemon = Daemon::start(&[("PLAYLIST_URL", url.as_str())]);
    let key = until(LONG, "the list is read", || {
        let items = daemon.get("/api/items").json();
        items["items"][0]["item_key"].as_str().map(str::to_owned)
    });
    assert_eq!(daemon.ask("POST", "/api/channels", &json!({"item_key": key}).to_string()).status, 200);
    let xml = text(&guide_with(&daemon, "channel=\"100\"><title>of the account"));
    assert!(!xml.contains("hunter2") && !daemon.log().contains("hunter2"));
}

#[test]
fn the_last_good_guide_outlives_a_restart_and_a_guide_that_is_broken_or_empty() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g.xml");
    fs::write(&file, guide("entry-001-", "good")).unwrap();
    let urls = format!("file://{}", file.display());
    let start = |port: u16| {
        Daemon::start_with(
            port,
            &[("GUIDE_URLS", urls.as_str()), ("GUIDE_REFRESH_INTERVAL", "1s")],
            |command| {
                let list = folder.path().join("list.m3u");
                command.env("HTTP_ADDR", format!("127.0.0.1:{port}"));
                command.env("DB_PATH", folder.path().join("kept.db"));
                command.env("PLAYLIST_URL", format!("file://{}", list.display()));
            },
        )
    };
    fs::write(folder.path().join("list.m3u"), "#EXTM3U\n#EXTINF:-1 tvg-id=\"entry-001-\",One\nhttp://h/1\n")
        .unwrap();
    let daemon = start(crate::kit::free_port());
    let key = until(LONG, "the list is read", || {
        daemon.get("/api/items").json()["items"][0]["item_key"].as_str().map(str::to_owned)
    });
    daemon.ask("POST", "/api/channels", &json!({"item_key": key}).to_string());
    guide_with(&daemon, "good");
    let error = |daemon: &Daemon, piece: &str| {
        until(LONG, "it is said that the guide is wrong", || {
            let status = daemon.get("/api/guide").json();
            status["guides"][0]["last_error"].as_str().filter(|error| error.contains(piece)).map(|_| ())
        });
        assert!(text(&daemon.get("/guide.xml")).contains("good"));
    };
    replace(&file, b"<tv></tv>");
    error(&daemon, "no programmes");
    replace(&file, &gzip(guide("entry-001-", "cut").as_bytes())[..60]);
    error(&daemon, "cannot be read");
    drop(daemon);
    fs::remove_file(&file).unwrap();
    let daemon = start(crate::kit::free_port());
    assert!(text(&daemon.get("/guide.xml")).contains("good"), "it is there at once");
    error(&daemon, "No such file");
    replace(&file, guide("entry-001-", "new").as_bytes());
    guide_with(&daemon, "<title>new</title>");
}

/// At once: the program may be reading.
fn replace(file: &Path, bytes: &[u8]) {
    let new = file.with_extension("next");
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, file).unwrap();
}

#[test]
fn without_a_guide_nothing_is_promised() {
    let mut daemon = Daemon::start(&[]);
    fs::write(list(&daemon), "#EXTM3U url-tvg=\"file:///etc/passwd, nonsense\"\n").unwrap();
    daemon.channel("100", &["http://h/a".to_owned()]);
    let m3u = text(&daemon.get("/lineup.m3u"));
    // A list that is a file may name files, but that one is no guide.
    assert!(m3u.contains("x-tvg-url"), "{m3u}");
    fs::write(list(&daemon), "#EXTM3U\n#EXTINF:-1 tvg-id=\"entry-001-\",entry-001-\nhttp://h/a\n").unwrap();
    until(LONG, "the list is read", || {
        Some(daemon.ask("POST", "/api/admin/jobs/playlist-sync/run?wait=true", ""))
            .filter(|answer| answer.status < 300)
    });
    let answer = until(LONG, "there is no guide", || {
        Some(daemon.get("/guide.xml")).filter(|answer| answer.status == 404)
    });
    assert!(text(&answer).contains("GUIDE_URLS"), "{}", text(&answer));
    let m3u = text(&daemon.get("/lineup.m3u"));
    assert!(m3u.starts_with("#EXTM3U\n") && m3u.contains("tvg-id=\"entry-001-\""), "{m3u}");
}

#[test]
fn a_long_guide_takes_little_memory_and_disturbs_nobody() {
    const CHANNELS: usize = 200;
    let (mut daemon, upstream) = (Daemon::start(&[]), Upstream::start());
    let mut whole = String::from("<tv>");
    for channel in 0..CHANNELS {
        for hour in 0..48 {
            let (start, stop) = (time(hour), time(hour + 1));
            whole.push_str(&format!(
                "<programme start=\"{start}\" stop=\"{stop}\" channel=\"entry-{channel:03}-\"><title>Programme {hour}</title><desc>{}</desc></programme>\n",
                "All that is said of it. ".repeat(20)
            ));
        }
    }
    whole.push_str("</tv>");
    assert!(whole.len() > 5_000_000);
    upstream.offer_whole("/whole/long", "text/xml", whole.into_bytes());
    fs::write(list(&daemon), "#EXTM3U\n").unwrap();
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let mut viewer = daemon.open("/auto/v100");
    let mut recording = viewer.watch(Duration::from_secs(1));
    let idle = daemon.process().resident_kib();
    let entries = fs::read_to_string(list(&daemon))
        .unwrap()
        .replace("#EXTM3U", &format!("#EXTM3U x-tvg-url=\"{}\"", upstream.url("/whole/long")));
    replace(&list(&daemon), entries.as_bytes());
    assert_eq!(daemon.ask("POST", "/api/admin/jobs/playlist-sync/run?wait=true", "").status / 100, 2);
    let mut most = 0;
    until(LONG, "the guide is there", || {
        recording.extend(viewer.watch(Duration::from_millis(20)));
        most = most.max(daemon.process().resident_kib());
        Some(daemon.get("/guide.xml").status).filter(|status| *status == 200)
    });
    assert!(most < idle + 12 * 1024, "{most} KiB instead of {idle}");
    let findings = judge(&recording);
    assert!(findings.faults() == 0 && findings.signalled == 0, "{findings:?}");
}
