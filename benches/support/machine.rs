//! The machine: its cores, the limit on open files, and the resources that another process has
//! used.

#![allow(
    unsafe_code,
    reason = "no safe wrapper reads another process's CPU clock"
)]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use std::time::Duration;
use std::{fs, io};

/// Returns the cores of this process as it was started, in order.
pub(crate) fn cores() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&core| set.is_set(core))
        .collect())
}

/// Pins the calling OS thread, and the ones that it starts from now on, to these cores.
pub(crate) fn pin(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// Raises the limit on open files to the most that an unprivileged process may have, and returns
/// it.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// The CPU time that a process has used since it started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTime {
    /// Exact, as the scheduler accounts it.
    pub(crate) total: Duration,
    /// The part of `total` that was spent in user mode; sampled by the kernel's tick, so only
    /// reliable over seconds.
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
}

/// Reads the CPU clock of `pid`, which must be a child of this process that has not been waited
/// for.
pub(crate) fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    // clock_getcpuclockid(3) computes the same: the process's number, inverted, and 2 for the
    // scheduler's clock.
    let clock = (!pid.cast_signed() << 3) | 2;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one timespec, which lives on this stack.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (user_ticks, system_ticks) = ticks(pid)?;
    Ok(CpuTime {
        total: Duration::new(time.tv_sec as u64, time.tv_nsec as u32),
        user_ticks,
        system_ticks,
    })
}

fn ticks(pid: u32) -> io::Result<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses, which may itself contain spaces and
    // parentheses.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = fields
        .split_whitespace()
        .skip(11)
        .map(|field| field.parse().unwrap_or(0));
    Ok((fields.next().unwrap_or(0), fields.next().unwrap_or(0)))
}

/// Returns the resident memory of a process in bytes, without page tables.
pub(crate) fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kibibytes.unwrap_or(0) * 1024)
}

/// Returns how many descriptors a process has open.
pub(crate) fn open_files(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Returns one line that describes the machine of the measurements.
pub(crate) fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model.trim());
    let cores = cores().map_or(0, |cores| cores.len());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{cores} cores of {model}, {} {}",
        std::env::consts::OS,
        kernel.trim()
    )
}
