//! The sources that children read, and who may ask for what of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::redact;
use crate::http::{CookieJar, Url};
use crate::source::admission::Admission;
use crate::source::direct::Params;
use crate::source::{Kind, Relayed, SourceError};

use super::names::{Names, SOURCE, file_name, number_of};

/// Those of all children, by their tokens.
#[derive(Default)]
pub(super) struct Origins(Mutex<BTreeMap<String, Arc<Origin>>>);

/// The source of one child.
pub(super) struct Origin {
    token: String,
    /// The host that the source's address names.
    host: String,
    params: Params,
    admission: Admission,
    cookies: Mutex<CookieJar>,
    names: Mutex<Names>,
    /// The last failure that has no status.
    failure: Mutex<Option<String>>,
    is_over: AtomicBool,
}

impl Origins {
    /// Another source, asked for by whoever knows the token.
    pub(super) fn add(&self, token: String, relayed: Relayed) -> Arc<Origin> {
        let Relayed { url, host, params, admission } = relayed;
        let origin = Arc::new(Origin {
            token: token.clone(),
            host,
            cookies: Mutex::new(params.cookies.clone()),
            params,
            admission,
            names: Mutex::new(Names::new(url)),
            failure: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        locked(&self.0).insert(token, Arc::clone(&origin));
        origin
    }

    /// The source of the child with this token.
    pub(super) fn find(&self, token: &str) -> Option<Arc<Origin>> {
        locked(&self.0).get(token).cloned()
    }

    /// Nobody may ask for it any more.
    pub(super) fn remove(&self, origin: &Origin) {
        origin.is_over.store(true, Ordering::Relaxed);
        locked(&self.0).remove(&origin.token);
    }
}

impl Origin {
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The last part of the path by which the source itself is asked for.
    pub(super) fn first_file(&self) -> String {
        locked(&self.names).url(SOURCE).map_or_else(String::new, |url| file_name(SOURCE, url))
    }

    /// The address with the number of a path's last part.
    pub(super) fn url_of(&self, file: &str) -> Option<Url> {
        locked(&self.names).url(number_of(file)?).cloned()
    }

    /// How an address is asked for now.
    pub(super) fn params(&self) -> Params {
        Params { cookies: locked(&self.cookies).clone(), ..self.params.clone() }
    }

    /// Where its servers may be.
    pub(super) const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// What servers have set is kept for the next request; `before` is what this one had.
    pub(super) fn keep_cookies(&self, before: &CookieJar, cookies: &CookieJar) {
        // Another request may have been answered meanwhile.
        if before != cookies {
            locked(&self.cookies).clone_from(cookies);
        }
    }

    /// Gives addresses of this relay to what a list names; `None` when it names too many.
    pub(super) fn renamed<T>(&self, rewrite: impl FnOnce(&mut dyn FnMut(&Url) -> String) -> T) -> Option<T> {
        let mut names = locked(&self.names);
        names.begin_list();
        let mut is_full = false;
        let result = rewrite(&mut |url| match names.number(url) {
            Some(number) => format!("/{}/{}", self.token, file_name(number, url)),
            None => {
                is_full = true;
                String::new()
            }
        });
        (!is_full).then_some(result)
    }

    /// Keeps why something could not be had, for whoever asks why the child has ended. A status the child tells by itself.
    pub(super) fn note_failure(&self, url: &Url, error: &SourceError) {
        if !matches!(error.kind(), Kind::Status(_)) {
            let text = redact::text(&format!("{}: {error}", redact::url(&url.text())));
            *locked(&self.failure) = Some(text);
        }
    }

    pub(super) fn failure(&self) -> Option<String> {
        locked(&self.failure).clone()
    }
}

/// A thread that panicked leaves nothing half-done behind.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
