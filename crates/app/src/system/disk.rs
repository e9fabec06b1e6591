//! What is on the disk, and how much more may be.
//!
//! It blocks, so it runs on threads that may. Directories belong to Agents, who may put anything there: no link is
//! followed, and nobody's files are counted beyond a bound.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use doce_model::ProjectId;

/// Most entries of one Project that are counted.
pub(super) const ENTRIES_MAX: usize = 200_000;
/// The unit in which a file system tells what a file takes.
const BLOCK: u64 = 512;

/// The room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What a directory takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) bytes: u64,
    /// There is more in it than was counted.
    pub(super) is_cut: bool,
}

/// Asks for the room on the disk of a directory.
pub(super) fn room(directory: &Utf8Path) -> Option<Room> {
    let stat = rustix::fs::statvfs(directory.as_std_path()).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(Room { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
}

/// Adds up what each Project takes.
pub(super) fn measure(directories: Vec<(ProjectId, Utf8PathBuf)>) -> HashMap<ProjectId, Size> {
    directories.into_iter().map(|(id, directory)| (id, size(&directory, ENTRIES_MAX))).collect()
}

/// Adds up what a directory and everything below it takes, up to a number of entries. What can't be read counts nothing.
fn size(directory: &Utf8Path, most: usize) -> Size {
    let mut size = Size::default();
    let mut left = most;
    let mut ahead = vec![directory.as_std_path().to_owned()];
    while let Some(directory) = ahead.pop() {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            if left == 0 {
                size.is_cut = true;
                return size;
            }
            left -= 1;
            // Of the entry itself: a link is not what it leads to.
            let Ok(metadata) = entry.metadata() else { continue };
            size.bytes += metadata.blocks() * BLOCK;
            if metadata.is_dir() {
                ahead.push(entry.path());
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_takes_what_its_files_take_and_links_lead_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let (inside, outside) = (root.join("project"), root.join("outside"));
        fs::create_dir_all(inside.join("deep/er")).unwrap();
        fs::write(inside.join("deep/er/file"), vec![1; 100_000]).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("big"), vec![1; 900_000]).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        std::os::unix::fs::symlink("/", inside.join("deep/root")).unwrap();
        let found = size(&inside, ENTRIES_MAX);
        assert!(!found.is_cut && found.bytes >= 100_000 && found.bytes < 300_000, "{found:?}");
    }

    #[test]
    fn counting_ends_at_its_bound_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        for n in 0..20 {
            fs::write(root.join(n.to_string()), b"x").unwrap();
        }
        assert!(!size(root, 20).is_cut);
        let cut = size(root, 19);
        assert!(cut.is_cut && cut.bytes <= size(root, 20).bytes);
        assert_eq!(size(&root.join("nowhere"), 20), Size::default());
    }

    #[test]
    fn a_disk_has_room_or_not_and_no_more_than_it_has() {
        let room = room(Utf8Path::new("/")).expect("there is a disk");
        assert!(room.total > 0 && room.free <= room.total, "{room:?}");
        assert_eq!(super::room(Utf8Path::new("/no/such/place")), None);
    }
}
