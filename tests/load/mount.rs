//! What a kubelet does: shows the Secrets of a namespace as files, and replaces all files of one at once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::namespace::Namespace;
use crate::stack::pause;

/// Between two looks. A kubelet may take a minute, and whoever chooses an overlap has to know that.
const LOOK: Duration = Duration::from_millis(300);
/// The link that is replaced, as a kubelet calls it. Keys are links through it.
const DATA: &str = "..data";

/// Secrets that are shown as folders; it follows them until it goes.
pub struct Mounts {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    namespace: Namespace,
    folder: PathBuf,
    is_over: AtomicBool,
    /// The generation of each Secret that is shown, and the version that it is shown in.
    shown: Mutex<BTreeMap<String, (u64, String)>>,
}

impl Mounts {
    /// Shows every Secret of a namespace in a folder of its name, below `folder`.
    pub fn of(namespace: Namespace, folder: PathBuf) -> Self {
        let (is_over, shown) = (AtomicBool::new(false), Mutex::default());
        let shared = Arc::new(Shared { namespace, folder, is_over, shown });
        let follower = shared.clone();
        let thread = std::thread::spawn(move || {
            while !follower.is_over.load(Ordering::Relaxed) {
                follower.look();
                pause(LOOK);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// Where they come from.
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    /// The generation of a Secret, once it is shown; 0 if there is none.
    pub fn generation(&self, secret: &str) -> u64 {
        self.shared.look();
        let shown = self.shared.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(secret).map_or(0, |(generation, _)| *generation)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let panicked = thread.join().is_err();
            assert!(!panicked || std::thread::panicking(), "what mounts Secrets panicked");
        }
    }
}

impl Shared {
    /// Shows everything as it is now.
    fn look(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let path = format!("/api/v1/namespaces/{}/secrets", self.namespace.name);
        // One that cannot be had stays as it was, as in a pod.
        let Some(listed) = self.namespace.kubernetes.get(&path) else { return };
        for secret in listed["items"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (name, version) = (text(&secret["metadata"]["name"]), text(&secret["metadata"]["resourceVersion"]));
            if shown.get(&name).is_some_and(|(_, known)| *known == version) {
                continue;
            }
            let folder = self.folder.join(&name);
            show(&folder, &version, &secret["data"]).unwrap_or_else(|error| panic!("`{}`: {error}", folder.display()));
            let generation = text(&secret["metadata"]["annotations"]["kastellan.io/generation"]);
            shown.insert(name, (generation.parse().expect("Kastellan's own annotation"), version));
        }
    }
}

/// Writes a version beside the one that is shown, and puts the link on it.
fn show(folder: &Path, version: &str, data: &Value) -> io::Result<()> {
    let version = format!("..{version}");
    fs::create_dir_all(folder.join(&version))?;
    for (key, value) in data.as_object().into_iter().flatten() {
        let bytes = BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).map_err(io::Error::other)?;
        fs::write(folder.join(&version).join(key), bytes)?;
        let link = folder.join(key);
        if fs::symlink_metadata(&link).is_err() {
            std::os::unix::fs::symlink(Path::new(DATA).join(key), link)?;
        }
    }
    let fresh = folder.join("..data_tmp");
    std::os::unix::fs::symlink(&version, &fresh)?;
    fs::rename(fresh, folder.join(DATA))
}
