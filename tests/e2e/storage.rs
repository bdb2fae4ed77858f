//! A database that cannot be written costs what it would have kept, and no picture.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::kit::{Daemon, LONG, Upstream, free_port, judge, until};

/// A file system of its own, small enough to be filled.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> SmallDisk {
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(status.success(), "a file system is mounted, as root may");
        SmallDisk { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Leaves no room.
    fn fill(&self) {
        for bytes in [64 * 1024, 4096, 1] {
            let mut room =
                fs::OpenOptions::new().create(true).append(true).open(self.file("ballast")).unwrap();
            while std::io::Write::write_all(&mut room, &vec![0; bytes]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.file("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        assert!(status.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn lines(daemon: &Daemon, text: &str) -> usize {
    daemon.log().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_full_disk_is_told_of_once_and_streaming_goes_on() {
    const LOST: &str = "the health of sources cannot be stored";
    let disk = SmallDisk::mount();
    let upstream = Upstream::start();
    let port = free_port();
    let settings = [("CYCLE_FAILURE_MIN_HEALTH", "0"), ("SESSION_IDLE_TIMEOUT", "0"), ("TUNER_COUNT", "4")];
    let mut daemon = Daemon::start_with(port, &settings, |command| {
        command.env("HTTP_ADDR", format!("127.0.0.1:{port}")).env("DB_PATH", disk.file("tunerd.db"));
    });
    for number in 0..3 {
        daemon.channel(&format!("10{number}"), &[upstream.url(&format!("/good/4000000/{number}"))]);
    }
    let mut watched = daemon.open("/auto/v100");
    disk.fill();
    // Each tune is a success that is to be stored.
    for number in [1, 2, 1, 2] {
        let mut viewer = daemon.open(&format!("/auto/v10{number}"));
        assert_eq!(judge(&viewer.watch(Duration::from_millis(700))).faults(), 0);
    }
    until(LONG, "the loss is told", || (lines(&daemon, LOST) > 0).then_some(()));
    assert_eq!(lines(&daemon, LOST), 1, "once");
    let mut losing = daemon.open("/auto/v101");
    until(LONG, "the loss is counted", || {
        let rows = daemon.tuners()["tuners"].as_array().unwrap().clone();
        let counted = rows.iter().any(|row| row["source_health_persist_dropped_total"].as_u64() > Some(0));
        counted.then_some(())
    });
    assert_eq!(judge(&losing.watch(Duration::from_millis(300))).faults(), 0);
    disk.empty();
    let _viewer = daemon.open("/auto/v102");
    until(LONG, "it is stored again", || (lines(&daemon, "is stored again") == 1).then_some(()));
    assert_eq!(judge(&watched.watch(Duration::from_millis(500))).faults(), 0);
}
