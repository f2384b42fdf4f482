//! The hazards of reverting that the shell answers, and the switch of its own tests: see [`crate::model::hazard`].

#[path = "model/hazard/switch.rs"]
mod switch;

pub(crate) use crate::model::hazard::Hazard;
pub(crate) use switch::answered;

#[cfg(test)]
mod tests;
