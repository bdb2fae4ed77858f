//! Makes channels of the playlist's items through the server's own API.

use serde_json::Value;
use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

/// How long the server is given to read its playlist.
const LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// `http://host:port` of the server.
    #[arg(long)]
    server: String,
    #[arg(long)]
    count: usize,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let deadline = Instant::now() + LIMIT;
    let mut keys = item_keys(&args.server)?;
    while keys.len() < args.count {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("only {} items in the catalogue", keys.len())));
        }
        std::thread::sleep(POLL);
        keys = item_keys(&args.server)?;
    }
    for key in keys.into_iter().take(args.count) {
        let body = serde_json::json!({ "item_key": key }).to_string();
        let channel = post_json(&format!("{}/api/channels", args.server), &body)?;
        let mut number = None;
        visit(&channel, &mut |key, value| {
            if key == "guide_number" {
                number = value.as_str().map(str::to_owned).or_else(|| Some(value.to_string()));
            }
        });
        let number = number.ok_or_else(|| io::Error::other(format!("no guide_number in {channel}")))?;
        println!("{}/auto/v{number}", args.server);
    }
    Ok(())
}

fn item_keys(server: &str) -> io::Result<BTreeSet<String>> {
    let items = get_json(&format!("{server}/api/items?limit=1000"))?;
    let mut keys = BTreeSet::new();
    visit(&items, &mut |key, value| {
        if key == "item_key" {
            keys.extend(value.as_str().map(str::to_owned));
        }
    });
    Ok(keys)
}

/// Calls `see` with every named value, however deep.
pub(crate) fn visit(value: &Value, see: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                see(key, inner);
                visit(inner, see);
            }
        }
        Value::Array(values) => values.iter().for_each(|inner| visit(inner, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub(crate) fn get_json(url: &str) -> io::Result<Value> {
    parse(ureq::get(url).call())
}

fn post_json(url: &str, body: &str) -> io::Result<Value> {
    parse(ureq::post(url).content_type("application/json").send(body))
}

fn parse(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> io::Result<Value> {
    let text =
        response.and_then(|mut response| response.body_mut().read_to_string()).map_err(io::Error::other)?;
    serde_json::from_str(&text).map_err(io::Error::other)
}
