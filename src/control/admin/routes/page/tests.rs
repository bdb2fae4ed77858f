use std::rc::Rc;

use crate::control::admin::call::tests::{call_with, written};
use crate::control::admin::routes::answer;
use crate::control::state::State;
use crate::control::state::tests::state;
use crate::store::StoreError;

const FORM: &str =
    "Host: box.lan:5004\r\nContent-Type: application/x-www-form-urlencoded\r\nAccept: text/html\r\n";

async fn get(state: &Rc<State>, path: &str) -> String {
    let response = answer(call_with("GET", path, "Host: box.lan:5004\r\n", ""), Rc::clone(state)).await;
    let (head, body) = written(&response);
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}{body}");
    assert!(head.contains("Content-Security-Policy: default-src 'self'"), "{path}: {head}");
    assert!(
        !body.contains("<script>") && !body.contains(" style=") && !body.contains("hunter2"),
        "{path}: {body}"
    );
    body
}

/// Status, and where the answer leads or what it says.
async fn post(state: &Rc<State>, path: &str, form: &str) -> (u16, String) {
    let response = answer(call_with("POST", path, FORM, form), Rc::clone(state)).await;
    let (head, body) = written(&response);
    let leads = head.lines().find_map(|line| line.strip_prefix("Location: ")).map(str::to_owned);
    (response.status(), leads.unwrap_or(body))
}

async fn numbers(state: &State) -> Vec<String> {
    let channels = state.ask_store::<_, StoreError>(|database| database.channels()).await.unwrap();
    channels.into_iter().map(|channel| channel.guide_number).collect()
}

#[test]
fn a_channel_is_found_added_moved_changed_and_removed_by_forms_alone() {
    tokio_uring::start(async {
        let state = state();
        let found = get(&state, "/ui/add?q=news").await;
        assert!(found.contains("News a") && found.contains("Add as 100"), "{found}");
        let added =
            post(&state, "/ui/add", "item_key=a&guide_number=100&guide_name=News+%26+more&as=channel").await;
        assert_eq!(added, (303, "/ui/channels/1".to_owned()));
        assert_eq!(post(&state, "/ui/add", "item_key=b").await.0, 303);
        assert_eq!(numbers(&state).await, ["100", "101"]);
        assert!(get(&state, "/ui/add?q=news").await.contains("100 News &amp; more"));

        let moved =
            post(&state, "/ui/channels/2/move", "to=up&back=%2Fui%2Fchannels%3Foffset%3D0%23c-2").await;
        assert_eq!(moved, (303, "/ui/channels?offset=0#c-2".to_owned()));
        assert_eq!(numbers(&state).await, ["101", "100"]);
        assert_eq!(post(&state, "/ui/channels/2/move", "to=up").await.0, 303, "it is there already");

        let changed = post(&state, "/ui/channels/1/change", "guide_number=5.1&guide_name=<i>").await;
        assert_eq!(changed, (303, "/ui/channels".to_owned()));
        let listed = get(&state, "/ui/channels").await;
        assert!(
            listed.contains("5.1") && listed.contains("&lt;i&gt;") && !listed.contains("<i>"),
            "{listed}"
        );
        let (status, said) = post(&state, "/ui/channels/1/change", "guide_number=101&guide_name=x").await;
        assert!(status == 409 && said.contains("That was not done.") && said.contains("101"), "{said}");

        assert_eq!(post(&state, "/ui/channels/1/switch", "enabled=false").await.0, 303);
        assert!(get(&state, "/ui/channels?q=5.1").await.contains("○ off"));
        assert_eq!(post(&state, "/ui/channels/1/remove", "").await, (303, "/ui/channels".to_owned()));
        assert_eq!(numbers(&state).await, ["101"]);
    });
}

#[test]
fn sources_are_added_ordered_and_removed_by_forms_alone() {
    tokio_uring::start(async {
        let state = state();
        post(&state, "/ui/add", "item_key=a").await;
        let added = post(&state, "/ui/add", "item_key=b&as=source&of=100").await;
        assert_eq!(added, (303, "/ui/channels/1".to_owned()));
        let page = get(&state, "/ui/channels/1").await;
        let (a, b) = (page.find("/a.ts").unwrap(), page.find("/b.ts").unwrap());
        assert!(a < b, "{page}");
        assert_eq!(
            post(&state, "/ui/channels/1/sources/2/move", "to=first").await,
            (303, "/ui/channels/1".to_owned())
        );
        let page = get(&state, "/ui/channels/1").await;
        assert!(page.find("/a.ts").unwrap() > page.find("/b.ts").unwrap(), "{page}");
        assert_eq!(post(&state, "/ui/channels/1/sources/2/switch", "enabled=false").await.0, 303);
        assert!(get(&state, "/ui/channels/1").await.contains("○ off"));
        assert_eq!(post(&state, "/ui/channels/1/sources/2/remove", "").await.0, 303);
        assert!(!get(&state, "/ui/channels/1").await.contains("/b.ts"));
        assert_eq!(post(&state, "/ui/channels/1/forget", "back=/ui/channels/1").await.1, "/ui/channels/1");
        for (path, form, status) in [
            ("/ui/channels/1/sources/2/move", "to=up", 404),
            ("/ui/channels/1/sources/1/move", "to=away", 400),
            ("/ui/channels/1/sources/1/switch", "", 400),
            ("/ui/channels/9/move", "to=up", 404),
            ("/ui/channels/9/remove", "", 404),
            ("/ui/add", "", 400),
            ("/ui/add", "item_key=nobody", 404),
            ("/ui/add", "item_key=b&as=source&of=999", 404),
            ("/ui/add", "item_key=b&as=cat", 400),
            ("/ui/playlists", "name=x&url=file:///etc/passwd", 400),
            ("/ui/playlists", "name=x&url=http://host/&tuners=many", 400),
            ("/ui/playlists/9/read", "", 404),
            ("/ui/viewers/1-1/kick", "", 404),
        ] {
            let (found, said) = post(&state, path, form).await;
            assert_eq!(found, status, "{path} {form}: {said}");
            assert!(said.contains("role=alert") && said.contains("Back"), "{path}: {said}");
        }
    });
}

#[test]
fn whoever_reads_no_pages_is_refused_as_everywhere_else_and_nobody_is_led_away() {
    tokio_uring::start(async {
        let state = state();
        post(&state, "/ui/add", "item_key=a").await;
        let plain = "Host: box.lan:5004\r\n";
        let refused = answer(call_with("POST", "/ui/channels/9/remove", plain, ""), Rc::clone(&state)).await;
        assert!(written(&refused).1.starts_with("{\"error\":"), "{refused:?}");
        for back in ["http://evil.example/", "//evil.example/", "/api/x", "/ui/a%0d%0ab", "/ui/%5C"] {
            let form = format!("to=up&back={back}");
            assert_eq!(
                post(&state, "/ui/channels/1/move", &form).await,
                (303, "/ui/channels".to_owned()),
                "{back}"
            );
        }
        let evil = format!("{FORM}Origin: http://evil.example\r\n");
        let refused = answer(call_with("POST", "/ui/channels/1/remove", &evil, ""), Rc::clone(&state)).await;
        assert_eq!((refused.status(), numbers(&state).await.len()), (403, 1));
    });
}

#[test]
fn every_page_can_be_shown_where_there_is_nothing_yet_and_with_strange_questions() {
    tokio_uring::start(async {
        let state = state();
        for path in ["/ui/", "/ui/channels", "/ui/add", "/ui/playlists", "/ui/history", "/ui/system"] {
            let page = get(&state, path).await;
            assert!(page.contains(" aria-current=page") && page.contains("<h1>"), "{path}: {page}");
            get(&state, &format!("{path}?q=%3Cscript%3E&offset=x&day=%22&channel=%27&playlist=-1&reason=?"))
                .await;
            get(&state, &format!("{path}?q=zz&offset=18446744073709551615")).await;
        }
        let missing =
            answer(call_with("GET", "/ui/channels/7", "Host: box.lan\r\n", ""), Rc::clone(&state)).await;
        assert_eq!(missing.status(), 404);
    });
}
