//! A playlist's entries in the order of their keys, whatever their number: sorted in pieces, which lie in a file.

use std::cmp::Reverse;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::store::{Entry, NewItem, key_in, told_apart};

/// How much is sorted at once. It lies in one piece, so that all of it is given back.
const PIECE_BYTES: usize = 2 * 1024 * 1024;
/// What is read of each sorted piece at once.
const BUFFER_BYTES: usize = 32 * 1024;

/// Entries as they come, before they are sorted.
pub struct Staging {
    playlist_id: i64,
    piece_bytes: usize,
    /// Records one behind the other, and where each begins.
    piece: Vec<u8>,
    starts: Vec<usize>,
    file: BufWriter<File>,
    /// Where each sorted piece ends in the file.
    ends: Vec<u64>,
    written: u64,
    /// What tells entries apart, as numbers that are hashes already.
    distinct: HashSet<u64, BuildHasherDefault<Hashed>>,
    hasher: RandomState,
}

/// Sorted entries; those of one key with different addresses are told apart.
pub struct Staged {
    pieces: Vec<Piece>,
    /// The key of each piece's next entry, and which piece it is. Those of one key come in the order in which they came.
    next: BinaryHeap<Reverse<(String, usize)>>,
    /// What stands behind the key that was read last.
    read: Vec<u8>,
    /// Entries that were told apart, until it is their turn.
    twins: BTreeMap<String, Entry>,
    count: u64,
}

/// A sorted piece, read up to the key of its next entry; the rest of that is in `rest`.
struct Piece {
    from: BufReader<Section>,
    rest: Vec<u8>,
}

/// Gives back the number that it is fed.
#[derive(Default)]
struct Hashed(u64);

/// A part of a file.
struct Section {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Staging {
    /// Of a playlist. `file` is empty, and nobody else's.
    #[must_use]
    pub fn new(playlist_id: i64, file: File) -> Self {
        Self::within(playlist_id, file, PIECE_BYTES)
    }

    fn within(playlist_id: i64, file: File, piece_bytes: usize) -> Self {
        Self {
            playlist_id,
            piece_bytes,
            piece: Vec::new(),
            starts: Vec::new(),
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            ends: Vec::new(),
            written: 0,
            distinct: HashSet::default(),
            hasher: RandomState::new(),
        }
    }

    /// One more entry.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, item: &NewItem) -> io::Result<()> {
        let key = key_in(self.playlist_id, &item.item_key);
        self.distinct.insert(self.hasher.hash_one((&key, &item.stream_url)));
        self.starts.push(self.piece.len());
        if self.piece.capacity() == 0 {
            self.piece.reserve_exact(self.piece_bytes);
        }
        let length = |bytes: usize| u32::try_from(bytes).map(u32::to_le_bytes).map_err(io::Error::other);
        self.piece.extend_from_slice(&length(key.len())?);
        self.piece.extend_from_slice(key.as_bytes());
        let start = self.piece.len();
        self.piece.extend_from_slice(&[0; 4]);
        Entry::write(item, &mut self.piece);
        let written = length(self.piece.len() - start - 4)?;
        self.piece[start..start + 4].copy_from_slice(&written);
        if self.piece.len() >= self.piece_bytes / 8 * 7 { self.write_piece() } else { Ok(()) }
    }

    /// Sorts what has gathered, and writes it.
    fn write_piece(&mut self) -> io::Result<()> {
        let piece = &self.piece;
        for (_, start) in sorted(piece, &self.starts) {
            let (_key, rest) = field(piece, start);
            let (_rest, end) = field(piece, rest);
            self.file.write_all(&piece[start..end])?;
        }
        self.written += self.piece.len() as u64;
        self.ends.push(self.written);
        self.piece.clear();
        self.starts.clear();
        Ok(())
    }

    /// All have come: gives them back sorted.
    ///
    /// # Errors
    /// When the file cannot be written or read.
    pub fn finish(mut self) -> io::Result<Staged> {
        if !self.starts.is_empty() {
            self.write_piece()?;
        }
        let count = self.distinct.len() as u64;
        let file = Arc::new(self.file.into_inner().map_err(io::IntoInnerError::into_error)?);
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let piece = |(at, end)| {
            let from = BufReader::with_capacity(BUFFER_BYTES, Section { file: Arc::clone(&file), at, end });
            Piece { from, rest: Vec::new() }
        };
        let mut pieces: Vec<_> = starts.zip(self.ends.iter().copied()).map(piece).collect();
        let mut next = BinaryHeap::with_capacity(pieces.len());
        for (number, piece) in pieces.iter_mut().enumerate() {
            next.extend(piece.next_key()?.map(|key| Reverse((key, number))));
        }
        Ok(Staged { pieces, next, read: Vec::new(), twins: BTreeMap::new(), count })
    }
}

/// Where records begin, in the order of their keys; those of one key stay in their order. Keys of a list begin alike: what stands
/// behind that is compared as a number, and the whole only where that is the same.
fn sorted(piece: &[u8], starts: &[usize]) -> Vec<(u64, usize)> {
    let key = |start: usize| field(piece, start).0;
    let first = starts.first().map(|start| key(*start)).unwrap_or_default();
    let alike = |start: &usize| first.iter().zip(key(*start)).take_while(|(one, other)| one == other).count();
    let skipped = starts.iter().map(alike).min().unwrap_or(0);
    let head = |start: usize| {
        let mut head = [0; 8];
        let rest = &key(start)[skipped..];
        let length = rest.len().min(8);
        head[..length].copy_from_slice(&rest[..length]);
        u64::from_be_bytes(head)
    };
    let mut sorted: Vec<_> = starts.iter().map(|start| (head(*start), *start)).collect();
    sorted.sort_unstable_by(|(one_head, one), (other_head, other)| {
        one_head.cmp(other_head).then_with(|| key(*one).cmp(key(*other))).then(one.cmp(other))
    });
    sorted
}

/// The field that begins there, and where the next one does.
fn field(piece: &[u8], start: usize) -> (&[u8], usize) {
    let (length, rest) = piece[start..].split_at(4);
    let length = u32::from_le_bytes(length.try_into().expect("it was split so")) as usize;
    (&rest[..length], start + 4 + length)
}

impl Staged {
    /// How many items there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The next so many of them; fewer only at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn take(&mut self, max: usize) -> io::Result<VecDeque<Entry>> {
        let mut items = VecDeque::with_capacity(max);
        while items.len() < max {
            let Some(item) = self.next()? else { break };
            items.push_back(item);
        }
        Ok(items)
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        let is_twin_next = match (self.twins.first_key_value(), self.next.peek()) {
            (Some((twin, _)), Some(Reverse((key, _)))) => twin < key,
            (twin, None) => twin.is_some(),
            (None, Some(_)) => false,
        };
        if is_twin_next {
            return Ok(self.twins.pop_first().map(|(_, item)| item));
        }
        let Some(first) = self.pop()? else { return Ok(None) };
        if self.next.peek().is_none_or(|Reverse((key, _))| key != first.key()) {
            return Ok(Some(first));
        }
        let mut same = vec![first];
        while let Some(Reverse((key, _))) = self.next.peek()
            && key == same[0].key()
        {
            same.extend(self.pop()?);
        }
        let mut items = told_apart(same).into_iter();
        let first = items.next();
        self.twins.extend(items.map(|item| (item.key().to_owned(), item)));
        Ok(first)
    }

    fn pop(&mut self) -> io::Result<Option<Entry>> {
        let Some(mut first) = self.next.peek_mut() else { return Ok(None) };
        let number = first.0.1;
        let piece = &mut self.pieces[number];
        // What the buffers have grown to is used again.
        let rest = std::mem::replace(&mut piece.rest, std::mem::take(&mut self.read));
        let key = match piece.next_key()? {
            Some(next) => std::mem::replace(&mut first.0.0, next),
            None => PeekMut::pop(first).0.0,
        };
        self.read = rest;
        let entry = Entry::read(key, &self.read);
        entry.map(Some).ok_or_else(|| io::Error::other("what was kept of the playlist is damaged"))
    }
}

impl Piece {
    /// Reads the next entry, and gives its key.
    fn next_key(&mut self) -> io::Result<Option<String>> {
        if self.from.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut key = Vec::new();
        self.read_field(&mut key)?;
        let mut rest = std::mem::take(&mut self.rest);
        self.read_field(&mut rest)?;
        self.rest = rest;
        String::from_utf8(key).map(Some).map_err(io::Error::other)
    }

    fn read_field(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        let mut length = [0; 4];
        self.from.read_exact(&mut length)?;
        into.resize(u32::from_le_bytes(length) as usize, 0);
        self.from.read_exact(into)
    }
}

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only numbers are hashed");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl Read for Section {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(into.len());
        let count = self.file.read_at(&mut into[..left], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str, url: &str, name: &str) -> NewItem {
        NewItem {
            item_key: key.to_owned(),
            stream_url: url.to_owned(),
            name: name.to_owned(),
            attrs_json: "{}".to_owned(),
            ..NewItem::default()
        }
    }

    fn entries(items: &[NewItem]) -> Vec<Entry> {
        items.iter().map(Entry::new).collect()
    }

    fn staged(items: &[NewItem], playlist_id: i64, piece_bytes: usize) -> (u64, Vec<Entry>) {
        let mut staging = Staging::within(playlist_id, tempfile::tempfile().unwrap(), piece_bytes);
        items.iter().for_each(|item| staging.push(item).unwrap());
        let mut staged = staging.finish().unwrap();
        let count = staged.count();
        let mut all = Vec::new();
        while let Some(more) = Some(staged.take(7).unwrap()).filter(|more| !more.is_empty()) {
            all.extend(more);
        }
        (count, all)
    }

    #[test]
    fn entries_come_out_by_key_whatever_the_size_of_the_pieces() {
        let items: Vec<_> =
            (0..500_u32).map(|n| item(&format!("k{:03}", n * 263 % 500), &format!("u{n}"), "N")).collect();
        let mut expected = items.clone();
        expected.sort_by(|one, other| one.item_key.cmp(&other.item_key));
        for piece_bytes in [64, 1000, 1 << 20] {
            assert_eq!(staged(&items, 1, piece_bytes), (500, entries(&expected)), "{piece_bytes}");
        }
        assert_eq!(staged(&[], 1, 100), (0, vec![]));
    }

    #[test]
    fn keys_are_put_in_order_however_alike_they_are() {
        let keys = [
            "src:a",
            "src:",
            "src:a:00000001",
            "src:a:00000002",
            "src:a:000000010",
            "src:a",
            "src:b\0",
            "src:b",
        ];
        let items: Vec<_> = keys.iter().zip(1..).map(|(key, n)| item(key, &format!("u{n}"), "N")).collect();
        let (_, found) = staged(&items, 1, 1 << 20);
        let mut expected: Vec<_> = keys.into_iter().chain(["src:a:2"]).map(str::to_owned).collect();
        expected.sort();
        expected.dedup();
        assert_eq!(found.iter().map(Entry::key).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn entries_of_one_key_are_told_apart_by_their_addresses_in_the_order_of_the_list() {
        let items = [
            item("b", "x", "first"),
            item("a", "1", "A"),
            item("b", "y", "second"),
            item("b1", "1", "other"),
            item("b", "x", "last of x"),
            item("b", "z", "third"),
        ];
        let expected = [
            item("a", "1", "A"),
            item("b", "x", "last of x"),
            item("b1", "1", "other"),
            item("b:2", "y", "second"),
            item("b:3", "z", "third"),
        ];
        for piece_bytes in [64, 1 << 20] {
            let (count, found) = staged(&items, 1, piece_bytes);
            assert_eq!((count, found), (5, entries(&expected)));
            let found = staged(&items, 7, piece_bytes).1;
            assert_eq!(found[3].key(), "~7/b:2", "keys are a playlist's own");
        }
    }

    #[test]
    fn everything_about_an_entry_is_kept() {
        let mut full = item("k", "http://h/ä", "Ä\u{1F4FA}");
        full.headers.set("User-Agent", "tv/1").unwrap();
        full.channel_key = "c".to_owned();
        full.group_name = "g".to_owned();
        (full.tvg_id, full.tvg_name, full.tvg_logo) = ("i".to_owned(), "n".to_owned(), "l".to_owned());
        assert_eq!(staged(std::slice::from_ref(&full), 1, 64), (1, vec![Entry::new(&full)]));
    }
}
