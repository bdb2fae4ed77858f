//! What a regular expression cannot match without: words of which at least one stands in whatever it matches.
//!
//! They only narrow what is looked at, so it is enough to find some of the words, and right to find none.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// So many words are looked for at most.
const WORDS_MAX: usize = 16;
/// A shorter one narrows nothing.
const WORD_BYTES_MIN: usize = 2;
/// Letters of a class that are told apart; of more it is any letter.
const LETTERS_MAX: usize = 4;
/// What texts are held while a sequence is read: more are any text.
const TEXT_BYTES_MAX: usize = 64;

/// The words of a pattern, in small letters and without blanks, as names are searched.
pub(super) fn words(pattern: &str) -> Option<Vec<String>> {
    let parsed = ParserBuilder::new().case_insensitive(true).build().parse(pattern).ok()?;
    needed(&parsed)
}

/// Words of which one stands in every match.
fn needed(pattern: &Hir) -> Option<Vec<String>> {
    if let Some(words) = exact(pattern).as_deref().and_then(words_of) {
        return Some(words);
    }
    match pattern.kind() {
        HirKind::Capture(capture) => needed(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => needed(&repetition.sub),
        HirKind::Alternation(sides) => {
            let words: Vec<String> =
                sides.iter().map(needed).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
            (words.len() <= WORDS_MAX).then_some(words)
        }
        HirKind::Concat(parts) => of_sequence(parts),
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_) => None,
    }
}

/// The best of what its parts need, and of what those that are known exactly come to, one behind the other.
fn of_sequence(parts: &[Hir]) -> Option<Vec<String>> {
    let mut best: Option<Vec<String>> = None;
    let mut take = |words: Option<Vec<String>>| {
        if let Some(words) = words
            && best.as_deref().is_none_or(|best| worth(&words) > worth(best))
        {
            best = Some(words);
        }
    };
    let mut run = vec![String::new()];
    for part in parts {
        let texts = exact(part);
        if let Some(joined) = texts.as_deref().and_then(|texts| joined(&run, texts)) {
            run = joined;
            continue;
        }
        take(words_of(&run));
        run = texts.unwrap_or_else(|| vec![String::new()]);
        take(needed(part));
    }
    take(words_of(&run));
    best
}

/// A word for each text: its longest piece without blanks. Nothing when one has none that is long enough.
fn words_of(texts: &[String]) -> Option<Vec<String>> {
    let longest = |text: &String| {
        let pieces = text.split_whitespace();
        let longest = pieces.max_by_key(|piece| piece.len())?;
        (longest.len() >= WORD_BYTES_MIN).then(|| longest.to_owned())
    };
    let words: Vec<_> = texts.iter().map(longest).collect::<Option<_>>()?;
    (!words.is_empty()).then_some(words)
}

/// Long words narrow more, and so do few.
fn worth(words: &[String]) -> (usize, usize) {
    (words.iter().map(String::len).min().unwrap_or(0), WORDS_MAX.saturating_sub(words.len()))
}

/// All texts in small letters that it matches, if they are few.
fn exact(pattern: &Hir) -> Option<Vec<String>> {
    match pattern.kind() {
        // A place is no text.
        HirKind::Empty | HirKind::Look(_) => Some(vec![String::new()]),
        HirKind::Literal(literal) => {
            let text = str::from_utf8(&literal.0).ok()?;
            text.chars().all(is_small).then(|| vec![text.to_owned()])
        }
        HirKind::Class(Class::Unicode(class)) => {
            let mut texts = Vec::new();
            for range in class.ranges() {
                if range.len() > LETTERS_MAX {
                    return None;
                }
                texts.extend(
                    (range.start()..=range.end()).filter(|letter| is_small(*letter)).map(String::from),
                );
            }
            (!texts.is_empty() && texts.len() <= LETTERS_MAX).then_some(texts)
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Repetition(_) => None,
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Concat(parts) => {
            parts.iter().try_fold(vec![String::new()], |texts, part| joined(&texts, &exact(part)?))
        }
        HirKind::Alternation(sides) => {
            let texts: Vec<String> =
                sides.iter().map(exact).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
            (texts.len() <= WORDS_MAX).then_some(texts)
        }
    }
}

/// Each of the one with each of the other behind it, if they stay few and short.
fn joined(before: &[String], behind: &[String]) -> Option<Vec<String>> {
    if before.len() * behind.len() > WORDS_MAX {
        return None;
    }
    let pairs = before.iter().flat_map(|one| behind.iter().map(move |other| format!("{one}{other}")));
    let texts: Vec<_> = pairs.collect();
    texts.iter().all(|text| text.len() <= TEXT_BYTES_MAX).then_some(texts)
}

/// Whether a text in small letters may have it.
fn is_small(letter: char) -> bool {
    letter.to_lowercase().eq([letter])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pattern_needs_is_found_where_it_can_be() {
        for (pattern, expected) in [
            ("news [0-9]+000$", "news"),
            ("^world", "world"),
            ("cinema|drama", "cinema drama"),
            ("a(bc|de)f?x", "abc ade"),
            ("(?:hd|4k)$", "hd 4k"),
            ("x{3}", ""),
            ("(news)+", "news"),
            ("[0-9]+", ""),
            ("a|news", ""),
            ("", ""),
            (".*", ""),
            ("n.w", ""),
            ("one two three", "three"),
        ] {
            let found = words(pattern).unwrap_or_default();
            let is_plain = |word: &&String| word.is_ascii();
            let plain: Vec<_> = found.iter().filter(is_plain).cloned().collect();
            let expected: Vec<_> = expected.split_whitespace().collect();
            assert_eq!(plain, expected, "{pattern}");
        }
        assert_eq!(words("news").unwrap(), ["news", "newſ"], "letters that are one whatever their case");
        assert_eq!(words("kk"), Some(vec!["kk".to_owned()]), "small letters alone stand in what is searched");
    }
}
