//! What a pack holds, and how it is written: the rows of up to 512 items and the words of their searched texts, each word once.
//!
//! No word that is looked for has blanks in it, so a text holds it when one of its words does. Most words of a list come again and
//! again: the pack has each of those once, with the rows it stands in; words of one row alone stand by row.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter};

use crate::store::quick::Quick;

/// Items of a pack: those whose row numbers are the same but for so many bits.
pub(super) const ROW_BITS: u32 = 9;
pub(super) const ROWS_MAX: usize = 1 << ROW_BITS;
/// Of so many rows or more a word has a bit for each row, else their numbers.
const BITS_FROM: usize = 32;

const BITS_BYTES: usize = ROWS_MAX / 8;
const PLAYLIST_BYTES: usize = 8 + BITS_BYTES;

/// Some of the rows of a pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Bits([u64; ROWS_MAX / 64]);

impl Bits {
    const fn all() -> Self {
        Self([u64::MAX; ROWS_MAX / 64])
    }

    pub(super) fn set(&mut self, slot: u16) {
        self.0[usize::from(slot) / 64] |= 1 << (slot % 64);
    }

    pub(super) fn has(&self, slot: u16) -> bool {
        self.0[usize::from(slot) / 64] & 1 << (slot % 64) != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// In their order.
    pub(super) fn slots(&self) -> impl Iterator<Item = u16> {
        (0_u16..).step_by(64).zip(self.0).flat_map(|(first, word)| {
            let next = |word: &u64| Some(word & (word - 1)).filter(|left| *left != 0);
            let words = std::iter::successors(Some(word).filter(|word| *word != 0), next);
            words.map(move |word| first + u16::try_from(word.trailing_zeros()).unwrap_or(0))
        })
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        self.with(other, |one, other| one & other)
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        self.with(other, |one, other| one | other)
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        self.with(other, |one, other| one & !other)
    }

    fn with(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|at| of(self.0[at], other.0[at])))
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.0.into_iter().flat_map(u64::to_le_bytes)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut words =
            bytes.get(..BITS_BYTES)?.chunks_exact(8).map(|word| word.try_into().map(u64::from_le_bytes));
        let mut bits = Self::default();
        for bits in &mut bits.0 {
            *bits = words.next()?.ok()?;
        }
        Some(bits)
    }
}

/// What is written of a pack.
#[derive(Default)]
pub(super) struct Written {
    /// Read by [`Rows::read`].
    pub(super) rows: Vec<u8>,
    /// Read by [`Words::read`].
    pub(super) words: Vec<u8>,
    /// Read by [`Groups::read`].
    pub(super) groups: Vec<u8>,
    /// Names as they are searched, each with a line break behind it; that of an odd row is missing.
    pub(super) names: Vec<u8>,
}

/// Which rows there are, and what they are.
pub(super) struct Rows {
    pub(super) present: Bits,
    /// In their playlist now.
    pub(super) active: Bits,
    /// The name differs from its searched form by more than capital letters.
    pub(super) odd: Bits,
    playlists: Vec<(i64, Bits)>,
}

impl Rows {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.chunks(BITS_BYTES);
        let present = Bits::read(parts.next()?)?;
        let active = Bits::read(parts.next()?)?;
        let odd = Bits::read(parts.next()?)?;
        let of_playlists = bytes[3 * BITS_BYTES..].chunks_exact(PLAYLIST_BYTES);
        let playlist = |bytes: &[u8]| {
            let (number, rows) = bytes.split_at_checked(8)?;
            Some((i64::from_le_bytes(number.try_into().ok()?), Bits::read(rows)?))
        };
        of_playlists.remainder().is_empty().then_some(())?;
        let playlists = of_playlists.map(playlist).collect::<Option<_>>()?;
        Some(Self { present, active, odd, playlists })
    }

    pub(super) fn of_playlist(&self, playlist: i64) -> Bits {
        let of_it = self.playlists.iter().find(|(number, _)| *number == playlist);
        of_it.map_or_else(Bits::default, |(_, rows)| *rows)
    }
}

/// The words of a pack.
pub(super) struct Words<'a> {
    /// Those that stand in one row alone: a line for each row.
    single: &'a [u8],
    /// Those that stand in several: a line for each.
    shared: &'a [u8],
    /// The rows of each shared word.
    rows: &'a [u8],
    slots: Vec<u16>,
}

impl<'a> Words<'a> {
    pub(super) fn read(bytes: &'a [u8], present: &Bits) -> Option<Self> {
        let (single, rest) = take(bytes)?;
        let (shared, rows) = take(rest)?;
        Some(Self { single, shared, rows, slots: present.slots().collect() })
    }

    /// The rows that hold what is looked for; nothing when this is no pack.
    pub(super) fn find(&self, word: &Finder<'_>) -> Option<Bits> {
        if word.needle().is_empty() {
            return Some(Bits::all());
        }
        let mut found = Bits::default();
        let mut rows = self.slots.iter();
        for skipped in Lines::new(self.single, word) {
            found.set(*rows.nth(skipped)?);
        }
        let mut places = self.rows;
        for skipped in Lines::new(self.shared, word) {
            for _ in 0..skipped {
                places = Place::read(places)?.1;
            }
            let (place, rest) = Place::read(places)?;
            places = rest;
            match place {
                Place::Bits(rows) => found = found.or(&rows),
                Place::Slots(slots) => {
                    for slot in slots.chunks_exact(2) {
                        let slot = u16::from_le_bytes(slot.try_into().ok()?);
                        (usize::from(slot) < ROWS_MAX).then(|| found.set(slot))?;
                    }
                }
            }
        }
        Some(found)
    }
}

/// The rows of a word.
enum Place<'a> {
    Bits(Bits),
    Slots(&'a [u8]),
}

impl<'a> Place<'a> {
    /// What begins here, and what stands behind it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&count, rest) = bytes.split_first()?;
        if usize::from(count) >= BITS_FROM {
            let (bits, rest) = rest.split_at_checked(BITS_BYTES)?;
            return Some((Self::Bits(Bits::read(bits)?), rest));
        }
        let (slots, rest) = rest.split_at_checked(2 * usize::from(count))?;
        Some((Self::Slots(slots), rest))
    }
}

/// The lines that hold a word: how many stand in front of each, behind the one before.
struct Lines<'a> {
    text: &'a [u8],
    word: &'a Finder<'a>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a [u8], word: &'a Finder<'a>) -> Self {
        Self { text, word }
    }
}

impl Iterator for Lines<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.word.find(self.text)?;
        let skipped = memchr_iter(b'\n', &self.text[..at]).count();
        let end = memchr(b'\n', &self.text[at..]).map_or(self.text.len(), |end| at + end + 1);
        self.text = &self.text[end..];
        Some(skipped)
    }
}

/// The groups of a pack's items.
pub(super) struct Groups<'a> {
    pub(super) names: Vec<&'a str>,
    /// The number of each row's group.
    of_rows: &'a [u8],
}

impl<'a> Groups<'a> {
    pub(super) fn read(bytes: &'a [u8], present: &Bits) -> Option<Self> {
        let (count, mut rest) = bytes.split_at_checked(2)?;
        let count = u16::from_le_bytes(count.try_into().ok()?);
        let mut names = Vec::with_capacity(usize::from(count).min(ROWS_MAX));
        for _ in 0..count {
            let (name, behind) = take(rest)?;
            names.push(str::from_utf8(name).ok()?);
            rest = behind;
        }
        let is_whole = rest.len() as u64 == present.count() * 2;
        let groups = Self { names, of_rows: rest };
        let is_right = is_whole && groups.numbers().all(|number| number < groups.names.len());
        is_right.then_some(groups)
    }

    fn numbers(&self) -> impl Iterator<Item = usize> {
        let number = |bytes: &[u8]| usize::from(bytes[0]) | usize::from(bytes[1]) << 8;
        self.of_rows.chunks_exact(2).map(number)
    }

    /// Each row with the number of its group.
    pub(super) fn of(&self, present: &Bits) -> impl Iterator<Item = (u16, usize)> {
        present.slots().zip(self.numbers())
    }

    /// The rows of some groups.
    pub(super) fn rows(&self, present: &Bits, asked: &[String]) -> Bits {
        let is_asked: Vec<bool> =
            self.names.iter().map(|name| asked.iter().any(|asked| asked == name)).collect();
        let mut rows = Bits::default();
        for (slot, group) in self.of(present) {
            if is_asked[group] {
                rows.set(slot);
            }
        }
        rows
    }
}

/// A length and what is so long, and what stands behind that.
fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(4)?;
    let length = u32::from_le_bytes(length.try_into().ok()?);
    rest.split_at_checked(usize::try_from(length).ok()?)
}

fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("512 texts of a list are shorter");
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(bytes);
}

/// A pack that is being made, of rows in their order.
#[derive(Default)]
pub(super) struct Making {
    present: Bits,
    active: Bits,
    odd: Bits,
    playlists: Vec<(i64, Bits)>,
    groups: HashMap<String, u16, BuildHasherDefault<Quick>>,
    group_names: Vec<u8>,
    group_of: Vec<u8>,
    /// The searched texts, and each row with the end of its own.
    texts: String,
    ends: Vec<(u16, usize)>,
    names: Vec<u8>,
}

/// A word of a pack, while that is made.
struct Word {
    rows: u16,
    last: u16,
}

impl Making {
    pub(super) fn add(
        &mut self,
        slot: u16,
        is_active: bool,
        playlist: i64,
        group: &str,
        searched: &str,
        name: &str,
    ) {
        let folded = searched.split('\n').next().unwrap_or_default();
        let is_odd = name.contains('İ') || !is_lower_of(folded, name);
        self.present.set(slot);
        if is_active {
            self.active.set(slot);
        }
        if is_odd {
            self.odd.set(slot);
        } else {
            self.names.extend_from_slice(folded.as_bytes());
        }
        self.names.push(b'\n');
        match self.playlists.iter_mut().find(|(number, _)| *number == playlist) {
            Some((_, rows)) => rows.set(slot),
            None => {
                let mut rows = Bits::default();
                rows.set(slot);
                self.playlists.push((playlist, rows));
            }
        }
        let number = self.groups.get(group).copied().unwrap_or_else(|| {
            let number = u16::try_from(self.groups.len()).expect("a pack has no more groups than items");
            self.groups.insert(group.to_owned(), number);
            put(&mut self.group_names, group.as_bytes());
            number
        });
        self.group_of.extend_from_slice(&number.to_le_bytes());
        self.texts.push_str(searched);
        self.ends.push((slot, self.texts.len()));
    }

    pub(super) fn written(self) -> Written {
        let mut rows: Vec<u8> = [self.present, self.active, self.odd].iter().flat_map(Bits::bytes).collect();
        for (number, of_it) in &self.playlists {
            rows.extend_from_slice(&number.to_le_bytes());
            rows.extend(of_it.bytes());
        }
        let groups = u16::try_from(self.groups.len()).expect("a pack has no more groups than items");
        let groups = [&groups.to_le_bytes(), self.group_names.as_slice(), &self.group_of].concat();
        Written { rows, words: self.words(), groups, names: self.names }
    }

    fn words(&self) -> Vec<u8> {
        let mut numbers: HashMap<&str, usize, BuildHasherDefault<Quick>> =
            HashMap::with_capacity_and_hasher(8 * self.ends.len(), BuildHasherDefault::default());
        let mut words: Vec<Word> = Vec::with_capacity(8 * self.ends.len());
        // The words of all rows, and where those of each end.
        let mut of_rows: Vec<(usize, &str)> = Vec::with_capacity(8 * self.ends.len());
        let mut ends = Vec::with_capacity(self.ends.len());
        let mut start = 0;
        for (slot, end) in &self.ends {
            for text in self.texts[start..*end].split_whitespace() {
                let number = *numbers.entry(text).or_insert(words.len());
                match words.get_mut(number) {
                    Some(word) if word.last == *slot => continue,
                    Some(word) => {
                        word.rows += 1;
                        word.last = *slot;
                    }
                    None => words.push(Word { rows: 1, last: *slot }),
                }
                of_rows.push((number, text));
            }
            ends.push(of_rows.len());
            start = *end;
        }
        let (mut single, mut shared) = (Vec::new(), Vec::new());
        // The shared words, by the order in which they come first, and the rows of each.
        let mut place_of = vec![usize::MAX; words.len()];
        let mut places: Vec<Vec<u16>> = Vec::new();
        let mut start = 0;
        for ((slot, _), end) in self.ends.iter().zip(ends) {
            let mut is_first = true;
            for (number, text) in &of_rows[start..end] {
                if words[*number].rows > 1 {
                    if place_of[*number] == usize::MAX {
                        place_of[*number] = places.len();
                        places.push(Vec::with_capacity(usize::from(words[*number].rows)));
                        shared.extend_from_slice(text.as_bytes());
                        shared.push(b'\n');
                    }
                    places[place_of[*number]].push(*slot);
                } else {
                    if !is_first {
                        single.push(b' ');
                    }
                    single.extend_from_slice(text.as_bytes());
                    is_first = false;
                }
            }
            single.push(b'\n');
            start = end;
        }
        let mut bytes = Vec::with_capacity(single.len() + shared.len() + 64 * places.len());
        put(&mut bytes, &single);
        put(&mut bytes, &shared);
        for rows in places {
            if rows.len() < BITS_FROM {
                bytes.push(u8::try_from(rows.len()).expect("they are few"));
                bytes.extend(rows.iter().flat_map(|slot| slot.to_le_bytes()));
            } else {
                let mut bits = Bits::default();
                rows.into_iter().for_each(|slot| bits.set(slot));
                bytes.push(u8::MAX);
                bytes.extend(bits.bytes());
            }
        }
        bytes
    }
}

/// Whether the one is the other in small letters.
fn is_lower_of(lower: &str, text: &str) -> bool {
    if text.is_ascii() {
        lower.len() == text.len()
            && lower.bytes().zip(text.bytes()).all(|(lower, byte)| lower == byte.to_ascii_lowercase())
    } else {
        lower == text.to_lowercase()
    }
}
