//! Where documents come from: files, folders, standard input, and revisions of a Git repository.
//!
//! This room reads bytes and nothing more; what they mean is `spec`'s. The Kubernetes API comes later.

pub mod files;
pub mod revision;
