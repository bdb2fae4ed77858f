//! What threads have to say to the one that draws.

use super::document::{Document, SourceList};
use super::state::Key;

/// Something has happened.
pub(super) enum News {
    Key(Key),
    /// The terminal has another size, or shows what is not ours.
    Redraw,
    Document(Box<Document>),
    Away(String),
    Sources(i64, SourceList),
    Told(Result<&'static str, String>),
    /// A signal.
    End,
    /// A thread of ours cannot go on.
    Broken(String),
}
