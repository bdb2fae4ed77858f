//! The sources that children read, and who may ask for what of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::base::redact;
use crate::http::{CookieJar, Url};
use crate::source::admission::Admission;
use crate::source::direct::Params;
use crate::source::{Kind, Relayed, SourceError};

use super::names::{RelayNames, SOURCE, file_name, number_of};

/// Those of all children, by their tokens.
#[derive(Default)]
pub(super) struct Origins(Mutex<BTreeMap<String, Arc<Origin>>>);

/// The source of one child.
pub(super) struct Origin {
    token: String,
    /// What the child's addresses begin with.
    folder: String,
    /// The host that the source's address names.
    host: String,
    params: Params,
    admission: Admission,
    cookies: Mutex<CookieJar>,
    names: Mutex<RelayNames>,
    /// The last failure that has no status.
    failure: Mutex<Option<String>>,
    is_over: AtomicBool,
    /// Connections to the source's servers.
    sockets: Mutex<Vec<Weak<TcpStream>>>,
}

impl Origins {
    /// Another source, asked for by whoever knows the token.
    /// `place` is what all addresses begin with.
    pub(super) fn add(&self, place: &str, token: String, relayed: Relayed) -> Arc<Origin> {
        let Relayed { url, host, params, admission } = relayed;
        let origin = Arc::new(Origin {
            folder: format!("{place}{token}/"),
            token: token.clone(),
            host,
            cookies: Mutex::new(params.cookies.clone()),
            params,
            admission,
            names: Mutex::new(RelayNames::new(url)),
            failure: Mutex::default(),
            is_over: AtomicBool::new(false),
            sockets: Mutex::default(),
        });
        locked(&self.0).insert(token, Arc::clone(&origin));
        origin
    }

    /// The source of the child with this token.
    pub(super) fn find(&self, token: &str) -> Option<Arc<Origin>> {
        locked(&self.0).get(token).cloned()
    }

    /// Nobody may ask for it any more, and its connections are closed: its provider may count them, and another is to follow.
    pub(super) fn remove(&self, origin: &Origin) {
        origin.is_over.store(true, Ordering::SeqCst);
        locked(&self.0).remove(&origin.token);
        for socket in locked(&origin.sockets).drain(..).filter_map(|socket| socket.upgrade()) {
            // It may be closed already.
            let _closed = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Origin {
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// Whether a server at this address may be asked for this.
    pub(super) fn admits(&self, url: &Url, address: IpAddr) -> Result<(), SourceError> {
        self.admission.check_connection(url, address)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// A connection to one of its servers.
    pub(super) fn connected(&self, socket: &Arc<TcpStream>) {
        let mut sockets = locked(&self.sockets);
        sockets.retain(|socket| socket.strong_count() > 0);
        sockets.push(Arc::downgrade(socket));
        drop(sockets);
        if self.is_over() {
            // It has ended meanwhile.
            let _closed = socket.shutdown(Shutdown::Both);
        }
    }

    /// The last part of the path by which the source itself is asked for.
    pub(super) fn first_file(&self) -> String {
        locked(&self.names).url(SOURCE).map_or_else(String::new, |url| file_name(SOURCE, url))
    }

    /// The address that stands behind what follows the token.
    pub(super) fn url_of(&self, file: &str) -> Option<Url> {
        let names = locked(&self.names);
        match file.split_once('/') {
            None => names.url(number_of(file.split('?').next()?)?).cloned(),
            Some((server, path)) => {
                names.server(number_of(server.strip_prefix('d')?)?)?.join(&format!("/{path}")).ok()
            }
        }
    }

    /// How an address is asked for now.
    pub(super) fn params(&self) -> Params {
        Params { cookies: locked(&self.cookies).clone(), ..self.params.clone() }
    }

    /// What servers have set is kept for the next request; `before` is what this one had.
    pub(super) fn keep_cookies(&self, before: &CookieJar, cookies: &CookieJar) {
        locked(&self.cookies).learn(before, cookies);
    }

    /// What servers have set so far.
    pub(super) fn cookies(&self) -> CookieJar {
        locked(&self.cookies).clone()
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

    /// Gives addresses of this relay to the servers that a manifest names; `None` when it names too many.
    pub(super) fn with_servers<T>(
        &self,
        rewrite: impl FnOnce(&mut dyn FnMut(&Url) -> String) -> T,
    ) -> Option<T> {
        let mut names = locked(&self.names);
        let mut is_full = false;
        let result = rewrite(&mut |root| match names.server_number(root) {
            Some(number) => format!("{}d{number}", self.folder),
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
