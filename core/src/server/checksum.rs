//! The strong checksum of RCHECKSUM, by which a heal finds blocks that differ: SHA-256, the real
//! server's default (`storage.fips-mode-rchecksum`, docs/spec/01-wire.md, "Small enumerations").

use sha2::{Digest as _, Sha256};

/// A checksum over bytes that come in pieces.
#[derive(Clone, Debug, Default)]
pub struct Strong(Sha256);

impl Strong {
    /// Starts a checksum.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all added bytes.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_sum_of_the_whole() {
        let mut sum = Strong::new();
        sum.add(b"a");
        sum.add(b"bc");
        // FIPS 180-2, the first example.
        assert_eq!(sum.finish()[..8], [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
    }
}
