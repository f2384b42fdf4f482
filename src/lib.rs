//! Serin: a canary prober that sees a bad release, puts the load balancer back, and proves what happened.

pub use serin_model as model;

pub mod evidence;
