//! Any text is a token that is verified, or is refused; also with a signature that is right, which
//! the fuzzer could not make: whoever holds a key is not trusted with more than the key allows.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use libfuzzer_sys::fuzz_target;
use mesa::remote::api::token::{
    Decoded, LIFETIME_SECONDS_MAX, PrivateKey, PublicKey, Signer, SigningSecret, Unverified,
    Verifier,
};
use mesa::secrets::Credential;
use sha2::Sha256;

const NOW: u64 = 1_750_000_000;

fn read(token: &str, secret: &SigningSecret) {
    let _told_to_a_person = Decoded::of(token);
    let _sent_or_registered = (PrivateKey::parse(token), PublicKey::try_from(token));
    if let Ok(unverified) = Unverified::parse(token) {
        let signer = unverified.signer().clone();
        if let Ok(claims) = unverified.verify(&Verifier::Secret(secret.clone()), NOW) {
            assert_eq!(signer, Signer::Key { id: claims.issuer });
            assert!(claims.expires_at > NOW);
            assert!(claims.expires_at - claims.issued_at <= LIFETIME_SECONDS_MAX);
        }
    }
    if let Ok(credential) = Credential::try_from(token.to_owned()) {
        let _told_to_a_person = credential.expires_at();
    }
}

fuzz_target!(|input: &[u8]| {
    let secret = SigningSecret::of_api_key("mesa_key");
    read(&String::from_utf8_lossy(input), &secret);
    // The header behind its length, then the claims.
    let Some((length, rest)) = input.split_first() else {
        return;
    };
    let (header, claims) = rest.split_at(rest.len().min(usize::from(*length)));
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    read(&format!("{signed}.{signature}"), &secret);
});
