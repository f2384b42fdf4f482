//! The hazards of reverting, and the switch by which a test takes the answer to one of them out.
//!
//! Where a hazard is answered, the code asks [`answered`]. In the unit tests a story is played twice, as it is and with the answer
//! missing, and must then end as badly as the hazard says: so no answer can be lost without a test that minds. In every other build the
//! switch is `true` for good. `tests/HAZARDS.md` is the table.

mod switch;

pub(crate) use switch::answered;

/// What can go wrong when a release is put back. The numbers are those of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hazard {
    /// Two probers race for one lever.
    Race = 1,
    /// Somebody else's write is overwritten.
    LostUpdate,
    /// What was measured of an earlier release is held against a new one.
    StaleEvidence,
    /// The group to return to is empty or unhealthy.
    UnhealthyBlue,
    /// The old version is as bad.
    BothBad,
    /// The fault is in our own network, CPU or names.
    OwnFault,
    /// Silence reads as failure, or as success.
    MissingData,
    /// A few bad answers are taken for a bad release.
    FewSamples,
    /// A person is at work.
    Operator,
    /// Amazon ECS moves the rule.
    EcsOwns,
    /// `CodeDeploy` moves the rule.
    CodeDeployOwns,
    /// Terraform or a pipeline undoes the revert, and is fought.
    FlippedBack,
    /// AWS throttles in the middle.
    Throttled,
    /// Some of several rules are put back and others aren't.
    HalfDone,
    /// The process dies in the middle.
    Death,
    /// The clock jumps, or the machine sleeps.
    ClockJump,
    /// The credentials have expired, and nobody knows before the breach.
    Credentials,
    /// The control plane is down for long.
    ControlPlane,
    /// Stickiness keeps users on the new version.
    Sticky,
    /// The API says that it is done, and users still get the new version.
    FalseProof,
    /// Reverts follow one another.
    PingPong,
    /// The old version is too small for everybody.
    ColdBlue,
    /// A migration can't go back.
    Irreversible,
    /// What is written back damages the rule.
    DamagedRule,
    /// A hook that waits goes on by AWS's default.
    HookDefault,
    /// Our own revert is taken for a release, and judged.
    OwnRevert,
    /// The probes themselves are refused at the edge.
    Edge,
    /// An alarm that is red already keeps ECS from rolling back by itself.
    RedAlarm,
    /// The role may do more than it has to.
    WideRole,
    /// The owner's rollback fails.
    FailedRollback,
}

#[cfg(test)]
mod tests;
