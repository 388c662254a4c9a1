//! `mesa serve`: the server, until Ctrl+C or SIGTERM.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::exit::Exit;
use super::{Context, Error, output};
use crate::config::Color;
use crate::daemon::log::{self, Destination, Threads};
use crate::server;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Keep repositories and keys here; made if it does not exist.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Listen at this address; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Serve TLS with this certificate chain, a PEM file; SIGHUP reads it again.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The private key of the certificate, a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Listen beyond this machine without TLS, for when something in front of it encrypts.
    #[arg(long)]
    allow_plaintext: bool,
    /// Answer a key's requests beyond this many a second with 429; twice as many may come at once.
    #[arg(long, value_name = "REQUESTS")]
    rate_limit: Option<NonZeroU32>,
    /// The organization that is served.
    #[arg(long, value_name = "NAME", default_value = "local")]
    org: String,
    /// Import a Git repository or a plain directory, unless there is a repository of that name.
    #[arg(long, value_name = "NAME=PATH", value_parser = OsStringValueParser::new().try_map(import))]
    import: Vec<(String, PathBuf)>,
    /// Serve every bare repository in this folder, too, where it is.
    #[arg(long, value_name = "DIR")]
    repos: Option<PathBuf>,
    /// Write nothing into the repositories of `--repos`, and let nobody else.
    #[arg(long, requires = "repos")]
    read_only: bool,
    /// Let webhooks be delivered to this host, too, and not only to this machine; can be repeated.
    #[arg(long, value_name = "HOST")]
    webhook_host: Vec<String>,
}

/// Serves.
///
/// # Errors
///
/// The data directory, an import, or the address.
pub(super) fn run(arguments: Serve, context: &Context) -> Result<Exit, Error> {
    let level = context.log_level_or_warn()?;
    log::start(
        level,
        Color::Never,
        Destination::StandardError,
        Threads::Many,
        None,
    )?;
    let current_folder = std::env::current_dir().map_err(Error::CurrentFolder)?;
    let absolute = |path: PathBuf| current_folder.join(path);
    let options = server::Options {
        data: absolute(arguments.data),
        listen: arguments.listen,
        organization: arguments.org,
        imports: arguments
            .import
            .into_iter()
            .map(|(name, path)| (name, absolute(path)))
            .collect(),
        in_place: arguments.repos.map(|folder| {
            let access = match arguments.read_only {
                true => server::Access::ReadOnly,
                false => server::Access::ReadWrite,
            };
            (absolute(folder), access)
        }),
        tls: arguments
            .tls_certificate
            .zip(arguments.tls_key)
            .map(|(certificate, key)| server::Tls {
                certificate: absolute(certificate),
                key: absolute(key),
            }),
        allow_plaintext: arguments.allow_plaintext,
        rate_limit: arguments.rate_limit,
        webhook_hosts: arguments.webhook_host,
    };
    // Whoever started us may have gone; the server serves all the same.
    server::run(options, |url| {
        let _unheard = output::data(format_args!("listening on {url}"));
    })?;
    Ok(Exit::Done)
}

/// Why an import is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("want NAME=PATH")]
struct ImportError;

fn import(text: OsString) -> Result<(String, PathBuf), ImportError> {
    let bytes = text.as_bytes();
    let equals = bytes
        .iter()
        .position(|byte| *byte == b'=')
        .ok_or(ImportError)?;
    let (name, path) = bytes.split_at_checked(equals).ok_or(ImportError)?;
    let name = std::str::from_utf8(name).map_err(|_| ImportError)?;
    let path = Path::new(OsStr::from_bytes(path.get(1..).unwrap_or_default()));
    if name.is_empty() || path.as_os_str().is_empty() {
        return Err(ImportError);
    }
    Ok((name.to_owned(), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_a_name_and_a_path() {
        assert_eq!(
            import("app=/a=b".into()),
            Ok(("app".to_owned(), PathBuf::from("/a=b")))
        );
        for text in ["app", "=x", "app="] {
            assert_eq!(import(text.into()), Err(ImportError), "{text}");
        }
    }
}
