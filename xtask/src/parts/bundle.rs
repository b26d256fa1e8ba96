//! How large a Worker is. Cloudflare counts its module and its wasm, compressed.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::step::Step;

/// The most that the chat example's Worker may take, in bytes. Of what an App may leave out it uses alarms, logs, presence, storage
/// and topics. The goal is 480 KiB, and it takes 745 KiB: 422 KiB without sockets that end with their session, sessions that are
/// revoked, the history and the presence; 530 KiB with the first two. The bound is close to what it takes, so that growth shows. The
/// paths of the machine that builds a Worker are part of it: compressed, some 200 bytes.
pub(crate) const CHAT_MOST: u64 = 750 * 1024;

/// The most that the relay example's Worker may take, in bytes. It leaves out all that an App may leave out. This is the goal, and it
/// takes 299 KiB.
pub(crate) const RELAY_MOST: u64 = 300 * 1024;

/// The size of the Worker in this folder in bytes, compressed as Cloudflare does it.
pub(crate) fn compressed(folder: &Path) -> Result<u64> {
    let script = "cat index.js index_bg.wasm | gzip -9 | wc -c";
    count(&Step::program("sh").args(["-c", script]).within(folder).ask()?)
}

fn count(told: &str) -> Result<u64> {
    let bytes = told.trim().parse().with_context(|| format!("no count of bytes: {told:?}"))?;
    // Twenty bytes are the compressed form of nothing: a file is missing, and the shell does not report that.
    ensure!(bytes > 100, "the folder holds no Worker");
    Ok(bytes)
}

/// Fails when it takes more than `most` bytes. The text says its size.
pub(crate) fn check(name: &str, folder: &Path, most: u64) -> Result<String> {
    let bytes = compressed(folder)?;
    ensure!(bytes <= most, "{name} takes {bytes} bytes compressed, and {most} are the most");
    Ok(format!("{name} takes {} of {} KiB compressed", bytes.div_ceil(1024), most / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(wasm: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.js"), "export default {}").unwrap();
        std::fs::write(folder.path().join("index_bg.wasm"), wasm).unwrap();
        folder
    }

    /// Bytes that cannot be compressed.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn a_worker_over_the_bound_is_refused_by_its_compressed_size() {
        let small = folder(&vec![0; 10_000_000]);
        assert!(check("zeros", small.path(), 350_000).unwrap().starts_with("zeros takes"));
        let large = folder(&noise(400_000));
        assert!(check("noise", large.path(), 350_000).unwrap_err().to_string().contains("compressed"));
    }

    #[test]
    fn a_folder_without_a_worker_has_no_size() {
        assert!(count("20\n").is_err());
        assert!(count("").is_err());
        assert_eq!(count(" 307200\n").unwrap(), 307_200);
    }
}
