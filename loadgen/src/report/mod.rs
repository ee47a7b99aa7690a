//! What a run's results look like: on the terminal and in files.
//!
//! | file | what it writes |
//! |---|---|
//! | `table` | the table at the end of a run |
//! | `compare` | the table of two servers side by side |
//! | `directory` | all files of `-o DIR`, or none |
//! | `run_file` | `run.json`, and reads it back |
//! | `series` | `series.csv` |
//! | `hdr_files` | `response.hgrm`, `service.hgrm`, `intervals.hlog` |
//! | `html` | `report.html` |
//! | `units`, `columns`, `describe` | numbers, tables and plans as people read them |

mod columns;
mod compare;
mod describe;
mod directory;
mod environment;
mod hdr_files;
mod html;
mod knee;
mod run_file;
#[cfg(test)]
pub(crate) mod sample_run;
mod series;
mod table;
pub mod units;

use crate::exec::Outcome;
use crate::plan::Plan;
use crate::verdict::Verdict;

pub use columns::Columns;
pub use compare::{Comparison, ComparisonRow, Finding, Measure, compare_table};
pub use describe::{describe, endpoint};
pub use directory::{check_directory, write_directory};
pub use environment::{Environment, ServerIdentity};
pub use hdr_files::{decode, encode};
pub use html::knee_html;
pub use knee::{Knee, KneePoint};
pub use run_file::{CommandResult, FORMAT_VERSION, Latency, Results, RunFile};
pub use series::SeriesRow;
pub use table::print_table;

/// Everything that the files of a report are made of.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub plan: &'a Plan,
    pub outcome: &'a Outcome,
    pub verdict: &'a Verdict,
    pub environment: &'a Environment,
    /// Where the run is the best of a search.
    pub knee: Option<&'a Knee>,
}
