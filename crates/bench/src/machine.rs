//! What the machine and a process used, from `/proc`: CPU time, memory, and the CPU that others took meanwhile.
//!
//! A foreign process on the same cores halves every figure, so each run records it and disturbed runs are repeated.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// `/proc` counts in hundredths of a second on every Linux that this runs on (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of the machine, of this process and of what it measures, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    at: Instant,
    machine_busy_s: f64,
    own_s: f64,
    child_s: f64,
}

/// What happened between two samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    pub(crate) child_cpu_s: f64,
    pub(crate) own_cpu_s: f64,
    /// What neither this process nor its child used, as a share of all cores.
    pub(crate) foreign_share: f64,
}

impl Sample {
    /// Each process counts with its descendants, those that have ended included.
    pub(crate) fn take(pids: &[u32]) -> Result<Self> {
        let processes = processes()?;
        Ok(Self {
            at: Instant::now(),
            machine_busy_s: machine_busy_s()?,
            own_s: process_cpu_s("self")?,
            child_s: pids.iter().map(|&pid| tree_cpu_s(&processes, pid)).sum(),
        })
    }

    pub(crate) fn until(self, later: Self) -> Usage {
        let wall = later.at - self.at;
        let child_cpu_s = later.child_s - self.child_s;
        let own_cpu_s = later.own_s - self.own_s;
        let foreign_s = (later.machine_busy_s - self.machine_busy_s) - child_cpu_s - own_cpu_s;
        let capacity_s = wall.as_secs_f64() * cores() as f64;
        Usage { wall, child_cpu_s, own_cpu_s, foreign_share: (foreign_s / capacity_s).max(0.0) }
    }
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Programs and what the hypervisor took; interrupts belong to no process and are mostly our own packets.
fn machine_busy_s() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let fields: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0.0);
    let (user, nice, system, stolen) = (field(0), field(1), field(2), field(7));
    Ok((user + nice + system + stolen) / TICKS_PER_SECOND)
}

fn process_cpu_s(process: &str) -> Result<f64> {
    let fields = stat_of(process).with_context(|| format!("reading /proc/{process}/stat"))?;
    Ok(fields.iter().skip(11).take(2).sum::<f64>() / TICKS_PER_SECOND)
}

/// The numbers of `/proc/PID/stat` from the third field on; what is no number is 0.
fn stat_of(process: &str) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the name in parentheses, which may hold spaces.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    Ok(after_name.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
}

/// One line of the table of processes.
struct Row {
    pid: u32,
    parent: u32,
    /// Its own, and that of its children that it has waited for.
    cpu_s: f64,
}

/// All there are; one that ends meanwhile is not among them.
fn processes() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir("/proc").context("reading /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(fields) = stat_of(&format!("{pid}")) else { continue };
        let cpu_s = fields.iter().skip(11).take(4).sum::<f64>() / TICKS_PER_SECOND;
        rows.push(Row { pid, parent: fields.get(1).copied().unwrap_or_default() as u32, cpu_s });
    }
    Ok(rows)
}

fn tree_cpu_s(processes: &[Row], pid: u32) -> f64 {
    let own: f64 = processes.iter().filter(|row| row.pid == pid).map(|row| row.cpu_s).sum();
    own + processes.iter().filter(|row| row.parent == pid).map(|row| tree_cpu_s(processes, row.pid)).sum::<f64>()
}

/// Resident memory of a process in megabytes (of 1,000,000 bytes).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) now_mb: f64,
    pub(crate) peak_mb: f64,
}

pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let megabytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let kibibytes: f64 = line.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or(0.0);
        kibibytes * 1024.0 / 1e6
    };
    Ok(Memory { now_mb: megabytes("VmRSS:"), peak_mb: megabytes("VmHWM:") })
}

/// `ext4`, `tmpfs` …: what "on disk" means for a directory.
pub(crate) fn file_system_of(directory: &std::path::Path) -> String {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut best: (usize, &str) = (0, "unknown");
    for line in mounts.lines() {
        let mut fields = line.split_whitespace().skip(1);
        if let (Some(point), Some(kind)) = (fields.next(), fields.next())
            && directory.starts_with(point)
            && point.len() >= best.0
        {
            best = (point.len(), kind);
        }
    }
    best.1.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_its_own_work() {
        let before = Sample::take(&[std::process::id()]).expect("/proc");
        let mut sum = 0_u64;
        while process_cpu_s("self").expect("/proc") < before.own_s + 0.05 {
            sum = sum.wrapping_add(std::hint::black_box(1));
        }
        let usage = before.until(Sample::take(&[std::process::id()]).expect("/proc"));
        assert!(sum > 0 && usage.own_cpu_s >= 0.04 && usage.child_cpu_s >= 0.04, "{usage:?}");
        let memory = memory(std::process::id()).expect("/proc");
        assert!(memory.now_mb > 0.5 && memory.peak_mb >= memory.now_mb, "{memory:?}");
    }
}
