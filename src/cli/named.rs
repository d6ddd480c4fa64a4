//! Which pipeline file a command is for, and what is laid over it.

use std::path::PathBuf;

use chrono::NaiveDate;

use super::Cli;
use crate::config::{Overrides, Project};
use crate::error::{Error, Result};

/// What the command line says of pipeline files.
#[derive(Clone)]
pub(super) struct Named {
    config: Option<PathBuf>,
    profile: Option<String>,
    vars: Vec<(String, String)>,
    env_file: Option<PathBuf>,
}

impl Named {
    pub(super) fn of(cli: &Cli) -> Self {
        let Cli { config, profile, vars, env_file, .. } = cli;
        Self {
            config: config.clone(),
            profile: profile.clone(),
            vars: vars.clone(),
            env_file: env_file.clone(),
        }
    }

    /// The words that say the same to another process, but for the file.
    pub(super) fn words(&self) -> Vec<String> {
        let profile = self.profile.iter().map(|name| format!("--profile={name}"));
        let vars = self.vars.iter().map(|(name, value)| format!("--var={name}={value}"));
        let env_file = self.env_file.iter().map(|path| format!("--env-file={}", path.display()));
        profile.chain(vars).chain(env_file).collect()
    }

    /// The file, folder or pattern that is named, if one is.
    pub(super) fn is_given(&self) -> bool {
        self.config.is_some()
    }

    /// The file, folder or pattern that is named; else where the project's pipelines are.
    ///
    /// # Errors
    /// Fails where nothing is named, and the working folder is in no project.
    pub(super) fn path(&self) -> Result<PathBuf> {
        if let Some(path) = &self.config {
            return Ok(path.clone());
        }
        let unnamed = || {
            Error::usage("no pipeline file is named").hint(
                "give -c FILE, set HIGHWATER_CONFIG, or say `pipelines: FOLDER` in a highwater.yaml above",
            )
        };
        let here = std::env::current_dir().map_err(|error| unnamed().because(error))?;
        let project = Project::of(&here).map_err(|problems| problems.to_error())?;
        project.pipelines.ok_or_else(unnamed)
    }

    /// What is laid over the pipeline file.
    ///
    /// # Errors
    /// Fails where the file for the environment cannot be read.
    pub(super) fn overrides(&self, as_of: Option<NaiveDate>) -> Result<Overrides> {
        let flag = as_of.map(|day| ("as_of".to_owned(), day.to_string(), "--as-of".to_owned()));
        let mut overrides = Overrides::from_process(flag.into_iter().collect());
        overrides.profile.clone_from(&self.profile);
        overrides.vars.clone_from(&self.vars);
        if let Some(path) = &self.env_file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Error::usage(format!("cannot read {}", path.display())).because(error))?;
            for (name, value) in assignments(&text) {
                if !overrides.env.iter().any(|(known, _)| *known == name) {
                    overrides.env.push((name, value));
                }
            }
        }
        Ok(overrides)
    }
}

/// The `NAME=VALUE` lines of a file; with `export` before them or not, and quotes around the value or not.
fn assignments(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let read = lines.filter_map(|line| {
        let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        Some((name.trim().to_owned(), quoted.unwrap_or(value).to_owned()))
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_for_the_environment_is_read_as_shells_write_it() {
        let read =
            assignments("# a comment\nA=1\nexport B=\"two words\"\n C = 'x=y' \n\nno assignment\nD=\n");
        let expected = [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
