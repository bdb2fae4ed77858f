//! The packets of HDHomeRun's discovery: a type, a length, tagged values and a CRC. No socket here.

use crc::{CRC_32_ISO_HDLC, Crc, Table};

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

const TYPE_DISCOVER_REQUEST: u16 = 2;
const TYPE_DISCOVER_REPLY: u16 = 3;
const TYPE_GETSET_REQUEST: u16 = 4;
const TYPE_GETSET_REPLY: u16 = 5;

const TAG_DEVICE_TYPE: u8 = 0x01;
const TAG_DEVICE_ID: u8 = 0x02;
const TAG_GETSET_NAME: u8 = 0x03;
const TAG_GETSET_VALUE: u8 = 0x04;
const TAG_ERROR_MESSAGE: u8 = 0x05;
const TAG_TUNER_COUNT: u8 = 0x10;
const TAG_LINEUP_URL: u8 = 0x27;
const TAG_BASE_URL: u8 = 0x2A;
const TAG_DEVICE_AUTH: u8 = 0x2B;
const TAG_MULTI_TYPE: u8 = 0x2D;

const DEVICE_TYPE_TUNER: u32 = 1;
/// Any type, and any id.
const WILDCARD: u32 = 0xFFFF_FFFF;

/// The longest value two bytes of length can say.
const VALUE_BYTES_MAX: usize = 0x7FFF;

/// The longest packet of a client that asks for a value: what libhdhomerun keeps for one.
pub(super) const GETSET_BYTES_MAX: usize = 3074;

/// Why a datagram is no question.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum PacketError {
    #[error("the packet is shorter than it says")]
    Short,
    #[error("the packet's CRC is wrong")]
    Crc,
    #[error("the packet is no discovery request but of type {0}")]
    Type(u16),
    #[error("the packet says that it has {0} bytes")]
    Long(usize),
}

/// Who is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Query {
    /// Tuners are among what is asked for.
    is_for_tuners: bool,
    /// One device alone.
    device_id: Option<u32>,
}

impl Query {
    /// Reads a datagram. What stands behind the packet is not looked at; nor are values that nobody here knows, or that
    /// have another length than theirs.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        let [kind_high, kind_low, length_high, length_low, rest @ ..] = bytes else {
            return Err(PacketError::Short);
        };
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let payload = rest.get(..length).ok_or(PacketError::Short)?;
        let crc = rest[length..].first_chunk::<4>().ok_or(PacketError::Short)?;
        if CRC.checksum(&bytes[..4 + length]) != u32::from_le_bytes(*crc) {
            return Err(PacketError::Crc);
        }
        let kind = u16::from_be_bytes([*kind_high, *kind_low]);
        if kind != TYPE_DISCOVER_REQUEST {
            return Err(PacketError::Type(kind));
        }
        Ok(Self::of(payload))
    }

    fn of(payload: &[u8]) -> Self {
        let mut types: Option<bool> = None;
        let mut device_id = None;
        for (tag, value) in (Values { rest: payload }) {
            let numbers = value.as_chunks::<4>();
            let numbers = numbers.0.iter().map(|number| u32::from_be_bytes(*number));
            match (tag, value.len()) {
                (TAG_DEVICE_TYPE, 4) | (TAG_MULTI_TYPE, 4..) if value.len().is_multiple_of(4) => {
                    let has_tuners =
                        numbers.into_iter().any(|kind| matches!(kind, DEVICE_TYPE_TUNER | WILDCARD));
                    types = Some(types.unwrap_or(false) || has_tuners);
                }
                (TAG_DEVICE_ID, 4) => device_id = numbers.into_iter().next().filter(|id| *id != WILDCARD),
                _unknown => {}
            }
        }
        Self { is_for_tuners: types.unwrap_or(true), device_id }
    }

    /// Whether the tuner with this id is asked.
    pub(super) fn is_for(&self, device_id: u32) -> bool {
        self.is_for_tuners && self.device_id.is_none_or(|wanted| wanted == device_id)
    }
}

/// A packet at the beginning of what a connection has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame<'a> {
    kind: u16,
    payload: &'a [u8],
    /// All of it, with its frame.
    pub(super) bytes: usize,
}

impl<'a> Frame<'a> {
    /// Reads the first packet; `None` while it is not whole.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Option<Self>, PacketError> {
        let [kind_high, kind_low, length_high, length_low, rest @ ..] = bytes else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let whole = length + 8;
        if whole > GETSET_BYTES_MAX {
            return Err(PacketError::Long(whole));
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let Some(crc) = rest[length..].first_chunk::<4>() else { return Ok(None) };
        if CRC.checksum(&bytes[..4 + length]) != u32::from_le_bytes(*crc) {
            return Err(PacketError::Crc);
        }
        Ok(Some(Self { kind: u16::from_be_bytes([*kind_high, *kind_low]), payload, bytes: whole }))
    }
}

/// A client asks for a value, or wants to set it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GetSet {
    pub(super) name: String,
    pub(super) is_set: bool,
}

impl GetSet {
    /// What a packet asks; `None` when it asks for something else.
    pub(super) fn of(frame: &Frame<'_>) -> Option<Self> {
        if frame.kind != TYPE_GETSET_REQUEST {
            return None;
        }
        let mut name = None;
        let mut is_set = false;
        for (tag, value) in (Values { rest: frame.payload }) {
            match tag {
                TAG_GETSET_NAME => {
                    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
                    name = Some(String::from_utf8_lossy(&value[..end]).into_owned());
                }
                TAG_GETSET_VALUE => is_set = true,
                _unknown => {}
            }
        }
        Some(Self { name: name?, is_set })
    }

    /// The answer: the value, or why there is none.
    pub(super) fn reply(&self, answer: Result<&str, &str>) -> Vec<u8> {
        let mut payload = Vec::new();
        let mut push = |tag, text: &str| {
            // Strings of this protocol end with a zero.
            let text: String = text.chars().filter(|c| *c != '\0').take(GETSET_BYTES_MAX / 8).collect();
            push_value(&mut payload, tag, &[text.as_bytes(), &[0]].concat());
        };
        push(TAG_GETSET_NAME, &self.name);
        match answer {
            Ok(value) => push(TAG_GETSET_VALUE, value),
            Err(error) => push(TAG_ERROR_MESSAGE, error),
        }
        framed(TYPE_GETSET_REPLY, &payload)
    }
}

/// Tagged values, up to the first that is cut off.
struct Values<'payload> {
    rest: &'payload [u8],
}

impl<'payload> Iterator for Values<'payload> {
    type Item = (u8, &'payload [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, rest) = self.rest.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = if first & 0x80 == 0 {
            (usize::from(*first), rest)
        } else {
            let (second, rest) = rest.split_first()?;
            (usize::from(first & 0x7F) | usize::from(*second) << 7, rest)
        };
        let value = rest.get(..length)?;
        self.rest = &rest[length..];
        Some((*tag, value))
    }
}

/// What a tuner answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    pub(super) device_id: u32,
    pub(super) tuner_count: u8,
    pub(super) base_url: &'a str,
    pub(super) lineup_url: &'a str,
    pub(super) device_auth: &'a str,
}

impl Reply<'_> {
    /// The datagram.
    pub(super) fn packet(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        push_value(&mut payload, TAG_DEVICE_TYPE, &DEVICE_TYPE_TUNER.to_be_bytes());
        push_value(&mut payload, TAG_DEVICE_ID, &self.device_id.to_be_bytes());
        push_value(&mut payload, TAG_TUNER_COUNT, &[self.tuner_count]);
        for (tag, text) in [
            (TAG_BASE_URL, self.base_url),
            (TAG_LINEUP_URL, self.lineup_url),
            (TAG_DEVICE_AUTH, self.device_auth),
        ] {
            if !text.is_empty() {
                push_value(&mut payload, tag, text.as_bytes());
            }
        }
        framed(TYPE_DISCOVER_REPLY, &payload)
    }
}

fn push_value(payload: &mut Vec<u8>, tag: u8, value: &[u8]) {
    assert!(value.len() <= VALUE_BYTES_MAX, "settings and addresses are shorter");
    payload.push(tag);
    let low = u8::try_from(value.len() & 0x7F).expect("seven bits");
    if value.len() < 0x80 {
        payload.push(low);
    } else {
        payload.push(low | 0x80);
        payload.push(u8::try_from(value.len() >> 7).expect("the rest of fifteen bits"));
    }
    payload.extend_from_slice(value);
}

fn framed(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a few hundred bytes");
    let mut packet = Vec::with_capacity(payload.len() + 8);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(payload);
    packet.extend_from_slice(&CRC.checksum(&packet).to_le_bytes());
    packet
}

/// Whether a datagram asks for any tuner, for tests of hostile bytes.
#[must_use]
#[cfg(any(test, feature = "sim"))]
pub fn is_question(bytes: &[u8]) -> bool {
    Query::parse(bytes).is_ok_and(|query| query.is_for(0))
}

/// The answer when a connection begins with a packet that asks for a value, for tests of hostile bytes. The value is the name that is
/// asked for.
#[must_use]
#[cfg(any(test, feature = "sim"))]
pub fn value_answer(bytes: &[u8]) -> Option<Vec<u8>> {
    let asked = GetSet::of(&Frame::parse(bytes).ok()??)?;
    Some(asked.reply(if asked.is_set { Err("it cannot be set") } else { Ok(&asked.name) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// As libhdhomerun asks for all tuners.
    const ASKS_FOR_TUNERS: &str = "0002000c0104000000010204ffffffff4e507f35";
    const OWN: u32 = 0x1234_ABCD;

    fn query(payload: &[u8]) -> Query {
        Query::parse(&framed(TYPE_DISCOVER_REQUEST, payload)).unwrap()
    }

    #[test]
    fn libhdhomeruns_question_is_understood_and_answered_to_the_byte() {
        let asked = Query::parse(&bytes(ASKS_FOR_TUNERS)).unwrap();
        assert!(asked.is_for(OWN));
        let reply = Reply {
            device_id: OWN,
            tuner_count: 2,
            base_url: "http://192.168.1.20:5004",
            lineup_url: "http://192.168.1.20:5004/lineup.json",
            device_auth: "tok",
        };
        assert_eq!(
            reply.packet(),
            bytes(
                "0003005401040000000102041234abcd1001022a18687474703a2f2f3139322e3136382e312e32303a353030342724687474703a2f2f3139322e3136382e312e32303a353030342f6c696e6575702e6a736f6e2b03746f6b254ae456"
            )
        );
    }

    #[test]
    fn whoever_asks_for_others_is_not_answered() {
        for (payload, is_for_us) in [
            ("", true),
            ("010400000001", true),
            ("0104ffffffff", true),
            ("010400000005", false),
            ("02041234abcd", true),
            ("0204ffffffff", true),
            ("02041234abce", false),
            ("0104000000050204ffffffff", false),
            // Several types at once: storage and tuners, storage alone.
            ("2d080000000500000001", true),
            ("2d0400000005", false),
            ("2d08000000050000000a", false),
            ("0104000000052d0400000001", true),
            // Values of other lengths, and unknown ones, are passed over.
            ("01020001", true),
            ("0105000000050001", true),
            ("2d03000005", true),
            ("2d00", true),
            ("7f03616263010400000005", false),
            ("7f00020300abcd", true),
            // One that is cut off ends it.
            ("0104000000010204ffff", true),
            ("01040000000502", false),
            ("0184", true),
        ] {
            assert_eq!(query(&bytes(payload)).is_for(OWN), is_for_us, "{payload}");
        }
    }

    #[test]
    fn a_length_of_two_bytes_is_read_and_written() {
        let long = "a".repeat(300);
        let mut payload = Vec::new();
        push_value(&mut payload, 0x7F, long.as_bytes());
        push_value(&mut payload, TAG_DEVICE_TYPE, &5_u32.to_be_bytes());
        assert_eq!(payload[..3], [0x7F, 0xAC, 0x02]);
        assert!(!query(&payload).is_for(OWN), "what stands behind it is found");
        let reply =
            Reply { device_id: OWN, tuner_count: 1, base_url: &long, lineup_url: "", device_auth: "" };
        let packet = reply.packet();
        assert_eq!(packet.len(), 4 + 6 + 6 + 3 + 3 + 300 + 4, "blank values are left out");
    }

    #[test]
    fn what_is_no_question_says_why() {
        let good = bytes(ASKS_FOR_TUNERS);
        let mut trailing = good.clone();
        trailing.extend([1, 2, 3]);
        assert_eq!(Query::parse(&trailing), Query::parse(&good));
        for length in 0..good.len() {
            assert_eq!(Query::parse(&good[..length]), Err(PacketError::Short), "{length}");
        }
        for place in 0..good.len() {
            let mut wrong = good.clone();
            wrong[place] ^= 0x10;
            assert!(Query::parse(&wrong).is_err(), "{place}");
        }
        assert_eq!(Query::parse(&framed(TYPE_DISCOVER_REPLY, &[])), Err(PacketError::Type(3)));
        assert_eq!(Query::parse(&framed(4, &[])), Err(PacketError::Type(4)));
    }

    /// As libhdhomerun asks for the model, and for a channel with a key.
    const ASKS_FOR_MODEL: &str = "0004000d030b2f7379732f6d6f64656c008f5b54b5";
    const SETS_CHANNEL: &str =
        "0004002103102f74756e6572302f6368616e6e656c0004076175746f3a3500150400000001fe03f457";

    #[test]
    fn a_value_is_asked_for_and_answered_to_the_byte() {
        let asked = bytes(ASKS_FOR_MODEL);
        let frame = Frame::parse(&asked).unwrap().unwrap();
        assert_eq!(frame.bytes, asked.len());
        let get = GetSet::of(&frame).unwrap();
        assert_eq!((get.name.as_str(), get.is_set), ("/sys/model", false));
        assert_eq!(
            get.reply(Ok("hdhomerun_dvr_atsc3")),
            bytes("00050023030b2f7379732f6d6f64656c0004146864686f6d6572756e5f6476725f6174736333000105c222")
        );
        let set = bytes(SETS_CHANNEL);
        let set = GetSet::of(&Frame::parse(&set).unwrap().unwrap()).unwrap();
        assert_eq!((set.name.as_str(), set.is_set), ("/tuner0/channel", true));
        assert_eq!(
            set.reply(Err("ERROR: no")),
            bytes("0005001e03102f74756e6572302f6368616e6e656c00050a4552524f523a206e6f0090493fc9")
        );
    }

    #[test]
    fn a_packet_of_a_connection_comes_in_parts_or_with_the_next_and_is_bounded() {
        let asked = bytes(ASKS_FOR_MODEL);
        for length in 0..asked.len() {
            assert_eq!(Frame::parse(&asked[..length]), Ok(None), "{length}");
        }
        let two = [asked.clone(), asked.clone()].concat();
        assert_eq!(Frame::parse(&two).unwrap().unwrap().bytes, asked.len());
        for place in 4..asked.len() {
            let mut wrong = asked.clone();
            wrong[place] ^= 0x10;
            assert_eq!(Frame::parse(&wrong), Err(PacketError::Crc), "{place}");
        }
        assert_eq!(Frame::parse(&[0, 4, 0xFF, 0xFF]), Err(PacketError::Long(0x1_0007)));
        let other = framed(6, &[0xFF; 4]);
        assert_eq!(GetSet::of(&Frame::parse(&other).unwrap().unwrap()), None, "no firmware is taken");
        let nameless = framed(TYPE_GETSET_REQUEST, &[]);
        assert_eq!(GetSet::of(&Frame::parse(&nameless).unwrap().unwrap()), None);
        let long = GetSet { name: "\u{20AC}\0".repeat(4000), is_set: false };
        assert!(long.reply(Err(&"x".repeat(9000))).len() <= GETSET_BYTES_MAX);
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_a_connection_brings_makes_it_panic(bytes: Vec<u8>) {
            let _asked = Frame::parse(&bytes).is_ok_and(|frame| frame.is_some_and(|frame| GetSet::of(&frame).is_some()));
            let framed = framed(TYPE_GETSET_REQUEST, &bytes);
            let _asked = Frame::parse(&framed).is_ok_and(|frame| frame.is_some_and(|frame| GetSet::of(&frame).is_some()));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_datagram_makes_it_panic(bytes: Vec<u8>) {
            let _answered = Query::parse(&bytes).is_ok_and(|query| query.is_for(OWN));
        }

        #[test]
        fn no_payload_makes_it_panic(payload in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let _answered = query(&payload).is_for(OWN);
        }
    }
}
