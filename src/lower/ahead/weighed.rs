//! Objects with their sizes, and how much they are together.

use std::collections::HashMap;

use crate::lower::amount::Amount;
use crate::tree::GitOid;

/// Objects, each with its bytes and what is known of it.
pub(super) struct Weighed<T> {
    objects: HashMap<GitOid, (u64, T)>,
    bytes: u64,
}

impl<T> Default for Weighed<T> {
    fn default() -> Weighed<T> {
        Weighed {
            objects: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<T> Weighed<T> {
    /// How much they are.
    pub(super) fn amount(&self) -> Amount {
        Amount::new(self.objects.len() as u64, self.bytes)
    }

    pub(super) fn contains(&self, oid: GitOid) -> bool {
        self.objects.contains_key(&oid)
    }

    pub(super) fn get_mut(&mut self, oid: GitOid) -> Option<&mut T> {
        self.objects.get_mut(&oid).map(|(_, known)| known)
    }

    /// Adds one, in place of what it was.
    pub(super) fn insert(&mut self, oid: GitOid, size: u64, known: T) {
        self.remove(oid);
        self.objects.insert(oid, (size, known));
        self.bytes += size;
    }

    /// Takes one away; gives its bytes.
    pub(super) fn remove(&mut self, oid: GitOid) -> Option<u64> {
        let (size, _) = self.objects.remove(&oid)?;
        self.bytes -= size;
        Some(size)
    }

    /// Takes all away that are not to stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        self.objects.retain(|_, (_, known)| stays(known));
        self.bytes = self.objects.values().map(|(size, _)| size).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_together_what_each_is() {
        let oid = |byte| GitOid([byte; 20]);
        let mut weighed = Weighed::default();
        for (number, size) in [(1, 10), (2, 20), (3, 30), (2, 5)] {
            weighed.insert(oid(number), size, number);
        }
        assert_eq!(weighed.amount(), Amount::new(3, 45));
        assert_eq!(
            (weighed.remove(oid(1)), weighed.remove(oid(1))),
            (Some(10), None)
        );
        weighed.retain(|number| *number == 3);
        assert_eq!(weighed.amount(), Amount::new(1, 30));
        assert!(weighed.contains(oid(3)) && weighed.get_mut(oid(2)).is_none());
    }
}
