//! What is searched of the items, packed: 512 items are one value, so that looking through a million of them reads two thousand
//! values and no table. A trigger removes the pack of an item that changes, so a pack that is there is right; one that is not is made
//! of the items themselves, by whoever needs it. It narrows what is looked at: the condition on the row has the last word.

use std::collections::{BTreeSet, HashMap};

use memchr::memmem::Finder;
use regex::Regex;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use super::filter::ItemFilter;
use super::search::{Search, Term};

/// Items of a pack: those whose row numbers are the same but for so many bits.
const ROW_BITS: u32 = 9;
const ROWS_MAX: usize = 1 << ROW_BITS;
/// So many that match are looked up by themselves; of more, the items are walked through by name until the page is full.
const FEW_MAX: usize = 10_000;
/// Names that are not as they are searched, and so are read from their rows for a regular expression.
const ODD_MAX: usize = 20_000;

/// What the names of groups may take that are counted here, and about what each takes beside its name.
const GROUPS_BYTES_MAX: usize = 16 * 1024 * 1024;
const GROUP_BYTES: usize = 64;

/// Bytes of a row: its number in the pack, flags, its playlist, its group's number in the pack, where its text ends.
const ROW_BYTES: usize = 2 + 1 + 8 + 2 + 4;
const HEAD_BYTES: usize = 2 + 2;
const ACTIVE: u8 = 1;
/// The name differs from its searched form by more than capital letters.
const ODD: u8 = 2;

/// Rows of items that match a filter.
pub(super) struct Selection {
    /// From `FROM` on, up to the order, and the values of its question marks.
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
    /// How many match, if that is known without looking.
    pub(super) total: Option<u64>,
}

/// How the items are selected that match.
pub(super) fn select(connection: &Connection, filter: &ItemFilter) -> rusqlite::Result<Selection> {
    let (condition, values) = filter.condition();
    let everywhere = |total| Selection {
        sql: format!("FROM playlist_items WHERE {condition}"),
        values: values.clone(),
        total,
    };
    let Some(found) = find(connection, filter)? else { return Ok(everywhere(None)) };
    let Some(rows) = found.rows else { return Ok(everywhere(Some(found.total))) };
    let list = serde_json::to_string(&rows).expect("numbers can be written as JSON");
    let sql = format!(
        "FROM json_each(?) AS found CROSS JOIN playlist_items ON playlist_items.rowid = found.value WHERE {condition}"
    );
    let values = [vec![Value::from(list)], values].concat();
    Ok(Selection { sql, values, total: Some(found.total) })
}

/// Makes the pack of some items anew.
pub(super) fn store(connection: &Connection, pack: i64) -> rusqlite::Result<()> {
    let bytes = read_rows(connection, pack)?;
    let sql = "INSERT OR REPLACE INTO item_packs (pack, texts) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute(params![pack, bytes])?;
    Ok(())
}

/// In which pack a row is.
pub(super) const fn of_row(row: i64) -> i64 {
    row >> ROW_BITS
}

/// Makes some of the packs that are missing. True when there may be more.
pub(super) fn store_missing(connection: &Connection, packs_max: usize) -> rusqlite::Result<bool> {
    let missing = missing(connection, packs_max)?;
    for pack in &missing {
        store(connection, *pack)?;
    }
    Ok(missing.len() == packs_max)
}

/// The first of the packs that are not there though there are items for them.
fn missing(connection: &Connection, packs_max: usize) -> rusqlite::Result<Vec<i64>> {
    let known: BTreeSet<i64> = connection
        .prepare_cached("SELECT pack FROM item_packs")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut next = connection
        .prepare_cached("SELECT rowid FROM playlist_items WHERE rowid >= ?1 ORDER BY rowid LIMIT 1")?;
    let (mut missing, mut from) = (Vec::new(), 0_i64);
    while missing.len() < packs_max
        && let Some(row) = next.query_row([from], |row| row.get::<_, i64>(0)).optional()?
    {
        let pack = of_row(row);
        if !known.contains(&pack) {
            missing.push(pack);
        }
        from = (pack + 1) << ROW_BITS;
    }
    Ok(missing)
}

/// A pack, made of its items.
fn read_rows(connection: &Connection, pack: i64) -> rusqlite::Result<Vec<u8>> {
    let sql = "SELECT rowid, active, playlist_id, group_name, search_text, name FROM playlist_items
        WHERE rowid >= ?1 AND rowid < ?2 ORDER BY rowid";
    let mut statement = connection.prepare_cached(sql)?;
    let first = pack << ROW_BITS;
    let mut rows = statement.query([first, first + (1 << ROW_BITS)])?;
    let mut made = Making::default();
    while let Some(row) = rows.next()? {
        let text = |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
        let (searched, name) = (text(4)?, text(5)?);
        let folded = searched.split('\n').next().unwrap_or_default();
        let is_odd = name.contains('İ') || folded != name.to_lowercase();
        let is_active: bool = row.get(1)?;
        let flags = if is_active { ACTIVE } else { 0 } | if is_odd { ODD } else { 0 };
        let slot = u16::try_from(row.get::<_, i64>(0)? - first).unwrap_or(0);
        made.add(slot, flags, row.get(2)?, text(3)?, searched);
    }
    Ok(made.bytes())
}

/// A pack that is being made.
#[derive(Default)]
struct Making {
    rows: Vec<u8>,
    count: u16,
    groups: Vec<String>,
    texts: Vec<u8>,
}

impl Making {
    fn add(&mut self, slot: u16, flags: u8, playlist: i64, group: &str, text: &str) {
        let place = self.groups.iter().position(|known| known == group).unwrap_or_else(|| {
            self.groups.push(group.to_owned());
            self.groups.len() - 1
        });
        self.texts.extend_from_slice(text.as_bytes());
        let group = u16::try_from(place).expect("a pack has no more groups than items");
        let end = u32::try_from(self.texts.len()).expect("512 short texts");
        // No word that is looked for has such a character, so nothing is found across two texts.
        self.texts.push(b'\n');
        self.rows.extend_from_slice(&slot.to_le_bytes());
        self.rows.push(flags);
        self.rows.extend_from_slice(&playlist.to_le_bytes());
        self.rows.extend_from_slice(&group.to_le_bytes());
        self.rows.extend_from_slice(&end.to_le_bytes());
        self.count += 1;
    }

    fn bytes(self) -> Vec<u8> {
        let groups = u16::try_from(self.groups.len()).expect("a pack has no more groups than items");
        let mut bytes = [self.count.to_le_bytes(), groups.to_le_bytes()].concat();
        bytes.extend_from_slice(&self.rows);
        for group in &self.groups {
            let length = u32::try_from(group.len()).expect("a short text");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(group.as_bytes());
        }
        bytes.extend_from_slice(&self.texts);
        bytes
    }
}

/// A pack that is read. What does not hold together is no pack.
struct Pack<'a> {
    rows: Vec<PackedRow>,
    groups: Vec<&'a str>,
    texts: &'a str,
}

#[derive(Clone, Copy)]
struct PackedRow {
    slot: u16,
    flags: u8,
    playlist: i64,
    group: u16,
    start: usize,
    end: usize,
}

impl<'a> Pack<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let count = usize::from(u16::from_le_bytes(head[..2].try_into().ok()?));
        let groups_count = u16::from_le_bytes(head[2..].try_into().ok()?);
        let (table, mut rest) = rest.split_at_checked(count * ROW_BYTES)?;
        let mut groups = Vec::with_capacity(usize::from(groups_count));
        for _ in 0..groups_count {
            let (length, behind) = rest.split_at_checked(4)?;
            let length = u32::from_le_bytes(length.try_into().ok()?);
            let (group, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
            groups.push(str::from_utf8(group).ok()?);
            rest = behind;
        }
        let texts = str::from_utf8(rest).ok()?;
        let mut rows = Vec::with_capacity(count);
        let mut start = 0;
        for row in table.chunks_exact(ROW_BYTES) {
            let end = usize::try_from(u32::from_le_bytes(row[13..].try_into().ok()?)).ok()?;
            texts.get(start..end)?;
            let group = u16::from_le_bytes(row[11..13].try_into().ok()?);
            rows.push(PackedRow {
                slot: u16::from_le_bytes(row[..2].try_into().ok()?),
                flags: row[2],
                playlist: i64::from_le_bytes(row[3..11].try_into().ok()?),
                group: (usize::from(group) < groups.len()).then_some(group)?,
                start,
                end,
            });
            start = end + 1;
        }
        Some(Self { rows, groups, texts })
    }

    fn text(&self, row: PackedRow) -> &'a str {
        &self.texts[row.start..row.end]
    }
}

/// What matches, and which rows when they are few.
struct Found {
    total: u64,
    rows: Option<Vec<i64>>,
}

impl Found {
    fn add(&mut self, row: i64) {
        self.total += 1;
        match &mut self.rows {
            Some(rows) if rows.len() == FEW_MAX => self.rows = None,
            Some(rows) => rows.push(row),
            None => {}
        }
    }
}

/// Looks at every pack; at one that is not there it is made for that.
fn each(connection: &Connection, mut look: impl FnMut(i64, &Pack<'_>)) -> rusqlite::Result<()> {
    let mut unread = missing(connection, usize::MAX)?;
    let mut statement = connection.prepare_cached("SELECT pack, texts FROM item_packs")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        match Pack::parse(row.get_ref(1)?.as_blob()?) {
            Some(pack) => look(number, &pack),
            None => unread.push(number),
        }
    }
    for number in unread {
        let bytes = read_rows(connection, number)?;
        if let Some(pack) = Pack::parse(&bytes) {
            look(number, &pack);
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
    each(connection, |_number, pack| {
        let mut counts = vec![0_u64; pack.groups.len()];
        for row in pack.rows.iter().filter(|row| row.flags & ACTIVE != 0) {
            counts[usize::from(row.group)] += 1;
        }
        for (name, count) in pack.groups.iter().zip(counts).filter(|(_, count)| *count > 0) {
            if let Some(known) = groups.get_mut(*name) {
                *known += count;
            } else if bytes <= bytes_max {
                bytes += name.len() + GROUP_BYTES;
                groups.insert((*name).to_owned(), count);
            }
        }
    })?;
    Ok((bytes <= bytes_max).then_some(groups))
}

/// Looks through all packs; nothing when only the rows themselves can tell.
fn find(connection: &Connection, filter: &ItemFilter) -> rusqlite::Result<Option<Found>> {
    let Some(matcher) = Matcher::new(filter.search.as_ref()) else { return Ok(None) };
    let mut found = Found { total: 0, rows: Some(Vec::new()) };
    let mut odd = Vec::new();
    each(connection, |number, pack| look(pack, number, filter, &matcher, &mut found, &mut odd))?;
    if let Matcher::Regex(regex) = &matcher {
        if odd.len() > ODD_MAX {
            return Ok(None);
        }
        let mut name = connection.prepare_cached("SELECT name FROM playlist_items WHERE rowid = ?1")?;
        for row in odd {
            if regex.is_match(&name.query_row([row], |row| row.get::<_, String>(0))?) {
                found.add(row);
            }
        }
    }
    Ok(Some(found))
}

/// Adds what of a pack matches. Rows of which the name itself has to be seen are put aside.
fn look(
    pack: &Pack<'_>,
    number: i64,
    filter: &ItemFilter,
    matcher: &Matcher<'_>,
    found: &mut Found,
    odd: &mut Vec<i64>,
) {
    let is_of_groups: Vec<bool> = pack
        .groups
        .iter()
        .map(|group| filter.groups.is_empty() || filter.groups.iter().any(|asked| asked == group))
        .collect();
    let is_asked = |row: &PackedRow| {
        filter.active.is_none_or(|active| active == (row.flags & ACTIVE != 0))
            && filter.playlist.is_none_or(|playlist| playlist == row.playlist)
            && is_of_groups[usize::from(row.group)]
    };
    let row_of = |row: &PackedRow| (number << ROW_BITS) + i64::from(row.slot);
    match matcher {
        Matcher::All => {
            pack.rows.iter().filter(|row| is_asked(row)).for_each(|row| found.add(row_of(row)));
        }
        Matcher::Regex(regex) => {
            for row in pack.rows.iter().filter(|row| is_asked(row)) {
                let name = pack.text(*row).split('\n').next().unwrap_or_default();
                if row.flags & ODD != 0 {
                    odd.push(row_of(row));
                } else if regex.is_match(name) {
                    found.add(row_of(row));
                }
            }
        }
        Matcher::Terms(alternatives) => {
            let mut matches = [false; ROWS_MAX];
            for alternative in alternatives {
                alternative.mark(pack, &mut matches);
            }
            for (row, _) in pack.rows.iter().zip(matches).filter(|(row, matches)| *matches && is_asked(row)) {
                found.add(row_of(row));
            }
        }
    }
}

/// What is looked for.
enum Matcher<'a> {
    All,
    Terms(Vec<Alternative<'a>>),
    Regex(Regex),
}

struct Alternative<'a> {
    /// The longest of the words that are wanted: what does not have it is not looked at.
    first: Option<Finder<'a>>,
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
            Some(Search::Regex(pattern)) => super::search::compiled(pattern).ok().map(Self::Regex),
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
        let mut wanted = finders(true);
        let first = (!wanted.is_empty()).then(|| wanted.remove(0));
        Self { first, wanted, unwanted: finders(false) }
    }

    fn mark(&self, pack: &Pack<'_>, matches: &mut [bool; ROWS_MAX]) {
        let holds = |row: PackedRow| {
            let text = pack.text(row).as_bytes();
            self.wanted.iter().all(|word| word.find(text).is_some())
                && self.unwanted.iter().all(|word| word.find(text).is_none())
        };
        let Some(first) = &self.first else {
            for (row, matches) in pack.rows.iter().zip(matches) {
                *matches |= holds(*row);
            }
            return;
        };
        let (mut from, mut place) = (0, 0);
        while let Some(at) =
            pack.texts.as_bytes().get(from..).and_then(|texts| first.find(texts)).map(|at| from + at)
        {
            // Texts and what is found of them come in one order.
            place += pack.rows[place..].partition_point(|row| row.end <= at);
            let (Some(row), Some(matches)) = (pack.rows.get(place), matches.get_mut(place)) else { return };
            *matches |= holds(*row);
            from = row.end;
        }
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
        let mut rows = found.rows.unwrap();
        rows.sort_unstable();
        assert_eq!(rows.len() as u64, found.total);
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
        let missing = |database: &Database| missing(&database.connection, usize::MAX).unwrap();
        assert_eq!(missing(&database), [] as [i64; 0]);
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
        assert_eq!(missing(&database), [0, 1, 2]);
        assert!(!store_missing(&database.connection, 9).unwrap());
        assert_eq!(missing(&database), [] as [i64; 0]);
        // Another reading changes one item of each pack, and takes one away.
        let mut items: Vec<NewItem> = (0..1500).map(|n| item(&format!("k{n:04}"), "Same")).collect();
        items.remove(9);
        database.refresh_items(&items, at(2)).unwrap();
        assert_eq!(missing(&database), [] as [i64; 0]);
        assert_eq!(by_packs(&database, &words("same")).unwrap(), by_rows(&database, &words("same")));
    }

    #[test]
    fn what_does_not_hold_together_is_read_from_its_items() {
        let database = filled();
        let expected = by_rows(&database, &words("čt"));
        for bytes in ["x''", "x'ffffffff'", "x'0100010000000000000000000000000000ff000000'"] {
            database.connection.execute(&format!("UPDATE item_packs SET texts = {bytes}"), []).unwrap();
            assert_eq!(by_packs(&database, &words("čt")).unwrap(), expected, "{bytes}");
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
        let many = FEW_MAX + 500;
        let items: Vec<NewItem> =
            (0..many).map(|n| item(&format!("k{n:05}"), &format!("Item {n:05}"))).collect();
        database.refresh_items(&items, at(1)).unwrap();
        let filter = ItemFilter { limit: 2, offset: 10_000, ..words("item") };
        assert!(find(&database.connection, &filter).unwrap().unwrap().rows.is_none());
        let page = database.items(&filter).unwrap();
        assert_eq!((page.total, page.items[0].item.name.as_str()), (many as u64, "Item 10000"));
        let few = database.items(&ItemFilter { limit: 2, offset: 10, ..words("item 0012") }).unwrap();
        assert_eq!((few.total, few.items[0].item.name.as_str()), (12, "Item 00129"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn packs_find_what_the_condition_on_each_row_finds(
            names in proptest::collection::vec("[ABabİıßſKk č|.-]{0,6}", 1..40),
            text in "[ABabİß kč|!.-]{0,8}",
            pattern in "[ABabİıßſk č.|^$]{0,5}",
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
        fn bytes_that_are_no_pack_are_refused_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(pack) = Pack::parse(&bytes) {
                pack.rows.iter().for_each(|row| _ = pack.text(*row));
            }
        }
    }
}
