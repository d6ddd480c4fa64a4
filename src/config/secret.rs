//! Values that are shown to nobody.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Serialize, Serializer};
use sha2::Sha256;

/// A value that is shown to nobody: `Debug`, `Display` and `Serialize` all give `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What stands in a secret's place wherever one would be shown.
    pub const REDACTED: &str = "***";

    pub(super) fn new(value: String) -> Self {
        Self(value)
    }

    /// HMAC-SHA256 of a text with this as the key, in lower-case hex.
    #[must_use]
    pub fn keyed_hash(&self, text: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else {
            // A key of any length will do.
            return String::new();
        };
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// What this is known again by, as a key of hashes, that does not tell it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.keyed_hash("highwater: which key this is").chars().take(16).collect()
    }

    /// The value itself, for the one who must have it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::REDACTED)
    }
}
