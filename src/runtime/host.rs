//! What INFO tells about the process and the machine.

use std::fs;
use std::path::Path;

use super::{cgroups, listener, logging};
use crate::config::{Config, Source};
use crate::engine::{Host, HostFacts};

/// This process on this machine.
#[derive(Debug)]
pub struct Machine {
    /// What does not change.
    fixed: HostFacts,
    page_bytes: u64,
    /// Listening sockets whose options new connections inherit.
    tcp_listeners: Vec<std::os::fd::OwnedFd>,
}

impl Machine {
    pub fn new(source: &Source, tcp_listeners: Vec<std::os::fd::OwnedFd>) -> Machine {
        let executable = std::env::current_exe().unwrap_or_default();
        let config_file = source.file.as_deref().unwrap_or(Path::new(""));
        // SAFETY: asks for a number.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let machine_bytes = machine_memory_bytes();
        let limit_bytes = cgroups::memory_limit().unwrap_or(u64::MAX);
        Machine {
            fixed: HostFacts {
                pid: std::process::id(),
                total_system_memory_bytes: machine_bytes,
                memory_limit_bytes: machine_bytes.min(limit_bytes),
                os: operating_system(),
                executable: executable.display().to_string(),
                config_file: config_file.display().to_string(),
                ..HostFacts::default()
            },
            page_bytes: u64::try_from(page_bytes).unwrap_or(4096),
            tcp_listeners,
        }
    }

    fn rss_bytes(&self) -> u64 {
        // The second field counts the resident pages (proc(5)).
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.unwrap_or(0) * self.page_bytes
    }
}

impl Host for Machine {
    fn facts(&self) -> HostFacts {
        let (cpu_user_us, cpu_sys_us) = cpu_time_us(libc::RUSAGE_SELF);
        let (cpu_user_children_us, cpu_sys_children_us) = cpu_time_us(libc::RUSAGE_CHILDREN);
        HostFacts {
            rss_bytes: self.rss_bytes(),
            allocator_committed_bytes: allocator_committed_bytes(),
            cpu_user_us,
            cpu_sys_us,
            cpu_user_children_us,
            cpu_sys_children_us,
            ..self.fixed.clone()
        }
    }

    fn apply(&self, config: &Config) {
        logging::set_level(config.loglevel);
        for listener in &self.tcp_listeners {
            let socket = std::os::fd::AsFd::as_fd(listener);
            if let Err(error) = listener::set_keepalive(socket, config.tcp_keepalive) {
                tracing::warn!("cannot set tcp-keepalive: {error}");
            }
        }
    }

    fn release_memory(&self) {
        // SAFETY: frees only what nobody has allocated.
        unsafe { libmimalloc_sys::mi_collect(true) };
    }

    fn allocator_report(&self) -> String {
        let mut report = Vec::with_capacity(ALLOCATOR_REPORT_BYTES_MAX);
        // SAFETY: `append` gets the pointer to the vector, which lives during the call, and is not
        // kept.
        unsafe {
            let target = (&raw mut report).cast();
            libmimalloc_sys::mi_stats_print_out(Some(append), target);
        }
        String::from_utf8_lossy(&report).into_owned()
    }
}

/// More than it ever is.
const ALLOCATOR_REPORT_BYTES_MAX: usize = 64 * 1024;

/// Appends a piece of the allocator's report to the vector at `target`, without allocating: the
/// allocator is not to be called while it reports.
///
/// # Safety
/// `text` is a string that ends with a zero; `target` a vector that nobody else uses meanwhile.
unsafe extern "C" fn append(text: *const libc::c_char, target: *mut libc::c_void) {
    // SAFETY: both as the caller promises.
    let (report, text) = unsafe {
        let report = &mut *target.cast::<Vec<u8>>();
        (report, std::ffi::CStr::from_ptr(text).to_bytes())
    };
    let room = report.capacity() - report.len();
    report.extend_from_slice(&text[..text.len().min(room)]);
}

/// What the allocator has taken from the system and not given back.
fn allocator_committed_bytes() -> u64 {
    let mut committed = 0;
    let mut others = [0; 7];
    let [elapsed, user, system, rss, rss_peak, committed_peak, faults] = &mut others;
    // SAFETY: every pointer is to a number of its own, which lives during the call.
    unsafe {
        libmimalloc_sys::mi_process_info(
            elapsed,
            user,
            system,
            rss,
            rss_peak,
            &raw mut committed,
            committed_peak,
            faults,
        );
    }
    committed as u64
}

/// User and system time.
fn cpu_time_us(who: i32) -> (u64, u64) {
    // SAFETY: all zeros is a valid `rusage`, and the kernel fills it during the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &raw mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    (micros(usage.ru_utime), micros(usage.ru_stime))
}

fn machine_memory_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// As `uname -srm` prints it.
fn operating_system() -> String {
    let uname = uname();
    format!("{} {} {}", uname.0, uname.1, uname.2)
}

/// System, release and machine.
pub fn uname() -> (String, String, String) {
    // SAFETY: all zeros is a valid `utsname`, and the kernel fills it with terminated strings.
    let names = unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        libc::uname(&raw mut names);
        names
    };
    let text = |chars: &[libc::c_char]| {
        let bytes: Vec<u8> = chars.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    (text(&names.sysname), text(&names.release), text(&names.machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_plausible() {
        let source = Source { file: Some("/etc/ringwell.conf".into()) };
        let facts = Machine::new(&source, Vec::new()).facts();
        assert_eq!(facts.pid, std::process::id());
        assert!(facts.rss_bytes > 100_000 && facts.rss_bytes < facts.total_system_memory_bytes);
        assert!(facts.cpu_user_us + facts.cpu_sys_us > 0);
        assert!(facts.os.starts_with("Linux "), "{}", facts.os);
        assert!(facts.executable.starts_with('/'));
        assert_eq!(facts.config_file, "/etc/ringwell.conf");
        assert!((1 << 20..=facts.total_system_memory_bytes).contains(&facts.memory_limit_bytes));
    }

    #[test]
    #[cfg(not(miri))]
    fn the_allocator_tells_what_it_holds() {
        const BYTES: usize = 64 << 20;
        let machine = Machine::new(&Source { file: None }, Vec::new());
        let block = std::hint::black_box(vec![1u8; BYTES]);
        let committed = machine.facts().allocator_committed_bytes;
        assert!(committed >= block.len() as u64, "{committed}");
        machine.release_memory();
        let report = machine.allocator_report();
        assert!(report.len() > 100 && report.contains("commit"), "{report}");
    }
}
