//! `mesa token inspect`: what a token says. Nobody is asked, so it works without a network.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::exit::Exit;
use crate::cli::secret::{self, Secret};
use crate::cli::{Context, Error, output};
use crate::remote::api::format_date;
use crate::remote::api::token::{
    Decoded, PrivateKey, Signer, SigningSecret, TokenError, Unverified, Verifier,
};
use crate::secrets::Scope;

#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The token, `-` for standard input. Others on this machine can read arguments: without one it
    /// is read from standard input, or asked for at a terminal.
    #[arg(value_name = "TOKEN")]
    token: Option<Secret>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is known of the signature.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Signature {
    /// The key at hand made it.
    Good,
    /// The key at hand did not make it: another one did, or nobody.
    OfAnotherKey,
    /// There is no key at hand.
    NotChecked,
}

/// A token, as `--json` shows it.
#[derive(Serialize)]
struct Shown {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// Who is said to have signed it; `null` for what no Mesa server accepts.
    signed_by: Option<String>,
    issued_at: Option<String>,
    expires_at: Option<String>,
    expired: Option<bool>,
    signature: Signature,
    /// Why a server would refuse it, as far as can be known here.
    problem: Option<String>,
}

/// Shows a token.
///
/// # Errors
///
/// It is none.
pub(super) fn run(arguments: &Inspect, context: &Context) -> Result<Exit, Error> {
    let token = secret::credential(arguments.token.as_ref(), "access token: ", context)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.unwrap_or(Duration::ZERO).as_secs();
    let shown = shown(token.expose(), verifier(context).as_ref(), now)?;
    if arguments.json {
        output::json(&shown)?;
    } else {
        output::data(text(&shown, now))?;
    }
    Ok(Exit::Done)
}

/// The key at hand, if there is one: a configuration is not needed to read a token.
fn verifier(context: &Context) -> Option<Verifier> {
    let found = context.settings().ok()?.secrets.find(Scope::Global).ok()?;
    let key = found.credential;
    match PrivateKey::is_meant(key.expose()) {
        true => {
            let key = PrivateKey::parse(key.expose()).ok()?;
            Some(Verifier::PublicKey(key.public_key()))
        }
        false if key.expose().starts_with("mesa_") => {
            Some(Verifier::Secret(SigningSecret::of_api_key(key.expose())))
        }
        false => None,
    }
}

fn shown(token: &str, verifier: Option<&Verifier>, now: u64) -> Result<Shown, Error> {
    let decoded = Decoded::of(token).map_err(Error::NoToken)?;
    let unverified = Unverified::parse(token);
    let signed_by = match unverified.as_ref().map(Unverified::signer) {
        Ok(Signer::Key { id }) => Some(format!("the API key {id} (HS256)")),
        Ok(Signer::Organization { slug, .. }) => Some(format!(
            "a private key of the organization {slug} (Ed25519)"
        )),
        Err(_) => None,
    };
    let verified = match (unverified, verifier) {
        (Ok(unverified), Some(verifier)) => Some(unverified.verify(verifier, now).map(|_| ())),
        (Ok(_), None) => None,
        (Err(error), _) => Some(Err(error)),
    };
    let date = |name: &str| decoded.payload.get(name).and_then(Value::as_u64);
    let expired = date("exp").map(|end| end <= now);
    let signature = match verified {
        _ if signed_by.is_none() => Signature::NotChecked,
        None => Signature::NotChecked,
        Some(Err(TokenError::Signature | TokenError::Kind)) => Signature::OfAnotherKey,
        Some(_) => Signature::Good,
    };
    let problem = match verified {
        Some(Err(_)) if signature == Signature::OfAnotherKey => None,
        Some(Err(error)) => Some(error),
        Some(Ok(())) => None,
        None => None,
    };
    let problem = problem.or(expired.unwrap_or(false).then_some(TokenError::Expired));
    Ok(Shown {
        signed_by,
        issued_at: date("iat").map(|at| format_date(at.cast_signed())),
        expires_at: date("exp").map(|at| format_date(at.cast_signed())),
        expired,
        signature,
        problem: problem.map(|error| error.to_string()),
        header: decoded.header,
        claims: decoded.payload,
    })
}

fn text(shown: &Shown, now: u64) -> String {
    let claim = |name: &str| match shown.claims.get(name) {
        Some(Value::String(text)) => text.escape_debug().to_string(),
        Some(value) => value.to_string(),
        None => "(missing)".to_owned(),
    };
    let signed_by = shown.signed_by.as_deref();
    let repositories = match (shown.claims.get("repos"), shown.claims.get("repo_ids")) {
        (Some(Value::Null), None) | (None, Some(Value::Null)) => "all that the key reaches".into(),
        (None, Some(ids)) => format!("the ids {ids}"),
        // The newest official clients say both at once, in other words.
        (None, None) if shown.claims.contains_key("admin") => "all that the key reaches".into(),
        (None, None) if shown.claims.contains_key("access") => claim("access"),
        _ => claim("repos"),
    };
    let scopes = match shown.claims.get("admin") {
        Some(Value::Bool(true)) => "[\"admin\"]".to_owned(),
        _ if shown.claims.contains_key("access") => "as below, by repository".to_owned(),
        _ => claim("scopes"),
    };
    let mut lines = vec![
        format!(
            "signed by: {}",
            signed_by.unwrap_or("(unknown)").escape_debug()
        ),
        format!("scopes: {scopes}"),
        format!("repositories: {repositories}"),
    ];
    for name in ["author", "authors"] {
        if shown.claims.contains_key(name) {
            lines.push(format!("{name}: {}", claim(name)));
        }
    }
    let end = shown.claims.get("exp").and_then(Value::as_u64);
    let left = end.map(|end| match end.checked_sub(now) {
        None | Some(0) => format!("{} ago", spelled(now.saturating_sub(end))),
        Some(left) => format!("in {}", spelled(left)),
    });
    for (name, date, note) in [
        ("issued", &shown.issued_at, None),
        ("expires", &shown.expires_at, left),
    ] {
        let date = date.as_deref().unwrap_or("(missing)");
        let note = note.map_or_else(String::new, |note| format!(" ({note})"));
        lines.push(format!("{name}: {date}{note}"));
    }
    lines.push(format!("token id: {}", claim("jti")));
    lines.push(match shown.signature {
        Signature::Good => "signature: good, made by the key of this configuration".into(),
        Signature::OfAnotherKey => {
            "signature: NOT CHECKED: the key of this configuration did not make it".to_owned()
        }
        Signature::NotChecked => {
            "signature: NOT CHECKED: anybody could have written this".to_owned()
        }
    });
    if let Some(problem) = &shown.problem {
        lines.push(format!("a server refuses it: {problem}"));
    }
    lines.join("\n")
}

fn spelled(seconds: u64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::api::token::{Lifetime, Request};

    const NOW: u64 = 1_750_000_000;

    fn token(key: &str) -> String {
        let request = Request {
            scopes: &["read"],
            repos: None,
            authors: &[],
            issued_at: NOW,
            lifetime: Lifetime::default(),
            token_id: uuid::Uuid::nil(),
        };
        SigningSecret::of_api_key(key).sign("key_1", &request)
    }

    #[test]
    fn a_signature_is_good_only_when_it_was_checked() {
        let ours = Verifier::Secret(SigningSecret::of_api_key("mesa_a"));
        let good = shown(&token("mesa_a"), Some(&ours), NOW).ok().unwrap();
        assert!(good.signature == Signature::Good && good.problem.is_none());
        assert!(text(&good, NOW).contains("expires: 2025-06-15T16:06:40Z (in 1h)"));
        let late = shown(&token("mesa_a"), Some(&ours), NOW + 3_700)
            .ok()
            .unwrap();
        assert!(late.signature == Signature::Good && late.expired == Some(true));
        assert!(text(&late, NOW + 3_700).contains("(1m 40s ago)"));
        assert!(late.problem.unwrap().contains("expired"));
        for (key, verifier) in [("mesa_b", Some(&ours)), ("mesa_a", None)] {
            let unknown = shown(&token(key), verifier, NOW).ok().unwrap();
            assert!(text(&unknown, NOW).contains("NOT CHECKED"));
        }
    }

    #[test]
    fn what_no_server_accepts_is_shown_with_the_reason() {
        // {"alg":"none"} and {"exp":1,"iss":"a\u001b[2J"}
        let foreign = "eyJhbGciOiJub25lIn0.eyJleHAiOjEsImlzcyI6ImFcdTAwMWJbMkoifQ.AA";
        let shown = shown(foreign, None, NOW).ok().unwrap();
        assert!(shown.signed_by.is_none() && shown.signature == Signature::NotChecked);
        let text = text(&shown, NOW);
        assert!(text.contains("a kind that is not accepted") && text.contains("NOT CHECKED"));
        assert!(!text.contains('\u{1b}'));
        assert!(super::shown("mesa_key", None, NOW).is_err());
    }
}
