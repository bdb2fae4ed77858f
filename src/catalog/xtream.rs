//! Providers that are logged in to: what `player_api.php` answers becomes a playlist like any other.
//!
//! Panels differ in everything: numbers come as text and text as numbers, what is missing is `null`, `""` or `false`, and a list may
//! be an object whose keys are numbers. Whatever can be read is.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::http::Url;

/// Groups that are kept; streams of others have none.
const CATEGORIES_MAX: usize = 20_000;
/// Everything but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why there is no list. The texts hold no credentials.
#[derive(thiserror::Error, Debug, PartialEq, Eq)]
pub enum XtreamError {
    #[error(
        "the provider's address cannot be used; it is xtream://name:password@host, with a port if need be"
    )]
    Address,
    #[error("the provider does not answer as one that can be logged in to: {0}")]
    Answer(String),
    #[error("the provider refuses the login")]
    Refused,
    #[error("the provider's account cannot be used: it is {0}")]
    Inactive(String),
}

/// A name and a password at a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Scheme, host and port, and perhaps a path in front of everything.
    base: String,
    user: String,
    password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Login(..)")
    }
}

impl Login {
    /// Of `xtream://name:password@host:port`, which is asked by http, or `xtreams://…`, by https. Nothing for other addresses.
    #[must_use]
    pub fn parse(address: &str) -> Option<Result<Self, XtreamError>> {
        let (scheme, rest) = address.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "xtream" => "http",
            "xtreams" => "https",
            _other => return None,
        };
        Some(Self::of(scheme, rest).ok_or(XtreamError::Address))
    }

    fn of(scheme: &str, rest: &str) -> Option<Self> {
        let (login, place) = rest.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        let base = format!("{scheme}://{}", place.trim_end_matches('/'));
        Url::parse(&base).ok()?;
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Into::into);
        let (user, password): (String, String) = (decoded(user)?, decoded(password)?);
        (!user.is_empty() && !password.is_empty() && !base.contains(['?', '#'])).then_some(Self {
            base,
            user,
            password,
        })
    }

    /// Where the account is asked for, or with an action what it offers.
    #[must_use]
    pub fn api(&self, action: &str) -> String {
        let action = if action.is_empty() { String::new() } else { format!("&action={action}") };
        format!("{}/player_api.php?{}{action}", self.base, self.query())
    }

    /// Where its programme guide is.
    #[must_use]
    pub fn guide(&self) -> String {
        format!("{}/xmltv.php?{}", self.base, self.query())
    }

    fn query(&self) -> String {
        format!("username={}&password={}", encoded(&self.user), encoded(&self.password))
    }

    fn stream(&self, id: &str, format: &str) -> String {
        let (base, user, password) = (&self.base, encoded(&self.user), encoded(&self.password));
        format!("{base}/live/{user}/{password}/{}.{format}", encoded(id))
    }
}

/// What an account may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// How streams are asked for: `ts`, unless it may only have lists of segments.
    format: &'static str,
}

impl Account {
    /// Reads the answer to the login.
    ///
    /// # Errors
    /// When it is none, or the account cannot be used.
    pub fn read(from: impl Read) -> Result<Self, XtreamError> {
        let answer: Value = serde_json::from_reader(from).map_err(|error| not_json(&error))?;
        let Some(user) = answer.get("user_info").filter(|user| user.is_object()) else {
            return Err(XtreamError::Answer("it tells nothing of the account".to_owned()));
        };
        let field = |name: &str| user.get(name).map(text).unwrap_or_default();
        // Some say nothing more than what the account is.
        if user.get("auth").is_some() && field("auth") != "1" {
            return Err(XtreamError::Refused);
        }
        let status = field("status");
        if !status.is_empty() && !status.eq_ignore_ascii_case("active") {
            return Err(XtreamError::Inactive(status.chars().filter(|c| !c.is_control()).take(32).collect()));
        }
        let formats: Vec<String> = match user.get("allowed_output_formats") {
            Some(Value::Array(formats)) => formats.iter().map(text).collect(),
            Some(other) => vec![text(other)],
            None => Vec::new(),
        };
        let only_lists =
            formats.iter().any(|format| format == "m3u8") && !formats.iter().any(|format| format == "ts");
        Ok(Self { format: if only_lists { "m3u8" } else { "ts" } })
    }
}

/// The names of groups, by their ids.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Categories(BTreeMap<String, String>);

impl Categories {
    /// Reads the answer to `get_live_categories`. What is no list has none.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn read(from: impl Read) -> Result<Self, XtreamError> {
        let mut categories = BTreeMap::new();
        each(from, &mut |category: Value| {
            let field = |name: &str| category.get(name).map(text).unwrap_or_default();
            if categories.len() < CATEGORIES_MAX {
                categories.insert(field("category_id"), field("category_name"));
            }
            Ok(())
        })?;
        Ok(Self(categories))
    }
}

/// Writes the answer to `get_live_streams` as a playlist, stream by stream.
///
/// # Errors
/// When it is not JSON, or the list cannot be written.
pub fn write_list(
    login: &Login,
    account: &Account,
    categories: &Categories,
    streams: impl Read,
    to: &mut impl Write,
) -> Result<(), XtreamError> {
    let written = |result: io::Result<()>| result.map_err(|error| XtreamError::Answer(error.to_string()));
    written(writeln!(to, "#EXTM3U"))?;
    each(streams, &mut |stream: Value| {
        let field = |name: &str| stream.get(name).map(text).unwrap_or_default();
        let id = field("stream_id");
        if id.is_empty() || id == "0" {
            return Ok(());
        }
        let mut group_id = field("category_id");
        if group_id.is_empty()
            && let Some(first) = stream.get("category_ids").and_then(|ids| ids.get(0))
        {
            group_id = text(first);
        }
        let group = categories.0.get(&group_id).cloned().unwrap_or_default();
        let name = one_line(&field("name"));
        let (tvg_id, logo) = (quoted(&field("epg_channel_id")), quoted(&field("stream_icon")));
        let line = format!(
            "#EXTINF:-1 tvg-id=\"{tvg_id}\" tvg-name=\"{}\" tvg-logo=\"{logo}\" group-title=\"{}\",{name}\n{}\n",
            quoted(&name),
            quoted(&group),
            login.stream(&id, account.format)
        );
        written(to.write_all(line.as_bytes()))
    })
}

/// Gives each element of a list, or of an object whose keys are numbers. What is neither has no elements.
fn each(from: impl Read, give: &mut dyn FnMut(Value) -> Result<(), XtreamError>) -> Result<(), XtreamError> {
    struct Elements<'a> {
        give: &'a mut dyn FnMut(Value) -> Result<(), XtreamError>,
        failed: Option<XtreamError>,
    }

    impl Elements<'_> {
        fn give(&mut self, element: Value) {
            if self.failed.is_none() {
                self.failed = (self.give)(element).err();
            }
        }
    }

    impl<'de> Visitor<'de> for Elements<'_> {
        type Value = Option<XtreamError>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
            while let Some(element) = list.next_element()? {
                self.give(element);
            }
            Ok(self.failed)
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
            while let Some(key) = map.next_key::<String>()? {
                if key.bytes().all(|byte| byte.is_ascii_digit()) {
                    let element = map.next_value()?;
                    self.give(element);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(self.failed)
        }

        fn visit_bool<E>(self, _no: bool) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_str<E>(self, _text: &str) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_u64<E>(self, _number: u64) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    let mut json = serde_json::Deserializer::from_reader(from);
    let failed = json.deserialize_any(Elements { give, failed: None }).map_err(|error| not_json(&error))?;
    failed.map_or(Ok(()), Err)
}

fn not_json(error: &serde_json::Error) -> XtreamError {
    XtreamError::Answer(format!("it is not what was asked for, in line {}", error.line()))
}

/// A value as text, whatever it is. `false` is nothing, as `null` is.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(true) => "1".to_owned(),
        Value::Bool(false) | Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// For an attribute: double quotes would end it.
fn quoted(text: &str) -> String {
    one_line(text).replace('"', "'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::m3u::{Entries, Item};

    fn login() -> Login {
        Login::parse("xtream://na%40me:p:w%2Fd@tv.example:8080/").unwrap().unwrap()
    }

    fn account(text: &str) -> Result<Account, XtreamError> {
        Account::read(text.as_bytes())
    }

    /// What comes of these streams.
    fn items(categories: &str, streams: &str) -> Result<Vec<Item>, XtreamError> {
        let account = account(r#"{"user_info":{"auth":1,"status":"Active"}}"#)?;
        let mut list = Vec::new();
        write_list(
            &login(),
            &account,
            &Categories::read(categories.as_bytes())?,
            streams.as_bytes(),
            &mut list,
        )?;
        Ok(Entries::new(&list[..]).map(Result::unwrap).collect())
    }

    #[test]
    fn a_login_is_an_address_with_a_name_and_a_password() {
        let login = login();
        assert_eq!(
            login.api("get_live_streams"),
            "http://tv.example:8080/player_api.php?username=na%40me&password=p%3Aw%2Fd&action=get_live_streams"
        );
        assert_eq!(
            login.api(""),
            "http://tv.example:8080/player_api.php?username=na%40me&password=p%3Aw%2Fd"
        );
        assert_eq!(login.guide(), "http://tv.example:8080/xmltv.php?username=na%40me&password=p%3Aw%2Fd");
        assert_eq!(login.stream("7", "ts"), "http://tv.example:8080/live/na%40me/p%3Aw%2Fd/7.ts");
        let secure = Login::parse("XTREAMS://a:b@h/panel").unwrap().unwrap();
        assert_eq!(secure.stream("7", "m3u8"), "https://h/panel/live/a/b/7.m3u8");
        for wrong in [
            "xtream://h",
            "xtream://a@h",
            "xtream://:b@h",
            "xtream://a:@h",
            "xtream://a:b@",
            "xtream://a:b@h?x",
        ] {
            assert_eq!(Login::parse(wrong), Some(Err(XtreamError::Address)), "{wrong}");
        }
        assert_eq!(Login::parse("http://a:b@h/"), None);
        assert!(!format!("{login:?}").contains("p:w"));
    }

    #[test]
    fn accounts_say_in_many_ways_what_they_may() {
        let active = r#"{"user_info":{"username":"n","password":"p","message":"Enjoy","auth":1,"status":"Active","exp_date":"1746833038",
            "is_trial":"0","active_cons":"0","created_at":"1715275438","max_connections":"1","allowed_output_formats":["ts"]},
            "server_info":{"url":"example.com","port":"80","https_port":"","server_protocol":"http","rtmp_port":"8009",
            "timezone":"Europe/London","timestamp_now":1729335877,"time_now":"2024-10-19 12:04:37","process":true}}"#;
        for (text, format) in [
            (active, "ts"),
            (
                r#"{"user_info":{"auth":"1","status":"active","allowed_output_formats":["m3u8","ts","rtmp"]}}"#,
                "ts",
            ),
            (r#"{"user_info":{"auth":true,"status":null,"allowed_output_formats":["m3u8"]}}"#, "m3u8"),
            (r#"{"user_info":{"status":"Active","exp_date":null,"allowed_output_formats":false}}"#, "ts"),
        ] {
            assert_eq!(account(text).unwrap().format, format, "{text}");
        }
        for (text, error) in [
            (r#"{"user_info":{"auth":0}}"#, XtreamError::Refused),
            (r#"{"user_info":{"auth":false}}"#, XtreamError::Refused),
            (r#"{"user_info":{"auth":null}}"#, XtreamError::Refused),
            (r#"{"user_info":{"auth":1,"status":"Expired"}}"#, XtreamError::Inactive("Expired".to_owned())),
        ] {
            assert_eq!(account(text), Err(error), "{text}");
        }
        for text in ["", "[]", "{}", "<html>", r#"{"user_info":[]}"#] {
            assert!(matches!(account(text), Err(XtreamError::Answer(_))), "{text}");
        }
    }

    #[test]
    fn streams_become_entries_whatever_types_their_fields_have() {
        let categories = r#"[{"category_id":"1","category_name":"News","parent_id":0},{"category_id":2,"category_name":"UK \"HD\""},{"category_id":null,"category_name":null}]"#;
        let streams = r#"[
            {"num":1,"name":"One","stream_type":"live","stream_id":11,"stream_icon":"http://l/1.png","epg_channel_id":"one.uk","added":"1","category_id":"1","custom_sid":"","tv_archive":0,"direct_source":""},
            {"num":"2","name":"Two, \"too\"\nmore","stream_id":"12","stream_icon":null,"epg_channel_id":null,"added":1766611631,"category_id":2,"category_ids":[2]},
            {"num":3,"name":null,"stream_id":13,"stream_icon":false,"epg_channel_id":false,"category_id":null,"category_ids":[1]},
            {"num":4,"name":404,"stream_id":14,"category_id":"99"},
            {"num":5,"name":"no id","stream_id":null}, {"num":6,"name":"no id","stream_id":false}, {"stream_id":0}, "rubbish", null, []
        ]"#;
        let found = items(categories, streams).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|item| {
                (
                    item.name.as_str(),
                    item.group.as_str(),
                    item.tvg_id.as_str(),
                    item.url.rsplit('/').next().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("One", "News", "one.uk", "11.ts"),
                ("Two, \"too\" more", "UK 'HD'", "", "12.ts"),
                ("", "News", "", "13.ts"),
                ("404", "", "", "14.ts"),
            ]
        );
        assert_eq!(found[0].url, "http://tv.example:8080/live/na%40me/p%3Aw%2Fd/11.ts");
        assert_eq!(found[0].tvg_logo, "http://l/1.png");
    }

    #[test]
    fn a_list_may_be_an_object_or_nothing_at_all() {
        let object = r#"{"0":{"name":"A","stream_id":1},"7":{"name":"B","stream_id":2},"x":{"name":"C","stream_id":3}}"#;
        assert_eq!(items("false", object).unwrap().len(), 2);
        for nothing in ["false", "null", "[]", "{}", "\"\"", "0", r#"{"user_info":{"auth":0}}"#] {
            assert_eq!(items(nothing, nothing), Ok(Vec::new()), "{nothing}");
        }
        for broken in ["", "<html>", "[{\"name\":\"A\"", "[1,]"] {
            assert!(matches!(items("[]", broken), Err(XtreamError::Answer(_))), "{broken}");
        }
    }
}
