//! Keeps secrets out of Git: a file in a work tree is delivered only where Git ignores it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::folder::scratch_name;
use crate::deliver::DeliveryError;
use crate::git::{Git, enclosing_work_tree};

/// A file that is to be written: as its document names it, and without symbolic links on the way.
pub(super) struct Candidate {
    pub path: PathBuf,
    pub resolved_folder: PathBuf,
}

impl Candidate {
    /// The file, and the sibling of its atomic write: a crash may leave that behind, with the secret in it.
    fn names(&self) -> [PathBuf; 2] {
        let name = self.path.file_name().unwrap_or_default();
        [self.resolved_folder.join(name), self.resolved_folder.join(scratch_name(name))]
    }
}

/// Judges candidates in their order, with one question per work tree.
pub(super) fn refuse_tracked(git: Option<&Git>, candidates: &[Candidate]) -> Vec<Result<(), DeliveryError>> {
    let mut by_work_tree: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        if let Some(work_tree) = enclosing_work_tree(&candidate.resolved_folder) {
            by_work_tree.entry(work_tree).or_default().push(index);
        }
    }
    let mut verdicts: Vec<Result<(), DeliveryError>> = candidates.iter().map(|_| Ok(())).collect();
    for (work_tree, indices) in by_work_tree {
        let paths: Vec<_> = indices.iter().flat_map(|&index| candidates[index].names()).collect();
        let answer = git.map(|git| git.ignored(work_tree, &paths));
        for index in indices {
            let candidate = &candidates[index];
            let silent = |source| DeliveryError::GitSilent {
                path: candidate.path.clone(),
                work_tree: work_tree.to_owned(),
                source,
            };
            verdicts[index] = match &answer {
                None => Err(silent(None)),
                Some(Err(error)) => Err(silent(Some(error.clone()))),
                Some(Ok(ignored)) => match candidate.names().into_iter().find(|path| !ignored.contains(path)) {
                    Some(path) => Err(DeliveryError::Tracked { path, work_tree: work_tree.to_owned() }),
                    None => Ok(()),
                },
            };
        }
    }
    verdicts
}
