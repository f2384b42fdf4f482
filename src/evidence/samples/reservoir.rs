//! A fair choice of fixed size among bad samples that are too many to keep.

use crate::model::release::EpochId;
use crate::model::sample::Sample;
use crate::model::target::TargetId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many of an epoch's further bad samples stay, over all its targets.
const SIZE: usize = 1_000;

/// How many bad samples a target had in an epoch beyond those that are kept whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spill {
    /// The epoch.
    pub epoch: EpochId,
    /// The target.
    pub target: TargetId,
    /// All its bad samples.
    pub bad: u64,
    /// Of these, those that are in no file.
    pub left_out: u64,
}

/// Algorithm R with a pinned generator: the same samples and seed give the same choice anywhere.
#[derive(Debug)]
pub(super) struct Reservoir {
    chosen: Vec<Sample>,
    offered: u64,
    random: ChaCha8Rng,
}

impl Reservoir {
    pub(super) fn new(seed: u64) -> Self {
        Self { chosen: Vec::new(), offered: 0, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    pub(super) fn offer(&mut self, sample: &Sample) {
        self.offered += 1;
        if self.chosen.len() < SIZE {
            self.chosen.push(sample.clone());
            return;
        }
        // A product of 64 by 64 bits spreads the draw over what was offered without a division's bias.
        let draw = (u128::from(self.random.next_u64()) * u128::from(self.offered)) >> 64;
        if let Some(slot) = usize::try_from(draw).ok().and_then(|index| self.chosen.get_mut(index)) {
            *slot = sample.clone();
        }
    }

    /// Bytes.
    pub(super) const fn memory(&self) -> usize {
        self.chosen.capacity() * size_of::<Sample>() + size_of::<Self>()
    }

    /// The choice, and for each target of `bad` (all its bad samples, those offered here) what is left out.
    pub(super) fn finish(
        self,
        epoch: EpochId,
        bad: &BTreeMap<TargetId, (u64, u64)>,
    ) -> (Vec<Sample>, Vec<Spill>) {
        let mut stayed: BTreeMap<TargetId, u64> = BTreeMap::new();
        for sample in &self.chosen {
            *stayed.entry(sample.target).or_default() += 1;
        }
        let spills = bad
            .iter()
            .filter(|(_, (_, offered))| *offered > 0)
            .map(|(target, (all, offered))| {
                let left_out = offered.saturating_sub(stayed.get(target).copied().unwrap_or(0));
                Spill { epoch, target: *target, bad: *all, left_out }
            })
            .collect();
        (self.chosen, spills)
    }
}
