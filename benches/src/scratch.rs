//! Where a bench puts what its servers want to have on a disk: [`Scratch`].

use std::path::{Path, PathBuf};

use anyhow::Result;

/// A folder of our own, gone when dropped: in memory where the machine has such a place, for it is not the disk that is
/// measured.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty one.
    ///
    /// # Errors
    /// When none can be made.
    pub fn new() -> Result<Self> {
        let name = format!("dog-bench-{}", std::process::id());
        let in_memory = PathBuf::from("/dev/shm").join(&name);
        let folder = if std::fs::create_dir(&in_memory).is_ok() { in_memory } else { std::env::temp_dir().join(name) };
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is small, and a later run minds nothing.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
