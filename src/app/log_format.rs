//! How a line of the log is written.

use std::fmt::Display;

use log::Level;
use serde_json::{Map, Value};

use tunerd::base::logfmt::{Line, fields};
use tunerd::config::LogFormat;

/// What the journal knows the level by, in front of a line (sd-daemon(3)).
const fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

/// A line, without its end. The journal has the time itself.
pub(crate) fn line(
    format: LogFormat,
    time: Option<impl Display>,
    level: Level,
    target: &str,
    message: &str,
) -> String {
    let is_line = message.starts_with("msg=\"");
    let message = if is_line { message.to_owned() } else { String::from(Line::new(message)) };
    let prefix = if time.is_none() { priority(level) } else { "" };
    match format {
        LogFormat::Logfmt => {
            let time = time.map(|time| format!("time={time} ")).unwrap_or_default();
            format!("{prefix}{time}level={level} target={target} {message}")
        }
        LogFormat::Json => {
            let mut object = Map::new();
            for (key, value) in fields(&message) {
                object.insert(key, Value::String(value));
            }
            // What a line says of itself does not take the place of what is known of it.
            for (key, value) in
                [("level", level.as_str()), ("target", target)].map(|(key, value)| (key, value.to_owned()))
            {
                object.insert(key.to_owned(), Value::String(value));
            }
            if let Some(time) = time {
                object.insert("time".to_owned(), Value::String(time.to_string()));
            }
            format!("{prefix}{}", Value::Object(object))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Option<&str> = Some("2026-03-01T20:15:00.000Z");
    const EVENT: &str =
        r#"msg="stream tune rejected" reason=no_tuners error="all \"tuners\"\nbusy" empty="""#;

    #[test]
    fn an_event_is_a_line_of_names_and_values_and_so_is_a_sentence() {
        let write = |time, message| line(LogFormat::Logfmt, time, Level::Warn, "tunerd::engine", message);
        assert_eq!(
            write(TIME, EVENT),
            format!("time=2026-03-01T20:15:00.000Z level=WARN target=tunerd::engine {EVENT}")
        );
        assert_eq!(
            write(TIME, "two\nlines"),
            "time=2026-03-01T20:15:00.000Z level=WARN target=tunerd::engine msg=\"two\\nlines\""
        );
        assert_eq!(write(None, "draining"), "<4>level=WARN target=tunerd::engine msg=\"draining\"");
    }

    #[test]
    fn json_holds_what_the_event_holds() {
        let text = line(LogFormat::Json, TIME, Level::Info, "tunerd", EVENT);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "time": "2026-03-01T20:15:00.000Z", "level": "INFO", "target": "tunerd",
                "msg": "stream tune rejected", "reason": "no_tuners", "error": "all \"tuners\"\nbusy", "empty": "",
            })
        );
        let text = line(LogFormat::Json, None::<&str>, Level::Error, "tunerd", "msg=\"x\" level=mine");
        assert_eq!(text, r#"<3>{"level":"ERROR","msg":"x","target":"tunerd"}"#);
    }

    #[test]
    fn every_level_has_its_priority() {
        let all = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
        assert_eq!(all.map(priority), ["<3>", "<4>", "<6>", "<7>", "<7>"]);
    }
}
