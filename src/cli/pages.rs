//! What the program says of itself: schemas, completions, manual pages.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use serde_json::json;

use super::Cli;
use super::answer::Answer;
use super::print::pretty;
use crate::error::{Error, Result};
use crate::notation::did_you_mean;
use crate::report::schema::{names, schema};

const PROGRAM: &str = "highwater";

/// The schema of a document, or the names of all.
pub(super) fn schema_page(name: &[String]) -> Result<Answer> {
    if name.is_empty() {
        let names = names();
        let document = json!({"command": "schema", "names": names});
        return Ok(Answer::new(format!("{}\n", names.join("\n")), document));
    }
    let schema = schema(&name.join("-"))?;
    Ok(Answer::new(pretty(&schema), schema))
}

/// What a shell reads to complete command lines.
pub(super) fn completions(shell: Shell) -> Answer {
    let mut out = Vec::new();
    generate(shell, &mut Cli::command(), PROGRAM, &mut out);
    text("completions", &out)
}

/// The manual page of the program or of one command.
pub(super) fn manual(words: &[String]) -> Result<Answer> {
    let mut command = Cli::command();
    command.build();
    for word in words {
        let Some(inner) = command.find_subcommand(word) else {
            let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            let hint = did_you_mean(word, known.iter().copied());
            return Err(Error::usage(format!("there is no command `{word}`"))
                .hint(hint.unwrap_or_else(|| format!("the commands are {}", known.join(", ")))));
        };
        command = inner.clone();
    }
    let mut out = Vec::new();
    Man::new(command)
        .render(&mut out)
        .map_err(|error| Error::bug("the manual page cannot be written").because(error))?;
    Ok(text("man", &out))
}

fn text(command: &str, out: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(out).into_owned();
    let document = json!({"command": command, "text": text});
    Answer::new(text, document)
}
