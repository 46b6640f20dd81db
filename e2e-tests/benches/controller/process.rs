//! What processes use of the machine, as Linux counts it.

use std::fs::read_to_string;

use anyhow::{Context as _, Result};

/// Linux counts CPU time in hundredths of a second, whatever the kernel's own clock is.
const TICKS: f64 = 100.0;

/// The names of the sidecar, of the fake cloud, and of this process.
pub(crate) const SIDECAR: &str = "sidecar";
pub(crate) const CLOUD: &str = "fake cloud";
pub(crate) const BENCHMARK: &str = "benchmark";

/// Memory of a process, in MiB.
pub(crate) struct Memory {
    /// What is in RAM, with the pages of the binary.
    pub(crate) resident: f64,
    /// The part of it that is no file's: heap and stacks.
    pub(crate) anonymous: f64,
    /// The most that was ever in RAM.
    pub(crate) peak: f64,
}

/// The memory of a process.
pub(crate) fn memory(process: u32) -> Result<Memory> {
    let status = read_to_string(format!("/proc/{process}/status")).context("there is no such process")?;
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib: f64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok())?;
        Some(kib / 1024.0)
    };
    let read = || Some(Memory { resident: mib("VmRSS")?, anonymous: mib("RssAnon")?, peak: mib("VmHWM")? });
    read().context("the kernel tells no memory of a process")
}

/// Seconds of CPU time that a process has used.
pub(crate) fn cpu(process: u32) -> Result<f64> {
    let stat = read_to_string(format!("/proc/{process}/stat")).context("there is no such process")?;
    // The name, in brackets, may hold blanks. User and system time are the 12th and 13th field behind it.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

/// CPU time of the whole machine, in seconds over all cores.
pub(crate) struct Machine {
    busy: f64,
    idle: f64,
}

impl Machine {
    fn now() -> Result<Self> {
        let stat = read_to_string("/proc/stat").context("the kernel tells no CPU times")?;
        let line = stat.lines().next().unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let fields: Vec<f64> =
            line.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
        let idle = fields.iter().skip(3).take(2).sum::<f64>() / TICKS;
        Ok(Self { busy: fields.iter().sum::<f64>() / TICKS - idle, idle })
    }
}

/// How the machine's CPU time was used while something was measured.
pub(crate) struct Used {
    /// By each process that was measured, in seconds, with its name.
    pub(crate) by: Vec<(String, f64)>,
    /// By others, in per cent of what the machine has.
    pub(crate) elsewhere: f64,
}

impl Used {
    /// By the process with this name, in seconds.
    pub(crate) fn of(&self, name: &str) -> f64 {
        self.by.iter().find(|(of, _)| of == name).map_or(0.0, |(_, used)| *used)
    }

    /// By all that were measured, in seconds.
    pub(crate) fn total(&self) -> f64 {
        self.by.iter().map(|(_, used)| used).sum()
    }
}

/// Counts the CPU time of what is measured, and of all else.
pub(crate) struct Counter {
    /// Names, processes, and what they had used before.
    ours: Vec<(String, u32, f64)>,
    began: Machine,
}

impl Counter {
    /// Begins, beside these processes and this one.
    pub(crate) fn begin(processes: impl IntoIterator<Item = (String, u32)>) -> Result<Self> {
        let ours = processes.into_iter().chain([(BENCHMARK.to_owned(), std::process::id())]);
        let ours = ours.map(|(name, id)| Ok((name, id, cpu(id)?))).collect::<Result<_>>()?;
        Ok(Self { ours, began: Machine::now()? })
    }

    /// What was used since.
    pub(crate) fn end(self) -> Result<Used> {
        let now = Machine::now()?;
        let by = self.ours.into_iter().map(|(name, id, before)| Ok((name, cpu(id)? - before)));
        let mut used = Used { by: by.collect::<Result<_>>()?, elsewhere: 0.0 };
        let (busy, idle) = (now.busy - self.began.busy, now.idle - self.began.idle);
        used.elsewhere = ((busy - used.total()) / (busy + idle) * 100.0).max(0.0);
        Ok(used)
    }
}
