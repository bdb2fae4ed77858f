//! What is said in confidence, in every form in which it comes, and every place where somebody could read it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use crate::kit::{Answer, Daemon, LONG, Process, Reply, Request, Segments, children_of, exchange, until};

const CANARY: &str = "cAnArY31";

/// Sources, as a list names them: `{}` is told in confidence, `{h}` is the server. What is said of each is whether ffmpeg is given
/// the address as it is: it has no other way to be told one that it does not read over HTTP.
const SOURCES: [(&str, bool); 18] = [
    ("http://{}:{}@{h}/userinfo.ts", false),
    ("http://{h}/live/{}/{}/1.ts", false),
    ("http://{h}/live/{}/{}/2.m3u8", false),
    ("http://{h}/hls/{}/{}/1.m3u8", false),
    ("http://{h}/play/{}/{}/index.m3u8", false),
    ("http://{h}/{}/{}/1234", false),
    ("http://{h}/some/{}/{}/77.ts", false),
    ("http://{h}/q.ts?username={}&password={}&token={}", false),
    ("http://{h}/p.ts;jsessionid={}", false),
    ("http://{h}/k.ts|User-Agent=tv&Authorization=Basic%20{}&Cookie=sid={}", false),
    ("http://{h}/k.m3u8|User-Agent=tv&X-Api-Key={}", false),
    ("#KODIPROP:inputstream.adaptive.stream_headers=X-Key={}&Authorization=Bearer%20{}\nhttp://{h}/p", false),
    ("#EXTHTTP:{\"X-Key\":\"{}\",\"Cookie\":\"sid={}\"}\nhttp://{h}/e.ts", false),
    ("concat:http://{}:{}@{h}/a|http://{h}/b", false),
    ("rtmp://{h}/app/{}", true),
    ("rtmp://{}:{}@{h}/app/x?key={}", true),
    ("rtsp://{}:{}@{h}/cam?token={}", true),
    ("srt://{h}?streamid={}&passphrase={}00", true),
];

/// What servers say when they refuse.
const BODY: &str = "{\"user_info\":{\"username\":\"{}\",\"password\":\"{}\"},\"message\":\"http://u:{}@h/live/{}/{}/1.ts is not \
    yours, GET /live/{}/{}/1.ts, token={}\", \"xml\": \"<password>{}</password>\"}\nAuthorization: Bearer {}\nSet-Cookie: sid={}\n";

/// Every route that answers to a question.
const ROUTES: [&str; 42] = [
    "/healthz",
    "/metrics",
    "/discover.json",
    "/device.xml",
    "/status.json",
    "/tuner0/vstatus",
    "/lineup.json",
    "/lineup.json?show=found",
    "/lineup.xml",
    "/lineup.m3u",
    "/lineup_status.json",
    "/guide.xml",
    "/api/guide",
    "/api/items?limit=100",
    "/api/items?q=entry",
    "/api/groups",
    "/api/suggestions/duplicates?min=1",
    "/api/channels",
    "/api/channels/1",
    "/api/channels/1/sources",
    "/api/profiles",
    "/api/profiles/odd",
    "/api/playlists",
    "/api/playlists/1",
    "/api/playlists/2",
    "/api/rules",
    "/api/admin/jobs",
    "/api/admin/jobs/1",
    "/api/admin/jobs/2",
    "/api/admin/automation",
    "/api/admin/tuners",
    "/api/admin/tuners?resolve_ip=1",
    "/ui/",
    "/ui/channels",
    "/ui/channels/1",
    "/ui/channels/2",
    "/ui/add?q=entry",
    "/ui/add?playlist=1",
    "/ui/playlists",
    "/ui/history",
    "/ui/system",
    "/nowhere/{}/{}/1234",
];

/// Where the database keeps what it has to know; nothing else holds any of it.
const KEPT: [&str; 6] = [
    "playlist_items.stream_url",
    "playlist_items.headers_json",
    "playlist_items.attrs_json",
    "playlist_items.tvg_logo",
    "playlists.playlist_url",
    "profiles.headers_json",
];

fn told(text: &str, server: &str) -> String {
    text.replace("{h}", server).replace("{}", CANARY)
}

/// Whether it may be read out of a text, be it coded as it is sent.
fn tells(text: &str) -> bool {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{CANARY}:{CANARY}"));
    text.contains(CANARY) || text.contains(&pair)
}

/// Holds those who ask by RTSP, until it is over.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

fn answer(request: &Request<'_>, server: &str, gate: &Gate) -> Reply {
    if request.head.starts_with("OPTIONS") {
        let closed = gate.is_open.lock().unwrap();
        drop(gate.opened.wait_timeout_while(closed, LONG, |is_open| !*is_open).unwrap());
    }
    let list = |form: &str, number: usize| {
        let form = told(form, server);
        let (options, address) = form.rsplit_once('\n').unwrap_or(("", &form));
        // What lists say for other players.
        let attributes = told(
            "tvg-logo=\"http://{}:{}@{h}/l.png?token={}\" catchup-source=\"http://{h}/timeshift/{}/{}/60/1.ts\"",
            server,
        );
        format!("#EXTINF:-1 tvg-id=\"n{number}\" {attributes},entry-{number:02}\n{options}\n{address}\n")
    };
    match request.path.split('?').next().unwrap() {
        "/list.m3u" => {
            let guide = told("http://{h}/listed.xml?password={}", server);
            let entries: String =
                SOURCES.iter().enumerate().map(|(number, (form, _))| list(form, number)).collect();
            Reply::new(format!("#EXTM3U x-tvg-url=\"{guide}\"\n{entries}"))
        }
        "/player_api.php" if request.path.ends_with("categories") => {
            Reply::new("[{\"category_id\":\"1\",\"category_name\":\"N\"}]")
        }
        "/player_api.php" if request.path.ends_with("streams") => {
            Reply::new("[{\"name\":\"entry-xtream\",\"stream_id\":7,\"category_id\":\"1\"}]")
        }
        "/player_api.php" => Reply::new(
            "{\"user_info\":{\"auth\":1,\"status\":\"Active\",\"username\":\"{}\",\"password\":\"{}\"},\"server_info\":{ }}"
                .replace("{}", CANARY),
        ),
        _refused => Reply {
            status: 403,
            closes: true,
            ..Reply::new(told(BODY, server)).with(&format!("Set-Cookie: sid={CANARY}"))
        },
    }
}

/// What any process below this one was started with: its words, and its environment.
fn look_at_children(process: Process, seen: &mut BTreeSet<(String, String)>) {
    let read = |process: &Process, file| fs::read(format!("/proc/{}/{file}", process.0)).unwrap_or_default();
    for child in children_of(process) {
        // Until it runs its own program a child is a copy of its parent, and so is what is to be read of it.
        if read(&child, "cmdline") == read(&process, "cmdline") {
            continue;
        }
        for file in ["cmdline", "environ"] {
            let words = read(&child, file);
            let words = words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
            seen.extend(words.map(|word| (file.to_owned(), word)));
        }
        look_at_children(child, seen);
    }
}

struct Found {
    places: Vec<(String, String)>,
    children: BTreeSet<(String, String)>,
}

/// Has every source tried, and gives all that can be read then.
fn play(mode: &str) -> Found {
    let gate = Arc::new(Gate::default());
    let of_server = Arc::clone(&gate);
    let own = Arc::new(Mutex::new(String::new()));
    let of_own = Arc::clone(&own);
    let server = Segments::start(move |request| {
        let own = of_own.lock().unwrap().clone();
        answer(request, &own, &of_server)
    });
    let host = format!("127.0.0.1:{}", server.port());
    own.lock().unwrap().clone_from(&host);
    let (playlist, guide, account) = (
        told("http://{}:{}@{h}/list.m3u?password={}", &host),
        told("http://{}:{}@{h}/guide.xml?token={}", &host),
        told("url=xtream://{}:{}@{h},tuners=9,name=account", &host),
    );
    let daemon = Daemon::start(&[
        ("PLAYLIST_URL", &playlist),
        ("PLAYLIST_SOURCES", &account),
        ("GUIDE_URLS", &guide),
        ("STREAM_MODE", mode),
        ("STREAM_TOKEN", CANARY),
        ("LOG_LEVEL", "trace"),
        ("FFMPEG_SOURCE_LOG_LEVEL", "debug"),
        ("FFMPEG_SOURCE_STDERR_LOG_LEVEL", "debug"),
        ("ENABLE_METRICS", "true"),
        ("TUNER_COUNT", "40"),
        ("STARTUP_TIMEOUT", "3s"),
        ("FAILOVER_TOTAL_TIMEOUT", "3s"),
    ]);
    let profile = serde_json::json!({"name": "odd", "headers": {"X-Key": CANARY}}).to_string();
    assert_eq!(daemon.ask("POST", "/api/profiles", &profile).status, 201);
    let items = until(LONG, "the lists are read", || {
        let items = daemon.get("/api/items?limit=100").json()["items"].as_array().unwrap().clone();
        (items.len() == SOURCES.len() + 1).then_some(items)
    });
    let numbers: Vec<String> = items
        .iter()
        .map(|item| {
            let body = serde_json::json!({"item_key": item["item_key"]}).to_string();
            let answer = daemon.ask("POST", "/api/channels", &body);
            assert_eq!(answer.status, 200);
            answer.json()["guide_number"].as_str().unwrap().to_owned()
        })
        .collect();
    for job in ["playlist-sync", "auto-prioritize"] {
        daemon.ask("POST", &format!("/api/admin/jobs/{job}/run"), "");
    }
    let mut places = Vec::new();
    let mut children = BTreeSet::new();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                look_at_children(daemon.process(), &mut seen);
                std::thread::park_timeout(Duration::from_millis(2));
            }
            seen
        });
        let tunes: Vec<_> = numbers
            .iter()
            .map(|number| {
                let request = format!("GET /auto/v{number}?token={CANARY} HTTP/1.1\r\nHost: tv\r\n\r\n");
                let port = daemon.port();
                scope.spawn(move || exchange(port, request.as_bytes()).unwrap())
            })
            .collect();
        // While they are tried.
        places.extend(shown(&daemon, &numbers));
        for (number, tune) in numbers.iter().zip(tunes) {
            let Answer { head, body, status } = tune.join().unwrap();
            assert_eq!(status, 503, "{number}: {head}");
            places.push((format!("the answer to {number}"), head + &String::from_utf8_lossy(&body)));
        }
        *gate.is_open.lock().unwrap() = true;
        gate.opened.notify_all();
        is_over.store(true, Ordering::Relaxed);
        children = looking.join().unwrap();
    });
    let is_failure =
        |(place, text): &(String, String)| place.ends_with("last_fail_reason") && !text.is_empty();
    let written = until(LONG, "failures are written down", || {
        Some(daemon.texts()).filter(|texts| texts.iter().any(is_failure))
    });
    let kept = |place: &str| KEPT.contains(&place);
    assert!(written.iter().any(|(place, text)| kept(place) && tells(text)), "the database was told");
    places.extend(written.into_iter().filter(|(place, _)| !kept(place)));
    places.extend(shown(&daemon, &numbers));
    let log = daemon.log();
    for word in ["/live/***/***/1.ts", "403", "rtsp://", "rtmp://"] {
        assert!(log.contains(word), "{word} is not told of: {log}");
    }
    places.push(("the log".to_owned(), log));
    // What is not told was there to be told.
    assert!(!server.requests(&format!("/live/{CANARY}/{CANARY}/1.ts")).is_empty());
    assert!(!server.requests(&format!("/live/{CANARY}/{CANARY}/7.ts")).is_empty(), "of the account");
    assert!(!server.requests("/guide.xml").is_empty() && !server.requests("/listed.xml").is_empty());
    Found { places, children }
}

/// What everybody is shown who asks.
fn shown(daemon: &Daemon, numbers: &[String]) -> Vec<(String, String)> {
    let channels = daemon.get("/api/channels").json();
    let channels = channels["channels"].as_array().unwrap().iter().map(|channel| &channel["channel_id"]);
    let sources = channels.filter_map(Value::as_i64).map(|id| format!("/api/channels/{id}/sources"));
    let heads = numbers.iter().map(|number| format!("/auto/v{number}"));
    let routes = ROUTES.iter().map(|route| route.replace("{}", "x")).chain(sources).chain(heads);
    routes
        .map(|route| {
            let Answer { head, body, .. } = daemon.get(&route);
            (route, head + &String::from_utf8_lossy(&body))
        })
        .collect()
}

#[test]
fn what_is_said_in_confidence_stands_nowhere_in_any_form() {
    for mode in ["auto", "ffmpeg-copy"] {
        let Found { places, children } = play(mode);
        let mut leaks = BTreeSet::new();
        for (place, text) in &places {
            leaks.extend(text.lines().filter(|line| tells(line)).map(|line| format!("{place}: {line}")));
        }
        assert!(leaks.is_empty(), "{mode}: {leaks:#?}");
        let is_given = |word: &str| {
            SOURCES
                .iter()
                .filter(|(_, is_given)| *is_given)
                .any(|(form, _)| form.split("://").next() == word.split("://").next() && word.contains("://"))
        };
        let (given, leaks): (Vec<_>, Vec<_>) = children
            .iter()
            .filter(|(_, word)| tells(word))
            .partition(|(file, word)| file == "cmdline" && is_given(word));
        assert!(leaks.is_empty(), "{mode}: {leaks:#?}");
        for scheme in ["rtmp://", "rtsp://"] {
            assert!(
                given.iter().any(|(_, word)| word.starts_with(scheme)),
                "{mode}: {scheme} was not looked at"
            );
        }
        assert!(children.iter().any(|(file, word)| file == "environ" && word.starts_with("PATH=")), "{mode}");
    }
}
