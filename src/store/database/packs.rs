//! What is searched of the items, packed: 512 items are one value, so that looking through a million of them reads two thousand
//! values and no table. A trigger empties the pack of an item that changes, so a pack that holds something is right; one that is empty
//! is made of the items themselves, by whoever needs it.

use std::collections::{BTreeSet, HashMap};

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memrchr};
use regex::Regex;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};

use super::filter::{ITEMS_PAGE_MAX, ItemFilter};
use super::search::{Search, Term};

mod needed;
mod pack;

use pack::{Bits, Groups, Making, ROW_BITS, Rows, Words, Written};

/// So many that match are looked up by themselves; of more, the items are walked through by name until the page is full. A step of
/// that costs a twentieth of looking one up.
const FEW_MAX: u64 = 3_000;
/// The same where each item that is walked through is looked up as well.
const LISTED_MAX: u64 = 10_000;

/// What a regular expression finds across names, until it is held against one after the other: each may have read a whole pack.
const MISSES_MAX: u64 = 2_000;

/// What the names of groups may take that are counted here, and about what each takes beside its name.
const GROUPS_BYTES_MAX: usize = 16 * 1024 * 1024;
const GROUP_BYTES: usize = 64;

/// Rows of items that match a filter.
pub(super) struct Selection {
    /// From `FROM` on, up to the order, and the values of its question marks.
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

/// Some of the items that match a filter.
pub(super) struct Page {
    /// Their rows, by name.
    pub(super) rows: Vec<i64>,
    /// All that match.
    pub(super) total: u64,
}

/// How the items are selected that match.
pub(super) fn select(connection: &Connection, filter: &ItemFilter) -> rusqlite::Result<Selection> {
    let found = find(connection, filter)?;
    Ok(match found {
        Some(found) if found.total <= LISTED_MAX => listed(&found),
        Some(_) | None => by_condition(filter),
    })
}

/// A page of the items that match.
pub(super) fn page(connection: &Connection, filter: &ItemFilter) -> rusqlite::Result<Page> {
    page_within(connection, filter, FEW_MAX)
}

fn page_within(connection: &Connection, filter: &ItemFilter, few_max: u64) -> rusqlite::Result<Page> {
    const ORDERED: &str = "ORDER BY name COLLATE NOCASE, item_key";
    let (limit, offset) = (filter.limit.min(ITEMS_PAGE_MAX), filter.offset);
    let found = find(connection, filter)?;
    let total = match &found {
        Some(found) => found.total,
        None => {
            let Selection { sql, values } = by_condition(filter);
            let sql = format!("SELECT count(*) {sql}");
            let total: i64 =
                connection.prepare(&sql)?.query_row(rusqlite::params_from_iter(&values), |row| row.get(0))?;
            u64::try_from(total).unwrap_or(0)
        }
    };
    if total <= u64::from(offset) || limit == 0 {
        return Ok(Page { rows: Vec::new(), total });
    }
    if let Some(found) = found.as_ref().filter(|found| found.total > few_max)
        && super::order::is_made(connection)?
    {
        let sql = format!("SELECT rowid FROM playlist_items {ORDERED}");
        let (mut rows, mut left_out) = (Vec::new(), 0);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut all = statement.query([])?;
        while let Some(row) = all.next()? {
            let row: i64 = row.get(0)?;
            if !found.has(row) {
                continue;
            }
            if left_out < offset {
                left_out += 1;
                continue;
            }
            rows.push(row);
            if rows.len() as u64 == u64::from(limit) {
                break;
            }
        }
        return Ok(Page { rows, total });
    }
    let Selection { sql, mut values } = match &found {
        Some(found) if found.total <= LISTED_MAX => listed(found),
        Some(_) | None => by_condition(filter),
    };
    let sql = format!("SELECT playlist_items.rowid {sql} {ORDERED} LIMIT ? OFFSET ?");
    values.extend([limit, offset].map(Value::from));
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(&values), |row| row.get(0))?;
    Ok(Page { rows: rows.collect::<Result<_, _>>()?, total })
}

fn by_condition(filter: &ItemFilter) -> Selection {
    let (condition, values) = filter.condition();
    Selection { sql: format!("FROM playlist_items WHERE {condition}"), values }
}

fn listed(found: &Found) -> Selection {
    let list =
        serde_json::to_string(&found.rows().collect::<Vec<_>>()).expect("numbers can be written as JSON");
    let sql = "FROM json_each(?) AS found CROSS JOIN playlist_items ON playlist_items.rowid = found.value";
    Selection { sql: sql.to_owned(), values: vec![Value::from(list)] }
}

/// Makes the pack of some items anew.
pub(super) fn store(connection: &Connection, pack: i64) -> rusqlite::Result<()> {
    let Written { rows, words, groups, names } = read_rows(connection, pack)?;
    let sql = "INSERT OR REPLACE INTO item_packs (pack, item_rows, words) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![pack, rows, words])?;
    let sql = "INSERT OR REPLACE INTO pack_groups (pack, item_groups) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute(params![pack, groups])?;
    let sql = "INSERT OR REPLACE INTO pack_names (pack, names) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute(params![pack, names])?;
    Ok(())
}

/// In which pack a row is.
pub(super) const fn of_row(row: i64) -> i64 {
    row >> ROW_BITS
}

/// What is known of some items is not right any more, and the pack is not made anew yet.
pub(super) fn empty(connection: &Connection, pack: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO item_packs (pack, item_rows, words) VALUES (?1, x'', x'')
        ON CONFLICT (pack) DO UPDATE SET item_rows = x'', words = x'' WHERE length(item_rows) > 0";
    connection.prepare_cached(sql)?.execute([pack])?;
    Ok(())
}

/// Whether a row is the last of its pack.
pub(super) const fn is_last_of_pack(row: i64) -> bool {
    of_row(row + 1) != of_row(row)
}

/// Makes some of the packs that are empty. True when there may be more.
pub(super) fn store_empty(connection: &Connection, packs_max: usize) -> rusqlite::Result<bool> {
    let sql = "SELECT pack FROM item_packs WHERE length(item_rows) = 0 LIMIT ?1";
    let limit = i64::try_from(packs_max).unwrap_or(i64::MAX);
    let empty: Vec<i64> =
        connection.prepare_cached(sql)?.query_map([limit], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for pack in &empty {
        store(connection, *pack)?;
    }
    Ok(empty.len() == packs_max)
}

/// Makes all packs that are empty, and those that are not there though there are items for them: of a database that had none.
pub(super) fn store_missing(connection: &Connection) -> rusqlite::Result<()> {
    for pack in missing(connection)? {
        store(connection, pack)?;
    }
    store_empty(connection, usize::MAX).map(drop)
}

fn missing(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let known: BTreeSet<i64> = connection
        .prepare_cached("SELECT pack FROM item_packs")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut next = connection
        .prepare_cached("SELECT rowid FROM playlist_items WHERE rowid >= ?1 ORDER BY rowid LIMIT 1")?;
    let (mut missing, mut from) = (Vec::new(), 0_i64);
    while let Some(row) = next.query_row([from], |row| row.get::<_, i64>(0)).optional()? {
        let pack = of_row(row);
        if !known.contains(&pack) {
            missing.push(pack);
        }
        from = (pack + 1) << ROW_BITS;
    }
    Ok(missing)
}

/// A pack, made of its items.
fn read_rows(connection: &Connection, pack: i64) -> rusqlite::Result<Written> {
    let sql = "SELECT rowid, active, playlist_id, group_name, search_text, name FROM playlist_items
        WHERE rowid >= ?1 AND rowid < ?2 ORDER BY rowid";
    let mut statement = connection.prepare_cached(sql)?;
    let first = pack << ROW_BITS;
    let mut rows = statement.query([first, first + (1 << ROW_BITS)])?;
    let mut made = Making::default();
    while let Some(row) = rows.next()? {
        let text = |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
        let slot = u16::try_from(row.get::<_, i64>(0)? - first).unwrap_or(0);
        made.add(slot, row.get(1)?, row.get(2)?, text(3)?, text(4)?, text(5)?);
    }
    Ok(made.written())
}

/// What matches: of each pack some rows, by their numbers.
#[derive(Default)]
struct Found {
    total: u64,
    packs: Vec<(i64, Bits)>,
}

impl Found {
    /// Packs come in their order.
    fn add(&mut self, pack: i64, rows: Bits) {
        if !rows.is_empty() {
            self.total += rows.count();
            self.packs.push((pack, rows));
        }
    }

    fn rows(&self) -> impl Iterator<Item = i64> {
        self.packs
            .iter()
            .flat_map(|(pack, rows)| rows.slots().map(|slot| (*pack << ROW_BITS) + i64::from(slot)))
    }

    fn has(&self, row: i64) -> bool {
        let place = self.packs.binary_search_by_key(&of_row(row), |(pack, _)| *pack);
        let slot = u16::try_from(row & ((1 << ROW_BITS) - 1)).unwrap_or(0);
        place.is_ok_and(|place| self.packs[place].1.has(slot))
    }
}

/// What is read of a pack.
#[derive(Clone, Copy)]
struct Stored<'a> {
    rows: &'a [u8],
    words: &'a [u8],
    groups: &'a [u8],
    /// Nothing where they are in their table.
    names: Option<&'a [u8]>,
}

/// Which parts of packs are read, in SQL.
#[derive(Clone, Copy, Default)]
struct Parts {
    words: bool,
    groups: bool,
}

/// Looks at every pack, in their order. `look` gives nothing for what does not hold together: it is made of its items then.
fn each<T>(
    connection: &Connection,
    parts: Parts,
    mut look: impl FnMut(i64, Stored<'_>) -> rusqlite::Result<Option<T>>,
    mut take: impl FnMut(i64, T),
) -> rusqlite::Result<()> {
    let words = if parts.words { "words" } else { "x''" };
    let groups = if parts.groups {
        "(SELECT item_groups FROM pack_groups WHERE pack_groups.pack = item_packs.pack)"
    } else {
        "x''"
    };
    let sql = format!("SELECT pack, item_rows, {words}, {groups} FROM item_packs ORDER BY pack");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut packs = statement.query([])?;
    while let Some(row) = packs.next()? {
        let number: i64 = row.get(0)?;
        let bytes = |column| -> rusqlite::Result<&[u8]> {
            Ok(match row.get_ref(column)? {
                ValueRef::Blob(bytes) => bytes,
                ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => &[],
            })
        };
        let stored = Stored { rows: bytes(1)?, words: bytes(2)?, groups: bytes(3)?, names: None };
        if let Some(seen) = look(number, stored)? {
            take(number, seen);
            continue;
        }
        let made = read_rows(connection, number)?;
        let stored =
            Stored { rows: &made.rows, words: &made.words, groups: &made.groups, names: Some(&made.names) };
        if let Some(seen) = look(number, stored)? {
            take(number, seen);
        }
    }
    Ok(())
}

/// The groups of what the playlists hold now, and how many items each has; nothing when there are more groups than fit.
pub(super) fn groups(connection: &Connection) -> rusqlite::Result<Option<HashMap<String, u64>>> {
    groups_within(connection, GROUPS_BYTES_MAX)
}

fn groups_within(
    connection: &Connection,
    bytes_max: usize,
) -> rusqlite::Result<Option<HashMap<String, u64>>> {
    let mut groups: HashMap<String, u64> = HashMap::new();
    let mut bytes = 0;
    let look = |_number: i64, stored: Stored<'_>| Ok(counted(stored));
    each(connection, Parts { groups: true, ..Parts::default() }, look, |_number, of_pack| {
        for (name, count) in of_pack {
            if let Some(known) = groups.get_mut(&name) {
                *known += count;
            } else if bytes <= bytes_max {
                bytes += name.len() + GROUP_BYTES;
                groups.insert(name, count);
            }
        }
    })?;
    Ok((bytes <= bytes_max).then_some(groups))
}

/// The groups of what the playlists hold now of a pack.
fn counted(stored: Stored<'_>) -> Option<Vec<(String, u64)>> {
    let rows = Rows::read(stored.rows)?;
    let groups = Groups::read(stored.groups, &rows.present)?;
    let mut counts = vec![0_u64; groups.names.len()];
    groups
        .of(&rows.present)
        .filter(|(slot, _)| rows.active.has(*slot))
        .for_each(|(_, group)| counts[group] += 1);
    let named = groups.names.iter().zip(counts).filter(|(_, count)| *count > 0);
    Some(named.map(|(name, count)| ((*name).to_owned(), count)).collect())
}

/// Looks through all packs; nothing when only the rows themselves can tell.
fn find(connection: &Connection, filter: &ItemFilter) -> rusqlite::Result<Option<Found>> {
    let Some(matcher) = Matcher::new(filter.search.as_ref()) else { return Ok(None) };
    let parts = Parts { words: matcher.needs_words(), groups: !filter.groups.is_empty() };
    let mut found = Found::default();
    let mut pace = Pace::default();
    let look = |number: i64, stored: Stored<'_>| {
        let Some((rows, asked)) = asked(stored, filter) else { return Ok(None) };
        let Some(candidates) = matcher.candidates(stored.words, &rows) else { return Ok(None) };
        let candidates = candidates.and(&asked);
        let Matcher::Regex { one, lines, .. } = &matcher else { return Ok(Some(candidates)) };
        let held = Held { present: rows.present, odd: rows.odd, candidates, one, lines: lines.as_ref() };
        held.matching(connection, number, stored.names, &mut pace)
    };
    each(connection, parts, look, |number, rows| found.add(number, rows))?;
    Ok(Some(found))
}

/// The rows of a pack, and those that a filter asks for, whatever is looked for in them.
fn asked(stored: Stored<'_>, filter: &ItemFilter) -> Option<(Rows, Bits)> {
    let rows = Rows::read(stored.rows)?;
    let mut asked = match filter.active {
        Some(true) => rows.present.and(&rows.active),
        Some(false) => rows.present.without(&rows.active),
        None => rows.present,
    };
    if let Some(playlist) = filter.playlist {
        asked = asked.and(&rows.of_playlist(playlist));
    }
    if !filter.groups.is_empty() {
        asked = asked.and(&Groups::read(stored.groups, &rows.present)?.rows(&rows.present, &filter.groups));
    }
    Some((rows, asked))
}

/// What is looked for.
enum Matcher<'a> {
    All,
    Terms(Vec<Alternative<'a>>),
    Regex {
        /// For a name.
        one: Regex,
        /// For names with line breaks between them.
        lines: Option<Regex>,
        /// Words of which one stands in whatever matches; without any nothing is known.
        needed: Vec<Finder<'static>>,
    },
}

struct Alternative<'a> {
    /// The longest first: it leaves the fewest.
    wanted: Vec<Finder<'a>>,
    unwanted: Vec<Finder<'a>>,
}

impl<'a> Matcher<'a> {
    /// Nothing for what depends on capital letters, which packs do not have.
    fn new(search: Option<&'a Search>) -> Option<Self> {
        match search {
            None => Some(Self::All),
            Some(Search::Terms { alternatives, .. }) if alternatives.is_empty() => Some(Self::All),
            Some(Search::Terms { alternatives, .. }) => {
                Some(Self::Terms(alternatives.iter().map(|terms| Alternative::new(terms)).collect()))
            }
            Some(Search::Regex(pattern)) if pattern.replace("(?:", "").contains("(?") => None,
            Some(Search::Regex(pattern)) => {
                let one = super::search::compiled(pattern).ok()?;
                // The beginning of all names is not that of each.
                let is_of_one = pattern.contains(r"\A") || pattern.contains(r"\z");
                let lines = if is_of_one { None } else { super::search::compiled_for_lines(pattern).ok() };
                let words = needed::words(pattern).unwrap_or_default();
                let needed = words.iter().map(|word| Finder::new(word).into_owned()).collect();
                Some(Self::Regex { one, lines, needed })
            }
        }
    }

    fn needs_words(&self) -> bool {
        match self {
            Self::All => false,
            Self::Terms(_) => true,
            Self::Regex { needed, .. } => !needed.is_empty(),
        }
    }

    /// The rows of a pack that match, by their words; for a regular expression those that may.
    fn candidates(&self, words: &[u8], rows: &Rows) -> Option<Bits> {
        match self {
            Self::All => Some(rows.present),
            Self::Regex { needed, .. } if needed.is_empty() => Some(rows.present),
            Self::Regex { needed, .. } => {
                let words = Words::read(words, &rows.present)?;
                needed.iter().try_fold(rows.odd, |found, word| Some(found.or(&words.find(word)?)))
            }
            Self::Terms(alternatives) => {
                let words = Words::read(words, &rows.present)?;
                alternatives.iter().try_fold(Bits::default(), |found, alternative| {
                    Some(found.or(&alternative.rows(&words, rows.present)?))
                })
            }
        }
    }
}

impl<'a> Alternative<'a> {
    fn new(terms: &'a [Term]) -> Self {
        let finders = |is_wanted| {
            let mut texts: Vec<&str> =
                terms.iter().filter(|term| term.is_wanted() == is_wanted).map(Term::text).collect();
            texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
            texts.into_iter().map(Finder::new).collect::<Vec<_>>()
        };
        Self { wanted: finders(true), unwanted: finders(false) }
    }

    fn rows(&self, words: &Words<'_>, present: Bits) -> Option<Bits> {
        let mut rows = present;
        for (word, is_wanted) in
            self.wanted.iter().map(|word| (word, true)).chain(self.unwanted.iter().map(|word| (word, false)))
        {
            if rows.is_empty() {
                break;
            }
            let holding = words.find(word)?;
            rows = if is_wanted { rows.and(&holding) } else { rows.without(&holding) };
        }
        Some(rows)
    }
}

/// How a regular expression has gone through the names of whole packs so far.
#[derive(Default)]
struct Pace {
    rows: u64,
    hits: u64,
    /// What began in a name and ended in another one.
    misses: u64,
}

impl Pace {
    /// Whether it goes faster through all names of a pack than through one after the other.
    const fn is_fast(&self) -> bool {
        self.hits * 4 <= self.rows && self.misses < MISSES_MAX
    }
}

/// What of a pack is held against a regular expression.
struct Held<'a> {
    present: Bits,
    odd: Bits,
    candidates: Bits,
    one: &'a Regex,
    lines: Option<&'a Regex>,
}

impl Held<'_> {
    /// The rows whose names match; nothing when this is no pack. `names` are in their table when they are not given.
    fn matching(
        &self,
        connection: &Connection,
        pack: i64,
        names: Option<&[u8]>,
        pace: &mut Pace,
    ) -> rusqlite::Result<Option<Bits>> {
        let mut found = Bits::default();
        let plain = self.candidates.without(&self.odd);
        if !plain.is_empty() {
            let matching = match names {
                Some(names) => self.by_names(names, &plain, pace),
                None => {
                    let sql = "SELECT names FROM pack_names WHERE pack = ?1";
                    let mut statement = connection.prepare_cached(sql)?;
                    let mut rows = statement.query([pack])?;
                    match rows.next()? {
                        Some(row) => {
                            self.by_names(row.get_ref(0)?.as_blob().unwrap_or_default(), &plain, pace)
                        }
                        None => None,
                    }
                }
            };
            let Some(matching) = matching else { return Ok(None) };
            found = matching;
        }
        let odd = self.candidates.and(&self.odd);
        if !odd.is_empty() {
            let mut name = connection.prepare_cached("SELECT name FROM playlist_items WHERE rowid = ?1")?;
            for slot in odd.slots() {
                let row = (pack << ROW_BITS) + i64::from(slot);
                if self.one.is_match(&name.query_row([row], |row| row.get::<_, String>(0))?) {
                    found.set(slot);
                }
            }
        }
        Ok(Some(found))
    }

    fn by_names(&self, names: &[u8], plain: &Bits, pace: &mut Pace) -> Option<Bits> {
        let names = str::from_utf8(names).ok()?;
        let rows = self.present.count();
        (memchr_iter(b'\n', names.as_bytes()).count() as u64 == rows).then_some(())?;
        let mut found = Bits::default();
        match self.lines {
            Some(lines) if pace.is_fast() && plain.count() * 8 > rows => {
                pace.rows += rows;
                self.by_all_names(lines, names, pace, |slot| {
                    if plain.has(slot) {
                        found.set(slot);
                    }
                })?;
            }
            Some(_) | None => {
                let mut start = 0;
                for (slot, end) in self.present.slots().zip(memchr_iter(b'\n', names.as_bytes())) {
                    if plain.has(slot) && self.one.is_match(&names[start..end]) {
                        found.set(slot);
                    }
                    start = end + 1;
                }
            }
        }
        Some(found)
    }

    /// What begins in a name and ends there matches that. Every match of a name is one of all names, too, or begins behind one that
    /// is found in front of it, so behind each line it is looked on.
    fn by_all_names(
        &self,
        lines: &Regex,
        names: &str,
        pace: &mut Pace,
        mut take: impl FnMut(u16),
    ) -> Option<()> {
        let bytes = names.as_bytes();
        let (mut slots, mut from) = (self.present.slots(), 0);
        while from < bytes.len() {
            let Some(found) = lines.find_at(names, from) else { break };
            if found.start() == bytes.len() {
                break;
            }
            let slot = slots.nth(memchr_iter(b'\n', &bytes[from..found.start()]).count())?;
            let start = memrchr(b'\n', &bytes[..found.start()]).map_or(0, |before| before + 1);
            let end = found.start() + memchr(b'\n', &bytes[found.start()..])?;
            pace.hits += 1;
            if found.end() <= end {
                take(slot);
            } else {
                pace.misses += 1;
                if self.one.is_match(&names[start..end]) {
                    take(slot);
                }
            }
            from = end + 1;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::database::Database;
    use crate::store::database::items::Reading;
    use crate::store::database::search::SearchLimits;
    use crate::store::fixtures::{at, item};
    use crate::store::records::NewItem;

    const LIMITS: SearchLimits = SearchLimits { terms_max: 9, disjuncts_max: 9, term_chars_max: 99 };

    fn count(database: &Database, sql: &str) -> i64 {
        database.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// The rows that match, by the condition on each of them alone.
    fn by_rows(database: &Database, filter: &ItemFilter) -> Vec<i64> {
        let (condition, values) = filter.condition();
        let sql = format!("SELECT rowid FROM playlist_items WHERE {condition} ORDER BY rowid");
        let mut statement = database.connection.prepare(&sql).unwrap();
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    fn by_packs(database: &Database, filter: &ItemFilter) -> Option<Vec<i64>> {
        let found = find(&database.connection, filter).unwrap()?;
        let rows: Vec<_> = found.rows().collect();
        assert_eq!(rows.len() as u64, found.total);
        assert!(rows.iter().all(|row| found.has(*row)) && !found.has(1 << 40));
        Some(rows)
    }

    fn words(text: &str) -> ItemFilter {
        ItemFilter { search: Some(Search::terms(text, LIMITS)), ..ItemFilter::default() }
    }

    /// Items over several packs, two of whose names are odd.
    fn filled() -> Database {
        let mut database = Database::in_memory().unwrap();
        let items: Vec<NewItem> = (0..1500)
            .map(|n| NewItem {
                group_name: format!("Group {}", n % 7),
                tvg_id: if n % 3 == 0 { format!("Id.{n}") } else { String::new() },
                ..item(&format!("k{n:04}"), &format!("Channel {n} ČT"))
            })
            .chain([item("odd1", "Two  Blanks"), item("odd2", "İstanbul")])
            .collect();
        database.refresh_items(&items, at(1)).unwrap();
        database
    }

    #[test]
    fn packs_follow_whatever_is_done_to_items() {
        let mut database = filled();
        let empty =
            |database: &Database| count(database, "SELECT count(*) FROM item_packs WHERE item_rows = x''");
        assert_eq!(empty(&database), 0);
        assert_eq!(count(&database, "SELECT count(*) FROM item_packs"), 3);
        for change in [
            "UPDATE playlist_items SET search_text = 'neu', name = 'Neu' WHERE item_key = 'k0700'",
            "UPDATE playlist_items SET active = 0 WHERE item_key = 'k0003'",
            "UPDATE playlist_items SET group_name = 'Group 1' WHERE item_key = 'k0000'",
            "DELETE FROM playlist_items WHERE item_key = 'k1400'",
            "VACUUM",
        ] {
            database.connection.execute_batch(change).unwrap();
            for filter in [
                words("neu"),
                words("channel"),
                ItemFilter { active: Some(false), ..ItemFilter::default() },
                ItemFilter { groups: vec!["Group 1".to_owned()], ..ItemFilter::default() },
            ] {
                assert_eq!(by_packs(&database, &filter).unwrap(), by_rows(&database, &filter), "{change}");
            }
        }
        assert_eq!(empty(&database), 3);
        assert!(store_empty(&database.connection, 2).unwrap() && empty(&database) == 1);
        assert!(!store_empty(&database.connection, 9).unwrap() && empty(&database) == 0);
        // Somebody has taken one away, and the program is started anew.
        database.connection.execute("DELETE FROM item_packs WHERE pack = 1", []).unwrap();
        assert_eq!(missing(&database.connection).unwrap(), [1]);
        store_missing(&database.connection).unwrap();
        assert_eq!(by_packs(&database, &words("channel")).unwrap(), by_rows(&database, &words("channel")));
        // Another reading changes one item of each pack, and takes one away.
        let mut items: Vec<NewItem> = (0..1500).map(|n| item(&format!("k{n:04}"), "Same")).collect();
        items.remove(9);
        database.refresh_items(&items, at(2)).unwrap();
        assert_eq!(empty(&database), 0);
        assert_eq!(by_packs(&database, &words("same")).unwrap(), by_rows(&database, &words("same")));
    }

    #[test]
    fn what_does_not_hold_together_is_read_from_its_items() {
        let regex = |pattern: &str| ItemFilter {
            search: Some(Search::regex(pattern).unwrap()),
            ..ItemFilter::default()
        };
        let filters = [
            words("čt"),
            words("-7"),
            ItemFilter { groups: vec!["Group 1".to_owned()], ..words("channel") },
            regex("channel 1.7"),
            regex("^.h"),
        ];
        for (table, column) in [
            ("item_packs", "item_rows"),
            ("item_packs", "words"),
            ("pack_groups", "item_groups"),
            ("pack_names", "names"),
        ] {
            for bytes in ["x''", "x'ffffffff'", "x'0100000000010000000aff'", "zeroblob(192)"] {
                let database = filled();
                if column == "item_rows" && bytes == "zeroblob(192)" {
                    // That says that there are none.
                    continue;
                }
                database.connection.execute(&format!("UPDATE {table} SET {column} = {bytes}"), []).unwrap();
                for filter in &filters {
                    let found = by_packs(&database, filter).unwrap();
                    let is_right = found == by_rows(&database, filter);
                    // What reads as words or names without fault is theirs.
                    let may_be_wrong = bytes != "x''" && bytes != "x'ffffffff'";
                    assert!(is_right || may_be_wrong, "{column} {bytes} {filter:?}");
                }
            }
        }
    }

    #[test]
    fn a_name_that_is_not_as_it_is_searched_is_read_itself_for_a_regular_expression() {
        let database = filled();
        for pattern in
            ["two  b", "^İ", "^.stanbul$", "two b", "^i", "T$", "[^a-z0-9 ]t$", "(?:two|çt)\\b", r"\p{Lu}T$"]
        {
            let filter =
                ItemFilter { search: Some(Search::regex(pattern).unwrap()), ..ItemFilter::default() };
            assert_eq!(by_packs(&database, &filter).unwrap(), by_rows(&database, &filter), "{pattern}");
        }
        let own_case =
            ItemFilter { search: Some(Search::regex("(?-i)ČT").unwrap()), ..ItemFilter::default() };
        assert_eq!(by_packs(&database, &own_case), None);
        assert_eq!(database.items(&own_case).unwrap().total, 1500);
    }

    #[test]
    fn groups_are_counted_by_packs_as_by_rows_and_not_when_they_are_too_many() {
        let mut database = filled();
        let gone = [item("k0001", "Left"), item("k0002", "Left")];
        database.refresh_items(&gone, Reading { accepts_less: true, ..at(2).into() }).unwrap();
        database.connection.execute("UPDATE playlist_items SET active = 1 WHERE rowid % 3 = 0", []).unwrap();
        let sql = "SELECT group_name, count(*) FROM playlist_items WHERE active = 1 GROUP BY group_name";
        let mut statement = database.connection.prepare(sql).unwrap();
        let counted = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let by_rows: HashMap<String, i64> = counted.collect::<Result<_, _>>().unwrap();
        let by_packs = groups(&database.connection).unwrap().unwrap();
        let by_packs = by_packs.into_iter().map(|(name, count)| (name, i64::try_from(count).unwrap()));
        assert_eq!(by_packs.collect::<HashMap<_, _>>(), by_rows);
        assert!(by_rows.len() >= 7, "{by_rows:?}");
        assert_eq!(groups_within(&database.connection, 100).unwrap(), None);
    }

    #[test]
    fn of_many_that_match_pages_are_right_too() {
        let mut database = Database::in_memory().unwrap();
        let many = 10_500_usize;
        let items: Vec<NewItem> =
            (0..many).map(|n| item(&format!("k{n:05}"), &format!("Item {n:05}"))).collect();
        database.refresh_items(&items, at(1)).unwrap();
        let filter = ItemFilter { limit: 2, offset: 10_000, ..words("item") };
        assert!(find(&database.connection, &filter).unwrap().unwrap().total > LISTED_MAX);
        let page = database.items(&filter).unwrap();
        assert_eq!((page.total, page.items[0].item.name.as_str()), (many as u64, "Item 10000"));
        let few = database.items(&ItemFilter { limit: 2, offset: 10, ..words("item 0012") }).unwrap();
        assert_eq!((few.total, few.items[0].item.name.as_str()), (12, "Item 00129"));
    }

    /// The page by the condition on each row alone, and how many match.
    fn page_by_rows(database: &Database, filter: &ItemFilter) -> (Vec<i64>, u64) {
        let (condition, values) = filter.condition();
        let sql = format!(
            "SELECT rowid FROM playlist_items WHERE {condition} ORDER BY name COLLATE NOCASE, item_key LIMIT {} OFFSET {}",
            filter.limit, filter.offset
        );
        let mut statement = database.connection.prepare(&sql).unwrap();
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0)).unwrap();
        (rows.collect::<Result<_, _>>().unwrap(), by_rows(database, filter).len() as u64)
    }

    /// However many match, whether items lie in order or not.
    fn check_page(database: &Database, filter: &ItemFilter) -> Result<(), TestCaseError> {
        let expected = page_by_rows(database, filter);
        for few_max in [0, FEW_MAX] {
            let Page { rows, total } = page_within(&database.connection, filter, few_max).unwrap();
            prop_assert_eq!((rows, total), expected.clone(), "{:?}", filter);
        }
        Ok(())
    }

    /// Names as lists have them, and as they have them by mistake.
    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[ABabİıßſKk č|.-]{0,6}",
            2 => "(HD|FHD|news|NEWS|neuſ|Sport|film| |  |'|\"|%|_|[0-9]){0,6}",
            1 => "\\PC{0,12}",
            1 => "[ΣΑσς\u{130}\u{212a}\u{a0}\u{3000}\r\n\t\u{0}a]{0,8}",
            1 => "[ab ]{300,600}",
        ]
    }

    /// Regular expressions of every kind, those that end in another name among them.
    fn pattern() -> impl Strategy<Value = String> {
        let known = [
            "news",
            "(hd|fhd)$",
            "^sp",
            "[a-z]+ [0-9]",
            r"\S+\s",
            "n[^0-9]w",
            "a{2}",
            r"\bhd\b",
            "[^a]*b",
            r"\PC{1,3}",
            r"\Aa",
            r"b\z",
            "$",
            "^$",
            r"\s",
            ".*",
            "s$|^h",
            "(?:news|film) ",
            "(?i)NEWS",
        ];
        prop_oneof![
            "[ABabİıßſK č.|^$]{0,5}",
            proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        ]
    }

    proptest! {
        // Each asks many questions of hundreds of items.
        #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pages_of_odd_names_are_those_of_a_plain_scan(
            names in proptest::collection::vec((name(), name(), 0_u8..8), 1..40),
            mut texts in proptest::collection::vec("[ABabİßkč|!.\"'%_0-9 -]{0,8}|news|-hd|film\\|hd", 1..4),
            patterns in proptest::collection::vec(pattern(), 1..4),
            (limit, offset) in (0_u32..9, 0_u32..30),
            is_active in proptest::option::of(any::<bool>()),
            group in proptest::option::of(0_u8..4),
        ) {
            let mut database = Database::in_memory().unwrap();
            // They lie in two packs.
            let items: Vec<NewItem> = (0..560).map(|n| {
                let (name, id, mark) = &names[n % names.len()];
                NewItem {
                    tvg_id: if mark % 2 == 0 { id.clone() } else { String::new() },
                    group_name: format!("Group {}", mark / 2),
                    ..item(&format!("k{n:03}"), name)
                }
            }).collect();
            database.refresh_items(&items, at(1)).unwrap();
            let (name, ..) = &names[0];
            texts.push(name.chars().skip(1).take(4).collect());
            let sql = "UPDATE playlist_items SET active = 0 WHERE rowid % 7 = 3";
            database.connection.execute(sql, []).unwrap();
            let of = |search| ItemFilter {
                search,
                active: is_active,
                groups: group.map(|number| format!("Group {number}")).into_iter().collect(),
                limit,
                offset,
                ..ItemFilter::default()
            };
            for search in texts.iter().map(|text| Search::terms(text, LIMITS)) {
                check_page(&database, &of(Some(search)))?;
            }
            store_empty(&database.connection, usize::MAX).unwrap();
            for search in patterns.iter().filter_map(|pattern| Search::regex(pattern).ok()) {
                check_page(&database, &of(Some(search)))?;
            }
            check_page(&database, &of(None))?;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn packs_find_what_the_condition_on_each_row_finds(
            names in proptest::collection::vec("[ABabİıßſKk č|.-]{0,6}", 1..40),
            text in "[ABabİß kč|!.-]{0,8}",
            pattern in "[ABabİıßſK č.|^$]{0,5}",
        ) {
            let mut database = Database::in_memory().unwrap();
            let items: Vec<NewItem> =
                names.iter().enumerate().map(|(n, name)| item(&n.to_string(), name)).collect();
            database.refresh_items(&items, at(1)).unwrap();
            prop_assert_eq!(by_packs(&database, &words(&text)).unwrap(), by_rows(&database, &words(&text)));
            let filter = ItemFilter { search: Search::regex(&pattern).ok(), ..ItemFilter::default() };
            prop_assert_eq!(by_packs(&database, &filter).unwrap(), by_rows(&database, &filter));
        }

        #[test]
        fn bytes_that_are_no_pack_are_refused_and_never_panic(
            rows in proptest::collection::vec(any::<u8>(), 0..300),
            bytes in proptest::collection::vec(0_u8..40, 0..200),
        ) {
            let present = Rows::read(&rows).map_or_else(Bits::default, |rows| rows.present);
            if let Some(words) = Words::read(&bytes, &present) {
                _ = words.find(&Finder::new("a"));
                _ = words.find(&Finder::new(&[3]));
            }
            if let Some(groups) = Groups::read(&bytes, &present) {
                groups.rows(&present, &["a".to_owned()]);
            }
        }
    }
}
