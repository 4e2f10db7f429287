//! Shapes of volumes. A translator's author adds a variant here; the rest of the world follows.

use brickwire_core::volgen;

/// How the bricks of a volume share its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One brick.
    Single,
    /// Each file is on all bricks. The last is an arbiter, if there is one: it has names and
    /// attributes only.
    Replicate {
        /// Number of bricks.
        replicas: usize,
        /// Whether the last brick is an arbiter.
        arbiter: bool,
    },
}

impl Shape {
    /// The shapes that the client can open, which scenarios draw from.
    pub const OPENED: [Shape; 4] = [
        Shape::Single,
        Shape::Single,
        Shape::Replicate { replicas: 3, arbiter: false },
        Shape::Replicate { replicas: 3, arbiter: true },
    ];

    /// Number of bricks of a volume.
    pub fn bricks(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Replicate { replicas, .. } => replicas,
        }
    }

    /// The sets of bricks from which everything must be readable. The auditor reads from each.
    /// `behind` is the brick that may have missed changes, if one may: its data does not count.
    pub fn readable_sets(self, behind: Option<usize>) -> Vec<Vec<usize>> {
        match self {
            Self::Single => vec![vec![0]],
            Self::Replicate { replicas, arbiter } => {
                let data = replicas - usize::from(arbiter);
                let quorum = replicas / 2 + 1;
                (0..1_usize << replicas)
                    .map(|set| (0..replicas).filter(|brick| set >> brick & 1 == 1).collect())
                    .filter(|set: &Vec<usize>| {
                        let good = |brick: &usize| *brick < data && Some(*brick) != behind;
                        set.len() >= quorum && set.iter().any(good)
                    })
                    .collect()
            }
        }
    }

    /// The number of bricks that may lose their power while nothing that was acknowledged is lost.
    pub fn tolerates(self) -> usize {
        match self {
            Self::Single => 0,
            Self::Replicate { replicas, .. } => (replicas - 1) / 2,
        }
    }

    /// The shape in the words of the volfile writer.
    pub fn volgen(self) -> volgen::Shape {
        match self {
            Self::Single => volgen::Shape::Distribute,
            Self::Replicate { replicas, arbiter } => {
                volgen::Shape::Replicate { replica: replicas as u16, arbiter }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn a_set_without_quorum_or_without_data_is_not_readable() {
        assert_eq!(Shape::Single.readable_sets(None), [[0]]);
        let arbiter = Shape::Replicate { replicas: 3, arbiter: true };
        assert_eq!(
            arbiter.readable_sets(None),
            [vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1, 2]].map(|set| set.to_vec())
        );
        let behind = arbiter.readable_sets(Some(0));
        assert_eq!(behind, [vec![0, 1], vec![1, 2], vec![0, 1, 2]].map(|set| set.to_vec()));
        assert_eq!(arbiter.tolerates(), 1);
    }
}
