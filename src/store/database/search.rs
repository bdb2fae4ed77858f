//! What is looked for among items: words that must be there and words that must not, alternatives of these, or a regular
//! expression.

use regex::{Regex, RegexBuilder};
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value;
use rusqlite::{Connection, Error};

/// The longest regular expression, and how much memory its program may take.
const REGEX_CHARS_MAX: usize = 512;
const REGEX_BYTES_MAX: usize = 1 << 20;
/// What regular expressions are asked by in SQL.
const FUNCTION: &str = "is_like";

/// How much of a search counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchLimits {
    /// Words of an alternative.
    pub terms_max: usize,
    /// Alternatives.
    pub disjuncts_max: usize,
    /// Characters of a word.
    pub term_chars_max: usize,
}

/// What was counted of a search, and what not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SearchCounts {
    pub terms_applied: usize,
    pub terms_dropped: usize,
    pub disjuncts_applied: usize,
    pub disjuncts_dropped: usize,
    pub term_rune_truncations: usize,
}

/// A regular expression that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the regular expression {pattern:?} cannot be used: {why}")]
pub struct SearchError {
    pattern: String,
    why: String,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// One of these alternatives holds; without any, everything is found.
    Terms { alternatives: Vec<Vec<Term>>, counts: SearchCounts },
    /// The name matches, whatever its case.
    Regex(String),
}

/// A word that must be in name or tvg-id, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    text: String,
    is_wanted: bool,
}

impl Term {
    /// In small letters, without blanks.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// It must be there, or must not.
    pub(super) const fn is_wanted(&self) -> bool {
        self.is_wanted
    }
}

impl Search {
    /// Words: `news sport` wants both, `-radio` and `!radio` do not want it, `a|b` and `a OR b` want either side.
    #[must_use]
    pub fn terms(text: &str, limits: SearchLimits) -> Self {
        let mut counts = SearchCounts::default();
        let mut alternatives: Vec<Vec<Term>> = Vec::new();
        for words in split_alternatives(text) {
            let terms: Vec<Term> = words.iter().filter_map(|word| term(word)).collect();
            if terms.is_empty() {
                continue;
            }
            if alternatives.len() == limits.disjuncts_max {
                counts.disjuncts_dropped += 1;
                continue;
            }
            counts.disjuncts_applied += 1;
            counts.terms_dropped += terms.len().saturating_sub(limits.terms_max);
            let cut = terms.into_iter().take(limits.terms_max).map(|mut term| {
                if term.text.chars().count() > limits.term_chars_max {
                    counts.term_rune_truncations += 1;
                    term.text = term.text.chars().take(limits.term_chars_max).collect();
                }
                counts.terms_applied += 1;
                term
            });
            let cut = cut.collect();
            alternatives.push(cut);
        }
        Self::Terms { alternatives, counts }
    }

    /// A regular expression, looked for in names whatever their case.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn regex(pattern: &str) -> Result<Self, SearchError> {
        let failed = |why: String| SearchError { pattern: pattern.chars().take(64).collect(), why };
        if pattern.chars().count() > REGEX_CHARS_MAX {
            return Err(failed(format!("it is longer than {REGEX_CHARS_MAX} characters")));
        }
        compiled(pattern).map_err(|error| {
            let text = error.to_string();
            failed(text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
        })?;
        Ok(Self::Regex(pattern.to_owned()))
    }

    /// What was counted of it, and what not. A regular expression counts as a whole.
    #[must_use]
    pub fn counts(&self) -> SearchCounts {
        match self {
            Self::Terms { counts, .. } => *counts,
            Self::Regex(_) => {
                SearchCounts { terms_applied: 1, disjuncts_applied: 1, ..SearchCounts::default() }
            }
        }
    }

    /// A condition on an item's row, and the values of its question marks.
    pub(super) fn condition(&self) -> (String, Vec<Value>) {
        match self {
            Self::Regex(pattern) => (format!("{FUNCTION}(?, name)"), vec![Value::from(pattern.clone())]),
            Self::Terms { alternatives, .. } if alternatives.is_empty() => ("1".to_owned(), Vec::new()),
            Self::Terms { alternatives, .. } => {
                let each = |term: &Term| {
                    if term.is_wanted { "instr(search_text, ?) > 0" } else { "instr(search_text, ?) = 0" }
                };
                let all_of = |terms: &Vec<Term>| {
                    format!("({})", terms.iter().map(each).collect::<Vec<_>>().join(" AND "))
                };
                let condition = alternatives.iter().map(all_of).collect::<Vec<_>>().join(" OR ");
                let values =
                    alternatives.iter().flatten().map(|term| Value::from(term.text.clone())).collect();
                (format!("({condition})"), values)
            }
        }
    }
}

/// Lets SQL ask for regular expressions.
pub(super) fn install(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function(FUNCTION, 2, flags, |context| {
        let regex = context.get_or_create_aux(0, |value| {
            compiled(value.as_str()?)
                .map_err(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>)
        })?;
        let text = context.get_raw(1).as_str().map_err(|error| Error::UserFunctionError(Box::new(error)))?;
        Ok(regex.is_match(text))
    })
}

pub(super) fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    builder(pattern).build()
}

/// The same for many names at once, with a line break behind each.
pub(super) fn compiled_for_lines(pattern: &str) -> Result<Regex, regex::Error> {
    builder(pattern).multi_line(true).build()
}

fn builder(pattern: &str) -> RegexBuilder {
    let mut builder = RegexBuilder::new(pattern);
    builder.case_insensitive(true).size_limit(REGEX_BYTES_MAX);
    builder
}

/// The words of each alternative.
fn split_alternatives(text: &str) -> Vec<Vec<String>> {
    let mut alternatives = vec![Vec::new()];
    for word in text.replace('|', " | ").split_whitespace() {
        if word == "|" || word.eq_ignore_ascii_case("or") {
            alternatives.push(Vec::new());
        } else if let Some(last) = alternatives.last_mut() {
            last.push(word.to_lowercase());
        }
    }
    alternatives
}

fn term(word: &str) -> Option<Term> {
    let unwanted = word.strip_prefix(['-', '!']).filter(|rest| !rest.is_empty());
    let term = match unwanted {
        Some(rest) => Term { text: rest.to_owned(), is_wanted: false },
        None => Term { text: word.to_owned(), is_wanted: true },
    };
    (!term.text.is_empty()).then_some(term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::filter::ItemFilter;
    use crate::store::fixtures::with_items;

    const LIMITS: SearchLimits = SearchLimits { terms_max: 3, disjuncts_max: 2, term_chars_max: 8 };

    fn found(search: Search) -> String {
        let names = ["FOX News", "FOX Sport", "BBC News", "Radio Fox (es)", "ČT Sport | HD"];
        let items: Vec<_> = ["1", "2", "3", "4", "5"].into_iter().zip(names).collect();
        let filter = ItemFilter { search: Some(search), ..ItemFilter::default() };
        let mut keys: Vec<_> = with_items(&items)
            .items(&filter)
            .unwrap()
            .items
            .into_iter()
            .map(|found| found.item.item_key)
            .collect();
        keys.sort();
        keys.concat()
    }

    #[test]
    fn words_are_wanted_or_not_and_alternatives_are_either() {
        for (text, expected) in [
            ("", "12345"),
            ("fox", "124"),
            ("FOX news", "1"),
            ("news fox", "1"),
            ("fox -radio", "12"),
            ("fox !radio -news", "2"),
            ("-fox", "35"),
            ("bbc|sport", "235"),
            ("bbc OR sport", "235"),
            ("bbc or sport -hd", "23"),
            ("| fox |", "124"),
            ("čt", "5"),
            ("-", ""),
            ("100%", ""),
        ] {
            assert_eq!(found(Search::terms(text, LIMITS)), expected, "{text}");
        }
    }

    #[test]
    fn a_regular_expression_is_held_against_the_whole_name() {
        for (pattern, expected) in
            [("^fox", "12"), ("news$", "13"), (r"fox|\(ES\)", "124"), (r"\| hd", "5"), ("", "12345")]
        {
            assert_eq!(found(Search::regex(pattern).unwrap()), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_regular_expression_is_refused_with_the_reason() {
        for (pattern, piece) in
            [("(", "unclosed group"), (r"a{1000}{1000}", "size"), (&"x".repeat(513), "512")]
        {
            let refused = Search::regex(pattern).unwrap_err().to_string();
            assert!(refused.contains(piece) && refused.starts_with("the regular expression"), "{refused}");
        }
    }

    #[test]
    fn what_is_beyond_the_limits_is_left_out_and_counted() {
        let search = Search::terms("a b c d e|averylongword|x|y z", LIMITS);
        let counts = search.counts();
        assert_eq!((counts.terms_applied, counts.terms_dropped), (4, 2));
        assert_eq!((counts.disjuncts_applied, counts.disjuncts_dropped), (2, 2));
        assert_eq!(counts.term_rune_truncations, 1);
        let (condition, values) = search.condition();
        assert_eq!(condition.matches('?').count(), values.len());
        assert_eq!(values.last(), Some(&Value::from("averylon".to_owned())));
    }
}
