//! A bounded map that forgets what was not asked for lately.
//!
//! Two generations instead of a linked list: what is used moves to the young one; when that is
//! full, the old one is dropped and the young one becomes old. So a hit costs one or two lookups,
//! nothing is reordered, and what was used within the last half of the capacity is still there.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_weight: usize,
    generation_weight_max: usize,
}

impl<K: Hash + Eq + Copy, V: Clone> Recent<K, V> {
    /// Holds values of a total weight up to `weight_max`, and the heaviest one beyond that.
    pub(super) fn new(weight_max: usize) -> Recent<K, V> {
        Recent {
            young: HashMap::new(),
            old: HashMap::new(),
            young_weight: 0,
            generation_weight_max: weight_max / 2,
        }
    }

    pub(super) fn find(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (value, weight) = self.old.remove(key)?;
        self.insert(*key, value.clone(), weight);
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if self.young_weight + weight > self.generation_weight_max {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young_weight += weight;
        self.young.insert(key, (value, weight));
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some((_, weight)) = self.young.remove(key) {
            self.young_weight -= weight;
        }
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_stays_bounded_and_what_is_used_stays() {
        let mut recent = Recent::new(100);
        recent.insert(0, "kept", 1);
        for key in 1..10_000 {
            recent.insert(key, "passing", 1);
            assert_eq!(recent.find(&0), Some("kept"));
            assert!(recent.young.len() + recent.old.len() <= 100);
        }
        assert_eq!(recent.find(&1), None);
        assert_eq!(recent.find(&9_999), Some("passing"));
    }

    #[test]
    fn what_is_heavier_than_everything_is_held_until_the_next_ones() {
        let mut recent = Recent::new(10);
        recent.insert(1, (), 1_000);
        assert_eq!(recent.find(&1), Some(()));
        recent.insert(2, (), 1);
        recent.insert(3, (), 5);
        assert_eq!(recent.find(&1), None);
        assert_eq!(recent.find(&3), Some(()));
    }

    #[test]
    fn removal_gives_the_weight_back() {
        let mut recent = Recent::new(10);
        for _ in 0..100 {
            recent.insert(1, (), 4);
            recent.remove(&1);
        }
        assert_eq!(recent.young_weight, 0);
        assert_eq!(recent.find(&1), None);
    }
}
