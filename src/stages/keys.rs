//! Keys by their hashes: of a batch's rows, and of the target's that are looked up among them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use deltalake::arrow::array::ArrayRef;
use deltalake::datafusion::common::hash_utils::{RandomState, create_hashes};
use deltalake::datafusion::error::DataFusionError;

/// Any number does, as long as it is the same for both sides of a look-up.
const SEED: u64 = 0x6869_6768;
/// Keys of a share.
const A_SHARE: usize = 16 << 10;
/// Shares that keys are split among at most.
const MOST_SHARES: usize = 256;
/// No further key.
const NONE: u32 = u32::MAX;

/// Numbered keys, by their hashes. The keys themselves lie with whoever asks.
#[derive(Debug)]
pub struct KeyTable {
    first: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    /// The next key of the same hash, by key.
    next: Vec<u32>,
}

/// Bits that hashes set, a few of them for each key: small enough to be near, where a table is far.
#[derive(Debug)]
pub struct Filter(Vec<u64>);

impl Filter {
    /// One that holds no key, and has room for so many.
    #[must_use]
    pub fn with_capacity(keys: usize) -> Self {
        Self(vec![0; (keys / 8).max(1).next_power_of_two()])
    }

    /// Adds a key.
    pub fn add(&mut self, hash: u64) {
        let (word, bits) = self.place(hash);
        self.0[word] |= bits;
    }

    /// Whether there may be a key of this hash: cheaply, and seldom wrong.
    #[inline]
    #[must_use]
    pub fn may_hold(&self, hash: u64) -> bool {
        let (word, bits) = self.place(hash);
        self.0[word] & bits == bits
    }

    /// The bits that a hash sets, all in one word.
    #[inline]
    fn place(&self, hash: u64) -> (usize, u64) {
        let word = usize::try_from(hash >> 18).unwrap_or_default() & (self.0.len() - 1);
        (word, 1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63))
    }
}

/// Hashes are hashed already.
#[derive(Debug, Default, Clone, Copy)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// The hash of each row's key.
///
/// # Errors
/// Fails for types that have no hash.
pub fn hashes(key: &[ArrayRef], rows: usize) -> Result<Vec<u64>, DataFusionError> {
    let mut hashes = vec![0; rows];
    create_hashes(key, &RandomState::with_seed(SEED), &mut hashes)?;
    Ok(hashes)
}

/// Keys, split so that a table of each share lies near the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares(u64);

impl Shares {
    /// As many as so many keys and threads want.
    #[must_use]
    pub fn of(keys: usize, threads: usize) -> Self {
        Self((keys / A_SHARE).max(threads).clamp(1, MOST_SHARES).next_power_of_two() as u64)
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(MOST_SHARES)
    }

    /// Deals keys out by their hashes, which stay beside them: to look each up where it came from is a jump through
    /// memory for every key.
    #[must_use]
    pub fn deal<T>(self, keys: usize, hashed: impl Iterator<Item = (u64, T)>) -> Vec<Vec<(u64, T)>> {
        let mut dealt: Vec<Vec<(u64, T)>> = Vec::new();
        dealt.resize_with(self.count(), || Vec::with_capacity(keys / self.count()));
        for (hash, key) in hashed {
            dealt[self.of_hash(hash)].push((hash, key));
        }
        dealt
    }

    /// The share of keys of this hash, by bits that a table does not go by.
    #[inline]
    #[must_use]
    pub fn of_hash(self, hash: u64) -> usize {
        usize::try_from(hash >> 44 & (self.0 - 1)).unwrap_or_default()
    }
}

impl KeyTable {
    /// An empty table with room for so many keys.
    #[must_use]
    pub fn with_capacity(keys: usize) -> Self {
        let first = HashMap::with_capacity_and_hasher(keys, BuildHasherDefault::default());
        Self { first, next: Vec::with_capacity(keys) }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.next.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Some key of this hash, to be told apart from [others](Self::after).
    #[inline]
    #[must_use]
    pub fn candidate(&self, hash: u64) -> Option<u32> {
        self.first.get(&hash).copied()
    }

    /// The next key of the same hash.
    #[inline]
    #[must_use]
    pub fn after(&self, key: u32) -> Option<u32> {
        after(&self.next, key)
    }

    /// The number of the key that `is` says it is, or that of a new one.
    pub fn number(&mut self, hash: u64, is: impl Fn(u32) -> bool) -> u32 {
        let new = u32::try_from(self.next.len()).unwrap_or(NONE);
        match self.first.entry(hash) {
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(new);
                self.next.push(NONE);
            }
            std::collections::hash_map::Entry::Occupied(mut place) => {
                let first = *place.get();
                let mut of_hash = std::iter::successors(Some(first), |key| after(&self.next, *key));
                if let Some(known) = of_hash.find(|key| is(*key)) {
                    return known;
                }
                place.insert(new);
                self.next.push(first);
            }
        }
        new
    }
}

fn after(next: &[u32], key: u32) -> Option<u32> {
    Some(next[key as usize]).filter(|next| *next != NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let words = ["a", "b", "a", "c", "b"];
        let mut seen: Vec<&str> = Vec::new();
        let mut table = KeyTable::with_capacity(1);
        let numbers = words.map(|word| {
            let number = table.number(7, |key| seen[key as usize] == word);
            if number as usize == seen.len() {
                seen.push(word);
            }
            number
        });
        assert_eq!((numbers, table.len()), ([0, 1, 0, 2, 1], 3));
        let of_hash = |hash| std::iter::successors(table.candidate(hash), |key| table.after(*key));
        let mut met: Vec<&str> = of_hash(7).map(|key| seen[key as usize]).collect();
        met.sort_unstable();
        assert_eq!((met, of_hash(8).count()), (vec!["a", "b", "c"], 0));
    }

    #[test]
    fn filter_holds_what_was_added_and_little_else() {
        let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut filter = Filter::with_capacity(1_000);
        (0..1_000).for_each(|number| filter.add(hash(number)));
        assert!((0..1_000).all(|number| filter.may_hold(hash(number))));
        assert!((1_000..11_000).filter(|number| filter.may_hold(hash(*number))).count() < 1_000);
    }

    #[test]
    fn shares_are_as_many_as_keys_want_and_each_is_met() {
        for (keys, threads, wanted) in [(0, 1, 1), (0, 3, 4), (100_000, 2, 8), (usize::MAX, 2, 256)] {
            let shares = Shares::of(keys, threads);
            assert_eq!(shares.count(), wanted, "{keys} {threads}");
            let met: std::collections::BTreeSet<usize> =
                (0..1_u64 << 12).map(|number| shares.of_hash(number << 44)).collect();
            assert!(met.into_iter().eq(0..wanted));
        }
    }
}
