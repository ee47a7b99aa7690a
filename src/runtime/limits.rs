//! Limits of the process.

use std::io;

use crate::config::Config;

/// Descriptors that are no clients': files, rings, listening sockets. Redis reserves 32; our
/// executors and rings need some for every core.
const RESERVED: u64 = 32;
const RESERVED_PER_CORE: u64 = 32;

/// Raises the limit on open files to what `maxclients` needs, or lowers `maxclients` to what the
/// limit allows; the latter is worth a warning.
pub fn fit_open_files(config: &mut Config, cores: usize) -> Option<String> {
    let reserved = RESERVED + RESERVED_PER_CORE * cores as u64;
    let wanted = u64::from(config.maxclients) + reserved;
    let (soft, hard) = open_files().ok()?;
    if soft >= wanted || set_open_files(wanted, hard.max(wanted)).is_ok() {
        return None;
    }
    // Only a privileged process may raise the hard limit.
    let limit = match set_open_files(hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    let requested = config.maxclients;
    config.maxclients = clients_within(limit, reserved);
    Some(format!(
        "maxclients {requested} needs {wanted} open files, but the limit is {limit}: maxclients is \
         now {}. Raise the limit with ulimit -n, or LimitNOFILE= in the service",
        config.maxclients
    ))
}

fn clients_within(limit: u64, reserved: u64) -> u32 {
    u32::try_from(limit.saturating_sub(reserved)).unwrap_or(u32::MAX).max(1)
}

/// The soft and the hard limit.
fn open_files() -> io::Result<(u64, u64)> {
    limit(libc::RLIMIT_NOFILE)
}

/// The soft limit on locked memory, in bytes.
///
/// # Errors
/// The kernel does not tell.
pub fn locked_memory() -> io::Result<u64> {
    limit(libc::RLIMIT_MEMLOCK).map(|(soft, _)| soft)
}

/// Keeps the process on small pages while its rings are set up.
///
/// The executors register small buffers with their rings, and the kernel charges a buffer in a
/// huge page as the whole of it, 2 MiB, to the limit on locked memory. With the usual limit of
/// 8 MiB an unprivileged server would have room for 8 shards; so it has for 18.
#[derive(Debug)]
pub struct SmallPages {
    begun: bool,
}

impl SmallPages {
    pub fn begin() -> SmallPages {
        // SAFETY: neither call is given any memory.
        let begun = unsafe {
            libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0
        };
        SmallPages { begun }
    }
}

impl Drop for SmallPages {
    fn drop(&mut self) {
        if self.begun {
            // SAFETY: the call is given no memory.
            unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0) };
        }
    }
}

/// Says what an error of a start was, and how to get more of what was too little.
pub fn explain_shortage(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => format!(
            "{error}: raise the limit with ulimit -n, or LimitNOFILE= in the service, or start \
             fewer --shards"
        ),
        Some(libc::ENOMEM) => {
            let limit =
                locked_memory().map_or_else(|_| "unknown".into(), |bytes| bytes.to_string());
            format!(
                "{error}: the limit on locked memory is {limit} bytes for all io_uring rings of \
                 this user: raise it with ulimit -l unlimited, LimitMEMLOCK=infinity in the \
                 service, or docker run --ulimit memlock=-1, or start fewer --shards"
            )
        }
        _ => error.to_string(),
    }
}

/// Has this thread, when it is woken, let another one finish its turn on the same processor: two
/// shards that share one otherwise interrupt each other with every message, and each gets less done
/// in its turn. A policy that somebody chose (`chrt`) stays.
pub fn take_turns() {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads a structure that lives during the call; 0 is the calling thread.
    unsafe {
        if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const param);
        }
    }
}

fn limit(resource: libc::__rlimit_resource_t) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills a structure that lives during the call.
    match unsafe { libc::getrlimit(resource, &raw mut limit) } {
        0 => Ok((limit.rlim_cur, limit.rlim_max)),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_open_files(soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads a structure that lives during the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_what_is_left() {
        assert_eq!(clients_within(1024, 64), 960);
        assert_eq!(clients_within(10, 64), 1);
        assert_eq!(clients_within(u64::MAX, 64), u32::MAX);
    }

    #[test]
    fn shortages_have_remedies() {
        let explained = |code| explain_shortage(&io::Error::from_raw_os_error(code));
        assert!(explained(libc::EMFILE).contains("ulimit -n"));
        assert!(explained(libc::ENOMEM).contains("ulimit -l"));
        assert!(!explained(libc::EIO).contains("ulimit"));
    }

    #[test]
    fn limits_can_be_read() {
        let (soft, hard) = open_files().unwrap();
        assert!(soft > 0 && soft <= hard);
        assert!(locked_memory().is_ok());
    }
}
