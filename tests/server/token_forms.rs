//! A token is written in one way: whatever else could be read as the same one is refused.

use crate::forging::*;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_way_to_write_a_token() {
    let ring = ring().await;
    for owner in ring.owners() {
        let payload = claims(owner).to_string();
        let token = forge(owner, None, &payload);
        ring.accepts(&token).await;
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (head, body) = signed.split_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        // The last letter carries bits that belong to no byte.
        let last = signature.len() - 1;
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for letter in alphabet.chars() {
            let other = format!("{}{letter}", &signature[..last]);
            if other != signature {
                ring.refuses(&format!("{signed}.{other}"), "UNAUTHORIZED")
                    .await;
            }
        }
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let token = format!("{signed}.{}", encode(flipped));
            ring.refuses(&token, "UNAUTHORIZED").await;
        }
        let padded = URL_SAFE.encode(&bytes);
        let mut tokens = vec![
            format!("{signed}.{padded}"),
            format!("{head}=.{body}.{signature}"),
            format!("{signed}.{signature}."),
            format!("{signed}.{signature}.{signature}"),
            format!(".{signed}.{signature}"),
            format!("{signed}..{signature}"),
            format!("{head}.{body}"),
            format!("{body}.{head}.{signature}"),
            format!("{head} .{body}.{signature}"),
            format!("{signed}.{signature}\t x"),
            format!("{signed}.{}", encode(&bytes[..bytes.len() - 1])),
            format!("{signed}.{}", encode([&bytes[..], &[0]].concat())),
            token.to_uppercase(),
            "..".to_owned(),
            ".".to_owned(),
            "a.b.c".to_owned(),
            format!("{signed}.{signature}{}", "A".repeat(9_000)),
            "\u{e9}\u{ff41}".to_owned(),
        ];
        let standard = STANDARD_NO_PAD.encode(&bytes);
        if standard != signature {
            tokens.push(format!("{signed}.{standard}"));
        }
        // A name twice, openly and in disguise; with both readings right but for one.
        let again = |extra: &str| payload.replacen('{', &format!("{{{extra},"), 1);
        for extra in [
            r#""exp":1"#,
            r#""scopes":["read"]"#,
            r#""repos":["local/app"]"#,
            r#""\u0065xp":1"#,
            r#""x":{"y":1,"y":1}"#,
            r#""x":[{"y":1,"\u0079":1}]"#,
        ] {
            tokens.push(forge(owner, None, &again(extra)));
        }
        let right = header(owner);
        let twice = right.replacen('{', r#"{"alg":"none","#, 1);
        tokens.push(forge(owner, Some(&twice), &payload));
        // Not quite JSON, and JSON that is not an object.
        for bad in [
            "",
            " ",
            "null",
            "[]",
            "\"x\"",
            "{} {}",
            "{'iss':1}",
            "\u{feff}{}",
        ] {
            tokens.push(forge(owner, None, bad));
        }
        tokens.push(forge(owner, None, &format!("{payload}x")));
        tokens.push(forge(
            owner,
            None,
            &format!("{{\"x\":{}", "[".repeat(2_000)),
        ));
        // Well signed, and too long to be looked at.
        let long = format!("\"x\":\"{}\"", "y".repeat(8_192));
        tokens.push(forge(owner, None, &again(&long)));
        for token in tokens {
            ring.refuses(&token, "UNAUTHORIZED").await;
        }
        let most = format!("\"x\":\"{}\"", "y".repeat(5_000));
        ring.accepts(&forge(owner, None, &again(&most))).await;
    }
    // Ed25519 with the scalar of the signature one group order further: equal for lax rules.
    let token = forge(
        &ring.organization,
        None,
        &claims(&ring.organization).to_string(),
    );
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    let token = format!("{signed}.{}", encode(bytes));
    ring.refuses(&token, "UNAUTHORIZED").await;
}
