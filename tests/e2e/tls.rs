//! Servers show who they are, whoever reads from them: directly, in segments, through ffmpeg, or the playlist.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tunerd::source::Trust;

use crate::kit::{Daemon, PROGRAMME, Upstream, children_of, exchange, judge, programme, run, until};

const RECORDING: Duration = Duration::from_millis(700);
const SHORT: Duration = Duration::from_secs(10);
/// A session stays for a while when nobody watches.
const LONG: Duration = Duration::from_secs(30);

/// A server with a certificate that it has made for itself as the usual tool does, and that in a file.
fn self_signed(folder: &Path) -> (Arc<ServerConfig>, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let file = folder.join("own.pem");
    fs::write(&file, Trust::new(true, vec![certificate.clone()]).unwrap().pem()).unwrap();
    (configured(certificate, &key), file)
}

fn configured(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}

/// An authority of its own, a server that it vouches for by this name, and the authority's certificate in a file.
pub(crate) fn server_named(name: &str, folder: &Path) -> (Arc<ServerConfig>, PathBuf) {
    server_until(name, 4000, folder)
}

/// The same until that year.
fn server_until(name: &str, until: i32, folder: &Path) -> (Arc<ServerConfig>, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let server_key = KeyPair::generate().unwrap();
    let mut names = CertificateParams::new(vec![name.to_owned()]).unwrap();
    names.not_after = date_time_ymd(until, 1, 1);
    let certificate = names.signed_by(&server_key, &issuer).unwrap().der().clone();
    let file = folder.join(format!("{name}-{until}.pem"));
    fs::write(&file, Trust::new(true, vec![root]).unwrap().pem()).unwrap();
    (configured(certificate, &server_key), file)
}

/// Encrypts what the provider sends; gives the port it listens on. Its threads end with the test.
fn encrypting(upstream: &Upstream, config: &Arc<ServerConfig>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (config, behind) = (Arc::clone(config), upstream.port());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let config = Arc::clone(&config);
            // Whoever refuses the certificate, or has seen enough, goes away.
            std::thread::spawn(move || pass_on(client.ok()?, config, behind));
        }
    });
    port
}

fn pass_on(client: TcpStream, config: Arc<ServerConfig>, behind: u16) -> Option<()> {
    let mut client = StreamOwned::new(ServerConnection::new(config).ok()?, client);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let mut provider = TcpStream::connect((Ipv4Addr::LOCALHOST, behind)).ok()?;
    provider.write_all(&head).ok()?;
    let mut buffer = [0; 16 * 1024];
    loop {
        match provider.read(&mut buffer).ok()? {
            0 => break,
            count => client.write_all(&buffer[..count]).ok()?,
        }
    }
    client.conn.send_close_notify();
    client.flush().ok()
}

/// What the provider offers: a stream, the same in segments, and a list of channels.
fn provider(folder: &Path) -> Upstream {
    let upstream = Upstream::start();
    upstream.offer("/file/a", programme(), PROGRAMME);
    let source = folder.join("programme.ts");
    fs::write(&source, programme()).unwrap();
    let list = folder.join("list.m3u8");
    let arguments = ["-v", "error", "-nostdin", "-i", source.to_str().unwrap(), "-c", "copy", "-f", "hls"];
    let arguments =
        [&arguments[..], &["-hls_time", "2", "-hls_list_size", "0", list.to_str().unwrap()]].concat();
    run("ffmpeg", &arguments);
    for (name, arguments) in [
        ("parts.m3u8", "-bsf:a aac_adtstoasc -hls_segment_type fmp4 -hls_fmp4_init_filename parts.mp4"),
        (
            "apart_%v.m3u8",
            "-map 0:v -map 0:a -bsf:a aac_adtstoasc -hls_segment_type fmp4 -hls_fmp4_init_filename apart_%v.mp4 \
             -master_pl_name apart.m3u8 -var_stream_map v:0,agroup:s~a:0,agroup:s,default:yes",
        ),
    ] {
        let list = folder.join(name);
        let fixed = format!("-v error -nostdin -i {} -c copy", source.display());
        let arguments = arguments.split(' ').map(|word| word.replace('~', " "));
        let all: Vec<_> = fixed.split(' ').map(str::to_owned).chain(arguments).collect();
        let last = ["-f", "hls", "-hls_time", "2", "-hls_list_size", "0", list.to_str().unwrap()];
        let all: Vec<_> = all.iter().map(String::as_str).chain(last).collect();
        run("ffmpeg", &all);
    }
    let manifest = folder.join("manifest.mpd");
    let dash = "-c copy -tag:v avc1 -tag:a mp4a -bsf:a aac_adtstoasc -f dash -seg_duration 2"
        .split(' ')
        .collect::<Vec<_>>();
    let input = ["-v", "error", "-nostdin", "-i", source.to_str().unwrap()];
    run("ffmpeg", &[&input[..], &dash, &[manifest.to_str().unwrap()]].concat());
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let path = format!("/whole/{}", file.file_name().unwrap().to_str().unwrap());
        upstream.offer_whole(&path, "application/octet-stream", fs::read(&file).unwrap());
    }
    upstream.offer_whole("/whole/live", "application/vnd.apple.mpegurl", fs::read(&list).unwrap());
    let channels = b"#EXTM3U\n#EXTINF:-1,One\nhttp://127.0.0.1:9/1\n".to_vec();
    upstream.offer_whole("/whole/channels", "audio/x-mpegurl", channels);
    upstream
}

/// Whether and how servers are verified: settings, and what becomes of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Case {
    OwnAuthority,
    Unknown,
    Off,
    WrongName,
    Expired,
    /// A certificate that the server has made for itself, and that is believed.
    SelfSigned,
    /// One that is not.
    Stranger,
}

impl Case {
    const ALL: [Self; 7] = [
        Self::OwnAuthority,
        Self::Unknown,
        Self::Off,
        Self::WrongName,
        Self::Expired,
        Self::SelfSigned,
        Self::Stranger,
    ];

    fn is_right(self) -> bool {
        matches!(self, Self::OwnAuthority | Self::Off | Self::SelfSigned)
    }

    /// Which of the servers is asked.
    fn server(self) -> usize {
        match self {
            Self::OwnAuthority | Self::Unknown | Self::Off => 0,
            Self::WrongName => 1,
            Self::Expired => 2,
            Self::SelfSigned | Self::Stranger => 3,
        }
    }
}

struct World {
    folder: tempfile::TempDir,
    upstream: Upstream,
    /// With the right name, with another, with one that is over, and with a certificate of its own.
    ports: [u16; 4],
    authorities: [String; 4],
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let upstream = provider(folder.path());
        let named = |name, until| server_until(name, until, folder.path());
        let servers = [
            named("127.0.0.1", 4000),
            named("elsewhere.example", 4000),
            named("127.0.0.1", 2020),
            self_signed(folder.path()),
        ];
        let ports = [0, 1, 2, 3].map(|at| encrypting(&upstream, &servers[at].0));
        let authorities = servers.map(|(_, file)| file.to_str().unwrap().to_owned());
        World { folder, upstream, ports, authorities }
    }

    fn url(&self, case: Case, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.ports[case.server()])
    }

    fn settings(&self, case: Case) -> Vec<(&'static str, &str)> {
        match case {
            Case::OwnAuthority | Case::WrongName | Case::Expired | Case::SelfSigned => {
                vec![("UPSTREAM_CA_FILE", &self.authorities[case.server()])]
            }
            Case::Unknown | Case::Stranger => vec![],
            Case::Off => vec![("UPSTREAM_TLS_VERIFY", "false")],
        }
    }
}

/// Looks at all cases at the same time.
fn for_each_case(look: impl Fn(Case) + Sync) {
    std::thread::scope(|scope| {
        for case in Case::ALL {
            let look = &look;
            scope.spawn(move || look(case));
        }
    });
}

fn last_reason(daemon: &Daemon, channel: i64) -> String {
    let sources = daemon.get(&format!("/api/channels/{channel}/sources")).json();
    sources["sources"][0]["last_fail_reason"].as_str().unwrap().to_owned()
}

#[test]
fn servers_are_verified_alike_whoever_reads_from_them() {
    let world = World::new();
    for_each_case(|case| {
        for (mode, path, producer) in [
            ("auto", "/file/a", "direct:"),
            ("auto", "/whole/list.m3u8", "direct:"),
            ("ffmpeg-copy", "/file/a", "ffmpeg-copy:"),
            // This ffmpeg may not verify what a list names: then it reads that through us.
            ("ffmpeg-copy", "/whole/list.m3u8", "ffmpeg-copy:"),
            // Its name does not tell what it is.
            ("ffmpeg-copy", "/whole/live", "ffmpeg-copy:"),
        ] {
            let quick = [("STREAM_MODE", mode), ("RECOVERY_FILLER_MODE", "psi"), ("MAX_FAILOVERS", "1")];
            let mut daemon = Daemon::start(&[&world.settings(case)[..], &quick].concat());
            let channel = daemon.channel("100", &[world.url(case, path)]);
            if case.is_right() {
                let findings = judge(&daemon.open("/auto/v100").watch(RECORDING));
                assert!(
                    findings.packets > 50 && findings.faults() == 0,
                    "{case:?} {mode} {path}: {findings:?}"
                );
            } else {
                assert_eq!(daemon.get("/auto/v100").status, 503, "{case:?} {mode} {path}");
                let reason = until(SHORT, "the reason is stored", || {
                    Some(last_reason(&daemon, channel)).filter(|reason| !reason.is_empty())
                });
                assert!(reason.contains("certificate"), "{case:?} {mode} {path}: {reason}: {}", daemon.log());
            }
            let status = daemon.tuners();
            let is_off = (case == Case::Off).then_some(true);
            assert_eq!(status["upstream_tls_unverified"].as_bool(), is_off, "{case:?} {mode} {path}");
            if case.is_right() {
                let source = &status["session_history"][0]["sources"][0];
                assert_eq!(source["tls_unverified"].as_bool(), is_off, "{case:?} {mode} {path}: {source}");
                assert!(source["producer"].as_str().unwrap().starts_with(producer), "{source}");
            }
        }
    });
}

#[test]
fn the_playlists_server_is_verified_as_sources_are() {
    let world = World::new();
    for case in Case::ALL {
        let url = world.url(case, "/whole/channels");
        let daemon = Daemon::start(&[&world.settings(case)[..], &[("PLAYLIST_URL", &url)]].concat());
        let (status, text) = until(SHORT, "the playlist is asked for", || {
            let answer = daemon.ask("POST", "/api/admin/jobs/playlist-sync/run?wait=true", "");
            Some((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
                .filter(|(status, _)| *status != 409)
        });
        assert_eq!(status == 200, case.is_right(), "{case:?}: {text}");
        assert!(case.is_right() || text.contains("certificate"), "{case:?}: {text}");
    }
    // It says so before it starts.
    let nowhere = world.folder.path().join("none.pem");
    let output = std::process::Command::new(crate::kit::binary())
        .env("UPSTREAM_CA_FILE", &nowhere)
        .arg("check")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("none.pem"), "{said}");
}

#[test]
fn a_source_or_its_profile_has_a_wish_and_the_status_shows_it() {
    let world = World::new();
    world.upstream.offer("/file/b", programme(), PROGRAMME);
    std::thread::scope(|scope| {
        for (mode, path) in [
            ("auto", "/file/a"),
            ("auto", "/whole/list.m3u8"),
            ("ffmpeg-copy", "/file/b"),
            ("ffmpeg-copy", "/whole/parts.m3u8"),
        ] {
            let world = &world;
            scope.spawn(move || wishes_are_heeded(world, mode, path));
        }
    });
    // Who was not let in has asked for nothing.
    assert_eq!(world.upstream.requests("/file/a").len(), 2);
    let url = world.url(Case::Unknown, "/whole/channels");
    let daemon = Daemon::start(&[("PLAYLIST_URL", url.as_str()), ("PLAYLIST_PROFILE", "box")]);
    for (method, path, wish) in [
        ("POST", "/api/profiles", r#"{"name":"box","tls_verify":true}"#),
        ("PUT", "/api/profiles/box", r#"{"tls_verify":false}"#),
    ] {
        let is_verified = wish.contains("true");
        assert!(daemon.ask(method, path, wish).status < 300);
        let answer = until(SHORT, "the playlist is asked for", || {
            Some(daemon.ask("POST", "/api/admin/jobs/playlist-sync/run?wait=true", ""))
                .filter(|answer| answer.status != 409)
        });
        assert_eq!(answer.status == 200, !is_verified, "{}", String::from_utf8_lossy(&answer.body));
    }
}

fn wishes_are_heeded(world: &World, mode: &str, path: &str) {
    let quick = [("SESSION_IDLE_TIMEOUT", "0"), ("RECOVERY_FILLER_MODE", "psi"), ("MAX_FAILOVERS", "1")];
    let mut daemon = Daemon::start(&[&[("STREAM_MODE", mode)], &quick[..]].concat());
    let channel = daemon.channel("100", &[world.url(Case::Unknown, path)]);
    let place = format!("/api/channels/{channel}/sources");
    let source = daemon.get(&place).json()["sources"][0].clone();
    assert_eq!(source["tls_verify"], Value::Null);
    let place = format!("{place}/{}", source["source_id"]);
    let made = daemon.ask("POST", "/api/profiles", r#"{"name":"box","tls_verify":false}"#);
    assert_eq!(made.status, 201);
    for (profile, wish, plays) in [
        (Value::Null, json!(false), true),
        (Value::Null, json!(true), false),
        (Value::Null, Value::Null, false),
        (json!("box"), Value::Null, true),
        (json!("box"), json!(true), false),
    ] {
        let carries = json!({ "profile": profile }).to_string();
        assert_eq!(daemon.ask("PATCH", &format!("/api/channels/{channel}"), &carries).status, 200);
        let changed = daemon.ask("PATCH", &place, &json!({ "tls_verify": wish }).to_string());
        assert_eq!((changed.status, &changed.json()["tls_verify"]), (200, &wish));
        assert_eq!(changed.json()["program"], Value::Null, "what is not named stays");
        daemon.ask("POST", &format!("/api/channels/{channel}/sources/health/clear"), "");
        if plays {
            let mut viewer = daemon.open("/auto/v100");
            assert_eq!(judge(&viewer.watch(RECORDING)).faults(), 0);
            let status = daemon.tuners();
            assert_eq!(status["tuners"][0]["tls_unverified"], true, "{status}");
            assert_eq!(status["upstream_tls_unverified"], Value::Null);
            drop(viewer);
            until(LONG, "the session has ended", || (daemon.tuners_in_use() == 0).then_some(()));
        } else {
            assert_eq!(daemon.get("/auto/v100").status, 503, "{mode} {path} {profile} {wish}");
        }
    }
}

/// What ffmpeg reads of a list: segments of fragmented MP4, with sound in the same, and in a list of its own, and DASH.
const LEFT_TO_FFMPEG: [&str; 3] = ["/whole/parts.m3u8", "/whole/apart.m3u8", "/whole/manifest.mpd"];

#[test]
fn segments_that_ffmpeg_reads_are_verified_like_those_that_we_read() {
    let world = World::new();
    for_each_case(|case| {
        for (mode, producer) in [("auto", "ffmpeg-copy:"), ("ffmpeg-transcode", "ffmpeg-transcode:")] {
            for path in LEFT_TO_FFMPEG {
                let mode_set =
                    [("STREAM_MODE", mode), ("RECOVERY_FILLER_MODE", "psi"), ("MAX_FAILOVERS", "1")];
                let mut daemon = Daemon::start(&[&world.settings(case)[..], &mode_set].concat());
                let channel = daemon.channel("100", &[world.url(case, path)]);
                if case.is_right() {
                    let findings = judge(&daemon.open("/auto/v100").watch(RECORDING));
                    let log = daemon.log();
                    assert!(
                        findings.packets > 50 && findings.faults() == 0,
                        "{case:?} {mode} {path}: {findings:?} {log}"
                    );
                    let status = daemon.tuners();
                    let source = &status["session_history"][0]["sources"][0];
                    assert!(source["producer"].as_str().unwrap().starts_with(producer), "{source}");
                } else {
                    assert_eq!(daemon.get("/auto/v100").status, 503, "{case:?} {mode} {path}");
                    let reason = until(SHORT, "the reason is stored", || {
                        Some(last_reason(&daemon, channel)).filter(|reason| !reason.is_empty())
                    });
                    assert!(reason.contains("certificate"), "{case:?} {mode} {path}: {reason}");
                }
            }
        }
    });
}

#[test]
fn a_server_that_only_the_list_names_is_verified_and_its_certificate_is_the_reason() {
    let world = World::new();
    let list = fs::read_to_string(world.folder.path().join("parts.m3u8")).unwrap();
    let elsewhere = world.url(Case::WrongName, "/whole/parts");
    world.upstream.offer_whole(
        "/whole/elsewhere.m3u8",
        "application/vnd.apple.mpegurl",
        list.replace("parts", &elsewhere).into_bytes(),
    );
    for (mode, path) in [("auto", "/whole/elsewhere.m3u8"), ("ffmpeg-transcode", "/whole/elsewhere.m3u8")] {
        let settings = [("STREAM_MODE", mode), ("RECOVERY_FILLER_MODE", "psi"), ("MAX_FAILOVERS", "1")];
        let mut daemon = Daemon::start(&[&world.settings(Case::OwnAuthority)[..], &settings].concat());
        let channel = daemon.channel("100", &[world.url(Case::OwnAuthority, path)]);
        assert_eq!(daemon.get("/auto/v100").status, 503, "{mode}");
        let reason = until(SHORT, "the reason is stored", || {
            Some(last_reason(&daemon, channel)).filter(|reason| !reason.is_empty())
        });
        assert!(reason.contains("certificate"), "{mode}: {reason}: {}", daemon.log());
    }
    assert_eq!(world.upstream.requests("/whole/parts.mp4").len(), 0);
}

/// The address that the daemon's ffmpeg reads.
fn address_of_child(daemon: &Daemon) -> String {
    until(SHORT, "ffmpeg runs", || {
        children_of(daemon.process()).iter().find_map(|child| {
            let line = fs::read_to_string(format!("/proc/{}/cmdline", child.0)).ok()?;
            line.split('\0').find(|word| word.starts_with("http://127.0.0.1:")).map(str::to_owned)
        })
    })
}

#[test]
fn what_ffmpeg_reads_through_us_is_asked_for_as_the_source_says_and_only_by_that_ffmpeg() {
    const CANARY: &str = "canary7741";
    let world = World::new();
    let list = fs::read(world.folder.path().join("parts.m3u8")).unwrap();
    let kind = "application/vnd.apple.mpegurl\r\nSet-Cookie: seen=1; Path=/";
    world.upstream.offer_whole("/whole/setting.m3u8", kind, list);
    let settings = [("STREAM_MODE", "auto"), ("LOG_LEVEL", "trace")];
    let mut daemon = Daemon::start(&[&world.settings(Case::OwnAuthority)[..], &settings].concat());
    let url = world.url(Case::OwnAuthority, "/whole/setting.m3u8");
    daemon.channel("100", &[format!("{url}|X-Key={CANARY}&User-Agent=Box/7")]);
    let files_before = daemon.process().descriptors();
    let mut viewer = daemon.open("/auto/v100");
    assert_eq!(judge(&viewer.watch(RECORDING)).faults(), 0, "{}", daemon.log());
    for path in ["/whole/parts.mp4", "/whole/parts0.m4s"] {
        let request = world.upstream.requests(path).pop().unwrap();
        for field in ["Cookie: seen=1", &format!("X-Key: {CANARY}"), "User-Agent: Box/7"] {
            assert!(request.contains(&format!("\r\n{field}\r\n")), "{path}: {request}");
        }
        assert!(request.contains("\r\nVia: "), "{path}: {request}");
    }
    let address = address_of_child(&daemon);
    let (place, path) = address["http://".len()..].split_once('/').unwrap();
    let port = place.rsplit_once(':').unwrap().1.parse().unwrap();
    let token = path.split_once('/').unwrap().0;
    let ask = |path: &str| {
        exchange(port, format!("GET /{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes())
    };
    let listed = ask(path).unwrap();
    let text = String::from_utf8(listed.body).unwrap();
    assert!(listed.status == 200 && text.contains(&format!("URI=\"/{token}/1.mp4\"")), "{text}");
    for wrong in [
        "",
        "0.m3u8",
        &format!("{}/0.m3u8", "0".repeat(token.len())),
        &format!("{token}/999999.ts"),
        &format!("{token}/{url}"),
    ] {
        assert_eq!(ask(wrong).unwrap().status, 404, "{wrong}");
    }
    for (what, text) in [("status", daemon.tuners().to_string()), ("log", daemon.log())] {
        assert!(!text.contains(token) && !text.contains(CANARY), "{what}: {text}");
    }
    drop(viewer);
    until(LONG, "the token has died with its child", || {
        ask(path).ok().filter(|answer| answer.status == 404).map(|_| ())
    });
    // The relay listens from now on.
    until(LONG, "nothing is left open", || {
        (daemon.process().descriptors() <= files_before + 1).then_some(())
    });
}

#[test]
fn a_list_that_http_leads_to_https_for_is_verified_too() {
    let world = World::new();
    let to = world.url(Case::OwnAuthority, "/whole/parts.m3u8");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let from = format!("http://127.0.0.1:{}/parts.m3u8", listener.local_addr().unwrap().port());
    let answer =
        format!("HTTP/1.1 302 -\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _its_head = client.read(&mut [0; 4096]);
            let _gone = client.write_all(answer.as_bytes());
        }
    });
    let mut daemon = Daemon::start(&world.settings(Case::OwnAuthority));
    daemon.channel("100", std::slice::from_ref(&from));
    let mut viewer = daemon.open("/auto/v100");
    assert_eq!(judge(&viewer.watch(RECORDING)).faults(), 0, "{}", daemon.log());
    assert_ne!(address_of_child(&daemon), from, "ffmpeg would not verify where it leads");
}

#[test]
fn a_manifest_that_names_other_servers_is_read_from_them_when_they_show_who_they_are() {
    let world = World::new();
    let manifest = fs::read_to_string(world.folder.path().join("manifest.mpd")).unwrap();
    for (case, plays) in [(Case::OwnAuthority, true), (Case::WrongName, false)] {
        for (at, text) in [
            // By a base, and by templates.
            manifest.replace("<Period", &format!("<BaseURL>{}</BaseURL><Period", world.url(case, "/whole/"))),
            manifest
                .replace("=\"init-", &format!("=\"{}init-", world.url(case, "/whole/")))
                .replace("=\"chunk-", &format!("=\"{}chunk-", world.url(case, "/whole/"))),
        ]
        .into_iter()
        .enumerate()
        {
            assert_ne!(text, manifest, "{at}");
            // It comes by plain HTTP, without a name that tells what it is.
            world.upstream.offer_whole("/whole/named", "application/dash+xml", text.into_bytes());
            let mut daemon = Daemon::start(&world.settings(Case::OwnAuthority));
            daemon.channel("100", &[world.upstream.url("/whole/named")]);
            if plays {
                let findings = judge(&daemon.open("/auto/v100").watch(RECORDING));
                assert!(findings.packets > 50 && findings.faults() == 0, "{at}: {findings:?}");
            } else {
                assert_eq!(daemon.get("/auto/v100").status, 503, "{at}: {}", daemon.log());
            }
        }
    }
}

#[test]
fn other_protocols_over_tls_are_verified_or_refused_with_the_setting_that_allows_them() {
    let world = World::new();
    let at = |scheme: &str, case: Case| world.url(case, "/app/one").replace("https", scheme);
    for (url, case, expected) in [
        (at("rtmps", Case::Unknown), Case::Unknown, "certificate"),
        (at("rtmps", Case::WrongName), Case::WrongName, "certificate"),
        // It speaks no RTMP, but is believed.
        (at("rtmps", Case::OwnAuthority), Case::OwnAuthority, "source closed"),
        (at("rtsps", Case::OwnAuthority), Case::OwnAuthority, "UPSTREAM_TLS_VERIFY"),
        (at("rtmpts", Case::OwnAuthority), Case::OwnAuthority, "UPSTREAM_TLS_VERIFY"),
    ] {
        let mut daemon = Daemon::start(&[&world.settings(case)[..], &[("MAX_FAILOVERS", "1")]].concat());
        let channel = daemon.channel("100", std::slice::from_ref(&url));
        assert_eq!(daemon.get("/auto/v100").status, 503, "{url}");
        let reason = until(SHORT, "the reason is stored", || {
            Some(last_reason(&daemon, channel)).filter(|reason| !reason.is_empty())
        });
        // A build that verifies by itself refuses by the certificate.
        let is_expected = reason.contains(expected)
            || (expected == "UPSTREAM_TLS_VERIFY" && reason.contains("certificate"));
        assert!(is_expected, "{url}: {reason}: {}", daemon.log());
    }
}
