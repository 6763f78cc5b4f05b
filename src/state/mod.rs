//! The two nouns before any verb: what is desired, and what is observed. Comparable, both without secret values.
//!
//! `resolve` makes [`Desired`] of documents; the engine fills [`Observed`]; [`facts`] brings the two together for one user.

mod access;
mod desired;
mod facts;
mod found;
mod observed;
mod resolve;

pub use access::{AccessChange, QuotaChange, compare_access, cut_all, withdraw_all};
pub use desired::{Desired, DesiredCluster, DesiredDelivery, DesiredUser};
pub use facts::{Claims, facts_of};
pub use found::not_as_found;
pub use observed::{ClusterObserved, Observed, RecordObserved};
pub use resolve::{Selection, resolve};
