//! An entry of a playlist in one piece, on its way from the list to the store: a million of them are read, and most are as they were.

use std::borrow::Cow;
use std::hash::Hasher;

use super::quick::Quick;
use super::records::NewItem;

/// What an entry says beside its key, in the order in which it stands in the text.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(super) enum Field {
    ChannelKey,
    Name,
    GroupName,
    StreamUrl,
    TvgId,
    TvgName,
    TvgLogo,
    Attributes,
    Headers,
}

const FIELDS: usize = Field::Headers as usize + 1;
/// Where each field ends, and the number that is made of all.
const HEAD_BYTES: usize = 4 * FIELDS + 8;

/// An entry of a playlist.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub(super) item_key: String,
    /// All fields, one behind the other, and where each ends.
    text: String,
    ends: [u32; FIELDS],
    /// What is said of it, as a number: another one when that has changed.
    content: i64,
}

impl Entry {
    /// Of an item.
    ///
    /// # Panics
    /// When the item is longer than four gigabytes.
    #[must_use]
    pub fn new(item: &NewItem) -> Self {
        let mut bytes = Vec::new();
        Self::write(item, &mut bytes);
        Self::read(item.item_key.clone(), &bytes).expect("it was written so")
    }

    /// Appends what is said of an item, for [`Entry::read`].
    ///
    /// # Panics
    /// When the item is longer than four gigabytes.
    pub fn write(item: &NewItem, into: &mut Vec<u8>) {
        let headers = if item.headers.is_empty() {
            Cow::Borrowed("{}")
        } else {
            Cow::Owned(serde_json::to_string(&item.headers).expect("text can be written as JSON"))
        };
        let fields: [&str; FIELDS] = [
            &item.channel_key,
            &item.name,
            &item.group_name,
            &item.stream_url,
            &item.tvg_id,
            &item.tvg_name,
            &item.tvg_logo,
            &item.attrs_json,
            &headers,
        ];
        let start = into.len();
        into.reserve(HEAD_BYTES + fields.iter().map(|field| field.len()).sum::<usize>());
        let mut end = 0;
        for field in fields {
            end += field.len();
            let end = u32::try_from(end).expect("lines of a list are shorter");
            into.extend_from_slice(&end.to_le_bytes());
        }
        into.extend_from_slice(&[0; 8]);
        for field in fields {
            into.extend_from_slice(field.as_bytes());
        }
        let mut content = Quick::default();
        content.write(&into[start..]);
        into[start + HEAD_BYTES - 8..start + HEAD_BYTES].copy_from_slice(&content.finish().to_le_bytes());
    }

    /// The entry of a key, of which this was written; nothing when it was not.
    #[must_use]
    pub fn read(item_key: String, written: &[u8]) -> Option<Self> {
        let (head, text) = written.split_at_checked(HEAD_BYTES)?;
        let text = str::from_utf8(text).ok()?.to_owned();
        let (numbers, content) = head.split_at(4 * FIELDS);
        let mut ends = [0; FIELDS];
        for (end, number) in ends.iter_mut().zip(numbers.as_chunks().0) {
            *end = u32::from_le_bytes(*number);
        }
        let content = i64::from_le_bytes(content.try_into().ok()?);
        Some(Self { item_key, text, ends, content })
    }

    /// What names it in its playlist.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.item_key
    }

    pub(super) fn field(&self, field: Field) -> &str {
        let number = field as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start as usize..self.ends[number] as usize).unwrap_or_default()
    }

    pub(super) const fn content(&self) -> i64 {
        self.content
    }
}

// An address or an attribute may hold a password.
impl std::fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("item_key", &self.item_key)
            .field("name", &self.field(Field::Name))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_what_the_item_says_and_a_change_of_any_is_seen() {
        let mut item = NewItem { item_key: "k".to_owned(), ..NewItem::default() };
        let texts = [
            &mut item.channel_key,
            &mut item.name,
            &mut item.group_name,
            &mut item.stream_url,
            &mut item.tvg_id,
            &mut item.tvg_name,
            &mut item.tvg_logo,
            &mut item.attrs_json,
        ];
        for (number, text) in texts.into_iter().enumerate() {
            *text = format!("č{number}");
        }
        let entry = Entry::new(&item);
        let named = [
            (Field::ChannelKey, "č0"),
            (Field::Name, "č1"),
            (Field::GroupName, "č2"),
            (Field::StreamUrl, "č3"),
            (Field::TvgId, "č4"),
            (Field::TvgName, "č5"),
            (Field::TvgLogo, "č6"),
            (Field::Attributes, "č7"),
            (Field::Headers, "{}"),
        ];
        for (field, expected) in named {
            assert_eq!(entry.field(field), expected);
        }
        assert_eq!(Entry::new(&item), entry);
        let moved = NewItem { name: "č1č".to_owned(), group_name: "2".to_owned(), ..item.clone() };
        assert_ne!(
            Entry::new(&moved).content(),
            entry.content(),
            "a text that ends elsewhere is another one"
        );
        item.headers.set("User-Agent", "tv/1").unwrap();
        assert_ne!(Entry::new(&item).content(), entry.content());
    }

    #[test]
    fn what_was_not_written_is_no_entry_and_never_panics() {
        let mut bytes = Vec::new();
        Entry::write(&NewItem::default(), &mut bytes);
        assert_eq!(Entry::read(String::new(), &bytes[..20]), None);
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] = 0xFF;
            if let Some(entry) = Entry::read(String::new(), &wrong) {
                _ = (entry.field(Field::Name), entry.field(Field::Headers), entry.content());
            }
        }
    }
}
