//! The token that a VF and its PF share.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A secret that whoever opens a PF agrees on with those who open its VFs (a UUID, DPDK's `--vfio-vf-token`).
///
/// Who opens the PF sets it, who opens a VF of a PF that a user-space driver has must show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token(Uuid);

impl Token {
    /// Returns the token of these 16 bytes, in the order that they are written in.
    pub const fn from_bytes(bytes: [u8; 16]) -> Token {
        Token(Uuid::from_bytes(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a VF token: write a whole UUID, like 14d63f20-8445-11ea-8900-1f9ce7d5650d (uuidgen makes one)")]
pub struct TokenError;

impl FromStr for Token {
    type Err = TokenError;

    /// Reads the 36 characters that `uuidgen` and the kernel write; nothing is left out and nothing may follow.
    fn from_str(text: &str) -> Result<Token, TokenError> {
        // The crate also takes braces, URNs and no hyphens.
        let hyphenated = text.len() == 36;
        Uuid::try_parse(text).ok().filter(|_| hyphenated).map(Token).ok_or(TokenError)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// It is a secret: a log shall not have it by accident.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_uuid_is_read_and_written_back() {
        let text = "14d63f20-8445-11ea-8900-1f9ce7d5650d";
        let token: Token = text.parse().unwrap();
        assert_eq!(token.to_string(), text);
        assert_eq!(token.bytes()[..4], [0x14, 0xd6, 0x3f, 0x20]);
        assert_eq!(text.to_uppercase().parse(), Ok(token));
        assert_eq!(Token::from_bytes(*token.bytes()), token);
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn anything_else_is_refused_as_a_whole() {
        for text in [
            "",
            "14d63f20",
            "14d63f20-8445-11ea-8900-1f9ce7d5650",
            "14d63f20-8445-11ea-8900-1f9ce7d5650d ",
            "14d63f20-8445-11ea-8900-1f9ce7d5650dd",
            "14d63f20844511ea89001f9ce7d5650d",
            "{14d63f20-8445-11ea-8900-1f9ce7d5650d}",
            "14d63f20-8445-11ea-8900-1f9ce7d5650g",
        ] {
            assert_eq!(text.parse::<Token>(), Err(TokenError), "{text:?}");
        }
    }
}
