//! Where the tests keep their files: in memory, where there is enough of it. Thousands of small databases and workspaces
//! are made, and a disk that has to keep each of them costs as much as the tests themselves.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::StatVfsMountFlags;

/// Linux' file system in memory that everybody may write to.
const MEMORY: &str = "/dev/shm";
/// What has to be free in it: most is taken by the npm packages of a few previews at once.
const ROOM: u64 = 4 << 30;
/// What has to be free of the machine's memory: agents and a browser need the rest.
const MEMORY_FREE: u64 = 8 << 30;

/// A folder for temporary files, which goes with this value.
pub(super) struct Scratch {
    folder: Option<PathBuf>,
}

impl Scratch {
    /// Makes one in memory. Where somebody named a place by `TMPDIR`, or there is too little memory, the tests keep to the
    /// system's own.
    pub(super) fn make() -> Result<Self> {
        let named = std::env::var_os("TMPDIR").is_some_and(|place| !place.is_empty());
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        if named || available(&memory).unwrap_or(0) < MEMORY_FREE || !has_room(Path::new(MEMORY)) {
            return Ok(Self { folder: None });
        }
        let folder = Path::new(MEMORY).join(format!("doce-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder: Some(folder) })
    }

    /// Where it is; `None` for the system's own place.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder
            && let Err(error) = fs::remove_dir_all(folder)
        {
            println!("{} was not removed: {error}", folder.display());
        }
    }
}

/// Tells whether programs can be kept and run there, and many files.
fn has_room(place: &Path) -> bool {
    rustix::fs::statvfs(place).is_ok_and(|found| {
        !found.f_flag.intersects(StatVfsMountFlags::NOEXEC | StatVfsMountFlags::RDONLY)
            && found.f_bavail.saturating_mul(found.f_frsize) >= ROOM
    })
}

/// Reads how many bytes of memory programs may still take, from `/proc/meminfo`.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_that_is_free_is_read() {
        let text = "MemTotal:       24684096 kB\nMemFree:         1000 kB\nMemAvailable:   23068672 kB\n";
        assert_eq!(available(text), Some(22 << 30));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn a_place_that_is_not_there_has_no_room() {
        assert!(!has_room(Path::new("/no/such/place")));
    }

    #[test]
    fn the_folder_goes_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("scratch");
        fs::create_dir_all(inside.join("deep")).unwrap();
        drop(Scratch { folder: Some(inside.clone()) });
        assert!(!inside.exists());
    }
}
