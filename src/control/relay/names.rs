//! What the lists of one source have named.

use std::collections::BTreeMap;

use crate::base::limits::HLS_SEGMENTS_MAX;
use crate::http::Url;

/// Addresses that are known of one source. Full: those go that no list has named for the longest time, half of all.
const NAMES_MAX: usize = 2 * HLS_SEGMENTS_MAX;
/// Servers that manifests of one source may name.
const SERVERS_MAX: usize = 64;
/// The longest ending of a path that is kept.
const ENDING_BYTES_MAX: usize = 8;

struct RelayName {
    url: Url,
    /// The list that has named it last.
    list: u64,
}

/// Addresses by their numbers. An address keeps its number as long as it is known: whoever reads lists compares.
pub(super) struct RelayNames {
    numbers: BTreeMap<String, u64>,
    names: BTreeMap<u64, RelayName>,
    next: u64,
    lists: u64,
    /// The roots of servers that manifests have named.
    servers: Vec<Url>,
}

impl RelayNames {
    /// The source's own address has the first number.
    pub(super) fn new(source: Url) -> Self {
        let numbers = BTreeMap::from([(source.text(), SOURCE)]);
        let names = BTreeMap::from([(SOURCE, RelayName { url: source, list: u64::MAX })]);
        Self { numbers, names, next: SOURCE + 1, lists: 0, servers: Vec::new() }
    }

    /// The address with this number.
    pub(super) fn url(&self, number: u64) -> Option<&Url> {
        self.names.get(&number).map(|name| &name.url)
    }

    /// The root of the server with this number.
    pub(super) fn server(&self, number: u64) -> Option<&Url> {
        self.servers.get(usize::try_from(number).ok()?)
    }

    /// The number of a server, unless there are too many.
    pub(super) fn server_number(&mut self, root: &Url) -> Option<usize> {
        if let Some(place) = self.servers.iter().position(|known| known == root) {
            return Some(place);
        }
        (self.servers.len() < SERVERS_MAX).then(|| {
            self.servers.push(root.clone());
            self.servers.len() - 1
        })
    }

    /// Another list names what follows.
    pub(super) fn begin_list(&mut self) {
        self.lists += 1;
        if self.names.len() <= NAMES_MAX / 2 {
            return;
        }
        let mut ages: Vec<_> = self.names.iter().map(|(number, name)| (name.list, *number)).collect();
        ages.sort_unstable();
        for (_, number) in ages.iter().filter(|(list, _)| *list != u64::MAX).take(ages.len() - NAMES_MAX / 2)
        {
            if let Some(name) = self.names.remove(number) {
                self.numbers.remove(&name.url.text());
            }
        }
    }

    /// The number of an address, unless one list names too many.
    pub(super) fn number(&mut self, url: &Url) -> Option<u64> {
        let text = url.text();
        if let Some(number) = self.numbers.get(&text) {
            if let Some(name) = self.names.get_mut(number) {
                name.list = name.list.max(self.lists);
            }
            return Some(*number);
        }
        if self.names.len() == NAMES_MAX {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.numbers.insert(text, number);
        self.names.insert(number, RelayName { url: url.clone(), list: self.lists });
        Some(number)
    }
}

/// The number of the source's own address.
pub(super) const SOURCE: u64 = 0;

/// A number as the last part of a path: with the ending of the address, by which players judge what they get.
pub(super) fn file_name(number: u64, url: &Url) -> String {
    let path = url.target().split('?').next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_plain =
        ending.len() <= ENDING_BYTES_MAX && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if ending.is_empty() || !is_plain { number.to_string() } else { format!("{number}.{ending}") }
}

/// The number of such a name.
pub(super) fn number_of(file: &str) -> Option<u64> {
    let digits = file.split('.').next()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn an_address_keeps_its_number_and_the_ending_of_its_path() {
        let mut names = RelayNames::new(url("https://h/list.m3u8?t=1"));
        for (text, file) in [
            ("https://h/list.m3u8?t=1", "0.m3u8"),
            ("https://h/a.b/0.m4s?t=a.ts", "1.m4s"),
            ("https://h/a.b/0", "2"),
            ("https://h/0.ts%20x", "3"),
            ("https://h/a.b/0.m4s?t=a.ts", "1.m4s"),
        ] {
            names.begin_list();
            let number = names.number(&url(text)).unwrap();
            assert_eq!(file_name(number, &url(text)), file, "{text}");
            assert_eq!(number_of(file), Some(number));
            assert_eq!(names.url(number), Some(&url(text)));
        }
        assert_eq!(names.url(4), None);
        for file in ["", ".ts", "a", "-1", "+1", "99999999999999999999"] {
            assert_eq!(number_of(file), None, "{file}");
        }
    }

    #[test]
    fn a_server_keeps_its_number_and_there_are_not_too_many() {
        let mut names = RelayNames::new(url("https://h/a.mpd"));
        let root = |number: usize| url(&format!("https://h{number}/"));
        for number in (0..SERVERS_MAX).chain(0..SERVERS_MAX) {
            assert_eq!(names.server_number(&root(number)), Some(number));
        }
        assert_eq!(names.server_number(&root(SERVERS_MAX)), None);
        assert_eq!((names.server(3), names.server(u64::MAX)), (Some(&root(3)), None));
    }

    #[test]
    fn what_was_named_long_ago_is_forgotten_and_the_source_never() {
        let mut names = RelayNames::new(url("https://h/"));
        let first = names.number(&url("https://h/0.ts")).unwrap();
        let list = |names: &mut RelayNames, from: usize| {
            names.begin_list();
            (from..from + NAMES_MAX / 2).all(|at| names.number(&url(&format!("https://h/{at}.ts"))).is_some())
        };
        assert!(list(&mut names, 1));
        assert!(list(&mut names, NAMES_MAX / 2));
        assert_eq!(names.url(first), None);
        assert!(names.url(SOURCE).is_some() && names.names.len() <= NAMES_MAX);
        assert_eq!(names.names.len(), names.numbers.len());
        names.begin_list();
        let many =
            (0..NAMES_MAX).take_while(|at| names.number(&url(&format!("https://h/{at}.m4s"))).is_some());
        assert_eq!(many.count(), NAMES_MAX / 2, "one list names too many");
    }
}
