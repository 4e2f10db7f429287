//! Hash of a gfid, seeded for each process with a secret: the peers choose gfids and must not be
//! able to aim at one bucket.

use crate::xdr::Gfid;

/// The seed of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u64);

impl Seed {
    /// From a number that the peers do not know.
    pub(crate) fn new(secret: u64) -> Self {
        Self(fnv(&secret.to_be_bytes()))
    }

    /// The bucket of a gfid, below `buckets`.
    pub(crate) fn bucket(self, gfid: &Gfid, buckets: usize) -> usize {
        let Self(mut word) = self;
        for piece in gfid.0.chunks(8) {
            for byte in piece {
                word = (word ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
            word ^= word >> 29;
        }
        word = word.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((word >> 33) % buckets.max(1) as u64) as usize
    }
}

/// FNV-1a with 64 bits.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    let add = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gfids_that_share_a_bucket_under_one_seed_are_spread_under_another() {
        let gfid = |n: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            Gfid(bytes)
        };
        let (known, secret) = (Seed::new(1), Seed::new(2));
        let mut buckets = [false; 64];
        let aimed = (0..100_000).map(gfid).filter(|gfid| known.bucket(gfid, 1000) == 7);
        aimed.for_each(|gfid| buckets[secret.bucket(&gfid, 64)] = true);
        assert!(buckets.iter().filter(|hit| **hit).count() > 40);
    }
}
