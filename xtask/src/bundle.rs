//! How large a Worker is: what Cloudflare counts is its module and its wasm, compressed.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::step::Step;

/// The most that the chat room's Worker may take, in bytes. 300 KiB are the goal.
pub(crate) const MOST: u64 = 350 * 1024;

/// The bytes of a Worker in this folder, compressed as Cloudflare does it.
pub(crate) fn compressed(folder: &Path) -> Result<u64> {
    let script = "cat index.js index_bg.wasm | gzip -9 | wc -c";
    count(&Step::program("sh").args(["-c", script]).within(folder).ask()?)
}

fn count(told: &str) -> Result<u64> {
    let bytes = told.trim().parse().with_context(|| format!("no count of bytes: {told:?}"))?;
    // Nothing compresses to some twenty bytes: then a file is missing, of which the shell says nothing.
    ensure!(bytes > 100, "the folder holds no Worker");
    Ok(bytes)
}

/// Fails when it is too large; the text is for people.
pub(crate) fn check(name: &str, folder: &Path) -> Result<String> {
    let bytes = compressed(folder)?;
    ensure!(bytes <= MOST, "{name} takes {bytes} bytes compressed, and {MOST} are the most");
    Ok(format!("{name} takes {} of {} KiB compressed", bytes.div_ceil(1024), MOST / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, wasm: &[u8]) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-bundle-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("index.js"), "export default {}").unwrap();
        std::fs::write(folder.join("index_bg.wasm"), wasm).unwrap();
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
        let small = folder("small", &vec![0; 10_000_000]);
        assert!(check("zeros", &small).unwrap().starts_with("zeros takes"));
        let large = folder("large", &noise(400_000));
        assert!(check("noise", &large).unwrap_err().to_string().contains("compressed"));
        std::fs::remove_dir_all(small).unwrap();
        std::fs::remove_dir_all(large).unwrap();
    }

    #[test]
    fn a_folder_without_a_worker_has_no_size() {
        assert!(count("20\n").is_err());
        assert!(count("").is_err());
        assert_eq!(count(" 307200\n").unwrap(), 307_200);
    }
}
