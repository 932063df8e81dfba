//! Random numbers that a seed decides.
//!
//! What it does: SplitMix64 (Steele, Lea, Flood 2014): one addition and a mixing function, any seed is good, and the
//! sequence is the same on every machine and in every version of this crate, which no crate of random numbers
//! promises.
//! Neighbours: drawn from by a lane.

use super::Probability;

pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `limit`, which is not zero. Slightly uneven for limits that are no power of two, by less than
    /// `limit` / 2^64.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    pub(super) fn chance(&mut self, probability: Probability) -> bool {
        self.next() >> 11 < probability.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sequence() {
        // The first outputs for seed 1234567, as Rosetta Code's "Pseudo-random numbers/Splitmix64" lists them.
        let mut random = Random::new(1_234_567);
        let expected: [u64; 3] =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next(), random.next(), random.next()], expected);
    }

    #[test]
    fn never_and_always() {
        let mut random = Random::new(3);
        let always = Probability::new(1.0).expect("in range");
        for _ in 0..10_000 {
            assert!(!random.chance(Probability::NEVER));
            assert!(random.chance(always));
            assert!(random.below(7) < 7);
        }
    }
}
