//! How answers and failures are printed.

use std::io::Write as _;

use std::path::PathBuf;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue};
use serde_json::Value;

use super::answer::answer;
use super::logging::start_logging;
use super::{Cli, command_name};
use crate::config::{self, Overrides};
use crate::error::{Error, Kind};
use crate::model::Clock;
use crate::notation::did_you_mean;
use crate::report::emf;
use crate::report::excerpt::excerpts;
use crate::report::json;
use crate::report::plain::plain_lines;
use crate::stop::Stop;

/// Runs a command, prints its answer, and gives its exit status.
pub async fn execute(cli: Cli) -> u8 {
    start_logging(cli.log_format);
    let (name, json, quiet) = (command_name(&cli.command), cli.json, cli.quiet);
    let (stop, summary) = (Stop::default(), cli.summary_line);
    let metrics = cli.metrics.map(|_| cli.config.clone());
    let answer = match stop.listen() {
        Ok(()) => stop.or_leave(Box::pin(answer(cli, &stop))).await,
        Err(error) => Err(error),
    };
    let (text, told, status) = match answer {
        Ok(answer) => {
            let brief = answer.brief.filter(|_| quiet);
            (brief.unwrap_or(answer.text), answer.json, answer.status)
        }
        Err(error) => {
            complain(&error);
            (String::new(), json::error(name, &error), error.kind().exit_status())
        }
    };
    let out = if json {
        document(told)
    } else {
        let mut out = text;
        if let Some(config) = metrics {
            out.push_str(&emf::line(&pipeline_of(&told, config), &told, status, Clock::System.now()));
        }
        if summary {
            out.push_str(&line(told));
        }
        out
    };
    // A reader that went away is no failure of the command.
    let _ = std::io::stdout().lock().write_all(out.as_bytes());
    status
}

/// Answers words that are no command line, `--help` and `--version`, and gives the exit status.
#[must_use]
pub fn refuse(words: &clap::Error, json: bool) -> u8 {
    let unknown = unknown_command(words);
    if unknown.is_none() && (!json || !words.use_stderr()) {
        // A reader that went away is no failure.
        let _ = words.print();
        return if words.use_stderr() { Kind::Usage.exit_status() } else { 0 };
    }
    let error = unknown.unwrap_or_else(|| {
        let text = words.render().to_string();
        Error::usage(text.trim().trim_start_matches("error: ").to_owned())
    });
    complain(&error);
    if json {
        let _ = std::io::stdout().lock().write_all(document(json::error("", &error)).as_bytes());
    }
    error.kind().exit_status()
}

/// A command that there is none of, with the one that was probably meant.
fn unknown_command(words: &clap::Error) -> Option<Error> {
    let Some(ContextValue::String(name)) = words.get(ContextKind::InvalidSubcommand) else { return None };
    let mut command = Cli::command();
    for word in std::env::args().skip(1).take_while(|word| word != name) {
        if let Some(inner) = command.find_subcommand(word) {
            command = inner.clone();
        }
    }
    let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let hint = did_you_mean(name, known.iter().copied());
    let hint = hint.unwrap_or_else(|| format!("the commands are {}", known.join(", ")));
    Some(Error::usage(format!("there is no command `{name}`")).hint(hint))
}

/// Answers a panic: a bug, told like any other failure.
#[must_use]
pub fn crashed(message: &str, json: bool) -> u8 {
    let error = Error::bug(format!("internal error: {message}"))
        .hint("this is a bug in highwater; running again is safe. Please report it");
    complain(&error);
    if json {
        let _ = std::io::stdout().lock().write_all(document(json::error("", &error)).as_bytes());
    }
    error.kind().exit_status()
}

/// Says on stderr what went wrong, and what to do.
fn complain(error: &Error) {
    let colour = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
    let word =
        |word: &str, style: Style| if colour { format!("{style}{word}{style:#}") } else { word.to_owned() };
    let red = AnsiColor::Red.on_default().bold();
    let mut text = match excerpts(&error.each(), colour) {
        Some(shown) => shown,
        None => format!("{} {}\n", word("error:", red), plain_lines(&error.chain())),
    };
    if let Some(hint) = error.hint_text() {
        text.push_str(&format!("{} {}\n", word("hint:", Style::new().bold()), plain_lines(hint)));
    }
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A document with its format, as it is printed.
fn document(document: Value) -> String {
    pretty(&json::with_format(document))
}

/// The pipeline's name, for its metrics; the file's where it cannot be understood. Only a failure does not tell it.
fn pipeline_of(told: &Value, config: Option<PathBuf>) -> String {
    if let Some(name) = told["pipeline"].as_str() {
        return name.to_owned();
    }
    let Some(path) = config else { return String::new() };
    let loaded = config::load(&path, &Overrides::from_process(Vec::new()));
    let name = loaded.ok().and_then(|loaded| loaded.pipeline).map(|pipeline| pipeline.name);
    name.unwrap_or_else(|| path.display().to_string())
}

/// The same in one line.
fn line(document: Value) -> String {
    format!("{}\n", json::with_format(document))
}

pub(super) fn pretty(document: &Value) -> String {
    format!("{document:#}\n")
}
