//! The messages of SSDP, by which UPnP devices are found: searches are read, answers and announcements written. No socket
//! here.

use std::time::Duration;

use crate::base::WallTime;

/// What we are. Versions of the UPnP architecture, and of us.
const SERVER: &str = "hdhriptv/1.0 UPnP/1.1 HDHR-IPTV/1.0";
/// The description does not change while we run.
const CONFIGURATION: &str = "1";
/// A search with more lines is none.
const LINES_MAX: usize = 64;
/// Within this many seconds at most an answer has to come, and within as many when nothing is said.
const PATIENCE_SECONDS_MAX: u64 = 5;
const PATIENCE_SECONDS_DEFAULT: u64 = 1;

/// What is searched for, and announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    RootDevice,
    /// This very device.
    Device,
    MediaServer,
    Basic,
    ConnectionManager,
    ContentDirectory,
    PrimaryDevice,
}

impl Target {
    /// All, in the order in which they are told.
    pub(super) const ALL: [Self; 7] = [
        Self::RootDevice,
        Self::Device,
        Self::MediaServer,
        Self::Basic,
        Self::ConnectionManager,
        Self::ContentDirectory,
        Self::PrimaryDevice,
    ];

    /// How it is written. The device's own name is its UDN.
    fn name(self, udn: &str) -> &str {
        match self {
            Self::RootDevice => "upnp:rootdevice",
            Self::Device => udn,
            Self::MediaServer => "urn:schemas-upnp-org:device:MediaServer:1",
            Self::Basic => "urn:schemas-upnp-org:device:Basic:1",
            Self::ConnectionManager => "urn:schemas-upnp-org:service:ConnectionManager:1",
            Self::ContentDirectory => "urn:schemas-upnp-org:service:ContentDirectory:1",
            Self::PrimaryDevice => "urn:schemas-atsc.org:device:primaryDevice:1.0",
        }
    }

    fn unique_name(self, udn: &str) -> String {
        match self {
            Self::Device => udn.to_owned(),
            Self::RootDevice
            | Self::MediaServer
            | Self::Basic
            | Self::ConnectionManager
            | Self::ContentDirectory
            | Self::PrimaryDevice => format!("{udn}::{}", self.name(udn)),
        }
    }

    /// Which of ours is meant, in whatever case it is written. A later version than ours is taken for ours, as is none.
    fn meant(text: &str, udn: &str) -> Option<Self> {
        let wanted = without_version(text);
        let is_meant = |target: &Self| without_version(target.name(udn)).eq_ignore_ascii_case(wanted);
        Self::ALL.into_iter().find(is_meant)
    }
}

/// A name without `:1` or `:1.0` behind it.
fn without_version(text: &str) -> &str {
    let Some((name, version)) = text.rsplit_once(':') else { return text };
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_version = is_number(major) && is_number(minor) && major.bytes().any(|byte| byte != b'0');
    if is_version { name } else { text }
}

/// A search.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Search {
    pub(super) targets: Vec<Target>,
    /// Within this time an answer has to come.
    pub(super) patience: Duration,
}

impl Search {
    /// Reads a datagram. `None` for everything that is no search, or none for us.
    pub(super) fn parse(bytes: &[u8], udn: &str) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let start: Vec<_> = lines.next()?.split_ascii_whitespace().map(str::to_ascii_uppercase).collect();
        let [method, path, version] = start.as_slice() else { return None };
        if method != "M-SEARCH" || path != "*" || !matches!(version.as_str(), "HTTP/1.1" | "HTTP/1.0") {
            return None;
        }
        let fields: Vec<_> = lines
            .take_while(|line| !line.trim().is_empty())
            .take(LINES_MAX)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let field = |wanted: &str| {
            fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
        };
        if !field("MAN")?.to_ascii_lowercase().contains("ssdp:discover") {
            return None;
        }
        let wanted = field("ST")?.trim_matches('"').trim();
        let targets = if wanted.eq_ignore_ascii_case("ssdp:all") {
            Target::ALL.to_vec()
        } else {
            vec![Target::meant(wanted, udn)?]
        };
        let seconds = field("MX").and_then(|text| text.parse::<u64>().ok());
        let seconds = seconds.unwrap_or(PATIENCE_SECONDS_DEFAULT).min(PATIENCE_SECONDS_MAX);
        Some(Self { targets, patience: Duration::from_secs(seconds) })
    }
}

/// Who tells of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device<'a> {
    pub(super) udn: &'a str,
    /// Differs from start to start, and grows.
    pub(super) boot_id: u32,
    pub(super) max_age: Duration,
}

impl Device<'_> {
    /// The answer to a search.
    pub(super) fn answer(&self, target: Target, location: &str, now: WallTime) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age={}\r\nDATE: {}\r\nEXT:\r\nLOCATION: {location}\r\n\
             SERVER: {SERVER}\r\nST: {}\r\nUSN: {}\r\n{}\r\n",
            self.max_age_seconds(),
            http_date(now),
            target.name(self.udn),
            target.unique_name(self.udn),
            self.epoch()
        )
    }

    /// It is here.
    pub(super) fn alive(&self, target: Target, group: &str, location: &str) -> String {
        format!(
            "NOTIFY * HTTP/1.1\r\nHOST: {group}\r\nCACHE-CONTROL: max-age={}\r\nLOCATION: {location}\r\n\
             NT: {}\r\nNTS: ssdp:alive\r\nSERVER: {SERVER}\r\nUSN: {}\r\n{}\r\n",
            self.max_age_seconds(),
            target.name(self.udn),
            target.unique_name(self.udn),
            self.epoch()
        )
    }

    /// It goes.
    pub(super) fn gone(&self, target: Target, group: &str) -> String {
        format!(
            "NOTIFY * HTTP/1.1\r\nHOST: {group}\r\nNT: {}\r\nNTS: ssdp:byebye\r\nUSN: {}\r\n{}\r\n",
            target.name(self.udn),
            target.unique_name(self.udn),
            self.epoch()
        )
    }

    fn max_age_seconds(&self) -> u64 {
        self.max_age.as_secs().max(1)
    }

    fn epoch(&self) -> String {
        format!("BOOTID.UPNP.ORG: {}\r\nCONFIGID.UPNP.ORG: {CONFIGURATION}\r\n", self.boot_id)
    }
}

/// As headers of HTTP write a time.
fn http_date(at: WallTime) -> String {
    let seconds = i64::try_from(at.unix_seconds()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Whether a datagram is a search for something that there is, for tests of hostile bytes.
#[must_use]
#[cfg(any(test, feature = "sim"))]
pub fn is_search(bytes: &[u8]) -> bool {
    Search::parse(bytes, "uuid:0").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDN: &str = "uuid:8d15d7f0-5d4f-5ec8-b7c2-9d5dd6acc7f4";

    fn search(start: &str, fields: &str) -> Option<(Vec<Target>, u64)> {
        let text = format!("{start}\r\nHOST: 239.255.255.250:1900\r\n{fields}\r\n");
        Search::parse(text.as_bytes(), UDN).map(|search| (search.targets, search.patience.as_secs()))
    }

    fn target(text: &str) -> Option<Target> {
        let found = search("M-SEARCH * HTTP/1.1", &format!("MAN: \"ssdp:discover\"\r\nST: {text}\r\n"));
        found.map(|(targets, _)| if let [target] = targets[..] { target } else { panic!("{targets:?}") })
    }

    #[test]
    fn each_target_is_known_in_whatever_case_and_version_it_is_asked_for() {
        for (text, expected) in [
            ("upnp:rootdevice", Some(Target::RootDevice)),
            ("UPNP:RootDevice", Some(Target::RootDevice)),
            ("\"upnp:rootdevice\"", Some(Target::RootDevice)),
            (UDN, Some(Target::Device)),
            ("uuid:8D15D7F0-5D4F-5EC8-B7C2-9D5DD6ACC7F4", Some(Target::Device)),
            ("uuid:00000000-5d4f-5ec8-b7c2-9d5dd6acc7f4", None),
            ("urn:schemas-upnp-org:device:MediaServer:1", Some(Target::MediaServer)),
            ("urn:schemas-upnp-org:device:mediaserver", Some(Target::MediaServer)),
            ("urn:schemas-upnp-org:device:MediaServer:2", Some(Target::MediaServer)),
            ("urn:schemas-upnp-org:device:MediaServer:0", None),
            ("urn:schemas-upnp-org:device:MediaServer:x", None),
            ("urn:schemas-upnp-org:device:MediaRenderer:1", None),
            ("urn:schemas-upnp-org:device:Basic:1", Some(Target::Basic)),
            ("urn:schemas-upnp-org:service:ConnectionManager:1", Some(Target::ConnectionManager)),
            ("urn:schemas-upnp-org:service:ContentDirectory:3.1", Some(Target::ContentDirectory)),
            ("urn:schemas-atsc.org:device:primaryDevice:1", Some(Target::PrimaryDevice)),
            ("urn:schemas-atsc.org:device:primaryDevice:1.0", Some(Target::PrimaryDevice)),
            ("", None),
        ] {
            assert_eq!(target(text), expected, "{text}");
        }
    }

    #[test]
    fn a_search_for_all_is_one_for_each_in_order() {
        let (targets, _) =
            search("M-SEARCH * HTTP/1.1", "man: \"SSDP:Discover\"\r\nst: SSDP:all\r\n").unwrap();
        assert_eq!(targets, Target::ALL);
    }

    #[test]
    fn patience_has_bounds() {
        for (mx, seconds) in [
            ("", 1),
            ("MX: 0\r\n", 0),
            ("MX: 3\r\n", 3),
            ("MX: 99\r\n", 5),
            ("MX: -1\r\n", 1),
            ("mx:x\r\n", 1),
            ("MX: 99999999999999999999999\r\n", 1),
        ] {
            let fields = format!("MAN: \"ssdp:discover\"\r\n{mx}ST: ssdp:all\r\n");
            assert_eq!(search("M-SEARCH * HTTP/1.1", &fields).unwrap().1, seconds, "{mx}");
        }
    }

    #[test]
    fn what_is_no_search_is_none() {
        let good = "MAN: \"ssdp:discover\"\r\nST: ssdp:all\r\n";
        for (start, fields, is_one) in [
            ("M-SEARCH * HTTP/1.1", good, true),
            ("m-search * http/1.0", good, true),
            ("M-SEARCH * HTTP/2.0", good, false),
            ("M-SEARCH / HTTP/1.1", good, false),
            ("M-SEARCH *", good, false),
            ("NOTIFY * HTTP/1.1", good, false),
            ("HTTP/1.1 200 OK", good, false),
            ("", good, false),
            ("M-SEARCH * HTTP/1.1", "ST: ssdp:all\r\n", false),
            ("M-SEARCH * HTTP/1.1", "MAN: \"ssdp:all\"\r\nST: ssdp:all\r\n", false),
            ("M-SEARCH * HTTP/1.1", "MAN: \"ssdp:discover\"\r\n", false),
            ("M-SEARCH * HTTP/1.1", "MAN: \"ssdp:discover\"\r\n\r\nST: ssdp:all\r\n", false),
        ] {
            assert_eq!(search(start, fields).is_some(), is_one, "{start} {fields}");
        }
        assert_eq!(Search::parse(b"\xff\xfe", UDN), None);
    }

    fn device() -> Device<'static> {
        Device { udn: UDN, boot_id: 7, max_age: Duration::from_secs(1800) }
    }

    #[test]
    fn an_answer_has_every_field_that_is_asked_for() {
        let now = WallTime::from_unix_nanos(784_111_777_000_000_000);
        assert_eq!(
            device().answer(Target::MediaServer, "http://10.0.0.1:5004/upnp/device.xml", now),
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nDATE: Sun, 06 Nov 1994 08:49:37 GMT\r\nEXT:\r\n\
             LOCATION: http://10.0.0.1:5004/upnp/device.xml\r\nSERVER: hdhriptv/1.0 UPnP/1.1 HDHR-IPTV/1.0\r\n\
             ST: urn:schemas-upnp-org:device:MediaServer:1\r\n\
             USN: uuid:8d15d7f0-5d4f-5ec8-b7c2-9d5dd6acc7f4::urn:schemas-upnp-org:device:MediaServer:1\r\n\
             BOOTID.UPNP.ORG: 7\r\nCONFIGID.UPNP.ORG: 1\r\n\r\n"
        );
        let own = device().answer(Target::Device, "http://h/", now);
        assert!(own.contains(&format!("\r\nST: {UDN}\r\nUSN: {UDN}\r\n")), "{own}");
        let short = Device { max_age: Duration::from_millis(1), ..device() };
        assert!(short.answer(Target::Device, "", now).contains("max-age=1\r\n"));
    }

    #[test]
    fn announcements_say_who_comes_and_who_goes() {
        assert_eq!(
            device().alive(
                Target::RootDevice,
                "239.255.255.250:1900",
                "http://10.0.0.1:5004/upnp/device.xml"
            ),
            "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=1800\r\n\
             LOCATION: http://10.0.0.1:5004/upnp/device.xml\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\n\
             SERVER: hdhriptv/1.0 UPnP/1.1 HDHR-IPTV/1.0\r\n\
             USN: uuid:8d15d7f0-5d4f-5ec8-b7c2-9d5dd6acc7f4::upnp:rootdevice\r\n\
             BOOTID.UPNP.ORG: 7\r\nCONFIGID.UPNP.ORG: 1\r\n\r\n"
        );
        assert_eq!(
            device().gone(Target::Device, "[FF02::C]:1900"),
            "NOTIFY * HTTP/1.1\r\nHOST: [FF02::C]:1900\r\nNT: uuid:8d15d7f0-5d4f-5ec8-b7c2-9d5dd6acc7f4\r\n\
             NTS: ssdp:byebye\r\nUSN: uuid:8d15d7f0-5d4f-5ec8-b7c2-9d5dd6acc7f4\r\n\
             BOOTID.UPNP.ORG: 7\r\nCONFIGID.UPNP.ORG: 1\r\n\r\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_datagram_makes_it_panic(bytes: Vec<u8>) {
            let _found = Search::parse(&bytes, UDN);
        }

        #[test]
        fn no_search_makes_it_panic(fields in "(?s).{0,300}") {
            let _found = search("M-SEARCH * HTTP/1.1", &fields);
        }
    }
}
