//! A network of hosts: namespaces with cables between them. Only root can make one.

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sched::{CloneFlags, setns};

/// A host on which the program runs, and others that each have a cable to it.
pub struct Network {
    name: String,
    others: usize,
}

impl Network {
    /// A network with so many hosts beside ours; `None` when this user may not make one.
    pub fn with_others(others: usize) -> Option<Network> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        if !nix::unistd::geteuid().is_root() {
            eprintln!("not tested: only root can make a network");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let network = Network { name: format!("td{}-{number}", std::process::id()), others };
        let home = network.home();
        ip(&["netns", "add", &home]);
        ip(&["-n", &home, "link", "set", "lo", "up"]);
        for other in 0..others {
            let (name, here) = (network.other(other), format!("eth{other}"));
            ip(&["netns", "add", &name]);
            ip(&["-n", &home, "link", "add", &here, "type", "veth", "peer", "name", "eth0", "netns", &name]);
            for (host, link, last) in [(&home, here.as_str(), 1), (&name, "eth0", 2)] {
                let (v4, v6) =
                    (format!("10.213.{}.{last}/24", other + 80), format!("fd00:{other}::{last}/64"));
                ip(&["-n", host, "address", "add", &v4, "broadcast", "+", "dev", link]);
                // An address is not waited for until nobody else is known to have it.
                ip(&["-n", host, "address", "add", &v6, "dev", link, "nodad"]);
                ip(&["-n", host, "link", "set", link, "addrgenmode", "none"]);
                ip(&["-n", host, "link", "set", link, "up"]);
                let link_local = format!("fe80::{last}/64");
                ip(&["-n", host, "address", "add", &link_local, "dev", link, "nodad"]);
            }
            // Where broadcasts go from there, and what is for groups.
            for to in ["255.255.255.255", "224.0.0.0/4"] {
                ip(&["-n", &name, "route", "add", to, "dev", "eth0"]);
            }
        }
        Some(network)
    }

    fn home(&self) -> String {
        format!("{}-home", self.name)
    }

    fn other(&self, other: usize) -> String {
        format!("{}-{other}", self.name)
    }

    /// Our address on the cable to one of the others.
    pub fn address(&self, other: usize) -> String {
        format!("10.213.{}.1", other + 80)
    }

    /// Does something on our host. Programs that are started there, and threads, stay on it.
    pub fn at_home<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.home(), work)
    }

    /// Does something on one of the others.
    pub fn at<T: Send>(&self, other: usize, work: impl FnOnce() -> T + Send) -> T {
        within(&self.other(other), work)
    }

    /// What a program prints that is run on one of the others, and whether it ended well. It is given so many seconds.
    pub fn run(&self, other: usize, seconds: u32, program: &str, arguments: &[&str]) -> (bool, String) {
        let name = self.other(other);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &name, "timeout", &seconds.to_string(), program]).args(arguments);
        let output = command.output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    }
}

/// The namespace is its thread's.
fn within<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    let there = File::open(format!("/run/netns/{name}")).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(there, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Drop for Network {
    fn drop(&mut self) {
        // The cables go with their ends; what is left when this fails is named in the message.
        for name in (0..self.others).map(|other| self.other(other)).chain([self.home()]) {
            let _left = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
