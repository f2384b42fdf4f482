//! Serin: a canary prober that sees a bad release, puts the load balancer back, and proves what happened.

pub use serin_model as model;

pub mod clock;
pub mod config;
pub mod settings;

pub mod admin;
pub mod engine;
pub mod evidence;
pub mod lab;
pub mod publish;
pub mod revert;

pub mod app;
pub mod cli;
