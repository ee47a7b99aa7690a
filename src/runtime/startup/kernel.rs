//! Whether this kernel lets this process use io_uring as it must, asked before anything else does.

use std::io;

use io_uring::{IoUring, Probe, opcode};

use super::StartupError;
use crate::runtime::{host, limits};

/// The oldest kernel with deferred completions (`DEFER_TASKRUN`); 6.0 has the rest.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// What an executor of glommio insists on.
const LOCKED_MEMORY_MIN_BYTES: u64 = 512 * 1024;

/// What matters to explain a failure.
#[derive(Clone, Debug)]
struct Circumstances {
    /// `kernel.io_uring_disabled`: 0 is allowed, 1 for a group only, 2 is off. `None` before 6.6.
    disabled: Option<u32>,
    release: String,
    locked_memory_bytes: u64,
}

/// # Errors
/// What is missing, and what to do about it.
pub fn check() -> Result<(), StartupError> {
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    let here = Circumstances {
        disabled: sysctl.ok().and_then(|text| text.trim().parse().ok()),
        release: host::uname().1,
        locked_memory_bytes: limits::locked_memory().unwrap_or(u64::MAX),
    };
    check_release(&here.release)?;
    let ring = try_ring().map_err(|error| explain(&error, &here))?;
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    probed.map_err(|error| explain(&error, &here))?;
    check_operations(&probe)?;
    if here.locked_memory_bytes < LOCKED_MEMORY_MIN_BYTES {
        return Err(locked_memory_too_small(here.locked_memory_bytes));
    }
    Ok(())
}

fn try_ring() -> io::Result<IoUring> {
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_submit_all().build(8)
}

fn check_release(release: &str) -> Result<(), StartupError> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        // An unusual name; what is needed is probed anyway.
        return Ok(());
    };
    if (major, minor) < KERNEL_MIN {
        return Err(too_old(release));
    }
    Ok(())
}

fn too_old(release: &str) -> StartupError {
    let (major, minor) = KERNEL_MIN;
    StartupError::new(format!(
        "Linux {release} is too old: Ringwell needs Linux {major}.{minor} or newer for io_uring \
         with deferred completions: upgrade the kernel of the host"
    ))
}

fn check_operations(probe: &Probe) -> Result<(), StartupError> {
    let needed = [
        ("ACCEPT", opcode::AcceptMulti::CODE),
        ("RECV", opcode::RecvMulti::CODE),
        ("SEND", opcode::Send::CODE),
        ("POLL_ADD", opcode::PollAdd::CODE),
        ("TIMEOUT", opcode::Timeout::CODE),
        ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
        ("CLOSE", opcode::Close::CODE),
    ];
    match needed.iter().find(|(_, code)| !probe.is_supported(*code)) {
        None => Ok(()),
        Some((name, _)) => Err(StartupError::new(format!(
            "io_uring of this kernel lacks the operation {name}: use Linux 6.1 or newer with \
             networking built in"
        ))),
    }
}

fn locked_memory_too_small(bytes: u64) -> StartupError {
    StartupError::new(format!(
        "the limit on locked memory is {bytes} bytes, and io_uring needs {LOCKED_MEMORY_MIN_BYTES}: \
         raise it with ulimit -l unlimited, LimitMEMLOCK=infinity in the service, or docker run \
         --ulimit memlock=-1"
    ))
}

/// Why `io_uring_setup` failed.
fn explain(error: &io::Error, here: &Circumstances) -> StartupError {
    let message = match (error.raw_os_error(), here.disabled) {
        (Some(libc::ENOSYS), _) => {
            "this kernel has no io_uring, or a seccomp profile hides it: use Linux 6.1 or newer \
             with CONFIG_IO_URING; in a container, docker run --security-opt seccomp=unconfined \
             or a profile that allows io_uring_setup, io_uring_enter and io_uring_register"
                .into()
        }
        (Some(libc::EPERM), Some(2)) => {
            "io_uring is turned off on this host (kernel.io_uring_disabled = 2): turn it on with \
             sysctl -w kernel.io_uring_disabled=0"
                .into()
        }
        (Some(libc::EPERM), Some(1)) => {
            "io_uring is for privileged processes only on this host (kernel.io_uring_disabled = \
             1): run sysctl -w kernel.io_uring_disabled=0, or add the user to the group of \
             kernel.io_uring_group"
                .into()
        }
        (Some(libc::EPERM | libc::EACCES), _) => {
            "io_uring is blocked by a seccomp profile, as containers do by default: docker run \
             --security-opt seccomp=unconfined, or a profile that allows io_uring_setup, \
             io_uring_enter and io_uring_register"
                .into()
        }
        (Some(libc::ENOMEM), _) => return locked_memory_too_small(here.locked_memory_bytes),
        (Some(libc::EINVAL), _) => return too_old(&here.release),
        (Some(libc::EMFILE | libc::ENFILE), _) => {
            "too many open files to set up io_uring: raise the limit with ulimit -n".into()
        }
        _ => format!("cannot set up io_uring: {error}"),
    };
    StartupError::new(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: i32, disabled: Option<u32>) -> String {
        let here = Circumstances {
            disabled,
            release: "5.15.0-generic".into(),
            locked_memory_bytes: 65_536,
        };
        explain(&io::Error::from_raw_os_error(code), &here).to_string()
    }

    #[test]
    fn every_cause_has_its_remedy() {
        for (code, disabled, cause, remedy) in [
            (libc::ENOSYS, None, "no io_uring", "Linux 6.1"),
            (libc::EPERM, Some(2), "io_uring_disabled = 2", "sysctl -w"),
            (libc::EPERM, Some(1), "io_uring_disabled = 1", "kernel.io_uring_group"),
            (libc::EPERM, Some(0), "seccomp", "--security-opt"),
            (libc::EPERM, None, "seccomp", "--security-opt"),
            (libc::ENOMEM, Some(0), "65536 bytes", "LimitMEMLOCK="),
            (libc::EINVAL, Some(0), "5.15.0-generic", "upgrade"),
            (libc::EMFILE, Some(0), "open files", "ulimit -n"),
            (libc::EIO, Some(0), "cannot set up io_uring", ""),
        ] {
            let line = explained(code, disabled);
            assert!(line.contains(cause) && line.contains(remedy), "{code}: {line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn releases() {
        for (release, good) in [
            ("6.1.0-18-amd64", true),
            ("6.18.44", true),
            ("10.0", true),
            ("6.0.19", false),
            ("5.15.153.1-microsoft-standard-WSL2", false),
            ("unusual", true),
        ] {
            assert_eq!(check_release(release).is_ok(), good, "{release}");
        }
    }

    #[test]
    fn this_kernel_is_checked() {
        // Where it fails the tests of the ring fail as well; what matters is that it agrees.
        assert_eq!(check().is_ok(), try_ring().is_ok());
    }
}
