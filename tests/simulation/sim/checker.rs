//! What a viewer is entitled to: an HTTP head, then whole packets from a table on, each as its source sent it, none
//! missing without a sign.

use std::collections::{BTreeMap, BTreeSet};

use super::packets::{Kind, PACKET, crc32, is_time, packet, read_name};

/// What has been answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Response {
    /// Nothing whole yet.
    Pending,
    /// 200, and a stream.
    Stream,
    /// Another status.
    Refused(u16),
}

/// One viewer's view.
pub(crate) struct Checker {
    response: Response,
    unread: Vec<u8>,
    /// Of an answer that is no stream.
    body_left: usize,
    packets: u64,
    counters: BTreeMap<u16, u8>,
    /// The last packet that says which one it is.
    last: Option<(u32, u64)>,
    /// A discontinuity was signalled since.
    may_jump: bool,
    /// Tables that have come since.
    tables: BTreeSet<u16>,
    jumps: u64,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self {
            response: Response::Pending,
            unread: Vec::new(),
            body_left: 0,
            packets: 0,
            counters: BTreeMap::new(),
            last: None,
            may_jump: false,
            tables: BTreeSet::new(),
            jumps: 0,
        }
    }

    pub(crate) fn response(&self) -> Response {
        self.response
    }

    /// Packets of streams seen so far, tables left out.
    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    /// Signalled gaps seen so far.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps
    }

    /// More has arrived. `flawed` are the runs whose source put garbage between packets: of these some may be lost.
    pub(crate) fn feed(&mut self, bytes: &[u8], flawed: &BTreeSet<u32>) -> Result<(), String> {
        self.unread.extend_from_slice(bytes);
        if self.response == Response::Pending {
            self.read_head()?;
        }
        match self.response {
            Response::Pending => Ok(()),
            Response::Refused(status) => {
                if self.unread.len() > self.body_left {
                    return Err(format!(
                        "{} bytes behind an answer {status}",
                        self.unread.len() - self.body_left
                    ));
                }
                Ok(())
            }
            Response::Stream => {
                let unread = std::mem::take(&mut self.unread);
                let (packets, rest) = unread.as_chunks::<PACKET>();
                for bytes in packets {
                    self.packet(bytes, flawed).map_err(|wrong| self.describe(&wrong, bytes))?;
                }
                self.unread = rest.to_vec();
                Ok(())
            }
        }
    }

    fn describe(&self, wrong: &str, bytes: &[u8; PACKET]) -> String {
        format!("after {} packets, the last one {:?}: {wrong}\n{bytes:02x?}", self.packets, self.last)
    }

    fn read_head(&mut self) -> Result<(), String> {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(&self.unread).map_err(|error| format!("no HTTP head: {error}"))?;
        let httparse::Status::Complete(head_bytes) = parsed else { return Ok(()) };
        let status = head.code.ok_or("a head without a status")?;
        let field = |name: &str| {
            let field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            field.map(|field| String::from_utf8_lossy(field.value).into_owned())
        };
        if status == 102 {
            self.unread.drain(..head_bytes);
            return self.read_head();
        }
        if status == 200 {
            if field("content-type").as_deref() != Some("video/mp2t") {
                return Err("a stream that is not called video/mp2t".to_owned());
            }
            for unwanted in ["content-length", "transfer-encoding", "accept-ranges", "content-encoding"] {
                if let Some(value) = field(unwanted) {
                    return Err(format!("a stream with {unwanted}: {value}"));
                }
            }
            self.response = Response::Stream;
        } else {
            let length = field("content-length").ok_or("an error of unknown length")?;
            self.body_left = length.parse().map_err(|_wrong| format!("content-length: {length}"))?;
            self.response = Response::Refused(status);
        }
        self.unread.drain(..head_bytes);
        Ok(())
    }

    fn packet(&mut self, bytes: &[u8; PACKET], flawed: &BTreeSet<u32>) -> Result<(), String> {
        if bytes[0] != 0x47 {
            return Err("no sync byte".to_owned());
        }
        let pid = u16::from_be_bytes([bytes[1] & 0x1F, bytes[2]]);
        if self.counters.is_empty() && pid != 0 {
            return Err(format!("the stream begins with PID {pid:#x}, not with a PAT"));
        }
        if pid == 0x1FFF {
            return Ok(());
        }
        let has_payload = bytes[3] & 0x10 != 0;
        let discontinuity = bytes[3] & 0x20 != 0 && bytes[4] > 0 && bytes[5] & 0x80 != 0;
        let name = if has_payload { read_name(bytes) } else { None };
        let lossy = name.or(self.last).is_some_and(|(run, _)| flawed.contains(&run));
        self.may_jump |= discontinuity;
        if let Some((run, index)) = name.filter(|_| !lossy) {
            self.landing(run, index)?;
        }
        self.continuity(pid, bytes[3] & 0x0F, has_payload, discontinuity || lossy)?;
        match name {
            Some((run, index)) => self.stream_packet(run, index, bytes, lossy),
            // Behind garbage the next packet is searched for, and now and then found where it is not.
            None if has_payload && lossy => Ok(()),
            None if has_payload => {
                self.tables.insert(pid);
                table(bytes)
            }
            None => Ok(()),
        }
    }

    fn continuity(&mut self, pid: u16, counter: u8, has_payload: bool, may_jump: bool) -> Result<(), String> {
        let Some(last) = self.counters.insert(pid, counter) else { return Ok(()) };
        // ISO/IEC 13818-1, 2.4.3.3: packets without payload do not count.
        let expected = if has_payload { (last + 1) % 16 } else { last };
        if counter != expected && !may_jump {
            return Err(format!("PID {pid:#x} counts {counter} after {last}, and nothing was signalled"));
        }
        Ok(())
    }

    fn stream_packet(
        &mut self,
        run: u32,
        index: u64,
        bytes: &[u8; PACKET],
        lossy: bool,
    ) -> Result<(), String> {
        let kind = Kind::of(run, index);
        if kind.is_table() {
            return Err(format!("packet {index} of a stream stands where a table was sent"));
        }
        let expected = packet(run, index);
        // What whoever joins streams may change: PID, counter, the discontinuity indicator, times.
        let differs = |at: usize| match at {
            1 => bytes[at] & 0xE0 != expected[at] & 0xE0,
            2 => false,
            3 => bytes[at] & 0xF0 != expected[at] & 0xF0,
            5 if expected[3] & 0x20 != 0 => bytes[at] & 0x7F != expected[at],
            _elsewhere => bytes[at] != expected[at] && !is_time(kind, at),
        };
        if let Some(at) = (0..PACKET).find(|&at| differs(at)) {
            return Err(format!(
                "byte {at} of packet {index} of run {run} is {:#x}, not {:#x}",
                bytes[at], expected[at]
            ));
        }
        self.order(run, index, lossy)?;
        self.last = Some((run, index));
        self.may_jump = false;
        self.tables.clear();
        self.packets += 1;
        Ok(())
    }

    /// Where something is left out, the tables come first and then a packet with which decoding can begin: a viewer was moved
    /// forward, or the source is another one.
    fn landing(&self, run: u32, index: u64) -> Result<(), String> {
        let Some((last_run, last_index)) = self.last else { return Ok(()) };
        if !self.may_jump || follows((last_run, last_index), (run, index)) {
            return Ok(());
        }
        let is_entry = matches!(Kind::of(run, index), Kind::Video { key: true, .. });
        // A PAT and a PMT, whose PID is the session's.
        let has_tables = self.tables.contains(&0) && self.tables.len() > 1;
        if is_entry && has_tables {
            return Ok(());
        }
        Err(format!(
            "behind a signalled gap after packet {last_index} of run {last_run} nobody can begin with packet {index} of run \
             {run}, {:?}, and tables on {:x?}",
            Kind::of(run, index),
            self.tables
        ))
    }

    fn order(&mut self, run: u32, index: u64, lossy: bool) -> Result<(), String> {
        let Some((last_run, last_index)) = self.last else {
            return if matches!(Kind::of(run, index), Kind::Video { key: true, .. }) {
                Ok(())
            } else {
                Err(format!("the picture begins with packet {index}, which no decoder can start with"))
            };
        };
        if run < last_run || run == last_run && index <= last_index {
            return Err(format!("packet {index} of run {run} comes after {last_index} of run {last_run}"));
        }
        if follows((last_run, last_index), (run, index)) {
            return Ok(());
        }
        self.jumps += u64::from(self.may_jump);
        if self.may_jump || lossy {
            Ok(())
        } else {
            Err(format!(
                "packet {index} of run {run} follows {last_index} of run {last_run}, and nothing was signalled"
            ))
        }
    }
}

/// Only tables lie between the two.
fn follows((last_run, last): (u32, u64), (run, index): (u32, u64)) -> bool {
    run == last_run && last < index && (last + 1..index).all(|between| Kind::of(run, between).is_table())
}

/// A packet without a name carries one whole section.
fn table(bytes: &[u8; PACKET]) -> Result<(), String> {
    let starts = bytes[1] & 0x40 != 0;
    let payload = if bytes[3] & 0x20 == 0 { 4 } else { 5 + usize::from(bytes[4]) };
    let section = payload + 1 + usize::from(*bytes.get(payload).ok_or("an adaptation field without end")?);
    let header = bytes.get(section..section + 3).ok_or("a table without a section")?;
    let length = usize::from(u16::from_be_bytes([header[1] & 0x0F, header[2]]));
    let whole =
        bytes.get(section..section + 3 + length).ok_or("a section that does not end in its packet")?;
    if !starts || crc32(whole) != 0 {
        return Err("neither a packet of the stream nor a table".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";

    fn stream(indices: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let packets = indices.into_iter().map(|index| packet(5, index).to_vec());
        [HEAD.to_vec()].into_iter().chain(packets).flatten().collect()
    }

    fn check(bytes: &[u8]) -> Result<Checker, String> {
        let mut checker = Checker::new();
        for piece in bytes.chunks(777) {
            checker.feed(piece, &BTreeSet::new())?;
        }
        Ok(checker)
    }

    #[test]
    fn a_whole_stream_is_accepted_however_it_is_cut() {
        let checker = check(&stream(128..1000)).unwrap();
        assert_eq!(checker.response(), Response::Stream);
        assert_eq!((checker.packets(), checker.jumps()), (1000 - 128 - 2 * 14, 0));
    }

    #[test]
    fn every_flaw_is_noticed() {
        let good = stream(128..400);
        for at in (0..200 * PACKET).step_by(61) {
            let mut flawed = good.clone();
            flawed[HEAD.len() + at] ^= 0x08;
            let in_times = is_time(Kind::of(5, 128 + (at / PACKET) as u64), at % PACKET);
            let is_free = at % PACKET == 2 || in_times;
            let is_stuffing = match Kind::of(5, 128 + (at / PACKET) as u64) {
                Kind::Pat => at % PACKET >= 21,
                Kind::Pmt => at % PACKET >= 31,
                Kind::Video { .. } | Kind::Audio => false,
            };
            let found = check(&flawed);
            assert!(found.is_err() || is_free || is_stuffing, "byte {at}");
        }
        for (flaw, what) in [
            (stream((128..200).chain(201..300)), "a lost packet"),
            (stream((128..200).chain(199..300)), "a repeated packet"),
            (stream((128..200).chain(200 + 1024..1400)), "a gap that the counters do not show"),
            (stream(130..300), "no table first"),
            (stream((128..130).chain(140..300)), "no key picture first"),
            ([HEAD, &stream(128..300)[HEAD.len() + 1..]].concat(), "a torn first packet"),
        ] {
            assert!(check(&flaw).is_err(), "{what}");
        }
    }

    #[test]
    fn a_signalled_gap_is_accepted() {
        let mut bytes = stream(128..200);
        for pid in [0, 0x1000, 0x100, 0x101u16] {
            let [high, low] = pid.to_be_bytes();
            let mut signal = [0xFF; PACKET];
            signal[..6].copy_from_slice(&[0x47, high, low, 0x20, 183, 0x80]);
            bytes.extend(signal);
        }
        bytes.extend(&stream(640..800)[HEAD.len()..]);
        assert!(check(&bytes).is_err(), "the counters do not follow those of the signals");
        for (at, counter) in [(0, 9), (1, 9), (2, 11), (3, 15)] {
            let of_signal = HEAD.len() + (72 + at) * PACKET + 3;
            bytes[of_signal] = 0x20 | counter;
        }
        assert_eq!(check(&bytes).map(|checker| checker.jumps()), Ok(1));
        // The same, moved forward to the packet behind the one in which the picture begins, and without a PMT.
        for (from, missing) in [(72 + 4 + 2, "the key picture"), (72 + 4 + 1, "the PMT")] {
            let mut flawed = bytes.clone();
            let at = HEAD.len() + from * PACKET;
            flawed.drain(at..at + PACKET);
            let wrong = check(&flawed).map(|checker| checker.jumps()).unwrap_err();
            assert!(wrong.contains("nobody can begin"), "{missing}: {wrong}");
        }
    }

    #[test]
    fn an_error_has_a_head_and_nothing_behind_it() {
        let busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(check(busy).map(|checker| checker.response()), Ok(Response::Refused(503)));
        assert!(check(&[&busy[..], b"x"].concat()).is_err());
    }
}
