//! Reading the effects off a plan.

use super::facts::Shape;
use super::{Entry, Plan};
use crate::record::{Effect, Path};

impl Plan {
    /// The shortest list of effects: by path, parents first; for one path `Remove`, `Copy`, `Put`.
    pub fn effects(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (path, entry) in &self.entries {
            self.add_effects(path, entry, &mut effects);
        }
        effects
    }

    fn add_effects(&self, path: &Path, entry: &Entry, effects: &mut Vec<Effect>) {
        let implied = self.implied(path);
        let remove = |shape: Option<Shape>| {
            let in_the_way = |base: &Path| self.facts.is_in_the_way(base, shape);
            implied.as_ref().is_some_and(in_the_way).then(|| {
                let path = path.clone();
                Effect::Remove { path }
            })
        };
        let copy = |from: &Path| Effect::Copy {
            from: from.clone(),
            to: path.clone(),
        };
        match entry {
            // Entries that differ only: something stands there.
            Entry::Absent => effects.push(Effect::Remove { path: path.clone() }),
            Entry::Base(base) => {
                effects.extend(remove(self.facts.shape(base)));
                effects.push(copy(base));
            }
            Entry::Put {
                inode,
                shape,
                below,
            } => {
                let below = below
                    .as_ref()
                    .filter(|base| self.facts.shape(base) != Some(Shape::Leaf));
                match below {
                    Some(base) if implied.as_ref() == Some(base) => {}
                    Some(base) => {
                        effects.extend(remove(self.facts.shape(base)));
                        effects.push(copy(base));
                    }
                    None => effects.extend(remove(*shape)),
                }
                let (path, inode) = (path.clone(), *inode);
                effects.push(Effect::Put { path, inode });
            }
        }
    }
}
