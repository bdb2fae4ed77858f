//! Other processes, as /proc shows them.

use std::fs;

/// A process, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process(pub u32);

impl Process {
    /// False when it has ended, reaped by whoever is its parent or not.
    pub fn is_alive(self) -> bool {
        self.stat().is_some_and(|(state, _)| state != 'Z' && state != 'X')
    }

    /// Open descriptors.
    pub fn descriptors(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap().count()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The part of the resident memory that belongs to files in memory, as rings are.
    pub fn resident_rings_kib(self) -> u64 {
        self.status_kib("RssShmem:")
    }

    fn status_kib(self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// State and parent.
    fn stat(self) -> Option<(char, u32)> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        // The name may hold anything, a bracket too.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
    }
}

/// Those whose parent this process is and who have not been reaped.
pub fn children_of(parent: Process) -> Vec<Process> {
    let numbers =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_parent = |process: &Process| process.stat().is_some_and(|(_, its_parent)| its_parent == parent.0);
    numbers.map(Process).filter(of_parent).collect()
}
