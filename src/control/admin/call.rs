//! A request as routes see it: whole, owned, without a connection.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::{Method, Request, Response, form_pairs};

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) request: Request,
    pub(super) body: Vec<u8>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

impl Call {
    /// What is asked to be done.
    pub(super) fn method(&self) -> Method {
        self.request.method()
    }

    /// The first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    /// The first value of this name in the query.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        self.request.query_pairs().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// All values of this name in the query.
    pub(super) fn query_all(&self, name: &str) -> Vec<String> {
        self.request.query_pairs().filter(|(other, _)| other == name).map(|(_, value)| value).collect()
    }

    /// The first value of this name in a form that was sent; blank is none.
    pub(super) fn form(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.body);
        let found = form_pairs(&text).find(|(other, _)| other == name).map(|(_, value)| value);
        found.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The client's address; one that came as IPv4 in IPv6 is IPv4.
    pub(super) fn peer_address(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    /// The body as JSON, strictly: nothing unknown, nothing missing, nothing behind it.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Response> {
        serde_json::from_slice(&self.body)
            .map_err(|error| refusal(400, &format!("the body is not what this route takes: {error}")))
    }
}

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a str,
}

/// A sentence about what is wrong, as JSON.
pub(super) fn refusal(status: u16, sentence: &str) -> Response {
    Response::json(status, &Refusal { error: sentence })
}

#[cfg(test)]
pub(super) mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::http::{Parsed, parse};

    /// A request from this host, with these lines of headers.
    pub(in crate::control) fn call_with(method: &str, target: &str, headers: &str, body: &str) -> Call {
        let head = format!("{method} {target} HTTP/1.1\r\n{headers}\r\n");
        let Parsed::Complete { request, .. } = parse(head.as_bytes()).unwrap() else { panic!("{head}") };
        Call {
            request,
            body: body.as_bytes().to_vec(),
            peer: SocketAddr::from(([127, 0, 0, 1], 40_000)),
            local: SocketAddr::from(([127, 0, 0, 1], 5004)),
        }
    }

    /// The same, from a client that calls us `box.lan`.
    pub(in crate::control) fn call(method: &str, target: &str, body: &str) -> Call {
        call_with(method, target, "Host: box.lan:5004\r\n", body)
    }

    /// Head and body of an answer.
    pub(in crate::control) fn written(response: &Response) -> (String, String) {
        let mut bytes = Vec::new();
        response.write_last(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (format!("{head}\r\n"), body.to_owned())
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Body {
        number: u32,
    }

    #[test]
    fn a_body_is_read_strictly_and_the_error_says_what_is_wrong() {
        assert_eq!(call("POST", "/", r#" {"number":5} "#).json::<Body>().unwrap().number, 5);
        for (body, piece) in [
            (r#"{"number":5,"more":1}"#, "unknown field `more`, expected `number`"),
            (r#"{"number":5} x"#, "trailing characters"),
            (r#"{"number":"5"}"#, "invalid type: string"),
            (r#"{"number":5,"number":6}"#, "duplicate field"),
            ("{}", "missing field `number`"),
            ("", "EOF"),
        ] {
            let refused = call("POST", "/", body).json::<Body>().unwrap_err();
            assert_eq!(refused.status(), 400);
            assert!(written(&refused).1.contains(piece), "{body}: {refused:?}");
        }
    }
}
