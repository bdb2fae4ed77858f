//! Whether answers are what the document of all routes says of them: every answer that the tests of routes get, and here those of each
//! route in several states, in which every field is sent that is described.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Value, json};

use super::answer;
use super::documents::ApiDocument;
use crate::base::json_schema::Schemas;
use crate::control::admin::call::tests::{call, written};
use crate::control::page::testing::{session, window};
use crate::control::params::{GuideSource, Guides};
use crate::control::state::State;
use crate::control::state::tests::{params, with};
use crate::engine::snapshot::{CoreCounters, CoreSnapshot, TunersSnapshot};
use crate::engine::{CoreCommand, CoreId, Mailbox, TriggerRefusal};
use crate::http::Response;
use crate::lineup::{Health, HealthRow, SourceId, StoredProfile, StreamProfile};
use crate::session::history::ClosedSnapshot;
use crate::store::{NewItem, NewPlaylist, PRIMARY_NAME};
use crate::ts::ProfileCodec;

const ROUTES: &str = "openapi.json";
const TUNERS: &str = "tuners.schema.json";

struct Described {
    document: Value,
    schemas: Schemas,
    /// Answers that said that something was done, by the name of the operation.
    answers: RefCell<BTreeMap<String, BTreeSet<String>>>,
}

thread_local! {
    static DESCRIBED: Described = {
        let document = |document: ApiDocument| serde_json::from_str::<Value>(document.text()).unwrap();
        let routes = document(ApiDocument::Routes);
        let schemas = Schemas::new([(ROUTES, routes.clone()), (TUNERS, document(ApiDocument::Tuners))]);
        Described { document: routes, schemas, answers: RefCell::default() }
    };
}

/// Panics when an answer is not what is said of it.
pub(super) fn check(method: &str, target: &str, response: &Response) {
    DESCRIBED.with(|described| described.check(method, target, response));
}

impl Described {
    /// The path of the document that somebody asks for.
    fn path(&self, target: &str) -> Option<&str> {
        let asked: Vec<&str> = target.split('?').next().unwrap().split('/').collect();
        let literal = |path: &str| {
            let pieces: Vec<&str> = path.split('/').collect();
            let fits = |(piece, asked): (&&str, &&str)| match piece.split_once('{') {
                None => piece == asked,
                Some((before, rest)) => {
                    let after = rest.split_once('}').unwrap().1;
                    asked.strip_prefix(before).is_some_and(|rest| rest.ends_with(after))
                }
            };
            let is_it = pieces.len() == asked.len() && pieces.iter().zip(&asked).all(fits);
            is_it.then(|| pieces.iter().filter(|piece| !piece.contains('{')).count())
        };
        let paths = self.document["paths"].as_object().unwrap().keys();
        paths.filter_map(|path| Some((literal(path)?, path.as_str()))).max().map(|(_, path)| path)
    }

    fn check(&self, method: &str, target: &str, response: &Response) {
        let (head, body) = written(response);
        let status = response.status().to_string();
        let Some(path) = self.path(target) else {
            assert_eq!(status, "404", "{method} {target} is not described");
            return;
        };
        let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
        let operation = &self.document["paths"][path][&method];
        if operation.is_null() {
            assert_eq!(status, "405", "{method} {target} is not described");
            return;
        }
        let responses = operation["responses"].as_object().unwrap();
        let (place, told) = responses.get_key_value(&status).unwrap_or_else(|| {
            assert!(response.status() >= 400, "{method} {target} is answered with {status}");
            responses.get_key_value("default").unwrap()
        });
        let pointer = told.get("$ref").map_or_else(
            || format!("/paths/{}/{method}/responses/{place}", path.replace('/', "~1")),
            |to| to.as_str().unwrap().trim_start_matches('#').to_owned(),
        );
        let told = self.document.pointer(&pointer).unwrap();
        let kind = head.lines().find_map(|line| line.strip_prefix("Content-Type: "));
        let kind = kind.map(|kind| kind.split(';').next().unwrap());
        let Some(contents) = told.get("content") else {
            assert!(body.is_empty(), "{method} {target} answers {body}, of which nothing is said");
            return;
        };
        let kind = kind.unwrap_or_else(|| panic!("{method} {target} says nothing: {head}"));
        assert!(contents.get(kind).is_some(), "{method} {target} answers with {kind}");
        if kind != "application/json" {
            return;
        }
        let value: Value = serde_json::from_str(&body).unwrap();
        let pointer = format!("{pointer}/content/application~1json/schema");
        let wrong = self.schemas.check(&value, ROUTES, &pointer, "the answer");
        assert_eq!(wrong, Ok(()), "{method} {target}: {value:#}");
        if response.status() < 300 {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            self.answers.borrow_mut().entry(name).or_default().insert(body);
        }
    }

    /// The properties that answers may have, and those of them that are nowhere said to be so.
    fn told(&self, schema: &Value, pointer: &str, all: &mut BTreeMap<String, Value>) {
        if let Some(to) = schema.get("$ref").and_then(Value::as_str) {
            // Those have a test of their own, beside what makes them.
            if to == TUNERS || to.ends_with("/TunerStatusSnapshot") {
                return;
            }
            let pointer = to.trim_start_matches('#');
            if !all.contains_key(pointer) {
                let schema = self.document.pointer(pointer).unwrap();
                all.insert(pointer.to_owned(), Value::Null);
                self.told(schema, pointer, all);
            }
            return;
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            assert_eq!(schema["additionalProperties"], json!(false), "{pointer}");
            for (name, property) in properties {
                let pointer = format!("{pointer}/properties/{name}");
                all.insert(pointer.clone(), property.clone());
                self.told(property, &pointer, all);
            }
        }
        if let Some(items) = schema.get("items") {
            self.told(items, &format!("{pointer}/items"), all);
        }
    }
}

fn item(key: &str) -> NewItem {
    NewItem {
        item_key: key.to_owned(),
        channel_key: "tvg:one".to_owned(),
        name: format!("News {key}"),
        group_name: "World".to_owned(),
        stream_url: format!("http://user:hunter2@host/{key}.ts"),
        attrs_json: "{}".to_owned(),
        ..NewItem::default()
    }
}

pub(super) fn core(sessions: u64, count: usize) -> CoreSnapshot {
    let live: Vec<_> =
        (0..sessions).map(|id| session(id, vec![window(1, 1, None, "initial_startup")], id)).collect();
    let live_count = live.len();
    CoreSnapshot {
        away: Vec::new(),
        core: CoreId(0),
        counters: CoreCounters::default(),
        tallies: crate::engine::Tallies::default(),
        sessions: live,
        viewers: 0,
        connections: 0,
        ring_bytes: 0,
        turn_longest: std::time::Duration::ZERO,
        send_wait: std::time::Duration::ZERO,
        is_saturated: false,
        closed: ClosedSnapshot::default(),
        tuners: Some(TunersSnapshot { count, in_use: live_count, leases: Vec::new() }),
        places: Vec::new(),
    }
}

/// A server with one core, which shows so many sessions, and so many tuners.
fn server(sessions: u64, tuners: usize, has_guide: bool) -> Rc<State> {
    let (mailbox, mut reader) = Mailbox::new().unwrap();
    let mut params = params();
    params.identity.tuner_count = tuners;
    if has_guide {
        let source = GuideSource { url: "http://user:hunter2@host/guide.xml".to_owned(), shift_seconds: 0 };
        params.guides = Guides { sources: vec![source], ..Guides::default() };
    }
    tokio_uring::spawn(async move {
        loop {
            match reader.take() {
                Some(CoreCommand::Snapshot(reply)) => reply(core(sessions, tuners)),
                Some(CoreCommand::TriggerRecovery { channel, reply, .. }) => {
                    reply(if channel.0 < 3 { Ok(()) } else { Err(TriggerRefusal::NotFound) });
                }
                Some(CoreCommand::Kick { viewer, reply, .. }) => reply(viewer < 3),
                Some(_) => {}
                None => tokio::task::yield_now().await,
            }
        }
    });
    with(params, vec![mailbox])
}

struct Client(Rc<State>);

impl Client {
    async fn ask(&self, method: &str, target: &str, body: &str) -> (u16, Value) {
        let response = answer(call(method, target, body), Rc::clone(&self.0)).await;
        check(method, target, &response);
        (response.status(), serde_json::from_str(&written(&response).1).unwrap_or(Value::Null))
    }

    /// Asks for something that is done.
    async fn done(&self, method: &str, target: &str, body: &str) -> Value {
        let (status, answer) = self.ask(method, target, body).await;
        assert!(status < 300, "{method} {target} {body}: {status} {answer}");
        answer
    }

    async fn read(&self, targets: &[&str]) {
        for target in targets {
            self.done("GET", target, "").await;
        }
    }

    /// A run that is over.
    async fn ended(&self, run: &Value) {
        let path = format!("/api/admin/jobs/{}", run["run_id"]);
        while self.done("GET", &path, "").await["status"] == "running" {
            tokio::task::yield_now().await;
        }
    }
}

const LISTS: [&str; 25] = [
    "/healthz",
    "/discover.json",
    "/status.json",
    "/lineup.json",
    "/lineup_status.json",
    "/api/guide",
    "/api/items",
    "/api/groups",
    "/api/groups?include_counts=no",
    "/api/suggestions/duplicates",
    "/api/channels",
    "/api/profiles",
    "/api/rules",
    "/api/dynamic-channels",
    "/api/playlists",
    "/api/admin/jobs",
    "/api/admin/automation",
    "/api/admin/dvr",
    "/api/admin/dvr/lineups",
    "/api/admin/dvr/lineups?refresh=yes",
    "/api/channels/dvr",
    "/api/admin/tuners",
    "/api/admin/tuners?format=2",
    "/api/openapi.json",
    "/api/tuners.schema.json",
];

/// Answers that are the same in every state.
const CONSTANT: [&str; 4] =
    ["get_healthz", "get_api_admin_dvr", "get_api_openapi_json", "get_api_tuners_schema_json"];

#[test]
fn each_route_answers_as_is_said_in_several_states_and_sends_every_field_that_is_described() {
    tokio_uring::start(async {
        let quiet = Client(server(0, 2, false));
        quiet.read(&LISTS).await;
        quiet.done("POST", "/api/channels/sources/health/clear", "").await;
        let busy = Client(server(3, 4, true));
        fill(&busy).await;
        busy.read(&LISTS).await;
        busy.read(&["/api/items?q=^new&q_regex=1&limit=1", "/api/admin/jobs?name=playlist_sync"]).await;
        take_away(&busy).await;
    });
    DESCRIBED.with(|described| {
        let seen = described.schemas.seen();
        let (mut told, mut names) = (BTreeMap::new(), BTreeSet::new());
        let paths = described.document["paths"].as_object().unwrap();
        let operations = paths.values().flat_map(|item| item.as_object().unwrap().values());
        for operation in operations.filter(|operation| operation.get("operationId").is_some()) {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let Some(schema) = response.pointer("/content/application~1json/schema") else { continue };
                let name = operation["operationId"].as_str().unwrap();
                let is_said = ["$ref", "anyOf", "items"].iter().any(|word| schema.get(word).is_some());
                assert!(is_said, "{name} answers {status} with anything");
                described.told(schema, name, &mut told);
                names.insert(name.to_owned());
            }
        }
        assert!(told.len() > 250, "{} fields are described", told.len());
        let is_field = |pointer: &&String| pointer.contains("/properties/");
        let never: Vec<_> = told
            .keys()
            .filter(is_field)
            .filter(|pointer| !seen.contains(&format!("{ROUTES}#{pointer}")))
            .collect();
        assert!(never.is_empty(), "described, and never sent: {never:#?}");
        let answers = described.answers.borrow();
        for name in names {
            let states = answers.get(&name).map_or(0, BTreeSet::len);
            assert!(states >= if CONSTANT.contains(&&*name) { 1 } else { 2 }, "{name}: {states} answers");
        }
    });
}

/// Everything that can be made, and changed.
async fn fill(client: &Client) {
    let state = &client.0;
    let now = state.wall_now();
    let items = ["a", "b", "c", "d"].map(item);
    state.ask_store(move |database| database.refresh_items(&items, now)).await.unwrap();
    for name in ["hd", "sd"] {
        let profile = json!({
            "name": name, "mode": "ffmpeg-transcode", "variant_max": "720p", "program": 3, "tls_verify": false,
            "headers": {"Cookie": "a=hunter2"}, "ffmpeg_input": ["-probesize", "100000"], "ffmpeg_output": ["-b:v", "2M"]
        });
        client.done("POST", "/api/profiles", &profile.to_string()).await;
        let path = format!("/api/profiles/{name}");
        client.done("GET", &path, "").await;
        client.done("PUT", &path, "{}").await;
        client.done("GET", &path, "").await;
    }
    let rule = json!({"enabled": true, "group_names": ["World"], "search_query": "^n", "search_regex": true});
    let body =
        json!({"item_key": "a", "guide_number": "7", "profile": "hd", "program": 2, "tls_verify": true});
    for (key, rule) in [("a", Value::Null), ("b", rule)] {
        let mut body = body.clone();
        (body["item_key"], body["guide_number"]) = (json!(key), Value::Null);
        if !rule.is_null() {
            body["dynamic_rule"] = rule;
        }
        client.done("POST", "/api/channels", &body.to_string()).await;
    }
    for channel in [1, 2] {
        let path = format!("/api/channels/{channel}");
        client.done("GET", &path, "").await;
        client.done("PATCH", &path, &json!({"guide_name": "Other"}).to_string()).await;
        let sources = format!("{path}/sources");
        client.done("GET", &sources, "").await;
        let clears = format!("{sources}/health/clear");
        client.done("POST", &clears, "").await;
        let listed = client.done("GET", &sources, "").await;
        let source = format!("{sources}/{}", listed["sources"][0]["source_id"]);
        client.done("PATCH", &source, r#"{"enabled":false}"#).await;
        client.done("PATCH", &source, r#"{"enabled":true,"program":null,"tls_verify":null}"#).await;
        for _ in 0..2 {
            client.done("POST", &format!("{sources}/same-key"), "").await;
            client.done("POST", &clears, "").await;
        }
        client.done("GET", &format!("{path}/dvr"), "").await;
        assert_eq!(client.ask("PUT", &format!("{path}/dvr"), "{}").await.0, 501);
        client.done("POST", "/api/admin/tuners/recovery", &json!({"channel_id": channel}).to_string()).await;
        client.done("POST", &format!("/api/admin/viewers/1-{channel}/kick"), "").await;
    }
    // A source goes, and comes again.
    for _ in 0..2 {
        let sources = "/api/channels/1/sources";
        let listed = client.done("GET", sources, "").await;
        let last = listed["sources"].as_array().unwrap().last().unwrap();
        client.done("DELETE", &format!("{sources}/{}", last["source_id"]), "").await;
        client.done("POST", sources, &json!({"item_key": last["item_key"]}).to_string()).await;
    }
    assert_eq!(client.ask("POST", "/api/admin/tuners/recovery", r#"{"channel_id":9}"#).await.0, 404);
    assert_eq!(client.ask("POST", "/api/admin/viewers/1-9/kick", "").await.0, 404);
    let changes = [1, 2].map(|source| HealthRow {
        source: SourceId(source),
        health: Some(Health { fail_count: 2, last_fail_at: 5, ..Health::default() }),
        profile: Some(StoredProfile {
            probed_at: 7,
            stream: StreamProfile {
                height: 720,
                video_codec: ProfileCodec::of_name("h264"),
                audio_codec: ProfileCodec::of_name("aac"),
                ..StreamProfile::default()
            },
        }),
    });
    state.ask_store(move |database| database.write_health(&changes)).await.unwrap();
    for path in ["/api/admin/jobs/auto-prioritize/cache/clear", "/api/channels/sources/health/clear"] {
        client.done("POST", path, "").await;
        client.done("POST", path, "").await;
    }
    for (name, is_regex, guide_start) in [("one", false, 500), ("two", true, 600)] {
        let rule =
            json!({"name": name, "q": "news", "q_regex": is_regex, "guide_start": guide_start, "count": 3});
        let made = client.done("POST", "/api/rules", &rule.to_string()).await;
        let path = format!("/api/rules/{}", made["rule_id"]);
        client.done("GET", &path, "").await;
        client.done("PUT", &path, &rule.to_string()).await;
        let block =
            json!({"name": name, "group_names": ["World"], "search_query": "news", "search_regex": is_regex});
        let made = client.done("POST", "/api/dynamic-channels", &block.to_string()).await;
        let path = format!("/api/dynamic-channels/{}", made["query_id"]);
        client.done("GET", &path, "").await;
        client.done("GET", &format!("{path}/channels"), "").await;
        client.done("PATCH", &path, r#"{"enabled":true}"#).await;
        client.done("PATCH", &path, &json!({"name": format!("new {name}")}).to_string()).await;
    }
    read_playlists(client).await;
    client.done("POST", "/lineup.post?scan=start", "").await;
}

async fn read_playlists(client: &Client) {
    let state = &client.0;
    let folder = tempfile::tempdir().unwrap();
    let playlist = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, "#EXTINF:-1,C\nhttp://h/c\n").unwrap();
        NewPlaylist {
            name: name.to_owned(),
            url: path.to_str().unwrap().to_owned(),
            tuners: Some(2),
            user_agent: None,
            is_enabled: true,
        }
    };
    let (first, other) = (playlist(PRIMARY_NAME), playlist("Other"));
    state.ask_store(move |database| database.set_playlists(Some(&first), &[other])).await.unwrap();
    let new = r#"{"name":"Made","url":"upload:made","tuners":4,"user_agent":"tv/2"}"#;
    let made = client.done("POST", "/api/playlists", new).await;
    client
        .done("POST", "/api/playlists", r#"{"name":"Off","url":"xtream://u:p@127.0.0.1:9","enabled":false}"#)
        .await;
    let uploaded = format!("/api/playlists/{}", made["playlist_id"]);
    for list in ["#EXTINF:-1,C\nhttp://h/c\n", "#EXTINF:-1,C\nhttp://h/c\n#EXTINF:-1,D\nhttp://h/d\n"] {
        client.done("PUT", &format!("{uploaded}/list"), list).await;
    }
    for path in ["/api/playlists/1", &uploaded] {
        client.done("GET", path, "").await;
    }
    client.done("PATCH", &uploaded, r#"{"tuners":null}"#).await;
    client.done("PATCH", &uploaded, r#"{"tuners":3}"#).await;
    client.done("POST", "/api/playlists/1/refresh", "").await;
    client.done("POST", "/api/playlists/1/refresh", "").await;
    let run = "/api/admin/jobs/playlist-sync/run";
    client.done("POST", &format!("{run}?wait=true"), "").await;
    for _ in 0..2 {
        let run = client.done("POST", run, "").await;
        client.ended(&run).await;
        let run = client.done("POST", "/api/admin/jobs/auto-prioritize/run", "").await;
        client.done("POST", &format!("/api/admin/jobs/{}/cancel", run["run_id"]), "").await;
        client.ended(&run).await;
    }
    drop(folder);
    let failing = client.done("POST", run, "").await;
    client.ended(&failing).await;
    client.done("PUT", "/api/admin/automation", r#"{"timezone":"Europe/Berlin"}"#).await;
    let schedule = json!({"playlist_sync": {"enabled": true, "cron_spec": "30 3 * * *"}});
    client.done("PUT", "/api/admin/automation", &schedule.to_string()).await;
}

/// What is left is shown, and taken away.
async fn take_away(client: &Client) {
    let listed = client.done("GET", "/api/channels?limit=2", "").await;
    assert!(listed["total"].as_u64() > Some(2), "{listed}");
    assert_eq!(client.ask("POST", "/lineup.post?scan=x", "").await.0, 400);
    for path in ["/api/channels/1", "/api/rules/1", "/api/dynamic-channels/2"] {
        client.done("DELETE", path, "").await;
        assert_eq!(client.ask("DELETE", path, "").await.0, 404);
    }
}
