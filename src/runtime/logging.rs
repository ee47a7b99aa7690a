//! The log: `tracing`, in lines like Redis's, to standard output or `logfile`.
//!
//! `level` of Redis is one of ours: `warning` shows warnings and errors, `notice` what an operator
//! wants to know, `verbose` more, `debug` everything.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use super::clock;
use super::startup::StartupError;
use crate::config::LogLevel;

/// The most verbose level that is logged: 0 is none, 1 errors, up to 5.
static LEVEL: AtomicU8 = AtomicU8::new(3);

/// Changes what is logged from now on.
pub fn set_level(level: LogLevel) {
    let number = match level {
        LogLevel::Nothing => 0,
        LogLevel::Warning => 2,
        LogLevel::Notice => 3,
        LogLevel::Verbose => 4,
        LogLevel::Debug => 5,
    };
    if LEVEL.swap(number, Ordering::Relaxed) != number {
        tracing::callsite::rebuild_interest_cache();
    }
}

fn number(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Starts logging. Called once, before any other thread runs.
///
/// # Errors
/// `logfile` cannot be written.
pub fn start(level: LogLevel, logfile: Option<&Path>) -> Result<(), StartupError> {
    set_level(level);
    let sink = match logfile {
        None => Sink::Standard,
        Some(path) => Sink::File(LogFile::open(path).map_err(|error| {
            StartupError::new(format!(
                "cannot open logfile '{}': {error}: choose a path in a directory you may \
                     write to, or --logfile \"\" for standard output",
                path.display()
            ))
        })?),
    };
    let layer =
        tracing_subscriber::fmt::layer().event_format(Line).with_ansi(false).with_writer(sink);
    let subscriber = Registry::default().with(layer.with_filter(ByLevel));
    // Fails only if there is one already, as in tests.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// Filters by `LEVEL`, and lets call sites below it cost one load.
struct ByLevel;

impl<S> Filter<S> for ByLevel {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: &Context<'_, S>) -> bool {
        number(metadata.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn callsite_enabled(
        &self,
        metadata: &'static tracing::Metadata<'static>,
    ) -> tracing::subscriber::Interest {
        if number(metadata.level()) <= LEVEL.load(Ordering::Relaxed) {
            tracing::subscriber::Interest::always()
        } else {
            tracing::subscriber::Interest::never()
        }
    }
}

enum Sink {
    Standard,
    File(LogFile),
}

/// A file that log rotation may move away at any time: as in Redis the next line then begins a new
/// one, and nobody need be told.
struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<LogFile> {
        Ok(LogFile { path: path.to_owned(), file: Mutex::new(LogFile::append_to(path)?) })
    }

    fn append_to(path: &Path) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(path)
    }

    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = |data: fs::Metadata| (data.dev(), data.ino());
        let there = fs::metadata(&self.path).map(identity).ok();
        // Where there cannot be a new one, the old one is better than nothing.
        if there != file.metadata().map(identity).ok()
            && let Ok(new) = LogFile::append_to(&self.path)
        {
            *file = new;
        }
        file.write_all(line)
    }
}

/// One write per line, so that lines of several threads do not mix. A line that cannot be written
/// (a full disk, a reader that has gone) is lost; there is nowhere else to say so.
impl Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = match self {
            Sink::Standard => io::stdout().lock().write_all(line),
            Sink::File(file) => file.write_line(line),
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Sink::Standard = self {
            let _ = io::stdout().lock().flush();
        }
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Sink;

    fn make_writer(&'a self) -> &'a Sink {
        self
    }
}

/// `PID:M DD Mon YYYY HH:MM:SS.mmm * message`, the mark telling the level as in Redis.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mark = match *event.metadata().level() {
            Level::ERROR | Level::WARN => '#',
            Level::INFO => '*',
            Level::DEBUG => '-',
            Level::TRACE => '.',
        };
        write!(writer, "{}:M {} {mark} ", std::process::id(), LocalTime::now())?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// A moment in the time zone of the host.
struct LocalTime {
    time: libc::tm,
    millis: u32,
}

impl LocalTime {
    fn now() -> LocalTime {
        LocalTime::at(clock::unix_us())
    }

    fn at(unix_us: u64) -> LocalTime {
        let seconds = libc::time_t::try_from(unix_us / 1_000_000).unwrap_or_default();
        // SAFETY: all zeros is a valid `tm`, and both pointers live during the call.
        let time = unsafe {
            let mut time: libc::tm = std::mem::zeroed();
            libc::localtime_r(&raw const seconds, &raw mut time);
            time
        };
        LocalTime { time, millis: (unix_us / 1000 % 1000) as u32 }
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let tm = &self.time;
        let month = usize::try_from(tm.tm_mon).ok().and_then(|month| MONTHS.get(month));
        write!(
            f,
            "{:02} {} {} {:02}:{:02}:{:02}.{:03}",
            tm.tm_mday,
            month.unwrap_or(&"???"),
            tm.tm_year + 1900,
            tm.tm_hour,
            tm.tm_min,
            tm.tm_sec,
            self.millis
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_look_like_those_of_redis() {
        // Noon is the same day in nearly all time zones; only the shape is checked beyond that.
        let shown = LocalTime::at(1_700_000_000_123_456).to_string();
        let words: Vec<_> = shown.split(' ').collect();
        assert_eq!((words[1], words[2]), ("Nov", "2023"), "{shown}");
        assert!(words[3].ends_with(".123") && words[3].len() == 12, "{shown}");
    }

    #[test]
    fn a_logfile_that_was_moved_away_is_begun_anew() {
        let path = std::env::temp_dir().join(format!("ringwell-log-{}", std::process::id()));
        let moved = path.with_extension("1");
        let log = LogFile::open(&path).unwrap();
        log.write_line(b"one\n").unwrap();
        log.write_line(b"two\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        log.write_line(b"three\n").unwrap();
        assert_eq!(fs::read(&moved).unwrap(), b"one\ntwo\n");
        assert_eq!(fs::read(&path).unwrap(), b"three\n");
        fs::remove_file(&path).unwrap();
        fs::remove_file(&moved).unwrap();
    }

    #[test]
    fn a_logfile_that_cannot_be_opened_is_an_error() {
        let path = Path::new("/nonexistent-directory/ringwell.log");
        let error = start(LogLevel::Notice, Some(path)).unwrap_err().to_string();
        assert!(error.contains("/nonexistent-directory/ringwell.log"), "{error}");
    }
}
