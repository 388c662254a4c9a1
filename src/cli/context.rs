//! What every verb may need: the global flags, and the configuration that they lead to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use nix::unistd::{Gid, Uid};
use zeroize::Zeroizing;

use super::{Error, output};
use crate::config::{self, Config, Key, LogLevel, Overrides, Surroundings};
use crate::secrets::Passphrase;

/// Flags that every verb takes, before or after it.
#[derive(Debug, Clone, Args)]
pub(super) struct Globals {
    /// Read this configuration file, and no other.
    #[arg(short, long, global = true, value_name = "PATH")]
    pub(super) config_path: Option<PathBuf>,
    /// Never ask anything: what would need an answer fails, unless its own flag says yes.
    #[arg(short = 'y', long, global = true)]
    pub(super) non_interactive: bool,
    /// How much is logged: error, warn, info, debug or trace.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
}

/// The surroundings of one command.
pub(super) struct Context {
    globals: Globals,
}

impl Context {
    /// Takes the global flags.
    pub(super) fn new(globals: Globals) -> Context {
        Context { globals }
    }

    /// Reads the configuration: defaults, file, environment, flags.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, together.
    pub(super) fn settings(&self) -> Result<Config, Error> {
        self.settings_with(BTreeMap::new())
    }

    /// The same, with flags of a single verb.
    ///
    /// # Errors
    ///
    /// As [`Context::settings`].
    pub(super) fn settings_with(&self, values: BTreeMap<Key, OsString>) -> Result<Config, Error> {
        self.settings_in(None, values)
    }

    /// The same, of a process that was started in another folder than it runs in.
    ///
    /// # Errors
    ///
    /// As [`Context::settings`].
    pub(super) fn settings_in(
        &self,
        started_in: Option<&Path>,
        mut values: BTreeMap<Key, OsString>,
    ) -> Result<Config, Error> {
        if let Some(level) = &self.globals.log_level {
            values.insert(Key::LogLevel, level.into());
        }
        let config_path = self.globals.config_path.clone();
        let overrides = Overrides {
            config_path: match started_in {
                Some(folder) => config_path.map(|path| folder.join(path)),
                None => config_path,
            },
            values,
        };
        let variables: Vec<String> = std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .collect();
        let home = std::env::home_dir().filter(|home| home.is_absolute());
        let current_folder = match started_in {
            Some(folder) => folder.to_owned(),
            None => std::env::current_dir().map_err(Error::CurrentFolder)?,
        };
        Ok(config::load(
            &overrides,
            &Surroundings {
                environment: &|name| std::env::var_os(name),
                variables: &variables,
                home: home.as_deref(),
                current_folder: &current_folder,
                uid: Uid::effective().as_raw(),
                gid: Gid::effective().as_raw(),
            },
        )?)
    }

    /// Asks the person at the terminal a question; only `y` or `yes` is a yes.
    ///
    /// # Errors
    ///
    /// There is nobody to ask.
    pub(super) fn confirmed(&self, question: &str) -> Result<bool, Error> {
        if self.globals.non_interactive || !std::io::stdin().is_terminal() {
            return Err(Error::NobodyToAsk);
        }
        output::talk(format_args!("{question} [y/N]"));
        let mut line = String::new();
        // A closed terminal answers nothing, which is a no.
        let _closed = std::io::stdin().read_line(&mut line);
        Ok(matches!(line.trim(), "y" | "Y" | "yes"))
    }

    /// Asks the person at the terminal for something secret, which is not shown as it is typed.
    ///
    /// # Errors
    ///
    /// There is nobody to ask.
    pub(super) fn prompt(&self, question: &str) -> Result<Zeroizing<String>, Error> {
        if self.globals.non_interactive || !std::io::stdin().is_terminal() {
            return Err(Error::NobodyToAsk);
        }
        let typed = rpassword::prompt_password(question).map_err(Error::Input)?;
        Ok(Zeroizing::new(typed))
    }

    /// Opens the vault, if there is one that was not opened by MESA_VAULT_PASSPHRASE and somebody
    /// can be asked. With nobody there it stays locked, and other stores may do.
    ///
    /// # Errors
    ///
    /// The terminal.
    pub(super) fn unlock(&self, config: &Config) -> Result<(), Error> {
        if !config.secrets.is_locked() {
            return Ok(());
        }
        match self.prompt("passphrase of the vault: ") {
            Ok(typed) => config
                .secrets
                .unlock(Passphrase::new(typed.as_str().to_owned())),
            Err(Error::NobodyToAsk) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The same before a vault is written: a new one gets its passphrase, typed twice.
    ///
    /// # Errors
    ///
    /// The terminal; two different passphrases.
    pub(super) fn unlock_for_writing(&self, config: &Config) -> Result<(), Error> {
        if !config.secrets.wants_passphrase() || config.secrets.is_locked() {
            return self.unlock(config);
        }
        let typed = match self.prompt("passphrase for the new vault: ") {
            Err(Error::NobodyToAsk) => return Ok(()),
            typed => typed?,
        };
        if typed.is_empty() || typed != self.prompt("the same again: ")? {
            return Err(Error::PassphrasesDiffer);
        }
        config
            .secrets
            .unlock(Passphrase::new(typed.as_str().to_owned()));
        Ok(())
    }

    /// The log level of the flag, or else warnings: for verbs that have no configuration.
    ///
    /// # Errors
    ///
    /// The flag names no level.
    pub(super) fn log_level_or_warn(&self) -> Result<LogLevel, Error> {
        match &self.globals.log_level {
            Some(_) => Ok(self.settings()?.log.level),
            None => Ok(LogLevel::Warn),
        }
    }
}
