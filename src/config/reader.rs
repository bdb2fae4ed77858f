//! Typed values out of what was typed, with every mistake kept for the end.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use super::duration::parse_duration;
use super::problem::{Problem, Warning, quote};
use super::raw::{Origin, Raw};
use super::secret::NOT_SHOWN;
use super::setting::{Kind, Setting};
use super::table::find;
use super::words::{Word, parse_word};

/// Reads settings one by one. A wrong one is noted and its default goes on in its place, so that one start
/// shows all mistakes.
pub(super) struct Reader<'raw> {
    raw: &'raw Raw,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    wrong: BTreeSet<&'static str>,
    /// Settings that were read.
    pub(super) read: BTreeSet<&'static str>,
}

impl<'raw> Reader<'raw> {
    pub(super) fn new(raw: &'raw Raw) -> Self {
        Self {
            raw,
            problems: Vec::new(),
            warnings: Vec::new(),
            wrong: BTreeSet::new(),
            read: BTreeSet::new(),
        }
    }

    /// A setting with a grammar of its own.
    pub(super) fn special<T, E: Display>(&mut self, env: &str, parse: impl Fn(&str) -> Result<T, E>) -> T {
        self.take(env, |_kind, text| parse(text).map_err(|why| why.to_string()))
    }

    /// The same, when an empty value means that there is none.
    pub(super) fn special_or_none<T, E: Display>(
        &mut self,
        env: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.special(env, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
    }

    pub(super) fn switch(&mut self, env: &str) -> bool {
        self.take(env, |_kind, text| match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "on" => Ok(true),
            "false" | "f" | "0" | "no" | "off" => Ok(false),
            _other => Err("is neither true nor false".to_owned()),
        })
    }

    pub(super) fn whole<T: TryFrom<i64>>(&mut self, env: &str) -> T {
        self.take(env, |kind, text| {
            let Kind::Whole { min, max } = kind else { unreachable!("{env} is read as a whole number") };
            let value: i64 = text.parse().map_err(|_not_a_number| "is not a whole number".to_owned())?;
            if !(min..=max).contains(&value) {
                return Err("is out of range".to_owned());
            }
            T::try_from(value).map_err(|_too_large| "is out of range".to_owned())
        })
    }

    /// A whole number of which zero says that there is none.
    pub(super) fn whole_or_none<T: TryFrom<i64> + PartialEq + From<u8>>(&mut self, env: &str) -> Option<T> {
        let value = self.whole::<T>(env);
        (value != T::from(0)).then_some(value)
    }

    pub(super) fn real(&mut self, env: &str) -> f64 {
        self.take(env, |kind, text| {
            let Kind::Real { min, max } = kind else { unreachable!("{env} is read as a number") };
            // Not a number is in no range.
            let value: f64 = text.parse().map_err(|_not_a_number| "is not a number".to_owned())?;
            if (min..=max).contains(&value) { Ok(value) } else { Err("is out of range".to_owned()) }
        })
    }

    pub(super) fn span(&mut self, env: &str) -> Duration {
        self.take(env, |kind, text| {
            let Kind::Span { min, max } = kind else { unreachable!("{env} is read as a duration") };
            let value = parse_duration(text).map_err(|why| why.to_string())?;
            if (min..=max).contains(&value) { Ok(value) } else { Err("is out of range".to_owned()) }
        })
    }

    /// A duration of which zero says that it is off.
    pub(super) fn span_or_off(&mut self, env: &str) -> Option<Duration> {
        let value = self.span(env);
        (!value.is_zero()).then_some(value)
    }

    pub(super) fn word<W: Word>(&mut self, env: &str) -> W {
        self.take(env, |_kind, text| parse_word(text).ok_or_else(|| "is not one of its words".to_owned()))
    }

    fn take<T>(&mut self, env: &str, parse: impl Fn(Kind, &str) -> Result<T, String>) -> T {
        let setting = known(env);
        self.read.insert(setting.env);
        let (_, text) = self.raw.value(setting);
        match parse(setting.kind, text) {
            Ok(value) => value,
            Err(why) => {
                self.wrong.insert(setting.env);
                let value = if setting.is_private() { NOT_SHOWN.to_owned() } else { quote(text) };
                let name = self.raw.name(setting);
                self.problems.push(Problem::Value { name, value, why, allowed: setting.kind.to_string() });
                parse(setting.kind, setting.default).expect("every default is allowed; a test reads them all")
            }
        }
    }

    /// Whether these settings are all right, so that it makes sense to compare them.
    pub(super) fn are_right(&self, names: &[&str]) -> bool {
        !names.iter().any(|name| self.wrong.contains(name))
    }

    /// Whether somebody gave a value.
    pub(super) fn is_given(&self, env: &str) -> bool {
        self.origin(env) != Origin::Default
    }

    /// Whether a setting's value is exactly this text.
    pub(super) fn is_typed(&self, env: &str, text: &str) -> bool {
        self.raw.value(known(env)).1 == text
    }

    /// Where a setting's value comes from.
    pub(super) fn origin(&self, env: &str) -> Origin {
        self.raw.value(known(env)).0
    }

    /// A setting's name as it was given.
    pub(super) fn name(&self, env: &str) -> String {
        self.raw.name(known(env))
    }

    /// A setting's name as it was given, and its value, for a sentence about several.
    pub(super) fn describe(&self, env: &str) -> String {
        let setting = known(env);
        assert!(!setting.is_private(), "{env} is never shown");
        format!("{} = {}", self.raw.name(setting), self.raw.value(setting).1)
    }

    pub(super) fn conflict(&mut self, text: String) {
        self.problems.push(Problem::Conflict(text));
    }

    pub(super) fn doubt(&mut self, text: String) {
        self.warnings.push(Warning::Doubtful(text));
    }
}

pub(super) fn known(env: &str) -> &'static Setting {
    find(env).unwrap_or_else(|| unreachable!("{env} is not in the table"))
}
