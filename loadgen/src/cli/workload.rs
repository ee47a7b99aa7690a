//! What is sent.

use clap::Args;

use super::{contradiction, parse};
use crate::failure::Failure;
use crate::plan::{
    CommandSpec, Distribution, KeySpace, OnMiss, SecondsRange, ValueSizes, Workload,
};

const DEFAULT_MIX: &str = "get=90,set=10";
const DEFAULT_VALUE_BYTES: usize = 64;

/// Options of a workload; shared by run, compare and knee.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Workload")]
pub struct WorkloadArgs {
    /// Commands by name with their weights; a name that is unknown lists all [default:
    /// get=90,set=10]
    #[arg(long, value_name = "NAME=WEIGHT,...", value_parser = parse::mix)]
    pub mix: Option<parse::Mix>,
    /// Any command, with __key__, __rand__ and __value__ in its words; several with weights:
    /// 'ZADD z __rand__ __key__@3'
    #[arg(long = "cmd", value_name = "COMMAND[@WEIGHT]")]
    pub commands: Vec<String>,
    /// Weights of the --cmd before, in order; then an @ in a command is just an @
    #[arg(long = "cmd-weight", value_name = "WEIGHT", value_parser = parse::weight_of)]
    pub command_weights: Vec<f64>,
    /// How many keys there are [default: 100k]
    #[arg(long, value_name = "COUNT", value_parser = parse::count)]
    pub keys: Option<u64>,
    /// Which keys are chosen: uniform, zipf:EXPONENT, gaussian:DEVIATION (a fraction of the keys),
    /// hotspot:KEYS/REQUESTS (fractions), sequential [default: uniform]
    #[arg(long, value_name = "DISTRIBUTION", value_parser = parse::distribution)]
    pub key_dist: Option<Distribution>,
    /// What keys begin with; 12 digits follow
    #[arg(long, value_name = "TEXT", default_value = "key:")]
    pub key_prefix: String,
    /// Sizes of values in bytes (k is 1024): 64, 64-4096, or with weights 64:0.8,4096:0.2
    /// [default: 64]
    #[arg(short = 'd', long, value_name = "SIZES", value_parser = parse::value_sizes)]
    pub value_size: Option<ValueSizes>,
    /// A TTL for every SET, seconds or a range of them: 10s-60s
    #[arg(long, value_name = "TIME", value_parser = parse::ttl)]
    pub ttl: Option<SecondsRange>,
    /// Fill misses of GET as an application would, after the time it takes to get the value
    /// elsewhere: set,delay=2ms
    #[arg(long, value_name = "set[,delay=TIME]", value_parser = parse::on_miss)]
    pub on_miss: Option<OnMiss>,
    /// SET every key once before the run, so that reads find something
    #[arg(long)]
    pub preload: bool,
    /// Write values that describe themselves (at least 32 bytes) and check every value that is
    /// read: wrong, torn, stale
    #[arg(long)]
    pub verify: bool,
}

impl WorkloadArgs {
    /// # Errors
    /// A usage failure that names the two options that contradict each other.
    pub fn workload(&self) -> Result<Workload, Failure> {
        let workload = Workload {
            commands: self.commands()?,
            keys: KeySpace {
                prefix: self.key_prefix.clone(),
                count: self.keys.unwrap_or(100_000),
                distribution: self.key_dist.unwrap_or(Distribution::Uniform),
            },
            values: self.value_size.clone().unwrap_or(ValueSizes::Fixed(DEFAULT_VALUE_BYTES)),
            ttl: self.ttl,
            on_miss: self.on_miss,
            preload: self.preload,
        };
        self.contradictions(&workload)?;
        Ok(workload)
    }

    fn commands(&self) -> Result<Vec<CommandSpec>, Failure> {
        if self.commands.is_empty() {
            if !self.command_weights.is_empty() {
                return Err(Failure::usage("--cmd-weight is given without a --cmd"));
            }
            return match &self.mix {
                Some(mix) => Ok(mix.0.clone()),
                None => parse::mix(DEFAULT_MIX).map(|mix| mix.0).map_err(Failure::usage),
            };
        }
        if self.mix.is_some() {
            return Err(contradiction(
                "--mix",
                "--cmd",
                "both say what is sent; write the commands of the mix as --cmd 'GET __key__@90'",
            ));
        }
        let weights = &self.command_weights;
        if !weights.is_empty() && weights.len() != self.commands.len() {
            return Err(contradiction(
                &format!("{} of --cmd", self.commands.len()),
                &format!("{} of --cmd-weight", weights.len()),
                "give every command a weight, or none",
            ));
        }
        let commands = self.commands.iter().enumerate().map(|(i, text)| match weights.get(i) {
            Some(weight) => parse::command(text, *weight),
            None => parse::weighted_command(text),
        });
        commands
            .collect::<Result<_, _>>()
            .map_err(|message| Failure::usage(format!("--cmd: {message}")))
    }

    fn contradictions(&self, workload: &Workload) -> Result<(), Failure> {
        let any = |word: &str| {
            workload.commands.iter().any(|c| c.template.iter().any(|w| w.contains(word)))
        };
        let what = if self.commands.is_empty() { "--mix" } else { "--cmd" };
        if self.verify && !self.commands.is_empty() {
            return Err(contradiction(
                "--verify",
                "--cmd",
                "what any command does to a value cannot be followed; use --mix with get and set",
            ));
        }
        if self.on_miss.is_some() && !workload.has_fillable_reads() {
            return Err(contradiction(
                "--on-miss",
                what,
                "no command reads what a SET could fill; add get, or --cmd 'GET __key__'",
            ));
        }
        let fills = self.preload || self.on_miss.is_some();
        if self.key_dist.is_some() && !any("__key__") {
            return Err(contradiction("--key-dist", what, "no command has a __key__"));
        }
        if self.keys.is_some() && !any("__key__") && !any("__rand") && !fills {
            return Err(contradiction("--keys", what, "no command has a __key__ or __rand__"));
        }
        if self.value_size.is_some() && !any("__value__") && !fills {
            return Err(contradiction("--value-size", what, "no command has a __value__"));
        }
        if self.ttl.is_some() && !workload.has_sets() && !fills {
            return Err(contradiction("--ttl", what, "a TTL is given to SET, and there is none"));
        }
        Ok(())
    }
}
