//! The settings file: `KEY=VALUE` lines, as in an environment file of systemd.

use super::problem::Problem;
use super::table::{WITHOUT_EFFECT, find};
use super::typo::meant_by;
use std::collections::BTreeMap;
use std::path::Path;

/// The largest settings file that is read. The documented example has a tenth of this.
pub const CONFIG_FILE_BYTES_MAX: usize = 256 * 1024;

/// What a file says: values by name, with their line.
#[derive(Debug, Default)]
pub(super) struct FileValues {
    pub(super) values: BTreeMap<&'static str, (usize, String)>,
    pub(super) without_effect: Vec<&'static str>,
    pub(super) problems: Vec<Problem>,
}

/// Reads the text of a settings file. Unlike in the environment, an unknown name is a problem: the file is
/// ours alone.
pub(super) fn parse_file(file: &Path, text: &str) -> FileValues {
    let mut found = FileValues::default();
    if text.len() > CONFIG_FILE_BYTES_MAX {
        let why = format!("is longer than {CONFIG_FILE_BYTES_MAX} bytes");
        found.problems.push(Problem::Unreadable { file: file.to_owned(), why });
        return found;
    }
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line_number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Err(why) = found.take_line(line, line_number) {
            found.problems.push(Problem::Line { file: file.to_owned(), line: line_number, why });
        }
    }
    found
}

impl FileValues {
    fn take_line(&mut self, line: &str, line_number: usize) -> Result<(), String> {
        // The line itself is never repeated: it may hold a password under a mistyped name.
        let (name, value) = line.split_once('=').ok_or("is not NAME=VALUE")?;
        let name = name.trim_end();
        let Some(setting) = find(name) else {
            if let Some(&known) = WITHOUT_EFFECT.iter().find(|known| **known == name) {
                self.without_effect.push(known);
                return Ok(());
            }
            let is_a_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !is_a_name || name.is_empty() || name.len() > 64 {
                return Err("does not start with a setting's name".to_owned());
            }
            let hint = meant_by(name).map_or_else(String::new, |meant| format!("; is {meant} meant?"));
            return Err(format!("{name} is not a setting{hint}"));
        };
        let value = unquote(value.trim()).map_err(|why| format!("{name} {why}"))?;
        if let Some((earlier, _)) = self.values.get(setting.env) {
            return Err(format!("{name} is already on line {earlier}"));
        }
        self.values.insert(setting.env, (line_number, value));
        Ok(())
    }
}

/// Takes the quotes off, as systemd does: nothing is special in single quotes, a backslash keeps the next
/// character in double quotes and outside.
fn unquote(value: &str) -> Result<String, &'static str> {
    const OPEN: &str = "has a quote that is not closed";
    if let Some(rest) = value.strip_prefix('\'') {
        let inner = rest.strip_suffix('\'').ok_or(OPEN)?;
        return if inner.contains('\'') { Err("has text after its quotes") } else { Ok(inner.to_owned()) };
    }
    let is_quoted = value.starts_with('"');
    let mut text = String::with_capacity(value.len());
    let mut rest = value.strip_prefix('"').unwrap_or(value).chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.push(rest.next().ok_or("ends with a backslash; a value is one line")?),
            '"' if is_quoted => {
                return if rest.as_str().is_empty() { Ok(text) } else { Err("has text after its quotes") };
            }
            c => text.push(c),
        }
    }
    if is_quoted { Err(OPEN) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> FileValues {
        parse_file(Path::new("tunerd.env"), text)
    }

    fn value(line: &str) -> Result<String, String> {
        let mut found = read(line);
        match found.problems.pop() {
            Some(problem) => Err(problem.to_string()),
            None => Ok(found.values.pop_first().unwrap().1.1),
        }
    }

    #[test]
    fn values_are_taken_as_systemd_takes_them() {
        for (line, expected) in [
            ("FRIENDLY_NAME=Living room", "Living room"),
            ("  FRIENDLY_NAME = Living room  ", "Living room"),
            ("FRIENDLY_NAME=\"Living room \"", "Living room "),
            ("FRIENDLY_NAME='a \"b\" \\c'", "a \"b\" \\c"),
            ("FRIENDLY_NAME=\"a \\\"b\\\" \\\\\"", "a \"b\" \\"),
            ("FRIENDLY_NAME=it's # here", "it's # here"),
            ("FRIENDLY_NAME=a=b", "a=b"),
            ("FRIENDLY_NAME=", ""),
            ("\u{feff}FRIENDLY_NAME=x", "x"),
        ] {
            assert_eq!(value(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number_and_never_repeated() {
        let found = read(
            "# a comment\n; another\n\nSTALL_DETECT=4s\nSTAL_DETECT=4s\nhunter2\nADMIN_AUHT=user:hunter2\n\
             ADMIN_AUTH=\"user:hunter2\nADMIN_AUTH='user:hunter2'x\nSTALL_DETECT=5s\nSTALL_POLICY=x\\\n\
             hunter 2=x\nFOREIGN=hunter2\nLOG_DIR=/tmp\n",
        );
        let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "tunerd.env line 5: STAL_DETECT is not a setting; is STALL_DETECT meant?",
                "tunerd.env line 6: is not NAME=VALUE",
                "tunerd.env line 7: ADMIN_AUHT is not a setting; is ADMIN_AUTH meant?",
                "tunerd.env line 8: ADMIN_AUTH has a quote that is not closed",
                "tunerd.env line 9: ADMIN_AUTH has a quote that is not closed",
                "tunerd.env line 10: STALL_DETECT is already on line 4",
                "tunerd.env line 11: STALL_POLICY ends with a backslash; a value is one line",
                "tunerd.env line 12: does not start with a setting's name",
                "tunerd.env line 13: FOREIGN is not a setting",
            ]
        );
        assert_eq!(found.values["STALL_DETECT"], (4, "4s".to_owned()));
        assert_eq!(found.without_effect, ["LOG_DIR"]);
    }

    #[test]
    fn a_file_that_is_too_long_is_refused() {
        let found = read(&"#".repeat(CONFIG_FILE_BYTES_MAX + 1));
        assert_eq!(found.problems.len(), 1);
        assert!(read(&"#".repeat(CONFIG_FILE_BYTES_MAX)).problems.is_empty());
    }
}
