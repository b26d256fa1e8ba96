//! The project's own commands: `cargo xtask test` is the gate for people and CI alike, `cargo xtask bench` measures.
//!
//! Reading order: `main` (arguments), `parts` (the tables of what there is to run), `step` (one command: shown, timed,
//! limited), `server` (a process that must not outlive us), `install` (what a bare machine lacks), `toolchain` and `debian`
//! (what builds for wasm), `workspace` (what cargo knows of us), then one module for each part that is more than a cargo
//! command: `checks`, `layers`, `sources`, `deny`, `wasm`, `sim`, `faults`, `autobahn`, `browser`, `cluster`, `fuzz`, `workers` with
//! `bundle`, and `bench` with `cluster_bench`; `nodes` runs a cluster to look at.
//!
//! A new part is one entry in the table of `parts` and one module.

mod autobahn;
mod bench;
mod browser;
mod bundle;
mod checks;
mod cluster;
mod cluster_bench;
mod debian;
mod deny;
mod faults;
mod fuzz;
mod install;
mod layers;
mod nodes;
mod parts;
mod server;
mod sim;
mod sources;
mod step;
mod structure;
mod toolchain;
mod wasm;
mod workers;
mod workspace;

use std::process::ExitCode;

use crate::parts::{BENCHES, Bench, PARTS, Part};
use crate::workspace::Workspace;

/// What the command line asks for.
enum Request {
    /// Print how to use this.
    Help,
    /// Print the parts of the test command.
    List,
    /// Run these parts, in the order of the table.
    Test(Vec<&'static Part>),
    /// Run this measurement with the arguments that follow its name.
    Bench(&'static Bench, Vec<String>),
    /// Fuzz for long.
    Fuzz(fuzz::Options),
    /// Run the simulation with these arguments.
    Sim(Vec<String>),
    /// Run a cluster of chat rooms to look at.
    Nodes(nodes::Options),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["structure"] {
        structure::report(&Workspace::find().unwrap().root).unwrap();
        return ExitCode::SUCCESS;
    }
    let request = match parse(&arguments) {
        Ok(request) => request,
        Err(reason) => {
            eprintln!("xtask: {reason}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    match answer(request) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; false when a part failed.
fn answer(request: Request) -> anyhow::Result<bool> {
    match request {
        Request::Help => println!("{}", usage()),
        Request::List => PARTS.iter().for_each(|part| println!("{:<12} {}", part.name, part.about)),
        Request::Test(chosen) => return Ok(parts::run(&chosen, &Workspace::find()?)),
        Request::Bench(bench, arguments) => (bench.run)(&Workspace::find()?, &arguments)?,
        Request::Fuzz(options) => fuzz::long(&Workspace::find()?, &options)?,
        Request::Sim(arguments) => sim::long(&Workspace::find()?, &arguments)?,
        Request::Nodes(options) => nodes::run(&Workspace::find()?, options)?,
    }
    Ok(true)
}

/// Reads the command line; the error is one line that says what is wrong with it.
fn parse(arguments: &[String]) -> Result<Request, String> {
    let (command, rest) = arguments.split_first().ok_or("which command?")?;
    match command.as_str() {
        "help" | "--help" | "-h" => Ok(Request::Help),
        "test" => parse_test(rest),
        "bench" => parse_bench(rest),
        "fuzz" => fuzz::Options::parse(rest).map(Request::Fuzz),
        "sim" => Ok(Request::Sim(rest.to_vec())),
        "nodes" => nodes::Options::parse(rest).map(Request::Nodes),
        other => Err(format!("there is no command `{other}`")),
    }
}

fn parse_test(arguments: &[String]) -> Result<Request, String> {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(Request::Help);
    }
    if arguments.iter().any(|argument| argument == "--list") {
        return Ok(Request::List);
    }
    if let Some(unknown) = arguments.iter().find(|&argument| PARTS.iter().all(|part| part.name != argument)) {
        return Err(format!("there is no part `{unknown}`; there are: {}", names(PARTS.iter().map(|part| part.name))));
    }
    let wanted = |part: &&Part| {
        let named = arguments.iter().any(|argument| argument == part.name);
        named || arguments.is_empty()
    };
    Ok(Request::Test(PARTS.iter().filter(wanted).collect()))
}

fn parse_bench(arguments: &[String]) -> Result<Request, String> {
    // Flags without a name are the first one's.
    let Some((name, rest)) = arguments.split_first().filter(|(name, _)| !name.starts_with('-')) else {
        return Ok(Request::Bench(&BENCHES[0], arguments.to_vec()));
    };
    let known = names(BENCHES.iter().map(|bench| bench.name));
    let found = BENCHES.iter().find(|bench| bench.name == name);
    let bench = found.ok_or_else(|| format!("there is no measurement `{name}`; there are: {known}"))?;
    Ok(Request::Bench(bench, rest.to_vec()))
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    all.collect::<Vec<_>>().join(", ")
}

fn usage() -> String {
    let mut text = String::from(
        "cargo xtask test [PART..]       run every part of the tests, or those named\n\
         cargo xtask test --list         name the parts\n\
         cargo xtask bench [NAME] [ARG..]  measure: --quick, --only SCENARIO, --resume, --render, --list, --help\n\
         cargo xtask fuzz [TARGET]       look long for inputs that break something: --seconds N each target, --keep\n\
         cargo xtask sim [ARG..]         run the simulation: --seeds N, --from F, --seed S, --bug NAME, --help\n\
         cargo xtask nodes [ARG..]       run a cluster of the chat room here, to look at: --nodes N, --servers N\n\
         cargo xtask help                this text\n\nParts:\n",
    );
    PARTS.iter().for_each(|part| text.push_str(&format!("  {:<12} {}\n", part.name, part.about)));
    text.push_str("\nMeasurements:\n");
    BENCHES.iter().for_each(|bench| text.push_str(&format!("  {:<12} {}\n", bench.name, bench.about)));
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(line: &str) -> Result<Request, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn chosen(line: &str) -> Vec<&'static str> {
        match parse_words(line) {
            Ok(Request::Test(parts)) => parts.iter().map(|part| part.name).collect(),
            _ => panic!("`{line}` should choose parts"),
        }
    }

    #[test]
    fn no_part_named_means_every_part() {
        assert_eq!(chosen("test").len(), PARTS.len());
        assert_eq!(chosen("test faults"), ["faults"]);
    }

    #[test]
    fn parts_run_once_each_in_the_order_of_the_table() {
        assert_eq!(chosen("test unit fmt unit"), ["fmt", "unit"]);
    }

    #[test]
    fn an_unknown_part_is_refused_and_the_known_ones_named() {
        let reason = parse_words("test fmt tpyo").err().unwrap();
        assert!(reason.contains("`tpyo`") && reason.contains("autobahn"), "{reason}");
    }

    #[test]
    fn an_unknown_or_missing_command_is_refused() {
        assert!(parse_words("tset").is_err());
        assert!(parse_words("").is_err());
        assert!(parse_words("bench nothing").is_err());
    }

    #[test]
    fn a_bench_keeps_its_arguments() {
        let Ok(Request::Bench(bench, arguments)) = parse_words("bench relay --sockets 500") else { panic!("a bench") };
        assert_eq!(bench.name, "relay");
        assert_eq!(arguments, ["--sockets", "500"]);
    }

    #[test]
    fn without_a_name_all_is_measured() {
        for (line, expected) in [("bench", vec![]), ("bench --quick --only one", vec!["--quick", "--only", "one"])] {
            let Ok(Request::Bench(bench, arguments)) = parse_words(line) else { panic!("a bench") };
            assert_eq!((bench.name, arguments), ("all", expected.iter().map(ToString::to_string).collect()));
        }
    }

    #[test]
    fn help_and_list_win_over_part_names() {
        assert!(matches!(parse_words("test --list nonsense"), Ok(Request::List)));
        assert!(matches!(parse_words("test --help"), Ok(Request::Help)));
        assert!(matches!(parse_words("help"), Ok(Request::Help)));
    }
}
