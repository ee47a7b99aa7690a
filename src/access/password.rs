//! The password that AUTH asks for.

use core::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A password as its SHA-256, so that neither its text nor its length can leak from here.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    hash: [u8; 32],
}

impl Password {
    /// None for the empty password, which means that no password is asked for.
    pub fn new(password: &[u8]) -> Option<Self> {
        (!password.is_empty()).then(|| Password { hash: Sha256::digest(password).into() })
    }

    /// Whether the candidate is the password. Both are hashed and the hashes compared in constant
    /// time: the answer's time tells nothing of where they differ. Any bytes will do, NUL included.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        let candidate: [u8; 32] = Sha256::digest(candidate).into();
        self.hash.ct_eq(&candidate).into()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_matches() {
        let password = Password::new(b"s3cret\0tail").expect("not empty");
        assert!(password.matches(b"s3cret\0tail"));
        for other in [&b""[..], b"s3cret", b"s3cret\0", b"s3cret\0tailx", b"S3cret\0tail", b"\0"] {
            assert!(!password.matches(other), "{}", other.escape_ascii());
        }
        assert!(Password::new(b"").is_none());
    }

    #[test]
    fn debug_tells_nothing() {
        let shown = format!("{:?}", Password::new(b"s3cret"));
        assert_eq!(shown, "Some(Password)");
    }
}
