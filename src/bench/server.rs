//! What the measured server costs, read from `/proc`.

use std::fs;
use std::time::Duration;

/// The kernel counts CPU time for `/proc` in hundredths of a second (`USER_HZ`), whatever its own tick is.
const TICK: Duration = Duration::from_millis(10);

/// CPU time and memory of a process at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// User and system time of all threads, since the start.
    pub(super) cpu: Duration,
    /// Resident bytes.
    pub(super) resident: u64,
}

/// Reads the usage of a process; the error is a sentence.
pub(super) fn usage(pid: u32) -> Result<Usage, String> {
    let cannot =
        |file: &str, why: &dyn std::fmt::Display| format!("cannot read /proc/{pid}/{file}: {why}");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| cannot("stat", &e))?;
    let cpu = cpu(&stat).ok_or_else(|| cannot("stat", &"not in the known form"))?;
    // The sum over the mappings is exact; `status` lags behind by some pages per thread.
    let resident = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .ok()
        .and_then(|text| kib(&text, "Rss:"));
    let resident = match resident {
        Some(resident) => resident,
        None => {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))
                .map_err(|e| cannot("status", &e))?;
            kib(&status, "VmRSS:").ok_or_else(|| cannot("status", &"it has no VmRSS"))?
        }
    };
    Ok(Usage { cpu, resident })
}

/// Fields 14 and 15; the second field is a name in parentheses that may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

/// The value of a line like `Rss:  1234 kB`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

/// How many files this process may hold.
pub(super) fn open_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_reads_itself() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.resident > 100_000, "{usage:?}");
        assert!(open_files().is_some());
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 5";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert!(
            usage(u32::MAX)
                .unwrap_err()
                .contains("/proc/4294967295/stat")
        );
    }
}
