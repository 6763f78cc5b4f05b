//! Where documents come from: files, folders, standard input.
//!
//! This room reads bytes and nothing more; what they mean is `spec`'s. A Git repository and the Kubernetes API come later.

pub mod files;
