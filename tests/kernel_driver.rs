//! The driver against the real kernel: what is lent comes back, late answers find nobody, a drop waits.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use tunerd::base::{Errno, HeapBytes};
use tunerd::ring::{Lent, Ring, Segments};
use tunerd::uring::{
    Completion, Driver, Event, Files, Handle, Hangup, KernelDriver, Operation, Reception, ReceptionError,
    is_over, probe,
};

type Kernel = KernelDriver<u32, Lent>;
type Done = Completion<u32, Lent, OwnedFd>;

const LONG: Duration = Duration::from_secs(5);

/// Runs a test on each kind of driver that this kernel is good for.
fn with_each_kind(test: impl Fn(Kernel)) {
    test(Kernel::new(Files::Plain).unwrap());
    if probe().unwrap().files == Files::Registered {
        test(Kernel::new(Files::Registered).unwrap());
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    (server, client)
}

fn wait(driver: &mut Kernel) -> Done {
    for _ in 0..100 {
        if let Some(completion) = driver.next() {
            return completion;
        }
        driver.turn(LONG).unwrap();
    }
    panic!("nothing completed");
}

fn adopt(driver: &mut Kernel, socket: TcpStream) -> Handle {
    driver.adopt(OwnedFd::from(socket)).unwrap()
}

fn filled_ring(pages: usize) -> Ring {
    let mut ring = Ring::new(pages * 4096, Segments::Small).unwrap();
    let bytes = pages * 4096 / 188 / 2 * 188;
    let span = ring.reserve(bytes).unwrap();
    ring.received(span, bytes);
    for (byte, value) in ring.pending().iter_mut().zip((0..251u8).cycle()) {
        *byte = value;
    }
    ring.commit(bytes, 0);
    ring
}

/// Registers what begins in the ring's first segment.
fn register(driver: &mut Kernel, ring: &Ring) -> u16 {
    let span = ring.reader().unregistered(0).unwrap();
    let buffer = driver.register_memory(&span).unwrap();
    ring.reader().note_registered(&span, buffer);
    buffer
}

fn expected(position: usize, bytes: usize) -> Vec<u8> {
    (0..251u8).cycle().skip(position % 251).take(bytes).collect()
}

#[test]
fn a_span_of_the_ring_arrives_at_the_peer_and_the_lease_comes_back() {
    with_each_kind(|mut driver| {
        let (server, mut client) = pair();
        let socket = adopt(&mut driver, server);
        let ring = filled_ring(16);
        driver
            .push(Operation::Send { socket, from: Lent::Lease(ring.reader().lease(188, 1880).unwrap()) }, 7)
            .unwrap();
        let done = wait(&mut driver);
        assert_eq!(done.token, 7);
        let Event::Done { result: Ok(1880), memory: Some(Lent::Lease(lease)) } = done.event else {
            panic!("{done:?}")
        };
        assert_eq!(lease.position(), 188);
        let mut got = vec![0; 1880];
        client.read_exact(&mut got).unwrap();
        assert_eq!(got, expected(188, 1880));
    });
}

#[test]
fn a_zero_copy_send_gives_the_memory_back_only_with_its_notification() {
    with_each_kind(|mut driver| {
        let (server, mut client) = pair();
        let socket = adopt(&mut driver, server);
        let ring = filled_ring(64);
        let buffer = register(&mut driver, &ring);
        driver
            .push(
                Operation::SendZeroCopy { socket, from: Lent::Lease(ring.reader().lend(0, 37_600).unwrap()) },
                1,
            )
            .unwrap();
        let first = wait(&mut driver);
        let Event::Sent { result: Ok(taken) } = first.event else { panic!("{first:?}") };
        assert!(ring.is_lent(), "the kernel still reads");
        let mut got = vec![0; taken as usize];
        client.read_exact(&mut got).unwrap();
        assert_eq!(got, expected(0, taken as usize));
        let second = wait(&mut driver);
        let Event::Released { copied, .. } = second.event else { panic!("{second:?}") };
        assert!(copied, "loopback copies on receive");
        drop(second.event);
        assert!(!ring.is_lent());
        assert_eq!(ring.reader().withdraw(), [buffer]);
        driver.unregister_memory(buffer);
        assert_eq!(register(&mut driver, &ring), buffer, "a withdrawn index is used again");
    });
}

#[test]
fn a_pipe_is_read_across_the_rings_seam_into_registered_memory() {
    with_each_kind(|mut driver| {
        let (reader, writer) = std::io::pipe().unwrap();
        let file = driver.adopt(OwnedFd::from(reader)).unwrap();
        let mut ring = Ring::new(4096, Segments::Small).unwrap();
        register(&mut driver, &ring);
        let mut writer = std::fs::File::from(OwnedFd::from(writer));
        for round in 0..8u8 {
            writer.write_all(&vec![round; 1880]).unwrap();
            let span = ring.reserve(1880).unwrap();
            driver.push(Operation::Read { file, into: Lent::Span(span) }, 0).unwrap();
            let done = wait(&mut driver);
            let Event::Done { result: Ok(1880), memory: Some(Lent::Span(span)) } = done.event else {
                panic!("{done:?}")
            };
            ring.received(span, 1880);
            ring.commit(1880, 0);
            assert!(ring.bytes(ring.head() - 1880, 1880).iter().all(|&byte| byte == round));
        }
    });
}

#[test]
fn closing_ends_what_is_in_flight_and_what_it_owned_comes_back() {
    with_each_kind(|mut driver| {
        let (server, mut client) = pair();
        let socket = adopt(&mut driver, server);
        driver.push(Operation::Receive { socket, into: Lent::Heap(HeapBytes::zeroed(64)) }, 1).unwrap();
        driver.push(Operation::AwaitHangup { socket }, 2).unwrap();
        driver.turn(Duration::ZERO).unwrap();
        assert!(driver.next().is_none());
        driver.close(socket, Hangup::Finish);
        let mut tokens = [wait(&mut driver), wait(&mut driver)].map(|done| {
            let Event::Done { result, .. } = done.event else { panic!("{done:?}") };
            assert_eq!(result, Err(Errno::CANCELED));
            done.token
        });
        tokens.sort_unstable();
        assert_eq!(tokens, [1, 2]);
        assert_eq!((driver.in_flight(), driver.open_count()), (0, 0));
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "the peer sees the end");
    });
}

#[test]
fn what_is_closed_at_once_is_over_for_the_peer_before_anything_else_is_done() {
    with_each_kind(|mut driver| {
        let (server, mut client) = pair();
        let socket = adopt(&mut driver, server);
        driver.push(Operation::Receive { socket, into: Lent::Heap(HeapBytes::zeroed(64)) }, 1).unwrap();
        driver.turn(Duration::ZERO).unwrap();
        driver.close(socket, Hangup::AtOnce);
        client.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "the peer sees the end");
        assert!(matches!(wait(&mut driver).event, Event::Done { memory: Some(Lent::Heap(_)), .. }));
        assert_eq!((driver.in_flight(), driver.open_count()), (0, 0));
    });
}

#[test]
fn a_connection_that_is_asked_for_and_closed_at_once_does_not_begin_later() {
    with_each_kind(|mut driver| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = driver.open_socket(&address).unwrap();
        driver.push(Operation::Connect { socket, address }, 1).unwrap();
        driver.close(socket, Hangup::AtOnce);
        // On this host it may have been established before it was cancelled. Then it is over by now, too.
        listener.set_nonblocking(true).unwrap();
        let begun = listener.accept();
        if let Ok((mut begun, _)) = begun {
            begun.set_read_timeout(Some(LONG)).unwrap();
            assert_eq!(begun.read(&mut [0; 8]).unwrap_or_default(), 0, "the peer sees the end");
        }
        wait(&mut driver);
        assert_eq!((driver.in_flight(), driver.open_count()), (0, 0));
        assert!(listener.accept().is_err(), "nothing comes later");
    });
}

#[test]
fn a_connection_ends_although_an_older_one_is_still_watched() {
    with_each_kind(|mut driver| {
        let (stays, _peer) = pair();
        let (goes, mut client) = pair();
        let (stays, goes) = (adopt(&mut driver, stays), adopt(&mut driver, goes));
        driver.push(Operation::AwaitHangup { socket: stays }, 1).unwrap();
        driver.push(Operation::AwaitHangup { socket: goes }, 2).unwrap();
        driver.turn(Duration::ZERO).unwrap();
        driver.close(goes, Hangup::Finish);
        assert_eq!(wait(&mut driver).token, 2);
        client.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "the peer sees the end");
    });
}

#[test]
fn a_reset_frees_memory_that_lies_in_the_sockets_queue() {
    with_each_kind(|mut driver| {
        let (server, client) = pair();
        let socket = adopt(&mut driver, server);
        let ring = filled_ring(2048);
        register(&mut driver, &ring);
        // The client reads nothing: some of this stays in the queues of both sockets.
        let mut held = 0;
        for _ in 0..64 {
            let from = Lent::Lease(ring.reader().lend(0, 188 * 512).unwrap());
            driver.push(Operation::SendZeroCopy { socket, from }, 0).unwrap();
            driver.turn(Duration::from_millis(20)).unwrap();
            while let Some(done) = driver.next() {
                match done.event {
                    Event::Sent { .. } => held += 1,
                    Event::Released { .. } => held -= 1,
                    Event::Done { .. } | Event::Noticed(_) | Event::Accepted(_) => panic!("{done:?}"),
                }
            }
        }
        assert!(held > 0 && ring.is_lent(), "{held} sends are held by the queue");
        driver.close(socket, Hangup::Reset);
        for _ in 0..100 {
            if driver.in_flight() == 0 {
                break;
            }
            driver.turn(Duration::from_millis(50)).unwrap();
            while driver.next().is_some() {}
        }
        assert_eq!(driver.in_flight(), 0);
        assert!(!ring.is_lent());
        drop(client);
    });
}

/// Fills a socket's queue, in one of the ways in which what a ring holds is sent. Gives the bytes.
fn fill(driver: &mut Kernel, socket: Handle, ring: &Ring, from_file: bool) -> usize {
    let mut taken = 0;
    for _ in 0..10_000 {
        let (position, bytes) = ((taken % 70_000) as u64, 94_000);
        let result = if from_file {
            driver.send_file(socket, &Lent::Lease(ring.reader().give(position, bytes).unwrap()))
        } else {
            driver
                .push(
                    Operation::SendNow {
                        socket,
                        from: Lent::Lease(ring.reader().lease(position, bytes).unwrap()),
                    },
                    5,
                )
                .unwrap();
            let done = wait(driver);
            let Event::Done { result, memory: Some(Lent::Lease(_)) } = done.event else { panic!("{done:?}") };
            result
        };
        match result {
            Ok(count) => taken += count as usize,
            Err(errno) => {
                assert_eq!(errno, Errno::AGAIN);
                return taken;
            }
        }
    }
    panic!("a queue without an end");
}

#[test]
fn who_is_sent_to_at_once_has_no_more_than_there_is_room_for_and_room_is_told() {
    for from_file in [false, true] {
        with_each_kind(|mut driver| {
            let (server, mut client) = pair();
            let socket = adopt(&mut driver, server);
            let ring = filled_ring(128);
            let taken = fill(&mut driver, socket, &ring, from_file);
            assert!(taken > 50_000, "{taken} bytes");
            driver.push(Operation::AwaitRoom { socket }, 6).unwrap();
            driver.turn(Duration::from_millis(20)).unwrap();
            assert!(driver.next().is_none(), "there is no room");
            let mut got = vec![0; taken];
            client.read_exact(&mut got).unwrap();
            let done = wait(&mut driver);
            assert_eq!(done.token, 6);
            let Event::Done { result: Ok(events), memory: None } = done.event else { panic!("{done:?}") };
            assert!(!is_over(Ok(events)));
            driver.push(Operation::AwaitRoom { socket }, 7).unwrap();
            assert_eq!(wait(&mut driver).token, 7, "there is still");
            drop(client);
            // What is sent to who has closed is answered with a reset, and that is told.
            let sent: Vec<_> = (0..3)
                .map(|_| {
                    driver.turn(Duration::from_millis(20)).unwrap();
                    driver.send_file(socket, &Lent::Lease(ring.reader().give(0, 188).unwrap()))
                })
                .collect();
            assert!(sent.iter().any(|sent| matches!(sent, Err(Errno::PIPE | Errno::CONNRESET))), "{sent:?}");
        });
    }
}

#[test]
fn what_lies_in_a_sockets_queue_arrives_as_it_was_when_the_ring_has_gone_on() {
    for way in ["now", "zero copy", "file"] {
        with_each_kind(|mut driver| {
            let (server, mut client) = pair();
            let socket = adopt(&mut driver, server);
            let mut ring = Ring::new(1 << 20, Segments::Small).unwrap();
            write(&mut ring, 94_000, 1);
            register(&mut driver, &ring);
            let taken = match way {
                "file" => {
                    driver.send_file(socket, &Lent::Lease(ring.reader().give(0, 94_000).unwrap())).unwrap()
                }
                "now" => {
                    driver
                        .push(
                            Operation::SendNow {
                                socket,
                                from: Lent::Lease(ring.reader().lease(0, 94_000).unwrap()),
                            },
                            1,
                        )
                        .unwrap();
                    let done = wait(&mut driver);
                    let Event::Done { result: Ok(taken), .. } = done.event else { panic!("{done:?}") };
                    taken
                }
                _ => {
                    let from = Lent::Lease(ring.reader().lend(0, 94_000).unwrap());
                    driver.push(Operation::SendZeroCopy { socket, from }, 1).unwrap();
                    let done = wait(&mut driver);
                    let Event::Sent { result: Ok(taken) } = done.event else { panic!("{done:?}") };
                    taken
                }
            };
            for round in 2..60 {
                write(&mut ring, 94_000, round);
                for buffer in ring.reader().take_outdated() {
                    driver.unregister_memory(buffer);
                }
            }
            assert!(ring.tail() > 94_000);
            assert_eq!(ring.given_bytes() > 0, way != "now", "{way}: what was copied is nobody's");
            let mut got = vec![0; taken as usize];
            client.read_exact(&mut got).unwrap();
            assert!(taken > 50_000 && got.iter().all(|&byte| byte == 1), "{way}: {taken} bytes");
            // The new pages are sent from, and read into, as the old ones were.
            let position = ring.head() - 94_000;
            if let Some(span) = ring.reader().unregistered(position) {
                let buffer = driver.register_memory(&span).unwrap();
                ring.reader().note_registered(&span, buffer);
            }
            let from = Lent::Lease(ring.reader().lend(position, 94_000).unwrap());
            driver.push(Operation::SendZeroCopy { socket, from }, 2).unwrap();
            let sent = loop {
                let done = wait(&mut driver);
                if let Event::Sent { result: Ok(sent) } = done.event {
                    break sent;
                }
            };
            let mut got = vec![0; sent as usize];
            client.read_exact(&mut got).unwrap();
            assert!(got.iter().all(|&byte| byte == 59), "{way}");
        });
    }
}

/// Writes whole packets whose bytes are all `fill`.
fn write(ring: &mut Ring, bytes: usize, fill: u8) {
    let span = ring.reserve(bytes).unwrap();
    ring.received(span, bytes);
    ring.pending().fill(fill);
    ring.commit(bytes, 0);
}

#[test]
fn many_connections_are_accepted_by_one_operation() {
    with_each_kind(|mut driver| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let handle = driver.adopt(OwnedFd::from(listener)).unwrap();
        let key = driver.push(Operation::Accept { listener: handle }, 3).unwrap();
        for _ in 0..3 {
            let client = TcpStream::connect(address).unwrap();
            let done = wait(&mut driver);
            let Event::Accepted(socket) = done.event else { panic!("{done:?}") };
            let socket = driver.adopt(socket).unwrap();
            let (peer, local) = driver.addresses(socket).unwrap();
            assert_eq!((peer, local), (client.local_addr().unwrap(), address));
            driver.close(socket, Hangup::Finish);
        }
        driver.cancel(key);
        let done = wait(&mut driver);
        assert!(matches!(done.event, Event::Done { result: Err(Errno::CANCELED), .. }), "{done:?}");
    });
}

fn connect(driver: &mut Kernel, address: SocketAddr) -> Result<u32, Errno> {
    let socket = driver.open_socket(&address).unwrap();
    driver.push(Operation::Connect { socket, address }, 0).unwrap();
    let done = wait(driver);
    driver.close(socket, Hangup::Finish);
    let Event::Done { result, .. } = done.event else { panic!("{done:?}") };
    result
}

#[test]
fn a_refused_connection_says_so() {
    with_each_kind(|mut driver| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(connect(&mut driver, address), Ok(0));
        drop(listener);
        assert_eq!(connect(&mut driver, address), Err(Errno::CONNREFUSED));
    });
}

#[test]
fn a_hangup_is_told_while_the_stream_flows() {
    with_each_kind(|mut driver| {
        let (server, client) = pair();
        let socket = adopt(&mut driver, server);
        driver.push(Operation::AwaitHangup { socket }, 9).unwrap();
        driver.turn(Duration::ZERO).unwrap();
        assert!(driver.next().is_none());
        (&client).write_all(b"a stray byte is no hang-up").unwrap();
        driver.turn(Duration::from_millis(20)).unwrap();
        assert!(driver.next().is_none());
        client.shutdown(Shutdown::Write).unwrap();
        let done = wait(&mut driver);
        assert_eq!((done.token, says_over(&done.event)), (9, false), "it may go on listening");
        driver.turn(Duration::from_millis(20)).unwrap();
        assert!(driver.next().is_none());
        drop(client);
        let from = Lent::Heap(HeapBytes::from_vec(vec![0; 8]));
        driver.push(Operation::Send { socket, from }, 11).unwrap();
        let mut told = [wait(&mut driver), wait(&mut driver)];
        told.sort_unstable_by_key(|done| done.token);
        assert_eq!((told[0].token, says_over(&told[0].event)), (9, true), "what is sent to it comes back");
    });
}

/// Whether a poll has found its connection to be over.
fn says_over(event: &Event<Lent, OwnedFd>) -> bool {
    let Event::Noticed(events) = event else { panic!("{event:?}") };
    is_over(Ok(*events))
}

#[test]
fn a_driver_dropped_with_operations_in_flight_lets_go_of_everything() {
    with_each_kind(|mut driver| {
        let ring = filled_ring(2048);
        let (server, client) = pair();
        let socket = adopt(&mut driver, server);
        for _ in 0..8 {
            driver
                .push(
                    Operation::Send {
                        socket,
                        from: Lent::Lease(ring.reader().lease(0, 188 * 5000).unwrap()),
                    },
                    0,
                )
                .unwrap();
        }
        driver.turn(Duration::ZERO).unwrap();
        assert!(ring.is_lent());
        drop(driver);
        drop(client);
        assert!(!ring.is_lent(), "every lease came back");
    });
}

/// Somebody on this host who sends to groups over the loopback: groups are sent to by the interface of the sender's address.
fn sender(from: [u8; 4]) -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::from(from), 0)).unwrap()
}

/// Datagrams to this address over the loopback.
fn reception(to: &str) -> Reception {
    Reception { to: to.parse().unwrap(), from: Vec::new(), interface: Some("127.0.0.1".to_owned()) }
}

fn gather(driver: &mut Kernel, socket: Handle) -> Vec<Vec<u8>> {
    driver.push(Operation::Gather { socket }, 5).unwrap();
    gathered(driver, socket)
}

fn gathered(driver: &mut Kernel, socket: Handle) -> Vec<Vec<u8>> {
    let done = wait(driver);
    let Event::Done { result: Ok(count), memory: None } = done.event else { panic!("{done:?}") };
    let mut datagrams = Vec::new();
    driver.datagrams(socket, &mut |datagram| datagrams.push(datagram.to_vec()));
    assert_eq!((done.token, datagrams.len()), (5, count as usize));
    datagrams
}

/// True when this host is a member of a group, on the loopback.
fn is_member(group: Ipv4Addr) -> bool {
    let word = format!("{:08X}", u32::from_ne_bytes(group.octets()));
    let text = std::fs::read_to_string("/proc/net/igmp").unwrap();
    text.lines().any(|line| line.trim_start().starts_with(&word))
}

#[test]
fn all_datagrams_of_a_group_that_are_there_come_at_once_and_in_order() {
    with_each_kind(|mut driver| {
        let sender = sender([127, 0, 0, 1]);
        let socket = driver.open_receiver(&reception("239.255.71.1:20711")).unwrap();
        assert!(is_member(Ipv4Addr::new(239, 255, 71, 1)));
        let datagram = |number: u8| {
            let size = match number {
                3 => 1,
                7 => 65_507,
                _ => 1316,
            };
            vec![number; size]
        };
        for round in 0..3 {
            for number in 0..100 {
                sender.send_to(&datagram(number), "239.255.71.1:20711").unwrap();
            }
            let mut all = gather(&mut driver, socket);
            assert_eq!(all.len(), 64, "in round {round} as many as there may be");
            while all.len() < 100 {
                all.extend(gather(&mut driver, socket));
            }
            assert!(all == (0..100).map(datagram).collect::<Vec<_>>(), "round {round}");
        }
        // And whoever waits gets the first that comes.
        driver.push(Operation::Gather { socket }, 5).unwrap();
        driver.turn(Duration::ZERO).unwrap();
        sender.send_to(b"late", "239.255.71.1:20711").unwrap();
        assert_eq!(gathered(&mut driver, socket), [b"late"]);
        // An empty one is one, and the kernel pauses behind it.
        for datagram in [b"a".as_slice(), b"", b"b"] {
            sender.send_to(datagram, "239.255.71.1:20711").unwrap();
        }
        let mut all = Vec::new();
        while all.len() < 3 {
            all.extend(gather(&mut driver, socket));
        }
        assert_eq!(all, [b"a".as_slice(), b"", b"b"]);
        driver.close(socket, Hangup::Finish);
        assert!(!is_member(Ipv4Addr::new(239, 255, 71, 1)), "closed is left");
        assert_eq!((driver.in_flight(), driver.open_count(), driver.stale_completions()), (0, 0, 0));
    });
}

#[test]
fn what_finds_the_queue_full_is_counted() {
    let mut driver = Kernel::new(Files::Plain).unwrap();
    let socket = driver.open_receiver(&reception("239.255.71.6:20720")).unwrap();
    let sender = sender([127, 0, 0, 1]);
    let sent = (0..1000)
        .filter(|_| {
            sender.send_to(&[7; 60_000], "239.255.71.6:20720").unwrap();
            driver.dropped_datagrams(socket) == 0
        })
        .count();
    assert!(sent < 1000, "a queue has a bound");
    let (mut received, dropped) = (0, driver.dropped_datagrams(socket));
    assert_eq!(dropped, 1000 - sent as u64);
    while received < sent {
        received += gather(&mut driver, socket).len();
    }
    assert_eq!((received, driver.dropped_datagrams(socket)), (sent, dropped));
}

#[test]
fn what_is_not_asked_for_is_not_received() {
    let mut driver = Kernel::new(Files::Plain).unwrap();
    let (wanted, other) = (sender([127, 0, 0, 1]), sender([127, 0, 0, 2]));
    let to = |text: &str| text.parse::<SocketAddr>().unwrap();
    // The same port for another group, of which this host is a member, too.
    let _neighbour = driver.open_receiver(&reception("239.255.71.3:20712")).unwrap();
    let from = vec!["127.0.0.1".parse().unwrap()];
    let by_source = Reception { from: from.clone(), ..reception("232.255.71.2:20712") };
    let by_host = Reception { from, ..reception("127.0.0.1:20713") };
    for (reception, elsewhere) in [(by_source, "239.255.71.3:20712"), (by_host, "127.0.0.1:20714")] {
        let socket = driver.open_receiver(&reception).unwrap();
        wanted.send_to(b"elsewhere", to(elsewhere)).unwrap();
        other.send_to(b"other", reception.to).unwrap();
        wanted.send_to(b"wanted", reception.to).unwrap();
        assert_eq!(gather(&mut driver, socket), [b"wanted"], "{reception:?}");
    }
    // Of IPv6, too.
    let v6 = driver.open_receiver(&reception("[::1]:20721")).unwrap();
    UdpSocket::bind("[::1]:0").unwrap().send_to(b"six", "[::1]:20721").unwrap();
    assert_eq!(gather(&mut driver, v6), [b"six"]);
    // Several may receive the same.
    let twice = [(); 2].map(|()| driver.open_receiver(&reception("239.255.71.3:20712")).unwrap());
    other.send_to(b"both", to("239.255.71.3:20712")).unwrap();
    assert_eq!(twice.map(|socket| gather(&mut driver, socket)), [[b"both"], [b"both"]]);
}

#[test]
fn a_group_that_is_closed_while_it_is_waited_for_is_left() {
    with_each_kind(|mut driver| {
        for _ in 0..3 {
            let socket = driver.open_receiver(&reception("239.255.71.4:20715")).unwrap();
            driver.push(Operation::Gather { socket }, 1).unwrap();
            driver.turn(Duration::ZERO).unwrap();
            driver.close(socket, Hangup::Finish);
            let done = wait(&mut driver);
            assert!(matches!(done.event, Event::Done { result: Err(Errno::CANCELED), .. }), "{done:?}");
            assert!(!is_member(Ipv4Addr::new(239, 255, 71, 4)));
        }
        assert_eq!((driver.in_flight(), driver.open_count(), driver.stale_completions()), (0, 0, 0));
    });
}

#[test]
fn what_cannot_be_received_says_why() {
    let mut driver = Kernel::new(Files::Plain).unwrap();
    let unknown = Reception { interface: Some("nowhere7".to_owned()), ..reception("239.255.71.5:20716") };
    let error = driver.open_receiver(&unknown).unwrap_err();
    assert_eq!(error, ReceptionError::NoInterface("nowhere7".to_owned()));
    assert_eq!(error.to_string(), "this host has no interface \"nowhere7\"");
    let not_ours = Reception { interface: Some("203.0.113.9".to_owned()), ..unknown };
    assert_eq!(driver.open_receiver(&not_ours), Err(ReceptionError::NoInterface("203.0.113.9".to_owned())));
    assert_eq!(driver.open_count(), 0);
    // An address of another host's is where it is sent from, as players understand it.
    assert!(driver.open_receiver(&reception("203.0.113.9:20717")).is_ok());
    // IPv6 is on every interface, the loopback among them.
    let v6 = Reception { interface: Some("lo".to_owned()), ..reception("[ff15::7101]:20718") };
    assert!(driver.open_receiver(&v6).is_ok(), "{:?}", driver.open_receiver(&v6));
}
