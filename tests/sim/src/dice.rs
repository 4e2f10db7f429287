//! Decisions, all from one seed. Each part of the world has dice of its own, so that a change in
//! one part leaves the decisions of the others as they were.

/// A source of decisions (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed and a part of the world.
    pub fn new(seed: u64, part: &str) -> Self {
        let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
        for byte in part.bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        let mut dice = Self(state);
        dice.word();
        dice
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, or 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n < 2 { 0 } else { ((self.word() >> 11) % n as u64) as usize }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + (self.word() >> 11) % (high.saturating_sub(low) + 1)
    }

    /// A number from `low` to `high`, small ones much more often than large ones.
    pub fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let width = self.between(0, high.saturating_sub(low));
        low + self.between(0, width)
    }

    /// True in `of_10_000` of 10,000 cases.
    pub fn chance(&mut self, of_10_000: u32) -> bool {
        of_10_000 > 0 && (self.word() >> 11) % 10_000 < u64::from(of_10_000)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn the_same_seed_makes_the_same_decisions_and_parts_differ() {
        let all = |seed, part| {
            let mut dice = Dice::new(seed, part);
            [0; 8].map(|_: i32| dice.between(10, 1000))
        };
        assert_eq!(all(1, "disk"), all(1, "disk"));
        assert_ne!(all(1, "disk"), all(2, "disk"));
        assert_ne!(all(1, "disk"), all(1, "link"));
        assert!(all(3, "disk").iter().all(|n| (10..=1000).contains(n)));
    }
}
