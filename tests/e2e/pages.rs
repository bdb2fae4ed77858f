//! The pages through the real program, as a browser without scripts asks for them: forms go out, and the way back is followed.

use std::time::Duration;

use crate::kit::{Answer, Daemon, End, LONG, Upstream, exchange, until};

/// Sends a form as a browser does from a page of this origin.
fn post(daemon: &Daemon, path: &str, form: &str, origin: &str) -> Answer {
    let port = daemon.port();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {origin}\r\nAccept: text/html,*/*;q=0.8\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    exchange(port, request.as_bytes()).unwrap()
}

/// Sends a form, and gives the page to which the answer leads.
fn send(daemon: &Daemon, path: &str, form: &str) -> String {
    let answer = post(daemon, path, form, &format!("http://127.0.0.1:{}", daemon.port()));
    assert_eq!(answer.status, 303, "{path} {form}: {}", String::from_utf8_lossy(&answer.body));
    page(daemon, answer.header("Location").unwrap().split('#').next().unwrap())
}

fn page(daemon: &Daemon, path: &str) -> String {
    let answer = daemon.get(path);
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(answer.status, 200, "{path}: {text}");
    let policy = answer.header("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"), "{path}: {policy}");
    assert!(answer.body.len() < 150 * 1024, "{path} has {} bytes", answer.body.len());
    assert!(!text.contains("hunter2"), "{path}: {text}");
    text
}

#[test]
fn a_stranger_comes_from_an_empty_database_to_a_picture_in_a_few_forms() {
    let upstream = Upstream::start();
    let list = format!(
        "#EXTM3U\n#EXTINF:-1 group-title=\"World\",News <One>\n{}\n#EXTINF:-1 group-title=\"World\",News Two\n{}\n",
        upstream.url("/good/4000000/a?password=hunter2"),
        upstream.url("/good/4000000/b"),
    );
    upstream.offer_whole("/whole/list", "audio/x-mpegurl", list.into_bytes());
    let daemon = Daemon::start(&[("SESSION_IDLE_TIMEOUT", "0")]);
    assert!(page(&daemon, "/ui/channels").contains("/ui/add"));

    let address = upstream.url("/whole/list").replace(':', "%3A").replace('/', "%2F");
    let added = send(&daemon, "/ui/playlists", &format!("name=Provider&url={address}&tuners=2"));
    assert!(added.contains("Provider"), "{added}");
    until(LONG, "the playlist is read", || {
        page(&daemon, "/ui/playlists").contains("<td class=n data-unit=entries>2").then_some(())
    });
    let found = page(&daemon, "/ui/add?q=one");
    assert!(found.contains("News &lt;One&gt;") && found.contains("Add as 100"), "{found}");
    let items = daemon.get("/api/items?q=news").json();
    let key = |place: usize| items["items"][place]["item_key"].as_str().unwrap().replace(':', "%3A");
    let channel =
        send(&daemon, "/ui/add", &format!("item_key={}&guide_number=100&guide_name=News&as=channel", key(0)));
    assert!(channel.contains("<h1>100 News</h1>") && channel.contains("○ idle"), "{channel}");
    let channel = send(&daemon, "/ui/add", &format!("item_key={}&as=source&of=100", key(1)));
    assert!(channel.contains("Remove source 2"), "{channel}");

    let mut viewer = daemon.open("/auto/v100");
    assert!(!viewer.watch(Duration::from_millis(300)).is_empty());
    let channel = page(&daemon, "/ui/channels/1");
    assert!(
        channel.contains("● playing") && channel.contains("to 1 viewer") && channel.contains("● shown now"),
        "{channel}"
    );
    assert!(page(&daemon, "/ui/channels").contains("● 1 viewer"));
    let playlists = page(&daemon, "/ui/playlists");
    assert!(playlists.contains("<span>1 of 2 in use</span>"), "{playlists}");
    let told = daemon.tuners()["playlists"].clone();
    let of_provider = told.as_array().unwrap().iter().find(|playlist| playlist["playlist_id"] == 2).unwrap();
    assert_eq!(
        (&of_provider["connections"], &of_provider["connections_max"]),
        (&1.into(), &2.into()),
        "{told}"
    );

    let after = send(&daemon, "/ui/channels/1/recover", "back=/ui/channels/1");
    assert!(after.contains("<h1>100 News</h1>"), "{after}");
    let watching = std::thread::spawn(move || {
        viewer.watch(Duration::from_secs(5));
        viewer
    });
    until(LONG, "the recovery is told", || {
        let shown = page(&daemon, "/ui/channels/1");
        (shown.contains("The last 1 switch") && shown.contains("somebody wanted it")).then_some(())
    });
    let viewer = watching.join().unwrap();
    assert!(page(&daemon, "/ui/history?reason=asked").contains("▲ 1 recovery"));
    assert!(page(&daemon, "/ui/history?reason=error").contains("<h1>0 sessions</h1>"));

    let id = daemon.get("/api/admin/tuners?format=2").json()["client_streams"][0]["viewer_id"].clone();
    send(&daemon, &format!("/ui/viewers/{}/kick", id.as_str().unwrap()), "back=%2Fui%2Fchannels%2F1");
    assert_eq!({ viewer }.rest(LONG).1, End::Finished);

    assert!(send(&daemon, "/ui/channels/1/switch", "enabled=false").contains("○ off"));
    assert_eq!(daemon.get("/auto/v100").status, 404, "the cores know it");
    send(&daemon, "/ui/channels/1/switch", "enabled=true");
    let moved = send(&daemon, "/ui/channels/1/sources/2/move", "to=first");
    assert!(moved.find("id=s-2").unwrap() < moved.find("id=s-1").unwrap(), "{moved}");
    assert!(send(&daemon, "/ui/channels/1/change", "guide_number=7&guide_name=Other").contains("Other"));
    assert!(send(&daemon, "/ui/channels/1/remove", "").contains("<h1>0 channels</h1>"));
    let system = page(&daemon, "/ui/system");
    for piece in [
        "kernel: Linux ",
        "SESSION_IDLE_TIMEOUT",
        "MiB in memory",
        "● has time to spare",
        "The log, newest line first",
    ] {
        assert!(system.contains(piece), "{piece}: {system}");
    }
}

#[test]
fn forms_of_other_sites_and_of_strangers_do_nothing() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    let id = daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    for (path, form) in [
        (format!("/ui/channels/{id}/remove"), ""),
        (format!("/ui/channels/{id}/switch"), "enabled=false"),
        ("/ui/playlists".to_owned(), "name=x&url=http%3A%2F%2Fhost%2F"),
    ] {
        assert_eq!(post(&daemon, &path, form, "http://evil.example").status, 403, "{path}");
        assert_eq!(post(&daemon, &path, form, "null").status, 403, "{path}");
    }
    let own = format!("http://127.0.0.1:{}", daemon.port());
    let long = format!("to={}", "x".repeat(2 * 1024 * 1024));
    assert_eq!(post(&daemon, &format!("/ui/channels/{id}/move"), &long, &own).status, 413);
    let refused = post(&daemon, "/ui/channels/999/remove", "", &own);
    let text = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(
        refused.status == 404 && text.contains("That was not done.") && text.contains("/ui/channels"),
        "{text}"
    );
    assert!(page(&daemon, "/ui/channels").contains("100"));

    let locked = Daemon::start(&[("ADMIN_AUTH", "admin:s3cret")]);
    for path in [
        "/ui/channels",
        "/ui/add",
        "/ui/channels/1",
        "/ui/playlists",
        "/ui/history",
        "/ui/system",
        "/api/openapi.json",
    ] {
        assert_eq!(locked.get(path).status, 401, "{path}");
    }
    let own = format!("http://127.0.0.1:{}", locked.port());
    assert_eq!(post(&locked, "/ui/playlists", "name=x&url=http%3A%2F%2Fhost%2F", &own).status, 401);
}

#[test]
fn two_hundred_channels_are_paged_and_each_page_stays_small() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("1", &[upstream.url("/good/4000000/a")]);
    let key =
        daemon.get("/api/items?limit=1").json()["items"][0]["item_key"].as_str().unwrap().replace(':', "%3A");
    for number in 2..=201 {
        let form = format!("item_key={key}&guide_number={number}&guide_name=Channel+{number}");
        assert_eq!(
            post(&daemon, "/ui/add", &form, &format!("http://127.0.0.1:{}", daemon.port())).status,
            303
        );
    }
    let first = page(&daemon, "/ui/channels");
    assert!(first.contains("<h1>201 channels</h1>") && first.contains("1–50 of 201"), "{first}");
    assert!(page(&daemon, "/ui/channels?offset=200").contains("201–201 of 201"));
    assert!(page(&daemon, "/ui/channels?q=channel+150").contains("<h1>1 channel</h1>"));
}
