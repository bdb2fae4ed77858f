//! Names that nobody answers for, beside others.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use crate::kit::{Daemon, LONG, Stopwatch, Upstream, until};

const HANGING: usize = 6;
const TUNES: usize = 10;
/// So much later a good channel may start.
const LATER_MAX: Duration = Duration::from_secs(1);

/// A name server that says where the names under `good.` are, and nothing about others.
struct NameServer {
    address: Ipv4Addr,
    /// Questions without an answer.
    unanswered: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
}

impl NameServer {
    fn start() -> Self {
        // Names are asked for on one port only; other runs have other addresses.
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 77, high, low);
        let socket = UdpSocket::bind((address, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (unanswered, ends) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, is_over) = (Arc::clone(&unanswered), Arc::clone(&ends));
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while !is_over.load(Ordering::Relaxed) {
                let Ok((bytes, asker)) = socket.recv_from(&mut question) else { continue };
                match answer(&question[..bytes]) {
                    Some(answer) => drop(socket.send_to(&answer, asker)),
                    None => drop(count.fetch_add(1, Ordering::Relaxed)),
                }
            }
        });
        Self { address, unanswered, ends }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// RFC 1035, 4: this host for an address of IPv4 under `good.`, none of another kind.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    const HEAD_BYTES: usize = 12;
    let name = question.get(HEAD_BYTES..)?;
    let length = name.iter().position(|byte| *byte == 0)? + 1;
    let kind = name.get(length..length + 4)?;
    if !name[..length].windows(6).any(|label| label == b"\x04good\x04") {
        return None;
    }
    let is_address = kind == [0, 1, 0, 1];
    let mut answer = [&question[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]].concat();
    answer.extend_from_slice(&name[..length + 4]);
    if is_address {
        answer.extend_from_slice(&[0xC0, 0x0C, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

/// The program, for which this server looks names up.
fn daemon_that_asks(server: &NameServer) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    fs::write(&file, format!("nameserver {}\noptions timeout:30 attempts:1\n", server.address)).unwrap();
    let start = || {
        // The mounts of this thread and of what it starts.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        for arguments in
            [&["--make-rprivate", "/"][..], &["--bind", file.to_str().unwrap(), "/etc/resolv.conf"]]
        {
            assert!(Command::new("mount").args(arguments).status().unwrap().success(), "{arguments:?}");
        }
        Daemon::start(&[
            ("TUNER_COUNT", "16"),
            ("SESSION_IDLE_TIMEOUT", "0"),
            ("RECOVERY_FILLER_MODE", "psi"),
        ])
    };
    std::thread::scope(|scope| scope.spawn(start).join().unwrap())
}

/// How long each of these channels takes until its first bytes, one after the other.
fn tunes(daemon: &Daemon, numbers: std::ops::Range<usize>) -> Vec<Duration> {
    let tune = |number: usize| {
        let watch = Stopwatch::start();
        let mut viewer = daemon.open(&format!("/auto/v{number}"));
        assert!(!viewer.read(LONG).unwrap().is_empty());
        watch.elapsed()
    };
    let mut times: Vec<_> = numbers.map(tune).collect();
    times.sort_unstable();
    times
}

#[test]
fn names_that_hang_hold_up_no_other_channel() {
    let server = NameServer::start();
    let upstream = Upstream::start();
    let mut daemon = daemon_that_asks(&server);
    let url = |name: &str| format!("http://{name}.test:{}/good/4000000/a", upstream.port());
    // What was found once serves for a while: each channel has a name of its own.
    for number in 0..2 * TUNES {
        daemon.channel(&(100 + number).to_string(), &[url(&format!("n{number}.good"))]);
    }
    for number in 0..HANGING {
        daemon.channel(&(200 + number).to_string(), &[url(&format!("n{number}.hanging"))]);
    }
    let usual = tunes(&daemon, 100..100 + TUNES);
    let waiting: Vec<_> = (0..HANGING)
        .map(|number| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.port()));
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET /auto/v{} HTTP/1.1\r\nHost: tv\r\n\r\n", 200 + number).unwrap();
            stream
        })
        .collect();
    until(LONG, "all are looked up", || (server.unanswered.load(Ordering::Relaxed) >= HANGING).then_some(()));
    let beside = tunes(&daemon, 100 + TUNES..100 + 2 * TUNES);
    let (median, of_beside) = (usual[TUNES / 2], beside[TUNES / 2]);
    println!(
        "{TUNES} tunes: usually {median:?} ({:?} to {:?}), beside {HANGING} names that hang {of_beside:?} ({:?} to {:?}), ratio {:.2}",
        usual[0],
        usual[TUNES - 1],
        beside[0],
        beside[TUNES - 1],
        of_beside.as_secs_f64() / median.as_secs_f64(),
    );
    assert!(beside[TUNES - 1] < usual[TUNES - 1] + LATER_MAX, "{usual:?} {beside:?}");
    drop(waiting);
}
