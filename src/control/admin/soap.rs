//! SOAP as UPnP uses it: one action with its arguments comes, and its results or a fault go.

use quick_xml::NsReader;
use quick_xml::events::Event;
use quick_xml::name::{Namespace, ResolveResult};

use super::xml::Xml;

/// The longest body that is read. An action has a few arguments of a few words.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// Elements within one another. An argument is in its action, in the body, in the envelope.
const DEPTH_MAX: usize = 12;
/// Arguments of an action.
const ARGUMENTS_MAX: usize = 32;

const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const ENCODING: &str = "http://schemas.xmlsoap.org/soap/encoding/";

/// Why a body is no action.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum SoapError {
    #[error("the body is not XML in UTF-8: {0}")]
    Malformed(String),
    #[error("the body declares a document type, which no action needs")]
    DocumentType,
    #[error("the body refers to &{0};, which is not declared")]
    UnknownEntity(String),
    #[error("elements are nested deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("there are more arguments than {ARGUMENTS_MAX}")]
    TooManyArguments,
    #[error("there is no action in an envelope's body, or more than one")]
    NoAction,
}

/// An action that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Action {
    /// Its namespace; empty when it has none.
    pub(super) service: String,
    pub(super) name: String,
    arguments: Vec<(String, String)>,
}

impl Action {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, SoapError> {
        let text = str::from_utf8(body).map_err(|error| SoapError::Malformed(error.to_string()))?;
        let mut reader = NsReader::from_str(text.trim_start_matches('\u{feff}'));
        let malformed = |error: quick_xml::Error| SoapError::Malformed(error.to_string());
        let mut reading = Reading::default();
        loop {
            let (namespace, event) = reader.read_resolved_event().map_err(malformed)?;
            match event {
                Event::Start(element) => {
                    reading.begin(service(namespace)?, element.local_name().into_inner())?;
                }
                Event::Empty(element) => {
                    reading.begin(service(namespace)?, element.local_name().into_inner())?;
                    reading.end();
                }
                Event::End(_) => reading.end(),
                Event::Text(text) => reading.text(&text),
                Event::CData(text) => reading.text(&text),
                Event::GeneralRef(reference) => {
                    let unknown = || SoapError::UnknownEntity(reference.to_string());
                    match reference.resolve_char_ref() {
                        Ok(Some(character)) => reading.text(character.encode_utf8(&mut [0; 4])),
                        Ok(None) => {
                            let known = quick_xml::escape::resolve_predefined_entity(&reference);
                            reading.text(known.ok_or_else(unknown)?);
                        }
                        Err(_no_character) => return Err(unknown()),
                    }
                }
                Event::DocType(_) => return Err(SoapError::DocumentType),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => return reading.action(),
            }
        }
    }

    /// An argument without blanks around it; empty when it is missing.
    pub(super) fn argument(&self, name: &str) -> &str {
        self.arguments.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }
}

fn service(namespace: ResolveResult<'_>) -> Result<String, SoapError> {
    match namespace {
        ResolveResult::Bound(Namespace(service)) => Ok(service.to_owned()),
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Unknown(prefix) => {
            Err(SoapError::Malformed(format!("the prefix {prefix:?} is not declared")))
        }
    }
}

/// Where in an envelope the reader is.
#[derive(Default)]
struct Reading {
    depth: usize,
    is_in_body: bool,
    action: Option<Action>,
    has_several: bool,
}

impl Reading {
    fn begin(&mut self, service: String, name: &str) -> Result<(), SoapError> {
        self.depth += 1;
        match self.depth {
            1 if name != "Envelope" => return Err(SoapError::NoAction),
            2 => self.is_in_body = name == "Body",
            3 if self.is_in_body => {
                let action = Action { service, name: name.to_owned(), arguments: Vec::new() };
                self.has_several |= self.action.replace(action).is_some();
            }
            4 if self.is_in_body => {
                let arguments = &mut self.action.as_mut().ok_or(SoapError::NoAction)?.arguments;
                if arguments.len() >= ARGUMENTS_MAX {
                    return Err(SoapError::TooManyArguments);
                }
                arguments.push((name.to_owned(), String::new()));
            }
            depth if depth > DEPTH_MAX => return Err(SoapError::TooDeep),
            _inside => {}
        }
        Ok(())
    }

    fn end(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Text of an argument. What stands in elements of it is no argument's.
    fn text(&mut self, text: &str) {
        if self.depth == 4
            && self.is_in_body
            && let Some((_, value)) = self.action.as_mut().and_then(|action| action.arguments.last_mut())
        {
            value.push_str(text);
        }
    }

    fn action(self) -> Result<Action, SoapError> {
        match self.action {
            Some(action) if self.depth == 0 && !self.has_several => Ok(action),
            Some(_) | None => Err(SoapError::NoAction),
        }
    }
}

/// Why an action is not done: a number of the UPnP architecture, and its words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    InvalidAction,
    InvalidArguments,
    NoSuchObject,
    InvalidConnection,
    NoSuchContainer,
}

impl Fault {
    const fn code(self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidAction => ("401", "Invalid Action"),
            Self::InvalidArguments => ("402", "Invalid Args"),
            Self::NoSuchObject => ("701", "No Such Object"),
            Self::InvalidConnection => ("706", "Invalid Connection Reference"),
            Self::NoSuchContainer => ("710", "No Such Container"),
        }
    }

    /// The envelope.
    pub(super) fn envelope(self) -> String {
        let (code, description) = self.code();
        in_envelope(|xml| {
            xml.open("s:Fault", &[]).text("faultcode", "s:Client").text("faultstring", "UPnPError");
            xml.open("detail", &[]).open("UPnPError", &[("xmlns", "urn:schemas-upnp-org:control-1-0")]);
            xml.text("errorCode", code).text("errorDescription", description);
            xml.close("UPnPError").close("detail").close("s:Fault");
        })
    }
}

/// The envelope of what an action has given.
pub(super) fn response(service: &str, action: &str, results: &[(&str, &str)]) -> String {
    let element = format!("u:{action}Response");
    in_envelope(|xml| {
        xml.open(&element, &[("xmlns:u", service)]);
        for (name, value) in results {
            xml.text(name, value);
        }
        xml.close(&element);
    })
}

fn in_envelope(body: impl FnOnce(&mut Xml)) -> String {
    let mut xml = Xml::compact();
    xml.open("s:Envelope", &[("xmlns:s", ENVELOPE), ("s:encodingStyle", ENCODING)]).open("s:Body", &[]);
    body(&mut xml);
    xml.close("s:Body").close("s:Envelope");
    xml.finish()
}

/// Whether a body is an action, for tests of hostile bytes. Its arguments are read, too.
#[must_use]
#[cfg(any(test, feature = "sim"))]
pub fn is_action(bytes: &[u8]) -> bool {
    Action::parse(bytes).is_ok_and(|action| action.argument("ObjectID").len() <= bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(inside: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<s:Envelope xmlns:s=\"{ENVELOPE}\" s:encodingStyle=\"{ENCODING}\">\
             <s:Header><x><y>z</y></x></s:Header>\n<s:Body>{inside}</s:Body></s:Envelope>\n"
        )
    }

    fn parse(inside: &str) -> Result<Action, SoapError> {
        Action::parse(envelope(inside).as_bytes())
    }

    #[test]
    fn an_action_is_read_with_its_service_and_its_arguments() {
        let action = parse(
            "<u:Browse xmlns:u=\"urn:x:1\"><ObjectID> a&amp;b&#65;&#x42; </ObjectID><!-- c --><Filter/>\
             <Raw><![CDATA[<&amp;>]]></Raw><Deep>one<x>two</x>three</Deep></u:Browse>",
        )
        .unwrap();
        assert_eq!((action.service.as_str(), action.name.as_str()), ("urn:x:1", "Browse"));
        for (name, value) in
            [("ObjectID", "a&bAB"), ("Filter", ""), ("Raw", "<&amp;>"), ("Deep", "onethree"), ("Missing", "")]
        {
            assert_eq!(action.argument(name), value, "{name}");
        }
        assert_eq!(parse("<Browse/>").unwrap().service, "");
        assert!(Action::parse(format!("\u{feff}{}", envelope("<a/>")).as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_action_says_why() {
        let deep = "<a>".repeat(20) + &"</a>".repeat(20);
        let many = format!("<a>{}</a>", "<b/>".repeat(33));
        for (inside, expected) in [
            ("", SoapError::NoAction),
            ("text", SoapError::NoAction),
            ("<a/><b/>", SoapError::NoAction),
            (&deep, SoapError::TooDeep),
            (&many, SoapError::TooManyArguments),
            ("<a><b>&x;</b></a>", SoapError::UnknownEntity("x".to_owned())),
            ("<a><b>&#0;</b></a>", SoapError::UnknownEntity("#0".to_owned())),
        ] {
            assert_eq!(parse(inside), Err(expected), "{inside}");
        }
        for inside in ["<a>", "</a>", "<a></b>", "<u:a/>", "<a", "<a><b>&</b></a>"] {
            let found = parse(inside);
            assert!(matches!(found, Err(SoapError::Malformed(_))), "{inside}: {found:?}");
        }
        for body in ["", "<x/>", "<Envelope><Body><a/></Body>"] {
            assert!(Action::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(matches!(Action::parse(b"\xff"), Err(SoapError::Malformed(_))));
    }

    #[test]
    fn entities_that_grow_are_refused_before_they_are_looked_at() {
        let bomb = format!(
            "<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>{}",
            &envelope("<x><y>&b;</y></x>")[22..]
        );
        assert_eq!(Action::parse(bomb.as_bytes()), Err(SoapError::DocumentType));
        let outside = bomb.replace("<!ENTITY a \"ha\">", "<!ENTITY a SYSTEM \"file:///etc/passwd\">");
        assert_eq!(Action::parse(outside.as_bytes()), Err(SoapError::DocumentType));
    }

    #[test]
    fn results_and_faults_are_put_into_envelopes() {
        assert_eq!(
            response("urn:x:1", "Do", &[("Id", "1"), ("Result", "<a b=\"c\"/>")]),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope \
             xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:DoResponse xmlns:u=\"urn:x:1\"><Id>1</Id>\
             <Result>&lt;a b=&quot;c&quot;/&gt;</Result></u:DoResponse></s:Body></s:Envelope>\n"
        );
        let fault = Fault::NoSuchObject.envelope();
        assert!(
            fault.contains(
                "<s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
                 <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>701</errorCode>\
                 <errorDescription>No Such Object</errorDescription></UPnPError></detail></s:Fault></s:Body>"
            ),
            "{fault}"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>) {
            let _found = Action::parse(&body);
        }

        #[test]
        fn no_xml_makes_it_panic(inside in "[<>/&;#!?\\[\\]a-c:=\"' ]{0,80}") {
            let _found = parse(&inside);
        }
    }
}
