//! Serialisable pictures for people and programs, without secrets, and their texts. The faces print them as they are.
//!
//! JSON field names and `schema` are a versioned contract.

mod access;
mod action;
mod actions;
mod against;
mod against_text;
mod import;
mod markup;
mod number;
mod plan;
mod plan_text;
mod result;
mod revocation;
mod rotation;
mod scene;
mod status;

pub use access::{AccessLine, access_lines, quota_lines};
pub use action::{ActionView, Change, Subject};
pub use against::{ComparisonSummary, ComparisonView, DifferenceView, DocumentView};
pub use against_text::{comparison_markdown, comparison_text};
pub use import::{ImportView, ImportedView, RefusedView, import_text};
pub(crate) use number::counted;
pub use plan::{AskedView, PlanView, ReportView, Summary, UserView};
pub use plan_text::{plan_markdown, plan_text};
pub use result::{ApplyView, EndedView, UnderWayView, VerifyView, apply_text, verify_text};
pub use status::{
    CredentialView, CutView, DeliveryView, OwedView, RevocationView, StatusView, UserStatus, status_text,
};
