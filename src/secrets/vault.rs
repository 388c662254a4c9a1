//! The encrypted store: an age file for one passphrase (scrypt), armoured by nothing but its own
//! format, so that `age -d` opens it, too. The only file that knows the crate.

use std::io::{self, Read, Write};
use std::path::Path;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, scrypt};
use zeroize::Zeroizing;

use super::Passphrase;
use super::error::{Cause, Error};

/// How hard it is to try a passphrase, as a power of two: 64 MiB of memory and some tenths of a
/// second. Twice the work doubles what an attacker pays, but also what the smallest sandbox needs at
/// every start; 256 MiB, which others ask for, does not fit in those.
pub(super) const WORK: Work = Work(16);
/// Hardest vault that is opened: 1 GiB.
const WORK_MAX: u8 = 20;
/// Most that a vault holds: thousands of credentials.
pub(super) const TEXT_BYTES_MAX: u64 = 4 << 20;

/// The work factor of new vaults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Work(pub(super) u8);

/// Encrypts a text.
pub(super) fn seal(
    path: &Path,
    text: &str,
    passphrase: &Passphrase,
    work: Work,
) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase.expose().to_owned()));
    recipient.set_work_factor(work.0);
    let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as _))
        .map_err(|error| failed(io::Error::other(error)))?;
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(failed)?;
    writer
        .write_all(text.as_bytes())
        .and_then(|()| writer.finish().map(drop))
        .map_err(failed)?;
    Ok(sealed)
}

/// Decrypts a text.
pub(super) fn open(
    path: &Path,
    sealed: &[u8],
    passphrase: &Passphrase,
) -> Result<Zeroizing<String>, Error> {
    let damaged = |source: Cause| Error::Damaged {
        path: path.to_owned(),
        source,
    };
    let decryptor = Decryptor::new(sealed).map_err(|error| damaged(error.into()))?;
    let mut identity = scrypt::Identity::new(SecretString::from(passphrase.expose().to_owned()));
    identity.set_max_work_factor(WORK_MAX);
    let reader = match decryptor.decrypt(std::iter::once(&identity as _)) {
        Ok(reader) => reader,
        Err(DecryptError::ExcessiveWork { .. }) => {
            return Err(Error::TooHard {
                path: path.to_owned(),
            });
        }
        Err(DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed) => {
            return Err(Error::Passphrase {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(damaged(error.into())),
    };
    let mut text = Zeroizing::new(String::new());
    reader
        .take(TEXT_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| damaged(error.into()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Work = Work(4);

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned())
    }

    #[test]
    fn only_the_passphrase_opens_it() {
        let path = Path::new("/vault");
        let sealed = seal(path, "the text", &passphrase("right"), QUICK).unwrap();
        assert!(!sealed.windows(8).any(|window| window == b"the text"));
        let text = open(path, &sealed, &passphrase("right")).unwrap();
        assert_eq!(*text, "the text");
        let error = open(path, &sealed, &passphrase("wrong")).unwrap_err();
        assert!(matches!(error, Error::Passphrase { .. }), "{error}");
    }

    #[test]
    fn every_damage_is_an_error_and_work_is_bounded() {
        let path = Path::new("/vault");
        let sealed = seal(path, "the text", &passphrase("right"), Work(1)).unwrap();
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            let outcome = open(path, &damaged, &passphrase("right"));
            assert!(outcome.is_err(), "byte {at} of {}", sealed.len());
            assert!(open(path, &sealed[..at], &passphrase("right")).is_err());
        }
        let hard: Vec<u8> = {
            let at = sealed
                .windows(3)
                .position(|window| window == b" 1\n")
                .unwrap();
            [&sealed[..at], b" 21\n", &sealed[at + 3..]].concat()
        };
        let error = open(path, &hard, &passphrase("right")).unwrap_err();
        assert!(matches!(error, Error::TooHard { .. }), "{error}");
    }
}
