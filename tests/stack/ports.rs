//! Blocks of ports on 127.0.0.1 that nobody else takes while we hold them.
//!
//! Binding port 0 and letting go again is a race, and a restarted node needs the same port. So ports come from below
//! Linux' ephemeral range (where thousands of outgoing test connections would steal them) in blocks, each guarded by a
//! lock file that all test processes of this user see, and each port is tried once before the block is accepted.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use super::{StackError, programs::cache_folder};

const FIRST: u16 = 10_240;
/// Where the ephemeral ports of Linux begin by default.
const END: u16 = 32_768;
/// Seven listeners on each of three nodes, and some to spare.
const BLOCK: u16 = 32;
const BLOCKS: u16 = (END - FIRST) / BLOCK;

/// Spreads the clusters of one process; those of several are spread by their process ids.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A block of ports, held as long as this value lives.
pub struct Ports {
    first: u16,
    taken: u16,
    _lock: File,
}

impl Ports {
    /// Takes the next free block.
    pub fn claim() -> Result<Self, StackError> {
        let folder = cache_folder().join("ports");
        std::fs::create_dir_all(&folder).map_err(StackError::io(format!("create `{}`", folder.display())))?;
        for _ in 0..BLOCKS {
            let spread = (std::process::id() % u32::from(BLOCKS)) as u16 * 7;
            let block = spread.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % BLOCKS;
            let path = folder.join(format!("{block}.lock"));
            let lock = File::create(&path).map_err(StackError::io(format!("create `{}`", path.display())))?;
            let first = FIRST + block * BLOCK;
            if lock.try_lock().is_ok() && (first..first + BLOCK).all(is_free) {
                return Ok(Self { first, taken: 0, _lock: lock });
            }
        }
        Err(StackError::NoPorts { count: BLOCK })
    }

    /// The next address of the block.
    pub fn next(&mut self) -> SocketAddr {
        assert!(self.taken < BLOCK, "more ports asked for than a block has");
        self.taken += 1;
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.first + self.taken - 1))
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
