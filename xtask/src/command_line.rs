//! The command line: [`Arguments`].

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand, ValueEnum};

use crate::parts::Length;
use crate::parts::plan::{Order, Preparation};
use crate::{nodes, parts};

/// This project's own commands
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_version_flag = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the tests, and install what they need
    Test(Test),
    /// Run the benchmarks beside their peers; `bench --help` lists the measurements
    #[command(disable_help_flag = true)]
    Bench {
        /// The name of a measurement and its own arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Fuzz for long, and continue from the inputs that earlier runs found
    Fuzz(parts::fuzz::Arguments),
    /// Run more seeds of the simulation, on all cores; `sim --help` lists its arguments
    #[command(disable_help_flag = true)]
    Sim {
        /// The simulation's own arguments: --seeds N, --from F, --seed S, --bug NAME
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run a cluster of chat rooms on this machine, to try it
    Nodes(nodes::Arguments),
    /// Print what the sources have beyond the rules on structure, with what is allowed
    Structure,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// The parts to run; they run in the order of --list. Without a name, all parts run
    #[arg(value_parser = PossibleValuesParser::new(parts::names()), hide_possible_values = true)]
    parts: Vec<String>,
    /// Print the name of each part and what it checks, one part per line
    #[arg(long)]
    list: bool,
    /// Run for hours instead of minutes: 200,000 seeds of the simulation, 1,000 kills, 10 minutes of fuzzing per target, 10,000
    /// inputs per property test, and the parts that otherwise run only by name
    #[arg(long)]
    all: bool,
    /// Write how the parts ended to this file, for the process that started this one
    #[arg(long, hide = true)]
    report: Option<PathBuf>,
    #[arg(long, hide = true, value_enum, default_value = "included")]
    preparation: PreparationArgument,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PreparationArgument {
    Included,
    Only,
    Done,
}

impl Test {
    /// Whether the parts are only listed.
    pub(crate) fn is_list(&self) -> bool {
        self.list
    }

    /// What is to be run.
    pub(crate) fn order(self) -> Order {
        Order {
            parts: self.parts,
            length: if self.all { Length::Long } else { Length::Normal },
            report: self.report,
            preparation: match self.preparation {
                PreparationArgument::Included => Preparation::Included,
                PreparationArgument::Only => Preparation::Only,
                PreparationArgument::Done => Preparation::Done,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words = std::iter::once("xtask").chain(line.split_whitespace());
        Arguments::try_parse_from(words).map(|arguments| arguments.command).map_err(|error| error.to_string())
    }

    fn order(line: &str) -> Order {
        match parse(line) {
            Ok(Command::Test(test)) => test.order(),
            other => panic!("`{line}` is {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn parts_are_named_and_may_run_for_long() {
        assert_eq!(order("test").parts, [""; 0]);
        assert_eq!(order("test").length, Length::Normal);
        assert_eq!(order("test unit fmt").parts, ["unit", "fmt"]);
        assert_eq!(order("test --all sim").length, Length::Long);
        assert_eq!(order("test --preparation done sim").preparation, Preparation::Done);
    }

    #[test]
    fn an_unknown_part_is_refused_and_the_known_ones_named() {
        let reason = parse("test fmt tpyo").unwrap_err();
        assert!(reason.contains("tpyo") && reason.contains("autobahn"), "{reason}");
        assert!(parse("tset").is_err() && parse("").is_err());
    }

    #[test]
    fn a_bench_and_the_simulation_keep_their_arguments() {
        let Ok(Command::Bench { arguments }) = parse("bench relay --sockets 500") else { panic!("a bench") };
        assert_eq!(arguments, ["relay", "--sockets", "500"]);
        let Ok(Command::Bench { arguments }) = parse("bench --quick --help") else { panic!("a bench") };
        assert_eq!(arguments, ["--quick", "--help"]);
        let Ok(Command::Sim { arguments }) = parse("sim --help") else { panic!("a simulation") };
        assert_eq!(arguments, ["--help"]);
    }

    #[test]
    fn fuzzing_and_nodes_have_defaults_and_limits() {
        assert!(parse("fuzz engine --seconds 5 --keep").is_ok() && parse("fuzz").is_ok());
        for wrong in ["fuzz engines", "fuzz engine codec", "fuzz --seconds 0", "nodes --nodes 0", "nodes --nodes many"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("nodes --nodes 5 --servers 1").is_ok() && parse("nodes").is_ok());
    }
}
