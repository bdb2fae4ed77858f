//! The services of the UPnP media server: what connections there are, and which channels.

use std::rc::Rc;

use crate::control::admin::access::base_url;
use crate::control::admin::call::Call;
use crate::control::admin::soap::{self, Action, Fault};
use crate::control::admin::xml::Xml;
use crate::control::state::State;
use crate::http::{HDHR_XML, Response};
use crate::store::ChannelRecord;

use super::lineup::stream_url;

/// What every stream of ours is, and how it is had.
const PROTOCOL: &str = "http-get:*:video/mpeg:*";
/// Entries of a page; more is cut to that.
const PAGE_MAX: usize = 200;

const ROOT: &str = "0";
const CHANNELS: &str = "channels";
const CHANNEL_PREFIX: &str = "channel:";

/// A service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Service {
    ConnectionManager,
    ContentDirectory,
}

/// What is named by an id.
enum Object<'a> {
    Root,
    Channels,
    Channel(&'a ChannelRecord),
}

impl Service {
    pub(super) const ALL: [Self; 2] = [Self::ConnectionManager, Self::ContentDirectory];

    /// Its part of a path.
    pub(super) const fn path_name(self) -> &'static str {
        match self {
            Self::ConnectionManager => "connection-manager",
            Self::ContentDirectory => "content-directory",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::ConnectionManager => "ConnectionManager",
            Self::ContentDirectory => "ContentDirectory",
        }
    }

    fn kind(self) -> String {
        format!("urn:schemas-upnp-org:service:{}:1", self.name())
    }

    /// The service whose path this is a part of.
    pub(super) fn of_path(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.path_name() == name)
    }

    /// Its actions, each with its arguments: those that are given, those that come back, and the variable of each.
    const fn actions(self) -> &'static [(&'static str, &'static [Argument], &'static [Argument])] {
        match self {
            Self::ConnectionManager => &[
                ("GetProtocolInfo", &[], &[("Source", "SourceProtocolInfo"), ("Sink", "SinkProtocolInfo")]),
                ("GetCurrentConnectionIDs", &[], &[("ConnectionIDs", "CurrentConnectionIDs")]),
                (
                    "GetCurrentConnectionInfo",
                    &[("ConnectionID", "A_ARG_TYPE_ConnectionID")],
                    &[
                        ("RcsID", "A_ARG_TYPE_RcsID"),
                        ("AVTransportID", "A_ARG_TYPE_AVTransportID"),
                        ("ProtocolInfo", "A_ARG_TYPE_ProtocolInfo"),
                        ("PeerConnectionManager", "A_ARG_TYPE_ConnectionManager"),
                        ("PeerConnectionID", "A_ARG_TYPE_ConnectionID"),
                        ("Direction", "A_ARG_TYPE_Direction"),
                        ("Status", "A_ARG_TYPE_ConnectionStatus"),
                    ],
                ),
            ],
            Self::ContentDirectory => &[
                ("GetSearchCapabilities", &[], &[("SearchCaps", "SearchCapabilities")]),
                ("GetSortCapabilities", &[], &[("SortCaps", "SortCapabilities")]),
                ("GetSystemUpdateID", &[], &[("Id", "SystemUpdateID")]),
                (
                    "Browse",
                    &[
                        ("ObjectID", "A_ARG_TYPE_ObjectID"),
                        ("BrowseFlag", "A_ARG_TYPE_BrowseFlag"),
                        ("Filter", "A_ARG_TYPE_Filter"),
                        ("StartingIndex", "A_ARG_TYPE_Index"),
                        ("RequestedCount", "A_ARG_TYPE_Count"),
                        ("SortCriteria", "A_ARG_TYPE_SortCriteria"),
                    ],
                    &[
                        ("Result", "A_ARG_TYPE_Result"),
                        ("NumberReturned", "A_ARG_TYPE_Count"),
                        ("TotalMatches", "A_ARG_TYPE_Count"),
                        ("UpdateID", "A_ARG_TYPE_UpdateID"),
                    ],
                ),
            ],
        }
    }

    /// Its variables: name, type, and the only values there are.
    const fn variables(self) -> &'static [(&'static str, &'static str, &'static [&'static str])] {
        match self {
            Self::ConnectionManager => &[
                ("SourceProtocolInfo", "string", &[]),
                ("SinkProtocolInfo", "string", &[]),
                ("CurrentConnectionIDs", "string", &[]),
                ("A_ARG_TYPE_ConnectionID", "i4", &[]),
                ("A_ARG_TYPE_RcsID", "i4", &[]),
                ("A_ARG_TYPE_AVTransportID", "i4", &[]),
                ("A_ARG_TYPE_ProtocolInfo", "string", &[]),
                ("A_ARG_TYPE_ConnectionManager", "string", &[]),
                ("A_ARG_TYPE_Direction", "string", &["Input", "Output"]),
                (
                    "A_ARG_TYPE_ConnectionStatus",
                    "string",
                    &["OK", "ContentFormatMismatch", "InsufficientBandwidth", "UnreliableChannel", "Unknown"],
                ),
            ],
            Self::ContentDirectory => &[
                ("SearchCapabilities", "string", &[]),
                ("SortCapabilities", "string", &[]),
                ("SystemUpdateID", "ui4", &[]),
                ("A_ARG_TYPE_ObjectID", "string", &[]),
                ("A_ARG_TYPE_BrowseFlag", "string", &["BrowseMetadata", "BrowseDirectChildren"]),
                ("A_ARG_TYPE_Filter", "string", &[]),
                ("A_ARG_TYPE_Index", "ui4", &[]),
                ("A_ARG_TYPE_Count", "ui4", &[]),
                ("A_ARG_TYPE_SortCriteria", "string", &[]),
                ("A_ARG_TYPE_Result", "string", &[]),
                ("A_ARG_TYPE_UpdateID", "ui4", &[]),
            ],
        }
    }
}

/// An argument, and the variable that has its type.
type Argument = (&'static str, &'static str);

/// The services in a description of the device. Nobody is told of changes: the id of an update is asked for.
pub(super) fn push_services(xml: &mut Xml) {
    xml.open("serviceList", &[]);
    for service in Service::ALL {
        let (name, path) = (service.name(), service.path_name());
        xml.open("service", &[])
            .text("serviceType", &service.kind())
            .text("serviceId", &format!("urn:upnp-org:serviceId:{name}"))
            .text("SCPDURL", &format!("/upnp/scpd/{path}.xml"))
            .text("controlURL", &format!("/upnp/control/{path}"))
            .text("eventSubURL", "")
            .close("service");
    }
    xml.close("serviceList");
}

/// `GET /upnp/scpd/<service>.xml`: what a service can do.
pub(super) fn description(service: Service) -> Response {
    let mut xml = Xml::document();
    xml.open("scpd", &[("xmlns", "urn:schemas-upnp-org:service-1-0")]);
    xml.open("specVersion", &[]).text("major", "1").text("minor", "0").close("specVersion");
    xml.open("actionList", &[]);
    for (name, given, returned) in service.actions() {
        xml.open("action", &[]).text("name", name);
        if !given.is_empty() || !returned.is_empty() {
            xml.open("argumentList", &[]);
            for (direction, arguments) in [("in", given), ("out", returned)] {
                for (name, variable) in *arguments {
                    xml.open("argument", &[])
                        .text("name", name)
                        .text("direction", direction)
                        .text("relatedStateVariable", variable)
                        .close("argument");
                }
            }
            xml.close("argumentList");
        }
        xml.close("action");
    }
    xml.close("actionList").open("serviceStateTable", &[]);
    for (name, kind, values) in service.variables() {
        xml.open("stateVariable", &[("sendEvents", "no")]).text("name", name).text("dataType", kind);
        if !values.is_empty() {
            xml.open("allowedValueList", &[]);
            for value in *values {
                xml.text("allowedValue", value);
            }
            xml.close("allowedValueList");
        }
        xml.close("stateVariable");
    }
    xml.close("serviceStateTable").close("scpd");
    Response::new(200).body("application/xml", xml.finish())
}

/// `POST /upnp/control/<service>`.
pub(super) fn control(call: &Call, state: &State, service: Service) -> Response {
    let answered =
        |status: u16, envelope: String| Response::new(status).header("EXT", "").body(HDHR_XML, envelope);
    match perform(call, state, service) {
        Ok(envelope) => answered(200, envelope),
        Err(fault) => answered(500, fault.envelope()),
    }
}

fn perform(call: &Call, state: &State, service: Service) -> Result<String, Fault> {
    let action = asked(call, service)?;
    let results = match service {
        Service::ConnectionManager => connection_manager(&action)?,
        Service::ContentDirectory => content_directory(&action, call, state)?,
    };
    let results: Vec<_> = results.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Ok(soap::response(&service.kind(), &action.name, &results))
}

/// The action. Header and body both name it, and have to agree.
fn asked(call: &Call, service: Service) -> Result<Action, Fault> {
    let action = Action::parse(&call.body).map_err(|error| {
        log::debug!("{}: {error}", call.peer);
        Fault::InvalidArguments
    })?;
    let header = call.header("soapaction").map(|value| value.trim().trim_matches('"')).unwrap_or_default();
    let named = if header.is_empty() {
        action.service.as_str()
    } else {
        let (named, name) = header.split_once('#').ok_or(Fault::InvalidArguments)?;
        let has_service = !action.service.is_empty();
        if !name.eq_ignore_ascii_case(&action.name)
            || has_service && !named.eq_ignore_ascii_case(&action.service)
        {
            return Err(Fault::InvalidArguments);
        }
        named
    };
    if named.eq_ignore_ascii_case(&service.kind()) { Ok(action) } else { Err(Fault::InvalidAction) }
}

type Results = Vec<(&'static str, String)>;

fn connection_manager(action: &Action) -> Result<Results, Fault> {
    Ok(match action.name.as_str() {
        "GetProtocolInfo" => vec![("Source", PROTOCOL.to_owned()), ("Sink", String::new())],
        "GetCurrentConnectionIDs" => vec![("ConnectionIDs", "0".to_owned())],
        "GetCurrentConnectionInfo" => {
            if !matches!(action.argument("ConnectionID"), "" | "0") {
                return Err(Fault::InvalidConnection);
            }
            vec![
                ("RcsID", "-1".to_owned()),
                ("AVTransportID", "-1".to_owned()),
                ("ProtocolInfo", PROTOCOL.to_owned()),
                ("PeerConnectionManager", String::new()),
                ("PeerConnectionID", "-1".to_owned()),
                ("Direction", "Output".to_owned()),
                ("Status", "OK".to_owned()),
            ]
        }
        _unknown => return Err(Fault::InvalidAction),
    })
}

fn content_directory(action: &Action, call: &Call, state: &State) -> Result<Results, Fault> {
    Ok(match action.name.as_str() {
        "GetSearchCapabilities" => vec![("SearchCaps", "dc:title,upnp:class".to_owned())],
        "GetSortCapabilities" => vec![("SortCaps", "dc:title".to_owned())],
        "GetSystemUpdateID" => vec![("Id", state.update_id(update_id).to_string())],
        "Browse" => return browse(action, call, state),
        _unknown => return Err(Fault::InvalidAction),
    })
}

fn browse(action: &Action, call: &Call, state: &State) -> Result<Results, Fault> {
    let channels = Rc::clone(&state.listed.borrow());
    let id = Some(action.argument("ObjectID")).filter(|id| !id.is_empty()).unwrap_or(ROOT);
    let object = find(&channels, id).ok_or(Fault::NoSuchObject);
    let is_metadata = match action.argument("BrowseFlag") {
        "BrowseMetadata" => true,
        "BrowseDirectChildren" => false,
        _other => return Err(Fault::InvalidArguments),
    };
    let start = number(action.argument("StartingIndex"))?;
    let count = Some(number(action.argument("RequestedCount"))?);
    let count = count.filter(|count| (1..=PAGE_MAX).contains(count)).unwrap_or(PAGE_MAX);
    let base = base_url(call, &state.params.trusted_proxies);
    let name = &state.params.identity.friendly_name;
    let entries = match (object?, is_metadata) {
        (object, true) => vec![object],
        (Object::Root, false) => vec![Object::Channels],
        (Object::Channels, false) => channels.iter().map(Object::Channel).collect(),
        (Object::Channel(_), false) => return Err(Fault::NoSuchContainer),
    };
    let page: Vec<_> = entries.iter().skip(if is_metadata { 0 } else { start }).take(count).collect();
    Ok(vec![
        ("Result", didl(&page, &channels, &base, name)),
        ("NumberReturned", page.len().to_string()),
        ("TotalMatches", entries.len().to_string()),
        ("UpdateID", update_id(&channels).to_string()),
    ])
}

fn number(text: &str) -> Result<usize, Fault> {
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_not_a_number| Fault::InvalidArguments) }
}

fn find<'a>(channels: &'a [ChannelRecord], id: &str) -> Option<Object<'a>> {
    match id {
        ROOT => Some(Object::Root),
        CHANNELS => Some(Object::Channels),
        other => {
            let number: i64 = other.strip_prefix(CHANNEL_PREFIX)?.parse().ok()?;
            channels.iter().find(|channel| channel.channel_id == number).map(Object::Channel)
        }
    }
}

fn object_id(channel: &ChannelRecord) -> String {
    format!("{CHANNEL_PREFIX}{}", channel.channel_id)
}

/// What is listed, in the language of content directories.
fn didl(page: &[&Object<'_>], channels: &[ChannelRecord], base: &str, name: &str) -> String {
    let mut xml = Xml::fragment();
    xml.open(
        "DIDL-Lite",
        &[
            ("xmlns", "urn:schemas-upnp-org:metadata-1-0/DIDL-Lite/"),
            ("xmlns:dc", "http://purl.org/dc/elements/1.1/"),
            ("xmlns:upnp", "urn:schemas-upnp-org:metadata-1-0/upnp/"),
        ],
    );
    for object in page {
        match object {
            Object::Root => push_container(&mut xml, (ROOT, "-1"), name, 1),
            Object::Channels => push_container(&mut xml, (CHANNELS, ROOT), "Channels", channels.len()),
            Object::Channel(channel) => {
                let id = object_id(channel);
                xml.open("item", &[("id", id.as_str()), ("parentID", CHANNELS), ("restricted", "1")])
                    .text("dc:title", &channel.guide_name)
                    .text("upnp:class", "object.item.videoItem")
                    .text("upnp:channelNr", &channel.guide_number)
                    .text_with("res", &[("protocolInfo", PROTOCOL)], &stream_url(channel, base))
                    .close("item");
            }
        }
    }
    xml.close("DIDL-Lite");
    xml.into_fragment()
}

fn push_container(xml: &mut Xml, (id, parent): (&str, &str), title: &str, children: usize) {
    let children = children.to_string();
    let attributes = [
        ("id", id),
        ("parentID", parent),
        ("restricted", "1"),
        ("searchable", "0"),
        ("childCount", children.as_str()),
    ];
    xml.open("container", &attributes)
        .text("dc:title", title)
        .text("upnp:class", "object.container")
        .close("container");
}

/// Changes whenever the channels, their names, numbers or order do (FNV-1a over them). Never 0, and 31 bits, since some
/// clients read it with a sign.
fn update_id(channels: &[ChannelRecord]) -> u32 {
    if channels.is_empty() {
        return 1;
    }
    let mut hash: u32 = 0x811C_9DC5;
    let mut add = |text: &str| {
        for byte in text.bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    };
    add("content-directory:v1\n");
    for channel in channels {
        add(&format!("{}\0{}\0{}\n", object_id(channel), channel.guide_number, channel.guide_name));
    }
    (hash & 0x7FFF_FFFF).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::admin::call::tests::{call_with, written};
    use crate::control::state::tests::{params, state, with};
    use crate::store::NewChannel;

    fn envelope(service: &str, action: &str, arguments: &str) -> String {
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
             <u:{action} xmlns:u=\"{service}\">{arguments}</u:{action}></s:Body></s:Envelope>"
        )
    }

    fn ask_with(state: &State, service: Service, header: &str, body: &str) -> (u16, String) {
        let headers = format!("Host: box.lan:5004\r\n{header}");
        let target = format!("/upnp/control/{}", service.path_name());
        let response = control(&call_with("POST", &target, &headers, body), state, service);
        let (head, body) = written(&response);
        assert!(head.contains("\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n"), "{head}");
        assert!(head.contains("\r\nEXT: \r\n"), "{head}");
        (response.status(), body)
    }

    fn ask(state: &State, service: Service, action: &str, arguments: &str) -> (u16, String) {
        ask_with(state, service, "", &envelope(&service.kind(), action, arguments))
    }

    /// What stands in an element.
    fn inner<'a>(body: &'a str, name: &str) -> &'a str {
        let from = body.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
        from.split_once(&format!("</{name}>")).map_or("", |(inside, _)| inside)
    }

    fn fault(answer: &(u16, String)) -> Option<&str> {
        (answer.0 == 500).then(|| inner(&answer.1, "errorCode"))
    }

    async fn with_channels(names: &[(&str, &str)]) -> Rc<State> {
        let state = state();
        for ((item, (number, name)), now) in
            ["a", "b"].iter().zip(names).zip(std::iter::repeat(state.wall_now()))
        {
            let new = NewChannel {
                item_key: (*item).to_owned(),
                guide_number: Some((*number).to_owned()),
                guide_name: Some((*name).to_owned()),
                ..NewChannel::default()
            };
            state.ask_store(move |database| database.create_channel(&new, 100, now)).await.unwrap();
        }
        state.publish_lineup().await.unwrap();
        state
    }

    #[test]
    fn the_connection_manager_answers_each_of_its_actions() {
        tokio_uring::start(async {
            let state = state();
            let manager = Service::ConnectionManager;
            let (status, body) = ask(&state, manager, "GetProtocolInfo", "");
            assert_eq!((status, inner(&body, "Source"), inner(&body, "Sink")), (200, PROTOCOL, ""));
            assert_eq!(inner(&ask(&state, manager, "GetCurrentConnectionIDs", "").1, "ConnectionIDs"), "0");
            for (arguments, code) in [
                ("", None),
                ("<ConnectionID> 0 </ConnectionID>", None),
                ("<ConnectionID>5</ConnectionID>", Some("706")),
                ("<ConnectionID>x</ConnectionID>", Some("706")),
            ] {
                let answer = ask(&state, manager, "GetCurrentConnectionInfo", arguments);
                assert_eq!(fault(&answer), code, "{arguments}");
                let is_whole = code.is_some()
                    || inner(&answer.1, "RcsID") == "-1" && inner(&answer.1, "Direction") == "Output";
                assert!(is_whole, "{}", answer.1);
            }
        });
    }

    #[test]
    fn an_action_of_another_service_or_of_none_is_a_fault() {
        tokio_uring::start(async {
            let state = state();
            let directory = Service::ContentDirectory;
            let own = directory.kind();
            let other = Service::ConnectionManager.kind();
            let good = envelope(&own, "GetSortCapabilities", "");
            let bare = good.replace("xmlns:u=", "xmlns:v=").replace("u:Get", "Get");
            for (header, body, code) in [
                ("", good.clone(), None),
                (&format!("SOAPACTION: \"{own}#GetSortCapabilities\"\r\n") as &str, good.clone(), None),
                (&format!("SOAPAction: {}#getsortcapabilities\r\n", own.to_lowercase()), good.clone(), None),
                (&format!("SOAPACTION: \"{own}#GetSortCapabilities\"\r\n"), bare.clone(), None),
                (&format!("SOAPACTION: \"{other}#GetSortCapabilities\"\r\n"), good.clone(), Some("402")),
                (&format!("SOAPACTION: \"{own}#Browse\"\r\n"), good.clone(), Some("402")),
                ("SOAPACTION: Browse\r\n", good.clone(), Some("402")),
                ("", bare, Some("401")),
                ("", envelope(&other, "GetSortCapabilities", ""), Some("401")),
                ("", envelope(&own, "getSortCapabilities", ""), Some("401")),
                ("", envelope(&own, "Search", ""), Some("401")),
                ("", "<a/>".to_owned(), Some("402")),
                ("", String::new(), Some("402")),
                ("", format!("<!DOCTYPE a [<!ENTITY b \"c\">]>{good}"), Some("402")),
            ] {
                assert_eq!(fault(&ask_with(&state, directory, header, &body)), code, "{header} {body}");
            }
        });
    }

    #[test]
    fn the_tree_leads_from_the_root_to_the_channels() {
        tokio_uring::start(async {
            let state = with_channels(&[("5.1", "A & <B>"), ("7", "News")]).await;
            let browse = |id: &str, flag: &str, rest: &str| {
                let arguments = format!("<ObjectID>{id}</ObjectID><BrowseFlag>{flag}</BrowseFlag>{rest}");
                ask(&state, Service::ContentDirectory, "Browse", &arguments)
            };
            let page = |answer: &(u16, String)| {
                let number = |name| inner(&answer.1, name).parse::<usize>().unwrap();
                (number("NumberReturned"), number("TotalMatches"))
            };
            let listed = |answer: &(u16, String)| {
                quick_xml::escape::unescape(inner(&answer.1, "Result")).unwrap().into_owned()
            };
            let root = browse("", "BrowseMetadata", "");
            assert_eq!(page(&root), (1, 1));
            assert!(
                listed(&root).contains(
                    "<container id=\"0\" parentID=\"-1\" restricted=\"1\" searchable=\"0\" childCount=\"1\">\
                     <dc:title>HDHR IPTV</dc:title><upnp:class>object.container</upnp:class></container>"
                ),
                "{}",
                listed(&root)
            );
            let below = listed(&browse("0", "BrowseDirectChildren", ""));
            assert!(below.contains("id=\"channels\" parentID=\"0\""), "{below}");
            assert!(below.contains("childCount=\"2\""), "{below}");
            let channels = browse("channels", "BrowseDirectChildren", "<RequestedCount>0</RequestedCount>");
            assert_eq!(page(&channels), (2, 2));
            assert_eq!(
                listed(&channels),
                "<DIDL-Lite xmlns=\"urn:schemas-upnp-org:metadata-1-0/DIDL-Lite/\" \
                 xmlns:dc=\"http://purl.org/dc/elements/1.1/\" \
                 xmlns:upnp=\"urn:schemas-upnp-org:metadata-1-0/upnp/\">\
                 <item id=\"channel:1\" parentID=\"channels\" restricted=\"1\"><dc:title>A &amp; &lt;B&gt;</dc:title>\
                 <upnp:class>object.item.videoItem</upnp:class><upnp:channelNr>5.1</upnp:channelNr>\
                 <res protocolInfo=\"http-get:*:video/mpeg:*\">http://box.lan:5004/auto/v5.1</res></item>\
                 <item id=\"channel:2\" parentID=\"channels\" restricted=\"1\"><dc:title>News</dc:title>\
                 <upnp:class>object.item.videoItem</upnp:class><upnp:channelNr>7</upnp:channelNr>\
                 <res protocolInfo=\"http-get:*:video/mpeg:*\">http://box.lan:5004/auto/v7</res></item></DIDL-Lite>"
            );
            let one = browse("channel:2", "BrowseMetadata", "");
            assert!(listed(&one).contains("News") && page(&one) == (1, 1));
            let second = "<StartingIndex>1</StartingIndex><RequestedCount>1</RequestedCount>";
            let second = browse("channels", "BrowseDirectChildren", second);
            assert!(listed(&second).contains("News") && page(&second) == (1, 2));
            let beyond = browse("channels", "BrowseDirectChildren", "<StartingIndex>9</StartingIndex>");
            assert_eq!(page(&beyond), (0, 2));
            for (id, flag, rest, code) in [
                ("channel:1", "BrowseDirectChildren", "", "710"),
                ("channel:3", "BrowseMetadata", "", "701"),
                ("channel:x", "BrowseMetadata", "", "701"),
                ("1", "BrowseDirectChildren", "", "701"),
                ("0", "browsemetadata", "", "402"),
                ("0", "", "", "402"),
                ("0", "BrowseMetadata", "<StartingIndex>-1</StartingIndex>", "402"),
                ("0", "BrowseMetadata", "<RequestedCount>x</RequestedCount>", "402"),
            ] {
                assert_eq!(fault(&browse(id, flag, rest)), Some(code), "{id} {flag} {rest}");
            }
        });
    }

    #[test]
    fn what_is_asked_of_the_directory_itself_is_answered() {
        tokio_uring::start(async {
            let state = with_channels(&[("101", "News")]).await;
            let directory = Service::ContentDirectory;
            for (action, name, value) in [
                ("GetSearchCapabilities", "SearchCaps", "dc:title,upnp:class"),
                ("GetSortCapabilities", "SortCaps", "dc:title"),
                ("GetSystemUpdateID", "Id", "81865072"),
            ] {
                let (status, body) = ask(&state, directory, action, "");
                assert_eq!((status, inner(&body, name)), (200, value), "{action}");
            }
        });
    }

    #[test]
    fn a_page_has_two_hundred_entries_at_most() {
        tokio_uring::start(async {
            let state = with_channels(&[("1", "News")]).await;
            let one = state.listed.borrow()[0].clone();
            *state.listed.borrow_mut() = Rc::new(vec![one; 450]);
            for (start, count, returned) in
                [(0, 0, 200), (0, 1000, 200), (0, 3, 3), (400, 0, 50), (449, 9, 1)]
            {
                let arguments = format!(
                    "<ObjectID>channels</ObjectID><BrowseFlag>BrowseDirectChildren</BrowseFlag>\
                     <StartingIndex>{start}</StartingIndex><RequestedCount>{count}</RequestedCount>"
                );
                let (_, body) = ask(&state, Service::ContentDirectory, "Browse", &arguments);
                let found = (inner(&body, "NumberReturned"), inner(&body, "TotalMatches"));
                assert_eq!(found, (returned.to_string().as_str(), "450"), "{start} {count}");
            }
        });
    }

    #[test]
    fn the_id_of_an_update_changes_with_what_is_listed_and_is_reused_for_a_while() {
        tokio_uring::start(async {
            let state = with_channels(&[("1", "News"), ("2", "Sport")]).await;
            let channels = Rc::clone(&state.listed.borrow());
            let first = update_id(&channels);
            assert_eq!(update_id(&[]), 1);
            let mut renamed = channels.to_vec();
            renamed[0].guide_name = "Weather".to_owned();
            let mut turned = channels.to_vec();
            turned.reverse();
            let mut renumbered = channels.to_vec();
            renumbered[1].guide_number = "3".to_owned();
            for other in [renamed, turned, renumbered] {
                assert_ne!(update_id(&other), first);
            }
            let mut params = params();
            params.update_id_cache_ttl = std::time::Duration::from_secs(600);
            let state = with(params, Vec::new());
            let told =
                || inner(&ask(&state, Service::ContentDirectory, "GetSystemUpdateID", "").1, "Id").to_owned();
            assert_eq!(told(), "1");
            *state.listed.borrow_mut() = channels;
            assert_eq!(told(), "1", "it is not worked out again so soon");
        });
    }

    #[test]
    fn a_services_description_names_each_variable_that_its_actions_need() {
        for service in Service::ALL {
            let variables: Vec<_> = service.variables().iter().map(|(name, ..)| *name).collect();
            for (action, given, returned) in service.actions() {
                for (argument, variable) in given.iter().chain(*returned) {
                    assert!(variables.contains(variable), "{action} {argument}");
                }
            }
            let (head, body) = written(&description(service));
            assert!(head.contains("\r\nContent-Type: application/xml\r\n"), "{head}");
            assert!(body.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scpd xmlns="), "{body}");
            assert_eq!(body.matches("<action>").count(), service.actions().len());
            assert_eq!(body.matches("sendEvents=\"no\"").count(), variables.len());
        }
    }
}
