//! The flags of the log: [`LogArgs`].

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

/// The flags `--log` and `--log-format`.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// Least severe level to log to stderr: off, error, warn, info, debug or trace
    #[arg(long = "log", value_name = "LEVEL", default_value = "warn")]
    level: LevelFilter,
    /// Format of the log: text, or one JSON object per line
    #[arg(long = "log-format", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// The format of a line of the log: text for people, or one JSON object. The variants have no doc comments, so that
/// clap prints a short `--help`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl LogArgs {
    /// Installs the log for the whole process. With `--log-format json`, panics are logged too, so that every line on
    /// stderr is JSON.
    ///
    /// # Panics
    /// If the process already has a global `tracing` subscriber.
    pub fn init(&self) {
        let log = tracing_subscriber::fmt().with_max_level(self.level).with_writer(std::io::stderr);
        match self.format {
            Format::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
            Format::Json => {
                log.json().init();
                std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
            }
        }
    }
}
