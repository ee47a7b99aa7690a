//! What redis-benchmark prints, byte for byte where the figures allow.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The first line with `--csv`.
pub const CSV_HEADER: &str = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\
    \"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n";

/// What one test came to.
#[derive(Clone, Debug)]
pub struct Figures {
    pub title: String,
    pub elapsed: Duration,
    /// Response times in nanoseconds.
    pub latency: Histogram<u64>,
}

/// What the head of the full format says about how the test was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub clients: usize,
    pub payload_bytes: usize,
    pub keep_alive: bool,
    /// 0: not multi-threaded.
    pub threads: usize,
    pub servers: Servers,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// `None` where CONFIG GET was refused.
    One(Option<ServerConfig>),
    Cluster(Vec<Option<ServerConfig>>),
}

/// Of CONFIG GET: what makes a server slower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    pub save: String,
    pub appendonly: String,
}

impl Figures {
    fn requests_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.latency.len() as f64 / seconds } else { 0.0 }
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        milliseconds(self.latency.value_at_quantile(quantile))
    }

    /// avg, min, p50, p95, p99, max.
    fn summary_ms(&self) -> [f64; 6] {
        [
            self.latency.mean() / 1e6,
            milliseconds(self.latency.min()),
            self.quantile_ms(0.5),
            self.quantile_ms(0.95),
            self.quantile_ms(0.99),
            milliseconds(self.latency.max()),
        ]
    }

    /// With `-q`.
    pub fn quiet(&self) -> String {
        format!(
            "{}: {:.2} requests per second, p50={:.3} msec\n",
            self.title,
            self.requests_per_second(),
            self.quantile_ms(0.5)
        )
    }

    /// With `--csv`.
    pub fn csv(&self) -> String {
        let title = self.title.replace('"', "\"\"");
        let mut line = format!("\"{title}\",\"{:.2}\"", self.requests_per_second());
        for figure in self.summary_ms() {
            let _ = write!(line, ",\"{figure:.3}\"");
        }
        line + "\n"
    }

    pub fn full(&self, setting: &Setting) -> String {
        let mut out = self.head(setting);
        out += "\nLatency by percentile distribution:\n";
        self.by_percentile(&mut out);
        out += "\nCumulative distribution of latencies:\n";
        self.cumulative(&mut out);
        out += "\nSummary:\n";
        let _ = writeln!(
            out,
            "  throughput summary: {:.2} requests per second",
            self.requests_per_second()
        );
        out += "  latency summary (msec):\n   ";
        for name in ["avg", "min", "p50", "p95", "p99", "max"] {
            let _ = write!(out, " {name:>9}");
        }
        out += "\n   ";
        for figure in self.summary_ms() {
            let _ = write!(out, " {figure:>9.3}");
        }
        out + "\n"
    }

    fn head(&self, setting: &Setting) -> String {
        let mut out = format!("====== {} ======\n", self.title);
        let _ = writeln!(
            out,
            "  {} requests completed in {:.2} seconds",
            self.latency.len(),
            self.elapsed.as_secs_f64()
        );
        let _ = writeln!(out, "  {} parallel clients", setting.clients);
        let _ = writeln!(out, "  {} bytes payload", setting.payload_bytes);
        let _ = writeln!(out, "  keep alive: {}", u8::from(setting.keep_alive));
        match &setting.servers {
            Servers::One(None) => {}
            Servers::One(Some(config)) => {
                let _ = writeln!(out, "  host configuration \"save\": {}", config.save);
                let _ = writeln!(out, "  host configuration \"appendonly\": {}", config.appendonly);
            }
            Servers::Cluster(nodes) => {
                let _ = writeln!(out, "  cluster mode: yes ({} masters)", nodes.len());
                for (index, config) in nodes.iter().enumerate() {
                    let Some(config) = config else { continue };
                    let save = if config.save.is_empty() { "NONE" } else { &config.save };
                    let _ = writeln!(out, "  node [{index}] configuration:");
                    let _ = writeln!(out, "    save: {save}");
                    let _ = writeln!(out, "    appendonly: {}", config.appendonly);
                }
            }
        }
        match setting.threads {
            0 => out += "  multi-thread: no\n",
            threads => {
                let _ = writeln!(out, "  multi-thread: yes\n  threads: {threads}");
            }
        }
        out
    }

    /// Halves what remains at every line.
    fn by_percentile(&self, out: &mut String) {
        let mut cumulative = 0;
        for step in self.latency.iter_quantiles(1) {
            cumulative += step.count_since_last_iteration();
            let value = step.value_iterated_to();
            line(out, step.quantile_iterated_to() * 100.0, milliseconds(value), cumulative);
        }
    }

    /// At the bounds that redis-benchmark prints, so that two outputs can be laid side by side:
    /// every 100 µs to 2.1 ms, then every millisecond; after the first only where something adds.
    fn cumulative(&self, out: &mut String) {
        let total = self.latency.len();
        if total == 0 {
            return;
        }
        let mut print = |bound_us: u64, count: u64| {
            let percent = count as f64 / total as f64 * 100.0;
            line(out, percent, milliseconds(bound_us * 1_000), count);
        };
        let (mut bound_us, mut count) = (highest_equivalent_us(FIRST_BOUND_US), 0);
        for step in self.latency.iter_recorded() {
            let next_us = bound_of(step.value_iterated_to());
            if next_us != bound_us {
                print(bound_us, count);
                bound_us = next_us;
            }
            count += step.count_since_last_iteration();
        }
        print(bound_us, count);
    }
}

const FIRST_BOUND_US: u64 = 100;
const LAST_FINE_BOUND_US: u64 = 2_100;

/// The first of the bounds that the value is not above.
fn bound_of(ns: u64) -> u64 {
    let us = ns.div_ceil(1_000);
    let (first, step) = if us <= highest_equivalent_us(LAST_FINE_BOUND_US) {
        (FIRST_BOUND_US, 100)
    } else {
        (LAST_FINE_BOUND_US, 1_000)
    };
    let below = first + us.saturating_sub(first) / step * step;
    let bound_us = highest_equivalent_us(below);
    if us <= bound_us { bound_us } else { highest_equivalent_us(below + step) }
}

fn line(out: &mut String, percent: f64, ms: f64, count: u64) {
    let _ = writeln!(out, "{percent:.3}% <= {ms:.3} milliseconds (cumulative count {count})");
}

fn milliseconds(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// The end of the bucket that `us` lies in, in redis-benchmark's histogram: three digits, from
/// 10 µs on, so 2048 buckets of 8 µs and then 1024 of each power of two.
fn highest_equivalent_us(us: u64) -> u64 {
    let mut bucket_us = 8;
    while us / bucket_us >= 2_048 {
        bucket_us *= 2;
    }
    (us / bucket_us + 1) * bucket_us - 1
}

/// The line that redis-benchmark keeps rewriting while a test runs.
#[derive(Debug, Default)]
pub struct LiveLine {
    printed: usize,
}

impl LiveLine {
    /// `rps` and `mean_ms` of the last while, and of all of the test.
    pub fn update(&mut self, title: &str, rps: [f64; 2], mean_ms: [f64; 2]) -> String {
        let line = format!(
            "{title}: rps={:.1} (overall: {:.1}) avg_msec={:.3} (overall: {:.3})\r",
            rps[0], rps[1], mean_ms[0], mean_ms[1]
        );
        let out = self.erase() + &line;
        self.printed = line.len();
        out
    }

    /// Overwrites what stands there with blanks: at least one, as `%*s` with a blank makes.
    pub fn erase(&mut self) -> String {
        let width = std::mem::take(&mut self.printed).max(1);
        format!("{:width$}\r", "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::new_histogram;

    fn figures(samples_us: &[(u64, u64)]) -> Figures {
        let mut latency = new_histogram();
        for &(us, count) in samples_us {
            latency.record_n(us * 1_000, count).expect("in range");
        }
        Figures { title: "GET".to_owned(), elapsed: Duration::from_millis(500), latency }
    }

    fn setting(servers: Servers, threads: usize) -> Setting {
        Setting { clients: 10, payload_bytes: 3, keep_alive: true, threads, servers }
    }

    #[test]
    fn quiet_and_csv() {
        let figures = figures(&[(50, 600), (100, 400)]);
        assert_eq!(figures.quiet(), "GET: 2000.00 requests per second, p50=0.050 msec\n");
        assert_eq!(
            figures.csv(),
            "\"GET\",\"2000.00\",\"0.070\",\"0.050\",\"0.050\",\"0.100\",\"0.100\",\"0.100\"\n"
        );
        assert_eq!(CSV_HEADER.matches(',').count(), figures.csv().matches(',').count());
    }

    #[test]
    fn a_title_with_quotes_stays_one_csv_field() {
        let figures = Figures { title: "ECHO \"a\"".to_owned(), ..figures(&[(50, 1)]) };
        assert!(figures.csv().starts_with("\"ECHO \"\"a\"\"\","));
    }

    #[test]
    fn the_full_format_line_by_line() {
        let config = ServerConfig { save: "3600 1".to_owned(), appendonly: "no".to_owned() };
        let figures = figures(&[(50, 600), (150, 300), (2_050, 50), (3_500, 49), (9_000, 1)]);
        let expected = "\
====== GET ======
  1000 requests completed in 0.50 seconds
  10 parallel clients
  3 bytes payload
  keep alive: 1
  host configuration \"save\": 3600 1
  host configuration \"appendonly\": no
  multi-thread: no

Latency by percentile distribution:
0.000% <= 0.050 milliseconds (cumulative count 600)
50.000% <= 0.050 milliseconds (cumulative count 600)
75.000% <= 0.150 milliseconds (cumulative count 900)
87.500% <= 0.150 milliseconds (cumulative count 900)
93.750% <= 2.050 milliseconds (cumulative count 950)
96.875% <= 3.500 milliseconds (cumulative count 999)
98.438% <= 3.500 milliseconds (cumulative count 999)
99.219% <= 3.500 milliseconds (cumulative count 999)
99.609% <= 3.500 milliseconds (cumulative count 999)
99.805% <= 3.500 milliseconds (cumulative count 999)
99.902% <= 9.003 milliseconds (cumulative count 1000)
100.000% <= 9.003 milliseconds (cumulative count 1000)

Cumulative distribution of latencies:
60.000% <= 0.103 milliseconds (cumulative count 600)
90.000% <= 0.207 milliseconds (cumulative count 900)
95.000% <= 2.103 milliseconds (cumulative count 950)
99.900% <= 4.103 milliseconds (cumulative count 999)
100.000% <= 9.103 milliseconds (cumulative count 1000)

Summary:
  throughput summary: 2000.00 requests per second
  latency summary (msec):
          avg       min       p50       p95       p99       max
        0.358     0.050     0.050     2.050     3.500     9.003
";
        let printed = figures.full(&setting(Servers::One(Some(config)), 0));
        for (printed, expected) in printed.lines().zip(expected.lines()) {
            assert_eq!(printed, expected);
        }
        assert_eq!(printed, expected);
    }

    #[test]
    fn the_head_names_threads_and_the_nodes_of_a_cluster() {
        let config = ServerConfig { save: String::new(), appendonly: "yes".to_owned() };
        let nodes = Servers::Cluster(vec![None, Some(config)]);
        let full = figures(&[(50, 1)]).full(&setting(nodes, 3));
        let expected = "  keep alive: 1\n  cluster mode: yes (2 masters)\n  \
            node [1] configuration:\n    save: NONE\n    appendonly: yes\n  \
            multi-thread: yes\n  threads: 3\n\nLatency";
        assert!(full.contains(expected), "{full}");
    }

    #[test]
    fn long_stalls_do_not_make_long_loops() {
        let slow = figures(&[(50, 10), (3_000_000_000, 1)]);
        let mut out = String::new();
        slow.cumulative(&mut out);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 2, "{out}");
        assert!(lines[1].starts_with("100.000% <= 300"), "{out}");
        let mut out = String::new();
        figures(&[]).cumulative(&mut out);
        assert_eq!(out, "");
    }

    #[test]
    fn the_first_bound_is_printed_even_if_nothing_is_below() {
        let mut out = String::new();
        figures(&[(250, 4)]).cumulative(&mut out);
        assert_eq!(
            out,
            "0.000% <= 0.103 milliseconds (cumulative count 0)\n\
             100.000% <= 0.303 milliseconds (cumulative count 4)\n"
        );
    }

    #[test]
    fn bounds_are_those_of_redis_benchmark() {
        for (us, bound) in [(100, 103), (200, 207), (2_100, 2_103), (18_100, 18_111)] {
            assert_eq!(highest_equivalent_us(us), bound);
            assert_eq!(bound_of(bound * 1_000), bound);
            assert_eq!(bound_of(us * 1_000), bound);
        }
    }

    #[test]
    fn the_live_line_erases_itself() {
        let mut live = LiveLine::default();
        let first = live.update("GET", [1.0, 2.0], [0.5, 0.25]);
        let line = "GET: rps=1.0 (overall: 2.0) avg_msec=0.500 (overall: 0.250)\r";
        assert_eq!(first, format!(" \r{line}"));
        assert_eq!(live.erase(), format!("{}\r", " ".repeat(line.len())));
        assert_eq!(live.erase(), " \r");
    }
}
