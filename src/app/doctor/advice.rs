//! What a failure means, and what helps against it.

/// A fault in plain words.
pub(super) struct Fault {
    /// What it is.
    pub(super) wrong: &'static str,
    /// What to do about it.
    pub(super) todo: &'static str,
}

/// Faults by what the engine says of them; the first that fits counts.
const FAULTS: &[(&[&str], Fault)] = &[
    (
        &["this very server", "leads back to this server", "loop detected"],
        Fault { wrong: "The address leads back to tunerd itself.", todo: "Give it the provider's address." },
    ),
    (
        &["ALLOW_PRIVATE_SOURCES"],
        Fault {
            wrong: "The address is in a private network, which is not allowed.",
            todo: "Set ALLOW_PRIVATE_SOURCES=true if it is yours.",
        },
    ),
    (
        &["SOURCE_SCHEMES", "a source cannot be"],
        Fault {
            wrong: "Addresses of this kind are not allowed.",
            todo: "Check the beginning of the address; SOURCE_SCHEMES says which kinds are taken.",
        },
    ),
    (
        &["has no address", "name look-up", "no such host", "Name or service"],
        Fault {
            wrong: "The host's name leads nowhere: DNS knows no address for it.",
            todo: "Check the spelling of the host, and the name server of this machine.",
        },
    ),
    (
        &["Connection refused"],
        Fault {
            wrong: "Nobody listens at this host and port: the connection was refused.",
            todo: "Check the port; perhaps the server is down.",
        },
    ),
    (
        &["No route to host", "Network is unreachable"],
        Fault {
            wrong: "The host cannot be reached from here.",
            todo: "Check the network, a VPN or a firewall.",
        },
    ),
    (
        &["certificate"],
        Fault {
            wrong: "The server does not prove who it is: its TLS certificate is not believed.",
            todo: "If the server is your own, name its authority in UPSTREAM_CA_FILE; UPSTREAM_TLS_VERIFY=false believes everybody.",
        },
    ),
    (
        &["TLS"],
        Fault {
            wrong: "No encrypted connection (TLS) could be made.",
            todo: "Perhaps the port speaks plain HTTP: try http:// instead of https://.",
        },
    ),
    (
        &["redirect"],
        Fault {
            wrong: "The server sends us on and on: its redirects do not end, or lead nowhere.",
            todo: "Open the address in a player; perhaps the account has ended. Ask the provider.",
        },
    ),
    (
        &["status 401"],
        Fault {
            wrong: "The server wants another name and password (401).",
            todo: "Check the user and the password in the address.",
        },
    ),
    (
        &["status 403"],
        Fault {
            wrong: "The server refuses us (403).",
            todo: "Perhaps it lets in only certain players: set USER_AGENT. Perhaps the account is in use elsewhere, or has ended.",
        },
    ),
    (
        &["status 404", "status 410"],
        Fault {
            wrong: "The stream is not there any more (404).",
            todo: "Read the playlist again; the provider may have renamed the stream.",
        },
    ),
    (
        &["status 451"],
        Fault {
            wrong: "The server may not show it here, for legal reasons (451).",
            todo: "It is meant for another country; use another source.",
        },
    ),
    (
        &["status 429", "status 458", "status 509", "max connections", "too many"],
        Fault {
            wrong: "The account has as many streams open as it may.",
            todo: "Close other players, or lower TUNER_COUNT to what the provider allows.",
        },
    ),
    (
        &["status 5"],
        Fault {
            wrong: "The provider's server has a fault of its own (5xx).",
            todo: "Try it later, and give the channel another source.",
        },
    ),
    (
        &["upstream returned status"],
        Fault { wrong: "The server answers, but gives no stream.", todo: "Try the address in a player." },
    ),
    (
        &["not MPEG-TS (html", "not MPEG-TS (HTML", "<html", "HTML"],
        Fault {
            wrong: "The server sends a web page (HTML) where a stream should be.",
            todo: "Open the address in a browser: the account may have ended, or a log-in is wanted.",
        },
    ),
    (
        &["not MPEG-TS"],
        Fault {
            wrong: "What comes is no MPEG-TS.",
            todo: "Set STREAM_MODE=auto or ffmpeg-copy, so that ffmpeg reads it; check that ffmpeg is installed.",
        },
    ),
    (
        &["scrambled"],
        Fault {
            wrong: "The stream is scrambled: without a key nobody can show it.",
            todo: "Use another source; tunerd has no keys.",
        },
    ),
    (
        &["random-access"],
        Fault {
            wrong: "The stream shows no place where a decoder could begin (entry points are rare, or missing).",
            todo: "Raise STARTUP_TIMEOUT, or set STREAM_MODE=ffmpeg-transcode.",
        },
    ),
    (
        &["programme ", "programme tables"],
        Fault {
            wrong: "The stream holds no programme that can be shown.",
            todo: "Leave the programme's number out, or name one that is there.",
        },
    ),
    (
        &["inventory", "video_streams=0"],
        Fault { wrong: "The stream has no picture, or no sound.", todo: "Use another source." },
    ),
    (
        &["startup timeout", "timed out", "timeout", "did not answer"],
        Fault {
            wrong: "The server was silent: nothing that could be shown came in time.",
            todo: "Raise STARTUP_TIMEOUT if it is slow; else use another source.",
        },
    ),
    (
        &["source closed", "closed before", "connection closed", "Connection reset", "ended"],
        Fault {
            wrong: "The server hung up before there was a picture.",
            todo: "Perhaps the account has as many streams open as it may, or has ended.",
        },
    ),
    (
        &["ffmpeg"],
        Fault {
            wrong: "ffmpeg, which this source needs, does not run or cannot read it.",
            todo: "Install ffmpeg, or name it in FFMPEG_PATH; tunerd check says what was found.",
        },
    ),
];

/// What there is to say of anything else.
const UNKNOWN: Fault = Fault {
    wrong: "It could not be started.",
    todo: "Try the address in a player, and run tunerd with LOG_LEVEL=debug to see more.",
};

/// What the words of the engine mean.
pub(super) fn fault(reason: &str) -> &'static Fault {
    let fits = |words: &&[&str]| words.iter().any(|word| reason.contains(word));
    FAULTS.iter().find(|(words, _)| fits(words)).map_or(&UNKNOWN, |(_, fault)| fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_are_understood() {
        for (reason, piece) in [
            (
                "request upstream stream failed: connect to 127.0.0.1:9: Connection refused (os error 111)",
                "refused",
            ),
            ("upstream returned status 401: who are you", "password"),
            ("upstream returned status 403", "(403)"),
            ("upstream returned status 404: not here", "(404)"),
            ("upstream returned status 451", "451"),
            ("upstream returned status 503: try again", "5xx"),
            ("upstream returned status 508: loop detected: the source leads back to this server", "itself"),
            ("upstream returned status 429: too many streams", "as many streams"),
            ("upstream body is not MPEG-TS (html): Expired", "web page"),
            ("upstream body is not MPEG-TS (json)", "no MPEG-TS"),
            ("startup stream is scrambled: it has no clear pictures or sound", "scrambled"),
            ("startup timeout waiting for random-access source bytes", "decoder could begin"),
            ("startup timeout waiting for source bytes", "silent"),
            (
                "startup stream inventory missing required audio+video components (state=audio_only",
                "no picture",
            ),
            ("request upstream stream failed: TLS: invalid peer certificate: UnknownIssuer", "certificate"),
            ("request upstream stream failed: stopped after 10 redirects", "redirects"),
            ("request upstream stream failed: nowhere.invalid has no address", "DNS"),
            ("source closed before startup bytes were received", "hung up"),
            ("something new", "could not be started"),
        ] {
            assert!(fault(reason).wrong.contains(piece), "{reason}: {}", fault(reason).wrong);
        }
    }
}
