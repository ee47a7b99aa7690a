//! A control group that limits processor time, of either version, where this machine lets one be
//! made.

use std::fs;
use std::path::PathBuf;

const PERIOD_US: u64 = 100_000;

/// Removed when dropped, by when the processes in it must have ended.
pub struct ControlGroup {
    directory: PathBuf,
}

impl ControlGroup {
    /// A group that may use so many thousandths of a processor.
    pub fn with_millicpus(name: &str, millicpus: u64) -> std::io::Result<ControlGroup> {
        let quota_us = PERIOD_US * millicpus / 1000;
        let (root, file, quota) = match fs::exists("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")? {
            true => ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", format!("{quota_us}")),
            false => ("/sys/fs/cgroup", "cpu.max", format!("{quota_us} {PERIOD_US}")),
        };
        let directory = PathBuf::from(root).join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&directory)?;
        let group = ControlGroup { directory };
        fs::write(group.directory.join(file), quota)?;
        Ok(group)
    }

    /// Whether groups can be made here.
    pub fn usable() -> bool {
        ControlGroup::with_millicpus("ringwell-usable", 1000).is_ok()
    }

    /// Where a process writes its number to come into the group.
    pub fn members(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
    }
}
