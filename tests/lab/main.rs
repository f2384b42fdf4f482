//! The lab must misbehave exactly as it says: every rule of it that can be wrong has a test here. The control
//! plane is driven by the real SDK client, the data plane by a plain HTTP client.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod calls;
mod common;
mod faults;
mod health;
mod propagation;
mod traffic;
mod users;
mod writes;
