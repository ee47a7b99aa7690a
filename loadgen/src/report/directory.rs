//! All files of `-o DIR`, or none: they are written beside it and moved there when they are whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::hdr_files::{write_interval_log, write_percentiles};
use super::run_file::RunFile;
use super::series::write_csv;
use super::{Report, html};
use crate::failure::Failure;

const FILES: [&str; 6] =
    ["run.json", "series.csv", "response.hgrm", "service.hgrm", "intervals.hlog", "report.html"];

/// Whether [`write_directory`] could write there, to be asked before the run rather than after it.
///
/// # Errors
/// If `directory` holds anything but an earlier report, or cannot be made.
pub fn check_directory(directory: &Path) -> Result<(), Failure> {
    let shown = directory.display();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let beside = temporary(directory);
            return fs::create_dir_all(&beside)
                .and_then(|()| fs::remove_dir(&beside))
                .map_err(|error| cannot_write(directory, &error));
        }
        Err(error) => {
            return Err(Failure::run(format!(
                "cannot use {shown} for the report: {error}; choose another directory with -o"
            )));
        }
    };
    let stranger = entries.flatten().find(|e| FILES.iter().all(|file| e.file_name() != *file));
    match stranger {
        None => Ok(()),
        Some(entry) => Err(Failure::usage(format!(
            "{shown} holds {}, which is no part of a report, and a report replaces its directory; \
             choose another with -o",
            Path::new(&entry.file_name()).display(),
        ))),
    }
}

/// Writes all files of a report to `directory`, in place of an earlier report if there is one.
///
/// # Errors
/// As of [`check_directory`], and if the disk is full; nothing is left behind then.
pub fn write_directory(directory: &Path, report: &Report) -> Result<(), Failure> {
    check_directory(directory)?;
    let beside = temporary(directory);
    let written = write_files(&beside, report).and_then(|()| replace(directory, &beside));
    written.map_err(|error| {
        // What failed above is the message; that this fails too adds nothing.
        let _ = fs::remove_dir_all(&beside);
        cannot_write(directory, &error)
    })
}

fn cannot_write(directory: &Path, error: &io::Error) -> Failure {
    Failure::run(format!(
        "cannot write the report to {}: {error}; choose another directory with -o",
        directory.display()
    ))
}

fn write_files(directory: &Path, report: &Report) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let run = RunFile::new(report);
    let recording = &report.outcome.recording;
    let total = recording.total();
    let [json, csv, response, service, log, page] = FILES.map(|file| directory.join(file));
    write(&json, |out| {
        serde_json::to_writer_pretty(&mut *out, &run)?;
        writeln!(out)
    })?;
    write(&csv, |out| write_csv(out, &run.results.series))?;
    write(&response, |out| write_percentiles(out, &total.response))?;
    write(&service, |out| write_percentiles(out, &total.service))?;
    write(&log, |out| write_interval_log(out, report.outcome.started, recording.seconds()))?;
    write(&page, |out| out.write_all(html::page(report).as_bytes()))
}

fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    fill(&mut out)?;
    out.into_inner()?.sync_data()
}

/// Moves `new` to `directory`. Between the two moves an earlier report is at its temporary name.
fn replace(directory: &Path, new: &Path) -> io::Result<()> {
    let old = temporary(directory).with_extension("old");
    match fs::rename(directory, &old) {
        Ok(()) => {
            if let Err(error) = fs::rename(new, directory) {
                fs::rename(&old, directory)?;
                return Err(error);
            }
            fs::remove_dir_all(&old)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(new, directory),
        Err(error) => Err(error),
    }
}

/// On the same file system, so that it can be renamed; of this process alone.
fn temporary(directory: &Path) -> PathBuf {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    directory.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample_run::{environment, open_plan, outcome};
    use crate::verdict::judge;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("loadgen-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write_sample(directory: &Path) -> Result<(), Failure> {
        let plan = open_plan();
        let outcome = outcome(&plan);
        let (verdict, environment) = (judge(&plan, &outcome), environment());
        let report = Report {
            plan: &plan,
            outcome: &outcome,
            verdict: &verdict,
            environment: &environment,
            knee: None,
        };
        write_directory(directory, &report)
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_report_is_whole_and_replaces_an_earlier_one() {
        let scratch = Scratch::new("whole");
        let directory = scratch.0.join("deep/report");
        write_sample(&directory).unwrap();
        fs::write(directory.join("series.csv"), "stale").unwrap();
        write_sample(&directory).unwrap();
        let mut expected = FILES.map(String::from);
        expected.sort();
        assert_eq!(names(&directory), expected);
        assert!(fs::read_to_string(directory.join("series.csv")).unwrap().starts_with("second,"));
        assert_eq!(names(directory.parent().unwrap()), ["report"], "nothing is left beside it");
        assert!(RunFile::read(&directory).is_ok());
    }

    #[test]
    fn other_files_are_never_replaced() {
        let scratch = Scratch::new("strangers");
        fs::write(scratch.0.join("thesis.tex"), "years of work").unwrap();
        let failure = write_sample(&scratch.0).unwrap_err();
        assert!(failure.message.contains("holds thesis.tex"), "{failure}");
        assert_eq!(names(&scratch.0), ["thesis.tex"]);
        let file = scratch.0.join("thesis.tex");
        assert!(write_sample(&file).unwrap_err().message.contains("cannot use"));
        assert!(write_sample(&file.join("below")).unwrap_err().message.contains("cannot"));
    }

    #[test]
    fn relative_and_trailing_names_work() {
        assert_eq!(temporary(Path::new("out")).parent(), Some(Path::new("")));
        assert_eq!(temporary(Path::new("out/")), temporary(Path::new("out")));
    }
}
