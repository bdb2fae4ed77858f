use std::io::Read;

use serde_json::{Value, json};

use super::*;
use crate::control::admin::call::tests::{call, written};
use crate::control::state::tests::{params, state, with};
use crate::engine::{CoreCommand, Mailbox};
use crate::lineup::{ChannelId, Health, HealthRow, SourceId};
use crate::source::ffmpeg::Options;
use crate::store::{NewPlaylist, PRIMARY_NAME};

async fn ask(state: &Rc<State>, method: &str, target: &str, body: &str) -> (u16, Value) {
    let response = answer(call(method, target, body), Rc::clone(state)).await;
    described::check(method, target, &response);
    (response.status(), serde_json::from_str(&written(&response).1).unwrap_or(Value::Null))
}

async fn text(state: &Rc<State>, target: &str) -> String {
    let response = answer(call("GET", target, ""), Rc::clone(state)).await;
    described::check("GET", target, &response);
    written(&response).1
}

#[test]
fn paths_and_methods_that_are_not_served_are_told_apart() {
    tokio_uring::start(async {
        let state = state();
        for (method, path, status, allow) in [
            ("GET", "/healthz", 200, None),
            ("HEAD", "/healthz", 200, None),
            ("POST", "/healthz", 405, Some("GET, HEAD")),
            ("GET", "/", 302, None),
            ("GET", "/healthz/", 404, None),
            ("GET", "/apix", 404, None),
            ("GET", "/api/channels/x", 404, None),
            ("GET", "/api/channels/007", 404, None),
            ("GET", "/api/channels/7", 404, None),
            ("POST", "/api/channels/7", 405, Some("GET, HEAD, PATCH, DELETE")),
            ("GET", "/api/channels/reorder", 405, Some("PATCH")),
            ("GET", "/api/channels/7/sources/reorder", 405, Some("PATCH")),
            ("PUT", "/api/playlists", 405, Some("GET, HEAD, POST")),
            ("PUT", "/api/playlists/1", 405, Some("GET, HEAD, PATCH, DELETE")),
            ("GET", "/api/playlists/1/refresh", 405, Some("POST")),
            ("GET", "/api/playlists/x", 404, None),
            ("GET", "/api/playlists/7", 404, None),
            ("GET", "/api/channels/7/sources/1", 405, Some("PATCH, DELETE")),
            ("GET", "/api/channels/7/sources/health/clear", 405, Some("POST")),
            ("GET", "/api/channels/sources/health/clear", 405, Some("POST")),
            ("POST", "/api/channels/sources/health/clear/x", 404, None),
            ("GET", "/lineup.post", 405, Some("POST")),
            ("POST", "/device.xml", 405, Some("GET, HEAD")),
            ("GET", "/upnp/device.xml", 200, None),
            ("GET", "/upnp/scpd/connection-manager.xml", 200, None),
            ("GET", "/upnp/scpd/connection-manager", 404, None),
            ("GET", "/upnp/scpd/scheduled-recording.xml", 404, None),
            ("GET", "/upnp/control/content-directory", 405, Some("POST")),
            ("GET", "/upnp/event/content-directory", 404, None),
            ("SUBSCRIBE", "/upnp/event/content-directory", 404, None),
            ("SUBSCRIBE", "/upnp/control/content-directory", 405, Some("POST")),
            ("GET", "/tuner/vstatus", 404, None),
            ("GET", "/tunerx/vstatus", 404, None),
            ("POST", "/tuner0/vstatus", 405, Some("GET, HEAD")),
            ("POST", "/lineup.post?scan=start", 200, None),
            ("POST", "/lineup.post?favorite=%2B5.1", 200, None),
            ("POST", "/lineup.post?scan=abort&source=Cable", 200, None),
            ("POST", "/lineup.post?scan=x", 400, None),
            ("GET", "/api/admin/jobs/playlist-sync/run", 405, Some("POST")),
        ] {
            let response = answer(call(method, path, ""), Rc::clone(&state)).await;
            assert_eq!(response.status(), status, "{method} {path}");
            let (head, _) = written(&response);
            let allowed = head.lines().find_map(|line| line.strip_prefix("Allow: "));
            assert_eq!(allowed, allow, "{method} {path}");
        }
    });
}

#[test]
fn channels_and_sources_are_put_in_another_order_and_sources_are_switched() {
    tokio_uring::start(async {
        let state = state();
        let mut ids = Vec::new();
        for body in [r#"{"item_key":"a"}"#, r#"{"item_key":"b"}"#] {
            ids.push(ask(&state, "POST", "/api/channels", body).await.1["channel_id"].as_i64().unwrap());
        }
        let order = json!({"channel_ids": [ids[1], ids[0]]}).to_string();
        assert_eq!(ask(&state, "PATCH", "/api/channels/reorder", &order).await.0, 204);
        let (_, listed) = ask(&state, "GET", "/api/channels", "").await;
        assert_eq!(
            (&listed["channels"][0]["channel_id"], &listed["channels"][0]["order_index"]),
            (&json!(ids[1]), &json!(0))
        );
        assert_eq!(ask(&state, "GET", "/lineup.json", "").await.1[0]["GuideName"], json!("News b"));
        for wrong in [r#"{"channel_ids":[1]}"#, r#"{"channel_ids":[1,2,2]}"#, r#"{"ids":[1,2]}"#, "[1,2]"] {
            assert_eq!(ask(&state, "PATCH", "/api/channels/reorder", wrong).await.0, 400, "{wrong}");
        }

        let path = format!("/api/channels/{}", ids[0]);
        assert_eq!(ask(&state, "GET", &path, "").await.1["guide_name"], json!("News a"));
        let sources = format!("{path}/sources");
        let (_, added) = ask(&state, "POST", &sources, r#"{"item_key":"b"}"#).await;
        let (_, listed) = ask(&state, "GET", &sources, "").await;
        let order =
            json!({"source_ids": [added["source_id"], listed["sources"][0]["source_id"]]}).to_string();
        assert_eq!(ask(&state, "PATCH", &format!("{sources}/reorder"), &order).await.0, 204);
        let (_, listed) = ask(&state, "GET", &sources, "").await;
        assert_eq!(listed["sources"][0]["item_key"], json!("b"));
        let source = format!("{sources}/{}", added["source_id"]);
        for enabled in [false, true] {
            let body = json!({"enabled": enabled}).to_string();
            let (status, changed) = ask(&state, "PATCH", &source, &body).await;
            assert_eq!((status, &changed["enabled"]), (200, &json!(enabled)));
        }
        assert_eq!(
            ask(&state, "PATCH", &format!("{path}9/sources/reorder"), r#"{"source_ids":[]}"#).await.0,
            404
        );
    });
}

#[test]
fn the_device_describes_itself_as_seen_by_the_client() {
    tokio_uring::start(async {
        let state = state();
        assert_eq!(
            text(&state, "/discover.json").await,
            r#"{"FriendlyName":"HDHR IPTV","DeviceID":"1234ABCD","DeviceAuth":"word","BaseURL":"http://box.lan:5004","LineupURL":"http://box.lan:5004/lineup.json","ModelNumber":"HDFX-4K","FirmwareName":"hdhomerun_dvr_atsc3","FirmwareVersion":"20250815","TunerCount":2}"#
        );
        assert_eq!(
            text(&state, "/lineup_status.json").await,
            r#"{"ScanInProgress":0,"ScanPossible":1,"Source":"Antenna","SourceList":["Antenna","Cable"]}"#
        );
        let (head, _) = written(&answer(call("GET", "/discover.json", ""), state).await);
        for header in [
            "Server: HDHomeRun/1.0",
            "Cache-Control: no-cache",
            "Access-Control-Allow-Origin: *",
            "Content-Type: application/json; charset=\"utf-8\"",
        ] {
            assert!(head.contains(&format!("\r\n{header}\r\n")), "{head}");
        }
    });
}

#[test]
fn the_device_is_described_under_both_paths() {
    tokio_uring::start(async {
        let state = state();
        let described = text(&state, "/device.xml").await;
        assert_eq!(text(&state, "/upnp/device.xml").await, described);
        for piece in [
            "<root xmlns=\"urn:schemas-upnp-org:device-1-0\">",
            "<URLBase>http://box.lan:5004</URLBase>",
            "<deviceType>urn:schemas-upnp-org:device:MediaServer:1</deviceType>",
            "<friendlyName>HDHR IPTV</friendlyName>",
            "<serialNumber>1234ABCD</serialNumber>",
            "<UDN>uuid:8d15d7f0-5d4f-5ec8-b7c2-9d5dd6acc7f4</UDN>",
            "<serviceId>urn:upnp-org:serviceId:ConnectionManager</serviceId>",
            "<SCPDURL>/upnp/scpd/content-directory.xml</SCPDURL>",
            "<controlURL>/upnp/control/content-directory</controlURL>",
            "<eventSubURL></eventSubURL>",
        ] {
            assert!(described.contains(piece), "{piece}: {described}");
        }
    });
}

#[test]
fn more_tuners_than_fit_into_a_byte_are_told_as_so_many() {
    tokio_uring::start(async {
        let mut params = params();
        params.identity.tuner_count = 1000;
        let shown = text(&with(params, Vec::new()), "/discover.json").await;
        assert!(shown.ends_with(r#""TunerCount":255}"#), "{shown}");
    });
}

#[test]
fn a_scan_is_begun_progresses_and_is_aborted() {
    tokio_uring::start(async {
        let state = state();
        assert_eq!(ask(&state, "POST", "/api/channels", r#"{"item_key":"a"}"#).await.0, 200);
        let (status, _) = ask(&state, "POST", "/lineup.post?scan=start&source=cable", "").await;
        let (_, scan) = ask(&state, "GET", "/lineup_status.json", "").await;
        assert_eq!((status, &scan["ScanInProgress"], &scan["Source"]), (200, &json!(1), &json!("Cable")));
        let percent = scan["Progress"].as_u64().unwrap();
        assert_eq!((percent < 100, scan["Found"].as_u64()), (true, Some(percent / 100)));
        assert_eq!(ask(&state, "POST", "/lineup.post?scan=abort", "").await.0, 200);
        assert_eq!(
            text(&state, "/lineup_status.json").await,
            r#"{"ScanInProgress":0,"ScanPossible":1,"Source":"Cable","SourceList":["Antenna","Cable"]}"#
        );
    });
}

#[test]
fn the_playlist_for_players_names_the_guide() {
    tokio_uring::start(async {
        let mut params = params();
        params.guide_url = Some("http://guide.example/tv.xml?a=1&b=\"2\"".to_owned());
        let shown = text(&with(params, Vec::new()), "/lineup.m3u").await;
        assert_eq!(shown, "#EXTM3U x-tvg-url=\"http://guide.example/tv.xml?a=1&b='2'\"\n");
    });
}

#[test]
fn a_channel_lives_from_its_creation_to_its_end() {
    tokio_uring::start(async {
        let (mailbox, mut core) = Mailbox::new().unwrap();
        let state = with(params(), vec![mailbox]);
        let mut lineup = move || match core.take() {
            Some(CoreCommand::Lineup(lineup)) => lineup,
            _ => panic!("the core was told nothing of the kind"),
        };
        let (status, made) = ask(&state, "POST", "/api/channels", r#"{"item_key":"a"}"#).await;
        assert_eq!(
            (status, &made["guide_number"], &made["guide_name"]),
            (200, &json!("100"), &json!("News a"))
        );
        assert_eq!(lineup().find("100").unwrap().sources.len(), 1);
        let channel = made["channel_id"].as_i64().unwrap();

        let path = format!("/api/channels/{channel}");
        let body = r#"{"guide_number":"5.1","guide_name":"One, two"}"#;
        let (status, changed) = ask(&state, "PATCH", &path, body).await;
        assert_eq!((status, &changed["guide_number"]), (200, &json!("5.1")));
        assert!(lineup().find("5.1").is_some());

        let sources = format!("{path}/sources");
        let (status, source) = ask(&state, "POST", &sources, r#"{"item_key":"b"}"#).await;
        assert_eq!((status, &source["stream_url"]), (200, &json!("http://host/b.ts")));
        let urls: Vec<_> =
            lineup().find("5.1").unwrap().sources.iter().map(|source| source.url.clone()).collect();
        assert_eq!(urls, ["http://user:hunter2@host/a.ts", "http://user:hunter2@host/b.ts"]);
        assert_eq!(source["program"], json!(null));
        let mut program = || lineup().find("5.1").unwrap().sources.last().unwrap().program;
        let path_of_source = format!("{sources}/{}", source["source_id"]);
        for (body, expected) in [(r#"{"program":8810}"#, Some(8810)), (r#"{"program":null}"#, None)] {
            let (status, changed) = ask(&state, "PATCH", &path_of_source, body).await;
            assert_eq!((status, &changed["program"]), (200, &json!(expected)));
            assert_eq!(program(), expected);
        }
        let mut tls_verify = || lineup().find("5.1").unwrap().sources.last().unwrap().tls_verify;
        assert_eq!(source["tls_verify"], json!(null));
        for (body, expected) in [
            (r#"{"tls_verify":false}"#, Some(false)),
            (r#"{"program":3}"#, Some(false)),
            (r#"{"program":null,"tls_verify":true}"#, Some(true)),
            (r#"{"tls_verify":null}"#, None),
        ] {
            let (status, changed) = ask(&state, "PATCH", &path_of_source, body).await;
            assert_eq!((status, &changed["tls_verify"]), (200, &json!(expected)), "{body}");
            assert_eq!(tls_verify(), expected, "{body}");
        }
        let (status, listed) = ask(&state, "GET", &sources, "").await;
        assert_eq!(
            (status, &listed["total"], &listed["sources"][1]["item_key"]),
            (200, &json!(2), &json!("b"))
        );
        assert!(!listed.to_string().contains("hunter2"));

        assert_eq!(
            text(&state, "/lineup.json").await,
            r#"[{"GuideNumber":"5.1","GuideName":"One, two","URL":"http://box.lan:5004/auto/v5.1","Tags":"favorite","HD":1}]"#
        );
        assert_eq!(text(&state, "/lineup.json?show=DEMO").await, "[]");
        assert_eq!(
            text(&state, "/lineup.m3u").await,
            "#EXTM3U\n#EXTINF:-1 group-title=\"World\" tvg-chno=\"5.1\",One, two\nhttp://box.lan:5004/auto/v5.1\n"
        );
        assert_eq!(
            text(&state, "/lineup.xml").await,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Lineup>\n  <Program>\n    <GuideNumber>5.1</GuideNumber>\n    <GuideName>One, two</GuideName>\n    <URL>http://box.lan:5004/auto/v5.1</URL>\n    <Subscribed>1</Subscribed>\n    <HD>1</HD>\n    <DRM>0</DRM>\n  </Program>\n</Lineup>\n"
        );

        let source = format!("{sources}/{}", source["source_id"]);
        assert_eq!(ask(&state, "DELETE", &source, "").await.0, 204);
        assert_eq!(lineup().find("5.1").unwrap().sources.len(), 1);
        assert_eq!(ask(&state, "PATCH", &path, r#"{"enabled":false}"#).await.0, 200);
        assert_eq!(lineup().count(), 0);
        assert_eq!(text(&state, "/lineup.json").await, "[]");
        assert_eq!(ask(&state, "GET", "/api/channels", "").await.1["channels"][0]["enabled"], json!(false));
        assert_eq!(ask(&state, "DELETE", &path, "").await.0, 204);
        let none = json!({"channels": [], "total": 0, "limit": 200, "offset": 0});
        assert_eq!(ask(&state, "GET", "/api/channels", "").await.1, none);
    });
}

#[test]
fn changes_that_cannot_be_made_say_why() {
    tokio_uring::start(async {
        let state = state();
        assert_eq!(
            ask(&state, "POST", "/api/channels", r#"{"item_key":"a","guide_number":"7"}"#).await.0,
            200
        );
        for (method, path, body, status, piece) in [
            ("POST", "/api/channels", r#"{"item_key":"zz"}"#, 404, "zz"),
            ("POST", "/api/channels", r#"{"item_key":"b","guide_number":"7"}"#, 409, "7"),
            ("POST", "/api/channels", r#"{"item_key":"b","guide_number":"x y"}"#, 400, "allowed"),
            ("POST", "/api/channels", r#"{"item":"b"}"#, 400, "unknown field `item`"),
            ("POST", "/api/channels", "", 400, "EOF"),
            ("PATCH", "/api/channels/99", r#"{"enabled":true}"#, 404, "99"),
            ("PATCH", "/api/channels/1", r#"{"guide_name":""}"#, 400, "guide_name"),
            ("DELETE", "/api/channels/99", "", 404, "99"),
            ("GET", "/api/channels/99/sources", "", 404, "99"),
            ("POST", "/api/channels/1/sources", r#"{"item_key":"a"}"#, 409, "already"),
            ("DELETE", "/api/channels/1/sources/99", "", 404, "99"),
            ("PATCH", "/api/channels/1/sources/99", r#"{"program":1}"#, 404, "99"),
            ("PATCH", "/api/channels/1/sources/1", r#"{"program":0}"#, 400, "1 to 65535"),
            ("PATCH", "/api/channels/1/sources/1", r#"{"program":65536}"#, 400, "1 to 65535"),
            ("PATCH", "/api/channels/1/sources/1", "{}", 400, "program"),
            ("POST", "/api/channels/1/sources", r#"{"item_key":"b","program":0}"#, 400, "1 to 65535"),
            ("POST", "/api/channels/99/sources/health/clear", "", 404, "99"),
            ("POST", "/api/channels/0/sources/health/clear", "", 400, "id"),
            ("POST", "/api/channels/-1/sources/health/clear", "", 400, "id"),
            ("POST", "/api/channels/x/sources/health/clear", "", 400, "id"),
            ("GET", "/api/groups?limit=x", "", 400, "limit"),
            ("GET", "/api/channels?offset=-1", "", 400, "offset"),
            ("POST", "/api/admin/jobs/playlist-sync/run?wait=true", "", 409, "PLAYLIST_URL"),
        ] {
            let (found, answer) = ask(&state, method, path, body).await;
            let sentence = answer["error"].as_str().unwrap();
            assert_eq!(found, status, "{method} {path} {body}: {sentence}");
            assert!(sentence.contains(piece), "{method} {path} {body}: {sentence}");
        }
    });
}

#[test]
fn a_profile_lives_from_its_creation_to_its_end_and_cores_follow_it() {
    tokio_uring::start(async {
        let (mailbox, mut core) = Mailbox::new().unwrap();
        let mut params = params();
        params.playlist_profile = Some("list".to_owned());
        let state = with(params, vec![mailbox]);
        let mut lineup = move || {
            let told = std::iter::from_fn(|| core.take()).last();
            let Some(CoreCommand::Lineup(lineup)) = told else {
                panic!("the core was told nothing of the kind")
            };
            lineup
        };
        let body = r#"{"name":"hd","mode":"ffmpeg-transcode","variant_max":"720p","program":3,"tls_verify":false,
            "headers":{"cookie":"a=hunter2","user-agent":"box/1"},"ffmpeg_input":["-probesize","100000"],
            "ffmpeg_output":["-b:v","2M"]}"#;
        let (status, made) = ask(&state, "POST", "/api/profiles", body).await;
        let shown = json!({
            "name": "hd", "mode": "ffmpeg-transcode", "variant_max": "720p", "program": 3, "tls_verify": false,
            "headers": {"Cookie": "***", "User-Agent": "box/1"}, "ffmpeg_input": ["-probesize", "100000"],
            "ffmpeg_output": ["-b:v", "2M"]
        });
        assert_eq!((status, &made), (201, &shown));
        assert_eq!(ask(&state, "GET", "/api/profiles/hd", "").await, (200, shown.clone()));
        let (status, made) = ask(&state, "POST", "/api/profiles", r#"{"name":"list","mode":"direct"}"#).await;
        assert_eq!((status, &made["headers"], &made["program"]), (201, &json!({}), &json!(null)));
        let (_, listed) = ask(&state, "GET", "/api/profiles", "").await;
        assert_eq!((&listed["total"], &listed["profiles"][0]), (&json!(2), &shown));

        let body = r#"{"item_key":"a","profile":"hd"}"#;
        let (status, channel) = ask(&state, "POST", "/api/channels", body).await;
        assert_eq!((status, &channel["profile"]), (200, &json!("hd")));
        assert_eq!(ask(&state, "POST", "/api/channels", r#"{"item_key":"b"}"#).await.0, 200);
        let mut source = |id: i64| lineup().source(SourceId(id)).unwrap().1.clone();
        let first = source(1);
        assert_eq!(first.manner.profile.as_deref(), Some("hd"));
        assert_eq!((first.manner.mode, first.program), (Some(crate::source::Mode::FfmpegTranscode), Some(3)));
        assert_eq!(
            (first.headers.get("Cookie"), first.manner.output == Options::default()),
            (Some("a=hunter2"), false)
        );

        // What was shown may be sent back: what is hidden in it stays.
        let body = r#"{"mode":"ffmpeg-copy","headers":{"Cookie":"***","User-Agent":"box/2"}}"#;
        let (status, changed) = ask(&state, "PUT", "/api/profiles/hd", body).await;
        assert_eq!(
            (status, &changed["mode"], &changed["program"]),
            (200, &json!("ffmpeg-copy"), &json!(null))
        );
        let first = source(1);
        assert_eq!((first.manner.mode, first.program), (Some(crate::source::Mode::FfmpegCopy), None));
        let headers = |name| first.headers.get(name);
        assert_eq!((headers("Cookie"), headers("User-Agent")), (Some("a=hunter2"), Some("box/2")));
        assert_eq!(first.manner.output, Options::default());

        for (path, body, source_id, mode) in [
            ("/api/channels/2/sources/2", r#"{"profile":"hd"}"#, 2, "ffmpeg-copy"),
            ("/api/channels/2/sources/2", r#"{"profile":null}"#, 2, "direct"),
            ("/api/channels/1", r#"{"profile":null}"#, 1, "direct"),
            ("/api/channels/1", r#"{"profile":"hd"}"#, 1, "ffmpeg-copy"),
            ("/api/channels/1", r#"{"guide_name":"One"}"#, 1, "ffmpeg-copy"),
            ("/api/channels/1/sources/1", r#"{"program":5}"#, 1, "ffmpeg-copy"),
        ] {
            let (status, _) = ask(&state, "PATCH", path, body).await;
            let found = source(source_id).manner.mode.unwrap();
            assert_eq!((status, found.name()), (200, mode), "{path} {body}");
        }
        let body = r#"{"item_key":"b","profile":"hd"}"#;
        let (status, added) = ask(&state, "POST", "/api/channels/1/sources", body).await;
        assert_eq!((status, &added["profile"]), (200, &json!("hd")));

        let (status, refused) = ask(&state, "DELETE", "/api/profiles/hd", "").await;
        let users = "channel 100, source 3 of channel 100";
        assert_eq!((status, refused["error"].as_str().unwrap().ends_with(users)), (409, true), "{refused}");
        let (status, refused) = ask(&state, "DELETE", "/api/profiles/list", "").await;
        assert_eq!((status, refused["error"].as_str().unwrap().contains("PLAYLIST_PROFILE")), (409, true));
        assert_eq!(ask(&state, "DELETE", "/api/channels/1", "").await.0, 204);
        assert_eq!(ask(&state, "DELETE", "/api/profiles/hd", "").await.0, 204);
        assert_eq!(ask(&state, "GET", "/api/profiles/hd", "").await.0, 404);
    });
}

#[test]
fn profiles_that_cannot_be_say_why() {
    tokio_uring::start(async {
        let state = state();
        assert_eq!(ask(&state, "POST", "/api/profiles", r#"{"name":"p"}"#).await.0, 201);
        let field = "x".repeat(3000);
        let long = json!({"name": "q", "headers": {"A": field, "B": field, "C": field}}).to_string();
        assert_eq!(ask(&state, "POST", "/api/channels", r#"{"item_key":"a"}"#).await.0, 200);
        for (method, path, body, status, piece) in [
            ("POST", "/api/profiles", r#"{"name":"p"}"#, 409, "already"),
            ("POST", "/api/profiles", r#"{"name":"a/b"}"#, 400, "letters"),
            ("POST", "/api/profiles", r#"{"mode":"auto"}"#, 400, "missing field `name`"),
            ("POST", "/api/profiles", r#"{"name":"q","shell":"x"}"#, 400, "unknown field `shell`"),
            ("POST", "/api/profiles", r#"{"name":"q","mode":"fast"}"#, 400, "ffmpeg-transcode"),
            ("POST", "/api/profiles", r#"{"name":"q","program":0}"#, 400, "1 to 65535"),
            ("POST", "/api/profiles", r#"{"name":"q","headers":{"Host":"h"}}"#, 400, "\"Host\": this header"),
            ("POST", "/api/profiles", r#"{"name":"q","headers":{"X":"a\r\nb"}}"#, 400, "control characters"),
            ("POST", "/api/profiles", r#"{"name":"q","headers":{"Cookie":"***"}}"#, 400, "shown of a secret"),
            ("PUT", "/api/profiles/p", r#"{"headers":{"Cookie":"***"}}"#, 400, "shown of a secret"),
            ("POST", "/api/profiles", &long, 400, "8192 bytes together"),
            ("POST", "/api/profiles", r#"{"name":"q","ffmpeg_output":["-b:v"]}"#, 400, "-b:v has no value"),
            (
                "POST",
                "/api/profiles",
                r#"{"name":"q","ffmpeg_output":["/tmp/x"]}"#,
                400,
                "stands where an option",
            ),
            (
                "POST",
                "/api/profiles",
                r#"{"name":"q","ffmpeg_input":["-i","x"]}"#,
                400,
                "allowed: -probesize",
            ),
            ("POST", "/api/profiles", r#"{"name":"q","ffmpeg_input":"-re"}"#, 400, "expected a sequence"),
            ("PUT", "/api/profiles/p", r#"{"variant_max":"x"}"#, 400, "720p"),
            ("PUT", "/api/profiles/p", r#"{"name":"q"}"#, 400, "unknown field `name`"),
            ("PUT", "/api/profiles/q", "{}", 404, "q"),
            ("GET", "/api/profiles/q", "", 404, "q"),
            ("DELETE", "/api/profiles/q", "", 404, "q"),
            ("PATCH", "/api/profiles/p", "{}", 405, "GET, HEAD, PUT, DELETE"),
            ("POST", "/api/channels", r#"{"item_key":"b","profile":"q"}"#, 404, "no profile"),
            ("POST", "/api/channels/1/sources", r#"{"item_key":"b","profile":"q"}"#, 404, "no profile"),
            ("PATCH", "/api/channels/1", r#"{"profile":"q"}"#, 404, "no profile"),
            ("PATCH", "/api/channels/1/sources/1", r#"{"profile":"q","program":2}"#, 404, "no profile"),
        ] {
            let (found, answer) = ask(&state, method, path, body).await;
            let sentence = answer["error"].as_str().unwrap();
            assert_eq!(found, status, "{method} {path} {body}: {sentence}");
            assert!(sentence.contains(piece), "{method} {path} {body}: {sentence}");
        }
        let (_, sources) = ask(&state, "GET", "/api/channels/1/sources", "").await;
        assert_eq!((&sources["total"], &sources["sources"][0]["program"]), (&json!(1), &json!(null)));
        assert_eq!(ask(&state, "GET", "/api/channels", "").await.1["total"], json!(1));
        assert_eq!(ask(&state, "GET", "/api/profiles", "").await.1["total"], json!(1));
    });
}

#[test]
fn items_are_listed_without_their_credentials() {
    tokio_uring::start(async {
        let state = state();
        let (status, page) = ask(&state, "GET", "/api/items?q=news&limit=1&offset=1", "").await;
        assert_eq!((status, &page["total"], &page["items"][0]["item_key"]), (200, &json!(2), &json!("b")));
        assert_eq!(page["items"][0]["stream_url"], json!("http://host/b.ts"));
        assert_eq!(page["items"][0]["first_seen_at"], json!("1970-01-01T00:00:01Z"));
        assert_eq!(ask(&state, "GET", "/api/items?group=Other", "").await.1["total"], json!(0));
    });
}

#[test]
fn a_lineup_ends_at_its_limit() {
    tokio_uring::start(async {
        let mut params = params();
        params.lineup_max = Some(1);
        let state = with(params, Vec::new());
        for body in [r#"{"item_key":"a"}"#, r#"{"item_key":"b"}"#] {
            assert_eq!(ask(&state, "POST", "/api/channels", body).await.0, 200);
        }
        assert_eq!(ask(&state, "GET", "/lineup.json", "").await.1.as_array().unwrap().len(), 1);
        assert_eq!(text(&state, "/lineup.m3u").await.lines().count(), 3);
    });
}

#[test]
fn groups_and_duplicates_of_the_playlist_are_listed() {
    tokio_uring::start(async {
        let state = state();
        let (_, groups) = ask(&state, "GET", "/api/groups", "").await;
        let world = json!({"groups":[{"name":"World","count":2}],"total":1,"limit":200,"offset":0,"include_counts":true});
        assert_eq!(groups, world);
        let (_, names) = ask(&state, "GET", "/api/groups?include_counts=no&limit=0", "").await;
        assert_eq!(names["groups"], json!([{"name":"World"}]));
        assert_eq!(ask(&state, "GET", "/api/groups?include_counts=x", "").await.0, 400);
        assert_eq!(ask(&state, "GET", "/api/groups?limit=-1", "").await.0, 400);
        let items = ["x", "y"].map(|key| crate::store::NewItem {
            item_key: key.to_owned(),
            channel_key: "tvg:cnn.us".to_owned(),
            name: key.to_owned(),
            stream_url: format!("http://user:hunter2@host/{key}"),
            attrs_json: "{}".to_owned(),
            ..crate::store::NewItem::default()
        });
        let now = state.wall_now();
        state.ask_store(move |database| database.refresh_items(&items, now)).await.unwrap();
        let (_, found) = ask(&state, "GET", "/api/suggestions/duplicates?q=CNN&min=0&limit=9999", "").await;
        let group = &found["groups"][0];
        assert_eq!((&group["channel_key"], &group["count"]), (&json!("tvg:cnn.us"), &json!(2)));
        assert_eq!(group["items"][1]["stream_url"], json!("http://host/y"));
        assert_eq!(
            (&found["total"], &found["limit"], &found["min"], &found["q"]),
            (&json!(1), &json!(500), &json!(2), &json!("CNN"))
        );
        assert_eq!(ask(&state, "GET", "/api/suggestions/duplicates?offset=x", "").await.0, 400);
        let (_, made) = ask(&state, "POST", "/api/channels", r#"{"item_key":"x"}"#).await;
        let path = format!("/api/channels/{}/sources/same-key", made["channel_id"]);
        assert_eq!(ask(&state, "POST", &path, "").await, (200, json!({"added":1})));
        assert_eq!(ask(&state, "POST", "/api/channels/99/sources/same-key", "").await.0, 404);
    });
}

#[test]
fn the_playlist_is_read_when_asked() {
    tokio_uring::start(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.m3u");
        let state = state();
        set(&state, Some(playlist(PRIMARY_NAME, path.to_str().unwrap())), Vec::new()).await;
        let run = "/api/admin/jobs/playlist-sync/run?wait=true";
        assert_eq!(ask(&state, "POST", run, "").await.0, 502);
        std::fs::write(&path, "#EXTM3U\n").unwrap();
        let (status, answer) = ask(&state, "POST", run, "").await;
        assert_eq!((status, answer["error"].as_str().unwrap().contains("no items")), (502, true));
        std::fs::write(&path, "#EXTM3U\n#EXTINF:-1,C\nhttp://h/c\n#EXTINF:-1,D\nhttp://h/d\n").unwrap();
        let (status, counts) = ask(&state, "POST", run, "").await;
        assert_eq!(
            (status, counts),
            (200, json!({"items":2,"added":2,"reactivated":0,"inactive":2,"moved":0}))
        );
        let (_, listed) = ask(&state, "GET", "/api/playlists", "").await;
        let playlist = &listed["playlists"][0];
        assert_eq!((&playlist["items"], &playlist["last_error"]), (&json!(2), &json!(null)));
        assert!(playlist["last_read_at"].is_string() && playlist["next_read_at"].is_null());

        let long: String = (0..40).map(|n| format!("#EXTINF:-1,L{n}\nhttp://h/{n}\n")).collect();
        std::fs::write(&path, long).unwrap();
        assert_eq!(ask(&state, "POST", run, "").await.0, 200);
        std::fs::write(&path, "#EXTINF:-1,C\nhttp://h/c\n").unwrap();
        let (status, refused) = ask(&state, "POST", run, "").await;
        assert_eq!(
            (status, refused["error"].as_str().unwrap().contains("1 items where it held 40")),
            (502, true)
        );
        let (_, listed) = ask(&state, "GET", "/api/playlists", "").await;
        assert_eq!(
            (&listed["playlists"][0]["items"], &listed["playlists"][0]["last_error"]),
            (&json!(40), &refused["error"])
        );
        assert_eq!(ask(&state, "POST", &format!("{run}&accept_smaller=x"), "").await.0, 400);
        let (_, counts) = ask(&state, "POST", &format!("{run}&accept_smaller=true"), "").await;
        assert_eq!(counts["items"], json!(1), "{counts}");
        assert!(state.readings.borrow_mut().get_mut(&1).unwrap().begin());
        assert_eq!(ask(&state, "POST", run, "").await.0, 409);
    });
}

#[test]
fn rules_make_channels_and_take_them_away() {
    tokio_uring::start(async {
        let state = state();
        let new = r#"{"name":"World","groups":["World"],"guide_start":500,"count":1}"#;
        let (status, made) = ask(&state, "POST", "/api/rules", new).await;
        assert_eq!((status, &made["channels_made"], &made["q"]), (201, &json!(1), &json!("")), "{made}");
        assert!(
            made["complaints"][0].as_str().is_some_and(|text| text.contains("1 channels more")),
            "{made}"
        );
        let (_, channels) = ask(&state, "GET", "/api/channels", "").await;
        let channel = &channels["channels"][0];
        assert_eq!(
            (&channel["guide_number"], &channel["channel_class"]),
            (&json!("500"), &json!("dynamic_generated"))
        );
        let path = format!("/api/rules/{}", made["rule_id"]);
        let (status, more) =
            ask(&state, "PUT", &path, r#"{"name":"World","q":"news","guide_start":500}"#).await;
        assert_eq!(
            (status, &more["channels_made"], &more["count"]),
            (200, &json!(1), &json!(1000)),
            "{more}"
        );
        assert_eq!(ask(&state, "GET", "/api/rules", "").await.1["total"], json!(1));
        assert_eq!(ask(&state, "GET", &path, "").await.1["q"], json!("news"));
        for (body, word) in [
            (r#"{"name":"x","guide_start":1}"#, "groups, q"),
            (r#"{"name":"x","q":"(","q_regex":true,"guide_start":1}"#, "unclosed group"),
            (r#"{"name":"x","q":"a"}"#, "guide_start"),
            (r#"{"name":"x","q":"a","guide_start":1,"y":1}"#, "unknown field"),
        ] {
            let (status, answer) = ask(&state, "POST", "/api/rules", body).await;
            assert_eq!(
                (status, answer["error"].as_str().unwrap().contains(word)),
                (400, true),
                "{body}: {answer}"
            );
        }
        assert_eq!(ask(&state, "DELETE", &path, "").await.0, 204);
        assert_eq!(ask(&state, "DELETE", &path, "").await.0, 404);
        assert_eq!(ask(&state, "GET", "/api/channels", "").await.1["total"], json!(0));
    });
}

fn playlist(name: &str, url: &str) -> NewPlaylist {
    NewPlaylist {
        name: name.to_owned(),
        url: url.to_owned(),
        tuners: Some(2),
        user_agent: None,
        is_enabled: true,
    }
}

/// The settings name these.
async fn set(state: &State, primary: Option<NewPlaylist>, others: Vec<NewPlaylist>) {
    let set = state.ask_store(move |database| database.set_playlists(primary.as_ref(), &others));
    assert_eq!(set.await.unwrap(), Vec::<String>::new());
}

#[test]
fn of_several_playlists_each_is_read_for_itself_and_says_how_that_went() {
    tokio_uring::start(async {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let write = |name: &str, text: &str| std::fs::write(file(name), text).unwrap();
        write("p", "#EXTINF:-1,C\nhttp://h/c\n");
        write("b", "#EXTINF:-1,C\nhttp://h/c\n#EXTINF:-1,D\nhttp://h/d\n");
        let state = state();
        let off = NewPlaylist { is_enabled: false, ..playlist("Off", &file("off")) };
        let others = vec![playlist("B", &file("b")), playlist("Gone", &file("gone")), off];
        set(&state, Some(playlist(PRIMARY_NAME, &file("p"))), others).await;
        let run = "/api/admin/jobs/playlist-sync/run?wait=true";
        let (status, answer) = ask(&state, "POST", run, "").await;
        let sentence = answer["error"].as_str().unwrap();
        assert_eq!(
            (status, sentence.starts_with("1 of 3 playlists were not read; \"Gone\": ")),
            (502, true),
            "{answer}"
        );
        let (_, listed) = ask(&state, "GET", "/api/playlists", "").await;
        let shown: Vec<_> = listed["playlists"]
            .as_array()
            .unwrap()
            .iter()
            .map(|list| {
                (
                    list["name"].clone(),
                    list["items"].clone(),
                    list["age_seconds"].clone(),
                    list["enabled"].clone(),
                )
            })
            .collect();
        let row = |name: &str, items: u32, age: Value, enabled: bool| {
            (json!(name), json!(items), age, json!(enabled))
        };
        let expected = [
            row(PRIMARY_NAME, 1, json!(0), true),
            row("B", 2, json!(0), true),
            row("Gone", 0, json!(null), true),
            row("Off", 0, json!(null), false),
        ];
        assert_eq!((shown.as_slice(), &listed["total"]), (&expected[..], &json!(4)));
        assert!(
            listed["playlists"][2]["last_error"].is_string()
                && listed["playlists"][1]["last_error"].is_null()
        );
        let (_, items) = ask(&state, "GET", "/api/items?playlist_id=2&active=1", "").await;
        assert_eq!(items["total"], json!(2), "an entry of another playlist is another one: {items}");

        write("gone", "#EXTINF:-1,E\nhttp://h/e\n");
        let (status, counts) = ask(&state, "POST", "/api/playlists/3/refresh", "").await;
        assert_eq!((status, &counts["added"]), (200, &json!(1)));
        assert_eq!(ask(&state, "POST", "/api/playlists/4/refresh", "").await.0, 409);
        assert_eq!(ask(&state, "POST", "/api/playlists/9/refresh", "").await.0, 404);
        assert_eq!(ask(&state, "POST", run, "").await.1["items"], json!(4));
        // One that fails keeps what it held.
        std::fs::remove_file(file("b")).unwrap();
        assert_eq!(ask(&state, "POST", "/api/playlists/2/refresh", "").await.0, 502);
        let (_, shown) = ask(&state, "GET", "/api/playlists/2", "").await;
        assert_eq!((&shown["items"], shown["last_error"].is_string()), (&json!(2), true));
    });
}

#[test]
fn playlists_are_made_changed_and_removed() {
    tokio_uring::start(async {
        let state = state();
        set(&state, None, vec![playlist("Set", "http://u:hunter2@127.0.0.1:9/set")]).await;
        let new = r#"{"name":"Made","url":"xtream://u:hunter2@127.0.0.1:9","tuners":4,"user_agent":"tv/2","enabled":false}"#;
        let (status, made) = ask(&state, "POST", "/api/playlists", new).await;
        assert_eq!((status, &made["tuners"], &made["origin"]), (201, &json!(4), &json!("api")), "{made}");
        assert!(made["epg_url"].is_string() && !made.to_string().contains("hunter2"), "{made}");
        let path = format!("/api/playlists/{}", made["playlist_id"]);
        let (status, changed) = ask(&state, "PATCH", &path, r#"{"tuners":null,"name":"New"}"#).await;
        let shown = (&changed["tuners"], &changed["name"], &changed["user_agent"]);
        assert_eq!((status, shown), (200, (&json!(null), &json!("New"), &json!("tv/2"))));
        for (method, path, body, status, word) in [
            ("POST", "/api/playlists", r#"{"name":"x","url":"file:///etc/passwd"}"#, 400, "PLAYLIST_SOURCES"),
            ("POST", "/api/playlists", r#"{"name":"x","url":"xtream://127.0.0.1"}"#, 400, "xtream://name"),
            ("POST", "/api/playlists", r#"{"name":"x","url":"http://a b/"}"#, 400, "http://"),
            ("POST", "/api/playlists", r#"{"name":"x"}"#, 400, "url"),
            ("POST", "/api/playlists", r#"{"name":"x","url":"http://h/","tuners":0}"#, 400, "65536"),
            ("POST", "/api/playlists", r#"{"name":"new","url":"http://h/"}"#, 409, "name"),
            ("POST", "/api/playlists", r#"{"name":"x","url":"http://h/","tunerz":1}"#, 400, "tunerz"),
            ("PATCH", path.as_str(), "{}", 400, "allowed: name"),
            ("PATCH", "/api/playlists/2", r#"{"name":"x"}"#, 409, "PLAYLIST_SOURCES"),
            ("DELETE", "/api/playlists/2", "", 409, "PLAYLIST_SOURCES"),
            ("DELETE", "/api/playlists/9", "", 404, "9"),
        ] {
            let (found, answer) = ask(&state, method, path, body).await;
            let sentence = answer["error"].as_str().unwrap_or_default();
            assert_eq!((found, sentence.contains(word)), (status, true), "{method} {path} {body}: {answer}");
            assert!(!sentence.contains("hunter2"), "{sentence}");
        }
        assert_eq!(ask(&state, "DELETE", &path, "").await.0, 204);
        assert_eq!(ask(&state, "GET", &path, "").await.0, 404);
    });
}

#[test]
fn every_core_describes_its_sessions() {
    let (mailbox, mut core) = Mailbox::new().unwrap();
    let answering = std::thread::spawn(move || {
        let mut wakeup = std::fs::File::from(core.wakeup_descriptor().unwrap());
        wakeup.read_exact(&mut [0; 8]).unwrap();
        let Some(CoreCommand::Snapshot(reply)) = core.take() else { panic!("asked for something else") };
        reply(described::core(1, 3));
    });
    tokio_uring::start(async {
        let state = with(params(), vec![mailbox]);
        let (status, answer) = ask(&state, "GET", "/api/admin/tuners", "").await;
        assert_eq!((status, &answer["tuner_count"], &answer["idle_count"]), (200, &json!(3), &json!(2)));
    });
    answering.join().unwrap();
}

#[test]
fn a_core_that_does_not_answer_is_said_to_be_the_reason() {
    tokio_uring::start(async {
        let (mailbox, core) = Mailbox::new().unwrap();
        let state = with(params(), vec![mailbox]);
        drop(core);
        assert_eq!(ask(&state, "GET", "/api/admin/tuners", "").await.0, 503);
        let (status, answer) = ask(&self::state(), "GET", "/api/admin/tuners", "").await;
        assert_eq!((status, &answer["tuners"]), (200, &json!([])));
    });
}

#[test]
fn clearing_health_resets_the_database_first_and_then_tells_the_cores() {
    tokio_uring::start(async {
        let (mailbox, mut core) = Mailbox::new().unwrap();
        let state = with(params(), vec![mailbox]);
        for body in [r#"{"item_key":"a"}"#, r#"{"item_key":"b"}"#] {
            assert_eq!(ask(&state, "POST", "/api/channels", body).await.0, 200);
        }
        assert_eq!(ask(&state, "POST", "/api/channels/1/sources", r#"{"item_key":"b"}"#).await.0, 200);
        let fail = |source_id| HealthRow {
            source: SourceId(source_id),
            health: Some(Health { fail_count: 2, last_fail_at: 5, ..Health::default() }),
            profile: None,
        };
        let changes = [1, 2, 3].map(fail);
        state.ask_store(move |database| database.write_health(&changes)).await.unwrap();
        let fails = async || {
            let (_, listed) = ask(&state, "GET", "/api/channels/1/sources", "").await;
            let (_, other) = ask(&state, "GET", "/api/channels/2/sources", "").await;
            let count = |sources: &Value, index: usize| sources["sources"][index]["fail_count"].clone();
            [count(&listed, 0), count(&listed, 1), count(&other, 0)].map(|count| count.as_u64().unwrap())
        };
        assert_eq!(fails().await, [2, 2, 2]);
        std::iter::from_fn(|| core.take()).for_each(drop);

        let path = "/api/channels/1/sources/health/clear";
        assert_eq!(ask(&state, "POST", path, "").await, (200, json!({"cleared": 2})));
        assert_eq!(fails().await, [0, 0, 2]);
        // A core that hears of the clear has read the cleared rows before.
        let Some(CoreCommand::Lineup(lineup)) = core.take() else { panic!("told in another order") };
        assert_eq!(lineup.source(SourceId(1)).unwrap().1.health.fail_count, 0);
        assert!(matches!(core.take(), Some(CoreCommand::ClearHealth { channel: Some(ChannelId(1)) })));

        let path = "/api/channels/sources/health/clear";
        assert_eq!(ask(&state, "POST", path, "").await, (200, json!({"cleared": 3})));
        assert_eq!(fails().await, [0, 0, 0]);
        assert!(matches!(core.take(), Some(CoreCommand::Lineup(_))));
        assert!(matches!(core.take(), Some(CoreCommand::ClearHealth { channel: None })));
    });
}

#[test]
fn health_that_cannot_be_reset_is_not_forgotten_by_the_cores_either() {
    tokio_uring::start(async {
        let (mailbox, mut core) = Mailbox::new().unwrap();
        let state = with(params(), vec![mailbox]);
        assert_eq!(ask(&state, "POST", "/api/channels", r#"{"item_key":"a"}"#).await.0, 200);
        state.ask_store(|database| database.refuse_writes()).await.unwrap();
        std::iter::from_fn(|| core.take()).for_each(drop);
        for path in ["/api/channels/1/sources/health/clear", "/api/channels/sources/health/clear"] {
            assert_eq!(ask(&state, "POST", path, "").await.0, 500, "{path}");
        }
        assert!(core.take().is_none());
    });
}
