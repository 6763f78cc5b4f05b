//! Deliveries to files of this machine, for where there is no Kubernetes.
//!
//! A file belongs to Kastellan if its head says so for the same user ([`Stamp`](crate::render::Stamp)); anything else at
//! its path is left alone. It is replaced in one step under a lock of its folder, has mode 0600 and the chosen owner, and
//! is refused where a Git repository would take it in. A symbolic link at the path is refused: following it would write
//! the secret to a place that the document does not name.

mod folder;
mod owner;
mod place;
mod tracked;
mod written;

#[cfg(test)]
mod tests;

pub(super) use folder::SCRATCH_SUFFIX;
pub use owner::OwnerError;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use self::folder::{Folder, FolderProblem, Purpose};
use self::owner::{Accounts, Ids};
use self::place::Place;
use self::tracked::{Candidate, refuse_tracked};
use self::written::{Identity, Written};
use super::{Delivery, DeliveryError, DeliveryFact, DeliveryRequest, FileTarget, Shipment, Target, Withdrawal};
use crate::credential::DeliveryRecord;
use crate::git::Git;
use crate::names::{Generation, NamespacedName, RotationId};
use crate::render::{Delivered, InputsDigest, ca_file_beside, can_carry, inputs_digest, read_back, render};
use crate::secret::Secret;

/// Folders that are open and locked together: enough to share the waiting for the disk, few enough for any limit of open
/// files.
const FOLDERS_AT_ONCE: usize = 64;

/// Threads that write at once: they wait for the disk, not for a core.
const WRITERS: usize = 8;

/// Delivers to files.
#[derive(Debug)]
pub struct FileDelivery {
    machine: String,
    git: Option<Git>,
    /// The lock of a folder keeps other processes out; this keeps out the other threads of this one.
    turn: Mutex<()>,
}

/// A shipment, and the open folder it goes into: two indices.
#[derive(Debug, Clone, Copy)]
struct Berth {
    shipment: usize,
    folder: usize,
}

type Results<T> = Vec<Result<T, DeliveryError>>;

impl FileDelivery {
    pub(super) const KIND: &'static str = "file";

    /// `machine` is an id that no other machine has; `git` is the program, if there is one.
    pub fn new(machine: String, git: Option<Git>) -> Self {
        Self { machine, git, turn: Mutex::new(()) }
    }

    /// How a delivery stands, before Git is asked; with the folder, where something is to be written.
    fn fact(
        &self,
        request: &DeliveryRequest,
        accounts: &Accounts,
    ) -> Result<(DeliveryFact, Option<PathBuf>), DeliveryError> {
        let target = file_target(&request.target);
        // What was written elsewhere tells nothing about this path.
        let recorded = request.recorded.as_ref().filter(|recorded| recorded.target == request.target.text());
        let written = recorded.and_then(|recorded| Written::read(&recorded.written));
        if let Some(written) = written.as_ref().filter(|written| written.machine != self.machine) {
            return Ok((DeliveryFact::OtherMachine { machine: written.machine.clone() }, None));
        }
        can_carry(target.format, &request.username, &request.connection).map_err(DeliveryError::Render)?;
        let owner = owner_ids(target, accounts)?;
        let folder = folder_of(&target.path)?;
        let folder = Folder::open(folder, Purpose::Look).map_err(|problem| problem.error(folder))?;
        // A first generation is at least 1.
        let newest = request.published.as_ref().map_or(Generation::NONE.next(), |(generation, _)| *generation);
        let place = |path: PathBuf| Place { folder: &folder, path, user: &request.user, newest };
        let main = place(target.path.clone());
        let Some(seen) = main.look()? else { return Ok((DeliveryFact::Missing, Some(folder.resolved))) };
        let untouched = match &written {
            Some(Written { main, ca_file, .. }) => {
                let beside = |recorded: &Identity| -> Result<bool, DeliveryError> {
                    let seen = place(ca_file_beside(&target.path)).look()?;
                    Ok(seen.is_some_and(|seen| *recorded == Identity::of(&seen)))
                };
                *main == Identity::of(&seen) && ca_file.as_ref().map_or(Ok(true), beside)?
            }
            None => false,
        };
        if !untouched {
            main.ours()?;
        }
        let access = seen.owner_only && owner.are_met_by(seen.ids);
        let in_date = match (recorded, &request.published) {
            (Some(recorded), Some(published)) => recorded.digest == digest(request, published).as_str(),
            // Nobody knows what it was made of: compare.
            (None, _) => true,
            (Some(_), None) => false,
        };
        Ok(match (in_date, untouched && access) {
            (true, true) => (DeliveryFact::InStep, None),
            (true, false) => (DeliveryFact::Touched, Some(folder.resolved)),
            (false, _) => (DeliveryFact::Outdated, Some(folder.resolved)),
        })
    }

    fn ship(&self, folder: &Folder, shipment: &Shipment, owner: Ids) -> Result<DeliveryRecord, DeliveryError> {
        let Shipment { request, credential } = shipment;
        let target = file_target(&request.target);
        let rendered = render(target.format, &request.user, credential, &request.connection, &target.path)
            .map_err(DeliveryError::Render)?;
        let place = |path| Place { folder, path, user: &request.user, newest: credential.generation };
        let (main, beside) = (place(target.path.clone()), place(ca_file_beside(&target.path)));
        main.clear_scratch()?;
        let owner = owner.or(main.ours()?.map_or_else(Ids::default, |seen| seen.ids));
        let ca_file = match rendered.ca_file {
            // First, so that the main file never names certificates that are not there.
            Some(certificates) => {
                beside.clear_scratch()?;
                Some(beside.put(&Secret::new(certificates), owner)?)
            }
            None => None,
        };
        let written = Written { machine: self.machine.clone(), main: main.put(&rendered.main, owner)?, ca_file };
        if written.ca_file.is_none() {
            // What an earlier format or connection needed. A stranger's file of that name is nobody's concern.
            let _ = beside.remove();
        }
        let identity = (credential.generation, credential.rotation_id.clone());
        Ok(DeliveryRecord {
            kind: Self::KIND.to_owned(),
            target: request.target.text(),
            digest: digest(request, &identity).as_str().to_owned(),
            written: written.into_map(),
        })
    }

    /// Ships into some folders, which are held open and locked meanwhile, and makes it durable.
    fn ship_block(
        &self,
        shipments: &[Shipment],
        folders: &[(&Path, &Vec<usize>)],
        accounts: &Accounts,
    ) -> Vec<(usize, Result<DeliveryRecord, DeliveryError>)> {
        let mut results = Vec::new();
        let mut open = Vec::new();
        let mut berths = Vec::new();
        for &(path, indices) in folders {
            match Folder::open(path, Purpose::Change) {
                Ok(folder) => {
                    berths.extend(indices.iter().map(|&shipment| Berth { shipment, folder: open.len() }));
                    open.push(folder);
                }
                Err(problem) => results.extend(indices.iter().map(|&index| (index, Err(problem.error(path))))),
            }
        }
        let jobs = self.admit(shipments, &open, berths, &mut results);
        let mut shipped = in_parallel(&jobs, |job| {
            let ship = |berth: &Berth| {
                let shipment = &shipments[berth.shipment];
                let owner = owner_ids(file_target(&shipment.request.target), accounts);
                (*berth, owner.and_then(|owner| self.ship(&open[berth.folder], shipment, owner)))
            };
            job.iter().map(ship).collect()
        });
        let synced: Vec<_> = open.iter().map(Folder::sync).collect();
        for (berth, result) in &mut shipped {
            if let (Ok(_), Err(error)) = (&result, synced[berth.folder]) {
                let path = file_target(&shipments[berth.shipment].request.target).path.clone();
                *result = Err(DeliveryError::Write { path, source: error.into() });
            }
        }
        results.extend(shipped.into_iter().map(|(berth, result)| (berth.shipment, result)));
        results
    }

    /// Asks Git about every file, and puts those that may be written into jobs, one for each path: deliveries to one
    /// path, which only a mistake can ask for, stay in order.
    fn admit(
        &self,
        shipments: &[Shipment],
        open: &[Folder],
        berths: Vec<Berth>,
        results: &mut Vec<(usize, Result<DeliveryRecord, DeliveryError>)>,
    ) -> Vec<Vec<Berth>> {
        let candidate = |berth: &Berth| Candidate {
            path: file_target(&shipments[berth.shipment].request.target).path.clone(),
            resolved_folder: open[berth.folder].resolved.clone(),
        };
        let candidates: Vec<_> = berths.iter().map(candidate).collect();
        let mut jobs: BTreeMap<&Path, Vec<Berth>> = BTreeMap::new();
        for (index, verdict) in refuse_tracked(self.git.as_ref(), &candidates).into_iter().enumerate() {
            match verdict {
                Ok(()) => jobs.entry(&candidates[index].path).or_default().push(berths[index]),
                Err(error) => results.push((berths[index].shipment, Err(error))),
            }
        }
        jobs.into_values().collect()
    }

    fn withdraw_one(&self, withdrawal: &Withdrawal) -> Result<(), DeliveryError> {
        let path = PathBuf::from(&withdrawal.recorded.target);
        if let Some(written) = Written::read(&withdrawal.recorded.written)
            && written.machine != self.machine
        {
            return Err(DeliveryError::OtherMachine { machine: written.machine });
        }
        let folder = folder_of(&path)?;
        let folder = match Folder::open(folder, Purpose::Change) {
            Ok(folder) => folder,
            Err(FolderProblem::Absent) => return Ok(()),
            Err(problem) => return Err(problem.error(folder)),
        };
        let place = |path| Place { folder: &folder, path, user: &withdrawal.user, newest: withdrawal.newest };
        let (main, beside) = (place(path.clone()), place(ca_file_beside(&path)));
        main.clear_scratch()?;
        main.remove()?;
        beside.clear_scratch()?;
        // It holds no secret; a stranger's file of that name is nobody's concern.
        let _ = beside.remove();
        folder.sync().map_err(|error| DeliveryError::Write { path, source: error.into() })
    }
}

impl Delivery for FileDelivery {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn observe(&self, requests: &[DeliveryRequest]) -> Vec<DeliveryFact> {
        let accounts = Accounts::read();
        let mut facts = Vec::with_capacity(requests.len());
        let (mut candidates, mut candidate_indices) = (Vec::new(), Vec::new());
        for (index, request) in requests.iter().enumerate() {
            facts.push(match self.fact(request, &accounts) {
                Ok((fact, to_write)) => {
                    if let Some(resolved_folder) = to_write {
                        let path = file_target(&request.target).path.clone();
                        candidates.push(Candidate { path, resolved_folder });
                        candidate_indices.push(index);
                    }
                    fact
                }
                Err(error @ DeliveryError::Read { .. }) => DeliveryFact::Unknown(error),
                Err(error) => DeliveryFact::Blocked(error),
            });
        }
        for (verdict, index) in refuse_tracked(self.git.as_ref(), &candidates).into_iter().zip(candidate_indices) {
            if let Err(error) = verdict {
                facts[index] = DeliveryFact::Blocked(error);
            }
        }
        facts
    }

    fn deliver(&self, shipments: &[Shipment]) -> Results<DeliveryRecord> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let accounts = Accounts::read();
        let mut results: Vec<Option<Result<DeliveryRecord, DeliveryError>>> = shipments.iter().map(|_| None).collect();
        let mut by_folder: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
        for (index, shipment) in shipments.iter().enumerate() {
            match folder_of(&file_target(&shipment.request.target).path) {
                Ok(folder) => by_folder.entry(folder).or_default().push(index),
                Err(error) => results[index] = Some(Err(error)),
            }
        }
        let folders: Vec<_> = by_folder.iter().map(|(folder, indices)| (*folder, indices)).collect();
        for block in folders.chunks(FOLDERS_AT_ONCE) {
            for (index, result) in self.ship_block(shipments, block, &accounts) {
                results[index] = Some(result);
            }
        }
        results
            .into_iter()
            .map(|result| result.expect("every shipment is in one folder, or has no valid path"))
            .collect()
    }

    fn read_back(&self, user: &NamespacedName, target: &Target) -> Result<Delivered, DeliveryError> {
        let target = file_target(target);
        let folder = folder_of(&target.path)?;
        let folder = Folder::open(folder, Purpose::Look).map_err(|problem| problem.error(folder))?;
        // Whatever its generation, it is only read.
        let place = Place { folder: &folder, path: target.path.clone(), user, newest: Generation(u64::MAX) };
        let not_whole =
            || DeliveryError::NotWhole { target: target.path.display().to_string(), format: target.format.as_str() };
        let seen = place.ours()?.ok_or_else(not_whole)?;
        let content = place.read(seen.size)?;
        read_back(target.format, &content).filter(|delivered| delivered.stamp.user == *user).ok_or_else(not_whole)
    }

    fn withdraw(&self, withdrawals: &[Withdrawal]) -> Results<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        withdrawals.iter().map(|withdrawal| self.withdraw_one(withdrawal)).collect()
    }
}

/// Runs jobs on a few threads; the order of the answers does not matter.
fn in_parallel<J: Sync, T: Send>(jobs: &[J], run: impl Fn(&J) -> Vec<T> + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.extend(run(job));
        }
        done
    };
    if jobs.len() < 2 {
        return work();
    }
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS.min(jobs.len())).map(|_| scope.spawn(work)).collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("writers do not panic")).collect()
    })
}

fn file_target(target: &Target) -> &FileTarget {
    match target {
        Target::File(target) => target,
        Target::KubernetesSecret(_) => unreachable!("the registry sends Secrets elsewhere"),
    }
}

fn folder_of(path: &Path) -> Result<&Path, DeliveryError> {
    let folder = path.parent().filter(|_| path.is_absolute() && path.file_name().is_some());
    folder.ok_or_else(|| DeliveryError::Path { path: path.to_owned() })
}

fn owner_ids(target: &FileTarget, accounts: &Accounts) -> Result<Ids, DeliveryError> {
    let Some(owner) = &target.owner else { return Ok(Ids::default()) };
    accounts.resolve(owner).map_err(|source| DeliveryError::Owner { owner: owner.clone(), source })
}

fn digest(request: &DeliveryRequest, (generation, rotation_id): &(Generation, RotationId)) -> InputsDigest {
    let target = file_target(&request.target);
    let identity = (*generation, rotation_id);
    let owner = target.owner.as_ref();
    inputs_digest(&request.user, identity, target.format, &request.connection, &target.path, owner)
}
