//! Cookies that the servers of sources have set, from one attempt to the next: a provider's session is one for all that is asked of it.

use std::collections::VecDeque;

use crate::base::Instant;
use crate::http::CookieJar;
use crate::lineup::SourceId;

/// Sources whose cookies are kept, a few KiB each at most. Full: those go that were used least lately.
const SOURCES_MAX: usize = 256;

/// The cookies of a core's sources.
#[derive(Default)]
pub(crate) struct SourceCookies {
    /// The one used last is the last.
    jars: VecDeque<(SourceId, CookieJar)>,
}

impl SourceCookies {
    /// Those of a source.
    pub(crate) fn of(&self, source: SourceId) -> CookieJar {
        let jar = self.jars.iter().find(|(known, _)| *known == source);
        jar.map(|(_, jar)| jar.clone()).unwrap_or_default()
    }

    /// An attempt is over that began with those of its source and has ended with these.
    pub(crate) fn keep(&mut self, now: Instant, source: SourceId, jar: CookieJar) {
        self.jars.retain(|(known, _)| *known != source);
        let jar = jar.kept(now);
        if jar.is_empty() {
            return;
        }
        if self.jars.len() == SOURCES_MAX {
            self.jars.pop_front();
        }
        self.jars.push_back((source, jar));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Url;

    fn jar(field: &str) -> CookieJar {
        let mut jar = CookieJar::default();
        jar.set(Instant::START, &Url::parse("http://h/").unwrap(), field, None);
        jar
    }

    #[test]
    fn a_source_has_its_own_until_they_are_over_or_others_push_them_out() {
        let now = Instant::from_millis(5000);
        let mut cookies = SourceCookies::default();
        cookies.keep(now, SourceId(1), jar("a=1"));
        cookies.keep(now, SourceId(2), jar("b=1; Max-Age=5"));
        assert_eq!(cookies.of(SourceId(1)), jar("a=1"));
        assert!(cookies.of(SourceId(2)).is_empty() && cookies.of(SourceId(3)).is_empty());
        cookies.keep(now, SourceId(1), CookieJar::default());
        assert!(cookies.of(SourceId(1)).is_empty(), "its server has taken it away");
        for source in 0..=300 {
            cookies.keep(now, SourceId(source), jar("a=1"));
        }
        assert_eq!(cookies.jars.len(), SOURCES_MAX);
        assert!(cookies.of(SourceId(0)).is_empty() && !cookies.of(SourceId(300)).is_empty());
    }
}
