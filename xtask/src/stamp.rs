//! Remembers what an output was made from, so that it is made again only when that changed.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A number that changes when one of the files, its name or its content changes.
///
/// Folders are read whole, except for the names in `without`.
pub(crate) fn hash(inputs: &[PathBuf], without: &[&str], extra: &str) -> Result<u64> {
    let mut files = Vec::new();
    for input in inputs {
        collect(input, without, &mut files).with_context(|| format!("read {}", input.display()))?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    extra.hash(&mut hasher);
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file).with_context(|| format!("read {}", file.display()))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn collect(path: &Path, without: &[&str], files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        if without.iter().any(|skipped| name == *skipped) {
            continue;
        }
        collect(&entry.path(), without, files)?;
    }
    Ok(())
}

/// Whether the stamp at this path was set for this number.
pub(crate) fn matches(stamp: &Path, number: u64) -> bool {
    fs::read_to_string(stamp).is_ok_and(|text| text.trim() == format!("{number:016x}"))
}

/// Sets the stamp: after the output is whole.
pub(crate) fn set(stamp: &Path, number: u64) -> Result<()> {
    if let Some(folder) = stamp.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(stamp, format!("{number:016x}\n")).with_context(|| format!("write {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_changes_the_number_and_a_left_out_folder_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = [folder.path().to_path_buf()];
        fs::create_dir_all(folder.path().join("dist")).unwrap();
        fs::write(folder.path().join("a"), "one").unwrap();
        let first = hash(&root, &["dist"], "").unwrap();

        fs::write(folder.path().join("dist/out"), "anything").unwrap();
        assert_eq!(hash(&root, &["dist"], "").unwrap(), first);

        fs::write(folder.path().join("a"), "two").unwrap();
        assert_ne!(hash(&root, &["dist"], "").unwrap(), first);
    }

    #[test]
    fn what_else_decides_the_output_changes_the_number() {
        let folder = tempfile::tempdir().unwrap();
        let root = [folder.path().to_path_buf()];
        assert_ne!(hash(&root, &[], "v20").unwrap(), hash(&root, &[], "v22").unwrap());
    }

    #[test]
    fn a_stamp_matches_only_the_number_it_was_set_for() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = folder.path().join("deep/stamp");
        assert!(!matches(&stamp, 7));
        set(&stamp, 7).unwrap();
        assert!(matches(&stamp, 7));
        assert!(!matches(&stamp, 8));
    }
}
