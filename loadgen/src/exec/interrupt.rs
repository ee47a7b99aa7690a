//! Ctrl-C: the first ends the run with a report, the second ends the program.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// How many runs of this process are under way.
static WATCHING: Mutex<usize> = Mutex::new(0);

/// While it lives, SIGINT and SIGTERM are remembered instead of ending the program.
#[derive(Debug)]
pub struct Watch(());

impl Watch {
    pub fn start() -> Watch {
        let mut watching = WATCHING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *watching == 0 {
            INTERRUPTED.store(false, Ordering::Relaxed);
            handle(remember as *const () as libc::sighandler_t);
        }
        *watching += 1;
        Watch(())
    }

    pub fn interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watching = WATCHING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *watching -= 1;
        if *watching == 0 {
            handle(libc::SIG_DFL);
        }
    }
}

extern "C" fn remember(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

fn handle(handler: libc::sighandler_t) {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: an all-zero `sigaction` is valid, and `remember` only stores to an atomic, which
        // a signal handler may do. `SA_RESETHAND` leaves the second signal to its default.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}
